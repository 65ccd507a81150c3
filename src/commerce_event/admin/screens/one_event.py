"""One event: what became of it at each endpoint, why, and what a person can do about it."""

import asyncio
import hashlib
import shlex
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response

from commerce_event.admin.labels import label_of
from commerce_event.admin.page import ROOT, Page, safe_next
from commerce_event.admin.screens.events import WORST_FIRST
from commerce_event.admin.timeline import Entry, timeline
from commerce_event.api.explanations import ReasonView, RuleView
from commerce_event.api.response_models import DeliveryView, EventView
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.model import Delivery, Endpoint
from commerce_event.store.model import Claimed, DeliveryQuery
from commerce_event.store.model import Page as Slice
from commerce_event.web.highlight import json_text, shown
from commerce_event.web.pages import HEADERS

_DELIVERIES: Final = 10  # of one endpoint, the newest; replays may have made many
_READ_MAX: Final = 1_000
_LOOK_AGAIN_S: Final = 2
_SAID_OF: Final = {
    "delivered": "delivered to",
    "dead": "dead at",
    "pending": "waiting for",
    "cancelled": "cancelled at",
}
_SET_BY_CURL: Final = frozenset({"host", "content-length"})


class Sent(msgspec.Struct, frozen=True):
    """A delivery and its life."""

    delivery: DeliveryView
    entries: list[Entry]
    failed: bool  # its newest answer was a failure


class Reached(msgspec.Struct, frozen=True):
    """An endpoint that the event was sent to. ``endpoint`` is what it is now, None when it was deleted."""

    reason: ReasonView
    name: str
    url: str
    url_then: str  # empty when it is the same
    endpoint: Endpoint | None
    sent: list[Sent]
    more: int  # deliveries that are not shown
    curl: str

    @property
    def state(self) -> str:
        return self.sent[0].delivery.state


async def one_event(page: Page) -> Response:
    path = {"id": page.id()}
    event, explained = await asyncio.gather(page.call("getEvent", path=path), page.call("explainEvent", path=path))
    seen = _seen(explained.endpoints)
    if page.is_part and page.query.get("seen") == seen:
        return Response(status_code=204, headers=HEADERS)  # so that nothing moves while nothing happens
    deliveries = await _deliveries(page, event)
    reached = [await _reached(page, event, reason, deliveries) for reason in explained.endpoints if reason.deliveries]
    reached.sort(key=lambda each: WORST_FIRST.index(each.sent[0].delivery.state))
    body = bytes(event.data)
    return page.show(
        "event.html",
        event=event,
        label=label_of(event.type, body),
        answer=_answer(reached, len(explained.endpoints)),
        tone=_tone(reached),
        payload=json_text(body),
        reached=reached,
        unreached=[(_name(page, r), r, _why_not(r)) for r in explained.endpoints if not r.deliveries],
        moving=any(each.state == "pending" for reason in explained.endpoints for each in reason.deliveries),
        look_again_s=_LOOK_AGAIN_S,
        seen=seen,
        curl=_publish_again(page, event.type, body),
        description=EVENT_TYPES[event.type].description,
    )


async def retry(page: Page) -> Response:
    delivery = await page.call("retryDelivery", path={"id": page.id()})
    return page.redirect(_back(page, delivery), said="The delivery is tried again now.")


async def cancel(page: Page) -> Response:
    delivery = await page.call("cancelDelivery", path={"id": page.id()})
    return page.redirect(_back(page, delivery), said="The delivery is cancelled.")


async def one_delivery(page: Page) -> Response:
    """A delivery is shown with its event."""
    delivery = await page.call("getDelivery", path={"id": page.id()})
    return page.redirect(f"{ROOT}/events/{delivery.event_id}#{delivery.id}")


def _back(page: Page, delivery: DeliveryView) -> str:
    """Return where the button was, by default the delivery itself."""
    wanted = page.text("back")
    return safe_next(wanted) if wanted else f"{ROOT}/events/{delivery.event_id}#{delivery.id}"


