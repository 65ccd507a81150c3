"""Refused events: what leaves a trace, who sees it, and how it becomes an event after all."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_server import MEDIA, Api, Json, example, expect, expect_problem

from commerce_event.core.refusal_limits import LIMITS
from commerce_event.store.port import StoreUnavailableError

PATH = "/v1/events/OrderConfirmedEvent"


async def refused(api: Api, body: Any = None, path: str = PATH, status: int = 422, **changes: Any) -> Json:
    """Publish an event that is refused, an order without its id by default; return the refusal."""
    content = body if isinstance(body, bytes) else json.dumps(body or example(OrderId=None, **changes)).encode()
    expect_problem_status(await api.admin.post(path, content=content, headers=MEDIA), status)
    return (await refusals(api))[0]


def expect_problem_status(response: httpx.Response, status: int) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """Send a body of unknown length."""
    yield body


async def refusals(api: Api, caller: httpx.AsyncClient | None = None, **query: Any) -> list[Json]:
    found: list[Json] = expect(await (caller or api.admin).get("/v1/refusals", params=query), 200)["items"]
    return found


async def detail(api: Api, id_: str) -> Json:
    return expect(await api.admin.get(f"/v1/refusals/{id_}"), 200)


async def accept(api: Api, id_: str, caller: httpx.AsyncClient | None = None, **body: Any) -> httpx.Response:
    return await (caller or api.admin).post(f"/v1/refusals/{id_}/accept", json=body or None)


# -- What is kept


async def test_refused_event_is_kept_with_body_and_pointers(api: Api) -> None:
    publisher, key = await api.key("publish", 1)
    body = json.dumps(example(OrderId="x", Source=None), indent=2).encode()
    expect_problem(await publisher.post(PATH, content=body, headers=MEDIA), 422, "/OrderId", "/Source")
    (listed,) = await refusals(api)
    errors = [
        {"pointer": "/OrderId", "message": listed["errors"][0]["message"]},
        {"pointer": "/Source", "message": "is required"},
    ]
    assert listed == {
        "id": listed["id"], "at": listed["at"], "client_id": 1, "type": "OrderConfirmedEvent",
        "label": "Order 100234567 · ref. 884211", "key_id": key["id"], "key_name": "publish key", "status": 422, "detail": "This OrderConfirmedEvent breaks the contract in 2 places.",
        "errors": errors, "state": "open", "event_id": None, "reason": None, "closed_at": None,
    }  # fmt: skip
    assert listed["id"].startswith("rfs_")
    response = await api.admin.get(f"/v1/refusals/{listed['id']}")
    assert expect(response, 200) == {**listed, "body": json.loads(body)}
    assert body in response.content


async def test_event_of_unknown_type_is_kept_with_the_type_as_sent(api: Api) -> None:
    made = await refused(api, {"ClientId": 1, "Sku": "A"}, "/v1/events/SkuStockChangedNotification", 404)
    assert (made["type"], made["status"], made["client_id"], made["errors"]) == (
        "SkuStockChangedNotification", 404, 1, [],
    )  # fmt: skip
    long = await refused(api, {"ClientId": 1}, "/v1/events/" + "Å" * 300, 404)
    assert long["type"] == "Å" * 100
    nul = await refused(api, {"ClientId": 1}, "/v1/events/a%00b", 404)
    assert nul["type"] == "a\ufffdb"
    odd = await refused(api, {"ClientId": 1}, "/v1/events/%FF%ED%A0%80", 404)
    assert odd["type"] == "\ufffd" * 4
    slow = await api.admin.post("/v1/events/%FF%00", content=chunks(b'{"ClientId":1}'), headers=MEDIA)
    expect_problem_status(slow, 404)
    assert (await refusals(api))[0]["type"] == "\ufffd" * 2


@pytest.mark.parametrize("body", [b"\xff\x00not JSON", b'{"ClientId":1,"ClientId":2}', b"", b"[" * 200])
async def test_body_of_unknown_type_that_is_not_json_is_kept_as_text(api: Api, body: bytes) -> None:
    made = await refused(api, body, "/v1/events/Nothing", 404)
    assert (await detail(api, made["id"]))["body"] == body.decode("utf-8", "replace")
    assert expect_status(await accept(api, made["id"], type="OrderConfirmedEvent")) == 400
    assert expect_status(await accept(api, made["id"])) == 422


def expect_status(response: httpx.Response) -> int:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code


async def test_each_refused_item_of_a_batch_is_kept(api: Api) -> None:
    items: list[Any] = [
        {"type": "OrderConfirmedEvent", "data": example()},
        {"type": "OrderConfirmedEvent", "data": example(client_id=2, OrderId=None)},
        {"type": "Nothing", "data": {"ClientId": 3}},
        {"type": "OrderConfirmedEvent", "data": example(client_id=4), "surprise": 1},
        {"data": example(client_id=5)},
        17,
    ]
    answer = expect(await api.admin.post("/v1/events", json=items), 200)
    assert [item["status"] for item in answer["items"]] == [202, 422, 404, 422, 422, 422]
    found = (await refusals(api))[::-1]
    assert [(each["client_id"], each["type"], each["status"]) for each in found] == [
        (2, "OrderConfirmedEvent", 422), (3, "Nothing", 404), (4, "OrderConfirmedEvent", 422), (5, None, 422),
        (None, None, 422),
    ]  # fmt: skip
    bodies = [(await detail(api, each["id"]))["body"] for each in found]
    assert bodies == [items[1]["data"], {"ClientId": 3}, items[3], items[4], 17]


@pytest.mark.parametrize("mode", ["typed", "binary", "structured", "mismatch"])
async def test_refused_cloud_event_is_kept(api: Api, mode: str) -> None:
    data = example(OrderId=None)
    envelope = {"specversion": "1.0", "type": "OrderConfirmedEvent", "source": "/s", "id": "1", "data": data}
    structured = {"Content-Type": "application/cloudevents+json"}
    if mode == "typed":
        response = await api.admin.post(PATH, json=envelope, headers=structured)
    elif mode == "structured":
        response = await api.admin.post("/v1/events", json=envelope, headers=structured)
    elif mode == "mismatch":
        response = await api.admin.post("/v1/events/OrderReceivedEvent", json=envelope, headers=structured)
    else:
        headers = {"ce-specversion": "1.0", "ce-type": "OrderConfirmedEvent", "ce-source": "/s", "ce-id": "1"}
        response = await api.admin.post("/v1/events", json=data, headers=headers)
    expect_problem_status(response, 422)
    (made,) = await refusals(api)
    assert (made["type"], made["client_id"]) == ("OrderConfirmedEvent", 1)
    assert (await detail(api, made["id"]))["body"] == data


async def test_other_answers_leave_no_trace(api: Api) -> None:
    anonymous, stranger = await api.caller(None), await api.caller("key_wrong")
    reader, _ = await api.key("read", 1)
    foreign, _ = await api.key("publish", 2)
    bad = json.dumps(example(OrderId=None)).encode()
    for caller, body, status in (
        (anonymous, bad, 401), (stranger, bad, 401), (reader, bad, 403), (foreign, json.dumps(example()).encode(), 403),
        (api.admin, b"{", 400), (api.admin, b'{"a":"' + b"x" * 300_000 + b'"}', 413),
    ):  # fmt: skip
        expect_problem_status(await caller.post(PATH, content=body, headers=MEDIA), status)
    expect_problem_status(await api.admin.post(PATH, content=bad, headers={"Content-Type": "text/plain"}), 415)
    await api.publish()
    assert await refusals(api) == []


@pytest.mark.parametrize(
    ("clients", "stated", "client"),
    [
        ((1,), 1, 1), ((1,), 2, 1), ((1,), "1", 1), ((1,), None, 1), ((1, 2), 2, 2), ((1, 2), 3, None),
        ((1, 2), "1", None), ((1,), 2**40, 1), ((1, 2), 1.0, None), ((1, 2), True, None),
    ],
)  # fmt: skip
async def test_client_of_a_refused_event_is_one_of_the_key(
    api: Api, clients: tuple[int, ...], stated: Any, client: int | None
) -> None:
    publisher, _ = await api.key("publish", *clients)
    body = {**example(OrderId=None), "ClientId": stated}
    expect_problem_status(await publisher.post(PATH, json=body), 422)
    (made,) = await refusals(api)
    assert made["client_id"] == client
    reader, _ = await api.key("read", 1, 2, 3)
    assert len(await refusals(api, reader)) == (client is not None)
    assert (await reader.get(f"/v1/refusals/{made['id']}")).status_code == (404 if client is None else 200)


# -- Lists


async def test_list_filters_and_pages_refused_events(api: Api) -> None:
    made = [await refused(api, client_id=1 + number % 2) for number in range(6)]
    other = await refused(api, {"ClientId": 1}, "/v1/events/Nothing", 404)
    expect(await api.admin.post(f"/v1/refusals/{made[0]['id']}/discard"), 200)
    ids = [each["id"] for each in made[::-1]]
    for query, wanted in (
        ({"client_id": 2}, ids[::2]), ({"type": "Nothing"}, [other["id"]]), ({"state": "discarded"}, [ids[5]]),
        ({"state": "open", "type": "OrderConfirmedEvent"}, ids[:5]), ({"until": "2020-01-01T00:00:00Z"}, []),
        ({"since": made[3]["at"], "type": "OrderConfirmedEvent"}, [i["id"] for i in made[::-1] if i["at"] >= made[3]["at"]]),
    ):  # fmt: skip
        assert [each["id"] for each in await refusals(api, **query)] == wanted, query
    seen, cursor = [], None
    while True:
        page = expect(
            await api.admin.get("/v1/refusals", params={"limit": 2, **({"cursor": cursor} if cursor else {})}), 200
        )
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [other["id"], *ids]


async def test_list_has_no_bodies_and_few_errors(api: Api) -> None:
    made = await refused(api, {"ClientId": 1, "Note": "n" * 200_000})
    assert len(made["errors"]) == 5
    assert len((await detail(api, made["id"]))["errors"]) == 5
    expect_problem_status(
        await api.admin.post(
            "/v1/events/OrderReceivedEvent", content=b'{"ClientId":"' + b"n" * 200_000 + b'"}', headers=MEDIA
        ),
        422,
    )
    response = await api.admin.get("/v1/refusals")
    assert "nnnn" not in response.text
    assert len(response.content) < 5_000


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=lost", "?state"), ("since=yesterday", "?since"), ("until=x", "?until"), ("client_id=x", "?client_id"),
        ("cursor=x", "?cursor"), ("surprise=1", "?surprise"), (f"type={'x' * 101}", "?type"), ("type=%00", "?type"),
    ],
)  # fmt: skip
async def test_list_parameter_that_cannot_be_used_is_named(api: Api, query: str, pointer: str) -> None:
    expect_problem(await api.admin.get(f"/v1/refusals?{query}"), 422, pointer)


async def test_counts_are_of_open_ones_in_reach(api: Api) -> None:
    for client in (1, 1, 2):
        made = await refused(api, client_id=client)
    reader, _ = await api.key("read", 1)
    assert expect(await reader.get("/v1/refusal-counts"), 200) == {"open": 2, "more": False}
    expect_problem(await reader.get("/v1/refusal-counts", params={"client_id": 2}), 403)
    expect(await api.admin.post(f"/v1/refusals/{made['id']}/discard"), 200)
    assert expect(await api.admin.get("/v1/refusal-counts"), 200) == {"open": 2, "more": False}
    assert expect(await api.admin.get("/v1/refusal-counts", params={"client_id": 2}), 200)["open"] == 0


# -- Accept and discard


async def test_accept_as_it_is_delivers_byte_for_byte(api: Api) -> None:
    await api.endpoint()
    data = example(OrderId="x", FirstName="Zoë", Extra={"deep": [1.10, 1e2, None]})
    body = b" \n" + json.dumps(data, ensure_ascii=False, indent=3).encode() + b"\r\n\t"
    made = await refused(api, body)
    manager, _ = await api.key("manage", 1)
    accepted = expect(await accept(api, made["id"], manager), 200)
    assert (accepted["state"], accepted["event_id"][:4]) == ("accepted", "evt_")
    assert accepted["closed_at"] >= accepted["at"]
    assert await detail(api, made["id"]) == accepted
    (arrival,) = await api.until_arrived(1)
    assert (arrival.body, arrival.headers["webhook-id"]) == (body, accepted["event_id"])
    event = expect(await api.admin.get(f"/v1/events/{accepted['event_id']}"), 200)
    assert (event["type"], event["client_id"], event["idempotency_key"]) == ("OrderConfirmedEvent", 1, made["id"])


async def test_accept_twice_is_409_with_the_event(api: Api) -> None:
    made = await refused(api)
    event_id = expect(await accept(api, made["id"]), 200)["event_id"]
    assert event_id in expect_problem(await accept(api, made["id"]), 409)["detail"]
    assert event_id in expect_problem(await accept(api, made["id"], data=example()), 409)["detail"]
    expect_problem(await api.admin.post(f"/v1/refusals/{made['id']}/discard"), 409)


async def test_accepts_at_once_make_one_event(api: Api) -> None:
    made = await refused(api)
    bodies: list[Json] = [{}, {}, {"data": example()}, {"data": example(client_id=2)}, {"data": example(OrderId=7)}] * 3
    answers = await asyncio.gather(*(accept(api, made["id"], **body) for body in bodies))
    assert sorted(answer.status_code for answer in answers).count(200) <= 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    (event,) = expect(await api.admin.get("/v1/events"), 200)["items"]
    assert (await detail(api, made["id"]))["event_id"] == event["id"]


async def test_accept_after_an_interrupted_one_finds_its_event(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await refused(api)
    store = api.node.store.refusals

    async def away(*_: Any, **__: Any) -> bool:
        raise StoreUnavailableError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "accept", away)
        expect_problem(await accept(api, made["id"]), 503)
    (event,) = expect(await api.admin.get("/v1/events"), 200)["items"]
    expect_problem(await accept(api, made["id"], data=example(client_id=2)), 409)
    expect_problem(await api.admin.post(f"/v1/refusals/{made['id']}/discard"), 409)
    assert expect(await accept(api, made["id"]), 200)["event_id"] == event["id"]
    assert len(expect(await api.admin.get("/v1/events"), 200)["items"]) == 1


async def test_accept_that_stored_nothing_leaves_it_open(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await refused(api)

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(api.node.store.journal, "accept", away)
        expect_problem(await accept(api, made["id"]), 503)
    accepted = expect(await accept(api, made["id"], data=example(client_id=2)), 200)
    assert expect(await api.admin.get(f"/v1/events/{accepted['event_id']}"), 200)["client_id"] == 2


async def test_accept_of_one_that_is_deleted_meanwhile_still_answers_with_its_event(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await refused(api)
    store = api.node.store.refusals
    accept_in_store = store.accept

    async def expire_first(*values: Any, **others: Any) -> bool:
        await store.expire(before_ms=2**41, limit=10)
        return await accept_in_store(*values, **others)

    monkeypatch.setattr(store, "accept", expire_first)
    accepted = expect(await accept(api, made["id"]), 200)
    assert expect(await api.admin.get(f"/v1/events/{accepted['event_id']}"), 200)["client_id"] == 1
    expect_problem(await accept(api, made["id"]), 404)


async def test_accept_corrected_event_keeps_its_bytes(api: Api) -> None:
    await api.endpoint()
    made = await refused(api)
    data = json.dumps(example(Extra=1.10), indent=1).replace("1.1", "1.10").encode()
    response = await api.admin.post(
        f"/v1/refusals/{made['id']}/accept",
        content=b'{"type": "OrderReceivedEvent", "data" : ' + data + b"}",
        headers=MEDIA,
    )
    accepted = expect(response, 200)
    (arrival,) = await api.until_arrived(1)
    assert (arrival.body, arrival.headers["commerce-event-type"]) == (data, "OrderReceivedEvent")
    assert accepted["type"] == "OrderConfirmedEvent"


async def test_accept_with_another_type_publishes_the_body_as_it_was(api: Api) -> None:
    await api.endpoint()
    body = json.dumps(example(), indent=1).encode()
    made = await refused(api, body, "/v1/events/OrderConfirmed", 404)
    problem = expect_problem(await accept(api, made["id"]), 422, "/type")
    assert "OrderConfirmed" in problem["detail"]
    expect_problem(await accept(api, made["id"], type="Nothing"), 422, "/type")
    expect(await accept(api, made["id"], type="OrderConfirmedEvent"), 200)
    (arrival,) = await api.until_arrived(1)
    assert arrival.body == body


async def test_accept_corrected_event_is_checked_by_the_contract(api: Api) -> None:
    made = await refused(api)
    wrong = example(OrderId="x", Source=None)
    expect_problem(await accept(api, made["id"], data=wrong), 422, "/data/OrderId", "/data/Source")
    expect_problem(await accept(api, made["id"], data=example(), surprise=1), 422, "/surprise")
    expect_problem(await accept(api, made["id"], data=[1]), 422, "/data")
    assert (await detail(api, made["id"]))["state"] == "open"


@pytest.mark.parametrize("client", ["1", None, 2**40, 1.5])
async def test_accept_as_it_is_needs_a_client(api: Api, client: Any) -> None:
    publisher, _ = await api.key("publish", 1)
    expect_problem_status(await publisher.post(PATH, json={**example(), "ClientId": client}), 422)
    (made,) = await refusals(api)
    problem = expect_problem_of(await accept(api, made["id"]), 422)
    assert "/ClientId" in [each["pointer"] for each in problem["errors"]]


def expect_problem_of(response: httpx.Response, status: int) -> Json:
    expect_problem_status(response, status)
    problem: Json = response.json()
    return problem


async def test_accept_for_a_client_of_another_key_is_403(api: Api) -> None:
    publisher, _ = await api.key("publish", 1)
    expect_problem_status(await publisher.post(PATH, json=example(client_id=2, OrderId=None)), 422)
    (made,) = await refusals(api)
    manager, _ = await api.key("manage", 1)
    expect_problem(await accept(api, made["id"], manager), 403)
    expect_problem(await accept(api, made["id"], manager, data=example(client_id=2)), 403)
    expect(await accept(api, made["id"], manager, data=example()), 200)


async def test_discard_keeps_the_reason(api: Api) -> None:
    made = await refused(api)
    path = f"/v1/refusals/{made['id']}/discard"
    expect_problem(await api.admin.post(path, json={"reason": 1}), 422, "/reason")
    expect_problem(await api.admin.post(path, json={"reason": "x" * 201}), 422, "/reason")
    discarded = expect(await api.admin.post(path, json={"reason": "a test"}), 200)
    assert (discarded["state"], discarded["reason"]) == ("discarded", "a test")
    assert await detail(api, made["id"]) == discarded
    expect_problem(await api.admin.post(path), 409)
    expect_problem(await accept(api, made["id"]), 409)


async def test_accepting_and_discarding_is_in_the_audit_log(api: Api) -> None:
    one, two = await refused(api), await refused(api)
    unknown = await refused(api, {"ClientId": "x"})
    manager, key = await api.key("manage", 1)
    expect(await accept(api, one["id"], manager), 200)
    expect(await manager.post(f"/v1/refusals/{two['id']}/discard"), 200)
    expect(await accept(api, unknown["id"], data=example(client_id=3)), 200)
    entries = expect(await api.admin.get("/v1/audit"), 200)["items"][:3]
    assert [(each["action"], each["target"], each["client_id"], each["key_id"]) for each in entries] == [
        ("acceptRefusal", unknown["id"], 3, None), ("discardRefusal", two["id"], 1, key["id"]),
        ("acceptRefusal", one["id"], 1, key["id"]),
    ]  # fmt: skip


async def test_accept_takes_an_event_of_the_largest_size(api: Api) -> None:
    made = await refused(api)
    room = 256 * 1024 - len(json.dumps(example(Note="")).encode())
    expect(await accept(api, made["id"], data=example(Note="ö" + "n" * (room - 9))), 200)


# -- Cost


async def test_store_that_is_away_does_not_change_the_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("the store is away")

    monkeypatch.setattr("commerce_event.accept.refusals._RETRY_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(api.node.store.refusals, "add", away)
        for _ in range(3):
            expect_problem_status(await api.admin.post(PATH, json=example(OrderId=None)), 422)
    await api.node.refusals.wait_until_written(60)
    assert len(await refusals(api)) == 3


async def test_flood_of_one_client_leaves_the_newest_and_those_of_others(api: Api) -> None:
    publisher, _ = await api.key("publish", 1)
    other = await refused(api, client_id=2)
    unknown = await refused(api, {"ClientId": "x"})
    item = {"type": "OrderConfirmedEvent", "data": example(OrderId=None)}
    for number in range(3):
        items = [{**item, "data": {**example(OrderId=None), "Number": number}}] * 1_000
        assert expect(await publisher.post("/v1/events", json=items), 200)["refused"] == 1_000
        await api.node.refusals.wait_until_written(60)
    counted = expect(await api.admin.get("/v1/refusal-counts", params={"client_id": 1}), 200)
    assert counted == {"open": LIMITS.owner_count, "more": False}
    newest = (await refusals(api, client_id=1, limit=1))[0]
    assert (await detail(api, newest["id"]))["body"]["Number"] == 2
    assert (await detail(api, other["id"]))["state"] == (await detail(api, unknown["id"]))["state"] == "open"


async def test_log_and_metrics_have_nothing_of_a_refused_body(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await refused(api, {"ClientId": 1, "canary": "canary"}, "/v1/events/canary", 404)
    await refused(api, FirstName="canary", Source="canary")
    logged = capsys.readouterr().out
    assert logged.count("events were refused") == 2
    metrics = (await api.admin.get("/metrics")).text
    assert 'commerce_event_refused_events_total{reason="unknown-event-type",type="unknown"} 1.0' in metrics
    assert "canary" not in logged + metrics


async def test_refused_event_is_accepted_as_sent_only_for_the_client_it_was_refused_for(api: Api) -> None:
    """Its sender, who may publish for client 1, must not get an event into client 2 by the hand of an admin."""
    publisher, _ = await api.key("publish", 1)
    sender_of_two, _ = await api.key("publish", 1, 3)
    manager_of_two, _ = await api.key("manage", 1, 2)
    forged = example(client_id=2)
    await publisher.post(PATH, json={**forged, "OrderId": "x"})
    await publisher.post("/v1/events/Unknown", json=forged)
    await sender_of_two.post(PATH, json={**forged, "OrderId": "x"})
    await publisher.post("/v1/events", json=[{**forged, "type": "OrderConfirmedEvent", "data": example()}])
    found = await refusals(api)
    assert [each["client_id"] for each in found] == [1, None, 1, 1]
    for each in (found[0], found[2]):
        expect_problem(await accept(api, each["id"], type="OrderConfirmedEvent"), 422, "/ClientId")
    for each in (found[1], found[3]):
        expect_problem(await accept(api, each["id"]), 422, "/ClientId")
    expect_problem(await accept(api, found[3]["id"], manager_of_two), 422, "/ClientId")
    assert expect(await api.admin.get("/v1/events"), 200)["items"] == []
    assert expect(await accept(api, found[0]["id"], data=forged), 200)["state"] == "accepted"
