"""Several nodes on one PostgreSQL: each accepts and delivers, and each may be lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from postgres import drop, empty_database, in_database, run_on_server, server_url
from processes import ADMIN_KEY, DEADLINE_S, LocalReceiver, ServerProcess
from publisher import Publisher, order, sequences, subscribe, until_arrived, until_settled

from commerce_event.core.vault import new_key

BETWEEN_FAULTS = 120
PUBLISHERS = 6


class Cluster:
    """Two nodes and their database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.database = database
        shared = {
            "COMMERCE_EVENT_STORE": in_database(server_url(), database),
            "COMMERCE_EVENT_SECRET_KEY": new_key(),
            "COMMERCE_EVENT_RETRY_SCHEDULE": "0.1s,0.2s,0.5s,1s,1s,1s,1s,1s",
        }
        folders = [folder / name for name in ("first", "second")]
        for each in folders:
            each.mkdir()
        self.first, self.second = (ServerProcess(each, **shared) for each in folders)

    async def start(self) -> None:
        await asyncio.gather(self.first.start(), self.second.start())  # at once, migrations included

    async def cut_connections(self) -> None:
        await run_on_server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.database}'")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    database = await empty_database()
    made = Cluster(tmp_path, database)
    yield made
    made.first.kill()
    made.second.kill()
    await drop(database)


async def test_nodes_killed_and_disconnected_under_load_lose_nothing(cluster: Cluster, receiver: LocalReceiver) -> None:
    await cluster.start()
    await subscribe(cluster.first, receiver, "/hook")
    publishers = [Publisher(cluster.first, "a"), Publisher(cluster.second, "b")]
    enough = asyncio.Event()
    publishing = [asyncio.create_task(each.run(enough)) for each in publishers for _ in range(PUBLISHERS)]

    async def more() -> None:
        for each in publishers:
            await each.until_acknowledged(len(each.acknowledged) + BETWEEN_FAULTS)

    await more()
    cluster.first.kill()
    await publishers[1].until_acknowledged(len(publishers[1].acknowledged) + BETWEEN_FAULTS)
    await cluster.first.start()
    await more()
    await cluster.cut_connections()
    await more()
    cluster.first.kill()
    cluster.second.kill()
    await cluster.start()
    await more()
    enough.set()
    await asyncio.gather(*publishing)

    ids = {event_id for each in publishers for event_id in each.acknowledged.values()}
    assert len(ids) == sum(len(each.acknowledged) for each in publishers)
    await until_arrived(receiver, "/hook", ids)
    assert receiver.arrived["/hook"].keys() == ids
    assert receiver.forged == 0
    [book] = await until_settled(cluster.second)
    assert book["matched"] == book["delivered"] == len(ids)
    assert await sequences(cluster.first) == list(range(1, len(ids) + 1))


async def test_node_stopped_under_load_finishes_requests_and_repeats_none(
    cluster: Cluster, receiver: LocalReceiver
) -> None:
    await cluster.start()
    await subscribe(cluster.first, receiver, "/hook")
    publishers = [Publisher(cluster.first, "a"), Publisher(cluster.second, "b")]
    enough = asyncio.Event()
    publishing = [asyncio.create_task(each.run(enough)) for each in publishers for _ in range(PUBLISHERS)]
    for stopped in (cluster.first, cluster.second, cluster.first):
        for each in publishers:
            await each.until_acknowledged(len(each.acknowledged) + BETWEEN_FAULTS)
        assert await stopped.stop() == 0
        await stopped.start()
    enough.set()
    await asyncio.gather(*publishing)

    ids = {event_id for each in publishers for event_id in each.acknowledged.values()}
    await until_arrived(receiver, "/hook", ids)
    [book] = await until_settled(cluster.second)
    assert book["matched"] == book["delivered"] == len(ids)
    assert receiver.arrived["/hook"] == dict.fromkeys(ids, 1)


async def test_endpoint_changed_on_one_node_applies_to_events_of_another(
    cluster: Cluster, receiver: LocalReceiver
) -> None:
    await cluster.start()
    async with cluster.first.client() as first, cluster.second.client() as second:
        for number in range(1, 11):
            endpoint = await subscribe(cluster.first, receiver, f"/hook/{number}")
            accepted = (await second.post("/v1/events/OrderConfirmedEvent", json=order(2 * number))).json()
            assert accepted["deliveries"] == 1

            await first.patch(f"/v1/endpoints/{endpoint}", json={"enabled": False})
            accepted = (await second.post("/v1/events/OrderConfirmedEvent", json=order(2 * number + 1))).json()
            assert accepted["deliveries"] == 0


async def test_change_on_one_node_is_known_to_the_other(cluster: Cluster, receiver: LocalReceiver) -> None:
    await cluster.start()
    endpoint = await subscribe(cluster.first, receiver, "/hook")

    async with cluster.second.client() as client, asyncio.timeout(DEADLINE_S):
        while (await client.get(f"/v1/endpoints/{endpoint}")).status_code != 200:
            await asyncio.sleep(0.02)
        accepted = (await client.post("/v1/events/OrderConfirmedEvent", json=order(1))).json()
    assert accepted["deliveries"] == 1
    await until_arrived(receiver, "/hook", {accepted["id"]})

    async with cluster.first.client() as client:
        assert (await client.get(f"/v1/events/{accepted['id']}")).status_code == 200


