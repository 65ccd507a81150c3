"""What a listing asks for, as SQL."""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from commerce_event.core.model import DeliveryState, Scope
from commerce_event.store import times
from commerce_event.store.port import DeliveryQuery, EventQuery, Page

ENDED: Final = frozenset({"dead", "cancelled"})
_ASTRAY: Final = f"SELECT min(id), max(id) FROM event INDEXED BY event_astray WHERE {times.ASTRAY} AND "  # noqa: S608
_EARLY: Final = (
    f"SELECT min(d.id) FROM delivery AS d INDEXED BY delivery_later WHERE {times.LATER} AND d.id < d.event_id "  # noqa: S608
    "AND d.event_id >= ?"
)


class Conditions:
    """WHERE terms and their values, side by side."""

    def __init__(self) -> None:
        self._terms: list[str] = ["true"]
        self.values: list[Any] = []

    def copy(self) -> "Conditions":
        other = Conditions()
        other._terms, other.values = self._terms.copy(), self.values.copy()
        return other

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term)
        self.values.extend(values)

    def add_scope(self, scope: Scope, column: str) -> None:
        if scope.client_ids is not None:
            ids = sorted(scope.client_ids)
            self.add(f"{column} IN ({','.join('?' * len(ids))})", *ids)

    def add_in(self, column: str, values: Sequence[Any]) -> None:
        if values:
            self.add(f"{column} IN ({','.join('?' * len(values))})", *values)

    def add_page(self, page: Page, column: str) -> None:
        self.add_bounds(column, None if page.after is None else page.after + 1, page.before)

    def add_bounds(self, column: str, first: int | None, end: int | None) -> None:
        if first is not None:
            self.add(f"{column} >= ?", first)
        if end is not None:
            self.add(f"{column} < ?", end)

    def add_event_terms(self, query: EventQuery | DeliveryQuery) -> None:
        self.add_in("e.type", query.types)
        if query.since_ms is not None:
            self.add("e.accepted_ms >= ?", query.since_ms)
        if query.until_ms is not None:
            self.add("e.accepted_ms <= ?", query.until_ms)

    def close(self, opened: int) -> None:
        """End the sub-query that the term number ``opened`` began: the terms since are its own."""
        self._terms[opened:] = [" AND ".join(self._terms[opened:]) + ")"]

    def __len__(self) -> int:
        return len(self._terms)

    @property
    def sql(self) -> str:
        return " AND ".join(self._terms)


def is_in(column: str, state: DeliveryState) -> str:
    """Return the term for a state, with a literal and in the words of the partial indexes, so that they serve."""
    term = f"{column} = '{state}'"
    return f"{column} IN ('dead', 'cancelled') AND {term}" if state in ENDED else term


def span(connection: apsw.Connection, since_ms: int | None, until_ms: int | None) -> times.Span:
    """Return where the events of a time lie."""
    if since_ms is None and until_ms is None:
        return times.Span(None, None)
    where = Conditions()
    where.add_bounds("accepted_ms", since_ms, None if until_ms is None else until_ms + 1)
    [astray] = connection.execute(_ASTRAY + where.sql, where.values)
    return times.span(since_ms, until_ms, astray)


def first_delivery(connection: apsw.Connection, first_event: int) -> int:
    """Return the smallest id that a delivery of these events, or of later ones, can have.

    Moved from nodes whose clocks differed, it may be smaller than its event's.
    """
    [(early,)] = connection.execute(_EARLY, (first_event,))
    return first_event if early is None else min(first_event, int(early))
