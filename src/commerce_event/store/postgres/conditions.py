"""What a listing asks for, as SQL."""

from collections.abc import Sequence
from typing import Any, Final

from commerce_event.core.model import Scope
from commerce_event.store import times
from commerce_event.store.port import DeliveryQuery, EventQuery, Page
from commerce_event.store.postgres.sql import Connection

# OFFSET 0: else the planner walks the whole primary key for the least and the largest.
_ASTRAY: Final = "SELECT min(id), max(id) FROM (SELECT id FROM event WHERE {} OFFSET 0) AS astray"
_EARLY: Final = """SELECT min(id) FROM (
  SELECT d.id FROM queue AS d WHERE {later} AND d.id < d.event_id AND d.event_id >= $1
  UNION ALL
  SELECT d.id FROM finished AS d WHERE {later} AND d.id < d.event_id AND d.event_id >= $1 OFFSET 0) AS early"""


class Conditions:
    """WHERE terms and their values, side by side; ``{}`` in a term is the place of its value."""

    def __init__(self, values: list[Any] | None = None) -> None:
        """``values`` are those of the statement's other conditions, to which these are added."""
        self._terms: list[str] = ["true"]
        self.values: list[Any] = [] if values is None else values

    def copy(self) -> "Conditions":
        other = Conditions(self.values.copy())
        other._terms = self._terms.copy()
        return other

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term.format(*(self.place(value) for value in values)))

    def place(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def add_scope(self, scope: Scope, column: str) -> None:
        if scope.client_ids is not None:
            self.add_in(column, "bigint", sorted(scope.client_ids))

    def add_in(self, column: str, kind: str, values: Sequence[Any]) -> None:
        if len(values) == 1:  # so that an index on the column and what is sorted by serves both
            self.add(f"{column} = {{}}", values[0])
        else:
            self.add(f"{column} = ANY ({{}}::{kind}[])", values)

    def add_page(self, page: Page, column: str) -> None:
        self.add_bounds(column, None if page.after is None else page.after + 1, page.before)

    def add_bounds(self, column: str, first: int | None, end: int | None) -> None:
        if first is not None:
            self.add(f"{column} >= {{}}", first)
        if end is not None:
            self.add(f"{column} < {{}}", end)

    def add_event_terms(self, query: EventQuery | DeliveryQuery) -> None:
        if query.types:
            self.add_in("e.type", "text", query.types)
        if query.since_ms is not None:
            self.add("e.accepted_ms >= {}", query.since_ms)
        if query.until_ms is not None:
            self.add("e.accepted_ms <= {}", query.until_ms)

    def close(self, opened: int) -> None:
        """End the sub-query that the term number ``opened`` began: the terms since are its own."""
        self._terms[opened:] = [" AND ".join(self._terms[opened:]) + ")"]

    def __len__(self) -> int:
        return len(self._terms)

    @property
    def sql(self) -> str:
        return " AND ".join(self._terms)


async def span(connection: Connection, since_ms: int | None, until_ms: int | None) -> times.Span:
    """Return where the events of a time lie."""
    if since_ms is None and until_ms is None:
        return times.Span(None, None)
    where = Conditions()
    where.add(times.ASTRAY)
    where.add_bounds("accepted_ms", since_ms, None if until_ms is None else until_ms + 1)
    [(least, largest)] = await connection.fetch(_ASTRAY.format(where.sql), *where.values)
    return times.span(since_ms, until_ms, (least, largest))


async def first_delivery(connection: Connection, first_event: int) -> int:
    """Return the smallest id that a delivery of these events, or of later ones, can have.

    Another node's clock may have made it smaller than its event's.
    """
    early = await connection.fetchval(_EARLY.format(later=times.LATER), first_event)
    return first_event if early is None else min(first_event, int(early))
