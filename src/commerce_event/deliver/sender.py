"""The sender: builds the signed request of an attempt, sends it, follows redirects by our rules, tells the outcome."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from commerce_event import __version__
from commerce_event.core import ids
from commerce_event.core.clock import Clock
from commerce_event.core.delivery import POISON, Outcome, parse_retry_after
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import InvalidSecretError, Signer
from commerce_event.core.urls import InvalidUrlError, RefusedAddressError, Target, parse_url, resolve_location
from commerce_event.deliver.exchange import Response
from commerce_event.deliver.guard import Resolver, TransportError
from commerce_event.deliver.http1 import Pool
from commerce_event.store.port import Claimed

_REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_MASK: Final = "***"
_MASKED_MIN: Final = 4  # shorter values are no secrets, and would mask half of every answer
_FIXED: Final = (
    f"content-type: application/json\r\naccept-encoding: identity\r\nuser-agent: commerce-event/{__version__}\r\n"
)
_MIX: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so that different ids stay different
_TRACE_MASK: Final = 2**128 - 1
_SPAN_MASK: Final = 2**64 - 1

log = structlog.get_logger(__name__)


class _Prepared(msgspec.Struct, frozen=True):
    """What does not change between the attempts to one form of an endpoint."""

    revision: int
    valid_until_ms: int | None  # when a secret of a rotation runs out
    target: Target
    signer: Signer
    static: str  # header lines

    def fits(self, endpoint: Endpoint, now_ms: int) -> bool:
        fresh = self.valid_until_ms is None or now_ms < self.valid_until_ms
        return fresh and self.revision == endpoint.revision


class Sender:
    """Sends deliveries. One for a node: it owns the connections."""

    def __init__(
        self, *, resolver: Resolver, timeout_s: float, clock: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._clock = clock
        self._pool = Pool(resolver, tls=tls)
        self._prepared: dict[int, _Prepared] = {}

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome:
        """Make one attempt. Never raises: whatever happens is an outcome."""
        started_ms, started = self._clock.now_ms(), self._clock.monotonic()
        response: Response | None = None
        error: str | None = None
        ours = False
        try:
            response = await self._post(endpoint, claimed, started_ms)
            error = _error_of(response)
        except TransportError as failure:
            error, ours = failure.code, failure.ours
        except RefusedAddressError:
            error = "blocked_address"
        except InvalidUrlError:  # the rules became stricter since it was saved
            error = "invalid_url"
        except Exception:
            log.exception("sending failed inside", delivery=claimed.delivery_id)
            error, ours = POISON, True
        return Outcome(
            started_ms=started_ms,
            duration_ms=(self._clock.monotonic() - started) * 1000,
            status=None if response is None else response.status,
            error=error,
            response_headers=() if response is None else _masked_headers(response, endpoint),
            response_body=b"" if response is None else _masked_body(response, endpoint),
            retry_after_s=None if response is None else _retry_after(response, started_ms),
            ours=ours,
        )

    def request_preview(self, endpoint: Endpoint, claimed: Claimed) -> list[tuple[str, str]]:
        """Return the headers that an attempt now would carry, values of static headers masked."""
        prepared = self._prepare(endpoint, self._clock.now_ms())
        lines = self._headers(prepared, claimed, self._clock.now_ms()).splitlines()
        own = [("host", prepared.target.authority), *(_split(line) for line in lines)]
        return [*own, ("content-length", str(len(claimed.body))), *((name, _MASK) for name in endpoint.headers)]

    async def close(self) -> None:
        self._pool.close()
        self._resolver.close()

    async def _post(self, endpoint: Endpoint, claimed: Claimed, now_ms: int) -> Response:
        prepared = self._prepare(endpoint, now_ms)
        timeout_s = self._timeout_s if endpoint.timeout_s is None else endpoint.timeout_s
        deadline = asyncio.get_running_loop().time() + timeout_s
        common = self._headers(prepared, claimed, now_ms)
        target, redirects = prepared.target, 0
        while True:
            headers = common + prepared.static if target.origin == prepared.target.origin else common
            response = await self._pool.post(
                target, key=endpoint.id, headers=headers.encode("latin-1"), body=claimed.body, deadline=deadline
            )
            if response.status not in _REDIRECTS or not endpoint.follow_redirects:
                return response
            redirects += 1
            if redirects > _REDIRECTS_MAX:
                raise TransportError("too_many_redirects", f"more than {_REDIRECTS_MAX} redirects")
            target = self._next_target(target, response)

    def _next_target(self, target: Target, response: Response) -> Target:
        locations = [value for name, value in response.headers if name.lower() == "location"]
        if len(locations) != 1:
            raise TransportError("redirect_refused", "the redirect has no single Location")
        try:
            following = resolve_location(target, locations[0], self._resolver.policy)
        except RefusedAddressError:
            raise
        except InvalidUrlError as error:
            raise TransportError("redirect_refused", str(error)) from None
        if target.scheme == "https" and following.scheme == "http":
            raise TransportError("redirect_refused", "the redirect leads from https to http")
        return following

    def _headers(self, prepared: _Prepared, claimed: Claimed, now_ms: int) -> str:
        webhook_id = ids.encode("evt", claimed.event_id)
        timestamp_s = now_ms // 1000
        signature = prepared.signer.header(webhook_id, timestamp_s, claimed.body)
        replay = (
            "" if claimed.replay_id is None else f"commerce-event-replay: {ids.encode('rpl', claimed.replay_id)}\r\n"
        )
        return (
            f"{_FIXED}"
            f"webhook-id: {webhook_id}\r\n"
            f"webhook-timestamp: {timestamp_s}\r\n"
            f"webhook-signature: {signature}\r\n"
            f"commerce-event-type: {claimed.type}\r\n"
            f"commerce-event-attempt: {claimed.number}\r\n"
            f"commerce-event-sequence: {claimed.sequence}\r\n"
            f"{replay}"
            f"traceparent: {_traceparent(claimed)}\r\n"
        )

    def _prepare(self, endpoint: Endpoint, now_ms: int) -> _Prepared:
        prepared = self._prepared.get(endpoint.id)
        if prepared is not None and prepared.fits(endpoint, now_ms):
            return prepared
        live = [secret for secret in endpoint.secrets if secret.expires_ms is None or secret.expires_ms > now_ms]
        prepared = _Prepared(
            endpoint.revision,
            min((secret.expires_ms for secret in live if secret.expires_ms is not None), default=None),
            parse_url(endpoint.url, self._resolver.policy),
            _signer(live),
            "".join(f"{name}: {value}\r\n" for name, value in endpoint.headers.items()),
        )
        self._prepared[endpoint.id] = prepared
        return prepared


def _signer(secrets: Sequence[Secret]) -> Signer:
    if not secrets:  # nothing is ever sent unsigned
        raise InvalidSecretError("the endpoint has no secret in force")
    return Signer([secret.value for secret in secrets])


def _error_of(response: Response) -> str | None:
    if not 200 <= response.status <= 299:
        return "redirect_refused" if response.status == 303 else f"http_{response.status}"
    return None if response.complete else "truncated"


def _retry_after(response: Response, now_ms: int) -> float | None:
    if response.status not in {429, 503}:
        return None
    return parse_retry_after([value for name, value in response.headers if name.lower() == "retry-after"], now_ms)


def _masked_headers(response: Response, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """A receiver may echo what we sent; its answer is shown to people who must not see that."""
    if not endpoint.headers:
        return response.headers
    return tuple((name, _masked(value, endpoint)) for name, value in response.headers)


def _masked_body(response: Response, endpoint: Endpoint) -> bytes:
    if not endpoint.headers or not response.body:
        return response.body
    return _masked(response.body.decode("latin-1"), endpoint).encode("latin-1", "replace")


def _masked(text: str, endpoint: Endpoint) -> str:
    for value in sorted(endpoint.headers.values(), key=len, reverse=True):
        if len(value) >= _MASKED_MIN:
            text = text.replace(value, _MASK)
    return text


def _traceparent(claimed: Claimed) -> str:
    """Return the producer's trace, or one that follows from the event, with a span for this attempt."""
    span = (claimed.delivery_id * _MIX + claimed.number) & _SPAN_MASK or 1
    if claimed.traceparent is not None:
        version, trace, _, flags = claimed.traceparent.split("-")[:4]
        return f"{version}-{trace}-{span:016x}-{flags}"
    return f"00-{claimed.event_id * _MIX & _TRACE_MASK:032x}-{span:016x}-01"


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value