async def test_stopped_node_hands_its_work_to_the_other(cluster: Cluster, receiver: LocalReceiver) -> None:
    await cluster.start()
    await subscribe(cluster.first, receiver, "/hook")
    receiver.hold()
    async with cluster.first.client() as client:
        event_id = (await client.post("/v1/events/OrderConfirmedEvent", json=order(1))).json()["id"]
        async with asyncio.timeout(DEADLINE_S):
            await receiver.held.wait()
    cluster.first.kill()
    receiver.release()

    await until_arrived(receiver, "/hook", {event_id})
    [book] = await until_settled(cluster.second)
    assert book["delivered"] == 1


async def test_max_in_flight_is_shared_among_nodes(cluster: Cluster, receiver: LocalReceiver) -> None:
    await cluster.start()
    limit = 4
    await subscribe(cluster.first, receiver, "/hook", max_in_flight=limit)
    receiver.hold()
    async with cluster.first.client() as first, cluster.second.client() as second, asyncio.timeout(DEADLINE_S):
        while not all([(await each.get("/v1/endpoints")).json()["items"] for each in (first, second)]):
            await asyncio.sleep(0.02)
        while not all(["commerce_event_nodes 2.0" in (await each.get("/metrics")).text for each in (first, second)]):
            await asyncio.sleep(0.02)
        for number in range(3 * limit):
            for client in (first, second):
                assert (await client.post("/v1/events/OrderConfirmedEvent", json=order(number))).status_code == 202
        while receiver.waiting < limit:
            await asyncio.sleep(0.02)
        assert (await first.post("/v1/events/OrderConfirmedEvent", json=order(99))).status_code == 202
        assert receiver.waiting == limit
    receiver.release()

    [book] = await until_settled(cluster.first)
    assert book["delivered"] == 6 * limit + 1


async def test_key_revoked_on_one_node_is_refused_by_an_idle_other(cluster: Cluster) -> None:
    cluster.second.set(COMMERCE_EVENT_HOLD_DELIVERIES="on")
    await cluster.start()
    async with cluster.first.client() as first, cluster.second.client() as second, asyncio.timeout(DEADLINE_S):
        made = (await first.post("/v1/keys", json={"role": "read", "client_ids": [1]})).json()
        key = {"Authorization": f"Bearer {made['key']}"}
        while (await second.get("/v1/endpoints", headers=key)).status_code != 200:
            await asyncio.sleep(0.02)

        assert (await first.delete(f"/v1/keys/{made['id']}")).status_code == 204

        while (await second.get("/v1/endpoints", headers=key)).status_code != 401:
            await asyncio.sleep(0.02)


async def test_session_signed_out_on_one_node_ends_on_another(cluster: Cluster) -> None:
    cluster.second.set(COMMERCE_EVENT_HOLD_DELIVERIES="on")
    await cluster.start()
    async with cluster.first.client() as first, cluster.second.client() as second, asyncio.timeout(DEADLINE_S):
        entered = await first.post("/admin/sign-in", data={"key": ADMIN_KEY})
        copied = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
        while (page := await second.get("/admin", headers=copied)).status_code != 200:
            await asyncio.sleep(0.02)
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]

        left = await first.post("/admin/sign-out", headers=copied, data={"csrf": csrf})

        assert left.headers["location"] == "/admin/sign-in?left=1"
        assert (await first.get("/admin", headers=copied)).status_code == 303
        while (await second.get("/admin", headers=copied)).status_code != 303:
            await asyncio.sleep(0.02)


async def test_refused_event_accepted_on_two_nodes_at_once_becomes_one_event(
    cluster: Cluster, receiver: LocalReceiver
) -> None:
    await cluster.start()
    await subscribe(cluster.first, receiver, "/hook")
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    nodes = [
        httpx.AsyncClient(base_url=each.url, headers=headers, timeout=DEADLINE_S, trust_env=False)
        for each in (cluster.first, cluster.second)
    ]
    wrong = {**order(1), "OrderId": "x"}
    assert (await nodes[0].post("/v1/events/OrderConfirmedEvent", json=wrong)).status_code == 422
    assert (await nodes[0].get("/v1/refusals")).status_code == 200  # waits until it is written
    (refused,) = (await nodes[1].get("/v1/refusals")).json()["items"]

    path = f"/v1/refusals/{refused['id']}/accept"
    answers = await asyncio.gather(*(node.post(path) for node in nodes * 4))

    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    (event,) = (await nodes[0].get("/v1/events")).json()["items"]
    assert all(event["id"] in answer.text for answer in answers)
    for node in nodes:
        await node.aclose()


async def test_endpoint_paused_on_one_node_is_held_and_resumed_by_the_other(
    cluster: Cluster, receiver: LocalReceiver
) -> None:
    await cluster.start()
    endpoint_id = await subscribe(cluster.first, receiver, "/hook", paused=True)
    path = f"/v1/endpoints/{endpoint_id}"
    async with cluster.first.client() as first, cluster.second.client() as second:
        async with asyncio.timeout(DEADLINE_S):
            while (await second.get(path)).status_code == 404:  # the other node reads the change a moment later
                await asyncio.sleep(0.05)
        nodes = (first, second)
        ids = {
            (await nodes[n % 2].post("/v1/events/OrderConfirmedEvent", json=order(n))).json()["id"] for n in range(10)
        }
        stats = [(await node.get(f"{path}/stats")).json() for node in nodes]
        assert [(each["health"], each["pending"]) for each in stats] == [("paused", 10)] * 2
        assert stats[0]["state_since"] == stats[1]["state_since"]
        assert receiver.arrived["/hook"] == {}
        assert (await second.patch(path, json={"paused": False})).status_code == 200
    await until_arrived(receiver, "/hook", ids)
