"""Reading events and deliveries, finding out why, and sending again."""

import asyncio
import re
from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import explanations
from commerce_event.core import ids
from commerce_event.core.circuit import Circuit
from commerce_event.deliver import replays

GARBAGE = ["x", "AAAA", "A" * 64, "%00", "-1", "ÿ", "AAAAAAAAAAAAA", "__________8", "'; DROP TABLE event; --"]
LONG_AGO = "2020-01-01T00:00:00Z"


async def items(api: Api, path: str, **query: Any) -> list[Json]:
    found: list[Json] = expect(await api.admin.get(path, params=query), 200)["items"]
    return found


async def all_pages(api: Api, path: str, limit: int, between: Any = None, **query: Any) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = None
    for _ in range(100):
        page = expect(
            await api.admin.get(path, params={"limit": limit, **query, **({"cursor": cursor} if cursor else {})}), 200
        )
        found += page["items"]
        assert len(page["items"]) <= limit
        cursor = page["next_cursor"]
        if cursor is None:
            return found
        if between is not None:
            await between()
    raise AssertionError("the pages do not end")


async def test_an_event_reads_back_as_it_was_accepted(api: Api) -> None:
    await api.endpoint()
    accepted = await api.publish(type_="OrderConfirmedEvent", ApplicationId=5)
    event = expect(await api.admin.get(f"/v1/events/{accepted['id']}"), 200)
    assert set(event) == {
        "id", "sequence", "type", "client_id", "application_id", "accepted_at", "idempotency_key", "deliveries", "data",
        "warnings", "raised_by",
    }  # fmt: skip
    assert (event["sequence"], event["client_id"], event["application_id"], event["deliveries"]) == (1, 1, 5, 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["accepted_at"])


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_pages_show_every_event_once_while_new_ones_arrive(api: Api, limit: int) -> None:
    made = [(await api.publish(OrderId=number))["id"] for number in range(1, 8)]

    async def more() -> None:
        await api.publish()

    seen = [event["id"] for event in await all_pages(api, "/v1/events", limit, more)]
    assert seen == made[::-1]


async def test_pages_of_deliveries_show_each_once_while_they_change_state(api: Api) -> None:
    await api.endpoint()
    await api.endpoint()
    for _ in range(5):
        await api.publish()
    seen = await all_pages(api, "/v1/deliveries", 3, api.publish)
    assert len(seen) == len({each["id"] for each in seen}) == 10
    by_event = await all_pages(api, f"/v1/events/{seen[0]['event_id']}/deliveries", 1)
    assert len({each["endpoint_id"] for each in by_event}) == 2


@pytest.mark.parametrize("path", ["/v1/events", "/v1/deliveries", "/v1/endpoints", "/v1/keys", "/v1/replays"])
async def test_a_cursor_that_no_list_gave_is_refused_or_harmless(api: Api, path: str) -> None:
    for cursor in GARBAGE:
        response = await api.admin.get(path, params={"cursor": cursor})
        assert response.status_code in {200, 422}, cursor
        if response.status_code == 422:
            expect_problem(response, 422, "?cursor")


