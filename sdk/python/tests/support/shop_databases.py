"""Databases of an application with an outbox, in SQLite and in PostgreSQL, and the ways to connect to them."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from commerce_event_sdk.outbox import Outbox

_NUMBERS = itertools.count(1)


class Shop:
    """A database with the table of the outbox; ``url`` is what the relay is given."""

    def __init__(self, kind: str, url: str, connect: Callable[[], Any]) -> None:
        self.kind = kind
        self.url = url
        self.connect = connect

    def rows(self, columns: str = "id, event_type, business_key, data, state") -> list[tuple[Any, ...]]:
        """Return what other connections see, in the order of positions."""
        with closing(self.connect()) as connection:
            found = connection.execute(f"SELECT {columns} FROM commerce_event_outbox ORDER BY position").fetchall()
            return [tuple(row) for row in found]

    def commit(self, *statements: str) -> None:
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()


@contextmanager
def sqlite_shop(folder: Path, *, with_table: bool = True) -> Iterator[Shop]:
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    shop = Shop("sqlite", f"sqlite:///{path}", lambda: sqlite3.connect(path, timeout=30))
    if with_table:
        _create_table(shop)
    yield shop


@contextmanager
def postgres_shop(_folder: Path, *, with_table: bool = True) -> Iterator[Shop]:
    import psycopg
    from postgres import server_url

    name = f"commerce_event_shop_{os.getpid()}_{next(_NUMBERS)}"
    url = urlunsplit(urlsplit(server_url())._replace(path=f"/{name}"))
    with psycopg.connect(server_url(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0".encode())
        shop = Shop("postgres", url, lambda: psycopg.connect(url))
        try:
            if with_table:
                _create_table(shop)
            yield shop
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


SHOPS = {"sqlite": sqlite_shop, "postgres": postgres_shop}


def _create_table(shop: Shop) -> None:
    with closing(shop.connect()) as connection:
        Outbox().create_tables(connection)
        connection.commit()


class Work(NamedTuple):
    """A connection as the application has it, and the ends of its transaction."""

    connection: Any
    commit: Callable[[], Any]
    rollback: Callable[[], Any]


@contextmanager
def plain(shop: Shop) -> Iterator[Work]:
    with closing(shop.connect()) as connection:
        yield Work(connection, connection.commit, connection.rollback)


def sqlalchemy_url(shop: Shop) -> str:
    return shop.url.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def sqlalchemy_connection(shop: Shop) -> Iterator[Work]:
    from sqlalchemy import create_engine

    engine = create_engine(sqlalchemy_url(shop))
    with engine.connect() as connection:
        yield Work(connection, connection.commit, connection.rollback)
    engine.dispose()


@contextmanager
def sqlalchemy_session(shop: Shop) -> Iterator[Work]:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine(sqlalchemy_url(shop))
    with Session(engine) as session:
        yield Work(session, session.commit, session.rollback)
    engine.dispose()


@contextmanager
def django_connection(shop: Shop) -> Iterator[Work]:
    import django
    from django.apps import apps
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(DATABASES={})
    if not apps.ready:
        django.setup()
    alias = f"shop_{next(_NUMBERS)}"
    if shop.kind == "sqlite":
        wanted = {"ENGINE": "django.db.backends.sqlite3", "NAME": shop.url.removeprefix("sqlite:///")}
    else:
        import psycopg

        parts = psycopg.conninfo.conninfo_to_dict(shop.url)
        wanted = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": str(parts["dbname"]),
            "USER": str(parts.get("user", "")),
            "PASSWORD": str(parts.get("password", "")),
            "HOST": str(parts.get("host", "")),
            "PORT": str(parts.get("port", "")),
        }
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: wanted})[alias]
    connection = connections[alias]
    connection.set_autocommit(False)
    try:
        yield Work(connection, connection.commit, connection.rollback)
    finally:
        connection.close()


WAYS = {
    "plain": plain,
    "sqlalchemy connection": sqlalchemy_connection,
    "sqlalchemy session": sqlalchemy_session,
    "django": django_connection,
}


@asynccontextmanager
async def asyncpg_connection(shop: Shop) -> AsyncIterator[Work]:
    import asyncpg

    connection = await asyncpg.connect(shop.url)
    transaction = connection.transaction()
    await transaction.start()
    yield Work(connection, transaction.commit, transaction.rollback)
    await connection.close()


@asynccontextmanager
async def psycopg_async_connection(shop: Shop) -> AsyncIterator[Work]:
    import psycopg

    async with await psycopg.AsyncConnection.connect(shop.url) as connection:
        yield Work(connection, connection.commit, connection.rollback)


@asynccontextmanager
async def sqlalchemy_async_connection(shop: Shop) -> AsyncIterator[Work]:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(sqlalchemy_url(shop))
    async with engine.connect() as connection:
        yield Work(connection, connection.commit, connection.rollback)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_session(shop: Shop) -> AsyncIterator[Work]:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(sqlalchemy_url(shop).replace("+psycopg", "+asyncpg"))
    async with AsyncSession(engine) as session:
        yield Work(session, session.commit, session.rollback)
    await engine.dispose()


ASYNC_WAYS = {
    "asyncpg": asyncpg_connection,
    "psycopg": psycopg_async_connection,
    "sqlalchemy connection": sqlalchemy_async_connection,
    "sqlalchemy session": sqlalchemy_async_session,
}
