"""Acknowledged events arrive after kills and restarts of the server, as counted outside of it."""

import asyncio

from api_server import Receiver, expect, listening
from processes import DEADLINE_S, LocalReceiver, ServerProcess
from publisher import Publisher, order, sequences, subscribe, until_arrived, until_settled
from standardwebhooks import Webhook

PUBLISHERS = 16
KILLS = 4
EVENTS_BETWEEN_KILLS = 150


async def test_server_killed_under_load_loses_no_acknowledged_event(
    server: ServerProcess, receiver: LocalReceiver
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    publisher, enough = Publisher(server), asyncio.Event()
    publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(PUBLISHERS)]

    for kills in range(1, KILLS + 1):
        await publisher.until_acknowledged(kills * EVENTS_BETWEEN_KILLS)
        server.kill()
        await server.start()
    await publisher.until_acknowledged((KILLS + 1) * EVENTS_BETWEEN_KILLS)
    enough.set()
    await asyncio.gather(*publishing)

    ids = set(publisher.acknowledged.values())
    assert len(ids) == len(publisher.acknowledged)  # one event for each key, however often it was sent
    await until_arrived(receiver, "/hook", ids)
    assert receiver.arrived["/hook"].keys() == ids  # and nothing that was never acknowledged in the end
    assert receiver.forged == 0
    [book] = await until_settled(server)
    assert book["matched"] == book["delivered"] == len(ids)


async def test_sequence_after_kills_has_no_gap(server: ServerProcess) -> None:
    await server.start()
    publisher, enough = Publisher(server), asyncio.Event()
    publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(4)]
    await publisher.until_acknowledged(50)
    server.kill()
    await server.start()
    await publisher.until_acknowledged(100)
    enough.set()
    await asyncio.gather(*publishing)

    assert await sequences(server) == list(range(1, len(publisher.acknowledged) + 1))


async def test_server_killed_while_an_endpoint_is_paused_holds_its_deliveries(
    server: ServerProcess, receiver: LocalReceiver
) -> None:
    await server.start()
    endpoint_id = await subscribe(server, receiver, "/hook", paused=True)
    async with server.client() as client:
        ids = {(await client.post("/v1/events/OrderConfirmedEvent", json=order(n))).json()["id"] for n in range(20)}
    server.kill()
    await server.start()
    async with server.client() as client:
        stats = (await client.get(f"/v1/endpoints/{endpoint_id}/stats")).json()
        assert (stats["health"], stats["pending"], receiver.arrived["/hook"]) == ("paused", 20, {})
        assert (await client.patch(f"/v1/endpoints/{endpoint_id}", json={"paused": False})).status_code == 200

    await until_arrived(receiver, "/hook", ids)
    [book] = await until_settled(server)
    assert book["delivered"] == 20
    assert receiver.arrived["/hook"].keys() == ids


async def test_attempt_interrupted_by_a_crash_is_recorded_and_repeated(
    server: ServerProcess, receiver: LocalReceiver
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    receiver.hold()
    async with server.client() as client:
        event_id = (await client.post("/v1/events/OrderConfirmedEvent", json=order(1))).json()["id"]
        async with asyncio.timeout(DEADLINE_S):
            await receiver.held.wait()
    server.kill()
    receiver.release()
    await server.start()

    await until_settled(server)
    async with server.client() as client:
        [delivery] = (await client.get(f"/v1/events/{event_id}/deliveries")).json()["items"]
        attempts = (await client.get(f"/v1/deliveries/{delivery['id']}")).json()["attempts"]
    assert [attempt["error"] for attempt in attempts] == ["interrupted", None]
    assert receiver.arrived["/hook"].keys() == {event_id}


async def test_attempt_repeated_after_a_crash_has_the_selected_properties(server: ServerProcess) -> None:
    own = {"name": "ExportDelivered", "category": "Export", "kind": "event", "description": "x",
           "schema": {"properties": {"ExportId": {}, "Email": {}}, "required": ["ExportId"]},
           "example": {"ClientId": 1, "ExportId": 7}}  # fmt: skip
    receiver = Receiver()
    receiver.hold()
    await server.start()
    async with listening(receiver) as place:
        endpoint = {"client_id": 1, "url": f"http://127.0.0.1:{place.port}/", "event_types": ["*"], "properties": []}
        async with server.client() as client:
            expect(await client.post("/v1/event-types", json=own), 201)
            secret = expect(await client.post("/v1/endpoints", json=endpoint), 201)["secret"]
            event = {"ClientId": 1, "ExportId": 7, "Email": "anna@example.com"}
            expect(await client.post("/v1/events/ExportDelivered", json=event), 202)
        async with asyncio.timeout(DEADLINE_S):
            while not receiver.arrived:
                await asyncio.sleep(0.01)
        server.kill()
        receiver.release()
        await server.start()
        await until_settled(server)

    first, second = receiver.arrived
    assert first.body == second.body == b'{"ClientId":1,"ExportId":7}'
    for each in receiver.arrived:
        Webhook(secret).verify(each.body, each.headers)


async def test_server_on_sigterm_finishes_requests_in_flight_and_exits_0(
    server: ServerProcess, receiver: LocalReceiver
) -> None:
    await server.start()
    await subscribe(server, receiver, "/hook")
    receiver.hold()
    async with server.client() as client:
        await client.post("/v1/events/OrderConfirmedEvent", json=order(1))
        async with asyncio.timeout(DEADLINE_S):
            await receiver.held.wait()
    stopping = asyncio.create_task(server.stop())
    receiver.release()

    code = await stopping
    assert code == 0, server.log()
    assert receiver.taken == 1
    await server.start()
    [book] = await until_settled(server)
    assert book["delivered"] == 1


async def test_second_server_on_the_same_store_is_refused_in_one_line(server: ServerProcess) -> None:
    await server.start()
    other = ServerProcess(server._folder)
    try:
        await other.start()
    except AssertionError:
        assert "is in use by process" in server.log()
        assert "Traceback" not in server.log()
    else:
        other.kill()
        raise AssertionError("two servers on one store")


async def test_log_never_contains_the_admin_key(server: ServerProcess, receiver: LocalReceiver) -> None:
    await server.start()
    await subscribe(server, receiver, "/gone", headers={"X-Shop-Token": "canary-7f3a"})
    receiver.secrets.pop("/gone")
    async with server.client() as client:
        await client.post("/v1/events/OrderConfirmedEvent", json=order(1))
    await server.stop()

    log = server.log()
    assert "canary-7f3a" not in log
    assert "an-admin-key" not in log
    assert "whsec_" not in log