@pytest.mark.parametrize(
    ("path", "query", "pointer"),
    [
        ("/v1/events", "limit=0", "?limit"),
        ("/v1/events", "limit=201", "?limit"),
        ("/v1/events", "limit=many", "?limit"),
        ("/v1/events", "surprise=1", "?surprise"),
        ("/v1/events", "limit=1&limit=2", "?limit"),
        ("/v1/events", "type=Nothing", "?type"),
        ("/v1/events", f"type={',Order' * 51}", "?type"),
        ("/v1/events", "state=lost", "?state"),
        ("/v1/events", "since=yesterday", "?since"),
        ("/v1/events", "until=2026-01-31T00:00:00", "?until"),
        ("/v1/events", "client_id=one", "?client_id"),
        ("/v1/events", "q=", "?q"),
        ("/v1/events", "q=%25", "?q"),
        ("/v1/events", "q=%20-%E2%84%A2", "?q"),
        ("/v1/events", "after=0", "?client_id"),
        ("/v1/events", "client_id=1&after=-1", "?after"),
        ("/v1/events", "client_id=1&after=0&q=x", "?after"),
        ("/v1/deliveries", "state=", "?state"),
        ("/v1/deliveries", "endpoint_id=evt_0000000000000", "?endpoint_id"),
        ("/v1/deliveries", "event_id=x", "?event_id"),
        ("/v1/deliveries", "replay_id=x", "?replay_id"),
        ("/v1/event-types", "q=1", "?q"),
        ("/v1/books", "q=1", "?q"),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(api: Api, path: str, query: str, pointer: str) -> None:
    expect_problem(await api.admin.get(f"{path}?{query}"), 422, pointer)


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("name", ["client_id", "application_id", "after"])
async def test_numbers_beyond_any_in_use_find_nothing_and_break_nothing(api: Api, name: str, number: int) -> None:
    query = {"client_id": 1, "after": number} if name == "after" else {name: number}
    assert (await api.admin.get("/v1/events", params=query)).status_code in {200, 422}
    if name == "client_id":
        for path in ("/v1/deliveries", "/v1/endpoints", "/v1/replays"):
            assert (await api.admin.get(path, params=query)).status_code in {200, 422}


async def test_events_are_found_by_what_is_asked_for(api: Api) -> None:
    await api.endpoint(event_types=["Order"])
    order = (await api.publish(OrderNo="SO-4711", ApplicationId=5))["id"]
    job = (await api.publish(2, "JobCompletedEvent"))["id"]
    await api.until_state("delivered")

    async def ids(**query: Any) -> list[str]:
        return [event["id"] for event in await items(api, "/v1/events", **query)]

    assert await ids() == [job, order]
    assert await ids(client_id=1) == [order]
    assert await ids(client_id=3) == []
    assert await ids(type="JobCompletedEvent") == [job]
    assert await ids(type="JobCompletedEvent,OrderConfirmedEvent") == [job, order]
    assert await ids(application_id=5) == [order]
    assert await ids(state="delivered") == [order]
    assert await ids(state="dead") == []
    assert await ids(since=LONG_AGO, until="2020-01-02T00:00:00+01:00") == []
    assert await ids(since=LONG_AGO) == [job, order]
    assert await ids(q="SO-4711") == [order]
    assert await ids(q="SO-4711", client_id=2) == []


@pytest.mark.parametrize(
    "text", ["%", "_", '"', "'", "*", "SO-4711%", "\\", "NEAR(", "a OR b", "ö", "\U0001f600", "(" * 200]
)
async def test_a_search_takes_its_text_literally(api: Api, text: str) -> None:
    wanted = (await api.publish(OrderNo=f"x{text[:20]}y", FirstName=None))["id"]
    await api.publish(OrderNo="plain", ClientOrderRef="1")
    found = {event["id"] for event in await items(api, "/v1/events", q=f"x{text[:20]}y")}
    assert found == {wanted}
    alone = await api.admin.get("/v1/events", params={"q": text})
    assert alone.status_code == (200 if any(each.isalnum() for each in text) else 422)


async def test_reconciliation_gives_a_clients_events_in_order_without_gaps(api: Api) -> None:
    for number in range(1, 8):
        await api.publish(OrderId=number)
        await api.publish(2)
    seen: list[int] = []
    for _ in range(10):
        page = await items(api, "/v1/events", client_id=1, after=seen[-1] if seen else 0, limit=3)
        if not page:
            break
        seen += [event["sequence"] for event in page]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert await items(api, "/v1/events", client_id=9, after=0) == []


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_reconciliation_goes_on_by_the_cursor_until_all_is_there(api: Api, limit: int) -> None:
    for number in range(1, 9):
        await api.publish(OrderId=number)
        await api.publish(2)

    seen = await all_pages(api, "/v1/events", limit, client_id=1, after=1)

    assert [event["sequence"] for event in seen] == [2, 3, 4, 5, 6, 7, 8]


async def test_cursor_of_another_list_is_refused(api: Api) -> None:
    for _ in range(3):
        await api.publish()
    by_id = expect(await api.admin.get("/v1/events?limit=1"), 200)["next_cursor"]
    by_sequence = expect(await api.admin.get("/v1/events?client_id=1&after=0&limit=1"), 200)["next_cursor"]

    expect_problem(await api.admin.get(f"/v1/events?client_id=1&after=0&cursor={by_id}"), 422, "?cursor")
    expect_problem(await api.admin.get(f"/v1/events?limit=1&cursor={by_sequence}"), 422, "?cursor")


async def test_a_delivery_tells_of_every_attempt(api: Api) -> None:
    api.receiver.status = 500
    await api.endpoint(retry_schedule=["0.01s"])
    await api.publish()
    (dead,) = await api.until_state("dead")
    assert set(dead) == {
        "id", "event_id", "endpoint_id", "client_id", "state", "attempt_count", "next_attempt_at", "reason",
        "replay_id", "created_at", "finished_at", "failure_count", "sending", "attempts_max", "gives_up_at",
    }  # fmt: skip
    assert (dead["failure_count"], dead["sending"]) == (2, False)
    assert (dead["attempt_count"], dead["reason"], dead["next_attempt_at"]) == (2, "attempts_exhausted", None)
    detail = expect(await api.admin.get(f"/v1/deliveries/{dead['id']}"), 200)
    assert [attempt["number"] for attempt in detail["attempts"]] == [1, 2]
    assert set(detail["attempts"][0]) == {
        "number", "started_at", "duration_ms", "status", "error", "response_headers", "response_body",
        "cause", "phase", "address", "redirects", "certificate",
    }  # fmt: skip
    assert detail["attempts"][0]["status"] == 500


async def test_a_dead_delivery_can_be_tried_again_and_an_arrived_one_not(api: Api) -> None:
    api.receiver.status = 500
    await api.endpoint(retry_schedule=[])
    await api.publish()
    (dead,) = await api.until_state("dead")
    path = f"/v1/deliveries/{dead['id']}"
    expect_problem(await api.admin.post(f"{path}/cancel"), 409)
    api.receiver.status = 200
    assert expect(await api.admin.post(f"{path}/retry"), 202)["state"] == "pending"
    await api.until_state("delivered")
    for action in ("retry", "cancel"):
        expect_problem(await api.admin.post(f"{path}/{action}"), 409)
    first, again = api.receiver.arrived
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body


async def test_a_pending_delivery_can_be_cancelled_and_tried_again_after_all(api: Api) -> None:
    api.receiver.status = 500
    await api.endpoint(retry_schedule=["1h"])
    await api.publish()
    await api.until_arrived(1)
    (delivery,) = await api.deliveries()
    path = f"/v1/deliveries/{delivery['id']}"
    async with asyncio.timeout(60):
        while expect(await api.admin.get(path), 200)["next_attempt_at"] is None:
            await asyncio.sleep(0.005)
    cancelled = expect(await api.admin.post(f"{path}/cancel"), 200)
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "cancelled_by_user")
    expect_problem(await api.admin.post(f"{path}/cancel"), 409)
    api.receiver.status = 200
    expect(await api.admin.post(f"{path}/retry"), 202)
    await api.until_state("delivered")


async def test_delivery_of_endpoint_that_is_off_cannot_be_retried_until_it_is_on(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=[])
    await api.publish()
    (dead,) = await api.until_state("dead")
    path, at = f"/v1/deliveries/{dead['id']}/retry", f"/v1/endpoints/{endpoint['id']}"
    expect(await api.admin.patch(at, json={"enabled": False}), 200)
    refused = expect_problem(await api.admin.post(path), 409)
    assert "off" in refused["detail"]
    assert "switch it on" in refused["detail"]
    api.receiver.status = 200
    expect(await api.admin.patch(at, json={"enabled": True}), 200)
    expect(await api.admin.post(path), 202)
    await api.until_state("delivered")


async def test_delivery_of_deleted_endpoint_cannot_be_retried(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=[])
    await api.publish()
    (dead,) = await api.until_state("dead")
    expect(await api.admin.delete(f"/v1/endpoints/{endpoint['id']}"), 204)
    refused = expect_problem(await api.admin.post(f"/v1/deliveries/{dead['id']}/retry"), 409)
    assert "was deleted" in refused["detail"]
    (same,) = await api.deliveries()
    assert (same["state"], same["reason"]) == ("dead", "attempts_exhausted")


async def test_a_pending_delivery_can_be_tried_at_once(api: Api) -> None:
    api.receiver.status = 500
    await api.endpoint(retry_schedule=["1h"])
    await api.publish()
    await api.until_arrived(1)
    api.receiver.status = 200
    (delivery,) = await api.deliveries()
    async with asyncio.timeout(60):
        while (await api.admin.post(f"/v1/deliveries/{delivery['id']}/retry")).status_code != 202:
            await asyncio.sleep(0.005)
    await api.until_state("delivered")


async def test_a_delivery_that_is_being_sent_cannot_be_retried(api: Api) -> None:
    api.receiver.hold()
    await api.endpoint()
    await api.publish()
    await api.until_arrived(1)
    (delivery,) = await api.deliveries()
    assert delivery["next_attempt_at"] is None
    expect_problem(await api.admin.post(f"/v1/deliveries/{delivery['id']}/retry"), 409)
    api.receiver.release()
    await api.until_state("delivered")


async def test_cancelling_what_is_being_sent_never_ends_in_two_states(api: Api) -> None:
    api.receiver.hold()
    await api.endpoint()
    await api.publish()
    await api.until_arrived(1)
    (delivery,) = await api.deliveries()
    answered = await api.admin.post(f"/v1/deliveries/{delivery['id']}/cancel")
    assert answered.status_code in {200, 409}
    api.receiver.release()
    state = "cancelled" if answered.status_code == 200 and answered.json()["state"] == "cancelled" else "delivered"
    await api.until_state(state)
    assert expect(await api.admin.get("/v1/books"), 200)["items"][0]["difference"] == 0


@pytest.mark.parametrize("kind", ["events", "deliveries", "replays"])
@pytest.mark.parametrize(
    "name", ["x", "evt_0000000000000", "dlv_0000000000000", "rpl_0000000000000", "zzz_zzzzzzzzzzzzz"]
)
async def test_an_id_that_is_none_is_not_found(api: Api, kind: str, name: str) -> None:
    expect_problem(await api.admin.get(f"/v1/{kind}/{name}"), 404)


# Why


async def explained(api: Api, event_id: str) -> dict[str, Json]:
    explanation = expect(await api.admin.get(f"/v1/events/{event_id}/explain"), 200)
    return {reason["endpoint_id"]: reason for reason in explanation["endpoints"]}


def failed_rules(reason: Json) -> list[str]:
    return [rule["name"] for rule in reason["rules"] if not rule["passed"]]


async def test_every_reason_not_to_send_is_told(api: Api) -> None:
    other_type = await api.endpoint(event_types=["Product"])
    other_application = await api.endpoint(application_id=6)
    off = await api.endpoint(enabled=False)
    filtered = await api.endpoint(filter={"OrderNo": "no such"})
    several = await api.endpoint(event_types=["Product"], enabled=False)
    other_client = await api.endpoint(2)
    deleted = await api.endpoint()
    await api.admin.delete(f"/v1/endpoints/{deleted['id']}")
    accepted = await api.publish(ApplicationId=5)
    later = await api.endpoint()
    reasons = await explained(api, accepted["id"])
    assert other_client["id"] not in reasons
    assert deleted["id"] not in reasons
    expected = {
        other_type["id"]: ["type"],
        other_application["id"]: ["application"],
        off["id"]: ["enabled"],
        filtered["id"]: ["filter"],
        several["id"]: ["type", "enabled"],
        later["id"]: ["existed"],
    }
    assert {each: failed_rules(reason) for each, reason in reasons.items()} == expected
    for each, reason in reasons.items():
        assert reason["matched"] is False
        assert reason["deliveries"] == []
        assert reason["verdict"].startswith("not sent"), each
    (rule,) = [rule for rule in reasons[filtered["id"]]["rules"] if not rule["passed"]]
    assert rule["found"][0]["path"] == "OrderNo"
    assert rule["found"][0]["wanted"] == "no such"


async def test_explain_long_values_are_cut(api: Api) -> None:
    lists = {"any": [{"$.X": [f"{number}" for number in range(100)]}, {"$.Y": "y" * 256}, {"$.Z": 1}]}
    endpoint = await api.endpoint(filter=lists)
    accepted = await api.publish(X="x" * 100_000, Y="y" * 200, Z=[1, 2, 3])
    rule = (await explained(api, accepted["id"]))[endpoint["id"]]["rules"][-1]
    texts, text, number = rule["found"]
    assert texts["found"] == "x" * 200 + "… (100000 characters)"
    assert texts["wanted"] == [*(f"{number}" for number in range(20)), "… (100 values)"]
    assert (text["found"], text["wanted"]) == ("y" * 200, "y" * 200 + "… (256 characters)")
    assert number["found"] == "… (a list of 3)"
    assert len(rule["wanted"]["any"][0]["$.X"]) == 21


async def test_explain_answer_is_bounded_and_any_endpoint_can_be_asked_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "_ANSWER_MAX", 3_000)
    unsent = [(await api.endpoint(filter={"OrderNo": "no such"}))["id"] for _ in range(9)]
    sent = (await api.endpoint())["id"]
    path = f"/v1/events/{(await api.publish())['id']}/explain"
    answer = expect(await api.admin.get(path), 200)
    shown = [each["endpoint_id"] for each in answer["endpoints"]]
    assert sent in shown
    assert 0 < answer["left_out"] == 10 - len(shown)
    last = unsent[-1]
    assert last not in shown
    one = expect(await api.admin.get(path, params={"endpoint_id": last}), 200)
    assert [each["endpoint_id"] for each in one["endpoints"]] == [last]
    expect_problem(await api.admin.get(path, params={"endpoint_id": "end_0000000000000"}), 404)


