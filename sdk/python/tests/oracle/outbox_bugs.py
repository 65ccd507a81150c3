"""Seeded bugs of the outbox and its relay, each with the rule that must be broken."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from commerce_event_sdk.outbox import Outbox
from commerce_event_sdk.outbox.sqlite_store import SqliteOutboxStore


class Bug(NamedTuple):
    """A bug, and the beginning of the violation that it must cause."""

    put_in: Callable[[], None]
    rule: str


BUGS: dict[str, Bug] = {}


def put_in(name: str) -> None:
    """Put a bug into this process; "none" is none."""
    if name != "none":
        BUGS[name].put_in()


def _bug(rule: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def remember(put: Callable[[], None]) -> Callable[[], None]:
        BUGS[put.__name__] = Bug(put, rule)
        return put

    return remember


@_bug("published without an order")
def commits_the_event_before_the_order() -> None:
    def add(outbox: Outbox, connection: Any, *arguments: Any) -> str:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        connection.rollback()  # the event has a transaction of its own, and the order is lost
        import sqlite3

        own = sqlite3.connect(path, timeout=10)
        with own:
            found = before(outbox, own, *arguments)
        own.close()
        return found

    before = Outbox.add
    _set(Outbox, "add", add)


@_bug("lost")
def deletes_before_it_sends() -> None:
    def read(store: Any, max_events: int, max_bytes: int) -> list[Any]:
        found: list[Any] = before(store, max_events, max_bytes)
        if found:
            store.settle(found, [])
        return found

    before = SqliteOutboxStore.read
    _set(SqliteOutboxStore, "read", read)


@_bug("doubled")
def sends_each_time_under_another_id() -> None:
    def read(store: Any, max_events: int, max_bytes: int) -> list[Any]:
        return [replace(each, id=str(uuid.uuid4())) for each in before(store, max_events, max_bytes)]

    before = SqliteOutboxStore.read
    _set(SqliteOutboxStore, "read", read)


@_bug("order")
def sends_the_newest_first() -> None:
    def read(store: Any, max_events: int, max_bytes: int) -> list[Any]:
        return before(store, max_events, max_bytes)[::-1]

    before = SqliteOutboxStore.read
    _set(SqliteOutboxStore, "read", read)


@_bug("dead message is not visible")
def forgets_what_was_refused() -> None:
    def settle(store: Any, accepted: Sequence[Any], dead: Sequence[tuple[Any, str]]) -> None:
        before(store, [*accepted, *(message for message, _ in dead)], [])

    before = SqliteOutboxStore.settle
    _set(SqliteOutboxStore, "settle", settle)


def _set(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"the bug is about {name}, which is gone"
    setattr(owner, name, value)
