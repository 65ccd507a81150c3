"""The conditions of listings, as SQL; each engine has its own placeholders for values."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Self

from commerce_event.core import ids
from commerce_event.core.model import Scope
from commerce_event.store.model import ChangeQuery, DeliveryQuery, EventQuery, Page, RefusalQuery
from commerce_event.store.time_ranges import LATER, Span

ENDED: Final = frozenset({"dead", "cancelled"})  # states that few of many deliveries are in
# A listing first scans the newest rows of an index, then uses other indexes.
NEWEST_SCANNED: Final = 2_000  # events in one scan: enough to fill a page with what is frequent
SCANS_MAX: Final = 10


class Conditions(ABC):
    """WHERE terms and their values; ``{}`` in a term stands for the next value."""

    def __init__(self, values: list[Any] | None = None) -> None:
        self._terms: list[str] = ["true"]
        self.values: list[Any] = [] if values is None else values

    @abstractmethod
    def place(self, value: Any) -> str:
        """Add a value; return its placeholder."""

    @abstractmethod
    def add_in(self, column: str, values: Sequence[Any]) -> None:
        """Require that the column has one of these values."""

    def copy(self) -> Self:
        other = type(self)(self.values.copy())
        other.add(self.sql)
        return other

    def inner(self) -> Self:
        """Return conditions for a sub-query, to be added in a term next; they share the list of values."""
        return type(self)(self.values)

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term.format(*[self.place(value) for value in values]))

    def add_equal(self, column: str, value: Any) -> None:
        """Require that the column has this value; None requires nothing."""
        if value is not None:
            self.add(f"{column} = {{}}", value)

    def add_bounds(self, column: str, first: int | None, end: int | None) -> None:
        if first is not None:
            self.add(f"{column} >= {{}}", first)
        if end is not None:
            self.add(f"{column} < {{}}", end)

    def add_page(self, page: Page, column: str) -> None:
        self.add_bounds(column, None if page.after is None else page.after + 1, page.before)

    def add_scope(self, scope: Scope, column: str) -> None:
        clients = scope.sorted_ids
        if clients is not None:
            self.add_in(column, clients)

    def add_types_and_times(self, query: EventQuery | DeliveryQuery) -> None:
        if query.types:
            self.add_in("e.type", query.types)
        if query.since_ms is not None:
            self.add("e.accepted_ms >= {}", query.since_ms)
        if query.until_ms is not None:
            self.add("e.accepted_ms <= {}", query.until_ms)

    def add_events(self, query: EventQuery, page: Page, ids: Span) -> None:
        """Add the conditions on events ``e``, except their text and the state of their deliveries."""
        self.add_scope(query.scope, "e.client_id")
        self.add_types_and_times(query)
        self.add_bounds("e.id", ids.first, ids.end)
        self.add_page(page, "e.id")
        self.add_equal("e.application_id", query.application_id)

    def add_deliveries(self, query: DeliveryQuery, page: Page) -> None:
        """Add the conditions on deliveries ``d``, except their state."""
        self.add_scope(query.scope, "d.client_id")
        self.add_equal("d.event_id", query.event_id)
        self.add_equal("d.endpoint_id", query.endpoint_id)
        self.add_equal("d.replay_id", query.replay_id)
        if query.due_after_ms is not None:
            self.add("d.due_ms > {}", query.due_after_ms)
        self.add_page(page, "d.id")
        if query.types or query.since_ms is not None or query.until_ms is not None:
            event = self.inner()
            event.add_types_and_times(query)
            self.add(f"EXISTS (SELECT 1 FROM event AS e WHERE e.id = d.event_id AND {event.sql})")  # noqa: S608

    def add_refusals(self, query: RefusalQuery, page: Page) -> None:
        """Add the conditions on refused events."""
        self.add_scope(query.scope, "client_id")
        self.add_equal("type", query.type)
        self.add_equal("state", query.state)
        self.add_bounds("at_ms", query.since_ms, None if query.until_ms is None else query.until_ms + 1)
        self.add_page(page, "id")

    def add_changes(self, query: ChangeQuery, page: Page, client_id: int | None) -> None:
        """Add the conditions on changes, of one client if it is given. Their ids tell their times."""
        self.add_equal("client_id", client_id)
        self.add_equal("entity", query.entity)
        self.add_equal("source", query.source)
        if query.unmapped is not None:
            self.add("entity IS NULL" if query.unmapped else "entity IS NOT NULL")
        since_id = None if query.since_ms is None else ids.at_time(query.since_ms)
        self.add_bounds("id", since_id, None if query.until_ms is None else ids.at_time(query.until_ms + 1))
        self.add_page(page, "id")

    def split_late_deliveries(self, ids: Span) -> Self:
        """Keep the deliveries ``d`` stored with the events of that range; return conditions for later ones."""
        later = self.copy()
        later.add(LATER)
        self.add(f"NOT ({LATER})")
        self.add_bounds("d.id", ids.first, ids.deliveries_end)
        return later

    @property
    def sql(self) -> str:
        return " AND ".join(self._terms)
