"""Put: durable before it returns, and in bounded time when the database is locked, full or gone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from commerce_event_sdk import Delivery
from commerce_event_sdk.inbox import Inbox, InboxUnavailableError, writer
from commerce_event_sdk.inbox.sqlite import SqliteDatabase, SqliteSession
from inboxes import HEADER, T0, PostgresInboxes, SharedDatabase, SqliteInboxes, delivery, receiver

pytestmark = pytest.mark.integration
WAIT_S = 20.0


def test_put_of_a_new_event_is_in_the_database_when_it_returns(database: SharedDatabase, inbox: Inbox) -> None:
    assert inbox.put(delivery("a", sequence=3), "order:1") is True
    columns = "id, event_type, client_id, business_key, sequence, state, attempt_count, received_at, next_attempt_at"
    assert database.run(f"SELECT {columns} FROM commerce_event_inbox") == [
        ("a", "PickingStarted", 7, "order:1", 3, "pending", 0, T0, T0)
    ]


def test_put_of_a_repeat_is_false_and_changes_nothing(inbox: Inbox) -> None:
    assert inbox.put(delivery("a"), "order:1") is True
    assert inbox.put(delivery("a", "Other"), "order:2") is False
    [message] = inbox.messages()
    assert (message.event_type, message.business_key) == ("PickingStarted", "order:1")


async def test_put_async_stores_each_of_many_once(inbox: Inbox) -> None:
    answers = await asyncio.gather(*(inbox.put_async(delivery(str(n % 50)), None) for n in range(200)))
    assert sum(answers) == 50
    assert inbox.status().pending == 50


def test_put_by_threads_of_the_same_ids_is_true_once_for_each(database: SharedDatabase, inbox: Inbox) -> None:
    other = database.inbox()
    answers: list[tuple[str, bool]] = []

    def put(into: Inbox) -> None:
        answers.extend((name, into.put(delivery(name), None)) for name in map(str, range(40)))

    threads = [threading.Thread(target=put, args=(each,)) for each in (inbox, inbox, other, other)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT_S)
    assert sorted(name for name, is_new in answers if is_new) == sorted(map(str, range(40)))
    assert len(answers) == 160


def test_put_stores_no_secret_header(database: SharedDatabase, inbox: Inbox) -> None:
    secret = {"webhook-signature": "v1,SECRET", "authorization": "SECRET", "cookie": "SECRET", "x-key": "SECRET"}
    inbox.put(delivery("a", headers={**secret, "commerce-event-type": "T", "traceparent": "00-1"}), None)
    [(headers,)] = database.run("SELECT headers FROM commerce_event_inbox")
    assert headers == '{"commerce-event-type": "T", "traceparent": "00-1"}'


@pytest.mark.parametrize("text", ["nul\0", "lone\udc80", "Malmö 🛒"])
def test_put_of_an_unusual_id_recognises_its_repeat(inbox: Inbox, text: str) -> None:
    assert inbox.put(delivery(text), text) is True
    assert inbox.put(delivery(text), text) is False


def test_put_of_a_delivery_without_id_is_refused(inbox: Inbox) -> None:
    with pytest.raises(LookupError):
        inbox.put(Delivery(event_type="T", message_id=None, body=b"{}"), None)


def test_put_of_a_body_that_is_no_json_is_stored(inbox: Inbox) -> None:
    assert inbox.put(Delivery(event_type="T", message_id="a", body=b"\xff"), None) is True
    message = inbox.message("a")
    assert message is not None
    assert (message.body, message.client_id) == (b"\xff", None)


def test_put_of_what_the_database_refuses_fails_alone(inbox: Inbox, database: SharedDatabase) -> None:
    with blocked(database) as unblock:
        outcomes = put_in_background(inbox, [delivery("a"), delivery("b", sequence=2**80), delivery("c")])
        unblock()
        results = [each() for each in outcomes]
    assert results[0] is True
    assert isinstance(results[1], Exception)
    assert results[2] is True
    assert inbox.put(delivery("d"), None) is True


def put_in_background(inbox: Inbox, deliveries: list[Delivery]) -> list[Callable[[], Any]]:
    """Put from threads; each of the functions returned waits for the result or exception of one."""

    def start(each: Delivery) -> Callable[[], Any]:
        result: list[Any] = []

        def put() -> None:
            try:
                result.append(inbox.put(each, None))
            except Exception as error:
                result.append(error)

        thread = threading.Thread(target=put)
        thread.start()

        def wait() -> Any:
            thread.join(WAIT_S)
            return result[0]

        return wait

    return [start(each) for each in deliveries]


@contextmanager
def blocked(database: SharedDatabase) -> Iterator[Callable[[], None]]:
    """Hold a lock that no put can pass, until the function is called."""
    connection = database.connect()
    if isinstance(connection, sqlite3.Connection):
        connection.execute("BEGIN IMMEDIATE")
    else:
        connection.execute("LOCK TABLE commerce_event_inbox IN ACCESS EXCLUSIVE MODE")
    try:
        yield connection.rollback
    finally:
        connection.close()


def test_put_into_a_locked_database_raises_and_the_receiver_answers_503(database: SharedDatabase) -> None:
    inbox = database.inbox(put_timeout_s=0.2)
    made = receiver(lambda *_: None, inbox)
    headers = {**dict([HEADER]), "webhook-id": "a", "commerce-event-type": "PickingStarted"}
    with blocked(database):
        with pytest.raises(InboxUnavailableError, match=r"0\.2 s"):
            inbox.put(delivery("b"), None)
        assert made.handle(headers, b"{}").status == 503
    inbox.close()
    inbox = database.inbox()
    made = receiver(lambda *_: None, inbox)
    assert made.handle(headers, b"{}").status == 202
    assert inbox.message("a") is not None


async def test_put_async_into_a_locked_database_raises(database: SharedDatabase) -> None:
    inbox = database.inbox(put_timeout_s=0.2)
    with blocked(database), pytest.raises(InboxUnavailableError, match=r"0\.2 s"):
        await inbox.put_async(delivery("a"), None)


def test_put_that_ended_its_wait_before_the_write_is_not_stored(database: SharedDatabase) -> None:
    """The first put keeps the writer busy; the second one waits in the queue and gives up."""
    inbox = database.inbox(put_timeout_s=0.3) if database.kind == "sqlite" else None
    inbox = inbox or database.inbox(put_timeout_s=0.3, writers=1)
    with blocked(database):
        for each in ("a", "b"):
            with pytest.raises(InboxUnavailableError):
                inbox.put(delivery(each), None)
    inbox.close()
    assert [each.id for each in database.inbox().messages()] in (["a"], [])


def test_put_into_a_full_queue_raises_at_once(database: SharedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_BYTES_MAX", 100)
    inbox = database.inbox(put_timeout_s=WAIT_S)
    with blocked(database):
        with pytest.raises(InboxUnavailableError, match="wait to be stored already"):
            inbox.put(Delivery(event_type="T", message_id="a", body=b"x" * 101), None)
        monkeypatch.setattr(writer, "QUEUE_MAX", 0)
        with pytest.raises(InboxUnavailableError, match="wait to be stored already"):
            inbox.put(delivery("b"), None)


def test_put_after_close_is_refused(inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    inbox.close()
    with pytest.raises(RuntimeError, match="closed"):
        inbox.put(delivery("b"), None)


def test_put_when_the_server_is_gone_raises_and_later_works_again(postgres_database: PostgresInboxes) -> None:
    inbox = postgres_database.inbox()
    inbox.put(delivery("a"), None)
    name = postgres_database.name
    postgres_database.on_server(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
    postgres_database.on_server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for each in ("b", "c"):
        with pytest.raises(InboxUnavailableError, match="PostgreSQL"):
            inbox.put(delivery(each), None)
    postgres_database.on_server(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    assert inbox.put(delivery("b"), None) is True
    assert inbox.put(delivery("a"), None) is False


def test_put_when_no_server_listens_raises() -> None:
    inbox = Inbox.postgres("postgresql://127.0.0.1:1/nothing")
    with pytest.raises(InboxUnavailableError, match="PostgreSQL"):
        inbox.put(delivery("a"), None)
    inbox.close()


def test_put_on_a_full_disk_raises_and_loses_nothing_that_was_stored(
    sqlite_database: SqliteInboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = SqliteDatabase._connect
    pages = [64]

    def limited(database: SqliteDatabase) -> SqliteSession:
        session = connect(database)
        session.raw.execute(f"PRAGMA max_page_count = {pages[0]}")  # the same error as a full disk: SQLITE_FULL
        return session

    monkeypatch.setattr(SqliteDatabase, "_connect", limited)
    inbox = sqlite_database.inbox()
    stored: list[str] = []

    def fill() -> None:
        for number in range(100):
            inbox.put(Delivery(event_type="T", message_id=str(number), body=b"x" * 10_000), None)
            stored.append(str(number))

    with pytest.raises(InboxUnavailableError, match="full"):
        fill()
    assert stored
    assert {each.id for each in inbox.messages()} == set(stored)
    pages[0] = 10_000
    assert inbox.put(delivery("later"), None) is True


def test_put_where_no_file_can_be_raises(tmp_path: Path) -> None:
    inbox = Inbox.sqlite(tmp_path / "no" / "folder" / "inbox.db")
    with pytest.raises(InboxUnavailableError, match="unable to open"):
        inbox.put(delivery("a"), None)
    inbox.close()


@pytest.mark.parametrize("path", [":memory:", "", "file:x?mode=memory"])
def test_inbox_in_memory_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="needs the path of a file"):
        Inbox.sqlite(path)


def test_sqlite_commits_are_synced(sqlite_database: SqliteInboxes) -> None:
    with sqlite_database.inbox().session() as session:
        assert session.query("PRAGMA journal_mode", {}) == [("wal",)]
        assert session.query("PRAGMA synchronous", {}) == [(2,)]


def test_postgres_commits_are_synced_with_any_setting_of_the_role(postgres_database: PostgresInboxes) -> None:
    postgres_database.on_server(f'ALTER DATABASE "{postgres_database.name}" SET synchronous_commit = off')
    with postgres_database.inbox().session() as session:
        assert session.query("SHOW synchronous_commit", {}) == [("on",)]
