"""The data model: scope, endpoint, key, event, delivery, attempt, replay, refusal. Times (``_ms``) since 1970 in ms."""

from enum import IntEnum
from typing import Any, Final, Literal, Self

import msgspec

from commerce_event.core.problems import Fault

DeliveryState = Literal["pending", "delivered", "dead", "cancelled"]
Role = Literal["admin", "manage", "publish", "read"]
Ordering = Literal["none", "key"]
ReplayOf = Literal["failed", "waiting", "missed", "all"]
ReplayState = Literal["running", "cancelling", "done", "cancelled"]
Signing = Literal["hmac", "ed25519"]
Phase = Literal["name", "connect", "tls", "request", "waiting", "reading"]  # of an attempt, in this order
RefusalState = Literal["open", "accepted", "discarded"]
ValidationMode = Literal["reject", "warn", "off"]  # of events that break the contract
Filter = dict[str, Any]

DEFAULT_MAX_IN_FLIGHT: Final = 32


class DeliveryKind(IntEnum):
    """The kinds of pending deliveries: each waits in a queue of its own, so that none waits behind another kind.

    Bulk deliveries are those that are made in large numbers: of events that data changes raised, and of replays.
    """

    FIRST = 0  # the first attempt of a delivery that is not bulk
    RETRY = 1  # a later attempt of it
    BULK = 2  # any attempt of a bulk delivery

    @classmethod
    def of(cls, attempt: int, *, bulk: bool) -> "DeliveryKind":
        """Return the kind of a delivery by the number of its next attempt, or of the one under way."""
        if bulk:
            return _BULK
        return _RETRY if attempt > 1 else _FIRST


_FIRST, _RETRY, _BULK = DeliveryKind


class Scope(msgspec.Struct, frozen=True):
    """The clients that a caller may access (tenant isolation); ``client_ids=None`` means all (role admin)."""

    client_ids: frozenset[int] | None

    @classmethod
    def everyone(cls) -> Self:
        return cls(None)

    @classmethod
    def of(cls, *client_ids: int) -> Self:
        return cls(frozenset(client_ids))

    @property
    def sorted_ids(self) -> list[int] | None:
        """The clients in order, for SQL; None: all."""
        return None if self.client_ids is None else sorted(self.client_ids)

    @property
    def is_one_client(self) -> bool:
        return self.client_ids is not None and len(self.client_ids) == 1

    def allows(self, client_id: int | None) -> bool:
        """Tell whether the caller may access the client; what belongs to no client (None) is for admins only."""
        return self.client_ids is None or client_id in self.client_ids

    def narrowed_to(self, client_id: int) -> "Scope":
        """Return the scope of this client alone; an empty scope when the client is not allowed."""
        return Scope(frozenset({client_id}) if self.allows(client_id) else frozenset())


class Secret(msgspec.Struct, frozen=True):
    """A signing secret as Standard Webhooks writes it (``whsec_…`` or ``whsk_…``); ``expires_ms`` after rotation."""

    value: str
    expires_ms: int | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where events of a client are sent, which ones, and how. ``None`` means the server's default."""

    id: int
    client_id: int
    url: str
    event_types: tuple[str, ...]  # names, categories or "*"
    except_types: tuple[str, ...] = ()  # names or categories that are left out of ``event_types``
    application_id: int | None = None
    enabled: bool = True
    paused: bool = False  # while enabled: deliveries are created and held
    switched_ms: int | None = None  # when it was last paused or resumed while on, or switched on or off
    disabled_reason: str | None = None  # "gone" after a 410; "unreadable": its row is damaged
    description: str = ""
    headers: dict[str, str] = {}
    filter: Filter | None = None
    properties: tuple[str, ...] | None = None  # of the delivered body, besides the required ones; None: as accepted
    timeout_s: float | None = None
    retry_schedule_s: tuple[float, ...] | None = None
    jitter: float = 0.0  # random extra delay, as a share of each retry delay
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    rate_limit: float | None = None  # requests a second
    ordering: Ordering = "none"
    follow_redirects: bool = True
    signing: Signing = "hmac"
    secrets: tuple[Secret, ...] = ()  # newest first
    revision: int = 0  # config version since which this state is valid
    created_ms: int = 0
    updated_ms: int = 0
    deleted_ms: int | None = None

    @property
    def name(self) -> str:
        """What people call it: its description; without one, its URL."""
        return self.description or self.url

    @property
    def live(self) -> bool:
        """Whether events are matched with it."""
        return self.enabled and self.deleted_ms is None

    @property
    def is_sending(self) -> bool:
        """Whether its deliveries are sent."""
        return self.live and not self.paused

    @property
    def state_since_ms(self) -> int:
        """Since when it has been as it is: sending, paused or off."""
        return self.updated_ms if self.switched_ms is None else self.switched_ms

    def switched(self, now_ms: int, *, enabled: bool, paused: bool) -> Self:
        """Return the endpoint switched on or off, paused or resumed. What changes nothing keeps its time."""
        is_other = enabled != self.enabled or (enabled and paused != self.paused)
        switched_ms = now_ms if is_other else self.switched_ms
        return msgspec.structs.replace(self, enabled=enabled, paused=paused, switched_ms=switched_ms)


