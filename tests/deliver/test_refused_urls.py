"""Every trick of the corpus against the whole server: refused when saved, and never dialled when it is stored already."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api_server import Api, expect, expect_problem, running_api

from commerce_event.core import ids
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import SystemClock
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import Claimed

CORPUS = [
    json.loads(line) for line in (Path(__file__).parent.parent / "data" / "ssrf_corpus.jsonl").read_text().splitlines()
]
HOSTS = ("127.0.0.1", "127.0.0.2")
EVERYWHERE = ("0.0.0.0/0", "::/0")
REFUSED = {"blocked_address", "invalid_url"}
SECRET = Secret(new_secret("hmac"))


class Trap:
    """Listens at two local addresses, at one port, and counts who comes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.visitors = 0

    async def visited(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visitors += 1
        writer.close()

    def at(self, url: str) -> str:
        """Return a URL that leads to the trap's port, if it leads anywhere."""
        parts = re.fullmatch(r"(\w+://)([^/?#\\]*)(.*)", url, re.DOTALL)
        if parts is None or re.search(r":\d*$", parts[2]):
            return url
        return f"{parts[1]}{parts[2]}:{self.port}{parts[3]}"


@asynccontextmanager
async def a_trap() -> AsyncIterator[Trap]:
    trap = Trap(0)
    servers = []
    for host in HOSTS:
        servers.append(await asyncio.start_server(trap.visited, host, trap.port))
        trap.port = servers[0].sockets[0].getsockname()[1]
    for count, host in enumerate(HOSTS, start=1):  # a trap that notices nobody would prove nothing
        reader, writer = await asyncio.open_connection(host, trap.port)
        await reader.read()
        writer.close()
        assert trap.visitors == count
    trap.visitors = 0
    yield trap
    for server in servers:
        server.close()


def an_endpoint(number: int, url: str) -> Endpoint:
    return Endpoint(id=number, client_id=1, url=url, event_types=("*",), secrets=(SECRET,))


def a_delivery(endpoint_id: int) -> Claimed:
    return Claimed(
        delivery_id=1,
        endpoint_id=endpoint_id,
        number=1,
        failure_count=0,
        run_id=1,
        lease_until_ms=0,
        replay_id=None,
        event_id=1,
        client_id=1,
        sequence=1,
        type="JobCompletedEvent",
        traceparent=None,
        body=b"{}",
    )


async def test_no_url_of_the_corpus_can_be_saved(tmp_path: Path) -> None:
    async with a_trap() as trap, running_api(tmp_path, allow_networks=()) as api:
        for entry in CORPUS[::5]:
            wanted = {"client_id": 1, "url": trap.at(entry["url"]), "event_types": ["*"]}
            expect_problem(await api.admin.post("/v1/endpoints", json=wanted), 422, "/url")
        assert expect(await api.admin.get("/v1/endpoints"), 200)["items"] == []
        assert trap.visitors == 0


async def test_a_saved_endpoint_cannot_be_turned_to_a_url_of_the_corpus(tmp_path: Path) -> None:
    async with a_trap() as trap, running_api(tmp_path, allow_networks=()) as api:
        path = f"/v1/endpoints/{(await api.endpoint(url='https://shop.example.com/hook'))['id']}"
        for entry in CORPUS[::50]:
            expect_problem(await api.admin.patch(path, json={"url": trap.at(entry["url"])}), 422, "/url")
        assert expect(await api.admin.get(path), 200)["url"] == "https://shop.example.com/hook"
        assert trap.visitors == 0


async def test_no_url_of_the_corpus_is_dialled_though_it_is_stored() -> None:
    async with a_trap() as trap:
        sender = Sender(resolver=Resolver(AddressPolicy()), timeout_s=1.0, clock=SystemClock(), installation_id="a1")
        outcomes = [
            await sender.send(an_endpoint(number, trap.at(entry["url"])), a_delivery(number))
            for number, entry in enumerate(CORPUS)
        ]
        await sender.close()
        assert {each.error for each in outcomes} == REFUSED
        assert {(each.status, each.is_internal) for each in outcomes} == {(None, False)}
        assert trap.visitors == 0


def local_urls(trap: Trap) -> list[str]:
    """Return the corpus's ways to write the trap's addresses, and some of every other kind."""
    urls = [
        entry["url"] for entry in CORPUS if any(host in entry["url"] for host in (*HOSTS, "2130706433", "7f000001"))
    ]
    return [trap.at(url) for url in (*urls[:30], *(entry["url"] for entry in CORPUS[::100]))]


async def test_a_stored_endpoint_whose_url_became_refused_is_not_dialled_by_anything(tmp_path: Path) -> None:
    async with a_trap() as trap:
        urls = local_urls(trap)
        async with running_api(tmp_path, allow_networks=EVERYWHERE, hold_deliveries=True) as before:
            for number, url in enumerate(urls, start=1):
                await before.node.registry.save(an_endpoint(number, url))
            assert (await before.publish())["deliveries"] == len(urls)
        async with running_api(tmp_path, allow_networks=()) as api:
            found = await api.until_finished(len(urls))  # sent at its time, and again
            assert {each["state"] for each in found} == {"dead"}
            await retry_and_replay(api, [each["id"] for each in found], len(urls))
            await try_each(api, len(urls))
            assert set(await errors(api)) <= REFUSED
        assert trap.visitors == 0


async def retry_and_replay(api: Api, deliveries: list[str], endpoints: int) -> None:
    for delivery in deliveries:
        assert (await api.admin.post(f"/v1/deliveries/{delivery}/retry")).is_success
    finished = await api.until_state("dead")
    assert all(each["attempt_count"] >= 3 for each in finished)
    for number in range(1, min(endpoints, 5) + 1):
        wanted = {"endpoint_id": ids.encode("end", number), "since": "2020-01-01T00:00:00Z", "only": "all"}
        assert (await api.admin.post("/v1/replays", json=wanted)).is_success
    await api.until_finished(len(deliveries) + min(endpoints, 5))


async def try_each(api: Api, endpoints: int) -> None:
    for number in range(1, endpoints + 1):
        path = f"/v1/endpoints/{ids.encode('end', number)}/test"
        answer = expect(await api.admin.post(path, json={}), 200)
        assert answer["attempt"]["error"] in REFUSED


async def errors(api: Api) -> Counter[str]:
    """Return how often attempts ended in which error."""
    found: Counter[str] = Counter()
    for each in await api.deliveries():
        read: dict[str, Any] = expect(await api.admin.get(f"/v1/deliveries/{each['id']}"), 200)
        found.update(attempt["error"] for attempt in read["attempts"])
    return found
