"""Turn a time range into a range of ids, so that a listing reads no event before or after it.

An id holds the time it was made at. It is never behind the clock, but it is ahead of a clock that was set back, until
the clock has caught up. An event whose accepted time differs from its id by more than SLACK_MS is clock-skewed; a
separate index finds these by time. So the bounds are exact even when clocks jump, and the accepted time decides.
"""

from typing import Final

import msgspec

from commerce_event.core.ids import EPOCH_MS, TIME_SHIFT, at_time

SLACK_MS: Final = 2_000
_SLACK: Final = SLACK_MS << TIME_SHIFT
# As the migrations say it, so that the partial indexes are used.
CLOCK_SKEWED: Final = f"abs((id >> {TIME_SHIFT}) + {EPOCH_MS} - accepted_ms) > {SLACK_MS}"
LATER: Final = f"(d.id - d.event_id) NOT BETWEEN 0 AND {_SLACK}"


class Span(msgspec.Struct, frozen=True):
    """The ids from ``first`` to before ``end``; None: no bound."""

    first: int | None
    end: int | None

    @property
    def deliveries_end(self) -> int | None:
        """The end of the ids of deliveries that were stored with the events, none of which is LATER."""
        return None if self.end is None else self.end + _SLACK


def span(since_ms: int | None, until_ms: int | None, clock_skewed: tuple[int | None, int | None]) -> Span:
    """Return the ids of a time range, both ends included.

    ``clock_skewed`` are the smallest and the largest clock-skewed id in it.
    """
    least, largest = clock_skewed
    first = None if since_ms is None else at_time(since_ms - SLACK_MS)
    end = None if until_ms is None else at_time(until_ms + SLACK_MS + 1)
    if first is not None and least is not None:
        first = min(first, least)
    if end is not None and largest is not None:
        end = max(end, largest + 1)
    return Span(first, end)
