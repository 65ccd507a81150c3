"""Which of the newest events an endpoint would get, before it is created."""

from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import endpoint_preview

PATH = "/v1/endpoints/preview"


async def preview(api: Api, **fields: Any) -> Json:
    return expect(await api.admin.post(PATH, json={"client_id": 1, "event_types": ["*"], **fields}), 200)


async def test_preview_of_a_filter_says_of_each_event_why(api: Api) -> None:
    ids = [
        (await api.publish(OrderNo=number, Campaign=campaign))["id"]
        for number, campaign in (("100", "spring"), ("101", "autumn"), ("102", None))
    ]
    ids.append((await api.publish(type_="JobCompletedEvent"))["id"])
    await api.publish(client_id=2, Campaign="spring")

    found = await preview(api, event_types=["Order"], filter={"$.Campaign": "spring"})

    assert (found["checked"], found["matched"], found["truncated"]) == (4, 1, False)
    assert [each["event_id"] for each in found["samples"]] == ids[::-1]
    job, absent, other, sent = found["samples"]
    assert (sent["matched"], sent["why"], sent["rules"]) == (True, None, [])
    assert sent["label"].startswith("Order 100")
    assert (other["matched"], other["why"]) == (False, "Campaign is spring: no, it is autumn")
    assert [rule["name"] for rule in other["rules"]] == ["filter"]
    assert absent["why"] == "Campaign is spring: no, it is absent"
    assert job["why"] == "its type is not chosen"


async def test_preview_of_exceptions_says_that_the_type_is_left_out(api: Api) -> None:
    await api.publish()
    await api.publish(type_="JobCompletedEvent")

    found = await preview(api, **{"except": ["Order"]})

    assert [each["why"] for each in found["samples"]] == [None, "its type is left out"]


async def test_preview_of_an_application_names_the_application_of_the_event(api: Api) -> None:
    await api.publish(ApplicationId=5)

    (sample,) = (await preview(api, application_id=6))["samples"]

    assert sample["why"] == "its application is 5"


async def test_preview_evaluates_the_newest_events_up_to_the_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_preview, "EVENTS_MAX", 3)
    ids = [(await api.publish(OrderNo=str(number)))["id"] for number in range(5)]

    found = await preview(api)

    assert [each["event_id"] for each in found["samples"]] == ids[:1:-1]
    assert (found["checked"], found["truncated"]) == (3, False)


async def test_preview_answer_of_many_bytes_is_cut_and_says_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_preview, "_ANSWER_MAX", 0)
    for _ in range(3):
        await api.publish()

    found = await preview(api)

    assert (found["checked"], found["matched"], len(found["samples"]), found["truncated"]) == (3, 3, 1, True)


async def test_preview_of_wrong_fields_points_at_each(api: Api) -> None:
    wrong = {"client_id": 1, "event_types": ["Ordr"], "filter": {}}
    expect_problem(await api.admin.post(PATH, json=wrong), 422, "/event_types/0")
    wrong = {"client_id": 1, "event_types": ["Order"], "filter": {"Sorce": "WEB"}}
    expect_problem(await api.admin.post(PATH, json=wrong), 422, "/filter/Sorce")


async def test_preview_saves_nothing_and_writes_no_audit_entry(api: Api) -> None:
    await api.publish()

    await preview(api)

    assert expect(await api.admin.get("/v1/endpoints"), 200)["items"] == []
    assert expect(await api.admin.get("/v1/audit"), 200)["items"] == []
    assert api.receiver.arrived == []


async def test_preview_of_another_client_is_refused(api: Api) -> None:
    await api.publish(client_id=2)
    caller, _ = await api.key("manage", 1)

    expect_problem(await caller.post(PATH, json={"client_id": 2, "event_types": ["*"]}), 403)
