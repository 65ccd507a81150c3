"""The directory: endpoints, keys and ended sessions in memory, where they are looked up for every event and request.

Reads cost no I/O; changes are written through. Secrets and static headers are opened here and nowhere else.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from commerce_event.contract.catalogue import EventType
from commerce_event.core import ids
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Key, Role, Scope
from commerce_event.core.routing import RouteTable
from commerce_event.core.vault import Vault, VaultError, parse_key
from commerce_event.store.model import EndpointRow
from commerce_event.store.port import EndpointChangedError, Store

OPERATOR_ID: Final = 0  # of the operator's own key, which is not stored
_ROW_FIELDS: Final = frozenset({"id", "client_id", "revision", "created_ms", "updated_ms", "deleted_ms"})
_SEALED_FIELDS: Final = frozenset({"headers", "secrets"})

log = structlog.get_logger(__name__)


class _OutdatedError(Exception):
    """The endpoint is no longer what the change was meant for."""


class Registry:
    """Endpoints, keys and ended sessions, read from memory, written through to the store."""

    def __init__(self, store: Store, vault: Vault, id_maker: IdMaker, *, admin_key: str | None = None) -> None:
        """``admin_key`` is the operator's own, from the settings; it is never stored."""
        self._store = store
        self._vault = vault
        self._ids = id_maker
        self._endpoints: dict[int, Endpoint] = {}
        self._keys: dict[int, Key] = {}
        self._ended: frozenset[str] = frozenset()  # sessions of the screens
        self._by_digest: dict[bytes, Key] = {}
        self._by_token: dict[str, Key] = {}  # those seen lately, so that each call need not be hashed again
        self._routes = RouteTable()
        self._operator = None if admin_key is None else _operator_key(admin_key)
        self._changing = asyncio.Lock()  # held from reading something to having changed it
        self.version = 0

    async def load(self) -> None:
        """Read everything from the store. Raises VaultError when the secret key does not fit."""
        async with self._changing:
            self.version = 0
            await self._load()

    async def refresh(self) -> None:
        """Read what other nodes changed, if they did."""
        async with self._changing:
            if await self._store.registry.config_version() != self.version:
                await self._load()

    async def _load(self) -> None:
        """Read what was changed since the version known; everything when none is, or the store went back."""
        version = await self._store.registry.config_version()
        since = self.version if self.version < version else 0
        rows, keys = await self._store.registry.endpoints(since_version=since), await self._store.registry.keys()
        self._ended = await self._store.registry.ended_sessions()
        opened = _opened_rows(rows, self._vault, at_least_one=not since)  # from here on nothing may wait
        if not since:
            self._endpoints, self._routes = {}, RouteTable()
        self._endpoints = dict(sorted((self._endpoints | opened).items()))
        for endpoint in opened.values():
            self._routes.put(endpoint)
        self._keys = {key.id: key for key in keys}
        self._index_keys()
        self.version = version

    # -- endpoints

    def endpoints(self, scope: Scope) -> list[Endpoint]:
        """Return the endpoints in reach, oldest first, without deleted ones."""
        return [e for e in self._endpoints.values() if e.deleted_ms is None and scope.allows(e.client_id)]

    def endpoint(self, endpoint_id: int) -> Endpoint | None:
        """Return an endpoint, deleted or not."""
        return self._endpoints.get(endpoint_id)

    def endpoint_in(self, scope: Scope, endpoint_id: int) -> Endpoint | None:
        """Return an endpoint in reach, unless it was deleted."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.deleted_ms is not None or not scope.allows(endpoint.client_id):
            return None
        return endpoint

    def match(
        self, client_id: int, event_type: EventType, application_id: int | None, data: Mapping[str, Any]
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints that want this event now."""
        return self._routes.match(client_id, event_type, application_id, data)

    async def add(self, endpoint: Endpoint, *, most: int) -> Endpoint | None:
        """Store a new endpoint and return it with its revision; None when its client has ``most`` already."""
        async with self._changing:
            if len(self.endpoints(Scope.of(endpoint.client_id))) >= most:
                return None
            return await self._save(endpoint)

    async def change(self, endpoint_id: int, changed: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Store what ``changed`` makes of an endpoint and return it; None when there is none, or it was deleted.

        What ``changed`` raises is passed on, and nothing is stored then. When another node changed the endpoint
        meanwhile, ``changed`` is called again with what it is now.
        """
        async with self._changing:
            while True:
                endpoint = self._endpoints.get(endpoint_id)
                if endpoint is None or endpoint.deleted_ms is not None:
                    return None
                try:
                    return await self._save(changed(endpoint), read=endpoint.revision)
                except EndpointChangedError:
                    await self._load()

    async def save(self, endpoint: Endpoint) -> Endpoint:
        """Store an endpoint as it is given and return it with its revision."""
        async with self._changing:
            return await self._save(endpoint)

    async def _save(self, endpoint: Endpoint, *, read: int | None = None) -> Endpoint:
        version = await self._store.registry.put_endpoint(self._row(endpoint), expected_revision=read)
        saved = msgspec.structs.replace(endpoint, revision=version)
        self._endpoints[saved.id] = saved
        self._routes.put(saved)
        self._advance(version)
        return saved

    def _advance(self, version: int) -> None:
        """Take note of a change of ours; one of another node's in between is still to be read, by ``refresh``."""
        if version == self.version + 1:
            self.version = version

    async def delete(self, endpoint_id: int, now_ms: int) -> None:
        """Mark an endpoint deleted and forget its secrets; its history stays explainable."""

        def deleted(endpoint: Endpoint) -> Endpoint:
            return msgspec.structs.replace(endpoint, deleted_ms=now_ms, updated_ms=now_ms, secrets=(), headers={})

        await self.change(endpoint_id, deleted)

    async def switch_off(self, endpoint_id: int, reason: str, now_ms: int, *, read: int | None = None) -> None:
        """Turn an endpoint off for a reason of its receiver's; a person turns it on again.

        Nothing is done when it is no longer at the revision ``read``.
        """

        def off(endpoint: Endpoint) -> Endpoint:
            if read is not None and endpoint.revision != read:
                raise _OutdatedError
            return msgspec.structs.replace(endpoint, enabled=False, disabled_reason=reason, updated_ms=now_ms)

        with suppress(_OutdatedError):
            await self.change(endpoint_id, off)

    async def explainable(self, client_id: int, config_version: int) -> list[Endpoint]:
        """Return the client's endpoints as they stood at a config version, without secrets."""
        return [
            _opened(row, self._vault)
            for row in await self._store.registry.endpoint_revisions(client_id, config_version)
        ]

    # -- keys

    def all_keys(self) -> list[Key]:
        return list(self._keys.values())

    def key(self, key_id: int) -> Key | None:
        """Return a key that is in force, the operator's own included."""
        if self._operator is not None and key_id == self._operator.id:
            return self._operator
        key = self._keys.get(key_id)
        return key if key is not None and key.revoked_ms is None else None

    def authenticate(self, token: str) -> Key | None:
        """Return the key that a bearer token belongs to, unless it is unknown or revoked."""
        key = self._by_token.get(token)
        if key is None:
            key = self._by_digest.get(_digest(token))
            if key is not None:
                self._by_token[token] = key
        return key

    async def add_key(self, role: Role, client_ids: tuple[int, ...] | None, name: str, now_ms: int) -> tuple[Key, str]:
        """Make a key; the text is returned this once and never stored."""
        number = self._ids.next(now_ms)
        text = f"{ids.encode('key', number)}_{secrets.token_urlsafe(32)}"
        key = Key(id=number, role=role, client_ids=client_ids, name=name, digest=_digest(text), created_ms=now_ms)
        await self._put_key(key)
        return key, text

    async def revoke_key(self, key_id: int, now_ms: int) -> None:
        """Make a key useless from now on."""
        await self._put_key(msgspec.structs.replace(self._keys[key_id], revoked_ms=now_ms))

    async def _put_key(self, key: Key) -> None:
        async with self._changing:
            version = await self._store.registry.put_key(key)
            self._keys[key.id] = key
            self._index_keys()
            self._advance(version)

    # -- sessions of the screens

    def has_ended(self, session_id: str) -> bool:
        """Tell whether somebody signed out of the session, on any node."""
        return session_id in self._ended

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> None:
        """Let a session end before its time, ``ends_ms``: here at once, on other nodes within a second."""
        async with self._changing:
            self._ended |= {session_id}
            version = await self._store.registry.end_session(session_id, ends_ms=ends_ms, now_ms=now_ms)
            self._advance(version)

    # -- rows

    def _index_keys(self) -> None:
        self._by_token = {}
        self._by_digest = {key.digest: key for key in self._keys.values() if key.revoked_ms is None}
        if self._operator is not None:
            self._by_digest[self._operator.digest] = self._operator

    def _row(self, endpoint: Endpoint) -> EndpointRow:
        fields = msgspec.to_builtins(endpoint)
        sealed = {name: fields.pop(name) for name in _SEALED_FIELDS}
        config = {name: value for name, value in fields.items() if name not in _ROW_FIELDS}
        return EndpointRow(
            **{name: fields[name] for name in _ROW_FIELDS},
            config=msgspec.json.encode(config),
            sealed=self._vault.seal(msgspec.json.encode(sealed), _context(endpoint.id)),
        )


def check_secret_key(rows: Sequence[EndpointRow], secret_key: str) -> None:
    """Raise VaultError when the key opens no row that holds secrets."""
    _opened_rows(rows, Vault(parse_key(secret_key)), at_least_one=True)


def _opened_rows(rows: Sequence[EndpointRow], vault: Vault, *, at_least_one: bool) -> dict[int, Endpoint]:
    """Return the endpoints by id; a damaged row does not affect the others.

    With ``at_least_one`` it raises VaultError when no row can be opened: then the key is wrong.
    """
    endpoints: dict[int, Endpoint] = {}
    closed: VaultError | None = None
    opened = 0
    for row in rows:
        try:
            endpoints[row.id] = _opened(row, vault)
            opened += 1
        except VaultError as error:
            closed = error
            endpoints[row.id] = _without_secrets(row)
        except msgspec.MsgspecError:
            endpoints[row.id] = _unreadable(row)
    if closed is not None and at_least_one and not opened:
        raise closed
    return endpoints


def _opened(row: EndpointRow, vault: Vault) -> Endpoint:
    sealed = msgspec.json.decode(vault.open(row.sealed, _context(row.id))) if row.sealed else {}
    return _endpoint(row, sealed)


def _endpoint(row: EndpointRow, sealed: Mapping[str, Any]) -> Endpoint:
    return msgspec.convert({**msgspec.json.decode(row.config), **sealed, **_head(row)}, Endpoint)


def _head(row: EndpointRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _ROW_FIELDS}


def _without_secrets(row: EndpointRow) -> Endpoint:
    """Return an endpoint whose sealed part is damaged: tracked, but nothing is sent before it has a new secret."""
    log.error(
        "an endpoint's secrets and headers cannot be opened: give it new ones", endpoint=ids.encode("end", row.id)
    )
    try:
        return _endpoint(row, {})
    except msgspec.MsgspecError:
        return _unreadable(row)


def _unreadable(row: EndpointRow) -> Endpoint:
    """Return what stands for an endpoint of which nothing is known any more: switched off, so that people see it."""
    log.error("an endpoint cannot be read: delete it and make it anew", endpoint=ids.encode("end", row.id))
    return Endpoint(**_head(row), url="", event_types=(), enabled=False, disabled_reason="unreadable")


def _context(endpoint_id: int) -> bytes:
    return b"endpoint:%d" % endpoint_id


def _digest(token: str) -> bytes:
    """Keys hold 256 random bits, so one round of SHA-256 is as good as a slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _operator_key(text: str) -> Key:
    return Key(id=OPERATOR_ID, role="admin", client_ids=None, name="operator", digest=_digest(text), created_ms=0)
