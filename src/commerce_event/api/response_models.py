"""Models of the answers: names in snake_case, ids and times as text. Only new secrets are shown."""

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from commerce_event.core import field_changes, ids
from commerce_event.core.causes import cause_of
from commerce_event.core.clock import rfc3339
from commerce_event.core.delivery import outlook
from commerce_event.core.endpoint_warnings import EndpointStanding
from commerce_event.core.health import Health
from commerce_event.core.key_state import KeyState, key_state, key_warning
from commerce_event.core.model import (
    Attempt,
    AttemptDetails,
    Certificate,
    Delivery,
    DeliveryState,
    Endpoint,
    Event,
    Filter,
    Key,
    Ordering,
    Phase,
    Redirect,
    Replay,
    ReplayOf,
    ReplayState,
    Role,
    Signing,
)
from commerce_event.core.problems import Fault
from commerce_event.core.receiver_text import receiver_text
from commerce_event.core.replay_progress import progress_of, state_of
from commerce_event.core.signatures import public_key
from commerce_event.store.model import DeliveryCounts, RaisedEvent

MASK: Final = field_changes.MASK
NOT_AUDITED: Final = frozenset(  # fields that follow others
    {"id", "created_at", "updated_at", "active_since", "sentence", "disabled_reason", "state_since", "secrets"}
)
AUDITED_SECRETS: Final = frozenset({"headers", "secret"})  # of an endpoint


class EndpointSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that identify an endpoint, shown with what belongs to it."""

    id: str
    client_id: int
    url: str
    description: str
    event_types: list[str]
    except_types: list[str] = msgspec.field(name="except")
    enabled: bool
    paused: bool
    disabled_reason: str | None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted event; ``data`` is its body."""

    id: str
    sequence: int
    type: str
    client_id: int
    application_id: int | None
    accepted_at: str
    idempotency_key: str | None
    deliveries: int
    warnings: tuple[Fault, ...]
    data: msgspec.Raw
    delivery_states: dict[str, int] | UnsetType = UNSET  # with ?expand=true


class RaisedByView(msgspec.Struct, frozen=True, kw_only=True):
    """The data change that raised an event: the newest one, when several were merged."""

    change_id: str
    first_change_id: str
    merged: int
    setting_id: str


class EventDetailView(EventView, frozen=True, kw_only=True):
    """An accepted event, and the data change that raised it; null for one that was published."""

    raised_by: RaisedByView | None


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that a receiver showed."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: str
    not_after: str


class AttemptSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an attempt, without the receiver's answer."""

    number: int
    started_at: str
    duration_ms: float
    status: int | None
    error: str | None
    cause: str | None
    phase: Phase | None
    address: str | None
    redirects: tuple[Redirect, ...]
    certificate: CertificateView | None


class AttemptView(AttemptSummary, frozen=True, kw_only=True):
    """An attempt: the answer, or why there was none."""

    response_headers: list[tuple[str, str]]
    response_body: str


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery of one event to one endpoint."""

    id: str
    event_id: str
    endpoint_id: str
    client_id: int
    state: DeliveryState
    attempt_count: int
    next_attempt_at: str | None
    reason: str | None
    replay_id: str | None
    created_at: str
    finished_at: str | None
    failure_count: int
    attempts_max: int | None
    gives_up_at: str | None
    sending: bool
    event: EventView | UnsetType | None = UNSET  # this and the next three: with ?expand=true
    endpoint: EndpointSummary | UnsetType | None = UNSET
    last_attempt: AttemptSummary | UnsetType | None = UNSET
    attempts: list[AttemptView] | UnsetType = UNSET


class DeliveryDetailView(DeliveryView, frozen=True, kw_only=True):
    """A delivery with all its attempts."""

    attempts: list[AttemptView]
    body_sent: msgspec.Raw | None


class SecretEnd(msgspec.Struct, frozen=True):
    """A secret that requests are signed with now, and until when."""

    expires_at: str | None


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint. Values of static headers are masked; the secret is shown only when created or rotated."""

    id: str
    client_id: int
    application_id: int | None
    url: str
    event_types: list[str]
    except_types: list[str] = msgspec.field(name="except")
    enabled: bool
    paused: bool
    state_since: str
    disabled_reason: str | None
    description: str
    headers: dict[str, str]
    filter: Filter | None
    properties: list[str] | None
    timeout_s: float | None
    retry_schedule: list[float] | None
    jitter: float
    max_in_flight: int
    rate_limit: float | None
    ordering: Ordering
    follow_redirects: bool
    signing: Signing
    public_key: str | None
    secrets: list[SecretEnd]
    created_at: str
    updated_at: str


