"""What publishing means, without the network: events on the wire, answers, errors, and the pace of requests."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from commerce_event_sdk.event import CommerceEvent, InvalidEventError, UnknownEvent

ID_MAX: Final = 256  # characters of an idempotency key
BATCH_EVENTS_MAX: Final = 1_000  # what the server takes in one request
_FIRST_PAUSE_S: Final = 0.1
_PAUSE_MAX_S: Final = 30.0


@dataclass(frozen=True)
class Accepted:
    """An event that the server has stored durably. ``duplicate``: it had stored it before, under the same key."""

    id: str
    duplicate: bool
    deliveries: int
    warnings: Sequence[tuple[str, str]] = ()
    """(JSON pointer, message) pairs: where the event breaks the contract, if its client only warns."""


@dataclass(frozen=True)
class NotAccepted:
    """An event that a closed client could not hand over. Publish it again with the same ``id``."""

    event_type: str
    event: CommerceEvent | UnknownEvent | Mapping[str, Any] = field(repr=False)
    id: str
    reason: str


class PublishError(Exception):
    """An event was not accepted."""


class EventRefusedError(PublishError):
    """The server refused the event: sending it again does not help.

    ``status`` is the HTTP status, ``title`` and ``detail`` say why, and ``errors`` are (JSON pointer, message) pairs.
    """

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status, title, detail, errors)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)

    def __str__(self) -> str:
        faults = "; ".join(f"{pointer or 'the event'} {message}" for pointer, message in self.errors)
        return f"{self.status} {self.title}: {self.detail}{f' ({faults})' if faults else ''}"


class RequestRefusedError(EventRefusedError):
    """The server refused the whole request, not single events: for a wrong key or address, for example."""


class NotAcceptedError(PublishError):
    """The client was closed before these events were accepted. ``events`` says which, and why."""

    def __init__(self, events: Sequence[NotAccepted]) -> None:
        super().__init__(events)
        self.events = tuple(events)

    def __str__(self) -> str:
        first = "; ".join(f"{each.event_type} {each.id}: {each.reason}" for each in self.events[:3])
        return f"{len(self.events)} events were not accepted: {first}{'; …' if len(self.events) > 3 else ''}"


class BufferFullError(PublishError):
    """The buffer of the client has no room for the event; it was not taken."""


class ClientClosedError(PublishError):
    """The client is closed; the event was not taken."""


class UnavailableError(PublishError):
    """The server did not take it now; the same request may succeed later.

    ``is_overload`` is False when a smaller request has better chances: the server failed, or the time was too short.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None, is_overload: bool = True) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.is_overload = is_overload


@dataclass(frozen=True)
class OutgoingEvent:
    """An event as it is sent: its idempotency key, its type, and its JSON."""

    id: str
    event_type: str
    body: bytes

    @property
    def line(self) -> bytes:
        """The item of a batch, as a line of JSON."""
        head = json.dumps({"type": self.event_type, "id": self.id})
        return b'%s,"data":%s}' % (head[:-1].encode(), self.body)


def encode(
    type_or_event: str | type[CommerceEvent] | CommerceEvent | UnknownEvent,
    event: CommerceEvent | UnknownEvent | Mapping[str, Any] | None,
) -> tuple[str, CommerceEvent | UnknownEvent | Mapping[str, Any], bytes]:
    """Return the type of an event, the event itself and its JSON.

    Raises TypeError for arguments that do not fit together, and InvalidEventError for an event that is not JSON.
    """
    if isinstance(type_or_event, (CommerceEvent, UnknownEvent)):
        if event is not None:
            raise TypeError("give an event alone, or the name of its type and then the event")
        return type_or_event.event_type, type_or_event, _to_json(type_or_event.to_dict())
    name = type_or_event if isinstance(type_or_event, str) else getattr(type_or_event, "event_type", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"the event type is {type(type_or_event).__name__}; give its name or its class")
    if isinstance(event, (CommerceEvent, UnknownEvent)):
        if event.event_type != name:
            raise TypeError(f"the event is {event.event_type}, not {name}")
        return name, event, _to_json(event.to_dict())
    if not isinstance(event, Mapping):
        raise TypeError(f"the event of {name} is {type(event).__name__}; give an event class or a dict")
    return name, event, _to_json(event)


def _to_json(data: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(dict(data), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEventError([("", f"cannot be written as JSON: {error}")]) from None


def check_id(text: str) -> str:
    """Return an idempotency key that the server takes. Raises ValueError."""
    if not 1 <= len(text) <= ID_MAX or not text.isprintable():
        raise ValueError(f"an id must have 1 to {ID_MAX} printable characters")
    return text


class Pace:
    """How many events the next request has, and how long to wait after a failure.

    Requests become smaller while the server fails, so that one event that it cannot handle does not hold back others
    before it; the pause between them grows from 0.1 s to 30 s, with jitter.
    """

    def __init__(self, events_max: int, rng: random.Random | None = None) -> None:
        if not 1 <= events_max <= BATCH_EVENTS_MAX:
            raise ValueError(f"a batch may have 1 to {BATCH_EVENTS_MAX} events")
        self._events_max = events_max
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - spreads retries
        self.events = events_max
        self.failure_count = 0

    def succeed(self) -> None:
        """Note that a request was answered."""
        self.failure_count = 0
        self.events = min(self.events * 2, self._events_max)

    def shrink(self, event_count: int) -> None:
        """Make the next request half as large as one that had so many events."""
        self.events = max(1, min(self.events, event_count) // 2)

    def fail(self, error: UnavailableError | RequestRefusedError) -> float:
        """Note that a request failed; return how many seconds to wait before the next."""
        if isinstance(error, UnavailableError) and not error.is_overload:
            self.shrink(self.events)
        longest_s = min(_PAUSE_MAX_S, _FIRST_PAUSE_S * 2.0 ** min(self.failure_count, 20))
        self.failure_count += 1
        pause_s = longest_s * self._rng.uniform(0.5, 1)
        wanted_s = error.retry_after_s if isinstance(error, UnavailableError) else None
        return pause_s if wanted_s is None else max(pause_s, wanted_s * self._rng.uniform(1, 1.1))
