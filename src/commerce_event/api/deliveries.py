"""Deliveries: list, read with attempts, retry, cancel."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, cursor_after, listing, read_within
from commerce_event.api.parameters import Int32, read_id, scope_for
from commerce_event.api.response_models import (
    DeliveryDetailView,
    DeliveryView,
    attempt_summary,
    attempt_view,
    delivery_fields,
    endpoint_summary,
    event_view,
)
from commerce_event.core import ids
from commerce_event.core.delivery import can_cancel, can_retry
from commerce_event.core.model import Attempt, Delivery, DeliveryState, Endpoint, Event
from commerce_event.core.payload import sent_body
from commerce_event.core.problems import Problem, not_found
from commerce_event.store.model import DeliveryQuery


class DeliveriesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of deliveries."""

    client_id: Int32 | None = None
    endpoint_id: Annotated[str, Meta(max_length=40)] | None = None
    event_id: Annotated[str, Meta(max_length=40)] | None = None
    replay_id: Annotated[str, Meta(max_length=40)] | None = None
    state: DeliveryState | None = None
    expand: bool = False


async def list_deliveries(call: Call) -> Reply:
    query: DeliveriesQuery = call.query
    wanted = DeliveryQuery(
        scope=scope_for(call, query.client_id),
        event_id=read_id("evt", query.event_id, "?event_id"),
        endpoint_id=read_id("end", query.endpoint_id, "?endpoint_id"),
        replay_id=read_id("rpl", query.replay_id, "?replay_id"),
        state=query.state,
    )
    history = call.services.store.history
    if not query.expand:
        return Reply(listing(await history.deliveries(wanted, query.page()), query, partial(delivery_view, call)))
    found, last_attempts = await history.deliveries_with_last_attempts(wanted, query.page())
    page = listing(found, query, lambda delivery: delivery)
    deliveries, events = await _with_events(call, page.items)
    more = page.next_cursor is not None or len(deliveries) < len(page.items)
    views = [
        DeliveryView(
            **fields_of_delivery(call, each),
            event=event_view(events[each.event_id]) if each.event_id in events else None,
            endpoint=endpoint_summary(call.services.registry.endpoint_in(call.scope, each.endpoint_id)),
            last_attempt=attempt_summary(last_attempts.get(each.id), call.services.registry.endpoint(each.endpoint_id)),
        )
        for each in deliveries
    ]
    return Reply(Listing(views, cursor_after(deliveries[-1], more=more) if deliveries else None))


def fields_of_delivery(call: Call, delivery: Delivery) -> dict[str, Any]:
    """Return the fields of a delivery, with what is left for it by the retry schedule in force."""
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    return delivery_fields(delivery, endpoint, call.services.settings.retry_schedule_s)


def delivery_view(call: Call, delivery: Delivery) -> DeliveryView:
    return DeliveryView(**fields_of_delivery(call, delivery))


async def _with_events(call: Call, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], dict[int, Event]]:
    """Return deliveries and their events, by id: as many as fit into a page."""
    events: dict[int, Event] = {}
    left = iter(deliveries)

    async def read(limit: int, _: Delivery | None) -> list[Delivery]:
        some = list(islice(left, limit))
        unknown = {each.event_id for each in some} - events.keys()
        events.update(await call.services.store.history.events_by_id(sorted(unknown), call.scope))
        return some

    def size_of(delivery: Delivery) -> int:
        return len(events[delivery.event_id].body) if delivery.event_id in events else 0

    found, _ = await read_within(len(deliveries), read, size_of)
    return found, events


async def get_delivery(call: Call) -> Reply:
    wanted = [call.id("dlv", "delivery")]
    found = await call.services.store.history.deliveries_with_attempts(wanted, call.scope)
    if not found:
        raise not_found("delivery")
    [(delivery, attempts)] = found
    body_sent = await _body_sent(call, delivery, attempts)
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    return Reply(
        DeliveryDetailView(
            **fields_of_delivery(call, delivery),
            attempts=[attempt_view(attempt, endpoint) for attempt in attempts],
            body_sent=None if body_sent is None else msgspec.Raw(body_sent),
        )
    )