async def test_a_filter_that_matches_and_one_on_an_absent_property_are_told_apart(api: Api) -> None:
    fits = await api.endpoint(filter={"OrderNo": {"prefix": "SO"}})
    absent = await api.endpoint(filter={"$.Extra.Origin": "web"})
    accepted = await api.publish(OrderNo="SO-1")
    await api.until_state("delivered")
    reasons = await explained(api, accepted["id"])
    assert failed_rules(reasons[fits["id"]]) == []
    assert failed_rules(reasons[absent["id"]]) == ["filter"]
    assert "found" not in reasons[absent["id"]]["rules"][-1]["found"][0]


async def test_why_is_told_as_it_was_then(api: Api) -> None:
    made = await api.endpoint()
    accepted = await api.publish()
    await api.until_state("delivered")
    await api.admin.patch(f"/v1/endpoints/{made['id']}", json={"enabled": False, "event_types": ["Product"]})
    reason = (await explained(api, accepted["id"]))[made["id"]]
    assert reason["matched"] is True
    assert reason["verdict"].startswith("delivered after 1 attempt")
    await api.admin.delete(f"/v1/endpoints/{made['id']}")
    assert (await explained(api, accepted["id"]))[made["id"]]["matched"] is True


async def test_what_became_of_it_is_told(api: Api) -> None:
    made = {}
    for name, status, schedule in (("good", 200, []), ("bad", 500, []), ("slow", 503, ["1h"]), ("gone", 410, [])):
        api.receiver.statuses[f"/{name}"] = status
        endpoint = await api.endpoint(url=f"{api.receiver.url}/{name}", retry_schedule=schedule)
        made[name] = endpoint["id"]
    accepted = await api.publish()
    async with asyncio.timeout(60):
        while True:
            reasons = await explained(api, accepted["id"])
            verdicts = {name: reasons[each]["verdict"] for name, each in made.items()}
            if not any("sent now" in verdict for verdict in verdicts.values()):
                break
            await asyncio.sleep(0.005)
    assert verdicts["good"] == "delivered after 1 attempt"
    assert verdicts["bad"] == "dead after 1 attempt: attempts_exhausted"
    assert verdicts["slow"].startswith("pending after 1 attempt: next try 2")
    assert verdicts["gone"] == "dead after 1 attempt: gone"


