"""Changes to endpoints that meet, secrets that pile up, and what a caller must not get wrong unnoticed."""

import asyncio
import json

import msgspec
import pytest
from api_server import DEADLINE_S, MEDIA, Api, example, expect, expect_problem

from commerce_event.api.endpoints import PER_CLIENT_MAX
from commerce_event.core import ids
from commerce_event.core.signatures import verify
from commerce_event.deliver.replays import RUNNING_MAX
from commerce_event.http import asgi

PATH = "/v1/endpoints"
ROUNDS = 10


async def test_changes_at_the_same_time_are_all_kept(api: Api) -> None:
    for _ in range(ROUNDS):
        made = await api.endpoint()
        path = f"{PATH}/{made['id']}"
        *_, rotated = await asyncio.gather(
            api.admin.patch(path, json={"description": "d"}),
            api.admin.patch(path, json={"timeout_s": 3}),
            api.admin.patch(path, json={"headers": {"X-A": "a"}}),
            api.admin.post(f"{path}/rotate-secret"),
        )
        now = expect(await api.admin.get(path), 200)
        assert (now["description"], now["timeout_s"], list(now["headers"])) == ("d", 3, ["X-A"])
        kept = api.node.registry.endpoint(ids.decode("end", made["id"]))
        assert kept is not None
        assert [secret.value for secret in kept.secrets] == [rotated.json()["secret"], made["secret"]]


async def test_a_change_that_meets_a_deletion_does_not_undo_it(api: Api) -> None:
    for _ in range(ROUNDS):
        path = f"{PATH}/{(await api.endpoint())['id']}"
        deleted, changed, rotated = await asyncio.gather(
            api.admin.delete(path),
            api.admin.patch(path, json={"description": "x"}),
            api.admin.post(f"{path}/rotate-secret"),
        )
        assert deleted.status_code == 204
        assert {changed.status_code, rotated.status_code} <= {200, 404}
        expect_problem(await api.admin.get(path), 404)


