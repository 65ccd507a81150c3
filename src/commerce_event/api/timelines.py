"""Timelines: all events of an order, a part, a customer or a company, and what each receiver has of them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import EndpointSummary, display_name, endpoint_summary, shown_time
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Attempt, Delivery, DeliveryState, Endpoint, Event, Scope
from commerce_event.core.problems import Problem, invalid
from commerce_event.core.search_words import words
from commerce_event.core.timelines import (
    PROPERTIES,
    Cell,
    Identifier,
    Receiver,
    ReceiverVerdict,
    TimelineEvent,
    TimelineKind,
    Tone,
    best_identifier,
    cells_of,
    identifiers,
    joined,
    judge,
    judge_receiver,
    ordered,
    subjects,
    summary_text,
)
from commerce_event.store.model import EventQuery, Page

VALUE_MAX: Final = 200  # characters, as of a search
EVENTS_MAX: Final = 200
ROUNDS_MAX: Final = 4  # of searches: each looks for the identifiers that the one before has found
SEARCHES_MAX: Final = 4  # in a round
CANDIDATES_MAX: Final = 1_000  # events that a search reads
DELIVERIES_MAX: Final = 5_000
CLIENTS_MAX: Final = 50
NOT_SENT_MAX: Final = 50  # endpoints that got nothing
_BYTES_MAX: Final = 8 * 1024 * 1024  # of events that a search reads
_STEP: Final = 32  # events read at first; then as many as fit in the bytes left
_KINDS: Final[dict[str, TimelineKind]] = {kind: kind for kind in PROPERTIES}
# Their identifiers are small numbers, which many other values begin with: only types that have them are searched.
_BY_TYPE: Final = frozenset({"customer", "company"})
SUBJECTS: Final[Mapping[TimelineKind, str]] = {
    "order": "Order", "part": "Part", "customer": "Customer", "company": "Company",
}  # fmt: skip


class TimelineQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which order, part, customer or company."""

    value: Annotated[str, Meta(min_length=1, max_length=VALUE_MAX, examples=["SO-10023"])]
    client_id: Int32 | None = None
    property: Annotated[str, Meta(max_length=40)] | None = None


class IdentifierView(msgspec.Struct, frozen=True):
    """A property that identifies the subject, with its value as text."""

    property: str
    value: str


class TimelineClientView(msgspec.Struct, frozen=True):
    """A client that has events with the value, of those that were found."""

    client_id: int
    events: int


class TimelineDeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an event at a receiver: of its deliveries, the one that counts."""

    id: str
    endpoint_id: str
    state: DeliveryState
    attempt_count: int
    latency_ms: int | None
    late: bool
    next_attempt_at: str | None
    sending: bool
    reason: str | None
    last_status: int | None
    last_error: str | None
    replay_id: str | None


class TimelineEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the timeline."""

    id: str
    type: str
    accepted_at: str
    deliveries: list[TimelineDeliveryView]


