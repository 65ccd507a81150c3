"""The timeline of an order, a part, a customer or a company: its events, and which receivers have them. Pure.

Events belong together when they share an identifier of the kind: an order has several, so events of one order are
joined from identifier to identifier. Two identifiers are the same only when property and value are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from commerce_event.core.causes import reason_in_words
from commerce_event.core.durations import duration_text
from commerce_event.core.model import Delivery, DeliveryState
from commerce_event.core.search_words import words

TimelineKind = Literal["order", "part", "customer", "company"]
Tone = Literal["good", "wait", "bad", ""]

# The properties that identify each kind. The first that an event has is what people call it.
PROPERTIES: Final[Mapping[TimelineKind, tuple[str, ...]]] = MappingProxyType(
    {
        "order": ("OrderNo", "ErpOrderNo", "ClientOrderRef", "OrderId"),
        "part": ("PartNo",),
        "customer": ("CustomerId",),
        "company": ("CompanyId",),
    }
)
LATE_MS: Final = 60_000  # a delivery that arrived later than that after its event was accepted is late
NAMED_MAX: Final = 3  # receivers that a verdict names
_READ: Final = tuple(name for names in PROPERTIES.values() for name in names)
_DECODER: Final = msgspec.json.Decoder(msgspec.defstruct("_Identifiers", [(name, Any, None) for name in _READ]))
_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

EventId: TypeAlias = int


class Identifier(msgspec.Struct, frozen=True, order=True):
    """A property of an event that names what it is about, with its value as text."""

    property: str
    value: str


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a timeline."""

    id: EventId
    type: str
    accepted_ms: int


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that events of a timeline were sent to. ``held`` says why nothing is sent to it now."""

    id: int
    name: str
    held: str = ""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one event at one receiver: of its deliveries, the one that counts."""

    event: TimelineEvent
    delivery: Delivery
    state: DeliveryState

    @property
    def latency_ms(self) -> int | None:
        """The time from the acceptance of the event until the receiver had it; None while it does not."""
        if self.state != "delivered" or self.delivery.finished_ms is None:
            return None
        return max(0, self.delivery.finished_ms - self.event.accepted_ms)

    @property
    def is_late(self) -> bool:
        return (self.latency_ms or 0) > LATE_MS


class ReceiverVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver has of the events that were for it."""

    receiver: Receiver
    cells: Mapping[EventId, Cell]
    counts: Mapping[DeliveryState, int]
    late: tuple[Cell, ...]
    tone: Tone
    text: str

    @property
    def has_all(self) -> bool:
        return self.counts["delivered"] == len(self.cells)


class Verdict(msgspec.Struct, frozen=True):
    """The answer to "did they get it?" in one sentence, without a full stop."""

    tone: Tone
    text: str


def identifiers(kind: TimelineKind, body: bytes) -> frozenset[Identifier]:
    """Return what identifies the subject of an event; empty values identify nothing. Only these are decoded."""
    try:
        read = _DECODER.decode(body)
    except (ValueError, RecursionError):
        return frozenset()
    found = ((name, _text(getattr(read, name))) for name in PROPERTIES[kind])
    return frozenset(Identifier(name, text) for name, text in found if text.strip())


def _text(value: Any) -> str:
    """Return a string or a whole number as text; empty for everything else. Whole numbers are exact."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def named_by(kind: TimelineKind, body: bytes, text: str) -> list[Identifier]:
    """Return the identifiers of an event that a search text stands for: the same words, so that case does not count."""
    wanted = words(text)
    return [each for each in _in_order(kind, identifiers(kind, body)) if wanted and words(each.value) == wanted]


def joined(of_events: Mapping[EventId, frozenset[Identifier]], start: Iterable[Identifier]) -> frozenset[Identifier]:
    """Return every identifier that is connected with the first ones through events that share identifiers."""
    known = set(start)
    left = [each for each in of_events.values() if each]
    while True:
        touching = [each for each in left if not known.isdisjoint(each)]
        if not touching:
            return frozenset(known)
        left = [each for each in left if known.isdisjoint(each)]
        known.update(*touching)


def subjects(
    kind: TimelineKind, of_events: Mapping[EventId, frozenset[Identifier]], value: str
) -> list[tuple[Identifier, frozenset[Identifier]]]:
    """Return the different orders (parts, customers, companies) that have this value as an identifier.

    Each comes with the identifier that has the value, and with all that it is connected with. One value may be the
    number of one order and the id of another: the first in the order of PROPERTIES comes first.
    """
    found: list[tuple[Identifier, frozenset[Identifier]]] = []
    for name in PROPERTIES[kind]:
        identifier = Identifier(name, value)
        is_known = any(identifier in connected for _, connected in found)
        if not is_known and any(identifier in each for each in of_events.values()):
            found.append((identifier, joined(of_events, [identifier])))
    return found


