"""What a listing asks for, as SQL."""

from typing import Any

from commerce_event.core.model import Scope
from commerce_event.store.port import DeliveryQuery, EventQuery


class Conditions:
    """WHERE terms and their values, side by side; ``{}`` in a term is the place of its value."""

    def __init__(self) -> None:
        self._terms: list[str] = ["true"]
        self.values: list[Any] = []

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term.format(*(self.place(value) for value in values)))

    def place(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def add_scope(self, scope: Scope, column: str) -> None:
        if scope.client_ids is not None:
            self.add(f"{column} = ANY ({{}}::bigint[])", sorted(scope.client_ids))

    def add_event_terms(self, query: EventQuery | DeliveryQuery) -> None:
        if query.types:
            self.add("e.type = ANY ({}::text[])", list(query.types))
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
