"""Managing endpoints over HTTP."""

import re
from typing import Any

import pytest
from api_server import MEDIA, Api, Json, example, expect, expect_problem

from commerce_event.core.signatures import InvalidSignatureError, verify

PATH = "/v1/endpoints"
FIELDS = {
    "id", "client_id", "application_id", "url", "event_types", "except", "enabled", "paused",
    "state_since", "secrets", "disabled_reason", "description", "headers",
    "filter", "properties", "timeout_s", "retry_schedule", "jitter", "max_in_flight", "rate_limit", "ordering", "follow_redirects",
    "signing", "public_key", "created_at", "updated_at",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def wanted(**fields: Any) -> Json:
    return {"client_id": 1, "url": "https://erp.example.com/hook", "event_types": ["*"], **fields}


async def test_a_new_endpoint_shows_its_secret_once_and_its_defaults(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted()), 201)
    assert set(made) == FIELDS | {"secret"}
    assert made["id"].startswith("end_")
    assert made["secret"].startswith("whsec_")
    assert made["enabled"] is True
    assert made["follow_redirects"] is True
    assert TIME.fullmatch(made["created_at"])
    read = expect(await api.admin.get(f"{PATH}/{made['id']}"), 200)
    secret = made.pop("secret")
    assert read == made
    assert secret not in (await api.admin.get(PATH)).text


async def test_every_field_is_kept(api: Api) -> None:
    fields = wanted(
        application_id=5,
        event_types=["Order", "JobCompletedEvent", "Order"],
        enabled=False,
        description="ERP <b>\u202e",
        headers={"X-Token": "t-1", "Authorization": "Basic x"},
        filter={"OrderNo": {"prefix": "1"}},
        properties=["FirstName", "$.Campaign"],
        timeout_s=2.5,
        retry_schedule=["5s", 7, "1.5m"],
        jitter=0.25,
        max_in_flight=3,
        rate_limit=10,
        ordering="key",
        follow_redirects=False,
    )
    made = expect(await api.admin.post(PATH, json=fields), 201)
    assert made["headers"] == {"X-Token": "***", "Authorization": "***"}
    assert made["retry_schedule"] == [5, 7, 90]
    assert made["event_types"] == ["Order", "JobCompletedEvent"]
    for name in set(fields) - {"headers", "retry_schedule", "event_types"}:
        assert made[name] == fields[name], name


async def test_an_ed25519_endpoint_shows_its_public_key(api: Api) -> None:
    made = await api.endpoint(signing="ed25519")
    assert made["secret"] is None
    assert made["public_key"].startswith("whpk_")
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    verify([made["public_key"]], arrival.headers, arrival.body, int(arrival.headers["webhook-timestamp"]))