def best_identifier(kind: TimelineKind, known: Collection[Identifier]) -> Identifier | None:
    """Return what people call the subject: the first property that it has, and the least of its values."""
    return next(iter(_in_order(kind, known)), None)


def ordered(kind: TimelineKind, known: Collection[Identifier]) -> list[Identifier]:
    """Return identifiers by property, then by value."""
    return _in_order(kind, known)


def _in_order(kind: TimelineKind, known: Collection[Identifier]) -> list[Identifier]:
    return sorted(known, key=lambda each: (PROPERTIES[kind].index(each.property), each.value))


def cells_of(events: Sequence[TimelineEvent], deliveries: Iterable[Delivery]) -> dict[int, dict[EventId, Cell]]:
    """Return the state of each event at each endpoint, by endpoint and event.

    Replays may have made several deliveries: the receiver has the event when one is delivered (the first that was
    counts); it gets it when one is pending; else the newest tells.
    """
    of = {event.id: event for event in events}
    grouped: dict[tuple[int, EventId], list[Delivery]] = {}
    for each in deliveries:
        if each.event_id in of:
            grouped.setdefault((each.endpoint_id, each.event_id), []).append(each)
    found: dict[int, dict[EventId, Cell]] = {}
    for (endpoint_id, event_id), group in grouped.items():
        chosen = _deciding(group)
        found.setdefault(endpoint_id, {})[event_id] = Cell(event=of[event_id], delivery=chosen, state=chosen.state)
    return found


def _deciding(deliveries: Sequence[Delivery]) -> Delivery:
    delivered = [each for each in deliveries if each.state == "delivered"]
    if delivered:
        return min(delivered, key=lambda each: (each.finished_ms or 0, each.id))
    pending = [each for each in deliveries if each.state == "pending"]
    return max(pending or deliveries, key=lambda each: each.id)


def judge_receiver(receiver: Receiver, cells: Mapping[EventId, Cell], now_ms: int) -> ReceiverVerdict:
    """Return what a receiver has: ``has all 5``, ``has 3 of 5; 2 dead``, ``has 4 of 5; waiting, next attempt …``."""
    counts: dict[DeliveryState, int] = {"delivered": 0, "pending": 0, "dead": 0, "cancelled": 0}
    for cell in cells.values():
        counts[cell.state] += 1
    late = tuple(sorted((cell for cell in cells.values() if cell.is_late), key=lambda cell: cell.event.id))
    parts = [_has(counts["delivered"], len(cells))]
    if counts["dead"]:
        parts.append(f"{counts['dead']:,} dead")
    if counts["pending"]:
        waiting = [cell.delivery for cell in cells.values() if cell.state == "pending"]
        parts.append(waiting_text(waiting, now_ms, held=receiver.held))
    if counts["cancelled"]:
        parts.append(f"{counts['cancelled']:,} cancelled")
    if late:
        parts.append(_late_text(late))
    tone: Tone = "bad" if counts["dead"] else "wait" if counts["pending"] or counts["cancelled"] else "good"
    return ReceiverVerdict(receiver=receiver, cells=cells, counts=counts, late=late, tone=tone, text="; ".join(parts))


def _has(delivered: int, total: int) -> str:
    if delivered == total:
        return "has it" if total == 1 else f"has all {total:,}"
    return "does not have it" if total == 1 else f"has {delivered:,} of {total:,}"


def _late_text(late: Sequence[Cell]) -> str:
    worst = max(late, key=lambda cell: cell.latency_ms or 0)
    more = f" (and {len(late) - 1:,} more)" if len(late) > 1 else ""
    return f"got {worst.event.type} {duration_text((worst.latency_ms or 0) / 1000)} late{more}"


def waiting_text(waiting: Sequence[Delivery], now_ms: int, *, held: str = "") -> str:
    """Return what pending deliveries wait for: ``sending now``, ``waiting, next attempt 14:05 UTC``."""
    if any(each.leased for each in waiting):
        return "sending now"
    if held:
        return f"waiting: {held}"
    due_ms = [each.due_ms for each in waiting if each.due_ms is not None]
    if not due_ms:
        return "waiting for an earlier event"
    if min(due_ms) <= now_ms:
        return "waiting, due now"
    return f"waiting, next attempt {clock_text(min(due_ms), now_ms)}"


