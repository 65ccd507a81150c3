"""The conditions of listings, as SQL of PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

from commerce_event.store import conditions, time_ranges
from commerce_event.store.postgres.sql import Connection

# OFFSET 0: else the planner walks the whole primary key for the least and the largest.
_CLOCK_SKEWED: Final = "SELECT min(id), max(id) FROM (SELECT id FROM event WHERE {} OFFSET 0) AS clock_skewed"
_EARLY: Final = """SELECT min(id) FROM (
  SELECT d.id FROM queue AS d WHERE {later} AND d.id < d.event_id AND d.event_id >= $1
  UNION ALL
  SELECT d.id FROM finished AS d WHERE {later} AND d.id < d.event_id AND d.event_id >= $1 OFFSET 0) AS early"""


class Conditions(conditions.Conditions):
    def place(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def add_in(self, column: str, values: Sequence[Any]) -> None:
        if len(values) == 1:  # so that an index on this column and the one to sort by serves both
            self.add(f"{column} = {{}}", values[0])
        else:
            self.add(f"{column} = ANY ({{}})", values)


async def span(connection: Connection, since_ms: int | None, until_ms: int | None) -> time_ranges.Span:
    """Return the range of ids that the events of a time range have."""
    if since_ms is None and until_ms is None:
        return time_ranges.Span(None, None)
    where = Conditions()
    where.add(time_ranges.CLOCK_SKEWED)
    where.add_bounds("accepted_ms", since_ms, None if until_ms is None else until_ms + 1)
    [(least, largest)] = await connection.fetch(_CLOCK_SKEWED.format(where.sql), *where.values)
    return time_ranges.span(since_ms, until_ms, (least, largest))


async def first_delivery(connection: Connection, first_event: int) -> int:
    """Return the smallest id that a delivery of these events, or of later ones, can have.

    Another node's clock may have made it smaller than its event's.
    """
    early = await connection.fetchval(_EARLY.format(later=time_ranges.LATER), first_event)
    return first_event if early is None else min(first_event, int(early))
