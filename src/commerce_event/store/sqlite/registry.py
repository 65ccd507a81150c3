"""Endpoints, keys, ended sessions and replays as rows: small tables, written rarely, read whole."""

import apsw
import msgspec

from commerce_event.core.model import Key, Replay
from commerce_event.store import row_mapping
from commerce_event.store.port import EndpointChangedError, EndpointRow
from commerce_event.store.sqlite.sql import as_json, only, run


def put_endpoint(connection: apsw.Connection, row: EndpointRow, *, read: int | None) -> int:
    if read is not None and only(run(connection, "endpoint_revision", (row.id,))) != read:
        raise EndpointChangedError("another node changed the endpoint meanwhile")
    version = int(only(run(connection, "bump", ("config_version",))))
    config = row.config.decode()
    times = (row.created_ms, row.updated_ms, row.deleted_ms)
    run(connection, "put_endpoint", (row.id, row.client_id, version, *times, config, row.sealed))
    run(connection, "put_revision", (row.id, version, row.client_id, *times, config))
    return version


def endpoints(connection: apsw.Connection, since_version: int = 0) -> list[EndpointRow]:
    return [row_mapping.endpoint(row) for row in run(connection, "endpoints", (since_version,))]


def endpoint_revisions(connection: apsw.Connection, client_id: int, config_version: int) -> list[EndpointRow]:
    return [row_mapping.endpoint(row) for row in run(connection, "endpoint_revisions", (client_id, config_version))]


def config_version(connection: apsw.Connection) -> int:
    return int(only(run(connection, "meta", ("config_version",))))


def put_key(connection: apsw.Connection, key: Key) -> int:
    clients = as_json(key.client_ids)
    run(connection, "put_key", (key.id, key.role, clients, key.name, key.digest, key.created_ms, key.revoked_ms))
    return int(only(run(connection, "bump", ("config_version",))))


def keys(connection: apsw.Connection) -> list[Key]:
    return [
        row_mapping.key(row, None if row[2] is None else msgspec.json.decode(row[2], type=list[int]))
        for row in run(connection, "keys")
    ]


def end_session(connection: apsw.Connection, session_id: str, *, ends_ms: int, now_ms: int) -> int:
    run(connection, "forget_sessions", (now_ms,))
    run(connection, "end_session", (session_id, ends_ms))
    return int(only(run(connection, "bump", ("config_version",))))


def ended_sessions(connection: apsw.Connection) -> frozenset[str]:
    return frozenset(row[0] for row in run(connection, "ended_sessions"))


def put_replay(connection: apsw.Connection, replay: Replay, *, read: int | None) -> bool:
    """Store a replay; False: a cursor was read that is no longer the running replay's, and nothing is stored."""
    if read is not None and only(run(connection, "running_cursor", (replay.id,))) != read:
        return False
    values = list(msgspec.structs.astuple(replay))
    values[5] = as_json(replay.types)
    run(connection, "put_replay", values)
    return True
