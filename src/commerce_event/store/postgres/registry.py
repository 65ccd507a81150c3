"""Endpoints, keys, ended sessions and replays as rows: small tables, written rarely, read whole."""

import msgspec

from commerce_event.core.model import Key, Replay
from commerce_event.store import row_mapping
from commerce_event.store.port import EndpointChangedError, EndpointRow
from commerce_event.store.postgres.sql import Connection, only, run


async def put_endpoint(connection: Connection, row: EndpointRow, *, read: int | None) -> int:
    if read is not None and await only(connection, "endpoint_revision", row.id) != read:
        raise EndpointChangedError("another node changed the endpoint meanwhile")
    version = int(await only(connection, "bump", "config_version"))
    config = row.config.decode()
    times = (row.created_ms, row.updated_ms, row.deleted_ms)
    await run(connection, "put_endpoint", row.id, row.client_id, version, *times, config, row.sealed)
    await run(connection, "put_revision", row.id, version, row.client_id, *times, config)
    return version


async def endpoints(connection: Connection, since_version: int) -> list[EndpointRow]:
    return [row_mapping.endpoint(row) for row in await run(connection, "endpoints", since_version)]


async def endpoint_revisions(connection: Connection, client_id: int, config_version: int) -> list[EndpointRow]:
    return [row_mapping.endpoint(row) for row in await run(connection, "endpoint_revisions", client_id, config_version)]


async def config_version(connection: Connection) -> int:
    return int(await only(connection, "meta", "config_version"))


async def put_key(connection: Connection, key: Key) -> int:
    version = int(await only(connection, "bump", "config_version"))
    clients = None if key.client_ids is None else list(key.client_ids)
    await run(connection, "put_key", key.id, key.role, clients, key.name, key.digest, key.created_ms, key.revoked_ms)
    return version


async def keys(connection: Connection) -> list[Key]:
    return [row_mapping.key(row, row[2]) for row in await run(connection, "keys")]


async def end_session(connection: Connection, session_id: str, *, ends_ms: int, now_ms: int) -> int:
    version = int(await only(connection, "bump", "config_version"))
    await run(connection, "forget_sessions", now_ms)
    await run(connection, "end_session", session_id, ends_ms)
    return version


async def ended_sessions(connection: Connection) -> frozenset[str]:
    return frozenset(row[0] for row in await run(connection, "ended_sessions"))


async def put_replay(connection: Connection, replay: Replay, *, read: int | None) -> bool:
    """Store a replay; False: a cursor was read that is no longer the running replay's, and nothing is stored."""
    if read is not None and await only(connection, "running_cursor", replay.id) != read:
        return False
    await run(connection, "put_replay", *msgspec.structs.astuple(replay))
    return True
