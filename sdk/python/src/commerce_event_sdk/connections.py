"""Run one SQL statement in the open transaction of a connection of the application.

============================================ ========== ============
connection                                   SQLite     PostgreSQL
============================================ ========== ============
``sqlite3.Connection``                       yes
``psycopg.Connection``, ``AsyncConnection``             yes
``asyncpg.Connection``, also of a pool                  yes
SQLAlchemy ``Connection``, ``Session``       yes        yes
SQLAlchemy ``AsyncConnection`` and Session   yes        yes
Django ``connection``                        yes        yes
============================================ ========== ============

No driver is imported here: a connection is recognised by the name of its class. Nothing is committed or rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

Dialect = Literal["sqlite", "postgres"]

_KINDS: Final = {
    "sqlite3.Connection": "sqlite3",
    "psycopg.Connection": "psycopg",
    "psycopg.AsyncConnection": "psycopg async",
    "asyncpg.Connection": "asyncpg",
    "asyncpg.PoolConnectionProxy": "asyncpg",
    "sqlalchemy.Connection": "sqlalchemy",
    "sqlalchemy.Session": "sqlalchemy session",
    "sqlalchemy.scoped_session": "sqlalchemy session",
    "sqlalchemy.AsyncConnection": "sqlalchemy async",
    "sqlalchemy.AsyncSession": "sqlalchemy async",
    "sqlalchemy.async_scoped_session": "sqlalchemy async scoped",
    "django.BaseDatabaseWrapper": "django",
    "django.ConnectionProxy": "django",
}
_KNOWN_SYNC: Final = "sqlite3, psycopg, SQLAlchemy (Connection, Session) and Django (django.db.connection)"
_KNOWN_ASYNC: Final = "asyncpg, psycopg.AsyncConnection, and SQLAlchemy's AsyncConnection and AsyncSession"
_DIALECTS: Final[Mapping[str, Dialect]] = {"sqlite": "sqlite", "postgresql": "postgres"}
_PLACEHOLDER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")


def execute(connection: Any, sql: str, parameters: Mapping[str, Any]) -> int:
    """Run a statement that returns no rows, and return how many rows it changed.

    ``sql`` names its parameters ``:name``, in lower case. Raises TypeError for an unknown kind of connection and
    ValueError for one that would commit the statement at once (autocommit); errors of the database pass through.
    """
    kind = _kind(connection)
    if kind == "sqlite3":
        _refuse_sqlite_autocommit(connection)
        return int(connection.execute(sql, parameters).rowcount)
    if kind == "psycopg":
        _refuse_psycopg_autocommit(connection)
        return int(connection.execute(translate(sql, "pyformat")[0], parameters).rowcount)
    if kind == "sqlalchemy":
        return _execute_sqlalchemy(connection, sql, parameters)
    if kind == "sqlalchemy session":
        return _execute_sqlalchemy(connection.connection(), sql, parameters)
    if kind == "django":
        return _execute_django(connection, sql, parameters)
    raise _unknown(connection, f"Known are {_KNOWN_SYNC}; for an async connection await the async method")


async def execute_async(connection: Any, sql: str, parameters: Mapping[str, Any]) -> int:
    """Run a statement as :func:`execute` does, on an async connection."""
    kind = _kind(connection)
    if kind == "asyncpg":
        if not connection.is_in_transaction():
            raise _autocommit("begin one with: async with connection.transaction()")
        text, names = translate(sql, "numeric")
        status = await connection.execute(text, *(parameters[name] for name in names))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else -1  # "CREATE TABLE" has none
    if kind == "psycopg async":
        _refuse_psycopg_autocommit(connection)
        cursor = await connection.execute(translate(sql, "pyformat")[0], parameters)
        return int(cursor.rowcount)
    if kind == "sqlalchemy async scoped":
        connection = connection()
    if kind in {"sqlalchemy async", "sqlalchemy async scoped"}:
        return int(await connection.run_sync(execute, sql, parameters))
    raise _unknown(connection, f"Known are {_KNOWN_ASYNC}; for others call the method that is not async")


def dialect_of(connection: Any) -> Dialect:
    """Return which database a connection leads to. Raises TypeError for an unknown connection or database."""
    kind = _kind(connection)
    if kind == "sqlite3":
        return "sqlite"
    if kind in {"psycopg", "psycopg async", "asyncpg"}:
        return "postgres"
    if kind == "django":
        return _dialect(connection.vendor)
    if kind in {"sqlalchemy", "sqlalchemy async"} and hasattr(connection, "dialect"):
        return _dialect(connection.dialect.name)
    if kind is not None:  # a session
        return _dialect(connection.get_bind().dialect.name)
    raise _unknown(connection, f"Known are {_KNOWN_SYNC}, and {_KNOWN_ASYNC}")


def _kind(connection: Any) -> str | None:
    for each in type(connection).__mro__:
        kind = _KINDS.get(f"{each.__module__.partition('.')[0]}.{each.__name__}")
        if kind is not None:
            return kind
    return None


def _dialect(name: str) -> Dialect:
    try:
        return _DIALECTS[name]
    except KeyError:
        raise TypeError(f"a connection to {name}: only SQLite and PostgreSQL are supported") from None


def _execute_sqlalchemy(connection: Any, sql: str, parameters: Mapping[str, Any]) -> int:
    from sqlalchemy import text

    dialect = _dialect(connection.dialect.name)
    if not connection.in_transaction():
        connection.begin()  # what the first statement would do; an event of the application may send BEGIN here
    driver = connection.connection
    if dialect == "sqlite":
        _refuse_sqlite_autocommit(driver.driver_connection)
    elif driver.dbapi_connection.autocommit:
        raise _autocommit("create the engine without isolation_level='AUTOCOMMIT'")
    result = connection.execute(text(sql), parameters, execution_options={"preserve_rowcount": True})
    return int(result.rowcount)


def _execute_django(connection: Any, sql: str, parameters: Mapping[str, Any]) -> int:
    _dialect(connection.vendor)
    if not connection.in_atomic_block and connection.get_autocommit():
        raise _autocommit("begin one with: with transaction.atomic()")
    with connection.cursor() as cursor:
        cursor.execute(translate(sql, "pyformat")[0], parameters)
        return int(cursor.rowcount)


def _refuse_sqlite_autocommit(connection: Any) -> None:
    if connection.in_transaction:
        return
    mode = getattr(connection, "autocommit", -1)  # from Python 3.12; -1 means that isolation_level counts
    if mode is True or (mode == -1 and connection.isolation_level is None):
        raise _autocommit("execute BEGIN first")


def _refuse_psycopg_autocommit(connection: Any) -> None:
    if connection.autocommit and connection.info.transaction_status.name == "IDLE":
        raise _autocommit("begin one with: with connection.transaction()")


def _autocommit(remedy: str) -> ValueError:
    return ValueError(
        "the connection is in autocommit mode without an open transaction, so this would be committed before your "
        f"own work; {remedy}"
    )


def _unknown(connection: Any, known: str) -> TypeError:
    cls = type(connection)
    return TypeError(f"{cls.__module__}.{cls.__qualname__} is no connection that can be used here. {known}.")


@lru_cache(maxsize=256)
def translate(sql: str, style: Literal["pyformat", "numeric"]) -> tuple[str, tuple[str, ...]]:
    """Return a statement in the parameter style of a driver, and the names by number."""
    if style == "pyformat":
        return _PLACEHOLDER.sub(r"%(\1)s", sql.replace("%", "%%")), ()
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(sql)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PLACEHOLDER.sub(lambda match: numbers[match[1]], sql), names
