"""Validation modes: who sets them, which one counts, and what an event gets that breaks the contract."""

import json
import re

import pytest
from api_server import MEDIA, Api, Json, example, expect, expect_problem

from commerce_event.api import validation_modes

PATH = "/v1/validation"
FAULT = {"pointer": "/OrderNo", "message": "must be text, not a number"}
BROKEN = example(OrderNo=5)


async def set_mode(api: Api, mode: str, event_type: str = "*", client_id: int = 1) -> Json:
    body = {"client_id": client_id, "event_type": event_type, "mode": mode}
    return expect(await api.admin.put(PATH, json=body), 200)


async def test_set_validation_warn_accepts_stores_delivers_and_counts_with_warnings(api: Api) -> None:
    await api.endpoint()
    await set_mode(api, "warn")

    accepted = await api.publish(OrderNo=5)
    await api.publish()

    assert accepted == {"id": accepted["id"], "duplicate": False, "deliveries": 1, "warnings": [FAULT]}
    assert expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)["warnings"] == [FAULT]
    listed = expect(await api.admin.get("/v1/events"), 200)["items"]
    assert [each["warnings"] for each in listed] == [[], [FAULT]]
    assert json.loads((await api.until_arrived(1))[0].body) == BROKEN
    metrics = (await api.admin.get("/metrics")).text
    assert re.search(r"^commerce_event_warned_events_total 1.0$", metrics, re.MULTILINE)


async def test_set_validation_warn_repeated_event_is_a_duplicate_and_counted_once(api: Api) -> None:
    await set_mode(api, "warn")
    headers = {"Idempotency-Key": "k"}
    first = expect(await api.admin.post("/v1/events/OrderConfirmedEvent", json=BROKEN, headers=headers), 202)
    again = expect(await api.admin.post("/v1/events/OrderConfirmedEvent", json=BROKEN, headers=headers), 200)
    assert again == {**first, "duplicate": True}
    assert "commerce_event_warned_events_total 1.0\n" in (await api.admin.get("/metrics")).text


async def test_set_validation_off_accepts_without_warnings(api: Api) -> None:
    await set_mode(api, "off")
    accepted = await api.publish(OrderNo=5)
    assert "warnings" not in accepted
    assert expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)["warnings"] == []


async def test_set_validation_warn_batch_has_the_warnings_of_each_item(api: Api) -> None:
    await set_mode(api, "warn")
    items = [
        {"type": "OrderConfirmedEvent", "data": data} for data in (BROKEN, example(), example(client_id=2, OrderNo=5))
    ]
    answer = expect(await api.admin.post("/v1/events", json=items), 200)["items"]
    assert [(each["status"], each.get("warnings"), each.get("errors")) for each in answer] == [
        (202, [FAULT], None),
        (202, None, None),
        (422, None, [FAULT]),
    ]


@pytest.mark.parametrize("slow", [False, True])
async def test_set_validation_warn_single_event_has_warnings_on_every_path(api: Api, slow: bool) -> None:
    await set_mode(api, "warn")
    media = {"Content-Type": "application/cloudevents+json"} if slow else MEDIA
    envelope = {"specversion": "1.0", "type": "OrderConfirmedEvent", "id": "1", "source": "shop", "data": BROKEN}
    body = json.dumps(envelope if slow else BROKEN).encode()
    response = await api.admin.post("/v1/events/OrderConfirmedEvent", content=body, headers=media)
    assert expect(response, 202)["warnings"] == [FAULT]


@pytest.mark.parametrize("body", [[], "text", {"OrderNo": 5}, {**BROKEN, "ClientId": "1"}, {**BROKEN, "OrderNo": "\0"}])
async def test_set_validation_off_unusable_body_is_still_422(api: Api, body: object) -> None:
    await set_mode(api, "off")
    expect_status = (await api.admin.post("/v1/events/OrderConfirmedEvent", json=body)).status_code
    assert expect_status == 422


async def test_validation_narrowest_entry_counts(api: Api) -> None:
    async def outcome() -> str:
        response = await api.admin.post("/v1/events/OrderConfirmedEvent", json=BROKEN)
        return "reject" if response.status_code == 422 else "warn" if "warnings" in response.json() else "off"

    assert await outcome() == "reject"
    await set_mode(api, "off")
    assert await outcome() == "off"
    await set_mode(api, "warn", "Order")
    await set_mode(api, "off", "Product")
    assert await outcome() == "warn"
    await set_mode(api, "reject", "OrderConfirmedEvent")
    assert await outcome() == "reject"
    for event_type, left in (("OrderConfirmedEvent", "warn"), ("Order", "off"), ("*", "reject")):
        response = await api.admin.delete(PATH, params={"client_id": 1, "event_type": event_type})
        assert response.status_code == 204
        assert await outcome() == left


