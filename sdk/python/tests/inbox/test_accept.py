"""Accept on real connections: the id is in the transaction of the work, and a repeat is recognised."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from commerce_event_sdk.connections import dialect_of
from commerce_event_sdk.inbox import Inbox
from inboxes import PostgresInboxes, SharedDatabase, SqliteInboxes

pytestmark = pytest.mark.integration
WAIT_S = 20.0
DJANGO_OPTIONS = {
    "ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "CONN_HEALTH_CHECKS": False, "CONN_MAX_AGE": 0, "HOST": "",
    "OPTIONS": {}, "PASSWORD": "", "PORT": "", "TEST": {}, "TIME_ZONE": None, "USER": "",
}  # fmt: skip


class Rolled(Exception):  # noqa: N818
    """Ends a transaction without committing it."""


def parts_of(database: PostgresInboxes) -> dict[str, str]:
    from psycopg.conninfo import conninfo_to_dict

    return {name: str(value) for name, value in conninfo_to_dict(database.address).items()}


def sqlalchemy_url(database: SharedDatabase) -> Any:
    from sqlalchemy import URL

    if isinstance(database, PostgresInboxes):
        return URL.create("postgresql+psycopg", query=parts_of_url(database))
    return database.url


def parts_of_url(database: PostgresInboxes) -> dict[str, str]:
    return {name: value for name, value in parts_of(database).items() if value}


@contextmanager
def driver(database: SharedDatabase) -> Iterator[Any]:
    """A transaction of sqlite3 or psycopg, begun by the first statement."""
    connection = database.connect()
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


@contextmanager
def explicit(database: SharedDatabase) -> Iterator[Any]:
    """A transaction begun by a statement on a connection in autocommit mode."""
    connection = database.connect()
    try:
        if isinstance(connection, sqlite3.Connection):
            connection.isolation_level = None
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        else:
            connection.autocommit = True
            with connection.transaction():
                yield connection
    finally:
        connection.close()


@contextmanager
def sqlalchemy_connection(database: SharedDatabase) -> Iterator[Any]:
    from sqlalchemy import create_engine

    engine = create_engine(sqlalchemy_url(database))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def sqlalchemy_session(database: SharedDatabase) -> Iterator[Any]:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine(sqlalchemy_url(database))
    try:
        with Session(engine) as session:
            yield session
            session.commit()
    finally:
        engine.dispose()


@contextmanager
def sqlalchemy_scoped_session(database: SharedDatabase) -> Iterator[Any]:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = create_engine(sqlalchemy_url(database))
    registry = scoped_session(sessionmaker(engine))
    try:
        yield registry
        registry.commit()
    finally:
        registry.remove()
        engine.dispose()


@contextmanager
def django_connection(database: SharedDatabase) -> Iterator[Any]:
    """What ``django.db.connection`` is, a proxy of the thread's connection, in ``transaction.atomic()``."""
    with django_wrapper(database) as connection:
        from django.db import connections, transaction
        from django.utils.connection import ConnectionProxy

        with transaction.atomic(using=connection.alias):
            yield ConnectionProxy(connections, connection.alias)


@contextmanager
def django_wrapper(database: SharedDatabase) -> Iterator[Any]:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(DATABASES={}, USE_TZ=True)
        django.setup()
    from django.db import connections

    if isinstance(database, PostgresInboxes):
        parts = parts_of(database)
        given = {"ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"], "HOST": parts.get("host", "")}
        given |= {"USER": parts.get("user", ""), "PORT": parts.get("port", ""), "PASSWORD": parts.get("password", "")}
    else:
        assert isinstance(database, SqliteInboxes)
        given = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database.path)}
    connections.databases["inbox_test"] = {**DJANGO_OPTIONS, **given}
    try:
        yield connections["inbox_test"]
    finally:
        connections["inbox_test"].close()
        del connections["inbox_test"]
        del connections.databases["inbox_test"]


KINDS = [driver, explicit, sqlalchemy_connection, sqlalchemy_session, sqlalchemy_scoped_session, django_connection]
Kind = Callable[[SharedDatabase], Any]


@pytest.mark.parametrize("kind", KINDS)
def test_accept_in_a_committed_transaction_recognises_the_repeat(
    database: SharedDatabase, inbox: Inbox, kind: Kind
) -> None:
    with kind(database) as connection:
        assert dialect_of(connection) == database.kind
        assert inbox.accept(connection, "a") is True
        assert inbox.accept(connection, "a") is False
    with kind(database) as connection:
        assert inbox.accept(connection, "a") is False
        assert inbox.accept(connection, "b:100%") is True
    assert {each.id: each.state for each in inbox.messages()} == {"a": "done", "b:100%": "done"}


@pytest.mark.parametrize("kind", KINDS)
def test_accept_in_a_rolled_back_transaction_is_forgotten(database: SharedDatabase, inbox: Inbox, kind: Kind) -> None:
    with suppress(Rolled), kind(database) as connection:
        assert inbox.accept(connection, "a") is True
        raise Rolled
    assert inbox.messages() == []
    with kind(database) as connection:
        assert inbox.accept(connection, "a") is True


