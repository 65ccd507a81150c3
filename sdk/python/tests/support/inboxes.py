"""Inboxes on a database of the test's own, and events for them."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from commerce_event_sdk import Delivery, Receiver
from commerce_event_sdk.inbox import Inbox, Worker

T0 = 1_800_000_000.0
HEADER = ("x-secret", "static-value")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class SharedDatabase(ABC):
    """A database that inboxes and the application share."""

    kind: str

    def __init__(self) -> None:
        self.clock = Clock()
        self._open: list[Inbox] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for the command line."""

    @abstractmethod
    def make(self, **options: Any) -> Inbox: ...

    @abstractmethod
    def connect(self) -> Any:
        """Open a connection as an application does, in the default mode of the driver."""

    def inbox(self, **options: Any) -> Inbox:
        """Return an inbox with tables, which is closed after the test."""
        inbox = self.make(**{"clock": self.clock, **options})
        self._open.append(inbox)
        inbox.create_tables()
        return inbox

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement and commit; return its rows."""
        with closing(self.connect()) as connection:
            cursor = connection.execute(sql)
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
            return rows

    def close(self) -> None:
        for inbox in self._open:
            inbox.close()


class SqliteInboxes(SharedDatabase):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "inbox.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def make(self, **options: Any) -> Inbox:
        return Inbox.sqlite(self.path, **options)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)


class PostgresInboxes(SharedDatabase):
    kind = "postgres"

    def __init__(self) -> None:
        postgres = pytest.importorskip("postgres", reason="the server's test support is not there")
        import psycopg

        super().__init__()
        self._server = postgres.server_url()
        self.name = postgres.new_name()
        self.address = postgres.in_database(self._server, self.name)
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE \"{self.name}\" ENCODING 'UTF8' TEMPLATE template0")

    @property
    def url(self) -> str:
        return str(self.address)

    def make(self, **options: Any) -> Inbox:
        return Inbox.postgres(self.address, **options)

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(self.address)

    def on_server(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.encode())

    def close(self) -> None:
        super().close()
        self.on_server(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


def delivery(message_id: str, event_type: str = "PickingStarted", **options: Any) -> Delivery:
    """Return a delivery of a type without a class, so that tests of the inbox need no whole events."""
    body = json.dumps({"ClientId": 7, "Number": message_id}).encode()
    return Delivery(event_type=event_type, message_id=message_id, body=body, **options)


def receiver(handler: Callable[..., Any], inbox: Inbox | None = None) -> Receiver:
    """Return a receiver whose only handler gets everything."""
    made = Receiver(header=HEADER, inbox=inbox)
    made.on("*")(handler)
    return made


def worker(inbox: Inbox, handler: Callable[..., Any], **options: Any) -> Worker:
    """Return a worker that calls the handler with the event and its delivery."""
    return inbox.worker(receiver(handler), **options)