async def test_a_url_is_stored_in_its_normal_form(api: Api) -> None:
    made = expect(
        await api.admin.post(PATH, json=wanted(url="HTTPS://ERP.example.com:443/a b".replace(" ", "%20"))), 201
    )
    assert made["url"] == "https://erp.example.com/a%20b"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://0x0a000001/"}, "/url"),
        ({"url": "ftp://erp.example.com/"}, "/url"),
        ({"url": "https://user:pass@erp.example.com/"}, "/url"),
        ({"url": "https://erp.example.com/\r\nX: 1"}, "/url"),
        ({"url": "https://erp.example.com/#part"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"url": "https://erp.example.com/" + "x" * 3_000}, "/url"),
        ({"url": 5}, "/url"),
        ({"url": None}, "/url"),
        ({"event_types": []}, "/event_types"),
        ({"event_types": "*"}, "/event_types"),
        ({"event_types": ["*", "Ordre"]}, "/event_types/1"),
        ({"event_types": [1]}, "/event_types/0"),
        ({"client_id": "1"}, "/client_id"),
        ({"client_id": 2**31}, "/client_id"),
        ({"client_id": True}, "/client_id"),
        ({"application_id": 2**40}, "/application_id"),
        ({"surprise": 1}, "/surprise"),
        ({"enabled": "yes"}, "/enabled"),
        ({"enabled": None}, "/enabled"),
        ({"description": "x" * 501}, "/description"),
        ({"headers": {"Host": "a"}}, "/headers/Host"),
        ({"headers": {"content-LENGTH": "1"}}, "/headers/content-LENGTH"),
        ({"headers": {"Webhook-Id": "1"}}, "/headers/Webhook-Id"),
        ({"headers": {"traceparent": "1"}}, "/headers/traceparent"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "/headers/Transfer-Encoding"),
        ({"headers": {"X-A": "b\r\nX-Evil: 1"}}, "/headers/X-A"),
        ({"headers": {"X-A": "b\0"}}, "/headers/X-A"),
        ({"headers": {"X-A": "日"}}, "/headers/X-A"),
        ({"headers": {"X/A~": "b"}}, "/headers/X~1A~0"),
        ({"headers": {"": "b"}}, "/headers"),
        ({"headers": {"X-A": 1}}, "/headers/X-A"),
        ({"headers": []}, "/headers"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "/headers/x-a"),
        ({"filter": {"OrderNumber": "1"}}, "/filter/OrderNumber"),
        ({"filter": {"OrderNo": {"like": "1"}}}, "/filter/OrderNo/like"),
        ({"filter": {"any": []}}, "/filter/any"),
        ({"filter": {"any": [{}]}}, "/filter/any/0"),
        ({"filter": {"$..a": 1}}, "/filter/$..a"),
        ({"filter": []}, "/filter"),
        ({"filter": {"PartNo": "1"}, "event_types": ["Order"]}, "/filter/PartNo"),
        ({"properties": ["Email", "Emial"]}, "/properties/1"),
        ({"properties": ["$.Custom.Campaign"]}, "/properties/0"),
        ({"properties": ["PartNo"], "event_types": ["Order"]}, "/properties/0"),
        ({"properties": ["Email"] * 101}, "/properties"),
        ({"properties": ["$." + "x" * 255]}, "/properties/0"),
        ({"properties": [None]}, "/properties/0"),
        ({"properties": "Email"}, "/properties"),
        ({"timeout_s": 0}, "/timeout_s"),
        ({"timeout_s": 31}, "/timeout_s"),
        ({"retry_schedule": ["5 parsecs"]}, "/retry_schedule/0"),
        ({"retry_schedule": [1, -1]}, "/retry_schedule/1"),
        ({"retry_schedule": [1, "8d"]}, "/retry_schedule/1"),
        ({"retry_schedule": [[]]}, "/retry_schedule/0"),
        ({"retry_schedule": [1] * 51}, "/retry_schedule"),
        ({"jitter": 1.1}, "/jitter"),
        ({"max_in_flight": 0}, "/max_in_flight"),
        ({"rate_limit": 0}, "/rate_limit"),
        ({"ordering": "strict"}, "/ordering"),
        ({"signing": "none"}, "/signing"),
        ({"secret": "whsec_mine"}, "/secret"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
async def test_a_field_that_cannot_be_used_is_pointed_at(api: Api, fields: Json, pointer: str) -> None:
    expect_problem(await api.admin.post(PATH, json=wanted(**fields)), 422, pointer)
    assert expect(await api.admin.get(PATH), 200)["items"] == []
    if fields.keys() & {"client_id", "signing"}:
        return
    made = expect(await api.admin.post(PATH, json=wanted()), 201)
    expect_problem(await api.admin.patch(f"{PATH}/{made['id']}", json={"event_types": ["*"], **fields}), 422, pointer)


async def test_a_missing_field_is_pointed_at(api: Api) -> None:
    for name in ("client_id", "url", "event_types"):
        fields = wanted()
        del fields[name]
        expect_problem(await api.admin.post(PATH, json=fields), 422, f"/{name}")


async def test_a_misspelt_name_is_answered_with_the_right_one(api: Api) -> None:
    response = await api.admin.post(PATH, json=wanted(event_types=["OrderConfirmdEvent"]))
    assert "OrderConfirmedEvent" in expect_problem(response, 422, "/event_types/0")["detail"]
    response = await api.admin.post(PATH, json=wanted(filter={"OrderNr": "1"}))
    assert "OrderNo" in expect_problem(response, 422, "/filter/OrderNr")["detail"]


@pytest.mark.parametrize("body", [b"{", b"", b'{"url":"a","url":"b"}', b"\xff", b"[" * 5_000])
async def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes) -> None:
    assert (await api.admin.post(PATH, content=body, headers=MEDIA)).status_code == 400