class ReceiverView(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver, and what it has of the events that were for it."""

    endpoint_id: str
    name: str
    endpoint: EndpointSummary | None
    verdict: str
    tone: Tone
    events: int
    delivered: int
    pending: int
    dead: int
    cancelled: int
    late: int


class TimelineView(msgspec.Struct, frozen=True, kw_only=True):
    """A timeline: the verdict, what identifies the subject, what each receiver has, and the events, newest first."""

    kind: TimelineKind
    title: str
    client_id: int | None
    identifiers: list[IdentifierView]
    verdict: str
    tone: Tone
    in_progress: bool
    summary: str
    more: bool
    clients: list[TimelineClientView]
    others: list[IdentifierView]
    receivers: list[ReceiverView]
    not_sent_to: list[EndpointSummary]
    events: list[TimelineEventView]


class _Search:
    """The events that were found so far, without their bodies."""

    def __init__(self, call: Call, kind: TimelineKind) -> None:
        self.events: dict[int, TimelineEvent] = {}
        self.clients: dict[int, int] = {}  # by event
        self.of_events: dict[int, frozenset[Identifier]] = {}
        self.is_complete = True
        self._call = call
        self._kind = kind
        self._types = _types(call, kind)

    async def add(self, scope: Scope, value: str, wanted: Iterable[Identifier]) -> None:
        """Search for a value, and add the events that have one of these identifiers."""
        query = EventQuery(scope=scope, types=self._types, text=value, whole_words=True)
        exact = frozenset(wanted)
        read = size = 0
        before: int | None = None
        step = _STEP
        while True:
            some = await self._call.services.store.history.events(query, Page(step, before))
            for each in some:
                self._add(each, exact)
                await asyncio.sleep(0)  # a large event takes milliseconds
            read += len(some)
            size += sum(len(each.body) for each in some)
            if len(some) < step:
                return
            if read >= CANDIDATES_MAX or size >= _BYTES_MAX:
                self.is_complete = False
                return
            before = some[-1].id
            step = max(1, min(CANDIDATES_MAX - read, EVENTS_MAX, (_BYTES_MAX - size) * read // max(1, size)))

    def _add(self, event: Event, exact: frozenset[Identifier]) -> None:
        found = identifiers(self._kind, event.body)
        if not exact.isdisjoint(found):
            self.events[event.id] = TimelineEvent(id=event.id, type=event.type, accepted_ms=event.accepted_ms)
            self.clients[event.id] = event.client_id
            self.of_events[event.id] = found

    def keep(self, client_id: int) -> None:
        """Forget the events of other clients."""
        for event_id in [each for each, owner in self.clients.items() if owner != client_id]:
            del self.events[event_id], self.clients[event_id], self.of_events[event_id]

    async def follow(self, scope: Scope, start: Identifier) -> frozenset[Identifier]:
        """Search for what the first identifier is connected with, round by round; return the identifiers."""
        searched = {start.value}
        for _ in range(ROUNDS_MAX - 1):
            known = joined(self.of_events, [start])
            left = [each for each in ordered(self._kind, known) if each.value not in searched and _can_search(each)]
            if not left:
                return known
            for each in left[:SEARCHES_MAX]:
                searched.add(each.value)
                await self.add(scope, each.value, known)
        known = joined(self.of_events, [start])
        if any(each.value not in searched and _can_search(each) for each in known):
            self.is_complete = False
        return known


def _can_search(identifier: Identifier) -> bool:
    return len(identifier.value) <= VALUE_MAX and bool(words(identifier.value))


def _types(call: Call, kind: TimelineKind) -> tuple[str, ...]:
    """Return the types to search; none means all."""
    if kind not in _BY_TYPE:
        return ()
    names = set(PROPERTIES[kind])
    return tuple(each.name for each in call.services.registry.catalogue.types.values() if names & each.properties)


async def read_timeline(call: Call) -> Reply:
    kind = _KINDS.get(call.path["kind"])
    if kind is None:
        raise Problem(404, f"There is no such kind of timeline; there are {', '.join(_KINDS)}.")
    query: TimelineQuery = call.query
    value = query.value.strip()
    if not words(value):
        raise invalid("?value", "write at least one letter or digit")
    names = PROPERTIES[kind]
    if query.property is not None and query.property not in names:
        raise invalid("?property", f"name one of {', '.join(names)}")
    scope = scope_for(call, query.client_id)
    search = _Search(call, kind)
    await search.add(scope, value, [Identifier(name, value) for name in names])
    if query.property is not None and query.client_id is None:
        _keep_property(search, Identifier(query.property, value))
    clients = _clients(search)
    if len(clients) > 1:
        return Reply(_to_choose(kind, value, clients, more=not search.is_complete))
    found = subjects(kind, search.of_events, value)
    start = next((each for each, _ in found if query.property in (None, each.property)), None)
    if start is None and query.property is not None:  # it is known by another property of the same subject
        start = next((each for each, known in found if Identifier(query.property, value) in known), None)
    if start is None:
        raise _not_found(kind, value)
    client_id = clients[0].client_id
    known = await search.follow(Scope.of(client_id), start)
    others = [IdentifierView(each.property, each.value) for each, _ in found if each not in known]
    return Reply(await _view(call, kind, client_id, search, known, others))


def _keep_property(search: _Search, identifier: Identifier) -> None:
    """Keep the clients that have the value in this property."""
    owners = {search.clients[event_id] for event_id, found in search.of_events.items() if identifier in found}
    for client_id in set(search.clients.values()) - owners:
        for event_id in [each for each, owner in search.clients.items() if owner == client_id]:
            del search.events[event_id], search.clients[event_id], search.of_events[event_id]


def _not_found(kind: TimelineKind, value: str) -> Problem:
    names = ", ".join(PROPERTIES[kind])
    return Problem(
        404,
        f"No stored event that your key may read has “{value}” as {names}: it may be older than the retention, "
        "refused, or of another client.",
    )


def _clients(search: _Search) -> list[TimelineClientView]:
    counts: dict[int, int] = {}
    for client_id in search.clients.values():
        counts[client_id] = counts.get(client_id, 0) + 1
    return [TimelineClientView(client_id, count) for client_id, count in sorted(counts.items())]


def _to_choose(kind: TimelineKind, value: str, clients: list[TimelineClientView], *, more: bool) -> TimelineView:
    """Return the clients that have events with the value: the caller names one."""
    title = f"{SUBJECTS[kind]} {value}"
    article = "an" if kind == "order" else "a"
    text = f"{len(clients)} clients have {article} {kind} of this name: name one with client_id"
    return TimelineView(
        kind=kind, title=title, client_id=None, identifiers=[], verdict=text, tone="", in_progress=False,
        summary=f"{title}: {text}.\n", more=more or len(clients) > CLIENTS_MAX, clients=clients[:CLIENTS_MAX],
        others=[], receivers=[], not_sent_to=[], events=[],
    )  # fmt: skip


async def _view(
    call: Call,
    kind: TimelineKind,
    client_id: int,
    search: _Search,
    known: frozenset[Identifier],
    others: list[IdentifierView],
) -> TimelineView:
    own = [event for number, event in search.events.items() if not known.isdisjoint(search.of_events[number])]
    own.sort(key=lambda each: each.id, reverse=True)
    shown = own[:EVENTS_MAX]
    deliveries, attempts = await call.services.store.history.deliveries_of_events(
        [each.id for each in shown], Scope.of(client_id), limit=DELIVERIES_MAX
    )
    cells = cells_of(shown, deliveries)
    judged = [judge_receiver(_receiver(call, number), cells[number], call.now_ms) for number in sorted(cells)]
    verdict = judge(judged)
    best = best_identifier(kind, known)
    title = f"{SUBJECTS[kind]} {'' if best is None else best.value}"
    more = len(own) > EVENTS_MAX or not search.is_complete or len(deliveries) == DELIVERIES_MAX
    id_text = {each.id: ids.encode("evt", each.id) for each in shown}
    name = call.services.registry.client_name(client_id)
    client = f"client {client_id}" if name is None else f"{name}, client {client_id}"
    summary = summary_text(
        f"{title} ({client})", ordered(kind, known), verdict, judged, shown,
        now_ms=call.now_ms, id_text=id_text, more=more,
    )  # fmt: skip
    return TimelineView(
        kind=kind,
        title=title,
        client_id=client_id,
        identifiers=[IdentifierView(each.property, each.value) for each in ordered(kind, known)],
        verdict=verdict.text,
        tone=verdict.tone,
        in_progress=any(each.counts["pending"] for each in judged),
        summary=summary,
        more=more,
        clients=[TimelineClientView(client_id, len(own))],
        others=others,
        receivers=[_receiver_view(call, each) for each in judged],
        not_sent_to=_not_sent_to(call, client_id, cells),
        events=[_event_view(each, judged, attempts) for each in shown],
    )


def _receiver(call: Call, endpoint_id: int) -> Receiver:
    endpoint = call.services.registry.endpoint(endpoint_id)
    if endpoint is None:
        return Receiver(id=endpoint_id, name=ids.encode("end", endpoint_id))
    return Receiver(id=endpoint_id, name=display_name(endpoint), held=_held(call, endpoint))


def _held(call: Call, endpoint: Endpoint) -> str:
    if endpoint.deleted_ms is not None:
        return "the endpoint was deleted"
    if not endpoint.enabled:
        return "the endpoint is off"
    if endpoint.paused:
        return "the endpoint is paused"
    return "this server holds all deliveries" if call.services.settings.hold_deliveries else ""


def _receiver_view(call: Call, judged: ReceiverVerdict) -> ReceiverView:
    return ReceiverView(
        endpoint_id=ids.encode("end", judged.receiver.id),
        name=judged.receiver.name,
        endpoint=endpoint_summary(call.services.registry.endpoint(judged.receiver.id)),
        verdict=judged.text,
        tone=judged.tone,
        events=len(judged.cells),
        delivered=judged.counts["delivered"],
        pending=judged.counts["pending"],
        dead=judged.counts["dead"],
        cancelled=judged.counts["cancelled"],
        late=len(judged.late),
    )


def _not_sent_to(call: Call, client_id: int, cells: Mapping[int, object]) -> list[EndpointSummary]:
    """Return the client's endpoints that no event of the timeline was sent to."""
    present = call.services.registry.endpoints(Scope.of(client_id))
    summaries = [endpoint_summary(each) for each in present if each.id not in cells]
    return [each for each in summaries if each is not None][:NOT_SENT_MAX]


def _event_view(
    event: TimelineEvent, judged: Sequence[ReceiverVerdict], attempts: Mapping[int, Attempt]
) -> TimelineEventView:
    found = [(each.receiver.id, each.cells[event.id]) for each in judged if event.id in each.cells]
    return TimelineEventView(
        id=ids.encode("evt", event.id),
        type=event.type,
        accepted_at=rfc3339(event.accepted_ms),
        deliveries=[_delivery_view(endpoint_id, cell, attempts.get(cell.delivery.id)) for endpoint_id, cell in found],
    )


def _delivery_view(endpoint_id: int, cell: Cell, last: Attempt | None) -> TimelineDeliveryView:
    delivery: Delivery = cell.delivery
    return TimelineDeliveryView(
        id=ids.encode("dlv", delivery.id),
        endpoint_id=ids.encode("end", endpoint_id),
        state=cell.state,
        attempt_count=delivery.attempt_count,
        latency_ms=cell.latency_ms,
        late=cell.is_late,
        next_attempt_at=None if delivery.leased else shown_time(delivery.due_ms),
        sending=delivery.leased,
        reason=delivery.reason,
        last_status=None if last is None else last.status,
        last_error=None if last is None else last.error,
        replay_id=None if delivery.replay_id is None else ids.encode("rpl", delivery.replay_id),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/timelines/{kind}",
        name="readTimeline",
        summary="Read the timeline of an order, a part, a customer or a company",
        tag="Events",
        needs="read",
        run=read_timeline,
        query=TimelineQuery,
        answers={200: TimelineView},
        problems=(404, 422),
        description=(
            "All events about one thing, and what each receiver has of them. `kind` is `order`, `part`, `customer` or "
            "`company`. Events of an order share OrderNo, ErpOrderNo, ClientOrderRef or OrderId, from event to event: "
            "each is compared only with itself. A value that several clients have answers with `clients` alone; name "
            "one with `client_id`. When it is an identifier of several orders of the client, `others` has those that "
            "are not shown; choose one with `property`. At most the newest "
            f"{EVENTS_MAX} events; `more` is true when there are or may be others. The latency is the time from the "
            "acceptance of an event until the receiver had it; above a minute it is late."
        ),
    ),
)
