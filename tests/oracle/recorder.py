"""Record a request: its time, its content and its faults."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator, Sequence

from ledger import Arrival
from subscriptions import AWAY, STATIC

_REQUIRED = {
    "content-type": r"application/json",
    "user-agent": r"commerce-event/.+",
    "webhook-id": r"evt_\w+",
    "webhook-timestamp": r"\d{10}",
    "webhook-signature": r"v1,\S+( v1,\S+)*",
    "commerce-event-type": r"OrderConfirmedEvent",
    "commerce-event-attempt": r"[1-9]\d*",
    "commerce-event-sequence": r"[1-9]\d*",
    "commerce-event-origin": r"[0-9a-f]{16}",
    "traceparent": r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
}


def noted(path: str, headers: dict[str, str], body: bytes, secrets: Sequence[str], redirected: bool) -> Arrival:
    """Return a request that came just now, for an endpoint with these secrets, the newest last."""
    now, headers = time.monotonic(), {name.lower(): value for name, value in headers.items()}
    content = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
    given = headers.get("webhook-signature", "").split()
    return Arrival(
        at=now,
        path=path,
        event_id=headers.get("webhook-id", ""),
        number=number_of(body),
        attempt=_whole(headers.get("commerce-event-attempt")),
        digest=hashlib.sha256(body).hexdigest(),
        answered=now,
        ended=float("inf"),
        signed_with=tuple(place for place, secret in enumerate(secrets) if _signature(secret, content) in given),
        timestamp_s=_whole(headers.get("webhook-timestamp")),
        wall_s=time.time(),
        sequence=_whole(headers.get("commerce-event-sequence")),
        replayed="commerce-event-replay" in headers,
        flaws=tuple(_flaws(path, headers, redirected=redirected)),
    )


def number_of(body: bytes) -> int:
    """Return the number of an event of ours, 0 for anything else."""
    try:
        return int(json.loads(body)["OrderNo"].removeprefix("SO-"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _flaws(path: str, headers: dict[str, str], *, redirected: bool) -> Iterator[str]:
    for name, form in _REQUIRED.items():
        if not re.fullmatch(form, headers.get(name, "")):
            yield f"{name}: {headers.get(name)}"
    name, value = STATIC
    if path == AWAY and redirected and name in headers:
        yield "a static header was sent to another origin"
    if path == "/moved" and headers.get(name) != value:
        yield "the static header is missing"
