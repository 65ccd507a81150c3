"""`commerce-event listen` with a real server and a real local program: what is sent, shown and repeated."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_server import Receiver, expect, plain_client
from api_server import listening as serving
from api_server import running_receiver as running_program
from command_line import DEADLINE_S, Finished, Shell, finished, interrupt, run, start
from hostile_receiver import HostileServer
from ports import free_port
from processes import ADMIN_KEY, ServerProcess
from terminal import open_terminal

from commerce_event.core.signatures import new_secret, verify

ORDER = {"ClientId": 1, "ApplicationId": 1, "OrderId": 1, "ClientOrderRef": "B-1", "Source": "WEB"}
JOB = {"ClientId": 1, "JobId": 7, "StatusId": 2}
SECRET = re.compile(r"whsec_\S+")
ESCAPES = ("\x1b[31mred\x1b]0;title\x07", "\u202eright to left", "\x9b2J")


@pytest.fixture
async def shell(server: ServerProcess) -> Shell:
    await server.start()
    return Shell(server)


@pytest.fixture
async def program() -> AsyncIterator[Receiver]:
    """Return a local program, whose answers the test chooses."""
    async with running_program() as running:
        yield running


class Listening:
    """A running `listen` whose output goes to pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.err = ""

    async def said(self, text: str) -> str:
        """Return the line of standard error that has a text, once it is there."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while True:
                line = (await self.process.stderr.readline()).decode()
                self.err += line
                if text in line:
                    return line
                assert line, f"ended without {text!r}: {self.err}"

    async def line(self) -> str:
        """Return the next line of standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            return (await self.process.stdout.readline()).decode()

    async def stop(self, number: signal.Signals = signal.SIGINT) -> Finished:
        done = await interrupt(self.process, number)
        done.err = self.err + done.err
        return done


async def listening(shell: Shell, *arguments: str, **environment: str) -> Listening:
    """Start listening, and return once no later event can be missed."""
    running = Listening(await start("listen", *arguments, environment={**shell.environment, **environment}))
    await running.said("Listening to the events of client")
    return running