@pytest.mark.parametrize("kind", [driver, sqlalchemy_session, django_connection])
def test_accept_of_a_stored_event_takes_it_from_the_worker(database: SharedDatabase, inbox: Inbox, kind: Kind) -> None:
    from inboxes import delivery

    inbox.put(delivery("a"), None)
    with kind(database) as connection:
        assert inbox.accept(connection, "a") is True
    assert inbox.status().done == 1
    assert inbox.put(delivery("a"), None) is False


def test_accept_when_the_table_is_missing_says_how_to_make_it(database: SharedDatabase) -> None:
    inbox = database.make()
    with pytest.raises(LookupError, match="create_tables"), driver(database) as connection:
        inbox.accept(connection, "a")
    with pytest.raises(LookupError, match="create_tables"), sqlalchemy_connection(database) as connection:
        inbox.accept(connection, "a")
    inbox.close()


def test_accept_on_an_unknown_connection_names_the_known_ones(inbox: Inbox) -> None:
    with pytest.raises(TypeError, match=r"builtins\.object is no connection.*sqlite3, psycopg, SQLAlchemy.*Django"):
        inbox.accept(object(), "a")
    with pytest.raises(TypeError, match="is no connection"):
        dialect_of(object())


async def test_accept_async_on_an_unknown_connection_names_the_known_ones(inbox: Inbox) -> None:
    with pytest.raises(TypeError, match=r"asyncpg.*AsyncSession"):
        await inbox.accept_async(object(), "a")


def test_accept_on_a_database_of_another_kind_is_refused(inbox: Inbox) -> None:
    from unittest.mock import Mock

    from sqlalchemy.engine import Connection

    connection = Connection.__new__(Connection)
    connection.dialect = Mock()
    connection.dialect.name = "mysql"
    with pytest.raises(TypeError, match="mysql: only SQLite and PostgreSQL"):
        inbox.accept(connection, "a")


# Autocommit: the id would be committed before the work.


def test_accept_on_a_driver_connection_in_autocommit_is_refused(database: SharedDatabase, inbox: Inbox) -> None:
    connection = database.connect()
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
    else:
        connection.autocommit = True
    with pytest.raises(ValueError, match="autocommit"):
        inbox.accept(connection, "a")
    connection.close()
    assert inbox.messages() == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has the attribute autocommit from 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_accept_on_sqlite_obeys_the_attribute_autocommit(sqlite_database: SqliteInboxes, autocommit: bool) -> None:
    inbox = sqlite_database.inbox()
    connection = sqlite3.connect(sqlite_database.path, autocommit=autocommit)  # type: ignore[call-overload,unused-ignore]
    if autocommit:
        with pytest.raises(ValueError, match="autocommit"):
            inbox.accept(connection, "a")
    else:
        assert inbox.accept(connection, "a") is True
        connection.rollback()
    connection.close()
    assert inbox.messages() == []


