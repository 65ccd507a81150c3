"""Publish many events: `POST /v1/events` in each of its formats."""

import asyncio
import base64
import itertools
import json
import weakref
from typing import Any

import httpx
import msgspec
import pytest
from api_server import Api, Json, example, expect, expect_problem

from commerce_event.accept import commit_batcher, publish, turns
from commerce_event.accept.parse import parse_event
from commerce_event.store.port import StoreUnavailableError

CLOUD = "application/cloudevents+json"
CLOUD_BATCH = "application/cloudevents-batch+json"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LINES = ["application/x-ndjson", "application/jsonl"]


async def post(api: Api, body: Any, content_type: str = "application/json", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.admin.post("/v1/events", content=content, headers={"Content-Type": content_type, **headers})


def item(order_id: int = 1, **members: Any) -> Json:
    return {"type": "OrderConfirmedEvent", "data": example(OrderId=order_id), **members}


def cloud_event(order_id: int = 1, **attributes: Any) -> Json:
    head = {"specversion": "1.0", "id": f"c-{order_id}", "source": "/shop", "type": "com.example.OrderConfirmedEvent"}
    return {**head, "data": example(OrderId=order_id), **attributes}


async def order_ids(api: Api, client_id: int = 1) -> list[int]:
    events = expect(await api.admin.get(f"/v1/events?client_id={client_id}&after=0"), 200)["items"]
    return [event["data"]["OrderId"] for event in events]


@pytest.mark.parametrize("content_type", LINES)
async def test_batch_json_lines_are_accepted_in_order(api: Api, content_type: str) -> None:
    lines = [json.dumps(item(number)) for number in range(1, 6)]
    answer = expect(await post(api, ("\r\n".join(lines) + "\n\n").encode(), content_type), 200)
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (5, 0, 0)
    assert [each["index"] for each in answer["items"]] == [0, 1, 2, 3, 4]
    assert [each["status"] for each in answer["items"]] == [202] * 5
    assert await order_ids(api) == [1, 2, 3, 4, 5]


async def test_batch_array_is_accepted_and_events_delivered_byte_for_byte(api: Api) -> None:
    await api.endpoint()
    data = b'{ "OrderId" : 5,' + json.dumps(example(OrderId=None)).encode()[1:-1] + b',"X":1.50 }'
    answer = expect(await post(api, b'[{"data":' + data + b',"type":"OrderConfirmedEvent"}]'), 200)
    assert answer["items"][0]["deliveries"] == 1
    (arrival,) = await api.until_arrived(1)
    assert arrival.body == data


async def test_batch_store_failing_between_its_pieces_is_told_of_each_item(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_batcher, "_DELIVERIES_MAX", 2)
    await api.endpoint()
    journal = api.node.store.journal
    accept, calls = journal.accept, itertools.count(1)

    async def full_in_its_second_call(*values: Any, **named: Any) -> Any:
        if next(calls) == 2:
            raise StoreUnavailableError("the disk is full")
        return await accept(*values, **named)

    monkeypatch.setattr(journal, "accept", full_in_its_second_call)
    answer = expect(await post(api, [item(1), item(2), item("x"), item(3), item(4)]), 200)  # type: ignore[arg-type]

    assert [each["status"] for each in answer["items"]] == [202, 202, 422, 503, 503]
    assert "the disk is full" in answer["items"][4]["detail"]
    assert (answer["accepted"], answer["refused"]) == (2, 3)
    assert await order_ids(api) == [1, 2]


async def test_batch_single_cloud_event_is_answered_like_one_event(api: Api) -> None:
    first = expect(await post(api, cloud_event(), CLOUD), 202)
    assert set(first) == {"id", "duplicate", "deliveries"}
    assert expect(await post(api, cloud_event(), CLOUD), 200) == {**first, "duplicate": True}
    expect_problem(await post(api, cloud_event(data=example(OrderId=2)), CLOUD), 409)
    expect_problem(await post(api, cloud_event(type="Nothing"), CLOUD), 404)
    expect_problem(await post(api, cloud_event(specversion="2.0"), CLOUD), 422, "/specversion")
    problem = expect_problem(await post(api, cloud_event(3, data=example(OrderId="x")), CLOUD), 422, "/OrderId")
    assert "contract" in problem["title"]


async def test_batch_cloud_events_with_one_id_from_two_sources_are_two_events(api: Api) -> None:
    expect(await post(api, cloud_event(source="/a"), CLOUD), 202)
    expect(await post(api, cloud_event(source="/b"), CLOUD), 202)


async def test_batch_binary_cloud_events_with_ids_that_are_not_utf_8_are_refused(api: Api) -> None:
    statuses = []
    for number in ("%E9", "%E8"):
        headers = {"ce-specversion": "1.0", "ce-id": number, "ce-source": "/s", "ce-type": "OrderConfirmedEvent"}
        statuses.append((await post(api, example(), **headers)).status_code)
    assert statuses in ([400, 400], [202, 202])


async def test_batch_cloud_events_whose_source_and_id_join_alike_are_two_events(api: Api) -> None:
    batch = [cloud_event(source="/a#b", id="c"), cloud_event(source="/a", id="b#c")]
    answer = expect(await post(api, batch, CLOUD_BATCH), 200)
    assert [each["status"] for each in answer["items"]] == [202, 202]


async def test_batch_cloud_event_in_any_mode_and_at_both_addresses_is_one_event(api: Api) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-source": "/s%C3%B6", "ce-type": "x.OrderConfirmedEvent"}
    first = expect(await post(api, example(), **headers), 202)
    structured = cloud_event(id="a b", source="/s\xf6", data=example())
    assert expect(await post(api, structured, CLOUD), 200)["id"] == first["id"]
    path, body = "/v1/events/OrderConfirmedEvent", json.dumps(example()).encode()
    headers["Content-Type"] = "application/json"
    assert expect(await api.admin.post(path, content=body, headers=headers), 200)["id"] == first["id"]
    headers["ce-source"] = "/t"
    assert expect(await api.admin.post(path, content=body, headers=headers), 202)["id"] != first["id"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/OrderConfirmedEvent"])
async def test_batch_other_version_of_cloud_events_is_refused_at_both_addresses(api: Api, path: str) -> None:
    headers = {"ce-specversion": "0.3", "ce-id": "1", "ce-source": "/s", "ce-type": "OrderConfirmedEvent"}
    expect_problem(await api.admin.post(path, json=example(), headers=headers), 422, "/specversion")


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id"])
async def test_batch_idempotency_key_of_the_request_is_that_of_its_one_event(api: Api, header: str) -> None:
    for content_type, body in (("application/json", [item()]), (LINES[0], item()), (CLOUD, cloud_event())):
        headers = {header: f"k-{content_type}"}
        first = (await post(api, body, content_type, **headers)).json()
        again = (await post(api, body, content_type, **headers)).json()
        first, again = (each["items"][0] if "items" in each else each for each in (first, again))
        assert (again["id"], again["duplicate"]) == (first["id"], True)
        event = expect(await api.admin.get(f"/v1/events/{first['id']}"), 200)
        assert event["idempotency_key"] == headers[header]


async def test_batch_one_key_for_several_events_is_refused_and_nothing_is_stored(api: Api) -> None:
    problem = expect_problem(await post(api, [item(1), item(2, id="own")], **{"Idempotency-Key": "k"}), 400)
    assert "its own id" in problem["detail"]
    assert await order_ids(api) == []


async def test_batch_invalid_key_of_the_request_refuses_its_one_event(api: Api) -> None:
    expect_problem(await post(api, [item(1)], **{"Idempotency-Key": "x" * 257}), 400)
    assert await order_ids(api) == []


async def test_batches_do_not_delay_other_requests(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = 0
    seen: list[int] = []

    def record_call(*arguments: Any, **options: Any) -> Any:
        seen.append(turn)
        return parse_event(*arguments, **options)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(publish, "parse_event", record_call)
    counting = asyncio.create_task(count_turns())
    answers = await asyncio.gather(*(post(api, [item(number) for number in range(20)]) for _ in range(3)))
    counting.cancel()

    assert [expect(answer, 200)["accepted"] for answer in answers] == [20] * 3
    assert len(set(seen)) == 60


async def test_batch_of_cloud_events_gets_one_result_for_each(api: Api) -> None:
    batch = [cloud_event(1), cloud_event(2, data=None), cloud_event(1), cloud_event(4, id=None)]
    encoded = cloud_event(5)
    encoded["data_base64"] = base64.b64encode(json.dumps(encoded.pop("data")).encode()).decode()
    answer = expect(await post(api, [*batch, encoded], CLOUD_BATCH), 200)
    assert [each["status"] for each in answer["items"]] == [202, 422, 200, 422, 202]
    assert await order_ids(api) == [1, 5]


async def test_batch_binary_cloud_event_has_its_attributes_in_headers(api: Api) -> None:
    await api.endpoint()
    body = json.dumps(example(), indent=1).encode()
    headers = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-source": "/shop", "ce-type": "x.OrderConfirmedEvent"}
    accepted = expect(await post(api, body, **headers, **{"ce-traceparent": TRACE}), 202)
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert event["idempotency_key"] == "/shop#a b"
    (arrival,) = await api.until_arrived(1)
    assert arrival.body == body
    assert arrival.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    del headers["ce-id"]
    expect_problem(await post(api, body, **headers), 422, "/id")


async def test_batch_invalid_item_is_refused_in_its_place_and_others_accepted(api: Api) -> None:
    batch: list[Any] = [
        item(1, id="k"),
        item(2, type="Nothing"),
        item(3, data=example(OrderId="x")),
        item(4, data=example(client_id=9)),
        item(5, extra=1),
        "text",
        item(6, id="k"),
        item(1, id="k"),
        item(7, id=""),
        item(8, id=5),
        {"type": "OrderConfirmedEvent"},
        item(9, data=[]),
        item(10),
    ]
    publisher, _ = await api.key("publish", 1)
    answer = expect(await publisher.post("/v1/events", json=batch), 200)
    statuses = [each["status"] for each in answer["items"]]
    assert statuses == [202, 404, 422, 403, 422, 422, 409, 200, 400, 422, 422, 422, 202]
    assert answer["items"][7]["id"] == answer["items"][0]["id"]
    assert answer["items"][2]["errors"][0]["pointer"] == "/OrderId"
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (2, 1, 10)
    assert await order_ids(api) == [1, 10]
    assert await order_ids(api, 9) == []


async def test_batch_line_that_is_not_json_does_not_affect_others(api: Api) -> None:
    good = json.dumps(item(1)).encode()
    lines = [good, b"{", b'{"type":"A","type":"B"}', b"\xff", b"[" * 10_000, json.dumps(item(2)).encode()]
    answer = expect(await post(api, b"\n".join(lines), LINES[0]), 200)
    assert [each["status"] for each in answer["items"]] == [202, 400, 400, 400, 400, 202]


async def test_batch_event_that_is_too_large_is_refused_in_its_place(api: Api) -> None:
    answer = expect(await post(api, [item(1, data=example(Large="x" * 300_000)), item(2)]), 200)
    assert [each["status"] for each in answer["items"]] == [413, 202]


async def test_batch_of_1000_is_accepted_and_of_1001_refused(api: Api) -> None:
    batch = [item(number) for number in range(1, 1_002)]
    problem = expect_problem(await post(api, batch), 413)
    assert "1000" in problem["detail"]
    assert await order_ids(api) == []
    answer = expect(await post(api, batch[:1_000]), 200)
    assert answer["accepted"] == 1_000


async def test_batch_empty_array_is_accepted(api: Api) -> None:
    assert expect(await post(api, []), 200) == {"items": [], "accepted": 0, "duplicates": 0, "refused": 0}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"", LINES[0], 400),
        (b"null", "application/json", 422),
        (b"[{]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"5", CLOUD_BATCH, 422),
        (b"[]", "text/csv", 415),
        (b"[]", "", 415),
        (b"[]", "application/json; charset=latin-1", 415),
        (b"", CLOUD, 400),
        (b"[]", CLOUD, 422),
    ],
)
async def test_batch_unreadable_request_is_refused(api: Api, body: bytes, content_type: str, status: int) -> None:
    response = await post(api, body, content_type)
    expect_problem(response, status, *(fault["pointer"] for fault in response.json().get("errors", [])))


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/OrderConfirmedEvent", "/v1/endpoints"])
async def test_caller_that_sends_far_too_much_still_reads_the_413(api: Api, path: str) -> None:
    body = b" " * (20 * 1024 * 1024)
    headers = {"Content-Type": "application/json"}
    expect_problem(await api.admin.post(path, content=body, headers=headers), 413)


async def test_batch_items_without_a_traceparent_get_that_of_the_request(api: Api) -> None:
    await api.endpoint()
    expect(await post(api, [item()], traceparent=TRACE), 200)
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]


