"""One endpoint: how it is doing, what was sent to it, how it is set."""

from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response

from commerce_event.admin.health import condition_of
from commerce_event.admin.labels import Label, label_of
from commerce_event.admin.number_format import lasting
from commerce_event.admin.page import Page
from commerce_event.admin.plots import Series, columns
from commerce_event.admin.screens.endpoints import hour_of
from commerce_event.api.response_models import DeliveryView, EndpointView
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.model import Attempt, Endpoint
from commerce_event.core.problems import Problem
from commerce_event.web.highlight import json_text

_LOG: Final = 20
_STATES: Final = ("pending", "delivered", "dead", "cancelled")


class Logged(msgspec.Struct, frozen=True):
    """A delivery in a list: what it is about, and its last attempt without what came back."""

    delivery: DeliveryView
    type: str
    label: Label
    last: Attempt | None


async def one_endpoint(page: Page) -> Response:
    path = {"id": page.id()}
    endpoint: EndpointView = await page.call("getEndpoint", path=path)
    activity = await page.call(
        "readActivity", query={"endpoint_id": endpoint.id, "span": page.query.get("span", "hour")}
    )
    state = page.query["state"] if page.query["state"] in _STATES else None
    log = await page.call(
        "listDeliveries",
        query={"endpoint_id": endpoint.id, "limit": _LOG, "state": state, "cursor": page.query.get("cursor")},
    )
    own = _own(page, endpoint)
    return page.show(
        "endpoint.html",
        endpoint=endpoint,
        name=name_of(endpoint),
        secret=page.reveal.take(page.request),
        stats=await page.call("endpointStats", path=path),
        condition=condition_of(own, page.services.dispatcher.health(own.id), (await hour_of(page)).get(own.id)),
        log=await logged(page, log.items),
        states=_STATES,
        state_wanted=state,
        next_url=page.here(cursor=log.next_cursor) if log.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
        kinds=kinds_of(endpoint),
        filter_text="" if endpoint.filter is None else json_text(endpoint.filter),
        time_limit=_time_limit(page, endpoint),
        retries=_retries(page, endpoint),
        span=page.query.get("span", "hour"),
        activity=activity,
        flow=columns(
            "Attempts by result",
            [step.start for step in activity.items],
            [
                Series("delivered", "good", [step.delivered for step in activity.items]),
                Series("failed", "bad", [step.failed for step in activity.items]),
            ],
        ),
    )


async def logged(page: Page, deliveries: list[DeliveryView]) -> list[Logged]:
    """Return deliveries with what each is about and its last attempt, read for all of them at once."""
    store = page.services.store
    numbers = {each.id: (ids.decode("dlv", each.id), ids.decode("evt", each.event_id)) for each in deliveries}
    events = await store.history.events_by_id([event for _, event in numbers.values()], page.session.key.scope)
    last = await store.history.last_attempts([delivery for delivery, _ in numbers.values()])
    found = []
    for each in deliveries:
        delivery_id, event_id = numbers[each.id]
        event = events.get(event_id)
        label = Label() if event is None else label_of(event.type, event.body)
        found.append(Logged(each, "" if event is None else event.type, label, last.get(delivery_id)))
    return found


def name_of(endpoint: EndpointView | Endpoint) -> str:
    """Return what people call an endpoint, else the host of its URL."""
    return endpoint.description or urlsplit(endpoint.url).netloc


def kinds_of(endpoint: EndpointView) -> list[str]:
    """Return the names of the event types that the endpoint takes."""
    wanted = set(endpoint.event_types)
    return [each.name for each in EVENT_TYPES.values() if wanted & {"*", each.category, each.name}]


def _own(page: Page, view: EndpointView) -> Endpoint:
    endpoint = page.services.registry.endpoint(ids.decode("end", view.id))
    if endpoint is None:
        raise Problem(404, "There is no such endpoint.")
    return endpoint


def _time_limit(page: Page, endpoint: EndpointView) -> str:
    if endpoint.timeout_s is not None:
        return f"{endpoint.timeout_s:g} s"
    return f"{page.services.settings.timeout_s:g} s, the server's"


def _retries(page: Page, endpoint: EndpointView) -> str:
    own = endpoint.retry_schedule
    delays = page.services.settings.retry_schedule_s if own is None else own
    if not delays:
        return "none"
    whose = ", the server's" if own is None else ""
    count = f"{len(delays)} retr{'ies' if len(delays) > 1 else 'y'} within {_delay(sum(delays))}{whose}"
    return f"{count}: after {', '.join(map(_delay, delays))}"


def _delay(seconds: float) -> str:
    return lasting(seconds) if seconds >= 1 else f"{seconds:g} s"
