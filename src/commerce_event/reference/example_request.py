"""The example request on the page, with a valid signature."""

from typing import Final

import msgspec

from commerce_event import __version__
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.signatures import Signer

# A secret only for the page: readers can check their code against the signature that it gives.
SECRET: Final = "whsec_dGhpcyBzZWNyZXQgaXMgZm9yIHRoZSBwYWdlIG9ubHk="  # noqa: S105
_ID: Final = "evt_0c1m5k8s40000"
_SENT_AT_S: Final = 1_769_860_800
_EVENT: Final = EVENT_TYPES["JobCompletedEvent"]


def example_request() -> str:
    """Return a request as a receiver gets it."""
    body = msgspec.json.encode(_EVENT.example)
    headers = (
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
    lines = ["POST /webhooks HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\n".join([*lines, "", body.decode()])
