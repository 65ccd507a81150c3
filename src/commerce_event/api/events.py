"""Events: list and search, read, list deliveries, and read a client's sequence for reconciliation."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from commerce_event.api.deliveries import delivery_view
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, cursor_after, cursor_after_sequence, listing, read_within
from commerce_event.api.parameters import Int32, Time, read_time, read_types, scope_for
from commerce_event.api.response_models import (
    DeliveryView,
    EventDetailView,
    EventView,
    event_view,
    raised_by_view,
)
from commerce_event.api.waiting_calls import WAIT_MAX_S, WaitingCall
from commerce_event.core.model import DeliveryState, Event
from commerce_event.core.problems import invalid, not_found
from commerce_event.core.search_words import words
from commerce_event.store.model import DeliveryQuery, EventQuery, Page


class EventsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of events. With ``after``, events are in the order of the client's sequence."""

    client_id: Int32 | None = None
    type: str | None = None
    application_id: Int32 | None = None
    state: DeliveryState | None = None
    since: Time | None = None
    until: Time | None = None
    q: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    expand: bool = False
    wait_s: Annotated[int, Meta(ge=0, le=WAIT_MAX_S)] | None = None


async def list_events(call: Call) -> Reply:
    query: EventsQuery = call.query
    scope = scope_for(call, query.client_id)
    if query.after is not None:
        return await _events_after(call, query)
    if query.wait_s is not None:
        raise invalid("?wait_s", "wait_s works only with after")
    if query.q is not None and not words(query.q):
        raise invalid("?q", "write at least one letter or digit to search for")
    wanted = EventQuery(
        scope=scope,
        types=read_types(call.services.registry.catalogue, query.type.split(","), "?type") if query.type else (),
        application_id=query.application_id,
        since_ms=read_time(query.since, "?since"),
        until_ms=read_time(query.until, "?until"),
        state=query.state,
        text=query.q,
    )
    history = call.services.store.history

    async def read(limit: int, last: Event | None) -> list[Event]:
        return await history.events(wanted, Page(limit, query.before if last is None else last.id))

    events, more = await read_within(query.limit, read, _size)
    views = [event_view(event) for event in events]
    if query.expand:
        states = await history.delivery_states([event.id for event in events], scope)
        views = [
            msgspec.structs.replace(view, delivery_states={**states.get(event.id, {})})
            for view, event in zip(views, events, strict=True)
        ]
    return Reply(Listing(views, cursor_after(events[-1], more=more) if events else None))


async def _events_after(call: Call, query: EventsQuery) -> Reply:
    if query.client_id is None:
        raise invalid("?client_id", "name the client whose sequence is read")
    others = (query.type, query.application_id, query.state, query.since, query.until, query.q)
    if query.expand or any(value is not None for value in others):
        raise invalid(
            "?after", "after works only with client_id, limit, cursor and wait_s, so that no event is left out"
        )
    client_id, behind = query.client_id, query.sequence(query.after or 0)

    async def read(limit: int, last: Event | None) -> list[Event]:
        after = behind if last is None else last.sequence
        return await call.services.store.history.events_after(client_id, after, limit)

    events, more = await read_within(query.limit, read, _size)
    views = [event_view(event) for event in events]
    return Reply(Listing(views, cursor_after_sequence(events[-1], more=more) if events else None))


def _wait_for_event(call: Call) -> AbstractContextManager[WaitingCall] | None:
    """Return the wait for an event of the client; None for a call that does not wait, or that reading refuses."""
    query: EventsQuery = call.query
    if not query.wait_s or query.after is None or query.client_id is None or not call.scope.allows(query.client_id):
        return None
    after = query.sequence(query.after)
    return call.services.waiting_calls.wait(call.key.owner, query.client_id, after, query.wait_s)


def _size(event: Event) -> int:
    return len(event.body)


async def find_event(call: Call) -> Event:
    event = await call.services.store.history.event(call.id("evt", "event"), call.scope)
    if event is None:
        raise not_found("event")
    return event


async def get_event(call: Call) -> Reply:
    event = await find_event(call)
    raised = await call.services.store.changes.raised(event.id)
    return Reply(EventDetailView(**msgspec.structs.asdict(event_view(event)), raised_by=raised_by_view(raised)))


class EventDeliveriesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page to read."""


async def event_deliveries(call: Call) -> Reply:
    event = await find_event(call)
    wanted = DeliveryQuery(scope=call.scope, event_id=event.id)
    found = await call.services.store.history.deliveries(wanted, call.query.page())
    return Reply(listing(found, call.query, partial(delivery_view, call)))


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
        wait=_wait_for_event,
        query=EventsQuery,
        answers={200: Listing[EventView]},
        problems=(422, 429),
        description=(
            "Newest first; with `after`, a client's events in accept order without gaps, for reconciliation. Send "
            "`next_cursor` as `cursor` with the same parameters to get the next page, until it is null. A page of "
            "large events may have fewer than `limit`. With `after` and `wait_s`, an answer that would be empty waits "
            "up to so many seconds for the next event (long poll). `q` "
            "searches the stored events that the key may read: an empty list does not mean that an event was never "
            "accepted. It may be older than the retention, belong to another client, or have other words."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/events/{id}",
        name="getEvent",
        summary="Read an event",
        tag=_TAG,
        needs="read",
        run=get_event,
        answers={200: EventDetailView},
        problems=(404,),
        description="With its body as it was published.",
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
        problems=(404, 422),
        description="Newest first: one for each endpoint that matched, and those that replays created.",
    ),
)
