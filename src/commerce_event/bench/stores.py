"""Make the stores of a run: SQLite files in a folder, or databases on a PostgreSQL server."""

import asyncio
import itertools
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from commerce_event.bench.processes import BenchError, Server, serving
from commerce_event.core.vault import new_key

_NUMBERS: Final = itertools.count(1)


class StoreFactory:
    """Make stores and run servers on them; a store is deleted when its ``with`` block ends."""

    def __init__(self, folder: Path, postgres: str | None = None) -> None:
        self.key = new_key()  # seals the secrets of every store here
        self._folder = folder
        self._postgres = postgres

    @contextmanager
    def store(self) -> Iterator[str]:
        """Make an empty store; yields its URL."""
        name = f"bench_{next(_NUMBERS)}_{secrets.token_hex(4)}"
        if self._postgres is None:
            path = self._folder / f"{name}.db"
            try:
                yield f"sqlite:///{path}"
            finally:
                for file in self._folder.glob(f"{name}.db*"):
                    file.unlink()  # a million events take a gigabyte
        else:
            _run(self._postgres, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
            try:
                yield urlunsplit(urlsplit(self._postgres)._replace(path=f"/{name}"))
            finally:
                _run(self._postgres, f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def servers(self, store: str, count: int = 1) -> Iterator[list[Server]]:
        """Run ``count`` nodes on a store."""
        with ExitStack() as stack:
            logs = (self._folder / f"server-{next(_NUMBERS)}.log" for _ in range(count))
            yield [stack.enter_context(serving(store, self.key, log)) for log in logs]


def _run(postgres: str, statement: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(postgres)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    try:
        asyncio.run(work())
    except (OSError, asyncpg.PostgresError) as error:
        raise BenchError(f"The PostgreSQL server of --postgres cannot be used: {error}") from None