async def test_a_body_of_another_media_type_is_refused(api: Api) -> None:
    expect_problem(await api.admin.post(PATH, data={"url": "a"}), 415)


async def test_a_body_that_is_no_object_is_refused(api: Api) -> None:
    expect_problem(await api.admin.post(PATH, json=[]), 422, "")


async def test_the_value_of_a_wrong_header_is_not_echoed(api: Api) -> None:
    response = await api.admin.post(PATH, json=wanted(headers={"X-Token": "canary-secret\n"}))
    assert "canary" not in response.text


async def test_a_change_leaves_the_rest_as_it_is(api: Api) -> None:
    made = await api.endpoint(headers={"X-Token": "t-1", "X-Shop": "a"}, filter={"OrderId": 1}, timeout_s=3)
    path = f"{PATH}/{made['id']}"
    changed = expect(await api.admin.patch(path, json={"description": "new"}), 200)
    expected = {**made, "description": "new", "updated_at": changed["updated_at"]}
    del expected["secret"]
    assert changed == expected
    expect(await api.admin.patch(path, json={"headers": {"X-Token": "***", "X-Shop": "b"}, "filter": None}), 200)
    await api.publish(OrderId=7)
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["x-token"] == "t-1"
    assert arrival.headers["x-shop"] == "b"
    assert expect(await api.admin.patch(path, json={"timeout_s": None}), 200)["timeout_s"] is None


async def test_an_empty_change_is_no_fault(api: Api) -> None:
    made = await api.endpoint()
    assert expect(await api.admin.patch(f"{PATH}/{made['id']}", json={}), 200)["url"] == made["url"]


async def test_the_client_and_the_signing_of_an_endpoint_cannot_be_changed(api: Api) -> None:
    made = await api.endpoint()
    for name, value in (("client_id", 2), ("signing", "ed25519"), ("id", "end_1"), ("disabled_reason", "x")):
        expect_problem(await api.admin.patch(f"{PATH}/{made['id']}", json={name: value}), 422, f"/{name}")


async def test_types_that_the_kept_filter_does_not_fit_are_refused(api: Api) -> None:
    made = await api.endpoint(filter={"OrderNo": "1"})
    response = await api.admin.patch(f"{PATH}/{made['id']}", json={"event_types": ["Product"]})
    expect_problem(response, 422, "/filter/OrderNo")


async def test_mask_of_an_absent_header_never_stands_for_another_value(api: Api) -> None:
    made = await api.endpoint(headers={"X-Token": "t-1"})
    await api.admin.patch(f"{PATH}/{made['id']}", json={"headers": {"X-Other": "***"}})
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers.get("x-other") != "t-1"


async def test_the_mask_finds_its_header_whatever_the_case(api: Api) -> None:
    made = await api.endpoint(headers={"X-Token": "t-1"})
    expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"headers": {"x-token": "***"}}), 200)
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["x-token"] == "t-1"


