"""A capture and the real server: each change once, with one notification, whichever side is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import interrupt, run, start
from followed_database import Followed
from processes import ADMIN_KEY, ServerProcess
from running_capture import NAME

CUSTOMER = "CREATE TABLE customer (id int PRIMARY KEY, first_name text)"
SOURCE = {
    "client_id": 1,
    "tables": {
        "public.customer": {
            "entity": "tClientCustomer",
            "key": {"CustomerId": "id"},
            "fields": {"FirstName": "first_name"},
        }
    },
}
SETTING = {"client_id": 1, "event_type": "CustomerChangedNotification", "entity": "tClientCustomer"}


class Shop:
    """A followed database, a server with a source and a setting for it, and the command between them."""

    def __init__(self, followed: Followed, server: ServerProcess) -> None:
        self.followed = followed
        self.server = server
        self._slot = f"{NAME}_{followed.url.partition('?')[0].rpartition('/')[2][-20:]}"
        self._arguments = ("capture", followed.url, "--source", "shop", "--slot", self._slot)
        self._environment = {"COMMERCE_EVENT_URL": server.url, "COMMERCE_EVENT_KEY": ADMIN_KEY}

    async def command(self, *options: str) -> str:
        done = await run(*self._arguments, *options, environment=self._environment)
        assert done.code == 0, done.err
        return done.out

    async def start(self) -> asyncio.subprocess.Process:
        return await start(*self._arguments, environment=self._environment)

    async def prepare(self) -> None:
        await self.followed.run(CUSTOMER)
        async with self.server.client() as client:
            (await client.put("/v1/change-sources/shop", json=SOURCE)).raise_for_status()
            (await client.post("/v1/event-settings", json=SETTING)).raise_for_status()
        await self.command("--setup")

    async def all(self, path: str, **query: str) -> list[Any]:
        """Return all items of a list, the newest first."""
        items: list[Any] = []
        cursor: str | None = None
        async with self.server.client() as client:
            while True:
                page = (
                    await client.get(path, params={**query, "limit": "200"} | ({"cursor": cursor} if cursor else {}))
                ).json()
                items += page["items"]
                cursor = page["next_cursor"]
                if cursor is None:
                    return items

    async def until_changes(self, count: int) -> list[Any]:
        """Wait until the server has so many changes; return them in the order in which they were stored."""
        async with asyncio.timeout(120):
            while True:
                try:
                    changes = await self.all("/v1/changes", source="shop")
                except httpx.TransportError:
                    changes = []
                if len(changes) >= count:
                    return changes[::-1]
                await asyncio.sleep(0.1)


@pytest.fixture
async def shop(followed: Followed, tmp_path: Path) -> AsyncIterator[Shop]:
    server = ServerProcess(tmp_path)
    await server.start()
    shop = Shop(followed, server)
    await shop.prepare()
    yield shop
    server.kill()


async def test_captured_changes_raise_notifications(shop: Shop) -> None:
    process = await shop.start()
    await shop.followed.run("INSERT INTO customer VALUES (1, 'Ann')")
    await shop.until_changes(1)
    await shop.command("--backfill", "customer")
    await shop.followed.run(
        "UPDATE customer SET first_name = 'Ann' WHERE id = 1",  # changes nothing
        "UPDATE customer SET first_name = 'Anne' WHERE id = 1",
        "DELETE FROM customer",
    )
    changes = await shop.until_changes(5)
    async with shop.server.client() as client:
        source = (await client.get("/v1/change-sources/shop")).json()
    done = await interrupt(process, signal.SIGTERM)
    events = await shop.all("/v1/events", client_id="1")

    assert done.code == 0, done.err
    assert [change["operation"] for change in changes] == ["insert", "read", "update", "update", "delete"]
    assert len(events) == 3
    assert source["state"]["state"] == "running"
    assert source["position"] is not None


async def test_kills_of_both_sides_lose_and_duplicate_nothing(shop: Shop) -> None:
    written = 0
    process = await shop.start()
    for number in range(4):
        for size in (1, 1, 700, 40):
            await shop.followed.run(f"INSERT INTO customer SELECT generate_series({written}, {written + size - 1})")
            written += size
        if number % 2:
            shop.server.kill()
            await shop.server.start()
        else:
            await interrupt(process, signal.SIGKILL)
            process = await shop.start()
    changes = await shop.until_changes(written)
    await interrupt(process, signal.SIGTERM)
    events = await shop.all("/v1/events", client_id="1")

    assert [change["key"]["CustomerId"] for change in changes] == list(range(written))
    assert len(events) == written
