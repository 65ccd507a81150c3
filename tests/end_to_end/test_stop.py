"""SIGTERM ends the server within ten seconds, also while callers, receivers and name servers are slow."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import ADMIN_KEY, DEADLINE_S, ServerProcess
from publisher import order

LAUNCHER = Path(__file__).parents[1] / "support" / "launch_with_silent_names.py"
STOP_S = 10.0
NAMES = 8
HEAD = (
    "POST /v1/events/OrderConfirmedEvent HTTP/1.1\r\nHost: shop\r\n"
    f"Authorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
).encode()


@pytest.fixture
def nameless_server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, launcher=(str(LAUNCHER), str(tmp_path)))
    yield process
    process.kill()


async def send_slowly(server: ServerProcess, began: asyncio.Event) -> bytes:
    """Send a request byte by byte until it is answered; return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD)
    answer = asyncio.create_task(reader.read())
    while not answer.done():
        writer.write(b" ")
        began.set()
        await asyncio.wait((answer,), timeout=0.05)
    writer.close()
    return answer.result()


async def test_sigterm_with_slow_bodies_and_silent_names_ends_the_process_in_time(
    nameless_server: ServerProcess, tmp_path: Path
) -> None:
    server = nameless_server
    await server.start()
    async with server.client() as client:
        for number in range(NAMES):
            wanted = {"client_id": number, "url": f"https://silent{number}.example/", "event_types": ["*"]}
            assert (await client.post("/v1/endpoints", json=wanted)).status_code == 201
            event = {**order(1), "ClientId": number}
            assert (await client.post("/v1/events/OrderConfirmedEvent", json=event)).status_code == 202
    began = asyncio.Event()
    slow = [asyncio.create_task(send_slowly(server, began)) for _ in range(5)]
    async with asyncio.timeout(DEADLINE_S):
        await began.wait()
        while len(list(tmp_path.glob("lookup-of-*"))) < NAMES:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(STOP_S):
        code = await server.stop()
    answers = await asyncio.gather(*slow)

    assert code == 0, server.log()
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"\r\nretry-after: " in answer.lower()


async def test_sigterm_ends_waiting_calls_with_an_empty_list(server: ServerProcess) -> None:
    await server.start()
    async with server.client() as client:
        query = {"client_id": 1, "after": 0, "wait_s": 30}
        calls = [asyncio.create_task(client.get("/v1/events", params=query)) for _ in range(20)]
        async with asyncio.timeout(DEADLINE_S):
            while waiting_calls(await client.get("/metrics")) < len(calls):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(STOP_S):
            code = await server.stop()
        answers = await asyncio.gather(*calls)

    assert code == 0, server.log()
    assert [(each.status_code, each.json()["items"]) for each in answers] == [(200, [])] * len(calls)


def waiting_calls(metrics: httpx.Response) -> float:
    """Return how many calls wait for an event."""
    [line] = [line for line in metrics.text.splitlines() if line.startswith("commerce_event_waiting_calls ")]
    return float(line.split()[1])
