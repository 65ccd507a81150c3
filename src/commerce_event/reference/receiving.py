"""What a receiver needs to know: a request as it arrives, truly signed, and the delays between tries."""

from collections.abc import Iterator
from typing import Final

import msgspec

from commerce_event import __version__
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.retry import DEFAULT_SCHEDULE_S
from commerce_event.core.signatures import Signer

# A secret for the page alone: readers hold their own code against the signature that it gives.
SECRET: Final = "whsec_dGhpcyBzZWNyZXQgaXMgZm9yIHRoZSBwYWdlIG9ubHk="  # noqa: S105
_ID: Final = "evt_0c1m5k8s40000"
_SENT_AT_S: Final = 1_769_860_800
_EVENT: Final = EVENT_TYPES["JobCompletedEvent"]
_UNITS: Final = ((3_600, "h"), (60, "min"), (1, "s"))


def arriving() -> str:
    """Return a request as a receiver gets it."""
    body = msgspec.json.encode(_EVENT.example)
    head = (
        ("POST /webhooks HTTP/1.1", ""),
        ("host", "erp.example.com"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("user-agent", f"commerce-event/{__version__}"),
        ("webhook-id", _ID),
        ("webhook-timestamp", str(_SENT_AT_S)),
        ("webhook-signature", Signer([SECRET]).header(_ID, _SENT_AT_S, body)),
        ("commerce-event-type", _EVENT.name),
        ("commerce-event-attempt", "1"),
        ("commerce-event-sequence", "4711"),
        ("commerce-event-origin", "8c1f0a6d3b5e2947"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )
    return "\n".join([*(f"{name}: {value}" if value else name for name, value in head), "", body.decode()])


def delays() -> tuple[str, ...]:
    """Return the waits of the default schedule, such as ``15 s`` and ``2 h``."""
    return tuple(_words(seconds) for seconds in DEFAULT_SCHEDULE_S)


def hours_of_retries() -> int:
    """Return over how many hours the default schedule goes on."""
    return round(sum(DEFAULT_SCHEDULE_S) / 3_600)


def _words(seconds: float) -> str:
    return next(_fitting(seconds))


def _fitting(seconds: float) -> Iterator[str]:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            yield f"{seconds / size:g} {unit}"
