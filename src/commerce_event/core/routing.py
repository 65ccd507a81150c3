"""Match events to endpoints, and explain each match."""

from collections.abc import Generator, Iterable, Mapping
from typing import Any, Final

import msgspec

from commerce_event.contract.catalogue import EventType
from commerce_event.core.filters import CompiledFilter, Predicate, explain_filter_steps, finish
from commerce_event.core.model import Endpoint

_SMALL: Final = 512  # bytes of an event in which no search takes long


class Rule(msgspec.Struct, frozen=True):
    """One rule, and whether the event passed it."""

    name: str
    passed: bool
    wanted: Any
    found: Any


class MatchExplanation(msgspec.Struct, frozen=True):
    """Whether an endpoint matches an event, with all rules in a fixed order."""

    matched: bool
    rules: tuple[Rule, ...]


class Candidates(msgspec.Struct, frozen=True, eq=False):
    """Endpoints that match an event's type and application; those with a filter still depend on its data."""

    plain: tuple[Endpoint, ...] = ()
    filtered: tuple[tuple[Endpoint, Predicate, CompiledFilter], ...] = ()
    condition_count: int = 0  # of all filters
    search_count: int = 0

    def cost(self, size: int) -> int:
        """Return about how many microseconds it takes at worst to match an event of so many bytes."""
        return self.condition_count + self.search_count * (30 if size <= _SMALL else 300 + size // 100)

    def match(self, data: Mapping[str, Any]) -> tuple[Endpoint, ...]:
        """Return the endpoints that match: first those without a filter, each group in the order of ``put``."""
        if not self.filtered:
            return self.plain
        return self.plain + tuple([endpoint for endpoint, passes, _ in self.filtered if passes(data)])

    def match_steps(self, data: Mapping[str, Any]) -> Generator[None, None, tuple[Endpoint, ...]]:
        """Return what ``match`` returns. Yields after each condition."""
        matching = list(self.plain)
        for endpoint, _, filter_ in self.filtered:
            if (yield from filter_.steps(data)):
                matching.append(endpoint)
        return tuple(matching)


_NO_CANDIDATES: Final = Candidates()


class RouteTable:
    """Finds the endpoints that match an event.

    The candidates for a type and an application are cached until an endpoint of the client changes. The cache of a
    client has at most one entry for each type and each application that its endpoints name; events cannot make it grow.
    """

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._endpoints: dict[int, dict[int, Endpoint]] = {}  # by client
        self._routes: dict[int, _ClientRoutes] = {}
        self._filters: dict[int, CompiledFilter] = {}  # by endpoint, as far as they were needed
        for endpoint in endpoints:
            self.put(endpoint)

    def put(self, endpoint: Endpoint) -> None:
        """Add an endpoint or replace it; the client of an endpoint never changes."""
        self._endpoints.setdefault(endpoint.client_id, {})[endpoint.id] = endpoint
        self._routes.pop(endpoint.client_id, None)
        self._filters.pop(endpoint.id, None)

    def forget_types(self) -> None:
        """Forget which endpoints take which event types: the types have changed."""
        self._routes.clear()

    def match(
        self, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints that match: first those without a filter, each group in the order of ``put``."""
        return self.candidates(client_id, event_type, application_id).match(data)

    def candidates(self, client_id: int, event_type: EventType, application_id: int | None) -> Candidates:
        """Return the endpoints among which an event is matched: the same object until one of the client changes."""
        routes = self._routes.get(client_id)
        if routes is None:
            if client_id not in self._endpoints:
                return _NO_CANDIDATES
            routes = self._routes[client_id] = _ClientRoutes(self._endpoints[client_id].values(), self._filters)
        return routes.candidates(event_type, application_id)


class _ClientRoutes:
    """The live endpoints of one client."""

    def __init__(self, endpoints: Iterable[Endpoint], filters: dict[int, CompiledFilter]) -> None:
        """``filters`` keeps the compiled filters, by endpoint."""
        self._endpoints = [endpoint for endpoint in endpoints if endpoint.live]
        self._applications = {endpoint.application_id for endpoint in self._endpoints}
        self._filters = filters
        self._known: dict[tuple[str, int | None], Candidates] = {}

    def candidates(self, event_type: EventType, application_id: int | None) -> Candidates:
        # An application that no endpoint names matches like an event without an application.
        application = application_id if application_id in self._applications else None
        known = self._known.get((event_type.name, application))
        if known is None:
            known = self._known[event_type.name, application] = self._find_candidates(event_type, application)
        return known

    def _find_candidates(self, event_type: EventType, application_id: int | None) -> Candidates:
        matching = [e for e in self._endpoints if _takes_application(e, application_id) and takes_type(e, event_type)]
        filtered = tuple((e, self._predicate(e), self._filter(e)) for e in matching if e.filter)
        return Candidates(
            plain=tuple(e for e in matching if not e.filter),
            filtered=filtered,
            condition_count=sum(each.condition_count for *_, each in filtered),
            search_count=sum(each.search_count for *_, each in filtered),
        )

    def _predicate(self, endpoint: Endpoint) -> Predicate:
        return self._filter(endpoint).passes

    def _filter(self, endpoint: Endpoint) -> CompiledFilter:
        known = self._filters.get(endpoint.id)
        if known is None:
            known = self._filters[endpoint.id] = CompiledFilter(endpoint.filter or {})
        return known


def explain(
    endpoint: Endpoint, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
) -> MatchExplanation:
    """Return what ``RouteTable.match`` decides about the endpoint, with all rules, even after one has failed."""
    return finish(explain_steps(endpoint, client_id, event_type, application_id, data))


def explain_steps(
    endpoint: Endpoint, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
) -> Generator[None, None, MatchExplanation]:
    """Return what ``explain`` returns. Yields after each condition of the filter."""
    filter_rule = yield from _filter_rule(endpoint, data)
    rules = (
        Rule("client", endpoint.client_id == client_id, endpoint.client_id, client_id),
        Rule("application", _takes_application(endpoint, application_id), endpoint.application_id, application_id),
        Rule("type", takes_type(endpoint, event_type), _wanted_types(endpoint), (event_type.name, event_type.category)),
        Rule("enabled", endpoint.live, "on", _state_of(endpoint)),
        filter_rule,
    )
    return MatchExplanation(all(rule.passed for rule in rules), rules)


def _takes_application(endpoint: Endpoint, application_id: int | None) -> bool:
    return endpoint.application_id is None or endpoint.application_id == application_id


def takes_type(endpoint: Endpoint, event_type: EventType) -> bool:
    """Tell whether the endpoint subscribes to the type and does not leave it out."""
    return event_type.is_selected(endpoint.event_types, endpoint.except_types)


def _wanted_types(endpoint: Endpoint) -> Any:
    """Return what the type rule selects: the types, with those that are left out when there are any."""
    if not endpoint.except_types:
        return endpoint.event_types
    return {"event_types": endpoint.event_types, "except": endpoint.except_types}


def _state_of(endpoint: Endpoint) -> str:
    if endpoint.deleted_ms is not None:
        return "deleted"
    if endpoint.enabled:
        return "on"
    return f"off: {endpoint.disabled_reason}" if endpoint.disabled_reason else "off"


def _filter_rule(endpoint: Endpoint, data: Mapping[str, Any]) -> Generator[None, None, Rule]:
    explanation = yield from explain_filter_steps(endpoint.filter or {}, data)
    return Rule("filter", explanation.passed, endpoint.filter, explanation.conditions)
