"""Publish one event: every answer of `POST /v1/events/{EventType}`."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from api_server import MEDIA, Api, Json, example, expect, expect_problem

from commerce_event.contract.catalogue import EVENT_TYPES

PATH = "/v1/events/OrderConfirmedEvent"
LIMIT = 256 * 1024
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def send(api: Api, body: bytes, path: str = PATH, **headers: Any) -> httpx.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.admin.post(path, content=body, headers=MEDIA | fields)


async def test_publish_every_event_type_accepts_its_example(api: Api) -> None:
    for type_ in EVENT_TYPES:
        answer = await api.publish(type_=type_)
        assert set(answer) == {"id", "duplicate", "deliveries"}
        assert answer["duplicate"] is False
        assert expect(await api.admin.get(f"/v1/events/{answer['id']}"), 200)["data"] == example(type_)


async def test_publish_body_is_stored_and_delivered_byte_for_byte(api: Api) -> None:
    await api.endpoint()
    data = example(FirstName="Zoë \u202e \U0001f600 \u2028", Extra={"deep": [1.10, 1e2, None]})
    body = b" \n" + json.dumps(data, ensure_ascii=False, indent=3).encode() + b"\r\n\t"
    accepted = expect(await send(api, body), 202)
    assert accepted["deliveries"] == 1
    assert body.strip() in (await api.admin.get(f"/v1/events/{accepted['id']}")).content
    (arrival,) = await api.until_arrived(1)
    assert arrival.body == body
    assert arrival.headers["webhook-id"] == accepted["id"]
    assert arrival.headers["commerce-event-type"] == "OrderConfirmedEvent"
    assert arrival.headers["commerce-event-sequence"] == "1"
    assert arrival.headers["content-type"] == "application/json"


async def test_publish_deliveries_is_the_number_of_matching_endpoints(api: Api) -> None:
    await api.endpoint()
    await api.endpoint(event_types=["Order"])
    await api.endpoint(event_types=["Product"])
    await api.endpoint(2)
    assert (await api.publish())["deliveries"] == 2


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id", "ce-id"])
async def test_publish_same_key_and_body_returns_the_first_event(api: Api, header: str) -> None:
    await api.endpoint()
    body = json.dumps(example()).encode()
    first = expect(await send(api, body, **{header: "k-1"}), 202)
    again = expect(await send(api, body, **{header: "k-1"}), 200)
    assert again == {"id": first["id"], "duplicate": True, "deliveries": 1}
    assert len(expect(await api.admin.get("/v1/events"), 200)["items"]) == 1


async def test_publish_idempotency_key_wins_over_webhook_id_and_that_over_ce_id(api: Api) -> None:
    body = json.dumps(example()).encode()
    headers = {"Idempotency-Key": "a", "webhook-id": "b", "ce-id": "c"}
    accepted = expect(await send(api, body, **headers), 202)
    assert expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)["idempotency_key"] == "a"
    del headers["Idempotency-Key"]
    accepted = expect(await send(api, body, **headers), 202)
    assert expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)["idempotency_key"] == "b"


async def test_publish_same_key_with_another_body_is_409_and_names_the_first_event(api: Api) -> None:
    first = expect(await send(api, json.dumps(example()).encode(), Idempotency_Key="k"), 202)
    other = await send(api, json.dumps(example(OrderId=7)).encode(), Idempotency_Key="k")
    assert first["id"] in expect_problem(other, 409)["detail"]


async def test_publish_same_key_of_another_client_is_a_new_event(api: Api) -> None:
    for client_id in (1, 2):
        body = json.dumps(example(client_id=client_id)).encode()
        assert expect(await send(api, body, Idempotency_Key="same"), 202)["duplicate"] is False


async def test_publish_same_body_without_a_key_is_a_new_event(api: Api) -> None:
    assert (await api.publish())["id"] != (await api.publish())["id"]


async def test_publish_fifty_concurrent_with_one_key_store_one_event(api: Api) -> None:
    await api.endpoint()
    body = json.dumps(example()).encode()
    answers = await asyncio.gather(*(send(api, body, Idempotency_Key="once") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await api.until_state("delivered")) == 1
    assert len(api.receiver.arrived) == 1


@pytest.mark.parametrize(
    "key",
    [b"", b"x" * 257, b"tab\there", "ö".encode("latin-1") + b"\x80"],
    ids=["empty", "too long", "control character", "not UTF-8"],
)
async def test_publish_invalid_key_is_refused_and_nothing_is_stored(api: Api, key: bytes) -> None:
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": key}
    response = await api.admin.post(PATH, content=json.dumps(example()).encode(), headers=headers)
    expect_problem(response, 400)
    assert expect(await api.admin.get("/v1/events"), 200)["items"] == []


async def test_publish_keys_that_are_not_utf_8_are_never_taken_for_the_same(api: Api) -> None:
    statuses = []
    for key in (b"caf\xe9-1", b"caf\xe8-1"):
        headers = {b"Content-Type": b"application/json", b"Idempotency-Key": key}
        response = await api.admin.post(PATH, content=json.dumps(example()).encode(), headers=headers)
        statuses.append(response.status_code)
    assert statuses in ([400, 400], [202, 202])


async def test_publish_key_in_utf_8_is_kept_unchanged(api: Api) -> None:
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": "bestellung-ö-日本".encode()}
    accepted = expect(await api.admin.post(PATH, content=json.dumps(example()).encode(), headers=headers), 202)
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert event["idempotency_key"] == "bestellung-ö-日本"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"order",
        b'{"ClientId":1,"ClientId":1}',
        b'{"ClientId":NaN}',
        b'{"ClientId":1e400}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"{} {}",
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"a":' + b"9" * 5_000 + b"}",
        '{"ClientId":1}'.encode("utf-16"),
    ],
    ids=lambda body: body[:20].decode("latin-1") or "empty",
)
async def test_publish_not_strict_json_is_400(api: Api, body: bytes) -> None:
    response = await send(api, body)
    expect_problem(response, 400, *(fault["pointer"] for fault in response.json().get("errors", [])))


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"ClientId": 2**31}, ["/ClientId"]),
        ({"ClientId": True}, ["/ClientId"]),
        ({"ClientId": "1"}, ["/ClientId"]),
        ({"ClientId": 1.0}, ["/ClientId"]),
        ({"OrderId": 2**63}, ["/OrderId"]),
        ({"OrderId": None}, ["/OrderId"]),
        ({"OrderNo": 5}, ["/OrderNo"]),
        ({"Source": "\0"}, ["/Source"]),
        ({"OrderId": "x", "OrderNo": 1, "ApplicationId": []}, ["/ApplicationId", "/OrderId", "/OrderNo"]),
    ],
)
async def test_publish_contract_fault_is_422_with_pointers(api: Api, changes: Json, pointers: list[str]) -> None:
    problem = (await send(api, json.dumps(example(**changes)).encode())).json()
    assert sorted(fault["pointer"] for fault in problem["errors"]) == pointers
    assert problem["status"] == 422


async def test_publish_name_in_other_case_is_422_with_its_pointer(api: Api) -> None:
    body = json.dumps({**example(), "clientId": 2}).encode()
    problem = expect_problem(await send(api, body), 422, "/clientId")
    assert problem["errors"][0]["message"] == "is written ClientId in the contract"


async def test_publish_ce_id_and_ce_source_make_one_key(api: Api) -> None:
    body = json.dumps(example()).encode()
    for headers, key in (({"ce-id": "7", "ce-source": "/erp"}, "/erp#7"), ({"ce-id": "7"}, "7")):
        accepted = expect(await send(api, body, **headers), 202)
        event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
        assert event["idempotency_key"] == key


async def test_publish_unknown_properties_are_kept(api: Api) -> None:
    accepted = await api.publish(NewInTheNextVersion={"a": [1]})
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert event["data"]["NewInTheNextVersion"] == {"a": [1]}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}])
async def test_publish_without_a_known_api_key_is_401(api: Api, headers: Json) -> None:
    stranger = await api.caller(None)
    response = await stranger.post(PATH, json=example(), headers=headers)
    expect_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_publish_api_key_beyond_ascii_is_401(api: Api) -> None:
    stranger = await api.caller(None)
    for token in (b"Bearer \xff\xfe", "Bearer ö".encode(), b"Bearer " + b"x" * 8_000):
        expect_problem(await stranger.post(PATH, json=example(), headers={b"Authorization": token}), 401)


async def test_publish_event_of_another_client_is_403(api: Api) -> None:
    publisher, _ = await api.key("publish", 2, 3)
    expect_problem(await publisher.post(PATH, json=example(client_id=1)), 403)
    expect(await publisher.post(PATH, json=example(client_id=3)), 202)


async def test_publish_with_a_read_key_is_403(api: Api) -> None:
    reader, _ = await api.key("read", 1)
    expect_problem(await reader.post(PATH, json=example()), 403)
    expect_problem(await reader.post("/v1/events", json=[{"type": "OrderConfirmedEvent", "data": example()}]), 403)


@pytest.mark.parametrize("name", ["Nothing", "orderconfirmedevent", "Order", "*", "%00", "a" * 2_000])
async def test_publish_unknown_type_is_404(api: Api, name: str) -> None:
    expect_problem(await api.admin.post(f"/v1/events/{name}", json=example()), 404)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "", "application/json; charset=utf-16", "multipart/form-data"]
)
async def test_publish_other_media_type_is_415(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    expect_problem(await api.admin.post(PATH, content=json.dumps(example()), headers=headers), 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json;charset=utf-8", 'Application/JSON; charset="UTF-8"', "application/vnd.shop+json", "text/json"],
)
async def test_publish_other_json_media_type_is_accepted(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    expect(await api.admin.post(PATH, content=json.dumps(example()), headers=headers), 202)


async def test_publish_body_at_the_limit_is_accepted_and_one_byte_more_is_413(api: Api) -> None:
    body = json.dumps(example()).encode()
    expect(await send(api, body + b" " * (LIMIT - len(body))), 202)
    expect_problem(await send(api, body + b" " * (LIMIT - len(body) + 1)), 413)


async def test_publish_traceparent_is_passed_on(api: Api) -> None:
    await api.endpoint()
    expect(await send(api, json.dumps(example()).encode(), traceparent=TRACE), 202)
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]


@pytest.mark.parametrize("trace", ["nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", TRACE.upper(), "ÿ"])
async def test_publish_malformed_traceparent_is_ignored(api: Api, trace: str) -> None:
    await api.endpoint()
    headers = {b"Content-Type": b"application/json", b"traceparent": trace.encode("latin-1")}
    expect(await api.admin.post(PATH, content=json.dumps(example()).encode(), headers=headers), 202)
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers.get("traceparent") != trace


async def test_publish_refused_events_leave_no_gap_in_the_sequence(api: Api) -> None:
    for order_id in range(1, 4):
        await api.publish(OrderId=order_id)
        await api.publish(2)
        await send(api, b"{}")
    events = expect(await api.admin.get("/v1/events?client_id=1&after=0"), 200)["items"]
    assert [event["sequence"] for event in events] == [1, 2, 3]


async def test_publish_while_stopping_is_503_with_retry_after(api: Api) -> None:
    await api.node.intake.close()
    response = await api.admin.post(PATH, json=example())
    expect_problem(response, 503)
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/v1/events/OrderConfirmedEvent", "/v1/events"])
async def test_publish_own_delivery_is_refused(api: Api, path: str) -> None:
    await api.endpoint()
    await api.publish()
    [arrival] = await api.until_arrived(1)
    told = {name: value for name, value in arrival.headers.items() if name.startswith(("commerce-event", "webhook"))}
    back = await api.admin.post(path, content=arrival.body, headers={**MEDIA, **told})  # as a proxy before us would
    assert "again and again" in expect_problem(back, 400)["detail"]
    from_another = {**told, "commerce-event-origin": "8c1f0a6d3b5e2947"}
    onward = await api.admin.post(
        "/v1/events/OrderConfirmedEvent", content=arrival.body, headers={**MEDIA, **from_another}
    )
    expect(onward, 202)


async def test_publish_null_in_optional_properties_is_accepted_and_delivered_as_it_came(api: Api) -> None:
    await api.endpoint(filter={"FirstName": {"exists": False}})
    body = json.dumps(example(FirstName=None, LastName=None), indent=1).encode()
    assert expect(await send(api, body), 202)["deliveries"] == 1
    (arrival,) = await api.until_arrived(1)
    assert arrival.body == body


@pytest.mark.parametrize("body", [b"null", b"[]", b"5"])
async def test_publish_json_that_is_no_object_is_422(api: Api, body: bytes) -> None:
    assert "not an object" in expect_problem(await send(api, body), 422, "")["detail"]


async def test_publish_same_key_and_event_written_differently_is_a_duplicate(api: Api) -> None:
    first = expect(await send(api, json.dumps(example()).encode(), idempotency_key="k"), 202)
    rewritten = json.dumps(dict(reversed(example().items())), indent=1).encode()
    assert expect(await send(api, rewritten, idempotency_key="k"), 200)["id"] == first["id"]
    expect_problem(await send(api, json.dumps(example(Extra=1)).encode(), idempotency_key="k"), 409)
