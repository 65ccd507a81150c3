"""The sender: builds an attempt's signed request, sends it, follows redirects by our rules, and returns the outcome."""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec
import structlog

from commerce_event import __version__
from commerce_event.contract.catalogue import CONTRACT, EventType
from commerce_event.core import ids
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import Clock
from commerce_event.core.delivery import POISON, Outcome, parse_retry_after
from commerce_event.core.model import AttemptDetails, Endpoint, Phase, Redirect, Secret
from commerce_event.core.receiver_text import receiver_line, receiver_text
from commerce_event.core.signatures import InvalidSecretError, Signer
from commerce_event.core.urls import InvalidUrlError, RefusedAddressError, Target, parse_url, resolve_location
from commerce_event.deliver.certificates import Certificates
from commerce_event.deliver.connection import STALE, VALUE_KEPT, Response
from commerce_event.deliver.connection_pool import OPEN_MAX, ConnectionPool
from commerce_event.deliver.payloads import Payloads
from commerce_event.deliver.redaction import MASK, Redactor
from commerce_event.deliver.resolver import Resolver, TransportError
from commerce_event.deliver.tls_errors import CERTIFICATE_ERRORS
from commerce_event.store.model import Claimed

_REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_LOCATION_KEPT: Final = 500  # characters of where a redirect leads
_USER_INFO: Final = re.compile(r"//[^/?#]*@")
_PUBLIC: Final = AddressPolicy()
_PREPARED_MAX: Final = 10_000
_FIXED_HEADERS: Final = (
    f"content-type: application/json\r\naccept-encoding: identity\r\nuser-agent: commerce-event/{__version__}\r\n"
).encode()
_HEADERS: Final = (
    b"%bwebhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\ncommerce-event-type: %b\r\n"
    b"commerce-event-attempt: %d\r\ncommerce-event-sequence: %d\r\ncommerce-event-origin: %b\r\n%btraceparent: %b\r\n"
)
_ID_MULTIPLIER: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so different ids give different products
_TRACE_MASK: Final = 2**128 - 1
_SPAN_MASK: Final = 2**64 - 1

log = structlog.get_logger(__name__)


class _Prepared(msgspec.Struct, frozen=True):
    """What stays the same between attempts while an endpoint is not changed."""

    revision: int
    valid_until_ms: int | None  # when a secret that is being rotated expires
    target: Target | None
    refused: str  # error code when there is no target
    signer: Signer
    static: bytes  # header lines
    redactor: Redactor


class _Route:
    """Where an attempt went: the redirects that it met, and the target of its last request."""

    __slots__ = ("deadline", "dialled", "redirects", "target")

    def __init__(self) -> None:
        self.target: Target | None = None
        self.redirects: list[Redirect] = []
        self.dialled: str | None = None  # the address of a request that got no answer
        self.deadline = 0.0  # of the attempt (loop time)