class NewEndpointView(EndpointView, frozen=True, kw_only=True):
    """A new endpoint with the secret for its receiver; with ed25519 the receiver needs only the public key."""

    secret: str | None


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, or with ed25519 a new public key; the old one is used as well for a while."""

    secret: str | None
    public_key: str | None
    old_secret_expires_at: str


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without the key itself."""

    id: str
    role: Role
    client_ids: list[int] | None
    name: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    state: KeyState
    warning: str | None


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A new API key; ``key`` is shown only once."""

    key: str


class ReplayView(msgspec.Struct, frozen=True, kw_only=True):
    """A replay and its progress. ``deliveries`` counts the queued deliveries by state."""

    id: str
    client_id: int
    endpoint_id: str
    since: str
    until: str
    types: list[str]
    only: ReplayOf
    state: ReplayState
    looked_at: int
    queued: int
    deliveries: dict[str, int]
    has_pending: bool
    has_dead: bool
    pace_per_s: float | None
    ends_at: str | None
    endpoint: EndpointSummary | None
    endpoint_health: Health | None
    warning: str | None
    created_at: str
    queued_at: str | None
    finished_at: str | None


class BookView(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery counts of an endpoint: matched = delivered + dead + cancelled + pending."""

    endpoint_id: str
    client_id: int
    matched: int
    delivered: int
    dead: int
    cancelled: int
    pending: int
    difference: int
    endpoint: EndpointSummary | None


class DeliveryTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over endpoints: matched = delivered + dead + cancelled + pending."""

    matched: int
    delivered: int
    dead: int
    cancelled: int
    pending: int


class BooksView(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery counts, and whether they add up."""

    items: list[BookView]
    totals: DeliveryTotals
    balanced: bool
    counted_at: str | None


def shown_time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def event_view(event: Event) -> EventView:
    return EventView(
        id=ids.encode("evt", event.id),
        sequence=event.sequence,
        type=event.type,
        client_id=event.client_id,
        application_id=event.application_id,
        accepted_at=rfc3339(event.accepted_ms),
        idempotency_key=event.idempotency_key,
        deliveries=event.match_count,
        warnings=event.warnings,
        data=msgspec.Raw(event.body),
    )


def raised_by_view(raised: RaisedEvent | None) -> RaisedByView | None:
    if raised is None:
        return None
    return RaisedByView(
        change_id=ids.encode("chg", raised.change_id),
        first_change_id=ids.encode("chg", raised.first_change_id),
        merged=raised.merged,
        setting_id=ids.encode("set", raised.setting_id),
    )


def endpoint_summary(endpoint: Endpoint | None) -> EndpointSummary | None:
    """Return the summary of an endpoint; None for one that was deleted or is not known."""
    if endpoint is None or endpoint.deleted_ms is not None:
        return None
    return EndpointSummary(
        id=ids.encode("end", endpoint.id),
        client_id=endpoint.client_id,
        url=endpoint.url,
        description=endpoint.description,
        event_types=list(endpoint.event_types),
        except_types=list(endpoint.except_types),
        enabled=endpoint.enabled,
        paused=endpoint.paused,
        disabled_reason=endpoint.disabled_reason,
    )


def attempt_summary(attempt: Attempt | None, endpoint: Endpoint | None = None) -> AttemptSummary | None:
    return None if attempt is None else AttemptSummary(**_attempt_fields(attempt, endpoint))


def attempt_view(attempt: Attempt, endpoint: Endpoint | None = None) -> AttemptView:
    return AttemptView(
        **_attempt_fields(attempt, endpoint),
        response_headers=list(attempt.response_headers),
        response_body=receiver_text(attempt.response_body),
    )


