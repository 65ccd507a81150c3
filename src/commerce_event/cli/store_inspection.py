"""Inspect a store without changing it: no migration, and no lock that keeps a server out."""

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import apsw

    from commerce_event.store.postgres.sql import Connection


def inspect_file(path: Path) -> str:
    """Describe a SQLite store. Raises StoreRefusedError, StoreBrokenError."""
    from commerce_event.store.port import StoreBrokenError
    from commerce_event.store.sqlite import files

    files.check_engine()
    files.check_place(path)
    holder = _holder(path)
    with files.refusals(path):
        connection = _reader(path, in_use=holder is not None)
        try:
            schema = _schema(connection, path)
            if holder is None and (fault := files.damage(connection)):
                raise StoreBrokenError(f"{path} is damaged ({fault}); keep a copy, and restore the last good backup")
        finally:
            connection.close(True)
    size = f"schema {schema}, {path.stat().st_size} bytes"
    return f"{path}, {size}, all pages are intact" if holder is None else f"{path}, {size}, in use by {holder}"


def _holder(path: Path) -> str | None:
    """Return the process that serves the file, without taking its lock."""
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(handle, 200).decode(errors="replace").strip() or "another process"
    finally:
        os.close(handle)
    return None


def _reader(path: Path, *, in_use: bool) -> "apsw.Connection":
    """Open for reading; a file that was closed cleanly is opened without creating SQLite's -wal and -shm files."""
    import apsw

    from commerce_event.store.sqlite import files

    if in_use or path.with_name(path.name + "-wal").exists():
        return files.open_reader(path)
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"file:{quote(str(path.absolute()))}?immutable=1", flags=flags)


def _schema(connection: "apsw.Connection", path: Path) -> int:
    from commerce_event.store.port import StoreRefusedError
    from commerce_event.store.sqlite import files

    if connection.pragma("application_id") != files.APPLICATION_ID:
        raise StoreRefusedError(f"{path} is not a commerce-event store; give another --store")
    return _check_schema(int(connection.pragma("user_version")), files.migrations()[-1][0], str(path))


async def inspect_database(url: str) -> str:
    """Describe a PostgreSQL store. Raises StoreRefusedError."""
    from commerce_event.store.postgres.connections import Address, check_server, close
    from commerce_event.store.postgres.migration_record import refuse_half_moved

    address = Address(url)
    with address.refusals():
        connection = await address.connect()
        try:
            version = await check_server(connection, address)
            await refuse_half_moved(connection, address)
            schema = await _database_schema(connection, address)
        finally:
            await close(connection)
    return f"{address}, PostgreSQL {version}, {schema}"


async def _database_schema(connection: "Connection", address: object) -> str:
    from commerce_event.store.postgres import schema
    from commerce_event.store.postgres.connections import SCHEMA

    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.schema_version"):
        return "no store yet; the first start creates it"
    present = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
    return f"schema {_check_schema(int(present), schema.migrations()[-1][0], str(address))}"


def _check_schema(present: int, newest: int, where: str) -> int:
    from commerce_event.store.port import StoreRefusedError

    if present > newest:
        raise StoreRefusedError(f"{where} has schema {present}, this version knows {newest}; install the newer version")
    return present