async def test_a_deleted_endpoint_is_gone_and_what_waited_is_cancelled(api: Api) -> None:
    api.receiver.status = 500
    made = await api.endpoint(retry_schedule=["1h"])
    await api.publish()
    await api.until_arrived(1)
    path = f"{PATH}/{made['id']}"
    expect(await api.admin.delete(path), 204)
    expect_problem(await api.admin.get(path), 404)
    expect_problem(await api.admin.patch(path, json={}), 404)
    expect_problem(await api.admin.delete(path), 404)
    for action in ("rotate-secret", "test"):
        expect_problem(await api.admin.post(f"{path}/{action}"), 404)
    expect_problem(await api.admin.get(f"{path}/stats"), 404)
    expect_problem(
        await api.admin.post("/v1/replays", json={"endpoint_id": made["id"], "since": "2020-01-01T00:00:00Z"}), 404
    )
    assert expect(await api.admin.get(PATH), 200)["items"] == []
    (delivery,) = await api.until_state("cancelled")
    assert delivery["reason"] == "endpoint_deleted"
    assert (await api.publish())["deliveries"] == 0


async def test_switched_off_means_not_tracked_and_on_again_means_sent(api: Api) -> None:
    made = await api.endpoint()
    path = f"{PATH}/{made['id']}"
    expect(await api.admin.patch(path, json={"enabled": False}), 200)
    assert (await api.publish())["deliveries"] == 0
    expect(await api.admin.patch(path, json={"enabled": True}), 200)
    assert (await api.publish())["deliveries"] == 1
    await api.until_state("delivered")


async def test_gone_switches_off_with_a_reason_until_a_person_switches_on(api: Api) -> None:
    api.receiver.status = 410
    made = await api.endpoint()
    await api.publish()
    (delivery,) = await api.until_state("dead")
    assert delivery["reason"] == "gone"
    path = f"{PATH}/{made['id']}"
    read = expect(await api.admin.get(path), 200)
    assert (read["enabled"], read["disabled_reason"]) == (False, "gone")
    changed = expect(await api.admin.patch(path, json={"enabled": True}), 200)
    assert (changed["enabled"], changed["disabled_reason"]) == (True, None)


@pytest.mark.parametrize(
    "name", ["x", "end_", "end_0000000000000", "evt_0000000000000", "end_zzzzzzzzzzzzz", "%2e%2e", "end_ÿ"]
)
async def test_an_id_that_is_none_is_not_found(api: Api, name: str) -> None:
    expect_problem(await api.admin.get(f"{PATH}/{name}"), 404)
    expect_problem(await api.admin.patch(f"{PATH}/{name}", json={}), 404)


async def test_a_rotated_secret_signs_beside_the_old_one(api: Api) -> None:
    made = await api.endpoint()
    rotated = expect(await api.admin.post(f"{PATH}/{made['id']}/rotate-secret"), 200)
    assert set(rotated) == {"secret", "public_key", "old_secret_expires_at"}
    assert rotated["secret"] != made["secret"]
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    for secret in (made["secret"], rotated["secret"]):
        verify([secret], arrival.headers, arrival.body, int(arrival.headers["webhook-timestamp"]))


async def test_without_an_overlap_the_old_secret_signs_no_more(api: Api) -> None:
    made = await api.endpoint()
    expect(await api.admin.post(f"{PATH}/{made['id']}/rotate-secret", json={"overlap": "0s"}), 200)
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert len(arrival.headers["webhook-signature"].split()) == 1


async def test_many_rotations_keep_the_signature_header_small_enough_to_send(api: Api) -> None:
    made = await api.endpoint()
    for _ in range(30):
        expect(await api.admin.post(f"{PATH}/{made['id']}/rotate-secret"), 200)
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert len(arrival.headers["webhook-signature"]) < 4_096


@pytest.mark.parametrize(
    ("body", "pointer"), [({"overlap": "long"}, "/overlap"), ({"overlap": "31d"}, "/overlap"), ({"x": 1}, "/x")]
)
async def test_an_overlap_that_is_none_is_refused(api: Api, body: Json, pointer: str) -> None:
    made = await api.endpoint()
    expect_problem(await api.admin.post(f"{PATH}/{made['id']}/rotate-secret", json=body), 422, pointer)


