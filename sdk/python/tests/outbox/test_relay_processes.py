"""Processes that end, are killed or start again: the relay and the server, with real ones of both."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.vault import new_key
from processes import ADMIN_KEY, DEADLINE_S, ServerProcess

import relay_program
from commerce_event_sdk import Client, Outbox
from commerce_event_sdk.outbox.relay import Relay
from shop_databases import SHOPS, Shop

pytestmark = pytest.mark.integration

OUTBOX = Outbox()
SUPPORT = Path(relay_program.__file__)
KEYS = ("a", "b", "c")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    process = ServerProcess(folder)
    await process.start()
    yield process
    process.kill()


class Ledger:
    """What the application has committed and rolled back, to compare with what the server has."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self._shop = shop
        self._rng = random.Random(seed)
        self._number = 0
        self.committed: dict[str, list[int]] = {key: [] for key in KEYS}
        self.rolled_back: set[int] = set()

    def work(self, transactions: int) -> None:
        """Add events in transactions, of which some roll back."""
        with closing(self._shop.connect()) as connection:
            for _ in range(transactions):
                added = [self._add(connection) for _ in range(self._rng.randint(1, 3))]
                if self._rng.random() < 0.3:
                    connection.rollback()
                    self.rolled_back |= {number for _, number in added}
                    continue
                connection.commit()
                for key, number in added:
                    self.committed[key].append(number)

    def _add(self, connection: Any) -> tuple[str, int]:
        self._number += 1
        key = self._rng.choice(KEYS)
        data = {**EVENT_TYPES["OrderConfirmedEvent"].example, "ClientId": 1, "OrderId": self._number}
        OUTBOX.add(connection, "OrderConfirmedEvent", {**data, "ClientOrderRef": key})
        return key, self._number

    async def check(self, server: ServerProcess) -> None:
        """Every committed event is there once, in the order of its key, and no other."""
        found: dict[str, list[int]] = {key: [] for key in KEYS}
        for event in await accepted(server):
            found[event["data"]["ClientOrderRef"]].append(event["data"]["OrderId"])
        assert found == self.committed
        assert self.rolled_back
        assert self._shop.rows() == []


async def accepted(server: ServerProcess) -> list[dict[str, Any]]:
    """Return the events of the server in the order of acceptance."""
    events: list[dict[str, Any]] = []
    async with server.client() as client:
        while True:
            after = events[-1]["sequence"] if events else 0
            page = (await client.get("/v1/events", params={"client_id": 1, "after": after, "limit": 200})).json()
            if not page["items"]:
                return events
            events += page["items"]


async def run_relay(shop: Shop, server: ServerProcess, *point: str) -> int:
    command = [sys.executable, str(SUPPORT), shop.url, server.url, ADMIN_KEY, *point]
    return (await asyncio.to_thread(subprocess.run, command, check=False, timeout=DEADLINE_S)).returncode


@pytest.mark.parametrize("number", [1, 2])
async def test_relay_killed_at_every_point_loses_and_reorders_nothing(
    shop: Shop, server: ServerProcess, number: int
) -> None:
    ledger = Ledger(shop, seed=number)
    for point in relay_program.POINTS:
        ledger.work(10)
        if number == 2 and point.endswith(("opening the database", "connecting")):
            continue  # done once in a life
        assert await run_relay(shop, server, point, str(number)) == -signal.SIGKILL, point
    assert await run_relay(shop, server) == 0
    await ledger.check(server)
    async with server.client() as client:
        metrics = (await client.get("/metrics")).text
    duplicates = re.search(r"^commerce_event_duplicate_events_total (\S+)", metrics, re.MULTILINE)
    assert duplicates is not None
    assert float(duplicates[1]) > 0  # events were sent again, under the same ids


