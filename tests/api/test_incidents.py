"""Incidents: from the first failure to the last step, the same after a restart, and only in reach."""

import asyncio
from pathlib import Path
from typing import Any

from api_server import Api, Json, expect, expect_problem, running_api

AGO = "2020-01-01T00:00:00Z"


async def incidents(api: Api, **query: Any) -> list[Json]:
    return expect(await api.admin.get("/v1/incidents", params=query), 200)["items"]  # type: ignore[no-any-return]


async def incident(api: Api, endpoint: Json) -> Json:
    return expect(await api.admin.get(f"/v1/incidents/{endpoint['id']}"), 200)


async def fail(api: Api, *endpoints: Json, count: int = 3) -> None:
    """Publish events until each endpoint has failed so often that it is an incident."""
    for _ in range(count):
        await api.publish()
    async with asyncio.timeout(60):
        while True:
            stats = expect(await api.admin.get("/v1/endpoint-stats"), 200)["items"]
            failures = {each["endpoint"]["id"]: each["consecutive_failures"] for each in stats}
            if all(failures[each["id"]] >= count for each in endpoints):
                return
            await asyncio.sleep(0.01)


def done(found: Json) -> list[str]:
    return [step["name"] for step in found["steps"] if step["done"]]


async def test_failing_endpoint_is_an_incident_with_its_cause(api: Api) -> None:
    api.receiver.answer_with(503, {"x-from": "erp"}, b"maintenance")
    endpoint = await api.endpoint(description="ERP", retry_schedule=["1h", "2h"])
    await fail(api, endpoint)

    (found,) = await incidents(api)
    detail = await incident(api, endpoint)

    assert (found["endpoint_id"], found["state"], found["until"]) == (endpoint["id"], "open", None)
    assert (found["last_status"], found["cause"]) == (503, "the receiver is not available now")
    assert (found["failures"], found["pending"], found["dead"]) == (3, 3, 0)
    assert found["since"] <= found["last_failure_at"]
    assert found["first_dies_at"] > found["oldest_pending_at"]
    assert {name: detail[name] for name in found} == found
    assert (detail["retry_schedule"], detail["next_step"]) == ([3_600, 7_200], "fix")
    assert detail["newest_attempt"]["response_body"] == "maintenance"
    assert done(detail) == []


async def test_endpoints_with_the_same_host_and_cause_are_one_incident(api: Api) -> None:
    api.receiver.status = 500
    api.receiver.statuses["/other"] = 404
    schedule: dict[str, Any] = {"retry_schedule": ["1h"]}
    first = await api.endpoint(url=f"{api.receiver.url}/a", **schedule)
    second = await api.endpoint(url=f"{api.receiver.url}/b", **schedule)
    other = await api.endpoint(url=f"{api.receiver.url}/other", **schedule)
    await fail(api, first, second, other)

    found = {frozenset(one["endpoint"]["id"] for one in each["endpoints"]) for each in await incidents(api)}
    detail = await incident(api, second)

    assert found == {frozenset({first["id"], second["id"]}), frozenset({other["id"]})}
    assert detail["endpoint_id"] == second["id"]
    assert [each["endpoint"]["id"] for each in detail["endpoints"]] == [second["id"], first["id"]]
    assert detail["pending"] == 6


