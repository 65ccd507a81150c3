"""Times as ids: where in the journal the events of a time lie, so that nothing before or behind them is read.

An id holds the time it was made at, and is never behind the clock; but it is ahead of a clock that was set back, until
that has caught up. What differs from its id by more than SLACK_MS is astray, and an index of its own finds it by its
time. So the bounds are exact whatever clocks do, and the accepted time stays what decides.
"""

from typing import Final

import msgspec

from commerce_event.core.ids import EPOCH_MS, TIME_SHIFT, at_time

SLACK_MS: Final = 2_000
_SLACK: Final = SLACK_MS << TIME_SHIFT
# As the migrations say it, so that the partial indexes serve.
CLOCK_SKEWED: Final = f"abs((id >> {TIME_SHIFT}) + {EPOCH_MS} - accepted_ms) > {SLACK_MS}"
LATER: Final = f"(d.id - d.event_id) NOT BETWEEN 0 AND {_SLACK}"


class Span(msgspec.Struct, frozen=True):
    """The ids from ``first`` on, up to and without ``end``; None where there is no bound."""

    first: int | None
    end: int | None

    @property
    def deliveries_end(self) -> int | None:
        """The end of the deliveries that were made with the events, none of which is LATER."""
        return None if self.end is None else self.end + _SLACK


def span(since_ms: int | None, until_ms: int | None, clock_skewed: tuple[int | None, int | None]) -> Span:
    """Return the ids of a time, both ends of it included. ``astray`` are the least and largest astray id in it."""
    least, largest = clock_skewed
    first = None if since_ms is None else at_time(since_ms - SLACK_MS)
    end = None if until_ms is None else at_time(until_ms + SLACK_MS + 1)
    if first is not None and least is not None:
        first = min(first, least)
    if end is not None and largest is not None:
        end = max(end, largest + 1)
    return Span(first, end)
