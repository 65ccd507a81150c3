"""Workers in processes of their own: killed in the middle of a handler, and forked after the first use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commerce_event_sdk import Delivery
from commerce_event_sdk.inbox import Inbox
from inboxes import PostgresInboxes, SharedDatabase, SqliteInboxes, delivery, worker

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).parents[1] / "support/inbox_process.py"
WAIT_S = 60.0


def start(database: SharedDatabase, mode: str) -> subprocess.Popen[str]:
    where = str(database.path) if isinstance(database, SqliteInboxes) else database.url
    path = os.pathsep.join([str(PROGRAM.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), where, mode], stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture
def inbox(database: SharedDatabase) -> Inbox:
    database.run("CREATE TABLE effects (id TEXT)")
    return database.inbox(clock=time.time)


def test_message_of_a_killed_process_is_handled_by_another_one(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    with start(database, "hang") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
    attempts: list[int | None] = []

    def handler(event: object, got: Delivery) -> None:
        mark = "?" if database.kind == "sqlite" else "%s"
        got.connection.execute(f"INSERT INTO effects (id) VALUES ({mark})", (got.webhook_id,))
        attempts.append(got.attempt)

    made = worker(inbox, handler)
    while not attempts:
        made.run_until_idle()
        time.sleep(0.05)
    assert attempts == [2]
    assert inbox.status().done == 1
    assert database.run("SELECT id FROM effects") == [("a",)]


def test_message_that_kills_its_process_becomes_a_dead_letter(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), "order:1")
    inbox.put(delivery("b"), "order:1")
    for _ in range(2):
        with start(database, "exit") as process:
            assert process.wait(WAIT_S) == 9
    handled: list[str] = []
    made = worker(inbox, lambda _, got: handled.append(got.webhook_id), max_attempts=2)
    while inbox.status().pending:
        made.run_until_idle()
        time.sleep(0.05)
    assert handled == ["b"]
    [message] = inbox.messages(state="dead")
    assert message.error is not None
    assert "its process ended" in message.error
    assert database.run("SELECT id FROM effects") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_inbox_that_was_used_before_a_fork_works_in_both_processes(database: SharedDatabase, inbox: Inbox) -> None:
    with start(database, "fork") as process:
        assert process.wait(WAIT_S) == 0
    assert {each.id for each in inbox.messages()} == {"parent", "child", "parent again"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("mode", ["fork-close", "fork-worker"])
def test_inbox_in_a_forked_process_loses_nothing_when_the_first_process_closes_it(
    mode: str, database: SharedDatabase, inbox: Inbox
) -> None:
    with start(database, mode) as process:
        output, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
    stored = {each.id for each in inbox.messages()}
    assert stored == {"parent", *output.split()}
    if mode == "fork-close" or database.kind == "postgres":
        assert stored == {"parent", "child", "child-again"}


def test_postgres_worker_goes_on_after_its_connections_were_cut(postgres_database: PostgresInboxes) -> None:
    inbox = postgres_database.inbox(clock=time.time)
    handled: list[str] = []
    made = worker(inbox, lambda _, got: handled.append(got.webhook_id), poll_s=0.05).start()
    inbox.put(delivery("a"), None)
    while inbox.status().done < 1:
        time.sleep(0.01)
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres_database.name}'"
    postgres_database.on_server(cut)
    other = postgres_database.inbox(clock=time.time)
    other.put(delivery("b"), None)
    while other.status().done < 2:
        time.sleep(0.01)
    assert made.stop()
    assert handled == ["a", "b"]


def test_sqlite_worker_waits_for_the_write_lock_of_another_program(sqlite_database: SqliteInboxes) -> None:
    inbox = sqlite_database.inbox(clock=time.time)
    inbox.put(delivery("a"), None)
    handled: list[str] = []
    blocker = sqlite_database.connect()
    blocker.execute("BEGIN IMMEDIATE")
    made = worker(inbox, lambda _, got: handled.append(got.webhook_id), poll_s=0.05).start()
    time.sleep(0.2)
    assert handled == []
    blocker.rollback()
    blocker.close()
    while inbox.status().done < 1:
        time.sleep(0.01)
    assert made.stop()
    assert handled == ["a"]
