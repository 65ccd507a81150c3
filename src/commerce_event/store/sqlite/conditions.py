"""What a listing asks for, as SQL."""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from commerce_event.core.model import DeliveryState
from commerce_event.store import conditions, time_ranges

_ASTRAY: Final = f"SELECT min(id), max(id) FROM event INDEXED BY event_astray WHERE {time_ranges.CLOCK_SKEWED} AND "  # noqa: S608
_EARLY: Final = (
    f"SELECT min(d.id) FROM delivery AS d INDEXED BY delivery_later WHERE {time_ranges.LATER} AND d.id < d.event_id "  # noqa: S608
    "AND d.event_id >= ?"
)


class Conditions(conditions.Conditions):
    def place(self, value: Any) -> str:
        self.values.append(value)
        return "?"

    def add_in(self, column: str, values: Sequence[Any]) -> None:
        places = ", ".join(["{}"] * len(values)) or "NULL"  # with an empty list no partial index serves
        self.add(f"{column} IN ({places})", *values)


def is_in(column: str, state: DeliveryState) -> str:
    """Return the term for a state, with a literal and in the words of the partial indexes, so that they serve."""
    term = f"{column} = '{state}'"
    return f"{column} IN ('dead', 'cancelled') AND {term}" if state in conditions.ENDED else term


def span(connection: apsw.Connection, since_ms: int | None, until_ms: int | None) -> time_ranges.Span:
    """Return where the events of a time lie."""
    if since_ms is None and until_ms is None:
        return time_ranges.Span(None, None)
    where = Conditions()
    where.add_bounds("accepted_ms", since_ms, None if until_ms is None else until_ms + 1)
    [clock_skewed] = connection.execute(_ASTRAY + where.sql, where.values)
    return time_ranges.span(since_ms, until_ms, clock_skewed)


def first_delivery(connection: apsw.Connection, first_event: int) -> int:
    """Return the smallest id that a delivery of these events, or of later ones, can have.

    Moved from nodes whose clocks differed, it may be smaller than its event's.
    """
    [(early,)] = connection.execute(_EARLY, (first_event,))
    return first_event if early is None else min(first_event, int(early))