def _attempt_fields(attempt: Attempt, endpoint: Endpoint | None) -> dict[str, Any]:
    """Return the fields of both views; the cause is worded by how the endpoint signs."""
    details = attempt.details or AttemptDetails()
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_ms),
        "duration_ms": round(attempt.duration_ms, 3),
        "status": attempt.status,
        "error": attempt.error,
        "cause": cause_of(attempt, "hmac" if endpoint is None else endpoint.signing),
        "phase": details.phase,
        "address": details.address,
        "redirects": details.redirects,
        "certificate": certificate_view(details.certificate),
    }


def certificate_view(certificate: Certificate | None) -> CertificateView | None:
    if certificate is None:
        return None
    return CertificateView(
        subject=certificate.subject,
        issuer=certificate.issuer,
        names=certificate.names,
        not_before=rfc3339(certificate.not_before_ms),
        not_after=rfc3339(certificate.not_after_ms),
    )


def delivery_fields(
    delivery: Delivery, endpoint: Endpoint | None, default_schedule_s: Sequence[float]
) -> dict[str, Any]:
    """Return the fields of a delivery; ``default_schedule_s`` are the retry delays of endpoints without their own."""
    own = None if endpoint is None else endpoint.retry_schedule_s
    left = outlook(
        delivery,
        default_schedule_s if own is None else own,
        is_sending=endpoint is not None and endpoint.is_sending,
    )
    return {
        "id": ids.encode("dlv", delivery.id),
        "event_id": ids.encode("evt", delivery.event_id),
        "endpoint_id": ids.encode("end", delivery.endpoint_id),
        "client_id": delivery.client_id,
        "state": delivery.state,
        "attempt_count": delivery.attempt_count,
        "next_attempt_at": None if delivery.leased else shown_time(delivery.due_ms),
        "reason": delivery.reason,
        "replay_id": None if delivery.replay_id is None else ids.encode("rpl", delivery.replay_id),
        "created_at": rfc3339(delivery.created_ms),
        "finished_at": shown_time(delivery.finished_ms),
        "failure_count": delivery.failure_count,
        "attempts_max": None if left is None else left.attempts_max,
        "gives_up_at": None if left is None else shown_time(left.last_attempt_ms),
        "sending": delivery.leased,
    }


def endpoint_fields(endpoint: Endpoint, now_ms: int) -> dict[str, Any]:
    schedule = endpoint.retry_schedule_s
    return {
        "id": ids.encode("end", endpoint.id),
        "client_id": endpoint.client_id,
        "application_id": endpoint.application_id,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "except_types": list(endpoint.except_types),
        "enabled": endpoint.enabled,
        "paused": endpoint.paused,
        "state_since": rfc3339(endpoint.state_since_ms),
        "disabled_reason": endpoint.disabled_reason,
        "description": endpoint.description,
        "headers": dict.fromkeys(endpoint.headers, MASK),
        "filter": endpoint.filter,
        "properties": None if endpoint.properties is None else list(endpoint.properties),
        "timeout_s": endpoint.timeout_s,
        "retry_schedule": None if schedule is None else list(schedule),
        "jitter": endpoint.jitter,
        "max_in_flight": endpoint.max_in_flight,
        "rate_limit": endpoint.rate_limit,
        "ordering": endpoint.ordering,
        "follow_redirects": endpoint.follow_redirects,
        "signing": endpoint.signing,
        "public_key": public_key_of(endpoint),
        "secrets": [
            SecretEnd(shown_time(each.expires_ms))
            for each in endpoint.secrets
            if each.expires_ms is None or each.expires_ms > now_ms
        ],
        "created_at": rfc3339(endpoint.created_ms),
        "updated_at": rfc3339(endpoint.updated_ms),
    }


def public_key_of(endpoint: Endpoint) -> str | None:
    newest = endpoint.secrets[0].value if endpoint.secrets else ""
    return public_key(newest) if newest.startswith("whsk_") else None