async def test_validation_of_another_client_does_not_count(api: Api) -> None:
    await set_mode(api, "off", client_id=2)
    expect_problem(await api.admin.post("/v1/events/OrderConfirmedEvent", json=BROKEN), 422, "/OrderNo")


async def test_publish_for_a_client_out_of_reach_does_not_tell_its_mode(api: Api) -> None:
    publisher, _ = await api.key("publish", 1)
    body = example(client_id=2, OrderNo=5)
    before = await publisher.post("/v1/events/OrderConfirmedEvent", json=body)
    await set_mode(api, "warn", client_id=2)
    after = await publisher.post("/v1/events/OrderConfirmedEvent", json=body)
    assert (before.status_code, before.content) == (after.status_code, after.content)


async def test_list_validation_shows_entries_in_reach_page_by_page(api: Api) -> None:
    for client_id, event_type in ((1, "*"), (2, "*"), (1, "Order"), (1, "JobCompletedEvent")):
        await set_mode(api, "warn", event_type, client_id)
    manager, _ = await api.key("manage", 1)

    found: list[str] = []
    cursor = None
    while True:
        query: Json = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = expect(await manager.get(PATH, params=query), 200)
        found += [each["event_type"] for each in page["items"]]
        assert {each["client_id"] for each in page["items"]} == {1}
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert found == ["JobCompletedEvent", "Order", "*"]
    everything = expect(await api.admin.get(PATH), 200)["items"]
    assert len(everything) == 4
    [of_two] = expect(await api.admin.get(PATH, params={"client_id": 2}), 200)["items"]
    assert (of_two["client_id"], of_two["event_type"], of_two["mode"]) == (2, "*", "warn")
    assert "T" in of_two["updated_at"]


async def test_validation_of_a_foreign_client_is_403(api: Api) -> None:
    await set_mode(api, "warn", client_id=2)
    manager, _ = await api.key("manage", 1)
    key: Json = {"client_id": 2, "event_type": "*"}
    expect_problem(await manager.put(PATH, json={**key, "mode": "off"}), 403)
    expect_problem(await manager.delete(PATH, params=key), 403)
    expect_problem(await manager.get(PATH, params={"client_id": 2}), 403)
    assert [each["mode"] for each in expect(await api.admin.get(PATH), 200)["items"]] == ["warn"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"event_type": "OrderConfirmed"}, "/event_type"),
        ({"event_type": ""}, "/event_type"),
        ({"mode": "maybe"}, "/mode"),
        ({"client_id": 2**31}, "/client_id"),
        ({"other": 1}, "/other"),
    ],
)
async def test_set_validation_invalid_field_is_422_with_its_pointer(api: Api, changes: Json, pointer: str) -> None:
    body = {"client_id": 1, "event_type": "*", "mode": "warn", **changes}
    expect_problem(await api.admin.put(PATH, json=body), 422, pointer)


async def test_remove_validation_without_an_entry_is_404(api: Api) -> None:
    expect_problem(await api.admin.delete(PATH, params={"client_id": 1, "event_type": "*"}), 404)
    expect_problem(await api.admin.delete(PATH, params={"client_id": 1}), 422, "?event_type")


async def test_set_validation_beyond_the_limit_of_a_client_is_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_modes, "ENTRIES_MAX", 1)
    await set_mode(api, "warn")
    await set_mode(api, "off")  # the same entry
    await set_mode(api, "warn", client_id=2)
    response = await api.admin.put(PATH, json={"client_id": 1, "event_type": "Order", "mode": "warn"})
    assert "remove one" in expect_problem(response, 409)["detail"]


async def test_changes_of_validation_are_in_the_audit_log_with_before_and_after(api: Api) -> None:
    await set_mode(api, "warn", "Order")
    await set_mode(api, "off", "Order")
    await api.admin.delete(PATH, params={"client_id": 1, "event_type": "Order"})
    found = expect(await api.admin.get("/v1/audit", params={"target": "Order"}), 200)["items"]
    assert [(each["client_id"], each["action"], each["changes"]) for each in reversed(found)] == [
        (1, "setValidation", [{"field": "mode", "before": None, "after": "warn"}]),
        (1, "setValidation", [{"field": "mode", "before": "warn", "after": "off"}]),
        (1, "removeValidation", [{"field": "mode", "before": "off", "after": None}]),
    ]