async def test_the_limit_of_a_client_holds_for_those_that_come_together(api: Api) -> None:
    for _ in range(PER_CLIENT_MAX - 1):
        await api.endpoint()
    wanted = {"client_id": 1, "url": "https://erp.example.com/", "event_types": ["*"]}
    answers = await asyncio.gather(*(api.admin.post(PATH, json=wanted) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    await api.endpoint(2)


async def test_however_often_a_secret_is_rotated_a_receiver_can_check_with_the_newest(api: Api) -> None:
    made = await api.endpoint()
    rotated = made
    for _ in range(12):
        rotated = expect(await api.admin.post(f"{PATH}/{made['id']}/rotate-secret"), 200)
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert len(arrival.headers["webhook-signature"].split()) == 8
    verify([rotated["secret"]], arrival.headers, arrival.body, int(arrival.headers["webhook-timestamp"]))


async def test_the_mask_is_never_stored_as_a_value(api: Api) -> None:
    wanted = {"client_id": 1, "url": "https://erp.example.com/", "event_types": ["*"], "headers": {"X-Token": "***"}}
    expect_problem(await api.admin.post(PATH, json=wanted), 422, "/headers/X-Token")
    made = await api.endpoint(headers={"X-Token": "t-1"})
    response = await api.admin.patch(f"{PATH}/{made['id']}", json={"headers": {"X-Tokan": "***"}})
    expect_problem(response, 422, "/headers/X-Tokan")
    assert list(expect(await api.admin.get(f"{PATH}/{made['id']}"), 200)["headers"]) == ["X-Token"]


async def test_why_tells_the_last_answer_or_error(api: Api) -> None:
    api.receiver.statuses["/bad"] = 500
    bad = await api.endpoint(url=f"{api.receiver.url}/bad", retry_schedule=[])
    cut_off = await api.endpoint(url=f"{api.url}/itself", retry_schedule=[])
    unwanted = await api.endpoint(event_types=["Product"])
    accepted = await api.publish()
    await api.until_state("dead")
    explanation = expect(await api.admin.get(f"/v1/events/{accepted['id']}/explain"), 200)
    last = {each["endpoint_id"]: (each["last_status"], each["last_error"]) for each in explanation["endpoints"]}
    assert last[bad["id"]] == (500, "http_500")
    assert last[cut_off["id"]] == (None, "blocked_address")
    assert last[unwanted["id"]] == (None, None)


@pytest.mark.parametrize("stated", ["OrderConfirmedEvent", "com.example.OrderConfirmedEvent"])
async def test_a_cloud_event_header_may_name_the_type_of_the_address(api: Api, stated: str) -> None:
    headers = MEDIA | {"ce-type": stated, "ce-id": "1"}
    body = json.dumps(example())
    expect(await api.admin.post("/v1/events/OrderConfirmedEvent", content=body, headers=headers), 202)


@pytest.mark.parametrize("stated", ["OrderCancelledEvent", "", "OrderConfirmedEvent.x"])
async def test_a_cloud_event_header_that_names_another_type_is_refused(api: Api, stated: str) -> None:
    headers = MEDIA | {"ce-type": stated}
    body = json.dumps(example())
    expect_problem(await api.admin.post("/v1/events/OrderConfirmedEvent", content=body, headers=headers), 422)
    assert expect(await api.admin.get("/v1/events"), 200)["items"] == []


@pytest.mark.parametrize("path", ["/v1/events/OrderConfirmedEvent", "/v1/events", PATH])
async def test_a_caller_that_announces_a_body_and_sends_none_is_let_go(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "BODY_IDLE_S", 0.01)
    monkeypatch.setattr(asgi, "LINGER_IDLE_S", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    authorization = api.admin.headers["authorization"]
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
        f"Authorization: {authorization}\r\n\r\n".encode()
    )
    async with asyncio.timeout(60):
        answered = await reader.read()
    writer.close()
    assert answered.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", ["/v1/events/OrderConfirmedEvent", "/v1/events", PATH])
async def test_a_packed_body_is_refused_everywhere(api: Api, path: str) -> None:
    headers = MEDIA | {"Content-Encoding": "gzip"}
    expect_problem(await api.admin.post(path, content=b"\x1f\x8b", headers=headers), 415)


async def test_many_dead_letters_of_one_key_are_sent_again_in_their_order(api: Api) -> None:
    count = 230  # more than one step of a replay
    endpoint = await api.endpoint(ordering="key", retry_schedule=[])
    api.receiver.status = 500
    for number in range(count):
        await api.publish(OrderNo="SO-1", ClientOrderRef="B-1", OrderId=number)
    async with asyncio.timeout(DEADLINE_S):
        while (await api.admin.get(f"/v1/endpoints/{endpoint['id']}/stats")).json()["dead"] < count:
            await asyncio.sleep(0.01)
    api.receiver.status = 200
    api.receiver.arrived.clear()

    wanted = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z", "only": "failed"}
    expect(await api.admin.post("/v1/replays", json=wanted), 202)

    arrived = await api.until_arrived(count)
    assert [msgspec.json.decode(each.body)["OrderId"] for each in arrived] == list(range(count))


async def test_a_client_with_many_replays_under_way_waits_and_nobody_else_does(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stand_still(_replay: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(api.node.replays, "_step", stand_still)
    endpoint, other = await api.endpoint(), await api.endpoint(client_id=2)
    wanted = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z"}
    for _ in range(RUNNING_MAX):
        expect(await api.admin.post("/v1/replays", json=wanted), 202)

    problem = expect_problem(await api.admin.post("/v1/replays", json=wanted), 409)
    assert str(RUNNING_MAX) in problem["detail"]
    expect(await api.admin.post("/v1/replays", json={**wanted, "endpoint_id": other["id"]}), 202)
