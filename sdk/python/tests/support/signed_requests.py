"""Requests as a sender makes them."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from commerce_event_sdk import OrderConfirmedEvent, sign

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
HEADER: Final = ("X-Shop-Token", "token-of-the-shop")
ORDER: Final[dict[str, Any]] = OrderConfirmedEvent(
    ClientId=1, ApplicationId=2, OrderId=9007199254740993, OrderNo="884211", ClientOrderRef="B-1", Source="WEB"
).to_dict()


def json_of(data: object) -> bytes:
    return json.dumps(data).encode()


ORDER_BODY: Final = json_of(ORDER)


def signed_headers(
    body: bytes = ORDER_BODY,
    *,
    event_type: str | None = "OrderConfirmedEvent",
    webhook_id: str = "evt_1",
    secret: str = SECRET,
    at_s: float | None = None,
    **more: str,
) -> dict[str, str]:
    """Return the headers of a request signed now; keywords are further headers, with ``_`` for ``-``."""
    timestamp_s = int(time.time() if at_s is None else at_s)
    named = {} if event_type is None else {"commerce-event-type": event_type}
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(secret, webhook_id, timestamp_s, body),
        **named,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