def judge(receivers: Sequence[ReceiverVerdict]) -> Verdict:
    """Return the verdict over all receivers, such as ``all three receivers have it; the ERP got … 4 min late``."""
    if not receivers:
        return Verdict("", "no endpoint matched its events")
    lacking = [each for each in receivers if not each.has_all]
    late = [each for each in receivers if each.late]
    tone: Tone = "bad" if any(each.counts["dead"] for each in lacking) else "wait" if lacking else "good"
    if lacking:
        parts = [_share(len(receivers) - len(lacking), len(receivers))] if len(receivers) > 1 else []
        parts += [f"{each.receiver.name} {each.text.replace('; ', ', ')}" for each in lacking[:NAMED_MAX]]
        if len(lacking) > NAMED_MAX:
            parts.append(f"{len(lacking) - NAMED_MAX} more do not have all")
    elif len(receivers) == 1:
        return Verdict(tone, f"{receivers[0].receiver.name} {receivers[0].text}")
    else:
        both = "both receivers have it" if len(receivers) == 2 else f"all {_number(len(receivers))} receivers have it"
        parts = [both]
        parts += [f"{each.receiver.name} {_late_text(each.late)}" for each in late[:NAMED_MAX]]
        if len(late) > NAMED_MAX:
            parts.append(f"{len(late) - NAMED_MAX} more got an event late")
    return Verdict(tone, "; ".join(parts))


def _share(having: int, total: int) -> str:
    verb = "have" if having > 1 else "has"
    return f"{_number(having) if having else 'none'} of {_number(total)} receivers {verb} it"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"


def clock_text(ms: int, now_ms: int) -> str:
    """Return a time in UTC: ``14:05 UTC``, with its date on another day than now."""
    moment, now = datetime.fromtimestamp(ms / 1000, UTC), datetime.fromtimestamp(now_ms / 1000, UTC)
    clock = f"{moment:%H:%M} UTC"
    if moment.date() == now.date():
        return clock
    year = f" {moment:%Y}" if moment.year != now.year else ""
    return f"{moment.day} {moment:%b}{year}, {clock}"


def summary_text(
    title: str,
    known: Sequence[Identifier],
    verdict: Verdict,
    receivers: Sequence[ReceiverVerdict],
    events: Sequence[TimelineEvent],
    *,
    now_ms: int,
    id_text: Mapping[EventId, str],
    more: bool,
) -> str:
    """Return the timeline as plain text to paste into a ticket, the oldest event first. Control characters go."""
    lines = [
        f"{title}: {verdict.text}.",
        ", ".join(f"{each.property} {each.value}" for each in known),
        f"As of {_full_time(now_ms)}.",
        "",
    ]
    lines += [f"{each.receiver.name}: {each.text}" for each in receivers]
    lines.append("")
    if more:
        lines.append("(older events are left out)")
    for event in sorted(events, key=lambda each: each.id):
        lines.append(f"{_full_time(event.accepted_ms)}  {event.type}  {id_text[event.id]}")
        for each in receivers:
            cell = each.cells.get(event.id)
            if cell is not None:
                lines.append(f"    {each.receiver.name}: {cell_text(cell, now_ms, held=each.receiver.held)}")
    return "\n".join(_printable(line) for line in lines).rstrip() + "\n"


def cell_text(cell: Cell, now_ms: int, *, held: str = "") -> str:
    """Return the state of an event at a receiver in words: ``delivered after 4 min 10 s (late)``, ``dead: …``."""
    if cell.latency_ms is not None:
        late = " (late)" if cell.is_late else ""
        return f"delivered after {latency_text(cell.latency_ms)}{late}"
    if cell.state == "pending":
        attempts = cell.delivery.attempt_count
        tried = f", {attempts} attempt{'s' if attempts != 1 else ''} so far" if attempts else ""
        return f"pending, {waiting_text([cell.delivery], now_ms, held=held)}{tried}"
    reason = reason_in_words(cell.delivery.reason)
    return f"{cell.state}: {reason}" if reason else cell.state


def latency_text(latency_ms: float) -> str:
    """Return how long a delivery took: 120 ms, 2.3 s, 4 min 10 s."""
    if latency_ms < 1_000:
        return f"{latency_ms:.0f} ms"
    return f"{latency_ms / 1000:.1f} s" if latency_ms < 10_000 else duration_text(latency_ms / 1000)


def _full_time(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M:%S} UTC"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in text)