def shared_secret_of(endpoint: Endpoint) -> str | None:
    """Return the secret for the receiver; None with ed25519, where it verifies with the public key."""
    return endpoint.secrets[0].value if endpoint.signing == "hmac" else None


def endpoint_view(endpoint: Endpoint, now_ms: int) -> EndpointView:
    return EndpointView(**endpoint_fields(endpoint, now_ms))


class _Named(Protocol):
    @property
    def description(self) -> str: ...
    @property
    def url(self) -> str: ...


def display_name(endpoint: _Named) -> str:
    """Return the short name of an endpoint: its description; without one, the host of its URL."""
    return endpoint.description or urlsplit(endpoint.url).netloc


def audited_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Return the fields of an endpoint as they are compared for the audit log, with AUDITED_SECRETS in clear."""
    fields = msgspec.to_builtins(endpoint_view(endpoint, endpoint.updated_ms))  # by their names in the API
    return {
        **{name: value for name, value in fields.items() if name not in NOT_AUDITED},
        "headers": endpoint.headers,
        "secret": endpoint.secrets[0].value if endpoint.secrets else None,
    }


def new_endpoint_view(endpoint: Endpoint, now_ms: int) -> NewEndpointView:
    return NewEndpointView(**endpoint_fields(endpoint, now_ms), secret=shared_secret_of(endpoint))


def key_fields(key: Key, used_ms: int | None, now_ms: int) -> dict[str, Any]:
    return {
        "id": ids.encode("key", key.id),
        "role": key.role,
        "client_ids": None if key.client_ids is None else list(key.client_ids),
        "name": key.name,
        "created_at": rfc3339(key.created_ms),
        "expires_at": shown_time(key.expires_ms),
        "last_used_at": shown_time(used_ms),
        "revoked_at": shown_time(key.revoked_ms),
        "state": key_state(key, now_ms),
        "warning": key_warning(key, used_ms, now_ms),
    }


def replay_view(
    replay: Replay,
    endpoint: Endpoint | None,
    states: dict[DeliveryState, int],
    *,
    has_pending: bool,
    has_dead: bool,
    standing: EndpointStanding | None,
    ended_ms: int | None,
    now_ms: int,
) -> ReplayView:
    state = state_of(replay, has_pending=has_pending)
    progress = progress_of(replay, states, now_ms=now_ms)
    is_open = state == "running" or (state == "done" and has_dead)
    warning = standing.warning if standing is not None and is_open else None
    return ReplayView(
        id=ids.encode("rpl", replay.id),
        client_id=replay.client_id,
        endpoint_id=ids.encode("end", replay.endpoint_id),
        since=rfc3339(replay.since_ms),
        until=rfc3339(replay.until_ms),
        types=list(replay.types),
        only=replay.only,
        state=state,
        looked_at=replay.looked_at,
        queued=replay.queued,
        deliveries={str(state): count for state, count in states.items()},
        has_pending=has_pending,
        has_dead=has_dead,
        pace_per_s=progress.pace_per_s,
        ends_at=None if warning else shown_time(progress.ends_ms),
        endpoint=endpoint_summary(endpoint),
        endpoint_health=None if standing is None else standing.health,
        warning=warning,
        created_at=rfc3339(replay.created_ms),
        queued_at=shown_time(replay.finished_ms),
        finished_at=shown_time(ended_ms),
    )


def delivery_totals(counts: Sequence[DeliveryCounts]) -> DeliveryTotals:
    return DeliveryTotals(
        matched=sum(each.matched for each in counts),
        delivered=sum(each.delivered for each in counts),
        dead=sum(each.dead for each in counts),
        cancelled=sum(each.cancelled for each in counts),
        pending=sum(each.pending for each in counts),
    )


def counts_view(counts: DeliveryCounts, endpoint: Endpoint | None) -> BookView:
    return BookView(
        endpoint_id=ids.encode("end", counts.endpoint_id),
        client_id=counts.client_id,
        matched=counts.matched,
        delivered=counts.delivered,
        dead=counts.dead,
        cancelled=counts.cancelled,
        pending=counts.pending,
        difference=counts.difference,
        endpoint=endpoint_summary(endpoint),
    )
