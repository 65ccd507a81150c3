"""One event: its deliveries to each endpoint, the reasons, and what a person can do about them."""

import asyncio
import shlex
from collections import Counter
from typing import Any, Final

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from commerce_event.admin.refresh import delivery_refresh_s
from commerce_event.admin.screen_context import LIVE_S, ROOT, ScreenContext, safe_next
from commerce_event.admin.screens.timelines import links_of
from commerce_event.admin.timeline import TimelineEntry, timeline
from commerce_event.api.explanations import ReasonView, RuleView
from commerce_event.api.response_models import MASK, DeliveryView, EndpointSummary, EventView, display_name
from commerce_event.contract.labels import label_of
from commerce_event.core import ids
from commerce_event.core.type_selection import describe_types
from commerce_event.web.commands import body_option, publish_command
from commerce_event.web.highlight import json_text, value_text
from commerce_event.web.payload import FOLDED_FROM, payload

_SUMMARY_WORDS: Final = {
    "delivered": "delivered to",
    "dead": "dead at",
    "pending": "pending at",
    "cancelled": "cancelled at",
}
_SET_BY_CURL: Final = frozenset({"host", "content-length"})


class DeliveryCard(msgspec.Struct, frozen=True):
    """A delivery and its timeline."""

    delivery: DeliveryView
    entries: list[TimelineEntry]
    failed: bool  # its last answer was a failure


class EndpointCard(msgspec.Struct, frozen=True):
    """An endpoint that the event was sent to. ``endpoint`` is what it is now, None when it was deleted."""

    reason: ReasonView
    name: str
    url: str
    url_then: str  # when the event was accepted; empty when it is the same
    endpoint: EndpointSummary | None
    deliveries: list[DeliveryCard]
    more: int  # deliveries that are not shown
    curl: str
    has_masked_headers: bool
    request: str  # the head of the request as it would be sent now; empty: there is none
    body_title: str  # empty: the body is the event's
    body: str  # empty: it is not known

    @property
    def state(self) -> str:
        return self.deliveries[0].delivery.state


async def show_event(context: ScreenContext) -> Response:
    path = {"id": context.path_id}
    event, explained = await asyncio.gather(
        context.call("getEvent", path=path), context.call("explainEvent", path=path, query={"expand": True})
    )
    sent_to = [_endpoint_card(context, event, reason) for reason in explained.endpoints if reason.deliveries]
    sent_to.sort(key=lambda card: (card.name.casefold(), card.reason.endpoint_id))  # so that cards keep their places
    body = bytes(event.data)
    states = {card.state for card in sent_to}
    return context.render(
        "event.html",
        event=event,
        label=label_of(event.type, body),
        links=links_of(body, event.client_id),
        summary=_summary(sent_to, len(explained.endpoints) + explained.left_out),
        tone="bad" if "dead" in states else "good" if states == {"delivered"} else "wait",
        payload=payload(body, whole=context.query["payload"] == "full"),
        sent_to=sent_to,
        not_sent_to=[
            (display_name(reason), reason, _why_not(reason)) for reason in explained.endpoints if not reason.deliveries
        ],
        left_out=explained.left_out,
        live_s=delivery_refresh_s(
            (each for reason in explained.endpoints for each in reason.deliveries), context.now_ms, LIVE_S
        ),
        curl=publish_command(context.origin, event.type, body, body_file=_body_file(event, body)),
        body_file=_body_file(event, body),
        description=context.catalogue.of_event(event.type).description,
        rule_text=_rule_text,
        refusal_id=_refusal_id(event),
    )


async def retry_delivery(context: ScreenContext) -> Response:
    delivery = await context.call("retryDelivery", path={"id": context.path_id})
    return context.redirect(_back(context, delivery), flash="The delivery is being retried now.")


async def cancel_delivery(context: ScreenContext) -> Response:
    delivery = await context.call("cancelDelivery", path={"id": context.path_id})
    return context.redirect(_back(context, delivery), flash="The delivery is cancelled.")


async def show_delivery(context: ScreenContext) -> Response:
    """Redirect to the event, which shows its deliveries."""
    delivery = await context.call("getDelivery", path={"id": context.path_id})
    return context.redirect(f"{ROOT}/events/{delivery.event_id}#{delivery.id}")


def _back(context: ScreenContext, delivery: DeliveryView) -> str:
    """Return the page that the button is on; by default the delivery itself."""
    back = context.field("back")
    return safe_next(back) if back else f"{ROOT}/events/{delivery.event_id}#{delivery.id}"


def _refusal_id(event: EventView) -> str:
    """Return the refused event that this one was accepted from: its id is the idempotency key. Empty: none."""
    try:
        ids.decode("rfs", event.idempotency_key or "")
    except ids.InvalidIdError:
        return ""
    return event.idempotency_key or ""


