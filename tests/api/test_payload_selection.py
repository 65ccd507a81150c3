"""Payload selection: endpoints that get only some properties of each event."""

import json
from typing import Any

import pytest
from api_server import MEDIA, Api, Json, expect, expect_problem
from standardwebhooks import Webhook

from commerce_event.store.sqlite import registry as sqlite_registry

ENDPOINTS = "/v1/endpoints"
PERSONAL = {"CellPhone", "FirstName", "LastName"}
REQUIRED = {"ClientId", "ApplicationId", "OrderId", "OrderNo", "ClientOrderRef", "Source"}


async def change(api: Api, endpoint: Json, **fields: Any) -> Json:
    return expect(await api.admin.patch(f"{ENDPOINTS}/{endpoint['id']}", json=fields), 200)


async def test_delivery_has_selected_and_required_properties_signed_as_sent(api: Api) -> None:
    selecting = await api.endpoint(properties=["FirstName", "$.Campaign"])
    accepted = await api.publish(Campaign="spring", Coupon="X")
    [delivery] = await api.until_state("delivered")
    [arrival] = await api.until_arrived(1)
    assert json.loads(arrival.body).keys() == REQUIRED | {"FirstName", "Campaign"}
    Webhook(selecting["secret"]).verify(arrival.body, arrival.headers)
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert event["data"].keys() == REQUIRED | PERSONAL | {"Campaign", "Coupon"}
    assert delivery["event_id"] == accepted["id"]


async def test_endpoints_without_selection_get_the_body_as_accepted(api: Api) -> None:
    await api.endpoint()
    await api.endpoint(properties=[])
    body = b'{ "ClientId": 1,  "JobId": 5, "StatusId": 2, "Note": "\\u00e5" }'
    expect(await api.admin.post("/v1/events/JobCompletedEvent", content=body, headers=MEDIA), 202)
    arrived = await api.until_arrived(2)
    assert {each.body for each in arrived} == {body, b'{"ClientId":1,"JobId":5,"StatusId":2}'}


async def test_retry_has_the_selection_of_its_time(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=["1h"])
    await api.publish()
    await api.until_arrived(1)
    await change(api, endpoint, properties=[])
    [delivery] = await api.deliveries()
    api.receiver.status = 200
    expect(await api.admin.post(f"/v1/deliveries/{delivery['id']}/retry"), 202)
    first, second = await api.until_arrived(2)
    assert json.loads(first.body).keys() >= PERSONAL
    assert json.loads(second.body).keys() == REQUIRED


async def test_replay_has_the_selection(api: Api) -> None:
    endpoint = await api.endpoint()
    await api.publish()
    await api.until_state("delivered")
    await change(api, endpoint, properties=["LastName"])
    wanted = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z", "only": "all"}
    expect(await api.admin.post("/v1/replays", json=wanted), 202)
    _, replayed = await api.until_arrived(2)
    assert "commerce-event-replay" in replayed.headers
    assert json.loads(replayed.body).keys() == REQUIRED | {"LastName"}
    Webhook(endpoint["secret"]).verify(replayed.body, replayed.headers)


async def test_test_event_has_the_selection(api: Api) -> None:
    endpoint = await api.endpoint(properties=[])
    tested = expect(
        await api.admin.post(f"{ENDPOINTS}/{endpoint['id']}/test", json={"type": "OrderConfirmedEvent"}), 200
    )
    [arrival] = await api.until_arrived(1)
    assert tested["request_body"] == arrival.body.decode()
    assert json.loads(arrival.body).keys() == REQUIRED
    assert dict(tested["request_headers"])["content-length"] == str(len(arrival.body))


async def test_selection_is_kept_by_a_change_of_other_fields_and_removed_by_null(api: Api) -> None:
    endpoint = await api.endpoint(properties=["Email", "Email", "$.Note"])
    assert endpoint["properties"] == ["Email", "$.Note"]
    assert (await change(api, endpoint, description="CRM"))["properties"] == ["Email", "$.Note"]
    assert (await change(api, endpoint, properties=None))["properties"] is None


async def test_misspelt_property_is_answered_with_the_right_one(api: Api) -> None:
    wanted = {"client_id": 1, "url": f"{api.receiver.url}/hook", "event_types": ["Order"], "properties": ["Emial"]}
    problem = expect_problem(await api.admin.post(ENDPOINTS, json=wanted), 422, "/properties/0")
    assert "did you mean Email?" in problem["errors"][0]["message"]