async def test_relay_server_killed_again_and_again_loses_and_reorders_nothing(
    shop: Shop, server: ServerProcess
) -> None:
    ledger = Ledger(shop, seed=3)
    with Client(server.url, ADMIN_KEY) as client:
        relay = Relay(shop.url, client, batch_events=20)
        relay.start()
        for _ in range(3):
            await asyncio.to_thread(ledger.work, 150)
            server.kill()
            await asyncio.to_thread(ledger.work, 20)
            await server.start()
        async with asyncio.timeout(DEADLINE_S):
            while shop.rows("id"):
                await asyncio.sleep(0.05)
        await asyncio.to_thread(relay.stop)
    await ledger.check(server)


async def test_relay_many_events_of_one_batch_keep_their_order(shop: Shop, tmp_path: Path) -> None:
    """The server, on the same kind of store, keeps the order of a request, also around events that it refuses."""
    data = {**EVENT_TYPES["OrderConfirmedEvent"].example, "ClientId": 1}
    with closing(shop.connect()) as connection:
        for number in range(300):
            event_type = "NotKnownToTheServer" if number % 7 == 3 else "OrderConfirmedEvent"
            OUTBOX.add(connection, event_type, {**data, "OrderId": number})
        connection.commit()
    (tmp_path / "server").mkdir()
    with SHOPS[shop.kind](tmp_path / "server", with_table=False) as store:
        environment = {"COMMERCE_EVENT_STORE": store.url.replace("shop.db", "events.db")}
        server = ServerProcess(tmp_path / "server", **environment, COMMERCE_EVENT_SECRET_KEY=new_key())
        await server.start()
        with Client(server.url, ADMIN_KEY) as client:
            await asyncio.to_thread(Relay(shop.url, client).run_until_idle)
        found = [each["data"]["OrderId"] for each in await accepted(server)]
        server.kill()
    assert found == [number for number in range(300) if number % 7 != 3]
    assert {row[4] for row in shop.rows()} == {"dead"}
    assert len(shop.rows()) == 300 - len(found)


async def test_client_errors_of_the_server_are_clear(server: ServerProcess) -> None:
    async with server.client() as admin:
        wanted = {"role": "publish", "name": "shop", "client_ids": [1]}
        key = (await admin.post("/v1/keys", json=wanted)).json()["key"]
    data = {**EVENT_TYPES["OrderConfirmedEvent"].example, "ClientId": 1}
    with Client(server.url, key) as client:
        futures = {
            "fine": client.publish("OrderConfirmedEvent", data),
            "other client": client.publish("OrderConfirmedEvent", {**data, "ClientId": 2}),
            "unknown type": client.publish("OrderConfirmd", data),
            "too large": client.publish("OrderConfirmedEvent", {**data, "FirstName": "x" * 300_000}),
            "broken": client.publish("OrderConfirmedEvent", {"ClientId": 1}),
        }
        errors = {name: await asyncio.to_thread(each.exception, DEADLINE_S) for name, each in futures.items()}
        client.close()
    assert errors.pop("fine") is None
    assert {name: getattr(each, "status", None) for name, each in errors.items()} == {
        "other client": 403,
        "unknown type": 404,
        "too large": 413,
        "broken": 422,
    }
    assert "OrderConfirmedEvent" in str(errors["unknown type"])
    assert "/OrderId is required" in str(errors["broken"])


async def test_client_wrong_key_fails_at_once_without_naming_it(server: ServerProcess) -> None:
    client = Client(server.url, "not-the-key")
    error = await asyncio.to_thread(client.publish("OrderConfirmedEvent", {}).exception, DEADLINE_S)
    client.close()
    assert "401" in str(error)
    assert "not-the-key" not in repr(error)


# The command


def command(shop: Shop, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    wanted = [sys.executable, "-m", "commerce_event_sdk.outbox.command", "--database", shop.url, *arguments]
    return subprocess.run(
        wanted, check=False, capture_output=True, text=True, timeout=DEADLINE_S, env={**clean(), **environment}
    )


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}