async def publish(shell: Shell, *events: tuple[str, dict[str, Any]]) -> list[Any]:
    """Publish events one after the other; return what the server answered."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with plain_client(shell.environment["COMMERCE_EVENT_URL"], headers) as client:
        return [expect(await client.post(f"/v1/events/{name}", json=body), 202) for name, body in events]


def order(number: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return "OrderConfirmedEvent", {**ORDER, "OrderId": number, "OrderNo": f"SO-{number}", **more}


async def until_arrived(program: Receiver, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(program.arrived) < count:
            await asyncio.sleep(0.005)


# -- What is sent


async def test_listen_sends_new_events_like_deliveries_and_shows_the_answers(shell: Shell, program: Receiver) -> None:
    await publish(shell, order(1))
    running = await listening(shell, "--client", "1", "--forward-to", f"{program.url}/hook", "--header", "X-Shop: 7")
    [secret] = SECRET.findall(await running.said("Signing secret of this session"))
    body = json.dumps({**order(2)[1], "Amount": 9007199254740993, "Price": 1.50})
    accepted = await shell.json("publish", "OrderConfirmedEvent", stdin=body)
    first = await running.line()
    program.answer_with(500, {}, b'{"detail": "the database is locked", "more": 1}')
    await publish(shell, ("JobCompletedEvent", JOB))
    second = await running.line()
    done = await running.stop()

    arrival, other = program.arrived
    assert arrival.path == "/hook"
    assert arrival.body.decode() == body
    verify([secret], arrival.headers, arrival.body, time.time())
    named = ("webhook-id", "commerce-event-type", "commerce-event-attempt", "commerce-event-sequence", "x-shop")
    assert [arrival.headers[name] for name in named] == [accepted["id"], "OrderConfirmedEvent", "1", "2", "7"]
    assert (arrival.headers["content-type"], other.headers["commerce-event-sequence"]) == ("application/json", "3")
    assert re.fullmatch(r"\d\d:\d\d:\d\d +#1 +OrderConfirmedEvent +Order SO-2 · ref\. B-1 +200 +\d+ ms\n", first)
    assert re.search(r"#2 +JobCompletedEvent +Job 7 +500 +\d+ ms  the receiver had an internal error; ", second)
    assert second.endswith("it says: the database is locked\n")
    assert done.code == 1
    assert done.err.endswith("commerce-event: Stopped: 2 events forwarded, 1 answered 2xx, 1 not.\n")


async def test_listen_first_sends_the_last_events_of_the_wanted_types(shell: Shell, program: Receiver) -> None:
    await publish(shell, order(1), ("JobCompletedEvent", JOB), order(2), ("JobCompletedEvent", JOB), order(3))
    secret = new_secret("hmac")
    made = await shell.json("keys", "create", "--role", "read", "--client", "1")
    running = await listening(
        shell, "--forward-to", f"{program.url}/hook", "--types", "Order,SkuChangedNotification", "--last", "2", "--json",
        COMMERCE_EVENT_SECRET=secret, COMMERCE_EVENT_KEY=made["key"],
    )  # fmt: skip
    shown = [json.loads(await running.line()) for _ in range(2)]
    await publish(shell, ("JobCompletedEvent", JOB), order(4))
    shown.append(json.loads(await running.line()))
    done = await running.stop(signal.SIGTERM)

    assert [(each["subject"], each["sequence"], each["status"]) for each in shown] == [
        ("Order SO-2 · ref. B-1", 3, 200), ("Order SO-3 · ref. B-1", 5, 200), ("Order SO-4 · ref. B-1", 7, 200),
    ]  # fmt: skip
    assert len(program.arrived) == 3
    for arrival in program.arrived:
        verify([secret], arrival.headers, arrival.body, time.time())
    assert secret not in done.err
    assert (done.code, done.err.splitlines()[-1]) == (0, "Stopped: 3 events forwarded, 3 answered 2xx, 0 not.")


async def test_listen_knows_event_types_that_are_made_meanwhile(shell: Shell, program: Receiver) -> None:
    running = await listening(
        shell, "--client", "1", "--forward-to", program.url, "--types", "System", "--types", "OrderConfirmedEvent"
    )
    wanted = {"name": "JobPaused", "category": "System", "schema": {"type": "object"}, "example": {"ClientId": 1}}
    assert (await shell("event-types", "create", stdin=json.dumps(wanted))).code == 0
    await publish(
        shell,
        ("CustomerChangedNotification", {"ClientId": 1, "CustomerId": 5, "EntityChanged": "tClientCustomer"}),
        ("JobPaused", {"ClientId": 1}),
    )
    assert "JobPaused" in await running.line()
    assert (await running.stop()).code == 0


async def test_listen_with_print_shows_bodies_and_sends_nothing(shell: Shell) -> None:
    await publish(shell, order(1))
    running = await listening(shell, "--client", "1", "--print", "--last", "1")
    assert (await running.line()).endswith("Order SO-1 · ref. B-1\n")
    shown = [await running.line() for _ in range(8)]
    assert json.loads("".join(shown)) == order(1)[1]
    done = await running.stop()
    assert (done.code, done.err.splitlines()[-1]) == (0, "Stopped after 1 event.")
    assert "secret" not in done.err


async def test_listen_does_not_follow_redirects(shell: Shell, program: Receiver) -> None:
    running = await listening(shell, "--client", "1", "--forward-to", f"{program.url}/hook")
    program.answer_with(307, {"location": f"{program.url}/other"}, b"")
    await publish(shell, order(1))
    assert "307  " in (line := await running.line())
    assert "and listen does not follow redirects" in line
    assert [each.path for each in program.arrived] == ["/hook"]
    assert (await running.stop()).code == 1


# -- What is refused


WRONG: list[tuple[list[str], str]] = [
    (["--client", "1"], "Give --forward-to URL, or --print to see the events without sending them"),
    (["--client", "1", "--forward-to", "ftp://localhost/"], "--forward-to: the URL must start with https://"),
    (["--client", "1", "--print", "--types", "OrderConfirmedEvnt"], "did you mean OrderConfirmedEvent?"),
    (["--client", "3000000000", "--print"], "--client"),
    (["--print"], "Name the client with --client"),
]


async def test_listen_with_wrong_arguments_is_refused(shell: Shell) -> None:
    for arguments, sentence in WRONG:
        done = await shell("listen", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert sentence in done.err
        assert len(done.err.splitlines()) == 1


async def test_listen_with_a_key_that_may_not_read_the_client_is_refused(shell: Shell) -> None:
    for role, client in (("publish", "1"), ("read", "2")):
        made = await shell.json("keys", "create", "--role", role, "--client", client)
        environment = {**shell.environment, "COMMERCE_EVENT_KEY": made["key"]}
        done = await run("listen", "--client", "1", "--print", environment=environment)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err


async def test_listen_ends_when_its_key_is_revoked(shell: Shell, program: Receiver) -> None:
    made = await shell.json("keys", "create", "--role", "read", "--client", "1")
    running = await listening(shell, "--forward-to", program.url, COMMERCE_EVENT_KEY=made["key"])
    await shell("keys", "revoke", made["id"])
    await publish(shell, order(1))
    done = await finished(running.process)
    assert done.code == 2
    assert "This key is unknown or revoked" in done.err
    assert program.arrived == []


# -- Servers and programs that are not there


async def test_listen_continues_after_the_server_was_killed_and_loses_nothing(
    server: ServerProcess, shell: Shell, program: Receiver
) -> None:
    running = await listening(shell, "--client", "1", "--forward-to", program.url)
    await publish(shell, order(1))
    await until_arrived(program, 1)
    program.hold()
    await publish(shell, order(2), order(3))  # the first of them is being sent, the other is not read yet
    await until_arrived(program, 2)
    server.kill()
    program.release()
    said = await running.said("Waiting for it; no event is lost")
    assert "No server answers at" in said or "did not answer" in said
    await server.start()
    await publish(shell, order(4))
    await until_arrived(program, 4)
    assert await server.stop() == 0
    await running.said("Waiting for it; no event is lost")
    await server.start()
    await publish(shell, order(5))
    await until_arrived(program, 5)
    done = await running.stop()

    assert [int(each.headers["commerce-event-sequence"]) for each in program.arrived] == [1, 2, 3, 4, 5]
    assert [json.loads(each.body)["OrderNo"] for each in program.arrived] == [f"SO-{n}" for n in range(1, 6)]
    assert (done.code, done.err.count("The server answers again.")) == (0, 2)


async def test_listen_continues_with_another_store_of_the_server(
    server: ServerProcess, shell: Shell, program: Receiver, tmp_path: Path
) -> None:
    running = await listening(shell, "--client", "1", "--forward-to", program.url)
    await publish(shell, order(1), order(2))
    await until_arrived(program, 2)
    server.kill()
    await running.said("Waiting for it")
    server.set(COMMERCE_EVENT_STORE=f"sqlite:///{tmp_path / 'other.db'}")
    await server.start()
    await running.said("its last one has the sequence number 0, not 2; continuing there")
    await publish(shell, order(3))
    await until_arrived(program, 3)
    assert (await running.stop()).code == 0


async def test_listen_without_a_server_fails(tmp_path: Path) -> None:
    environment = {"COMMERCE_EVENT_URL": f"http://127.0.0.1:{free_port()}", "COMMERCE_EVENT_KEY": "k"}
    done = await run("listen", "--client", "1", "--print", environment=environment)
    assert (done.code, done.out) == (1, "")
    assert "No server answers at" in done.err


async def test_listen_says_once_that_the_program_does_not_run_and_goes_on(shell: Shell) -> None:
    port = free_port()
    running = await listening(shell, "--client", "1", "--forward-to", f"http://127.0.0.1:{port}/")
    await publish(shell, order(1), order(2))
    for number in (1, 2):
        line = await running.line()
        assert f"#{number} " in line
        assert "no answer" in line
        assert f"connection refused: nothing listens at 127.0.0.1:{port}" in line
    async with serving_at(port) as program:
        await publish(shell, order(3))
        assert "  200  " in await running.line()
        assert len(program.arrived) == 1
    await publish(shell, order(4))
    assert "no answer" in await running.line()
    done = await running.stop()
    assert done.err.count("The program cannot be reached") == 2
    assert done.code == 1


@asynccontextmanager
async def serving_at(port: int) -> AsyncIterator[Receiver]:
    """Run a local program at a port."""
    program = Receiver()
    async with serving(program, port=port):
        yield program


# -- Hostile programs, events and servers


async def test_listen_survives_hostile_programs(shell: Shell) -> None:
    await publish(shell, order(1))
    async with HostileServer() as hostile:

        async def listen_to(path: str) -> tuple[str, Finished]:
            running = await listening(shell, "--client", "1", "--forward-to", f"{hostile.url}{path}", "--last", "1")
            return await running.line(), await running.stop()

        paths = ("/endless-error", "/gzip-bomb", "/garbage")
        endless, bomb, garbage = await asyncio.gather(*map(listen_to, paths))
        assert hostile.most_sent < 32 * 1024**2

    assert "500" in endless[0]
    assert len(endless[0]) < 1_000
    assert "200" in bomb[0]
    assert "no answer" in garbage[0]
    assert [done.code for _, done in (endless, bomb, garbage)] == [1, 0, 1]


async def test_listen_shows_no_control_characters_of_events_and_answers(shell: Shell, program: Receiver) -> None:
    program.answer_with(400, {}, json.dumps({"detail": f"bad {''.join(ESCAPES)}\nforged line"}).encode())
    await publish(shell, order(1, OrderNo="".join(ESCAPES), Comment="".join(ESCAPES)))
    for mode in ([], ["--json"], ["--print"], ["--print", "--json"]):
        running = await listening(shell, "--client", "1", "--forward-to", program.url, "--last", "1", *mode)
        await until_arrived(program, 1)
        first = await running.line()
        done = await running.stop()
        shown = first + done.out + done.err
        assert not [each for each in shown if each != "\n" and not each.isprintable()], shown
        assert "\nforged" not in shown
        program.arrived.clear()


async def test_listen_forwards_an_event_of_the_largest_size(shell: Shell, program: Receiver) -> None:
    empty = json.dumps(order(1, Comment="")[1], separators=(",", ":"))  # as the client writes it
    text = "x" * (256 * 1024 - len(empty))
    running = await listening(shell, "--client", "1", "--forward-to", program.url)
    await publish(shell, order(1, Comment=text))
    assert "  200  " in await running.line()
    assert len(program.arrived[0].body) == 256 * 1024
    assert (await running.stop()).code == 0


# -- Keys of a terminal


async def test_keys_repeat_events_and_end_the_command(shell: Shell, program: Receiver) -> None:
    async with open_terminal() as terminal:
        before = terminal.modes()
        await terminal.start("listen", "--client", "1", "--forward-to", program.url, environment=shell.environment)
        await terminal.until("Keys: r repeats the last event")
        terminal.press("rf")
        await terminal.until("No event has come yet")
        await terminal.until("No event has failed")
        program.status = 500
        await publish(shell, order(1))
        await terminal.until("an internal error")
        program.status = 200
        await publish(shell, order(2))
        await terminal.until("SO-2")
        terminal.press("r")
        await terminal.until("SO-2", 2)
        terminal.press("f")
        await terminal.until("SO-1", 2)
        terminal.press("1\r")
        await terminal.until("SO-1", 3)
        terminal.press("77\n")
        await terminal.until("#77 cannot be repeated")
        assert terminal.modes() != before
        terminal.press("xq")
        assert await terminal.ended() == 0
        assert terminal.modes() == before

    sent = [(json.loads(each.body)["OrderNo"], each.headers["commerce-event-attempt"]) for each in program.arrived]
    assert sent == [("SO-1", "1"), ("SO-2", "1"), ("SO-2", "2"), ("SO-1", "2"), ("SO-1", "3")]
    ids = [each.headers["webhook-id"] for each in program.arrived]
    assert ids[0] == ids[3] == ids[4] != ids[1] == ids[2]
    assert "\x1b[1;32m  200" in terminal.screen
    assert "\x1b[1;31m  500" in terminal.screen
    assert "attempt 3" in terminal.screen
    assert "2 events forwarded, 2 answered 2xx, 0 not." in terminal.screen


async def test_interrupt_at_a_terminal_restores_it(shell: Shell, program: Receiver) -> None:
    async with open_terminal() as terminal:
        before = terminal.modes()
        await terminal.start("listen", "--client", "1", "--forward-to", program.url, environment=shell.environment)
        await terminal.until("Keys: ")
        terminal.press("\x03")
        assert await terminal.ended() == 0
        assert terminal.modes() == before
    assert "Stopped: 0 events forwarded" in terminal.screen


async def test_repeats_wait_for_a_slow_program_and_are_bounded(shell: Shell, program: Receiver) -> None:
    async with open_terminal() as terminal:
        await terminal.start("listen", "--client", "1", "--forward-to", program.url, environment=shell.environment)
        await terminal.until("Keys: ")
        program.hold()
        await publish(shell, order(1))
        await until_arrived(program, 1)
        terminal.press("r" * 50)
        terminal.press("z9\n")  # read after the others
        await terminal.until("#9 cannot be repeated")
        assert len(program.arrived) == 1
        program.release()
        await terminal.until("attempt 11")
        terminal.press("q")
        assert await terminal.ended() == 0
    assert len(program.arrived) == 11