async def test_types_that_the_kept_selection_does_not_fit_are_refused(api: Api) -> None:
    endpoint = await api.endpoint(properties=["Email"])
    response = await api.admin.patch(f"{ENDPOINTS}/{endpoint['id']}", json={"event_types": ["Product"]})
    expect_problem(response, 422, "/properties/0")


async def test_selection_whose_property_was_removed_from_its_type_does_not_hinder_other_changes(api: Api) -> None:
    own = {
        "name": "ExportDelivered", "category": "Export", "kind": "event", "description": "x",
        "schema": {"properties": {"Email": {"type": "string"}}}, "example": {"ClientId": 1},
    }  # fmt: skip
    expect(await api.admin.post("/v1/event-types", json={**own, "schema": {"properties": {"Mail": {}}}}), 201)
    endpoint = await api.endpoint(event_types=["ExportDelivered"], properties=["Mail"])
    changed = {name: own[name] for name in ("kind", "description", "schema", "example")}
    expect(await api.admin.put("/v1/event-types/ExportDelivered", json=changed), 200)
    assert (await change(api, endpoint, enabled=False))["enabled"] is False


async def test_audit_log_has_the_selection_before_and_after(api: Api) -> None:
    endpoint = await api.endpoint()
    await change(api, endpoint, properties=["Email"])
    await change(api, endpoint, description="CRM")
    await change(api, endpoint, properties=[f"$.{number:0200}" for number in range(100)])
    entries = expect(await api.admin.get("/v1/audit", params={"target": endpoint["id"]}), 200)["items"]
    [long], [other], [first], _ = [each["changes"] for each in entries]
    assert first == {"field": "properties", "before": None, "after": ["Email"]}
    assert other["field"] == "description"
    assert long["before"] == ["Email"]
    assert long["after"].startswith('["$.0')
    assert long["after"].endswith("… (20,501 characters)")
    assert len(long["after"]) < 600


async def explained(api: Api, event_id: str) -> Json:
    answer = expect(await api.admin.get(f"/v1/events/{event_id}/explain", params={"expand": True}), 200)
    reasons: list[Json] = answer["endpoints"]
    [reason] = reasons
    return reason


async def test_delivery_and_explain_show_the_body_that_was_sent(api: Api) -> None:
    await api.endpoint(properties=["LastName"])
    accepted = await api.publish()
    [delivery] = await api.until_state("delivered")
    [arrival] = await api.until_arrived(1)
    sent = json.loads(arrival.body)
    assert expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"] == sent
    reason = await explained(api, accepted["id"])
    assert (reason["body_sent"], reason["request"]["body"]) == (sent, sent)
    assert dict(reason["request"]["headers"])["content-length"] == str(len(arrival.body))


async def test_delivery_of_endpoint_without_selection_shows_the_accepted_body(api: Api) -> None:
    await api.endpoint()
    accepted = await api.publish()
    [delivery] = await api.until_state("delivered")
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"] == event["data"]
    reason = await explained(api, accepted["id"])
    assert "body_sent" not in reason
    assert "body" not in reason["request"]


async def test_delivery_shows_the_body_of_its_last_attempt_after_the_selection_was_changed(api: Api) -> None:
    endpoint = await api.endpoint()
    accepted = await api.publish()
    [delivery] = await api.until_state("delivered")
    await change(api, endpoint, properties=[])
    shown = expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"]
    assert shown.keys() >= PERSONAL
    reason = await explained(api, accepted["id"])
    assert "body_sent" not in reason
    assert reason["request"]["body"].keys() == REQUIRED
    expect(await api.admin.delete(f"{ENDPOINTS}/{endpoint['id']}"), 204)
    assert expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"] == shown


async def test_delivery_without_attempt_shows_the_body_that_it_would_send(api: Api) -> None:
    await api.endpoint(properties=[])
    await api.node.dispatcher.close(1)
    accepted = await api.publish()
    [delivery] = await api.deliveries()
    assert expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"].keys() == REQUIRED
    assert (await explained(api, accepted["id"]))["body_sent"].keys() == REQUIRED


async def test_delivery_whose_endpoint_was_changed_too_often_has_no_known_body(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_registry, "REVISIONS_MAX", 2)
    endpoint = await api.endpoint(properties=[])
    accepted = await api.publish()
    [delivery] = await api.until_state("delivered")
    for number in range(2):
        await change(api, endpoint, description=str(number))
    assert expect(await api.admin.get(f"/v1/deliveries/{delivery['id']}"), 200)["body_sent"] is None
    assert (await explained(api, accepted["id"]))["body_sent"] is None
