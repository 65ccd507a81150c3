"""The API and the screens tell of a failed attempt where it went, how far it came and why it failed, in the same words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_server import Api, expect, running_api
from ports import free_port

HOUR_S = 3_600.0


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Give this answer to every request; yields the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@pytest.fixture
async def slow_api(tmp_path: Any) -> AsyncIterator[Api]:
    """A server that retries after an hour."""
    async with running_api(tmp_path, retry_schedule_s=(HOUR_S, HOUR_S)) as made:
        yield made


async def attempted(api: Api, event_id: str) -> dict[str, Any]:
    """Return the event's delivery once it was attempted."""
    while True:
        [found] = await api.deliveries(event_id=event_id)
        if found["attempt_count"] and not found["sending"]:
            return expect(await api.admin.get(f"/v1/deliveries/{found['id']}"), 200)
        await asyncio.sleep(0.005)


async def test_redirect_to_a_dead_address_is_told_the_same_everywhere(slow_api: Api) -> None:
    dead = f"http://127.0.0.1:{free_port()}/x"
    words = f"redirected (302) to {dead}, where nothing listens"
    redirect = b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % dead.encode()
    async with answering(redirect) as url:
        endpoint = await slow_api.endpoint(url=url)
        event = await slow_api.publish()
        delivery = await attempted(slow_api, event["id"])
        tested = expect(await slow_api.admin.post(f"/v1/endpoints/{endpoint['id']}/test"), 200)

    [attempt] = delivery["attempts"]
    for found in (attempt, tested["attempt"]):
        assert (found["cause"], found["phase"]) == (words, "connect")
        assert found["address"] == dead.removeprefix("http://").removesuffix("/x")
        assert found["redirects"] == [{"status": 302, "location": dead}]
        assert (found["error"], found["certificate"]) == ("connect_refused", None)
    explained = expect(await slow_api.admin.get(f"/v1/events/{event['id']}/explain"), 200)
    stats = expect(await slow_api.admin.get(f"/v1/endpoints/{endpoint['id']}/stats"), 200)
    assert (explained["endpoints"][0]["cause"], stats["cause"]) == (words, words)


async def test_rejected_signature_is_told_from_the_answer(slow_api: Api) -> None:
    answer = b"HTTP/1.1 401 No\r\ncontent-length: 17\r\n\r\ninvalid signature"
    async with answering(answer) as url:
        endpoint = await slow_api.endpoint(url=url)
        delivery = await attempted(slow_api, (await slow_api.publish())["id"])
        stats = expect(await slow_api.admin.get(f"/v1/endpoints/{endpoint['id']}/stats"), 200)

    assert "signature is wrong" in delivery["attempts"][0]["cause"]
    assert stats["cause"] == delivery["attempts"][0]["cause"]


async def test_pending_delivery_tells_its_attempts_and_when_it_is_given_up(slow_api: Api) -> None:
    await slow_api.endpoint(url=f"http://127.0.0.1:{free_port()}/")
    delivery = await attempted(slow_api, (await slow_api.publish())["id"])

    assert (delivery["attempt_count"], delivery["attempts_max"]) == (1, 3)
    assert delivery["gives_up_at"] > delivery["next_attempt_at"]


async def test_ended_delivery_tells_no_attempts_to_come(api: Api) -> None:
    await api.endpoint()
    event = await api.publish()
    await api.until_state("delivered", event_id=event["id"])
    [delivery] = await api.deliveries(event_id=event["id"])

    assert (delivery["attempts_max"], delivery["gives_up_at"]) == (None, None)