async def test_batch_without_an_api_key_is_401(api: Api) -> None:
    expect_problem(await (await api.caller(None)).post("/v1/events", json=[item()]), 401)


TYPED = "/v1/events/OrderConfirmedEvent"


@pytest.mark.parametrize("path", ["/v1/events", TYPED])
async def test_batch_binary_cloud_event_without_content_type_is_json(api: Api, path: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "x.OrderConfirmedEvent"}
    content = json.dumps(example()).encode()
    first = expect(await api.admin.post(path, content=content, headers=headers), 202)
    headers["Content-Type"] = "application/json"
    assert expect(await api.admin.post(path, content=content, headers=headers), 200)["id"] == first["id"]
    headers["Content-Type"] = "text/plain"
    expect_problem(await api.admin.post(path, content=content, headers=headers), 415)


async def test_batch_event_without_content_type_that_is_no_cloud_event_is_415(api: Api) -> None:
    for path in ("/v1/events", TYPED):
        expect_problem(await api.admin.post(path, content=json.dumps(example()).encode()), 415)


async def test_batch_structured_cloud_event_at_the_address_of_its_type_is_one_event(api: Api) -> None:
    await api.endpoint()
    media = {"Content-Type": f"{CLOUD}; charset=utf-8"}
    content = json.dumps(cloud_event(traceparent=TRACE))
    first = expect(await api.admin.post(TYPED, content=content, headers=media), 202)
    (arrival,) = await api.until_arrived(1)
    assert json.loads(arrival.body) == example(OrderId=1)
    assert arrival.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert expect(await post(api, cloud_event(), CLOUD), 200)["id"] == first["id"]
    own = expect(await api.admin.post(TYPED, json=cloud_event(), headers={**media, "Idempotency-Key": "k"}), 202)
    assert own["id"] != first["id"]


