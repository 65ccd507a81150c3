"""The conditions of listings, as SQL of SQLite."""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from commerce_event.core.model import DeliveryState
from commerce_event.store import conditions, time_ranges

_CLOCK_SKEWED: Final = (
    f"SELECT min(id), max(id) FROM event INDEXED BY event_clock_skewed WHERE {time_ranges.CLOCK_SKEWED} AND "  # noqa: S608
)
_EARLY: Final = (
    f"SELECT min(d.id) FROM delivery AS d INDEXED BY delivery_later WHERE {time_ranges.LATER} AND d.id < d.event_id "  # noqa: S608
    "AND d.event_id >= ?"
)


class Conditions(conditions.Conditions):
    def place(self, value: Any) -> str:
        self.values.append(value)
        return "?"

    def add_in(self, column: str, values: Sequence[Any]) -> None:
        places = ", ".join(["{}"] * len(values)) or "NULL"  # with an empty list no partial index is used
        self.add(f"{column} IN ({places})", *values)


def is_in(column: str, state: DeliveryState) -> str:
    """Return the condition for a state, as a literal and as the partial indexes say it, so that they are used."""
    term = f"{column} = '{state}'"
    return f"{column} IN ('dead', 'cancelled') AND {term}" if state in conditions.ENDED else term


def span(connection: apsw.Connection, since_ms: int | None, until_ms: int | None) -> time_ranges.Span:
    """Return the range of ids that the events of a time range have."""
    if since_ms is None and until_ms is None:
        return time_ranges.Span(None, None)
    where = Conditions()
    where.add_bounds("accepted_ms", since_ms, None if until_ms is None else until_ms + 1)
    [clock_skewed] = connection.execute(_CLOCK_SKEWED + where.sql, where.values)
    return time_ranges.span(since_ms, until_ms, clock_skewed)


def first_delivery(connection: apsw.Connection, first_event: int) -> int:
    """Return the smallest id that a delivery of these events, or of later ones, can have.

    It may be smaller than its event's when it comes from nodes whose clocks differed.
    """
    early = connection.execute(_EARLY, (first_event,)).get
    return first_event if early is None else min(first_event, int(early))