def _seen(reasons: list[ReasonView]) -> str:
    """Return a short text that changes when something happened to the event."""
    facts = [
        (each.id, each.state, each.attempt_count, each.next_attempt_at, reason.held)
        for reason in reasons
        for each in reason.deliveries
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


async def _deliveries(page: Page, event: EventView) -> dict[str, Delivery]:
    query = DeliveryQuery(scope=page.session.key.scope, event_id=ids.decode("evt", event.id))
    found = await page.services.store.history.deliveries(query, Slice(_READ_MAX))
    return {ids.encode("dlv", each.id): each for each in found}


async def _reached(page: Page, event: EventView, reason: ReasonView, deliveries: dict[str, Delivery]) -> Reached:
    shown_ones = [each for each in reason.deliveries if each.id in deliveries][:_DELIVERIES]
    endpoint = _endpoint(page, reason)
    live = None if endpoint is None or endpoint.deleted_ms is not None else endpoint
    url = reason.url if live is None else live.url
    return Reached(
        reason=reason,
        name=_name(page, reason),
        url=url,
        url_then=reason.url if reason.url != url else "",
        endpoint=live,
        sent=list(
            await asyncio.gather(*(_sent(page, event, reason, d, deliveries[d.id], endpoint) for d in shown_ones))
        ),
        more=len(reason.deliveries) - len(shown_ones),
        curl="" if live is None else _as_received(page, event, live, deliveries[shown_ones[0].id]),
    )


async def _sent(
    page: Page, event: EventView, reason: ReasonView, view: DeliveryView, delivery: Delivery, endpoint: Endpoint | None
) -> Sent:
    attempts = await page.services.store.history.attempts(delivery.id) if delivery.attempt_count else []
    own = None if endpoint is None else endpoint.retry_schedule_s
    entries = timeline(
        delivery,
        attempts,
        retries=len(page.services.settings.retry_schedule_s if own is None else own),
        born_with_event=view.created_at == event.accepted_at,
        now_ms=page.services.clock.now_ms(),
        held=reason.held if view is reason.deliveries[0] else None,
    )
    last = attempts[-1].status if attempts else 200
    return Sent(view, entries, delivery.state != "delivered" and (last is None or not 200 <= last <= 299))


def _endpoint(page: Page, reason: ReasonView) -> Endpoint | None:
    return page.services.registry.endpoint(ids.decode("end", reason.endpoint_id))


def _name(page: Page, reason: ReasonView) -> str:
    """Return what people call an endpoint, else the host of its URL."""
    endpoint = _endpoint(page, reason)
    return (endpoint.description if endpoint is not None else "") or urlsplit(reason.url).netloc


def _answer(reached: list[Reached], looked_at: int) -> str:
    counts = Counter(each.state for each in reached)
    parts = [f"{said} {counts[state]}" for state, said in _SAID_OF.items() if counts[state]]
    if not parts:
        return "Nobody wanted it." if looked_at else "There was nobody to send it to."
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _tone(reached: list[Reached]) -> str:
    states = {each.state for each in reached}
    if "dead" in states:
        return "bad"
    return "good" if states == {"delivered"} else "wait"


def _why_not(reason: ReasonView) -> str:
    """Return in words why an endpoint did not get the event."""
    failed = [_WORDS.get(rule.name, _other_rule)(rule) for rule in reason.rules if not rule.passed]
    return "; ".join(failed) or reason.verdict


def _type_rule(rule: RuleView) -> str:
    return f"type not wanted: it takes {', '.join(rule.wanted)}"


def _application_rule(rule: RuleView) -> str:
    has = "none" if rule.found is None else rule.found
    return f"another application: it takes {rule.wanted}, the event has {has}"


def _filter_rule(rule: RuleView) -> str:
    return f"its filter lets other events pass: {shown(rule.wanted)}"


def _other_rule(rule: RuleView) -> str:
    said = {"enabled": "the endpoint was off", "existed": "the endpoint was made after this event"}
    return said.get(rule.name, f"{rule.name} did not match")


_WORDS: Final = {"type": _type_rule, "application": _application_rule, "filter": _filter_rule}


def _as_received(page: Page, event: EventView, endpoint: Endpoint, delivery: Delivery) -> str:
    """Return the request that an attempt now would make, for a terminal. Who may only look gets no signature."""
    body = bytes(event.data)
    claimed = Claimed(
        delivery_id=delivery.id,
        endpoint_id=endpoint.id,
        number=max(1, delivery.attempt_count),
        failure_count=delivery.failure_count,
        run_id=0,
        lease_until_ms=0,
        replay_id=delivery.replay_id,
        event_id=delivery.event_id,
        client_id=delivery.client_id,
        sequence=event.sequence,
        type=event.type,
        traceparent=None,
        body=body,
    )
    headers = page.services.sender.request_preview(endpoint, claimed)
    lines = [f"curl -X POST {shlex.quote(endpoint.url)}"]
    for name, value in headers:
        known = value if page.may_change or name != "webhook-signature" else "***"
        if name not in _SET_BY_CURL:
            lines.append(f"  -H {shlex.quote(f'{name}: {known}')}")
    return " \\\n".join([*lines, f"  -d {shlex.quote(body.decode('utf-8', 'replace'))}"])


def _publish_again(page: Page, event_type: str, body: bytes) -> str:
    url = str(page.request.base_url).rstrip("/")
    return (
        f"curl -X POST {shlex.quote(f'{url}/v1/events/{event_type}')} \\\n"
        f'  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body.decode())}"
    )
