"""Endpoints, keys, ended sessions and validation modes in memory, where every event and request looks them up.

So are the names of clients. Reads cost no I/O; changes are written to the store first. ``refresh`` reads what other
nodes changed.
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType
from commerce_event.core import ids
from commerce_event.core.changes.model import ChangeSource
from commerce_event.core.changes.rules import ActiveSetting
from commerce_event.core.clock import Clock, SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import (
    AUTOMATIC_ID,
    PORTAL_LINK_MARK,
    AuditEntry,
    Endpoint,
    FieldChange,
    Key,
    Role,
    Scope,
    ValidationEntry,
    ValidationMode,
)
from commerce_event.core.routing import Candidates, RouteTable
from commerce_event.core.vault import Vault, VaultError
from commerce_event.registry.change_settings import ChangeSettings
from commerce_event.registry.own_types import OwnType, from_row, to_row
from commerce_event.registry.sealed_rows import open_row, open_rows, seal_row
from commerce_event.store.port import EndpointChangedError, Store, StoreError

log = structlog.get_logger(__name__)

OPERATOR_ID: Final = 0  # of the operator's own key, which is not stored
CLIENT_NAMES_MAX: Final = 10_000
_DIGEST_BYTES: Final = 32
_PORTAL_CONTEXT: Final = b"portal link"


class _OutdatedError(Exception):
    """The endpoint was changed since the caller read it."""


class Registry:
    """The endpoints, API keys, ended sessions and validation modes of all clients.

    ``change_settings`` are their event settings and change sources.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        id_maker: IdMaker,
        *,
        admin_key: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``admin_key`` is the operator's own key, from the settings; it is never stored."""
        self._clock = clock or SystemClock()
        self._store = store
        self._vault = vault
        self._ids = id_maker
        self._endpoints: dict[int, Endpoint] = {}
        self._keys: dict[int, Key] = {}
        self._ended_sessions: frozenset[str] = frozenset()
        self._by_digest: dict[bytes, Key] = {}
        self._by_token: dict[str, Key] = {}  # a cache, so that a token is hashed only once
        self._key_uses: dict[int, int] = {}  # by key: its last use (ms) since the last flush
        self._client_names: dict[int, str] = {}
        self._routes = RouteTable()
        self._validation: dict[int, dict[str, ValidationEntry]] = {}  # by client and type; the last change last
        self._own_types: dict[str, OwnType] = {}
        self.catalogue = CONTRACT
        self._operator = None if admin_key is None else _operator_key(admin_key)
        self._lock = asyncio.Lock()  # held from reading to writing a change
        self.version = 0
        self.change_settings = ChangeSettings(store.change_settings, self._lock, self._advance, self._refresh)

    async def load(self) -> None:
        """Read everything from the store. Raises VaultError when the secret key is not the store's."""
        async with self._lock:
            self.version = 0
            await self._load()

    async def refresh(self) -> None:
        """Read what other nodes changed, if anything."""
        async with self._lock:
            await self._refresh()

    async def _refresh(self) -> None:
        if await self._store.registry.config_version() != self.version:
            await self._load()

    async def _load(self) -> None:
        """Read what changed since ``version``; everything at the start, or when the store has a lower version."""
        version = await self._store.registry.config_version()
        since = self.version if self.version < version else 0
        rows, keys = await self._store.registry.endpoints(since_version=since), await self._store.registry.keys()
        self._ended_sessions = await self._store.registry.ended_sessions()
        client_names = await self._store.registry.client_names()
        validation = await self._store.contract.validation()
        own_types = await self._read_own_types(self._own_types if since else {})
        change_settings = await self.change_settings.read(since_version=since)
        opened = open_rows(rows, self._vault, at_least_one=not since)
        # No await from here on, so that readers see all of the change or nothing.
        if not since:
            self._endpoints, self._routes = {}, RouteTable()
        self._endpoints = dict(sorted((self._endpoints | opened).items()))
        for endpoint in opened.values():
            self._routes.put(endpoint)
        self._keys = {key.id: key for key in keys}
        self._index_keys()
        self._client_names = client_names
        self._validation = {}
        for entry in validation:
            self._put_validation(entry)
        self._set_own_types(own_types)
        self.change_settings.use(change_settings)
        self.version = version

    async def _read_own_types(self, known: Mapping[str, OwnType]) -> dict[str, OwnType]:
        """Return the own event types; read only those that have changed."""
        revisions = await self._store.contract.own_type_revisions()
        found = {name: own for name, own in known.items() if revisions.get(name) == own.revision}
        changed = [name for name in revisions if name not in found]
        if changed:
            read = map(from_row, await self._store.contract.own_types(changed))
            found |= {own.event_type.name: own for own in read if own is not None}
        return found

    # -- endpoints

    def endpoints(self, scope: Scope) -> list[Endpoint]:
        """Return the endpoints in scope, oldest first, without deleted ones."""
        return [e for e in self._endpoints.values() if e.deleted_ms is None and scope.allows(e.client_id)]

    def endpoint(self, endpoint_id: int) -> Endpoint | None:
        """Return an endpoint, deleted or not."""
        return self._endpoints.get(endpoint_id)

    def endpoint_in(self, scope: Scope, endpoint_id: int) -> Endpoint | None:
        """Return an endpoint in scope; None for a deleted one."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.deleted_ms is not None or not scope.allows(endpoint.client_id):
            return None
        return endpoint

    def match(
        self, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints that match this event now."""
        return self._routes.match(client_id, event_type, application_id, data)

    def candidates(self, client_id: int, event_type: EventType, application_id: int | None) -> Candidates:
        """Return the endpoints among which an event is matched: the same object until one of the client changes."""
        return self._routes.candidates(client_id, event_type, application_id)

    async def add(self, endpoint: Endpoint, *, limit: int) -> Endpoint | None:
        """Store a new endpoint and return it with its revision; None when its client already has ``limit``."""
        async with self._lock:
            if len(self.endpoints(Scope.of(endpoint.client_id))) >= limit:
                return None
            return await self._save(endpoint)

    async def change(self, endpoint_id: int, changed: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Store the result of ``changed`` and return it; None when the endpoint is unknown or deleted.

        When ``changed`` raises, nothing is stored and the error is passed on. When another node changes the endpoint
        in between, ``changed`` is called again with the new endpoint.
        """
        async with self._lock:
            while True:
                endpoint = self._endpoints.get(endpoint_id)
                if endpoint is None or endpoint.deleted_ms is not None:
                    return None
                try:
                    return await self._save(changed(endpoint), expected_revision=endpoint.revision)
                except EndpointChangedError:
                    await self._load()

    async def save(self, endpoint: Endpoint) -> Endpoint:
        """Store an endpoint as given and return it with its revision."""
        async with self._lock:
            return await self._save(endpoint)

    async def _save(self, endpoint: Endpoint, *, expected_revision: int | None = None) -> Endpoint:
        row = seal_row(endpoint, self._vault)
        version = await self._store.registry.put_endpoint(row, expected_revision=expected_revision)
        saved = msgspec.structs.replace(endpoint, revision=version)
        self._endpoints[saved.id] = saved
        self._routes.put(saved)
        self._advance(version)
        return saved

    def _advance(self, version: int) -> None:
        """Set ``version`` after a change of ours, unless one of another node precedes it; ``refresh`` reads both."""
        if version == self.version + 1:
            self.version = version

    async def delete(self, endpoint_id: int, now_ms: int) -> None:
        """Mark an endpoint as deleted and erase its secrets; its past revisions stay readable."""

        def deleted(endpoint: Endpoint) -> Endpoint:
            return msgspec.structs.replace(endpoint, deleted_ms=now_ms, updated_ms=now_ms, secrets=(), headers={})

        await self.change(endpoint_id, deleted)

    async def switch_off(
        self, endpoint_id: int, reason: str, now_ms: int, *, expected_revision: int | None = None
    ) -> None:
        """Disable an endpoint because of what its receiver answered; a person enables it again.

        Does nothing when the endpoint is no longer at ``expected_revision``. The audit log says that it was automatic.
        """

        def off(endpoint: Endpoint) -> Endpoint:
            if expected_revision is not None and endpoint.revision != expected_revision:
                raise _OutdatedError
            switched = endpoint.switched(now_ms, enabled=False, paused=endpoint.paused)
            return msgspec.structs.replace(switched, disabled_reason=reason, updated_ms=now_ms)

        with suppress(_OutdatedError):
            saved = await self.change(endpoint_id, off)
            if saved is not None:
                await self._note_switched_off(saved, reason, now_ms)

    async def _note_switched_off(self, endpoint: Endpoint, reason: str, now_ms: int) -> None:
        entry = AuditEntry(
            id=self._ids.next(now_ms),
            at_ms=now_ms,
            client_id=endpoint.client_id,
            key_id=AUTOMATIC_ID,
            key_name="automatic",
            action="changeEndpoint",
            target=ids.encode("end", endpoint.id),
            detail="the receiver answered 410 Gone" if reason == "gone" else reason,
            name=endpoint.name,
            changes=(FieldChange("enabled", before=True, after=False),),
        )
        try:
            await self._store.audit_log.add(entry)
        except StoreError as error:  # it is off all the same
            log.error("an audit log entry is lost", target=entry.target, error=str(error))

    async def endpoints_at(self, client_id: int, config_version: int) -> list[Endpoint]:
        """Return the client's endpoints as they were at a config version, deleted ones included, without secrets."""
        rows = await self._store.registry.endpoint_revisions(client_id, config_version)
        return [open_row(row, self._vault) for row in rows]

    async def endpoint_at(self, endpoint_id: int, at_ms: int) -> Endpoint | None:
        """Return an endpoint as it was at that time, deleted or not; one that has changed since has no secrets.

        None: it did not exist, or has changed too often since. On a node that had not read a change yet, deliveries
        used the former state for up to a second more.
        """
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.updated_ms <= at_ms:
            return endpoint
        row = await self._store.registry.endpoint_at(endpoint_id, at_ms)
        return None if row is None else open_row(row, self._vault)

    # -- validation

    def validation_mode(self, client_id: int, event_type: EventType) -> ValidationMode:
        """Return the mode for the client's events of that type that break the contract: that of the narrowest entry."""
        entries = self._validation.get(client_id, {})
        for name in (event_type.name, event_type.category, "*"):
            if name in entries:
                return entries[name].mode
        return "reject"

    def modes_for(self, scope: Scope) -> Callable[[int, EventType], ValidationMode]:
        """Return the function that gives the validation mode of a caller's events.

        Outside the scope it is always ``reject``, so that the answer does not reveal the mode of another client.
        """

        def mode_of(client_id: int, event_type: EventType) -> ValidationMode:
            return self.validation_mode(client_id, event_type) if scope.allows(client_id) else "reject"

        return mode_of

    def validation_entries(self, scope: Scope) -> list[ValidationEntry]:
        """Return the entries in scope, the last change first."""
        found = [e for client, of_it in self._validation.items() if scope.allows(client) for e in of_it.values()]
        return sorted(found, key=lambda entry: entry.revision, reverse=True)

    def validation_entry(self, client_id: int, event_type: str) -> ValidationEntry | None:
        return self._validation.get(client_id, {}).get(event_type)

    async def set_validation(self, entry: ValidationEntry, *, limit: int) -> ValidationEntry | None:
        """Store an entry and return it with its revision; None when its client already has ``limit`` others."""
        async with self._lock:
            others = self._validation.get(entry.client_id, {}).keys() - {entry.event_type}
            if len(others) >= limit:
                return None
            version = await self._store.contract.put_validation(entry)
            saved = msgspec.structs.replace(entry, revision=version)
            self._put_validation(saved)
            self._advance(version)
            return saved

    async def remove_validation(self, client_id: int, event_type: str) -> None:
        """Delete an entry, if there is one."""
        async with self._lock:
            version = await self._store.contract.delete_validation(client_id, event_type)
            self._validation.get(client_id, {}).pop(event_type, None)
            self._advance(version)

    def _put_validation(self, entry: ValidationEntry) -> None:
        self._validation.setdefault(entry.client_id, {})[entry.event_type] = entry

    # -- own event types

    def event_type(self, name: str) -> EventType:
        """Return the type of a stored event, as it is now."""
        return self.catalogue.of_event(name)

    def own_type(self, name: str) -> OwnType | None:
        return self._own_types.get(name)

    async def add_own_type(self, own: OwnType, *, limit: int) -> OwnType | None:
        """Store a new event type and return it; None when there are ``limit`` already.

        Raises EventTypeExistsError when the name is taken, perhaps by another node.
        """
        async with self._lock:
            return None if len(self._own_types) >= limit else await self._put_own_type(own, is_new=True)

    async def change_own_type(self, own: OwnType) -> OwnType:
        """Store a changed event type and return it."""
        async with self._lock:
            return await self._put_own_type(own)

    async def _put_own_type(self, own: OwnType, *, is_new: bool = False) -> OwnType:
        version = await self._store.contract.put_own_type(to_row(own), is_new=is_new)
        saved = msgspec.structs.replace(own, revision=version)
        self._set_own_types({**self._own_types, own.event_type.name: saved})
        self._advance(version)
        return saved

    async def delete_own_type(self, name: str) -> None:
        """Delete an event type and its validation modes. Raises EventTypeUsedError when there are events of it."""
        async with self._lock:
            version = await self._store.contract.delete_own_type(name)
            self._set_own_types({each: own for each, own in self._own_types.items() if each != name})
            for entries in self._validation.values():
                entries.pop(name, None)
            self._advance(version)

    def _set_own_types(self, own_types: dict[str, OwnType]) -> None:
        if own_types != self._own_types:
            self._own_types = own_types
            self.catalogue = Catalogue(own.event_type for own in own_types.values())
            self._routes.forget_types()

    # -- event settings and change sources

    def active_settings(self, client_id: int, entity: str, application_id: int | None) -> Sequence[ActiveSetting]:
        """Return the event settings that are on and count: the same object until one of the client changes."""
        return self.change_settings.active(client_id, entity, application_id)

    def tracked_since(self, client_id: int, entity: str) -> int | None:
        """Return since when (ms since 1970) changes of the entity are tracked; None when no setting is on for it."""
        return self.change_settings.tracked_since(client_id, entity)

    def source(self, name: str) -> ChangeSource | None:
        return self.change_settings.source(name)

    # -- keys

    def all_keys(self) -> list[Key]:
        return list(self._keys.values())

    def key(self, key_id: int) -> Key | None:
        """Return a key unless it is unknown, revoked or expired. The operator's own key is included."""
        if self._operator is not None and key_id == self._operator.id:
            return self._operator
        key = self._keys.get(key_id)
        return key if key is not None and key.revoked_ms is None and not self._has_expired(key) else None

    def authenticate(self, token: str) -> Key | None:
        """Return the key of a bearer token, and note its use; None when it is unknown, revoked or expired."""
        key = self._by_token.get(token)
        if key is None:
            key = self._by_digest.get(_digest(token))
            if key is not None:
                self._by_token[token] = key
        if key is None or self._has_expired(key):
            return None
        self.note_use(key.id)
        return key

    def expired_ms(self, token: str) -> int | None:
        """Return when the key of a bearer token expired; None when it has not, or is unknown or revoked."""
        key = self._by_digest.get(_digest(token))
        return key.expires_ms if key is not None and self._has_expired(key) else None

    def _has_expired(self, key: Key) -> bool:
        return key.expires_ms is not None and key.expires_ms <= self._clock.now_ms()

    def note_use(self, key_id: int) -> None:
        """Note that a key is used now; ``flush_key_uses`` writes it."""
        if key_id != OPERATOR_ID:
            self._key_uses[key_id] = self._clock.now_ms()

    async def key_uses(self) -> dict[int, int]:
        """Return when each key was last used (ms), by key: on this node up to now, on others up to a minute ago."""
        uses = await self._store.registry.key_uses()
        for key_id, used_ms in self._key_uses.items():
            uses[key_id] = max(used_ms, uses.get(key_id, used_ms))
        return uses

    async def flush_key_uses(self) -> None:
        """Write the noted uses to the store. Those that cannot be written are kept for the next flush."""
        uses, self._key_uses = self._key_uses, {}
        if not uses:
            return
        try:
            await self._store.registry.note_key_uses(uses)
        except BaseException:
            self._key_uses = uses | self._key_uses
            raise

    async def add_key(
        self,
        role: Role,
        client_ids: tuple[int, ...] | None,
        name: str,
        now_ms: int,
        *,
        expires_ms: int | None = None,
    ) -> tuple[Key, str]:
        """Create a key and return it with its text, which is never stored."""
        number = self._ids.next(now_ms)
        text = f"{ids.encode('key', number)}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=number,
            role=role,
            client_ids=client_ids,
            name=name,
            digest=_digest(text),
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
        await self._put_key(key)
        return key, text

    async def add_portal_link(
        self, role: Role, client_id: int, name: str, now_ms: int, *, expires_ms: int, since_ms: int, limit: int
    ) -> tuple[Key, str] | None:
        """Create the key of a portal link and return it with the link's text, which only the vault can make.

        None when the client already has ``limit`` links that were made after ``since_ms``.
        """
        digest = secrets.token_bytes(_DIGEST_BYTES - len(PORTAL_LINK_MARK)) + PORTAL_LINK_MARK
        key = Key(
            id=self._ids.next(now_ms),
            role=role,
            client_ids=(client_id,),
            name=name,
            digest=digest,
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
        async with self._lock:
            if self._count_portal_links(client_id, since_ms) >= limit:
                return None
            await self._save_key(key)
        sealed = self._vault.seal(msgspec.msgpack.encode((key.id, digest)), _PORTAL_CONTEXT)
        return key, base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _count_portal_links(self, client_id: int, since_ms: int) -> int:
        """Return how many links for a client were made after ``since_ms``."""
        return sum(
            key.is_portal_link and key.client_ids == (client_id,) and key.created_ms > since_ms
            for key in self._keys.values()
        )

    def portal_link(self, text: str) -> Key | None:
        """Return the key of a portal link, also when it is revoked or has expired; None when the text is no link."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            key_id, digest = msgspec.msgpack.decode(self._vault.open(sealed, _PORTAL_CONTEXT), type=tuple[int, bytes])
        except (ValueError, VaultError, msgspec.DecodeError):
            return None
        key = self._keys.get(key_id)
        return key if key is not None and key.digest == digest else None

    async def revoke_key(self, key_id: int, now_ms: int) -> None:
        """Revoke a key."""
        await self._put_key(msgspec.structs.replace(self._keys[key_id], revoked_ms=now_ms))

    async def _put_key(self, key: Key) -> None:
        async with self._lock:
            await self._save_key(key)

    async def _save_key(self, key: Key) -> None:
        version = await self._store.registry.put_key(key)
        self._keys[key.id] = key
        self._index_keys()
        self._advance(version)

    # -- names of clients

    def client_name(self, client_id: int) -> str | None:
        """Return what people call a client."""
        return self._client_names.get(client_id)

    def client_names(self, scope: Scope) -> dict[int, str]:
        """Return what people call the clients in scope, by client."""
        return {client_id: name for client_id, name in self._client_names.items() if scope.allows(client_id)}

    async def set_client_name(self, client_id: int, name: str | None) -> bool:
        """Set or remove (None) what people call a client; return False when CLIENT_NAMES_MAX others have a name."""
        async with self._lock:
            others = len(self._client_names.keys() - {client_id})
            if name is not None and others >= CLIENT_NAMES_MAX:
                return False
            version = await self._store.registry.put_client_name(client_id, name)
            self._client_names.pop(client_id, None)
            if name is not None:
                self._client_names[client_id] = name
            self._advance(version)
            return True

    # -- sessions

    def has_ended(self, session_id: str) -> bool:
        """Tell whether the user signed out of the session, on any node."""
        return session_id in self._ended_sessions

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> None:
        """End a session before it expires at ``ends_ms``: on this node at once, on other nodes within a second."""
        async with self._lock:
            self._ended_sessions |= {session_id}
            version = await self._store.registry.end_session(session_id, ends_ms=ends_ms, now_ms=now_ms)
            self._advance(version)

    def _index_keys(self) -> None:
        self._by_token = {}
        self._by_digest = {key.digest: key for key in self._keys.values() if key.revoked_ms is None}
        if self._operator is not None:
            self._by_digest[self._operator.digest] = self._operator


def _digest(token: str) -> bytes:
    """Hash a token. It holds 256 random bits, so one round of SHA-256 is as safe as a slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _operator_key(text: str) -> Key:
    return Key(id=OPERATOR_ID, role="admin", client_ids=None, name="operator", digest=_digest(text), created_ms=0)