async def test_a_test_request_shows_what_was_sent_and_stores_nothing(api: Api) -> None:
    made = await api.endpoint(headers={"X-Token": "canary-secret"}, event_types=["Product"])
    response = await api.admin.post(f"{PATH}/{made['id']}/test")
    tested = expect(response, 200)
    assert tested["delivered"] is True
    assert tested["attempt"]["status"] == 200
    assert "canary" not in response.text
    (arrival,) = api.receiver.arrived
    assert arrival.headers["x-token"] == "canary-secret"
    assert tested["request_body"] == arrival.body.decode()
    shown = {name.lower(): value for name, value in tested["request_headers"]}
    assert shown["webhook-id"] == arrival.headers["webhook-id"]
    assert shown["webhook-signature"] == arrival.headers["webhook-signature"]
    verify([made["secret"]], arrival.headers, arrival.body, int(arrival.headers["webhook-timestamp"]))
    assert await api.deliveries() == []
    assert expect(await api.admin.get("/v1/events"), 200)["items"] == []


async def test_a_test_request_of_a_chosen_type_is_made_out_for_the_client(api: Api) -> None:
    made = await api.endpoint(77, application_id=5)
    expect(await api.admin.post(f"{PATH}/{made['id']}/test", json={"type": "JobCompletedEvent"}), 200)
    expect(await api.admin.post(f"{PATH}/{made['id']}/test", json={"type": "OrderConfirmedEvent"}), 200)
    job, order = api.receiver.arrived
    assert job.headers["commerce-event-type"] == "JobCompletedEvent"
    assert b'"ClientId":77' in order.body
    assert b'"ApplicationId":5' in order.body
    expect_problem(await api.admin.post(f"{PATH}/{made['id']}/test", json={"type": "Nothing"}), 422, "/type")


async def test_a_test_request_that_fails_says_why(api: Api) -> None:
    api.receiver.status = 503
    made = await api.endpoint()
    tested = expect(await api.admin.post(f"{PATH}/{made['id']}/test"), 200)
    assert (tested["delivered"], tested["attempt"]["status"]) == (False, 503)


@pytest.mark.parametrize(("status", "checked"), [(401, True), (403, True), (204, False), (500, None)])
async def test_endpoint_test_with_a_wrong_signature_tells_whether_it_is_checked(
    api: Api, status: int, checked: bool | None
) -> None:
    made = await api.endpoint()
    path = f"{PATH}/{made['id']}/test"
    right = expect(await api.admin.post(path, json={"signature": "right"}), 200)
    api.receiver.status = status
    wrong = expect(await api.admin.post(path, json={"signature": "wrong"}), 200)
    api.receiver.status = 204
    again = expect(await api.admin.post(path), 200)

    assert [each["signature_checked"] for each in (right, wrong, again)] == [None, checked, None]
    first, second, third = api.receiver.arrived
    for each in (first, third):
        verify([made["secret"]], each.headers, each.body, int(each.headers["webhook-timestamp"]))
    with pytest.raises(InvalidSignatureError):
        verify([made["secret"]], second.headers, second.body, int(second.headers["webhook-timestamp"]))


async def test_a_test_request_does_not_reach_ourselves(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted(url=f"{api.url}/v1/events")), 201)
    tested = expect(await api.admin.post(f"{PATH}/{made['id']}/test"), 200)
    assert tested["delivered"] is False
    assert tested["attempt"]["status"] is None
    assert "blocked_address" in tested["attempt"]["error"]