async def test_command_publishes_until_sigterm(shop: Shop, server: ServerProcess, tmp_path: Path) -> None:
    ledger = Ledger(shop, seed=5)
    ledger.work(30)
    log = tmp_path / "relay.log"
    environment = {**clean(), "COMMERCE_EVENT_KEY": ADMIN_KEY, "COMMERCE_EVENT_URL": server.url}
    wanted = [sys.executable, "-m", "commerce_event_sdk.outbox.command", "--database", shop.url]
    with log.open("wb") as output:
        process = subprocess.Popen(wanted, env=environment, stderr=output)
    async with asyncio.timeout(DEADLINE_S):
        while shop.rows("id"):
            await asyncio.sleep(0.05)
    assert "relay    active" in command(shop, "--status").stdout
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, DEADLINE_S) == 0
    await ledger.check(server)
    text = log.read_text()
    assert f"active: publishing to {server.url}" in text
    assert re.search(r"published \d+ events$", text, re.MULTILINE)
    assert text.rstrip().endswith("stopped")
    assert ADMIN_KEY not in text


async def test_command_shows_retries_and_discards_dead_messages(shop: Shop, server: ServerProcess) -> None:
    with closing(shop.connect()) as connection:
        first, second, third = [
            OUTBOX.add(connection, "NotKnown", {"ClientId": 1, "A": 1}, key="order:7") for _ in range(3)
        ]
        connection.commit()
    with Client(server.url, ADMIN_KEY) as client:
        relay = Relay(shop.url, client)
        await asyncio.to_thread(relay.run_until_idle)

        shown = command(shop, "--status")
        assert shown.returncode == 1
        assert "dead     3" in shown.stdout
        assert re.search(rf"^{first}  NotKnown order:7  dead since .*Z$", shown.stdout, re.MULTILINE)
        assert "404 Unknown event type" in shown.stdout

        status = json.loads(command(shop, "--status", "--json").stdout)
        assert (status["pending"], status["dead"], status["relay_is_active"]) == (0, 3, False)
        assert [each["id"] for each in status["dead_messages"]] == [first, second, third]

        assert command(shop, "--discard", first).stdout == "discarded 1\n"
        await make_event_type(server)
        assert json.loads(command(shop, "--retry", second, "--json").stdout) == {"retried": 1}
        await asyncio.to_thread(relay.run_until_idle)
        assert command(shop, "--retry", "all").stdout == "retried 1\n"
        await asyncio.to_thread(relay.run_until_idle)
    assert command(shop, "--status").returncode == 0
    missing = command(shop, "--retry", first)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"there is no dead message {first}" in missing.stderr


async def make_event_type(server: ServerProcess) -> None:
    schema = {"type": "object", "properties": {"ClientId": {"type": "integer"}, "A": {"type": "integer"}}}
    wanted = {"name": "NotKnown", "category": "Order", "kind": "event", "description": "x", "schema": schema}
    async with server.client() as client:
        made: httpx.Response = await client.post("/v1/event-types", json={**wanted, "example": {"ClientId": 1, "A": 1}})
    assert made.status_code == 201, made.text


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["--url", "http://x"], {}, 2, "set COMMERCE_EVENT_KEY"),
        ([], {"COMMERCE_EVENT_KEY": "k"}, 2, "give --url or set COMMERCE_EVENT_URL"),
        (["--url", "ftp://x"], {"COMMERCE_EVENT_KEY": "k"}, 2, "must begin with https:// or http://"),
        (["--status", "--retry", "x"], {}, 2, "not allowed with argument"),
        (["--database", "/nowhere/shop.db", "--status"], {}, 1, "there is no SQLite database /nowhere/shop.db"),
        (["--database", ""], {}, 2, "give --database or set COMMERCE_EVENT_OUTBOX_DATABASE"),
    ],
)
def test_command_wrong_usage_says_what_to_do(
    shop: Shop, arguments: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    done = command(shop, *arguments, **environment)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