async def test_incident_names_what_was_changed_before_and_which_steps_are_done(api: Api) -> None:
    endpoint = await api.endpoint(description="ERP", retry_schedule=[])
    address = f"/v1/endpoints/{endpoint['id']}"
    api.receiver.statuses["/wrong"] = 404
    expect(await api.admin.patch(address, json={"url": f"{api.receiver.url}/wrong"}), 200)
    await fail(api, endpoint)
    detail = await incident(api, endpoint)
    assert [each["action"] for each in detail["changes_before"]] == ["changeEndpoint", "createEndpoint"]
    assert (detail["dead"], detail["first_dies_at"], done(detail)) == (3, None, [])

    expect(await api.admin.patch(address, json={"url": f"{api.receiver.url}/right"}), 200)
    assert done(await incident(api, endpoint)) == ["fix"]
    expect(await api.admin.post(f"{address}/test", json={}), 200)
    assert done(await incident(api, endpoint)) == ["fix", "test"]
    letter = (await api.deliveries(state="dead"))[0]
    expect(await api.admin.post(f"/v1/deliveries/{letter['id']}/retry"), 202)
    async with asyncio.timeout(60):
        while not await api.deliveries(state="delivered"):
            await asyncio.sleep(0.01)
    ended = await incident(api, endpoint)
    assert (ended["state"], done(ended), ended["next_step"]) == ("ended", ["fix", "test", "send_one"], "send_all")
    assert ended["until"] >= ended["since"]
    assert [each["endpoint_id"] for each in await incidents(api, state="ended")] == [endpoint["id"]]
    assert await incidents(api) == []

    expect(await api.admin.post("/v1/replays", json={"endpoint_id": endpoint["id"], "since": AGO}), 202)
    async with asyncio.timeout(60):
        while (await incident(api, endpoint))["next_step"] is not None:
            await asyncio.sleep(0.01)
    assert done(await incident(api, endpoint)) == ["fix", "test", "send_one", "send_all", "closed"]


async def test_incident_of_a_paused_endpoint_stays_and_of_one_that_is_off_ends(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(retry_schedule=["1h"])
    await fail(api, endpoint)
    address = f"/v1/endpoints/{endpoint['id']}"

    expect(await api.admin.patch(address, json={"paused": True}), 200)
    (paused,) = await incidents(api)
    expect(await api.admin.patch(address, json={"paused": False, "enabled": False}), 200)
    off = await incident(api, endpoint)

    assert (paused["state"], paused["paused"]) == ("open", True)
    assert await incidents(api) == []
    assert (off["state"], off["until"], off["since"]) == ("ended", None, paused["since"])


async def test_incident_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with running_api(tmp_path, retry_schedule_s=(3_600.0,)) as api:
        api.receiver.status = 500
        endpoint = await api.endpoint()
        await fail(api, endpoint)
        (before,) = await incidents(api)
    async with running_api(tmp_path, retry_schedule_s=(3_600.0,)) as api:
        (after,) = await incidents(api)

    drop = {"first_dies_at"}  # what is overdue is counted from now
    assert {name: value for name, value in after.items() if name not in drop} == {
        name: value for name, value in before.items() if name not in drop
    }


async def test_incidents_of_other_clients_are_not_shown(api: Api) -> None:
    api.receiver.status = 500
    foreign = await api.endpoint(2, retry_schedule=["1h"])
    own = await api.endpoint(1, retry_schedule=["1h"])
    for client_id in (1, 2):
        for _ in range(3):
            await api.publish(client_id)
    await fail(api, own, foreign, count=3)
    reader, _ = await api.key("read", 1)

    (found,) = expect(await reader.get("/v1/incidents"), 200)["items"]

    assert [each["endpoint"]["id"] for each in found["endpoints"]] == [own["id"]]
    assert foreign["id"] not in (await reader.get("/v1/incidents?state=ended")).text
    expect_problem(await reader.get("/v1/incidents?client_id=2"), 403)
    expect_problem(await reader.get(f"/v1/incidents/{foreign['id']}"), 404)
    together = expect(await api.admin.get(f"/v1/incidents/{foreign['id']}"), 200)
    assert len(together["endpoints"]) == 2


async def test_endpoint_that_never_failed_has_no_incident(api: Api) -> None:
    endpoint = await api.endpoint()
    await api.publish()
    await api.until_state("delivered")

    expect_problem(await api.admin.get(f"/v1/incidents/{endpoint['id']}"), 404)
    expect_problem(await api.admin.get("/v1/incidents/nonsense"), 404)
    expect_problem(await api.admin.get("/v1/incidents?state=none"), 422, "?state")