def _endpoint_card(context: ScreenContext, event: EventView, reason: ReasonView) -> EndpointCard:
    shown = [each for each in reason.deliveries if each.attempts is not UNSET]
    url = reason.url if reason.endpoint is None else reason.endpoint.url
    cards = []
    for delivery in shown:
        entries = timeline(
            delivery,
            url=url,
            retries=reason.retries,
            accepted_with_event=delivery.created_at == event.accepted_at,
            now_ms=context.now_ms,
            held=reason.held if delivery is reason.deliveries[0] else None,
            is_newest=delivery is reason.deliveries[0],
        )
        attempts = [] if delivery.attempts is UNSET else delivery.attempts
        last = attempts[-1].status if attempts else 200
        failed = delivery.state != "delivered" and (last is None or not 200 <= last <= 299)
        cards.append(DeliveryCard(delivery, entries, failed))
    headers = reason.request.headers if reason.request else []
    body = reason.request.body if reason.request and reason.request.body is not UNSET else event.data
    body_file = _body_file(event, bytes(body)) if body is event.data else ""  # a part of it cannot be downloaded
    sent = None if reason.body_sent is UNSET else reason.body_sent
    return EndpointCard(
        reason=reason,
        name=display_name(reason),
        url=url,
        url_then=reason.url if reason.url != url else "",
        endpoint=reason.endpoint,
        deliveries=cards,
        more=len(reason.deliveries) - len(cards),
        curl=_request_command(url, headers, bytes(body), body_file) if headers else "",
        has_masked_headers=any(value == MASK and name != "webhook-signature" for name, value in headers),
        request="\n".join([f"POST {url}", *(f"{name}: {value}" for name, value in headers)]) if headers else "",
        body_title=_body_title(reason),
        body="" if sent is None else json_text(bytes(sent)),
    )


def _body_title(reason: ReasonView) -> str:
    """Return what to call the body of an endpoint that does not get the whole event; empty for one that does."""
    if reason.body_sent is UNSET:
        return ""
    is_sent = reason.deliveries[0].attempts not in (UNSET, [])
    newest = " by the newest delivery" if len(reason.deliveries) > 1 else ""
    return f"Body {'sent' if is_sent else 'to be sent'}{newest}"


def _summary(sent_to: list[EndpointCard], endpoints: int) -> str:
    """Return the state of the event in words, such as ``Delivered to 2, dead at 1.``"""
    counts = Counter(card.state for card in sent_to)
    parts = [f"{words} {counts[state]}" for state, words in _SUMMARY_WORDS.items() if counts[state]]
    if not parts:
        return "No endpoint matched." if endpoints else "The client had no endpoint."
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _why_not(reason: ReasonView) -> str:
    """Return why an endpoint did not get the event."""
    return "; ".join(_failed_rule(rule) for rule in reason.rules if not rule.passed) or reason.verdict


def _failed_rule(rule: RuleView) -> str:
    if rule.name == "type":
        return f"type not subscribed: it takes {_types_text(rule.wanted)}"
    if rule.name == "application":
        has = "none" if rule.found is None else rule.found
        return f"another application: it subscribes to {rule.wanted}, the event has {has}"
    if rule.name == "filter":
        return f"its filter does not match: {value_text(rule.wanted)}"
    if rule.name == "enabled":
        return "the endpoint was off"
    if rule.name == "existed":
        return "the endpoint was created after this event"
    return f"{rule.name} did not match"


def _types_text(wanted: Any) -> str:
    """Return the types that the type rule selects, with those that are left out."""
    if isinstance(wanted, dict):
        return describe_types(wanted["event_types"], wanted["except"])
    return describe_types(wanted, ())


def _rule_text(value: object, blank: str) -> str:
    """Return what a rule compares as text: lists with commas, and ``blank`` for null or an empty list."""
    if isinstance(value, dict) and value.keys() == {"event_types", "except"}:
        return _types_text(value)
    if value is None or value == []:
        return blank
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(value_text, value)) if isinstance(value, list) else value_text(value)


def _body_file(event: EventView, body: bytes) -> str:
    """Return the name of the file that a command reads a long body from; empty for one that stands in the command."""
    return f"{event.id}.json" if len(body) > FOLDED_FROM else ""


def _request_command(url: str, headers: list[tuple[str, str]], body: bytes, body_file: str) -> str:
    """Return the request as a curl command."""
    lines = [f"curl -X POST {shlex.quote(url)}"]
    lines += [f"  -H {shlex.quote(f'{name}: {value}')}" for name, value in headers if name not in _SET_BY_CURL]
    return " \\\n".join([*lines, f"  {body_option(body, body_file)}"])
