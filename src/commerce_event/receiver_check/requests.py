"""Make requests as the server sends them, and the wrong ones that a receiver must refuse."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from commerce_event import __version__
from commerce_event.contract.catalogue import CONTRACT, EVENT_TYPES, EventType
from commerce_event.core import ids
from commerce_event.core.signatures import Signer, new_secret
from commerce_event.receiver_check.model import Limits, Request

Event = dict[str, Any]
_FIXED: Final = (
    ("content-type", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", f"commerce-event/{__version__}"),
)


class Message(msgspec.Struct, frozen=True):
    """An event with its id. Sent again, it is a repeat."""

    webhook_id: str
    type_name: str
    body: bytes
    sequence: int


class RequestMaker:
    """Makes the requests of one sender: one secret or none, and static headers."""

    def __init__(
        self,
        *,
        secret: str | None,
        headers: Mapping[str, str],
        types: Sequence[EventType],
        sample: Callable[[EventType], Event],
        random_bytes: Callable[[int], bytes],
        now_ms: Callable[[], int],
        limits: Limits,
    ) -> None:
        """``sample`` returns a new event of a type. Raises InvalidSecretError."""
        self.types = tuple(types)
        self.headers = dict(headers)
        self.limits = limits
        self.secrets = [] if secret is None else [secret]
        Signer(self.secrets)
        self._sample = sample
        self._now_ms = now_ms
        self._ids = ids.IdMaker(node=random_bytes(1)[0])
        self._random_bytes = random_bytes
        self._sequence = 0

    @property
    def is_signed(self) -> bool:
        return bool(self.secrets)

    def other_secret(self) -> str:
        """Return a new secret of the same kind, which the receiver does not know."""
        is_private = bool(self.secrets) and self.secrets[0].startswith("whsk_")
        return new_secret("ed25519" if is_private else "hmac", random_bytes=self._random_bytes)

    def event(self, type_name: str | None = None) -> Event:
        """Return a new event of a type of the contract; of the first wanted type without a name."""
        return self._sample(self.types[0] if type_name is None else EVENT_TYPES[type_name])

    def message(self, event: Event | bytes | None = None, type_name: str | None = None) -> Message:
        """Return an event with a new id; bytes are sent as they are."""
        if event is None:
            event = self.event(type_name)
        body = event if isinstance(event, bytes) else encode(event)
        self._sequence += 1
        webhook_id = ids.encode("evt", self._ids.next(self._now_ms()))
        return Message(webhook_id, type_name or self.types[0].name, body, self._sequence)

    def messages_of_all_types(self) -> list[Message]:
        return [self.message(self._sample(each), each.name) for each in self.types]

    def request(
        self,
        message: Message,
        *,
        attempt: int = 1,
        age_s: int = 0,
        secrets: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        send_s: float = 0.0,
    ) -> Request:
        """Return the request of an attempt, signed now, or ``age_s`` ago.

        ``secrets`` sign instead of the sender's own, in their order; with none of them the request has no signature.
        ``headers`` replaces the static headers.
        """
        timestamp_s = self._now_ms() // 1000 - age_s
        signature = Signer(self.secrets if secrets is None else secrets).header(
            message.webhook_id, timestamp_s, message.body
        )
        named = [
            ("webhook-id", message.webhook_id),
            ("webhook-timestamp", str(timestamp_s)),
            *([("webhook-signature", signature)] if signature else []),
            ("commerce-event-type", message.type_name),
            ("commerce-event-attempt", str(attempt)),
            ("commerce-event-sequence", str(message.sequence)),
            ("traceparent", f"00-{self._random_bytes(16).hex()}-{self._random_bytes(8).hex()}-01"),
        ]
        static = self.headers if headers is None else headers
        return Request(headers=(*_FIXED, *named, *static.items()), body=message.body, send_s=send_s)

    def get(self) -> Request:
        return Request(method="GET", headers=(*_FIXED[1:], *self.headers.items()))


def known_types(names: Sequence[str]) -> list[EventType]:
    """Return types of the contract by their names, ``OrderConfirmedEvent`` for no names. Raises KeyError."""
    return [CONTRACT.types[name] for name in (names or ["OrderConfirmedEvent"])]


def encode(event: Event) -> bytes:
    """Return an event as compact JSON."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def encode_oddly(event: Event) -> bytes:
    """Return an event as JSON that any serialiser would write in another way: order, white space and escapes."""
    members = []
    for number, (name, value) in enumerate(reversed(event.items())):
        text = json.dumps(value, ensure_ascii=number % 2 == 0)
        if isinstance(value, str):
            text = text.replace("/", r"\/")
        key = f'"\\u{ord(name[0]):04x}{name[1:]}"' if number % 2 else f'"{name}"'
        members.append(f"{key} :\t{text}")
    return "{{\r\n  {} }}\n".format(" ,\n ".join(members)).encode()
