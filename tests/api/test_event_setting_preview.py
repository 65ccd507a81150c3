"""What a setting would have raised over the changes that are kept."""

import random
from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import event_setting_preview
from commerce_event.core import ids
from commerce_event.core.changes.model import Change, StoredChange
from commerce_event.core.clock import rfc3339
from commerce_event.core.ids import IdMaker
from commerce_event.store.model import ChangeBatch, ChangeQuery, NewChange, Page

PATH = "/v1/event-settings/preview"
ADDRESS = "tClientCustomerAddress"


def wanted(client_id: int = 1, **fields: Any) -> Json:
    return {"client_id": client_id, "event_type": "CustomerChangedNotification", "entity": ADDRESS, **fields}


async def store_changes(api: Api, *cities: str, client_id: int = 1, entity: str = ADDRESS) -> list[NewChange]:
    made: list[NewChange] = []
    number = IdMaker(after=await api.node.store.last_id())
    for city in cities:
        change = Change(
            client_id=client_id, entity=entity, operation="update", key={"CustomerId": 12}, after={"City": city}
        )
        now_ms = api.node.clock.now_ms()
        new = NewChange(id=number.next(now_ms), change=change, known=None, accepted_ms=now_ms, config_version=1)
        made.append(new)
    await api.node.store.changes.accept(ChangeBatch(changes=made), [])
    return made


async def preview(api: Api, since: str | None = None, **fields: Any) -> Json:
    return expect(await api.admin.post(PATH, json={"setting": wanted(**fields), "since": since}), 200)


async def test_preview_reads_the_changes_of_the_client_and_entity_in_order(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_setting_preview, "_PAGE", 2)
    made = await store_changes(api, "A", "A", "B", "B", "C")
    await store_changes(api, "A", client_id=2)
    await store_changes(api, "A", entity="tClientCustomer")

    found = await preview(api, fields=["City"])

    assert (found["changes"], found["notifications"], found["truncated"]) == (5, 3, False)
    assert [each["change_id"] for each in found["samples"]] == [ids.encode("chg", made[n].id) for n in (0, 2, 4)]
    assert found["samples"][0] == {
        "change_id": ids.encode("chg", made[0].id), "at": rfc3339(made[0].accepted_ms), "merged": 1,
        "body": {"ClientId": 1, "CustomerId": 12, "EntityChanged": ADDRESS},
    }  # fmt: skip
    assert (await preview(api, coalesce_s=60))["notifications"] == 1
    assert (await preview(api, since="2099-01-01T00:00:00Z"))["changes"] == 0


async def test_preview_saves_nothing(api: Api) -> None:
    await store_changes(api, "A")
    await preview(api)

    assert expect(await api.admin.get("/v1/event-settings"), 200)["items"] == []
    assert expect(await api.admin.get("/v1/audit"), 200)["items"] == []
    assert expect(await api.admin.get("/v1/events"), 200)["items"] == []


async def test_preview_equals_what_accepting_with_the_setting_on_raised(api: Api) -> None:
    rng = random.Random(7)
    setting: Json = {
        "fields": ["City", "Zip"],
        "filter": {"any": [{"City": ["A", "B"]}, {"before.Zip": {"exists": True}}]},
    }
    expect(await api.admin.post("/v1/event-settings", json=wanted(1, **setting)), 201)
    expect(await api.admin.post("/v1/event-settings", json=wanted(1, application_id=9, enabled=False)), 201)
    expect(await api.admin.post("/v1/event-settings", json=wanted(2, application_id=9, enabled=False)), 201)
    changes = [random_change(rng) for _ in range(90)]
    for client_id in (1, 2):
        left = changes
        while left:
            size = rng.randint(1, 40)
            some = [{**each, "client_id": client_id} for each in left[:size]]
            expect(await api.admin.post("/v1/changes", json=some), 200)
            left = left[size:]

    raised = expect(await api.admin.get("/v1/events", params={"client_id": 1, "after": 0, "limit": 200}), 200)["items"]
    found = await preview(api, client_id=2, **setting)

    assert 20 < len(raised) < 90
    assert (found["changes"], found["notifications"]) == (90, len(raised))
    bodies = [{**each["data"], "ClientId": 2} for each in raised[:20]]
    assert [each["body"] for each in found["samples"]] == bodies


def random_change(rng: random.Random) -> Json:
    operation = rng.choice(["insert", "update", "update", "update", "delete"])
    values = {name: rng.choice(["A", "B", "C", None]) for name in ("City", "Zip", "Name") if rng.random() < 0.6}
    earlier = {"before": {"City": rng.choice("ABC")}} if rng.random() < 0.2 else {}
    return {
        "entity": ADDRESS, "operation": operation, "key": {"CustomerId": rng.randint(1, 5)}, **earlier,
        **({} if operation == "delete" else {"after": values}),
        **({"application_id": rng.choice([8, 9])} if rng.random() < 0.4 else {}),
    }  # fmt: skip


async def test_preview_with_a_fault_points_at_it(api: Api) -> None:
    async def refused(setting: Json, *pointers: str, since: str | None = None) -> None:
        expect_problem(await api.admin.post(PATH, json={"setting": setting, "since": since}), 422, *pointers)

    await refused(wanted(event_type="X"), "/setting/event_type")
    await refused(wanted(entity="tX"), "/setting/entity")
    await refused(wanted(fields=["CustomerIds"], filter={"A": {}}), "/setting/fields/0", "/setting/filter/A")
    await refused(wanted(coalesce_s="a"), "/setting/coalesce_s")
    await refused(wanted(), "/since", since="yesterday")


async def test_preview_of_another_client_is_refused(api: Api) -> None:
    caller, _ = await api.key("manage", 1)

    expect_problem(await caller.post(PATH, json={"setting": wanted(2)}), 403)


async def test_preview_reads_few_large_changes_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await store_changes(api, *["x" * 200_000] * 30)
    pages: list[int] = []
    changes = api.node.store.changes.changes

    async def noted(query: ChangeQuery, page: Page) -> list[StoredChange]:
        found = await changes(query, page)
        pages.append(len(found))
        return found

    monkeypatch.setattr(api.node.store.changes, "changes", noted)

    assert (await preview(api))["changes"] == sum(pages) == 30
    assert max(pages) * 200_000 <= 1024 * 1024