PORTAL_LINK_MARK: Final = b"portal link"  # ends the digest of a portal link's key


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key: only the hash of its secret is kept."""

    id: int
    role: Role
    client_ids: tuple[int, ...] | None  # None: every client (admin)
    name: str
    digest: bytes
    created_ms: int
    revoked_ms: int | None = None
    expires_ms: int | None = None

    @property
    def is_portal_link(self) -> bool:
        """Whether it stands for a portal link: no token has this digest, so it cannot be used as a key."""
        return self.digest.endswith(PORTAL_LINK_MARK)

    @property
    def scope(self) -> Scope:
        return Scope(None if self.client_ids is None else frozenset(self.client_ids))

    @property
    def owner(self) -> str:
        """By whom limits and turns are counted: by client, or by key for the key of several clients."""
        if self.client_ids is not None and len(self.client_ids) == 1:
            return client_owner(self.client_ids[0])
        return f"key {self.id}"


def client_owner(client_id: int) -> str:
    """Return by whom limits and turns of a client are counted."""
    return f"client {client_id}"


AUTOMATIC_ID: Final = -1  # the key id of what the server changed by itself


class FieldChange(msgspec.Struct, frozen=True):
    """A field of a setting that was changed. Secret values are masked."""

    field: str  # its name in the API
    before: Any  # JSON
    after: Any


class AuditEntry(msgspec.Struct, frozen=True):
    """A change through the API or the screens, or by the server itself, and who made it."""

    id: int
    at_ms: int
    client_id: int | None  # None: no particular client
    key_id: int  # 0: the operator's key; AUTOMATIC_ID: the server
    key_name: str  # at the time
    action: str  # the operation's name in the OpenAPI document
    target: str  # the id of what was changed, in text form
    detail: str | None = None  # what it was before and after, in words
    name: str | None = None  # what people called the target at the time
    changes: tuple[FieldChange, ...] = ()


class ValidationEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a client's events that break the contract: those of a type, of a category, or all (``*``)."""

    client_id: int
    event_type: str
    mode: ValidationMode
    revision: int = 0  # the config version of its last change
    updated_ms: int = 0

    @property
    def id(self) -> int:
        """The position in a list of entries, for cursors."""
        return self.revision


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted event; ``body`` is byte for byte what the producer sent."""

    id: int
    client_id: int
    sequence: int  # 1, 2, 3 … for each client, without gaps
    type: str
    application_id: int | None
    accepted_ms: int
    config_version: int
    match_count: int
    idempotency_key: str | None
    traceparent: str | None
    body: bytes
    warnings: tuple[Fault, ...] = ()  # where it breaks the contract, if it was accepted with the mode warn


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery of one event to one endpoint."""

    id: int
    event_id: int
    endpoint_id: int
    client_id: int
    state: DeliveryState
    attempt_count: int  # including interrupted attempts
    failure_count: int  # failed attempts that count for the retry schedule
    due_ms: int | None  # None when finished, or when waiting behind an earlier event of its key
    leased: bool  # being sent right now
    order_key: str | None
    replay_id: int | None
    reason: str | None  # why it is dead or cancelled
    created_ms: int
    finished_ms: int | None


class Redirect(msgspec.Struct, frozen=True):
    """A redirect that an attempt was answered with: the status, and where it led."""

    status: int
    location: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that a receiver showed. Times are since 1970 in ms."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # hosts that it is valid for
    not_before_ms: int
    not_after_ms: int


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an attempt went and how far it came, kept when it failed or was redirected."""

    phase: Phase | None = None  # in which it failed; None when it was answered in full
    host: str | None = None  # that was asked for last: a name, or an address
    address: str | None = None  # that was dialled last, with the port
    redirects: tuple[Redirect, ...] = ()  # in order, those that were followed and the one that was not
    certificate: Certificate | None = None  # when it was the reason of the failure


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt: the answer, or why there was none."""

    number: int
    started_ms: int
    duration_ms: float
    status: int | None
    error: str | None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    details: AttemptDetails | None = None

    @property
    def ended_ms(self) -> int:
        return self.started_ms + round(self.duration_ms)


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A request to send past events again; ``cursor`` is the last event that was examined."""

    id: int
    client_id: int
    endpoint_id: int
    since_ms: int
    until_ms: int
    types: tuple[str, ...]  # empty: every type
    only: ReplayOf
    state: ReplayState
    cursor: int
    looked_at: int
    queued: int
    created_ms: int
    finished_ms: int | None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was refused, kept so that people can see the reasons and accept it later."""

    id: int
    at_ms: int
    client_id: int | None  # None: it is not known, and only admins see it
    owner: str  # by whom the limits are counted: the client, or the key when the client is not known
    type: str | None  # as it was sent, at most 100 characters; None: the item of a batch had none
    key_id: int  # 0: the operator's key
    key_name: str  # at the time
    status: int  # of the answer: 404 for an unknown type, else 422
    detail: str
    faults: tuple[Fault, ...]
    body: bytes  # byte for byte as it was sent
    size: int  # of body and faults, in bytes
    state: RefusalState = "open"
    accepting_for: int | None = None  # the client for which an acceptance has begun
    event_id: int | None = None  # the event it became
    reason: str | None = None  # why it was discarded
    closed_ms: int | None = None  # when it was accepted or discarded
    label: str = ""  # what people call its subject, such as "Order 100777"
