"""Pause, exceptions, health and what a change of state would mean, over HTTP."""

from pathlib import Path

import pytest
from api_server import Api, Json, expect, expect_problem, running_api

PATH = "/v1/endpoints"


async def stats_of(api: Api, endpoint: Json) -> Json:
    return expect(await api.admin.get(f"{PATH}/{endpoint['id']}/stats"), 200)


async def patch(api: Api, endpoint: Json, **fields: object) -> Json:
    return expect(await api.admin.patch(f"{PATH}/{endpoint['id']}", json=fields), 200)


async def test_paused_endpoint_tracks_events_and_sends_them_when_resumed(api: Api) -> None:
    endpoint = await api.endpoint(paused=True)
    accepted = await api.publish()
    assert accepted["deliveries"] == 1
    [delivery] = await api.deliveries()
    [reason] = expect(await api.admin.get(f"/v1/events/{accepted['id']}/explain"), 200)["endpoints"]
    assert (delivery["state"], reason["matched"], reason["held"]) == ("pending", True, "the endpoint is paused")
    assert (await stats_of(api, endpoint))["health"] == "paused"
    refused = expect_problem(await api.admin.post(f"/v1/deliveries/{delivery['id']}/retry"), 409)
    assert "resume it" in refused["detail"]

    await patch(api, endpoint, paused=False)
    await api.until_state("delivered")


async def test_paused_endpoint_stays_paused_after_a_restart(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        endpoint = await api.endpoint(paused=True)
        accepted = await api.publish()
        since = endpoint["state_since"]
    async with running_api(tmp_path) as api:
        stats = await stats_of(api, endpoint)
        assert (stats["health"], stats["state_since"], stats["pending"]) == ("paused", since, 1)
        await patch(api, endpoint, paused=False, url=f"{api.receiver.url}/hook")
        await api.until_state("delivered", event_id=accepted["id"])


async def test_exceptions_leave_types_out_of_a_wildcard(api: Api) -> None:
    endpoint = await api.endpoint(1, event_types=["*"], **{"except": ["Product", "OrderConfirmedEvent"]})
    assert (endpoint["event_types"], endpoint["except"]) == (["*"], ["Product", "OrderConfirmedEvent"])
    left_out, taken = await api.publish(), await api.publish(type_="OrderReceivedEvent")
    assert (left_out["deliveries"], taken["deliveries"]) == (0, 1)

    [reason] = expect(await api.admin.get(f"/v1/events/{left_out['id']}/explain"), 200)["endpoints"]
    rule = reason["rules"][2]
    assert (rule["passed"], rule["wanted"]) == (False, {"event_types": ["*"], "except": endpoint["except"]})
    assert (await patch(api, endpoint, **{"except": []}))["except"] == []
    assert (await api.publish())["deliveries"] == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"except": ["Nothing"]}, "/except/0"),
        ({"except": ["*"]}, "/except/0"),
        ({"event_types": ["Order"], "except": ["Order"]}, "/except/0"),
        ({"event_types": ["JobCompletedEvent"], "except": ["System"]}, "/except/0"),
        ({"event_types": ["*"], "except": ["Order"], "filter": {"OrderNo": "1"}}, "/filter/OrderNo"),
        ({"event_types": ["*"], "except": ["Order"], "properties": ["OrderNo"]}, "/properties/0"),
        ({"paused": "yes"}, "/paused"),
    ],
)
async def test_unusable_exceptions_are_refused_where_they_stand(api: Api, fields: Json, pointer: str) -> None:
    wanted = {"client_id": 1, "url": "https://erp.example.com/hook", "event_types": ["*"], **fields}
    expect_problem(await api.admin.post(PATH, json=wanted), 422, pointer)


async def test_kept_exceptions_must_leave_one_of_the_changed_types(api: Api) -> None:
    endpoint = await api.endpoint(1, **{"except": ["System"]})
    expect_problem(
        await api.admin.patch(f"{PATH}/{endpoint['id']}", json={"event_types": ["JobCompletedEvent"]}), 422, "/except/0"
    )


