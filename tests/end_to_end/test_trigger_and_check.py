"""`trigger` and `check` as a person runs them: against a receiver, and through a server."""
# ruff: noqa: ARG002 - receivers override methods, which need not use every argument

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import wrong_receivers as receivers
from command_line import Finished, Shell, run
from processes import ServerProcess
from terminal import open_terminal
from wrong_receivers import ReadyReceiver

from commerce_event.receiver_check.rules import NAMES

OWN_TYPE = {
    "name": "ParcelSentEvent",
    "category": "Parcel",
    "kind": "event",
    "description": "A parcel was sent.",
    "schema": {
        "type": "object",
        "properties": {
            "ClientId": {"type": "integer"},
            "OrderNo": {"type": "string"},
            "Weight": {"type": "number"},
        },
        "required": ["ClientId", "OrderNo"],
    },
    "example": {"ClientId": 1, "OrderNo": "100", "Weight": 1.5},
}


class Recorder(ReadyReceiver):
    """Keeps what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[tuple[dict[str, str], dict[str, Any]]] = []

    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        self.arrived.append((dict(self.headers), event))

    def authenticate(self, headers: receivers.Headers, body: bytes) -> None:
        super().authenticate(headers, body)
        self.headers = headers


@pytest.fixture
def receiver() -> Iterator[Recorder]:
    made = Recorder()
    with made.running():
        yield made


@pytest.fixture
async def shell(server: ServerProcess) -> Shell:
    await server.start()
    return Shell(server)


async def trigger(receiver: ReadyReceiver, *arguments: str, secret: str | None = None) -> Finished:
    environment = {"COMMERCE_EVENT_SECRET": secret or receiver.secret}
    return await run("trigger", "OrderConfirmedEvent", "--to", receiver.url, *arguments, environment=environment)


async def test_trigger_to_a_url_is_a_signed_delivery(receiver: Recorder) -> None:
    done = await trigger(receiver, "--set", "OrderNo=SO-1", "--set", "OrderId=9007199254740993", "--header", "X-Key: k")

    assert done.code == 0, done.err
    assert " OrderConfirmedEvent was answered 200 (thank you) after " in done.out
    [(headers, event)] = receiver.arrived
    assert (event["OrderNo"], event["OrderId"], event["ClientId"]) == ("SO-1", 9007199254740993, 1)
    assert headers["commerce-event-type"] == "OrderConfirmedEvent"
    assert headers["commerce-event-attempt"] == "1"
    assert headers["x-key"] == "k"
    assert headers["webhook-id"] == done.out.split()[0]


async def test_triggers_are_different_orders_unless_the_seed_is_the_same(receiver: Recorder) -> None:
    await trigger(receiver, "--count", "2")
    for _ in range(2):
        await trigger(receiver, "--seed", "7")

    events = [event for _, event in receiver.arrived]
    assert len({event["OrderId"] for event in events}) == 3
    assert events[2] == events[3]
    assert len({headers["webhook-id"] for headers, _ in receiver.arrived}) == 4


async def test_trigger_that_is_refused_shows_the_reason_and_fails(receiver: Recorder) -> None:
    done = await run("trigger", "OrderConfirmedEvent", "--to", receiver.url, "--json")

    assert done.code == 1
    assert (done.json["status"], done.json["accepted"]) == (401, False)
    assert done.json["reason"] == "no signature matches the body and secret"
    assert "Signed with whsec_" in done.err
    assert done.err.endswith("commerce-event: The event was not answered 2xx.\n")


async def test_trigger_notes_an_unknown_property_and_a_wrong_value(receiver: Recorder) -> None:
    noted = await trigger(receiver, "--set", "Orderno=5")
    wrong = await trigger(receiver, "--set", "OrderId=five")
    unknown = await run("trigger", "OrderConfirmed", "--to", receiver.url)

    assert noted.code == 0
    assert noted.err == "Note: Orderno is not a property of this event type; it is kept. Did you mean OrderNo?\n"
    assert receiver.arrived[0][1]["Orderno"] == 5
    assert (wrong.code, unknown.code) == (2, 2)
    assert "OrderId must be a whole number" in wrong.err
    assert "did you mean OrderConfirmedEvent?" in unknown.err


async def test_trigger_through_a_server_publishes(shell: Shell) -> None:
    done = await shell.json("trigger", "OrderConfirmedEvent", "--set", "OrderNo=SO-1", "--count", "2", "--client", "5")
    refused = await shell("trigger", "OrderConfirmedEvent", "--set", "OrderNo=null")

    listed = await shell.json("events", "list", "--client", "5")
    assert {each["id"] for each in done} == {each["id"] for each in listed}
    assert all(each["data"]["OrderNo"] == "SO-1" for each in done)
    assert refused.code == 2
    assert "Note: OrderNo is required" in refused.err


async def test_trigger_takes_own_event_types_of_the_server(shell: Shell, receiver: Recorder, tmp_path: Path) -> None:
    file = tmp_path / "type.json"
    file.write_text(json.dumps(OWN_TYPE))
    made = await shell("event-types", "create", str(file))
    assert made.code == 0, made.err

    published = await shell.json("trigger", "ParcelSentEvent", "--set", "Weight=2")
    sent = await shell.json(
        "trigger", "ParcelSentEvent", "--set", "OrderNo=7", "--to", receiver.url, "--secret", receiver.secret
    )
    alone = await run("trigger", "ParcelSentEvent", "--to", receiver.url)

    assert published["data"]["Weight"] == 2
    assert (sent["status"], sent["data"]["OrderNo"]) == (200, "7")
    assert alone.code == 2
    assert "need a server" in alone.err


async def test_check_of_a_ready_receiver_passes(receiver: Recorder, tmp_path: Path) -> None:
    junit = tmp_path / "check.xml"
    done = await run(
        "check", receiver.url, "--secret", receiver.secret, "--junit", str(junit), "--type", "OrderDeliveredEvent"
    )

    assert done.code == 0, done.err
    assert done.out.startswith(f"Checking {receiver.url} with OrderDeliveredEvent\n")
    assert "✓ accepts-event" in done.out
    assert "- restart             skipped: it needs a restart" in done.out
    assert "Note: repeat, concurrent-repeat: only the answers were checked" in done.out
    assert done.out.endswith("19 passed, 2 skipped\n")
    root = ET.parse(junit).getroot()
    assert [case.get("name") for case in root.iter("testcase")] == list(NAMES)


async def test_check_of_a_wrong_receiver_fails_with_the_fix(tmp_path: Path) -> None:
    junit = tmp_path / "check.xml"
    with receivers.VerifiesFirstSignature().running() as receiver:
        arguments = ("--secret", receiver.secret, "--only", "two-signatures", "--only", "accepts-event")
        done = await run("check", receiver.url, *arguments, "--junit", str(junit))
        data = await run("check", receiver.url, *arguments, "--json")

    assert done.code == data.code == 1
    assert (
        "✗ two-signatures      failed: with the right signature in second place, the event was answered 401" in done.out
    )
    assert "Fix:  Split webhook-signature at spaces" in done.out
    assert done.err == "commerce-event: The receiver is not ready: two-signatures failed.\n"
    assert [each["state"] for each in data.json["rules"]] == ["passed", "failed"]
    assert receiver.secret not in data.out
    assert len(ET.parse(junit).getroot().findall(".//failure")) == 1


async def test_check_counts_effects_and_restarts_by_commands(receiver: Recorder, tmp_path: Path) -> None:
    program = tmp_path / "count.py"
    program.write_text("print('effects so far: 3')")
    command = shlex.join([sys.executable, str(program)])

    done = await run(
        "check", receiver.url, "--secret", receiver.secret, "--only", "restart",
        "--effects-command", command, "--restart-command", command,
    )  # fmt: skip
    failing = await run(
        "check", receiver.url, "--secret", receiver.secret, "--only", "restart", "--restart-command", "false"
    )
    restarted = await run(
        "check", receiver.url, "--secret", receiver.secret, "--only", "restart", "--restart-command", command
    )

    assert done.code == 1  # the count stays at 3
    assert "no effect was counted within 10 s" in done.out
    assert failing.code == 1
    assert "the receiver was not restarted: false ended with exit code 1" in failing.out
    assert restarted.code == 0, restarted.out


async def test_check_of_nothing_exits_with_2() -> None:
    done = await run("check", "http://127.0.0.1:2/hook", "--header", "X-Key: 1")

    assert done.code == 2
    assert done.err == (
        "commerce-event: Nothing can be sent to http://127.0.0.1:2/hook (connection refused); start the receiver, "
        "or correct the URL.\n"
    )


async def test_escape_codes_of_a_receiver_do_not_reach_the_terminal() -> None:
    class Colourful(ReadyReceiver):
        def authenticate(self, headers: receivers.Headers, body: bytes) -> None:
            raise receivers.RefusedError(401, "\x1b[2J\x1b]0;owned\x07\x9b31mno \u202e")

    with Colourful().running() as receiver:
        checked = await run("check", receiver.url, "--secret", receiver.secret)
        data = await run("check", receiver.url, "--secret", receiver.secret, "--json")
        triggered = await run("trigger", "JobCompletedEvent", "--to", receiver.url, "--secret", receiver.secret)

    for done in (checked, data, triggered):
        assert done.code == 1
        assert all(line.isprintable() for line in (done.out + done.err).splitlines())


async def test_check_on_a_terminal_asks_for_the_restart() -> None:
    with receivers.ForgetsIdsAtRestart().running() as receiver:
        arguments = ("check", receiver.url, "--only", "restart", "--only", "repeat")
        environment = {"COMMERCE_EVENT_SECRET": receiver.secret}
        async with open_terminal() as terminal:
            await terminal.start(*arguments, environment=environment)
            await terminal.until("press Enter; or enter s to skip this rule: ")
            terminal.press("\n")
            assert await terminal.ended() == 0
            assert "✓ restart             passed" in terminal.screen
            assert "2 passed" in terminal.screen
        async with open_terminal() as terminal:
            await terminal.start(*arguments, environment=environment)
            await terminal.until("press Enter")
            terminal.press("s\n")
            assert await terminal.ended() == 0
            assert "skipped by the user" in terminal.screen


async def test_check_that_is_interrupted_ends_at_once() -> None:
    with ReadyReceiver().running() as receiver:
        async with open_terminal() as terminal:
            environment = {"COMMERCE_EVENT_SECRET": receiver.secret}
            await terminal.start("check", receiver.url, "--only", "restart", environment=environment)
            await terminal.until("press Enter")
            terminal.press("\x03")
            assert await terminal.ended() == 130
            assert "commerce-event: Interrupted." in terminal.screen
