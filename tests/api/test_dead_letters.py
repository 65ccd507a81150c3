"""Dead letters by group: send them again, and discard them with a reason."""

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import dead_letters

PATH = "/v1/dead-letters"


async def two_causes(api: Api, count: int = 3) -> Json:
    """Make an endpoint with dead letters of two causes: ``count`` with 500, then one with 404."""
    made = await api.endpoint(retry_schedule=[], description="ERP")
    api.receiver.status = 500
    for _ in range(count):
        await api.publish()
    await api.until_finished(count)
    api.receiver.status = 404
    await api.publish()
    await api.until_finished(count + 1)
    return made


async def groups(api: Api) -> dict[str, int]:
    return {each["error"]: each["count"] for each in expect(await api.admin.get(PATH), 200)["items"]}


def group(made: Json, error: str = "http_500") -> Json:
    return {"endpoint_id": made["id"], "reason": "attempts_exhausted", "error": error}


async def test_groups_have_their_cause_and_a_warning_of_the_endpoint(api: Api) -> None:
    await two_causes(api)

    first, second = expect(await api.admin.get(PATH), 200)["items"]

    assert (first["count"], first["cause"]) == (3, "the receiver had an internal error")
    assert (second["count"], second["cause"]) == (1, "nothing is at this path: check the URL")
    assert first["endpoint_health"] == "failing"
    assert "has failed 4 times in a row since" in first["warning"]


async def test_retry_of_a_group_sends_only_that_group(api: Api) -> None:
    made = await two_causes(api)
    api.receiver.status = 200

    changed = expect(await api.admin.post(f"{PATH}/retry", json=group(made)), 202)

    assert (changed["count"], changed["more"]) == (3, False)
    await api.until_finished(4)
    assert await groups(api) == {"http_404": 1}
    assert changed["newest_id"] in {each["id"] for each in await api.deliveries()}


async def test_retry_of_one_takes_the_newest(api: Api) -> None:
    made = await two_causes(api)
    api.receiver.hold()

    changed = expect(await api.admin.post(f"{PATH}/retry", json={**group(made), "limit": 1}), 202)

    assert (changed["count"], changed["more"]) == (1, True)
    [pending] = await api.deliveries(state="pending")
    assert pending["id"] == changed["newest_id"]
    assert await groups(api) == {"http_500": 2, "http_404": 1}


async def test_retry_of_an_endpoint_takes_every_cause_in_steps(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_STEP", 2)
    made = await two_causes(api)
    api.receiver.status = 200

    changed = expect(await api.admin.post(f"{PATH}/retry", json={"endpoint_id": made["id"]}), 202)

    assert (changed["count"], changed["more"]) == (4, False)
    assert len(await api.until_state("delivered")) == 4


async def test_retry_to_an_endpoint_that_is_off_or_paused_is_refused(api: Api) -> None:
    made = await two_causes(api)
    for change in ({"enabled": False}, {"enabled": True, "paused": True}):
        expect(await api.admin.patch(f"/v1/endpoints/{made['id']}", json=change), 200)
        expect_problem(await api.admin.post(f"{PATH}/retry", json=group(made)), 409)
    assert await groups(api) == {"http_500": 3, "http_404": 1}


async def test_discard_of_a_group_keeps_the_reason_and_frees_the_list(api: Api) -> None:
    made = await two_causes(api)

    changed = expect(
        await api.admin.post(f"{PATH}/discard", json={**group(made), "note": " a test\nof the\u202eshop "}), 200
    )

    assert changed["count"] == 3
    assert await groups(api) == {"http_404": 1}
    discarded = await api.deliveries(state="cancelled")
    assert {each["reason"] for each in discarded} == {"discarded: a test of the shop"}
    books = expect(await api.admin.get("/v1/books"), 200)
    assert (books["totals"]["dead"], books["totals"]["cancelled"], books["balanced"]) == (1, 3, True)
    [entry, *_] = expect(await api.admin.get("/v1/audit"), 200)["items"]
    assert entry["action"] == "discardDeadLetters"
    assert entry["sentence"] == "Discarded dead letters of ERP (3 dead letters: a test of the shop)"
    assert entry["target"] == made["id"]


async def test_discard_of_the_dead_letters_of_a_deleted_endpoint(api: Api) -> None:
    made = await two_causes(api)
    expect(await api.admin.delete(f"/v1/endpoints/{made['id']}"), 204)

    expect_problem(await api.admin.post(f"{PATH}/retry", json={"endpoint_id": made["id"]}), 409)
    wanted = {"endpoint_id": made["id"], "note": "its shop has closed"}
    assert expect(await api.admin.post(f"{PATH}/discard", json=wanted), 200)["count"] == 4
    assert await groups(api) == {}


async def test_ids_select_deliveries_and_those_that_are_not_dead_are_skipped(api: Api) -> None:
    made = await two_causes(api)
    other = await api.endpoint(client_id=2, retry_schedule=[])
    await api.publish(client_id=2)
    await api.until_finished(5)
    api.receiver.status = 200
    await api.publish()
    await api.until_finished(6)
    wanted = [each["id"] for each in await api.deliveries()]

    changed = expect(await api.admin.post(f"{PATH}/discard", json={"delivery_ids": wanted, "note": "x"}), 200)

    assert (changed["count"], changed["more"]) == (5, False)
    entries = expect(await api.admin.get("/v1/audit"), 200)["items"][:2]
    assert {(each["client_id"], each["target"]) for each in entries} == {(1, made["id"]), (2, other["id"])}


async def test_selection_with_faults_is_refused_at_its_place(api: Api) -> None:
    made = await api.endpoint()
    for body, *places in (
        ({}, "/delivery_ids"),
        ({"delivery_ids": ["dlv_0000000000001"], "endpoint_id": made["id"]}, "/delivery_ids"),
        ({"delivery_ids": ["evt_0000000000001"]}, "/delivery_ids/0"),
        ({"delivery_ids": []}, "/delivery_ids"),
        ({"delivery_ids": ["dlv_0000000000001"] * 1_001}, "/delivery_ids"),
        ({"endpoint_id": made["id"], "error": "http_500"}, "/reason"),
        ({"endpoint_id": made["id"], "limit": 0}, "/limit"),
    ):
        expect_problem(await api.admin.post(f"{PATH}/retry", json=body), 422, *map(str, places))
    for note in ("", "   ", "x" * 201):
        expect_problem(
            await api.admin.post(f"{PATH}/discard", json={"endpoint_id": made["id"], "note": note}), 422, "/note"
        )
    expect_problem(await api.admin.post(f"{PATH}/retry", json={"delivery_ids": ["dlv_7zzzzzzzzzzzz"]}), 404)
    assert expect(await api.admin.post(f"{PATH}/retry", json={"endpoint_id": made["id"]}), 202)["count"] == 0