async def test_batch_structured_cloud_event_at_an_address_may_be_as_large_as_elsewhere(api: Api) -> None:
    media = {"Content-Type": CLOUD}
    room = 256 * 1024 - len(json.dumps(example(Large="")))
    for number, (size, status) in enumerate([(room, 202), (room + 1, 413)]):
        event = cloud_event(number, data=example(Large="x" * size))
        response = await api.admin.post(TYPED, content=json.dumps(event), headers=media)
        assert response.status_code == status


async def test_batch_structured_cloud_event_at_a_wrong_address_is_refused(api: Api) -> None:
    media = {"Content-Type": CLOUD}
    expect_problem(
        await api.admin.post("/v1/events/JobCompletedEvent", json=cloud_event(), headers=media), 422, "/type"
    )
    expect_problem(await api.admin.post(TYPED, json=example(), headers=media), 422, "/data")
    expect_problem(await api.admin.post(TYPED, json=[cloud_event()], headers={"Content-Type": CLOUD_BATCH}), 415)


@pytest.mark.parametrize(
    "type_",
    [
        "x.OrderConfirmedEvent.v1",
        "OrderConfirmedEvent.V2",
        "x.OrderConfirmedEvent.v1.0.3",
        "OrderConfirmedEvent/v1",
        "urn:x:OrderConfirmedEvent:2",
        "OrderConfirmedEvent@1.2",
        "x.OrderConfirmedEvent.2026-01-31",
        f"{'.1' * 99}.OrderConfirmedEvent",
    ],
)
async def test_batch_version_at_the_end_of_a_type_is_ignored(api: Api, type_: str) -> None:
    expect(await post(api, cloud_event(type=type_), CLOUD), 202)
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": type_}
    first = expect(await post(api, example(), **headers), 202)
    media = {"Content-Type": "application/json"}
    again = await api.admin.post(TYPED, content=json.dumps(example()), headers=headers | media)
    assert expect(again, 200)["id"] == first["id"]


@pytest.mark.parametrize("type_", ["v1", ".v1", "x.OrderConfirmedEvent.v", "OrderConfirmedEvent.v1.x", "1"])
async def test_batch_type_without_an_event_type_is_404(api: Api, type_: str) -> None:
    expect_problem(await post(api, cloud_event(type=type_), CLOUD), 404)


async def test_batch_of_refused_events_keeps_none_of_them_decoded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    class Traced(dict[str, Any]):
        """A decoded event that can be counted."""

    alive: list[weakref.ref[Traced]] = []
    most = 0

    def noting(*arguments: Any, **options: Any) -> Any:
        nonlocal most
        event = parse_event(*arguments, **options)
        data = Traced(event.data)
        alive.append(weakref.ref(data))
        most = max(most, sum(each() is not None for each in alive))
        return msgspec.structs.replace(event, data=data)

    monkeypatch.setattr(publish, "parse_event", noting)
    others = [{"type": "OrderConfirmedEvent", "data": example(client_id=99)} for _ in range(9)]
    publisher, _ = await api.key("publish", 1)
    answer = expect(await publisher.post("/v1/events", json=[*others, *(item(number) for number in range(9))]), 200)
    assert (answer["refused"], answer["accepted"]) == (9, 9)
    assert most <= 2