async def held(api: Api, event_id: str, endpoint_id: str) -> str:
    """Return why a delivery is not sent, once it is due."""
    async with asyncio.timeout(60):
        while True:
            reason = (await explained(api, event_id))[endpoint_id]
            if reason["held"]:
                assert reason["verdict"].endswith(f"; {reason['held']}")
                assert "due since 2" in reason["verdict"]
                return str(reason["held"])
            await asyncio.sleep(0.005)


async def test_what_is_due_and_held_by_an_endpoint_that_is_switched_off_is_told(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=[0.5])
    accepted = await api.publish()
    await api.until_arrived(1)
    expect(await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"enabled": False}), 200)

    assert await held(api, accepted["id"], endpoint["id"]) == "the endpoint is off"


async def test_what_is_due_and_held_by_a_pause_that_was_asked_for_is_told(api: Api) -> None:
    api.receiver.answer_with(503, {"retry-after": "1800"}, b"")
    endpoint = await api.endpoint(retry_schedule=[0.01])
    await api.publish()
    await api.until_arrived(1)
    async with asyncio.timeout(60):
        while api.node.dispatcher.in_flight:
            await asyncio.sleep(0)
    accepted = await api.publish()

    assert "asked for a pause of another" in await held(api, accepted["id"], endpoint["id"])


