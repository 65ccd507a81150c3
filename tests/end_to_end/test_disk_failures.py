"""A server on a disk that cannot flush or is full: it reports that, and loses nothing it acknowledged."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DEADLINE_S, LocalReceiver, ServerProcess
from publisher import Publisher, order, sequences, subscribe, until_arrived, until_settled

LAUNCHER = Path(__file__).parents[1] / "support" / "launch_with_disk_faults.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, launcher=(str(LAUNCHER), str(tmp_path)), COMMERCE_EVENT_RETRY_SCHEDULE="0.1s,1s")
    yield process
    process.kill()


async def test_failed_flush_stops_the_server_before_it_acknowledges_more(
    server: ServerProcess, receiver: LocalReceiver, tmp_path: Path
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    publisher, enough = Publisher(server), asyncio.Event()
    publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(8)]
    await publisher.until_acknowledged(50)

    (tmp_path / "sync-fails").touch()
    assert await server.end() == 1
    acknowledged = len(publisher.acknowledged)
    assert "the store file can no longer be trusted" in server.log()
    assert "Traceback" not in server.log()

    (tmp_path / "sync-fails").unlink()
    await server.start()  # the publishers go on where they were: each with the key of what was not acknowledged
    await publisher.until_acknowledged(acknowledged + 50)
    enough.set()
    await asyncio.gather(*publishing)
    await until_arrived(receiver, "/hook", set(publisher.acknowledged.values()))
    assert await sequences(server) == list(range(1, len(publisher.acknowledged) + 1))


async def test_failed_checkpoint_stops_the_server_and_loses_nothing(
    server: ServerProcess, receiver: LocalReceiver, tmp_path: Path
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    publisher, enough = Publisher(server), asyncio.Event()
    publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(8)]
    await publisher.until_acknowledged(50)

    (tmp_path / "file-sync-fails").touch()
    assert await server.end() == 1
    assert "the store file can no longer be trusted" in server.log()

    (tmp_path / "file-sync-fails").unlink()
    await server.start()
    await publisher.until_acknowledged(len(publisher.acknowledged) + 50)
    enough.set()
    await asyncio.gather(*publishing)
    await until_arrived(receiver, "/hook", set(publisher.acknowledged.values()))
    assert await sequences(server) == list(range(1, len(publisher.acknowledged) + 1))


async def test_full_disk_refuses_writes_keeps_reading_and_recovers(
    server: ServerProcess, receiver: LocalReceiver, tmp_path: Path
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    async with server.client() as client, asyncio.timeout(DEADLINE_S):
        first = (await client.post("/v1/events/OrderConfirmedEvent", json=order(1))).json()["id"]
        receiver.hold()
        second = (await client.post("/v1/events/OrderConfirmedEvent", json=order(2))).json()["id"]
        await receiver.held.wait()

        (tmp_path / "no-space").touch()
        receiver.release()  # what it answers cannot be recorded now
        refused = await client.post("/v1/events/OrderConfirmedEvent", json=order(3))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "the disk is full; free some space and it goes on by itself."
        assert (await client.get(f"/v1/events/{first}")).status_code == 200

        (tmp_path / "no-space").unlink()
        third = (await client.post("/v1/events/OrderConfirmedEvent", json=order(3))).json()["id"]
    await until_arrived(receiver, "/hook", {first, second, third})
    [book] = await until_settled(server)
    assert (book["delivered"], book["dead"]) == (3, 0)