def test_accept_on_sqlalchemy_in_autocommit_is_refused(database: SharedDatabase, inbox: Inbox) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(sqlalchemy_url(database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(ValueError, match="autocommit"):
        inbox.accept(connection, "a")
    engine.dispose()
    assert inbox.messages() == []


def test_accept_on_sqlalchemy_that_begins_by_an_event_is_in_that_transaction(
    sqlite_database: SqliteInboxes,
) -> None:
    """The recipe that gives SQLite real transactions: no isolation level, and BEGIN by an event."""
    from sqlalchemy import create_engine, event

    inbox = sqlite_database.inbox()
    engine = create_engine(sqlite_database.url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection:
        assert inbox.accept(connection, "a") is True
        connection.rollback()
        assert inbox.accept(connection, "a") is True
        connection.rollback()
    engine.dispose()
    assert inbox.messages() == []


def test_accept_on_django_outside_atomic_is_refused(database: SharedDatabase, inbox: Inbox) -> None:
    with django_wrapper(database) as connection, pytest.raises(ValueError, match=r"transaction\.atomic"):
        inbox.accept(connection, "a")
    assert inbox.messages() == []


# Concurrent repeats.


@pytest.mark.parametrize("is_committed", [True, False])
def test_concurrent_repeat_on_postgres_waits_for_the_first(
    postgres_database: PostgresInboxes, is_committed: bool
) -> None:
    inbox = postgres_database.inbox()
    first, second = postgres_database.connect(), postgres_database.connect()
    assert inbox.accept(first, "a") is True
    answers: list[bool] = []

    def repeat() -> None:
        answers.append(inbox.accept(second, "a"))
        second.commit()

    thread = threading.Thread(target=repeat)
    thread.start()
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE pid = {second.info.backend_pid} AND wait_event_type = 'Lock'"
    while not postgres_database.run(waiting):
        assert answers == []
    if is_committed:
        first.commit()
    else:
        first.rollback()
    thread.join(WAIT_S)
    first.close()
    second.close()
    assert answers == [not is_committed]


def test_accept_in_a_deferred_transaction_of_sqlite_takes_the_write_lock(sqlite_database: SqliteInboxes) -> None:
    inbox = sqlite_database.inbox()
    first, second = sqlite_database.connect(), sqlite3.connect(sqlite_database.path, timeout=0)
    assert inbox.accept(first, "a") is True
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        inbox.accept(second, "a")
    second.rollback()
    first.commit()
    assert inbox.accept(second, "a") is False
    first.close()
    second.close()


def test_accept_by_threads_at_once_is_true_for_one(database: SharedDatabase, inbox: Inbox) -> None:
    answers: list[bool] = []
    start = threading.Barrier(6, timeout=WAIT_S)

    def accept() -> None:
        with driver(database) as connection:
            start.wait()
            answers.append(inbox.accept(connection, "a"))

    threads = [threading.Thread(target=accept) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT_S)
    assert sorted(answers) == [False] * 5 + [True]


# Async connections, which lead to PostgreSQL.


@asynccontextmanager
async def asyncpg_connection(database: PostgresInboxes) -> AsyncIterator[Any]:
    import asyncpg

    connection = await asyncpg.connect(database.address)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def asyncpg_pool(database: PostgresInboxes) -> AsyncIterator[Any]:
    import asyncpg

    async with (
        asyncpg.create_pool(database.address, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield connection


@asynccontextmanager
async def psycopg_async(database: PostgresInboxes) -> AsyncIterator[Any]:
    import psycopg

    async with await psycopg.AsyncConnection.connect(database.address) as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_async_connection(database: PostgresInboxes) -> AsyncIterator[Any]:
    async with async_engine(database) as engine, engine.begin() as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_async_session(database: PostgresInboxes) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import AsyncSession

    async with async_engine(database) as engine, AsyncSession(engine) as session:
        yield session
        await session.commit()


@asynccontextmanager
async def sqlalchemy_async_scoped_session(database: PostgresInboxes) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker

    async with async_engine(database) as engine:
        registry = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        try:
            yield registry
            await registry.commit()
        finally:
            await registry.remove()


@asynccontextmanager
async def async_engine(database: PostgresInboxes, driver: str = "asyncpg", **options: Any) -> AsyncIterator[Any]:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import create_async_engine

    parts = parts_of_url(database)
    if driver == "asyncpg":
        url = URL.create(
            "postgresql+asyncpg",
            username=parts.pop("user", None),
            database=parts.pop("dbname"),
            password=parts.pop("password", None),
            query=parts,
        )
    else:
        url = URL.create("postgresql+psycopg", query=parts)
    engine = create_async_engine(url, **options)
    try:
        yield engine
    finally:
        await engine.dispose()


ASYNC_KINDS = [
    asyncpg_connection,
    asyncpg_pool,
    psycopg_async,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
    sqlalchemy_async_scoped_session,
]


@pytest.mark.parametrize("kind", ASYNC_KINDS)
async def test_accept_async_in_a_committed_transaction_recognises_the_repeat(
    postgres_database: PostgresInboxes, kind: Callable[[PostgresInboxes], Any]
) -> None:
    inbox = postgres_database.inbox()
    async with kind(postgres_database) as connection:
        assert dialect_of(connection) == "postgres"
        assert await inbox.accept_async(connection, "a") is True
        assert await inbox.accept_async(connection, "a") is False
    async with kind(postgres_database) as connection:
        assert await inbox.accept_async(connection, "a") is False
    assert [(each.id, each.state) for each in inbox.messages()] == [("a", "done")]


@pytest.mark.parametrize("kind", ASYNC_KINDS)
async def test_accept_async_in_a_rolled_back_transaction_is_forgotten(
    postgres_database: PostgresInboxes, kind: Callable[[PostgresInboxes], Any]
) -> None:
    inbox = postgres_database.inbox()
    with suppress(Rolled):
        async with kind(postgres_database) as connection:
            assert await inbox.accept_async(connection, "a") is True
            raise Rolled
    assert inbox.messages() == []


async def test_accept_async_in_autocommit_is_refused(postgres_database: PostgresInboxes) -> None:
    import asyncpg
    import psycopg

    inbox = postgres_database.inbox()
    connection = await asyncpg.connect(postgres_database.address)
    with pytest.raises(ValueError, match=r"connection\.transaction"):
        await inbox.accept_async(connection, "a")
    await connection.close()
    async with await psycopg.AsyncConnection.connect(postgres_database.address, autocommit=True) as other:
        with pytest.raises(ValueError, match="autocommit"):
            await inbox.accept_async(other, "a")
    for name in ("asyncpg", "psycopg"):
        async with (
            async_engine(postgres_database, name, isolation_level="AUTOCOMMIT") as engine,
            engine.connect() as connection,
        ):
            with pytest.raises(ValueError, match="autocommit"):
                await inbox.accept_async(connection, "a")
    assert inbox.messages() == []


async def test_accept_async_when_the_table_is_missing_says_how_to_make_it(
    postgres_database: PostgresInboxes,
) -> None:
    inbox = postgres_database.make()
    with pytest.raises(LookupError, match="create_tables"):
        async with asyncpg_connection(postgres_database) as connection:
            await inbox.accept_async(connection, "a")
    inbox.close()
