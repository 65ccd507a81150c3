"""What a receiver answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an answer. The body is empty, or JSON with a ``reason``."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the sender takes the event as delivered."""
        return 200 <= self.status <= 299

    def http_headers(self) -> dict[str, str]:
        """Return the headers with ``content-length``, which a 204 must not have (RFC 9110, section 8.6)."""
        length = {} if self.status == 204 else {"content-length": str(len(self.body))}
        return {**length, **self.headers}


def failure(status: int, reason: str, headers: Mapping[str, str] | None = None, **more: object) -> Answer:
    """Return an answer that says why an event was not taken."""
    body = json.dumps({"reason": reason, **more}).encode()
    return Answer(status, {"content-type": "application/json", **(headers or {})}, body)


DONE = Answer(204)
STORED = Answer(202)
NOT_POST = failure(405, "Send events with POST.", {"allow": "POST"})


def too_large(max_body_bytes: int) -> Answer:
    """Return the answer to a body over the limit."""
    return failure(413, f"The body is larger than {max_body_bytes} bytes.")