async def _body_sent(call: Call, delivery: Delivery, attempts: Sequence[Attempt]) -> bytes | None:
    """Return the body of the last attempt, or of one that would be made now; None when it is not known."""
    at_ms = attempts[-1].started_ms if attempts else call.now_ms
    endpoint = await call.services.registry.endpoint_at(delivery.endpoint_id, at_ms)
    event = await call.services.store.history.event(delivery.event_id, call.scope)
    if endpoint is None or event is None:
        return None
    return sent_body(event.body, call.services.registry.event_type(event.type), endpoint.properties)


async def retry_delivery(call: Call) -> Reply:
    delivery = await _find(call)
    if not can_retry(delivery.state):
        raise Problem(409, "This delivery is delivered; to send the event again, start a replay.")
    check_can_send(call.services.registry.endpoint(delivery.endpoint_id))
    changed = await call.services.store.queue.requeue([delivery.id], now_ms=call.now_ms)
    if not changed:
        raise Problem(409, "This delivery is being sent now; try again in a moment.")
    call.services.dispatcher.wake()
    view = delivery_view(call, await _find(call))
    return Reply(view, 202, {"Location": f"/v1/deliveries/{view.id}"})


def check_can_send(endpoint: Endpoint | None) -> None:
    """Raise Problem 409 when nothing would be sent to the endpoint of a delivery: it is off or was deleted."""
    if endpoint is not None and endpoint.deleted_ms is not None:
        raise Problem(409, "The endpoint of this delivery was deleted, so it cannot be retried.")
    if endpoint is not None and not endpoint.enabled:
        why = "it answered 410 Gone" if endpoint.disabled_reason == "gone" else "nothing is sent to it"
        raise Problem(409, f"The endpoint of this delivery is off ({why}); switch it on, then retry.")
    if endpoint is not None and endpoint.paused:
        raise Problem(409, "The endpoint of this delivery is paused; resume it, then retry.")


async def cancel_delivery(call: Call) -> Reply:
    delivery = await _find(call)
    if not can_cancel(delivery.state):
        raise Problem(409, f"This delivery is {delivery.state}; only a pending one can be cancelled.")
    await call.services.store.queue.cancel([delivery.id], reason="cancelled_by_user", now_ms=call.now_ms)
    call.services.dispatcher.wake()
    return Reply(delivery_view(call, await _find(call)))


async def _find(call: Call) -> Delivery:
    delivery = await call.services.store.history.delivery(call.id("dlv", "delivery"), call.scope)
    if delivery is None:
        raise not_found("delivery")
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    name = None if endpoint is None else f"to {endpoint.name}"
    call.is_about(delivery.client_id, ids.encode("dlv", delivery.id), name=name)
    return delivery


_TAG = "Deliveries"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/deliveries",
        name="listDeliveries",
        summary="List deliveries",
        tag=_TAG,
        needs="read",
        run=list_deliveries,
        query=DeliveriesQuery,
        answers={200: Listing[DeliveryView]},
        problems=(422,),
        description=(
            "Newest first. `state=dead` lists the dead letters. `expand=true` adds event, endpoint and last attempt."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/deliveries/{id}",
        name="getDelivery",
        summary="Read a delivery and its attempts",
        tag=_TAG,
        needs="read",
        run=get_delivery,
        answers={200: DeliveryDetailView},
        problems=(404,),
        description=(
            "Each attempt has its time, its duration and the answer. `body_sent` is made from the event and from the "
            "endpoint as it was at the time of the last attempt."
        ),
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/{id}/retry",
        name="retryDelivery",
        summary="Retry a delivery now",
        tag=_TAG,
        needs="manage",
        run=retry_delivery,
        answers={202: DeliveryView},
        problems=(404, 409),
        description=(
            "A dead or cancelled delivery gets all its retries again; a pending one is due now. 409: it is delivered "
            "or being sent now, or its endpoint was deleted or is off."
        ),
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/{id}/cancel",
        name="cancelDelivery",
        summary="Cancel a delivery",
        tag=_TAG,
        needs="manage",
        run=cancel_delivery,
        answers={200: DeliveryView},
        problems=(404, 409),
        description="There are no more attempts, but one in progress is not stopped. A retry starts it again.",
    ),
)