async def test_health_names_since_when_and_why_and_survives_a_restart(tmp_path: Path) -> None:
    async with running_api(tmp_path, retry_schedule_s=()) as api:
        endpoint = await api.endpoint()
        await api.publish()
        [delivered] = await api.until_state("delivered")
        api.receiver.status = 503
        for number in range(3):
            await api.publish(OrderNo=f"S-{number}")
        await api.until_finished(4)
        before = await stats_of(api, endpoint)
    async with running_api(tmp_path, retry_schedule_s=()) as api:
        after = await stats_of(api, endpoint)
        [item] = expect(await api.admin.get("/v1/endpoint-stats"), 200)["items"]

    names = ("health", "failing_since", "last_success_at", "cause", "consecutive_failures")
    assert [after[name] for name in names] == [before[name] for name in names] == [item[name] for name in names]
    assert (after["health"], after["consecutive_failures"]) == ("failing", 3)
    assert after["cause"] == "the receiver is not available now"
    assert delivered["created_at"] <= after["last_success_at"] <= after["failing_since"]


async def test_impact_counts_what_waits_and_what_comes(api: Api) -> None:
    endpoint = await api.endpoint()
    await api.publish()
    await api.until_state("delivered")
    await patch(api, endpoint, paused=True)
    for number in range(3):
        await api.publish(OrderNo=f"S-{number}")
    await api.node.maintenance.write_activity()

    found = expect(await api.admin.get(f"{PATH}/{endpoint['id']}/impact"), 200)

    assert (found["pending"], found["in_flight"], found["off_since"]) == (3, 0, None)
    assert 0 < found["events_per_hour"] <= 4
    assert found["delete"] == "Deleting cancels 3 pending deliveries; the history is kept."
    assert "nothing is lost" in found["pause"]


async def test_impact_of_an_endpoint_that_is_off_says_since_when(api: Api) -> None:
    endpoint = await api.endpoint()
    off = await patch(api, endpoint, enabled=False)
    await patch(api, endpoint, description="changed while it is off", paused=True)
    found = expect(await api.admin.get(f"{PATH}/{endpoint['id']}/impact"), 200)
    assert found["off_since"] == off["state_since"] == off["updated_at"]
    assert (await patch(api, endpoint, enabled=True, paused=False))["state_since"] > off["state_since"]


async def test_old_secret_is_listed_with_its_end(api: Api) -> None:
    endpoint = await api.endpoint()
    assert endpoint["secrets"] == [{"expires_at": None}]
    rotated = expect(await api.admin.post(f"{PATH}/{endpoint['id']}/rotate-secret", json={"overlap": "2h"}), 200)
    found = expect(await api.admin.get(f"{PATH}/{endpoint['id']}"), 200)
    assert found["secrets"] == [{"expires_at": None}, {"expires_at": rotated["old_secret_expires_at"]}]
    expect(await api.admin.post(f"{PATH}/{endpoint['id']}/rotate-secret", json={"overlap": "0s"}), 200)
    assert len(expect(await api.admin.get(f"{PATH}/{endpoint['id']}"), 200)["secrets"]) == 1


async def test_example_of_an_endpoint_with_exceptions_is_of_a_type_that_it_takes(api: Api) -> None:
    endpoint = await api.endpoint(1, event_types=["Customer"], **{"except": ["CompanyChangedNotification"]})
    expect(await api.admin.post(f"{PATH}/{endpoint['id']}/test"), 200)
    assert api.receiver.arrived[0].headers["commerce-event-type"] == "CustomerChangedNotification"


async def test_exceptions_and_pause_are_audited_by_their_names_and_put_back(api: Api) -> None:
    endpoint = await api.endpoint()
    await patch(api, endpoint, paused=True, **{"except": ["Product"]})
    entry = expect(await api.admin.get(f"/v1/audit?target={endpoint['id']}"), 200)["items"][0]
    changes = {each["field"]: (each["before"], each["after"]) for each in entry["changes"]}
    assert changes == {"except": ([], ["Product"]), "paused": (False, True)}

    restored = expect(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 200)["endpoint"]
    assert (restored["except"], restored["paused"]) == ([], False)
