"""Routing: which endpoints want an event, and why one does or does not."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from commerce_event.contract.catalogue import EventType
from commerce_event.core.filters import Predicate, compile_filter, explain_filter
from commerce_event.core.model import Endpoint


class Rule(msgspec.Struct, frozen=True):
    """One question that was asked, and its answer."""

    name: str
    passed: bool
    wanted: Any
    found: Any


class Verdict(msgspec.Struct, frozen=True):
    """Whether an endpoint wants an event, with every rule looked at in a fixed order."""

    matched: bool
    rules: tuple[Rule, ...]


class _Candidates(msgspec.Struct, frozen=True):
    """Endpoints for which everything but the data has been decided."""

    plain: tuple[Endpoint, ...]
    filtered: tuple[tuple[Endpoint, Predicate], ...]


class RouteTable:
    """Finds the endpoints for an event among those put in.

    What an event of some type and application finds is worked out once, until an endpoint of its client changes. There
    are never more such entries than a client has types times applications that its endpoints name, whatever the events
    say.
    """

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._endpoints: dict[int, dict[int, Endpoint]] = {}  # by client
        self._routes: dict[int, _ClientRoutes] = {}
        for endpoint in endpoints:
            self.put(endpoint)

    def put(self, endpoint: Endpoint) -> None:
        """Add an endpoint, or put it in the place of its former form; the client of an endpoint never changes."""
        self._endpoints.setdefault(endpoint.client_id, {})[endpoint.id] = endpoint
        self._routes.pop(endpoint.client_id, None)

    def match(
        self, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints that want the event: first those without a filter, each kind in the given order."""
        routes = self._routes.get(client_id)
        if routes is None:
            if client_id not in self._endpoints:
                return ()
            routes = self._routes[client_id] = _ClientRoutes(self._endpoints[client_id].values())
        candidates = routes.candidates(event_type, application_id)
        if not candidates.filtered:
            return candidates.plain
        return candidates.plain + tuple([endpoint for endpoint, wants in candidates.filtered if wants(data)])


class _ClientRoutes:
    """The live endpoints of one client."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = [endpoint for endpoint in endpoints if endpoint.live]
        self._applications = {endpoint.application_id for endpoint in self._endpoints}
        self._predicates: dict[int, Predicate] = {}
        self._known: dict[tuple[str, int | None], _Candidates] = {}

    def candidates(self, event_type: EventType, application_id: int | None) -> _Candidates:
        # An application that no endpoint names finds what an event without one finds.
        application = application_id if application_id in self._applications else None
        known = self._known.get((event_type.name, application))
        if known is None:
            known = self._known[event_type.name, application] = self._work_out(event_type, application)
        return known

    def _work_out(self, event_type: EventType, application_id: int | None) -> _Candidates:
        wanting = [e for e in self._endpoints if _takes_application(e, application_id) and _takes_type(e, event_type)]
        return _Candidates(
            plain=tuple(e for e in wanting if not e.filter),
            filtered=tuple((e, self._predicate(e)) for e in wanting if e.filter),
        )

    def _predicate(self, endpoint: Endpoint) -> Predicate:
        predicate = self._predicates.get(endpoint.id)
        if predicate is None:
            predicate = self._predicates[endpoint.id] = compile_filter(endpoint.filter or {})
        return predicate


def explain(
    endpoint: Endpoint, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
) -> Verdict:
    """Return what ``RouteTable.match`` decides about the endpoint, and why: all rules, also after one has failed."""
    rules = (
        Rule("client", endpoint.client_id == client_id, endpoint.client_id, client_id),
        Rule("application", _takes_application(endpoint, application_id), endpoint.application_id, application_id),
        Rule("type", _takes_type(endpoint, event_type), endpoint.event_types, (event_type.name, event_type.category)),
        Rule("enabled", endpoint.live, "on", _condition_of(endpoint)),
        _filter_rule(endpoint, data),
    )
    return Verdict(all(rule.passed for rule in rules), rules)


def _takes_application(endpoint: Endpoint, application_id: int | None) -> bool:
    return endpoint.application_id is None or endpoint.application_id == application_id


def _takes_type(endpoint: Endpoint, event_type: EventType) -> bool:
    return any(entry in {"*", event_type.category, event_type.name} for entry in endpoint.event_types)


def _condition_of(endpoint: Endpoint) -> str:
    if endpoint.deleted_ms is not None:
        return "deleted"
    if endpoint.enabled:
        return "on"
    return f"off: {endpoint.disabled_reason}" if endpoint.disabled_reason else "off"


def _filter_rule(endpoint: Endpoint, data: Mapping[str, Any]) -> Rule:
    explanation = explain_filter(endpoint.filter or {}, data)
    return Rule("filter", explanation.passed, endpoint.filter, explanation.conditions)