async def test_what_is_due_and_held_by_an_open_circuit_is_told(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=[0.01])
    state = api.node.dispatcher._concurrency.state(ids.decode("end", endpoint["id"]))
    state.circuit = Circuit(threshold=1, min_span_s=0.0, first_pause_s=3_600.0)
    accepted = await api.publish()

    assert await held(api, accepted["id"], endpoint["id"]) == (
        "the endpoint failed 1 times in a row and gets one attempt at a time"
    )


# Sending again


async def until_done(api: Api, replay_id: str) -> Json:
    async with asyncio.timeout(60):
        while True:
            replay = expect(await api.admin.get(f"/v1/replays/{replay_id}"), 200)
            if replay["state"] != "running":
                return replay
            await asyncio.sleep(0.005)


async def test_a_replay_of_all_reaches_an_endpoint_made_later(api: Api) -> None:
    for number in range(1, 4):
        await api.publish(OrderId=number)
    await api.publish(type_="JobCompletedEvent")
    made = await api.endpoint()
    wanted = {"endpoint_id": made["id"], "since": LONG_AGO, "types": ["OrderConfirmedEvent"], "only": "all"}
    started = expect(await api.admin.post("/v1/replays", json=wanted), 202)
    assert started["state"] in {"running", "done"}
    arrived = await api.until_arrived(3)
    assert {each.headers["commerce-event-replay"] for each in arrived} == {started["id"]}
    done = await until_done(api, started["id"])
    assert (done["state"], done["queued"]) == ("done", 3)
    deliveries = await api.until_state("delivered", replay_id=started["id"])
    assert len(deliveries) == 3
    reason = (await explained(api, deliveries[0]["event_id"]))[made["id"]]
    assert reason["deliveries"][0]["replay_id"] == started["id"]
    assert [each["id"] for each in await items(api, "/v1/replays")] == [started["id"]]
    assert await items(api, "/v1/replays", client_id=2) == []


