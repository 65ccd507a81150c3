"""Counts for plots, as the API gives them."""

from pathlib import Path

from api_server import expect, expect_problem, running_api


async def test_activity_follows_what_happened(tmp_path: Path) -> None:
    async with running_api(tmp_path, retry_schedule_s=()) as api:
        good = await api.endpoint()
        await api.endpoint(url=f"{api.receiver.url}/bad")
        api.receiver.statuses["/bad"] = 500
        await api.publish()
        await api.until_finished(2)
        await api.node.maintenance.write_activity()

        for span, steps in (("hour", 60), ("day", 96), ("week", 84)):
            found = expect(await api.admin.get("/v1/activity", params={"span": span}), 200)
            assert (found["accepted"], found["delivered"], found["failed"], found["dead"]) == (1, 1, 1, 1), span
            assert len(found["items"]) == steps
            assert sum(step["delivered"] for step in found["items"]) == 1
            assert found["latency_p99_ms"] > 0
        one = expect(await api.admin.get("/v1/activity", params={"endpoint_id": good["id"]}), 200)
        assert (one["accepted"], one["delivered"], one["failed"]) == (0, 1, 0)


async def test_activity_of_another_client_is_out_of_reach(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        foreign = await api.endpoint(2)
        await api.publish(2)
        await api.until_state("delivered")
        await api.node.maintenance.write_activity()
        reader, _ = await api.key("read", 1)

        assert expect(await reader.get("/v1/activity"), 200)["accepted"] == 0
        expect_problem(await reader.get("/v1/activity", params={"client_id": 2}), 403)
        found = expect(await reader.get("/v1/activity", params={"endpoint_id": foreign["id"]}), 200)
        assert (found["delivered"], found["latency_p50_ms"]) == (0, None)