class _RedirectError(Exception):
    """A redirect is not followed: its response is the final one, and ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Sender:
    """Sends deliveries. A node has one sender, which owns the connections."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        timeout_s: float,
        clock: Clock,
        installation_id: str,
        event_type_of: Callable[[str], EventType] = CONTRACT.of_event,
        connections_max: int = OPEN_MAX,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``installation_id`` is sent with each delivery, so this installation recognises its own deliveries.

        ``event_type_of`` returns the type of a stored event by its name.
        ``connections_max`` are the connections that may be open, idle ones included.
        """
        self._installation_id = installation_id.encode()
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._clock = clock
        self._pool = ConnectionPool(resolver, tls=tls, open_max=connections_max)
        self._prepared: dict[int, _Prepared] = {}
        self._payloads = Payloads(event_type_of)
        self._certificates = Certificates()

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome:
        """Make one attempt. Never raises: every failure is an outcome."""
        started_ms, started = self._clock.now_ms(), self._clock.monotonic()
        route = _Route()
        details = None
        try:
            prepared = self._prepare(endpoint, started_ms)
            response, error = await self._post(prepared, endpoint, self._as_sent(endpoint, claimed), started_ms, route)
            return Outcome(
                started_ms=started_ms,
                duration_ms=(self._clock.monotonic() - started) * 1000,
                status=response.status,
                error=error,
                response_headers=prepared.redactor.headers(response.headers),
                response_body=prepared.redactor.body(response.body),
                retry_after_s=_retry_after(response, started_ms),
                details=_details_of_answer(prepared, route, response) if error or route.redirects else None,
            )
        except TransportError as failure:
            error, internal = failure.code, failure.is_internal
            route.dialled = failure.address
            details = _details(prepared, route, failure.phase, failure.address)
        except Exception:
            log.exception("sending failed by an internal error", delivery=claimed.delivery_id)
            error, internal = POISON, True
        duration_ms = (self._clock.monotonic() - started) * 1000
        if error in CERTIFICATE_ERRORS and details is not None:
            details = await self._with_certificate(endpoint, route, details)
        return Outcome(
            started_ms=started_ms,
            duration_ms=duration_ms,
            status=None,
            error=error,
            is_internal=internal,
            details=details,
        )

    def request_preview(self, endpoint: Endpoint, claimed: Claimed, *, reveal: bool = False) -> list[tuple[str, str]]:
        """Return the headers that an attempt would carry now; static headers are masked unless ``reveal``."""
        now_ms = self._clock.now_ms()
        prepared = self._prepare(endpoint, now_ms)
        claimed = self._as_sent(endpoint, claimed)
        host = [] if prepared.target is None else [("host", prepared.target.authority)]
        lines = self._headers(prepared, claimed, now_ms).decode().splitlines()
        return [
            *host,
            ("content-length", str(len(claimed.body))),
            *((name, value) for name, _, value in (line.partition(": ") for line in lines)),
            *((name, value if reveal else MASK) for name, value in endpoint.headers.items()),
        ]

    def body_preview(self, endpoint: Endpoint, claimed: Claimed) -> bytes:
        """Return the body that an attempt would carry now."""
        return self._payloads.body(endpoint, claimed)

    async def close(self) -> None:
        self._pool.close()
        self._resolver.close()

    async def _post(
        self, prepared: _Prepared, endpoint: Endpoint, claimed: Claimed, now_ms: int, route: _Route
    ) -> tuple[Response, str | None]:
        """Return the final response, and an error code unless it means success. Raises TransportError without one.

        Notes in ``route`` where the requests went.
        """
        first = prepared.target
        if first is None:
            raise TransportError(prepared.refused, "the endpoint's URL is no longer allowed")
        timeout_s = self._timeout_s if endpoint.timeout_s is None else endpoint.timeout_s
        deadline = route.deadline = asyncio.get_running_loop().time() + timeout_s
        common = self._headers(prepared, claimed, now_ms)
        target = first
        force_new = False
        for left in range(_REDIRECTS_MAX, -1, -1):
            route.target = target
            headers = common + prepared.static if target is first or target.origin == first.origin else common
            post = partial(
                self._pool.post,
                target,
                key=endpoint.id,
                client=endpoint.client_id,
                headers=headers,
                body=claimed.body,
                deadline=deadline,
            )
            try:
                response = await post(force_new=force_new)
            except TransportError as failure:
                if failure.code != STALE:
                    raise
                # Once per attempt: no later request of it is sent on a connection that was used before.
                force_new = True
                response = await post(force_new=True)
            if response.status < 300 or response.status > 399:
                break
            if not endpoint.follow_redirects:
                _note_redirect(prepared, route, response)
                break
            try:
                target = self._next_target(target, response, left)
            except _RedirectError as refused:
                _note_redirect(prepared, route, response)
                return response, refused.code
            _note_redirect(prepared, route, response, target)
        return response, _error_of(response)

    async def _with_certificate(self, endpoint: Endpoint, route: _Route, details: AttemptDetails) -> AttemptDetails:
        """Return details with the certificate that the receiver showed."""
        target, dialled = route.target, route.dialled
        if target is None or dialled is None:
            return details
        certificate = await self._certificates.read(endpoint.id, target, dialled, route.deadline)
        return msgspec.structs.replace(details, certificate=certificate)

    def _as_sent(self, endpoint: Endpoint, claimed: Claimed) -> Claimed:
        """Return the delivery with the body that the endpoint gets."""
        if endpoint.properties is None:
            return claimed
        return msgspec.structs.replace(claimed, body=self._payloads.body(endpoint, claimed))

    def _next_target(self, target: Target, response: Response, left: int) -> Target:
        """Return the target of a redirect. Raises _RedirectError when it is not followed."""
        if response.status == 303:  # asks for a GET, which would deliver nothing
            raise _RedirectError("redirect_refused")
        if response.status not in _REDIRECTS:
            raise _RedirectError(f"http_{response.status}")
        if not left:
            raise _RedirectError("too_many_redirects")
        locations = response.values(b"location")
        if len(locations) != 1:
            raise _RedirectError("redirect_refused")
        try:
            following = resolve_location(target, locations[0], self._resolver.policy)
        except RefusedAddressError:
            raise _RedirectError("blocked_address") from None
        except InvalidUrlError:
            raise _RedirectError("redirect_refused") from None
        if target.scheme == "https" and following.scheme == "http":
            raise _RedirectError("redirect_refused")
        return following

    def _headers(self, prepared: _Prepared, claimed: Claimed, now_ms: int) -> bytes:
        webhook_id = ids.encode("evt", claimed.event_id)
        timestamp_s = now_ms // 1000
        replay_id = claimed.replay_id
        return _HEADERS % (
            _FIXED_HEADERS,
            webhook_id.encode(),
            timestamp_s,
            prepared.signer.header(webhook_id, timestamp_s, claimed.body).encode(),
            claimed.type.encode(),
            claimed.number,
            claimed.sequence,
            self._installation_id,
            b"" if replay_id is None else f"commerce-event-replay: {ids.encode('rpl', replay_id)}\r\n".encode(),
            _traceparent(claimed).encode(),
        )

    def _prepare(self, endpoint: Endpoint, now_ms: int) -> _Prepared:
        prepared = self._prepared.get(endpoint.id)
        if (
            prepared is not None
            and prepared.revision == endpoint.revision
            and (prepared.valid_until_ms is None or now_ms < prepared.valid_until_ms)
        ):
            return prepared
        valid = [secret for secret in endpoint.secrets if secret.expires_ms is None or secret.expires_ms > now_ms]
        target, refused = None, ""
        try:
            target = parse_url(endpoint.url, self._resolver.policy)
        except RefusedAddressError:
            refused = "blocked_address"
        except InvalidUrlError:  # the rules became stricter since it was saved
            refused = "invalid_url"
        prepared = _Prepared(
            endpoint.revision,
            min((secret.expires_ms for secret in valid if secret.expires_ms is not None), default=None),
            target,
            refused,
            _signer(valid),
            "".join(f"{name}: {value}\r\n" for name, value in endpoint.headers.items()).encode("latin-1"),
            Redactor(endpoint),
        )
        if len(self._prepared) >= _PREPARED_MAX:
            self._prepared.clear()
        self._prepared[endpoint.id] = prepared
        return prepared


def _signer(secrets: Sequence[Secret]) -> Signer:
    if not secrets:  # nothing is sent unsigned
        raise InvalidSecretError("the endpoint has no valid secret")
    return Signer([secret.value for secret in secrets])


def _note_redirect(prepared: _Prepared, route: _Route, response: Response, target: Target | None = None) -> None:
    """Note where a redirect leads: to ``target``; if it is not followed, what its answer says."""
    if response.status not in _REDIRECTS and response.status != 303:
        return
    locations = response.values(b"location")
    text = target.text if target is not None else receiver_line(locations[0]) if len(locations) == 1 else ""
    [(_, masked)] = prepared.redactor.headers((("location", text[:VALUE_KEPT]),))
    masked = _USER_INFO.sub(f"//{MASK}@", masked)
    route.redirects.append(Redirect(response.status, masked[:_LOCATION_KEPT]))


def _details_of_answer(prepared: _Prepared, route: _Route, response: Response) -> AttemptDetails:
    return _details(prepared, route, None if response.complete else "reading", response.address)


def _details(prepared: _Prepared, route: _Route, phase: Phase | None, address: str | None) -> AttemptDetails:
    target = route.target
    return AttemptDetails(
        phase=phase,
        host=None if target is None else target.host,
        address=None if target is None or not address else _shown_address(prepared, target, address),
        redirects=tuple(route.redirects),
    )


def _shown_address(prepared: _Prepared, target: Target, address: str) -> str | None:
    """Return an address with the port; None for a private one that the endpoint's URL does not name or lead to.

    Otherwise a receiver could find out by redirects which addresses private names have.
    """
    is_named = target.literal or (prepared.target is not None and target.host == prepared.target.host)
    if not is_named and _PUBLIC.refusal(address) is not None:
        return None
    return f"[{address}]:{target.port}" if ":" in address else f"{address}:{target.port}"


def _error_of(response: Response) -> str | None:
    if not 200 <= response.status <= 299:
        return f"http_{response.status}"
    return None if response.complete else "truncated"


def _retry_after(response: Response, now_ms: int) -> float | None:
    if response.status not in {429, 503}:
        return None
    return parse_retry_after([receiver_text(value) for value in response.values(b"retry-after")], now_ms)


def _traceparent(claimed: Claimed) -> str:
    """Return the producer's trace, or one derived from the event, with a span for this attempt."""
    span = (claimed.delivery_id * _ID_MULTIPLIER + claimed.number) & _SPAN_MASK or 1
    if claimed.traceparent is not None:
        _, trace, _, flags = claimed.traceparent.split("-")[:4]
        return f"00-{trace}-{span:016x}-{flags}"
    return f"00-{claimed.event_id * _ID_MULTIPLIER & _TRACE_MASK:032x}-{span:016x}-01"