async def test_what_a_replay_would_send_is_counted_for_exactly_its_choices(api: Api) -> None:
    made = await api.endpoint(retry_schedule=[], event_types=["Order"], filter={"Source": "WEB"})
    api.receiver.status = 500
    for source in ("WEB", "WEB", "POS"):
        await api.publish(Source=source)
    await api.publish(type_="OrderCancelledEvent", Source="WEB")
    await api.publish(type_="JobCompletedEvent")
    await api.until_finished(3)

    async def count(**choices: Any) -> int:
        wanted = {"endpoint_id": made["id"], "since": LONG_AGO, **choices}
        counted = expect(await api.admin.post("/v1/replays/count", json=wanted), 200)
        assert counted["more"] is False
        started = expect(await api.admin.post("/v1/replays", json=wanted), 202)
        assert (await until_done(api, started["id"]))["queued"] == counted["deliveries"]
        await api.until_state("dead")
        return int(counted["deliveries"])

    assert await count(only="failed") == 3
    assert await count(only="failed", types=["OrderCancelledEvent"]) == 1
    assert await count(only="failed", until=LONG_AGO) == 0
    assert await count(only="waiting") == 0
    assert await count(only="all", types=["OrderConfirmedEvent", "JobCompletedEvent"]) == 2


async def test_counting_stops_where_it_would_become_slow(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "COUNTED_MAX", 2)
    monkeypatch.setattr(replays, "_COUNT_STEP", 1)
    made = await api.endpoint(retry_schedule=[])
    api.receiver.status = 500
    for _ in range(3):
        await api.publish()
    await api.until_finished(3)

    for only in ("failed", "all"):
        wanted = {"endpoint_id": made["id"], "since": LONG_AGO, "only": only}
        counted = expect(await api.admin.post("/v1/replays/count", json=wanted), 200)
        assert (counted["deliveries"], counted["more"]) == (2, True), only
        assert (counted["endpoint_health"], "3 times in a row" in counted["warning"]) == ("failing", True)


