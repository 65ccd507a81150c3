"""The command ``python -m commerce_event_sdk inbox``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commerce_event_sdk import DeadLetter, Delivery
from commerce_event_sdk.__main__ import main
from commerce_event_sdk.inbox import Inbox
from inboxes import SharedDatabase, SqliteInboxes, delivery, worker

pytestmark = pytest.mark.integration


@pytest.fixture
def inbox(database: SharedDatabase) -> Inbox:
    return database.inbox(clock=time.time)


@pytest.fixture
def three(inbox: Inbox) -> Inbox:
    """Have one message in each state, in the order done, dead, pending."""

    def handler(event: object, got: Delivery) -> None:
        if got.webhook_id == "dead\x1b[31m":
            raise DeadLetter("no such article")

    for each in ("done", "dead\x1b[31m"):
        inbox.put(delivery(each), "order:1")
    worker(inbox, handler).run_until_idle()
    inbox.put(delivery("pending"), "order:Malmö")
    return inbox


def run(database: SharedDatabase, *arguments: str) -> int:
    return main(["inbox", arguments[0], "--database", database.url, *arguments[1:]])


def run_json(database: SharedDatabase, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(database, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("three")
def test_status_counts_by_state(database: SharedDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(database, capsys, "status")
    assert (shown["pending"], shown["done"], shown["dead"]) == (1, 1, 1)
    assert shown["oldest_pending_s"] >= 0
    assert run(database, "status") == 0
    assert "the oldest pending message has waited for" in capsys.readouterr().out


@pytest.mark.usefixtures("three")
def test_list_shows_the_newest_first_and_continues(
    database: SharedDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run_json(database, capsys, "list", "--limit", "1")
    assert [each["id"] for each in shown["messages"]] == ["pending"]
    shown = run_json(database, capsys, "list", "--before", "pending")
    assert [each["state"] for each in shown["messages"]] == ["dead", "done"]
    shown = run_json(database, capsys, "list", "--state", "dead")
    assert [each["attempt_count"] for each in shown["messages"]] == [1]


@pytest.mark.usefixtures("three")
def test_list_escapes_what_steers_a_terminal(database: SharedDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(database, "list") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"dead\x1b[31m" in out
    assert "order:Malmö" in out


@pytest.mark.usefixtures("three")
def test_show_has_the_body_and_the_traceback(database: SharedDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(database, capsys, "show", "dead\x1b[31m")
    assert json.loads(shown["body"])["ClientId"] == 7
    assert "DeadLetter: no such article" in shown["error"]
    assert run(database, "show", "dead\x1b[31m") == 0
    out = capsys.readouterr().out
    assert "in handler" in out
    assert "\x1b" not in out
    assert run(database, "show", "done") == 0
    assert "not kept" in capsys.readouterr().out


def test_retry_makes_dead_letters_pending(
    three: Inbox, database: SharedDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_json(database, capsys, "retry", "--all-dead") == {"retried": 1}
    assert three.status().pending == 2
    assert run(database, "retry", "done", "pending") == 1
    captured = capsys.readouterr()
    assert captured.out == "1 message retried\n"
    assert captured.err == "inbox: done is done, runs, or is not in the inbox\n"


def test_discard_gives_messages_up(three: Inbox, database: SharedDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(database, "discard", "pending", "dead\x1b[31m") == 0
    assert capsys.readouterr().out == "2 messages discarded\n"
    assert three.status().done == 3
    assert run(database, "discard", "pending", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"discarded": 0, "unchanged": ["pending"]}


def test_purge_deletes_finished_messages(
    three: Inbox, database: SharedDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_json(database, capsys, "purge", "--older-than", "1h") == {"deleted": 0}
    assert run_json(database, capsys, "purge", "--older-than", "0s") == {"deleted": 1}
    assert run_json(database, capsys, "purge", "--older-than", "0s", "--state", "dead") == {"deleted": 1}
    assert three.status().pending == 1


def test_command_on_a_database_without_inbox_creates_nothing(
    database: SharedDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(database, SqliteInboxes):
        assert not database.path.exists()
    assert run(database, "status") == 1
    assert capsys.readouterr().err.startswith("inbox: this database has no inbox")
    assert database.make().database.read_version() is None
    if isinstance(database, SqliteInboxes):
        assert not database.path.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://x/y", "must be sqlite:///path or postgresql://"),
        ("postgresql://127.0.0.1:1/nothing", "PostgreSQL: "),
        ("sqlite:///", "needs the path of a file"),
    ],
)
def test_command_with_a_wrong_database_fails_with_one_sentence(
    url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inbox", "status", "--database", url]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_command_with_a_message_that_is_not_there_fails(
    inbox: Inbox, database: SharedDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(database, "show", "nothing") == 1
    assert capsys.readouterr().err == "inbox: nothing is not in the inbox\n"
    assert run(database, "list", "--before", "nothing") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["inbox"],
        ["inbox", "list", "--database", "sqlite:///x", "--limit", "0"],
        ["inbox", "list", "--database", "sqlite:///x", "--limit", "1001"],
        ["inbox", "purge", "--database", "sqlite:///x"],
        ["inbox", "purge", "--database", "sqlite:///x", "--older-than", "soon"],
        ["inbox", "retry", "--database", "sqlite:///x"],
        ["inbox", "list"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMMERCE_EVENT_INBOX_DATABASE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_module_without_a_known_command_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox"]) == 2
    assert "python -m commerce_event_sdk inbox" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_module_runs_as_a_program(sqlite_database: SqliteInboxes, tmp_path: Path) -> None:
    sqlite_database.inbox(clock=time.time).put(delivery("a"), None)
    command = [sys.executable, "-m", "commerce_event_sdk", "inbox", "list", "--json"]
    environment = {**os.environ, "COMMERCE_EVENT_INBOX_DATABASE": sqlite_database.url, "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert [each["id"] for each in json.loads(done.stdout)["messages"]] == ["a"]