async def test_figures_count_what_happened(api: Api) -> None:
    made = await api.endpoint(retry_schedule=[])
    path = f"{PATH}/{made['id']}/stats"
    empty = expect(await api.admin.get(path), 200)
    assert (empty["matched"], empty["success_ratio"], empty["latency_p50_ms"]) == (0, None, None)
    await api.publish()
    await api.until_state("delivered")
    api.receiver.status = 500
    failed = await api.publish()
    await api.until_state("dead", event_id=failed["id"])
    stats = expect(await api.admin.get(path), 200)
    assert {name: stats[name] for name in ("matched", "delivered", "dead", "cancelled", "pending", "recent")} == {
        "matched": 2, "delivered": 1, "dead": 1, "cancelled": 0, "pending": 0, "recent": 2,
    }  # fmt: skip
    assert stats["success_ratio"] == 0.5
    assert stats["latency_p50_ms"] > 0


async def test_a_list_shows_one_client_or_all_newest_first(api: Api) -> None:
    made = [(await api.endpoint(client_id))["id"] for client_id in (1, 2, 1)]
    everyone = expect(await api.admin.get(PATH), 200)
    assert [each["id"] for each in everyone["items"]] == made[::-1]
    assert everyone["next_cursor"] is None
    one = expect(await api.admin.get(PATH, params={"client_id": 1}), 200)
    assert [each["id"] for each in one["items"]] == [made[2], made[0]]


async def test_a_list_can_be_paged_while_endpoints_come_and_go(api: Api) -> None:
    made = [(await api.endpoint())["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = expect(await api.admin.get(PATH, params=params), 200)
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await api.endpoint()
        await api.admin.delete(f"{PATH}/{page['items'][-1]['id']}")
    assert seen == made[::-1]


async def test_a_client_has_at_most_two_hundred_endpoints(api: Api) -> None:
    for _ in range(200):
        await api.endpoint(enabled=False)
    expect_problem(await api.admin.post(PATH, json=wanted()), 409)
    expect(await api.admin.post(PATH, json=wanted(client_id=2)), 201)


async def test_an_event_goes_only_to_endpoints_of_its_application_or_of_none(api: Api) -> None:
    for application_id in (None, 5, 6):
        await api.endpoint(application_id=application_id)
    response = await api.admin.post("/v1/events/OrderConfirmedEvent", json=example(ApplicationId=5))
    assert expect(response, 202)["deliveries"] == 2


async def test_every_fault_of_an_endpoint_is_told_at_once(api: Api) -> None:
    body = wanted(url="ftp://x", event_types=["Order", "Ordr"], headers={"Host": "x"}, retry_schedule=["5s", "soon"])

    expect_problem(
        await api.admin.post(PATH, json=body), 422, "/url", "/event_types/1", "/headers/Host", "/retry_schedule/1"
    )


@pytest.mark.parametrize(
    ("filter_", "pointer"),
    [
        ({"PartNo": 1}, "/filter/PartNo"),
        ({"PartNo": ["A", 1]}, "/filter/PartNo/1"),
        ({"any": [{"PartNo": {"gt": 5}}]}, "/filter/any/0/PartNo/gt"),
        ({"StatusId": "2"}, "/filter/StatusId"),
        ({"StatusId": {"prefix": "2"}}, "/filter/StatusId/prefix"),
        ({"StatusId": True}, "/filter/StatusId"),
        ({"PartNo": None}, "/filter/PartNo"),
    ],
)
async def test_filter_that_no_event_can_pass_is_refused(api: Api, filter_: Json, pointer: str) -> None:
    expect_problem(await api.admin.post(PATH, json=wanted(event_types=["*"], filter=filter_)), 422, pointer)


async def test_filter_by_a_value_beyond_the_contract_may_be_of_any_kind(api: Api) -> None:
    for filter_ in ({"$.Extra": 1}, {"$.PartNo": 1}, {"PartNo": {"exists": False}}, {"StatusId": 2.0}):
        expect(await api.admin.post(PATH, json=wanted(event_types=["*"], filter=filter_)), 201)