async def test_replay_of_failed_requeues_only_dead_deliveries(api: Api) -> None:
    made = await api.endpoint(retry_schedule=[])
    await api.publish()
    await api.until_state("delivered")
    api.receiver.status = 500
    failed = await api.publish()
    await api.until_state("dead", event_id=failed["id"])
    api.receiver.status = 200
    started = expect(await api.admin.post("/v1/replays", json={"endpoint_id": made["id"], "since": LONG_AGO}), 202)
    assert started["only"] == "failed"
    assert (await until_done(api, started["id"]))["queued"] == 1
    await api.until_state("delivered")
    assert len(api.receiver.arrived) == 3


async def test_a_replay_of_what_waits_makes_it_due_at_once(api: Api) -> None:
    made = await api.endpoint(retry_schedule=["1h", "1h"])
    await api.publish()
    await api.until_state("delivered")
    api.receiver.status = 500
    failed = await api.publish()
    await api.until_arrived(2)
    async with asyncio.timeout(60):
        while (await api.deliveries(event_id=failed["id"]))[0]["next_attempt_at"] is None:
            await asyncio.sleep(0.005)
    api.receiver.status = 200
    wanted = {"endpoint_id": made["id"], "since": LONG_AGO, "only": "waiting"}
    started = expect(await api.admin.post("/v1/replays", json=wanted), 202)
    done = await until_done(api, started["id"])
    await api.until_state("delivered")

    assert (done["looked_at"], done["queued"]) == (1, 1)
    assert len(api.receiver.arrived) == 3


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"endpoint_id": "x"}, "/endpoint_id"),
        ({"endpoint_id": None}, "/endpoint_id"),
        ({"since": "yesterday"}, "/since"),
        ({"until": "2019-12-31T00:00:00Z"}, "/until"),
        ({"types": ["Nothing"]}, "/types"),
        ({"types": "Order"}, "/types"),
        ({"only": "some"}, "/only"),
        ({"surprise": 1}, "/surprise"),
    ],
)
async def test_a_replay_that_cannot_be_is_refused(api: Api, fields: Json, pointer: str) -> None:
    made = await api.endpoint()
    wanted = {"endpoint_id": made["id"], "since": LONG_AGO, **fields}
    problem = await api.admin.post("/v1/replays", json=wanted)
    assert problem.json()["errors"][0]["pointer"].startswith(pointer)
    assert problem.status_code == 422


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2026-W01-1",
        "20260131T000000Z",
        "2026-01-31",
    ],
)
async def test_times_at_the_edge_break_nothing(api: Api, moment: str) -> None:
    made = await api.endpoint()
    for name in ("since", "until"):
        assert (await api.admin.get("/v1/events", params={name: moment})).status_code in {200, 422}
        wanted = {"endpoint_id": made["id"], "since": LONG_AGO, name: moment}
        response = await api.admin.post("/v1/replays", json=wanted)
        assert response.status_code in {202, 422}
        if response.status_code == 202:
            await until_done(api, response.json()["id"])
        expect(await api.admin.get("/v1/replays"), 200)  # also when it failed


async def test_categories_name_their_types_in_lists_and_replays(api: Api) -> None:
    endpoint = await api.endpoint()
    await api.publish()
    await api.publish(type_="JobCompletedEvent")

    assert [event["type"] for event in await items(api, "/v1/events", type="Order")] == ["OrderConfirmedEvent"]
    body = {"endpoint_id": endpoint["id"], "since": LONG_AGO, "types": ["System"], "only": "all"}
    assert expect(await api.admin.post("/v1/replays", json=body), 202)["types"] == ["JobCompletedEvent"]
    expect_problem(await api.admin.post("/v1/replays", json={**body, "types": ["System", "Sys"]}), 422, "/types/1")
