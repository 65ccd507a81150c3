"""Reading the journal: events, why they went where they went, and what a receiver may have missed."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, Time, read_time, read_types, scope_for
from commerce_event.api.problems import invalid, not_found
from commerce_event.api.views import DeliveryView, EventView, delivery_view, event_view
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Attempt, Delivery, DeliveryState, Endpoint, Event, Scope
from commerce_event.core.routing import explain
from commerce_event.store.port import DeliveryQuery, EventQuery, Page

_DELIVERIES_MAX = 1_000  # of one event, in an explanation


class EventsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events. With ``after`` they come oldest first, by the client's sequence."""

    client_id: Int32 | None = None
    type: str | None = None
    application_id: Int32 | None = None
    state: DeliveryState | None = None
    since: Time | None = None
    until: Time | None = None
    q: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class RuleView(msgspec.Struct, frozen=True):
    """A rule that was looked at."""

    name: str
    passed: bool
    wanted: Any
    found: Any


class ReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """Why one endpoint did or did not get the event, and what became of it."""

    endpoint_id: str
    url: str
    matched: bool
    verdict: str
    rules: list[RuleView]
    deliveries: list[DeliveryView]
    last_status: int | None  # of the newest delivery's last attempt
    last_error: str | None


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """Every endpoint of the client, as it stood when the event was accepted."""

    event_id: str
    client_id: int
    type: str
    accepted_at: str
    config_version: int
    endpoints: list[ReasonView]


async def list_events(call: Call) -> Reply:
    query: EventsQuery = call.query
    scope = scope_for(call, query.client_id)
    if query.after is not None:
        return await _events_after(call, query)
    wanted = EventQuery(
        scope=scope,
        types=read_types(query.type.split(","), "?type") if query.type else (),
        application_id=query.application_id,
        since_ms=read_time(query.since, "?since"),
        until_ms=read_time(query.until, "?until"),
        state=query.state,
        text=query.q,
    )
    return Reply(listing(await call.services.store.events(wanted, query.page()), query, event_view))


async def _events_after(call: Call, query: EventsQuery) -> Reply:
    if query.client_id is None:
        raise invalid("?client_id", "name the client whose sequence this is")
    others = (query.type, query.application_id, query.state, query.since, query.until, query.q, query.cursor)
    if any(value is not None for value in others):
        raise invalid("?after", "after goes with client_id and limit alone, so that nothing is left out")
    events = await call.services.store.events_after(query.client_id, query.after or 0, query.limit)
    return Reply(Listing([event_view(event) for event in events], None))


async def find_event(call: Call) -> Event:
    event = await call.services.store.event(call.id("evt", "event"), call.scope)
    if event is None:
        raise not_found("event")
    return event


async def get_event(call: Call) -> Reply:
    return Reply(event_view(await find_event(call)))


class EventDeliveriesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page."""


async def event_deliveries(call: Call) -> Reply:
    event = await find_event(call)
    wanted = DeliveryQuery(scope=call.scope, event_id=event.id)
    found = await call.services.store.deliveries(wanted, call.query.page())
    return Reply(listing(found, call.query, delivery_view))


async def explain_event(call: Call) -> Reply:
    event = await find_event(call)
    services = call.services
    wanted = DeliveryQuery(scope=call.scope, event_id=event.id)
    by_endpoint: dict[int, list[Delivery]] = {}
    for delivery in await services.store.deliveries(wanted, Page(_DELIVERIES_MAX)):
        by_endpoint.setdefault(delivery.endpoint_id, []).append(delivery)
    last = {endpoint_id: await _last_attempt(call, found[0]) for endpoint_id, found in by_endpoint.items()}
    then = await services.directory.explainable(event.client_id, event.config_version)
    reasons = [
        _reason(endpoint, event, by_endpoint.get(endpoint.id, []), last.get(endpoint.id))
        for endpoint in then
        if endpoint.deleted_ms is None
    ]
    known = {endpoint.id for endpoint in then}
    reasons += [
        _made_later(endpoint, by_endpoint.get(endpoint.id, []), last.get(endpoint.id))
        for endpoint in services.directory.endpoints(Scope.of(event.client_id))
        if endpoint.id not in known
    ]
    return Reply(
        ExplanationView(
            event_id=ids.encode("evt", event.id),
            client_id=event.client_id,
            type=event.type,
            accepted_at=rfc3339(event.accepted_ms),
            config_version=event.config_version,
            endpoints=reasons,
        )
    )


async def _last_attempt(call: Call, delivery: Delivery) -> Attempt | None:
    attempts = await call.services.store.attempts(delivery.id) if delivery.attempt_count else []
    return attempts[-1] if attempts else None


def _reason(endpoint: Endpoint, event: Event, deliveries: list[Delivery], last: Attempt | None) -> ReasonView:
    data = msgspec.json.decode(event.body)
    verdict = explain(endpoint, event.client_id, EVENT_TYPES[event.type], event.application_id, data)
    failed = [rule.name for rule in verdict.rules if not rule.passed]
    return ReasonView(
        endpoint_id=ids.encode("end", endpoint.id),
        url=endpoint.url,
        matched=verdict.matched,
        verdict=_fate(deliveries) if verdict.matched else f"not sent: {', '.join(failed)} did not match",
        rules=[RuleView(rule.name, rule.passed, rule.wanted, rule.found) for rule in verdict.rules],
        deliveries=[delivery_view(delivery) for delivery in deliveries],
        last_status=None if last is None else last.status,
        last_error=None if last is None else last.error,
    )


def _made_later(endpoint: Endpoint, deliveries: list[Delivery], last: Attempt | None) -> ReasonView:
    return ReasonView(
        endpoint_id=ids.encode("end", endpoint.id),
        url=endpoint.url,
        matched=False,
        verdict=_fate(deliveries) if deliveries else "not sent: the endpoint was made after this event",
        rules=[RuleView("existed", False, True, False)],
        deliveries=[delivery_view(delivery) for delivery in deliveries],
        last_status=None if last is None else last.status,
        last_error=None if last is None else last.error,
    )


def _fate(deliveries: list[Delivery]) -> str:
    if not deliveries:
        return "matched, but its delivery is missing"
    last = deliveries[0]
    tries = f"{last.attempt_count} attempt{'s' if last.attempt_count != 1 else ''}"
    if last.state == "pending":
        when = (
            "being sent now"
            if last.leased
            else f"next try {rfc3339(last.due_ms)}"
            if last.due_ms
            else "waits for its turn"
        )
        return f"pending after {tries}: {when}"
    return f"{last.state} after {tries}" + (f": {last.reason}" if last.reason else "")


_TAG = "Events"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/events",
        name="listEvents",
        summary="List and search events",
        tag=_TAG,
        needs="read",
        run=list_events,
        query=EventsQuery,
        answers={200: Listing[EventView]},
        problems=(403, 422, 503),
        description="Newest first; with `after`, a client's events in accept order without gaps, for reconciliation.",
    ),
    Operation(
        method="GET",
        path="/v1/events/{id}",
        name="getEvent",
        summary="Read an event",
        tag=_TAG,
        needs="read",
        run=get_event,
        answers={200: EventView},
        problems=(404, 503),
        description="With its body as it was handed in.",
    ),
    Operation(
        method="GET",
        path="/v1/events/{id}/deliveries",
        name="listEventDeliveries",
        summary="List an event's deliveries",
        tag=_TAG,
        needs="read",
        run=event_deliveries,
        query=EventDeliveriesQuery,
        answers={200: Listing[DeliveryView]},
        problems=(404, 422, 503),
        description="Newest first: one for each endpoint it matched, and those that replays made.",
    ),
    Operation(
        method="GET",
        path="/v1/events/{id}/explain",
        name="explainEvent",
        summary="Why was it, or was it not, sent?",
        tag=_TAG,
        needs="read",
        run=explain_event,
        answers={200: ExplanationView},
        problems=(404, 503),
        description="For each endpoint, as it stood when the event was accepted: its rules and what became of it.",
    ),
)
