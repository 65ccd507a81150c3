"""Send events to a local program, as the server sends deliveries."""

import time
from collections.abc import Mapping
from typing import Final

from commerce_event.cli.event_stream import FollowedEvent
from commerce_event.core import ids
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.causes import cause
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint, Secret
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import Claimed

TIMEOUT_S: Final = 5.0  # of an attempt, like the server's default
_ANYWHERE: Final = AddressPolicy(["0.0.0.0/0", "::/0"])


class _WallClock:
    """The machine's wall clock. One that runs evenly would be behind after a laptop was asleep."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class Forwarder:
    """Sends signed requests to one URL, whose redirects are not followed."""

    def __init__(self, url: str, secret: str, headers: Mapping[str, str], client_id: int) -> None:
        """``url``, ``secret`` and static ``headers`` are checked."""
        self._sender = Sender(
            resolver=Resolver(_ANYWHERE), timeout_s=TIMEOUT_S, clock=_WallClock(), installation_id="listen"
        )
        self._endpoint = Endpoint(
            id=0,
            client_id=client_id,
            url=url,
            event_types=("*",),
            headers=dict(headers),
            follow_redirects=False,
            signing="ed25519" if secret.startswith("whsk_") else "hmac",
            secrets=(Secret(secret),),
        )

    async def send(self, event: FollowedEvent, attempt: int) -> Outcome:
        """Make an attempt, counted from 1. Every failure is an outcome."""
        event_id = ids.decode("evt", event.id)
        return await self._sender.send(
            self._endpoint,
            Claimed(
                delivery_id=event_id,
                endpoint_id=self._endpoint.id,
                number=attempt,
                failure_count=0,
                run_id=0,
                lease_until_ms=0,
                replay_id=None,
                event_id=event_id,
                client_id=event.client_id,
                sequence=event.sequence,
                type=event.type,
                traceparent=None,
                body=bytes(event.data),
            ),
        )

    def cause(self, outcome: Outcome) -> str | None:
        """Return in words why an attempt failed; None when it did not."""
        body = outcome.response_body.decode("utf-8", "replace")
        text = cause(outcome.status, outcome.error, details=outcome.details, body=body, signing=self._endpoint.signing)
        # The words are those of the server's endpoints.
        return text and text.replace("this endpoint does", "listen does").replace("the endpoint's", "this command's")

    async def close(self) -> None:
        await self._sender.close()
