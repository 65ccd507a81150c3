"""One endpoint: its condition, its deliveries and its settings."""

from typing import Final

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from commerce_event.admin.charts import Series, column_chart
from commerce_event.admin.number_format import duration
from commerce_event.admin.payload_selection import payload_text
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.response_models import AttemptSummary, DeliveryView, EndpointSummary, EndpointView, display_name
from commerce_event.api.system import NodeView
from commerce_event.contract.catalogue import Catalogue
from commerce_event.contract.labels import EventLabel, label_of
from commerce_event.core.clock import parse_rfc3339, rfc3339
from commerce_event.core.durations import setting_duration
from commerce_event.web.highlight import json_text

_PAGE_SIZE: Final = 20
_STATES: Final = ("pending", "delivered", "dead", "cancelled")


class DeliveryRow(msgspec.Struct, frozen=True):
    """A delivery in a list, with the subject of its event and its last attempt."""

    delivery: DeliveryView
    type: str
    label: EventLabel
    endpoint: EndpointSummary | None
    last: AttemptSummary | None


async def show_endpoint(context: ScreenContext) -> Response:
    path = {"id": context.path_id}
    span = context.query.get("span", "hour")
    endpoint: EndpointView = await context.call("getEndpoint", path=path)
    activity = await context.call("readActivity", query={"endpoint_id": endpoint.id, "span": span})
    last_hour = activity
    if span != "hour":
        last_hour = await context.call("readActivity", query={"endpoint_id": endpoint.id, "span": "hour"})
    state = context.query["state"] if context.query["state"] in _STATES else None
    cursor = context.query.get("cursor")
    deliveries = await context.call(
        "listDeliveries",
        query={"endpoint_id": endpoint.id, "limit": _PAGE_SIZE, "state": state, "cursor": cursor, "expand": True},
    )
    node: NodeView = await context.call("readNode")
    stats = await context.call("endpointStats", path=path)
    timeout = f"{node.timeout_s:g} s (server default)" if endpoint.timeout_s is None else f"{endpoint.timeout_s:g} s"
    return context.render(
        "endpoint.html",
        endpoint=endpoint,
        name=display_name(endpoint),
        secret=context.one_time_secret.take(context.request),
        stats=stats,
        last_hour=last_hour,
        actions=actions_for(endpoint),
        missed_since=missed_since(context),
        old_secret_end=max((each.expires_at for each in endpoint.secrets if each.expires_at), default=None),
        deliveries=delivery_rows(deliveries.items),
        states=_STATES,
        chosen_state=state,
        next_url=context.url_with(cursor=deliveries.next_cursor) if deliveries.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
        type_names=type_names(context.catalogue, endpoint),
        filter_text="" if endpoint.filter is None else json_text(endpoint.filter),
        payload=payload_text(endpoint.properties),
        timeout=timeout,
        retries=_retries(endpoint.retry_schedule, node.retry_schedule),
        span=span,
        activity=activity,
        attempts_chart=column_chart(
            "Attempts by result",
            [step.start for step in activity.items],
            [
                Series("delivered", "good", [step.delivered for step in activity.items]),
                Series("failed", "bad", [step.failed for step in activity.items]),
            ],
        ),
    )


def actions_for(endpoint: EndpointView) -> list[tuple[str, str]]:
    """Return what a person can do to the endpoint as it is now: the end of the path, and the label of the button."""
    if not endpoint.enabled:
        return [("on", "Switch on"), ("delete", "Delete")]
    change = ("resume", "Resume") if endpoint.paused else ("pause", "Pause")
    return [change, ("off", "Switch off"), ("delete", "Delete")]


def missed_since(context: ScreenContext) -> str:
    """Return the time since when the endpoint may have missed events, from the address; empty without one."""
    try:
        return rfc3339(parse_rfc3339(context.query["missed_since"]))
    except (ValueError, OverflowError):
        return ""


def delivery_rows(deliveries: list[DeliveryView]) -> list[DeliveryRow]:
    """Return the rows of deliveries that were listed with ``expand``."""
    rows = []
    for each in deliveries:
        event = None if each.event is UNSET else each.event
        endpoint = None if each.endpoint is UNSET else each.endpoint
        last = None if each.last_attempt is UNSET else each.last_attempt
        label = EventLabel() if event is None else label_of(event.type, bytes(event.data))
        rows.append(DeliveryRow(each, "" if event is None else event.type, label, endpoint, last))
    return rows


def type_names(catalogue: Catalogue, endpoint: EndpointView) -> list[str]:
    """Return the names of the event types that the endpoint subscribes to."""
    return [each.name for each in catalogue.select(endpoint.event_types, endpoint.except_types)]


def _retries(own: list[float] | None, default: list[float]) -> str:
    """Return the retry schedule as text, such as ``2 retries within 3 min: after 1 min, 2 min``."""
    delays = default if own is None else own
    if not delays:
        return "none"
    total_s = sum(delays)
    total = duration(total_s) if total_s >= 1 else f"{total_s:g} s"
    source = " (server default)" if own is None else ""
    count = f"{len(delays)} retr{'ies' if len(delays) > 1 else 'y'} within {total}{source}"
    return f"{count}: after {', '.join(map(setting_duration, delays))}"
