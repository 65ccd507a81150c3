"""Event settings: their checks, their sentences, and who may change them."""

from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import event_settings

PATH = "/v1/event-settings"
CUSTOMER, LOW = "CustomerChangedNotification", "SkuOnHandBreakPointNotification"
ADDRESS, STOCK = "tClientCustomerAddress", "tClientProductSkuOnHand"


def wanted(**fields: Any) -> Json:
    return {"client_id": 1, "event_type": CUSTOMER, "entity": ADDRESS, **fields}


async def create(api: Api, **fields: Any) -> Json:
    return expect(await api.admin.post(PATH, json=wanted(**fields)), 201)


async def map_entity(api: Api, *fields: str, client_id: Any = 1, entity: str = ADDRESS) -> None:
    table = {"entity": entity, "key": {"CustomerId": "id"}, "fields": {name: name.lower() for name in fields}}
    body = {"client_id": client_id, "tables": {"public.address": table}}
    await api.admin.put("/v1/change-sources/erp", json=body)


async def test_create_setting_with_defaults_is_on_for_every_change(api: Api) -> None:
    response = await api.admin.post(PATH, json=wanted())
    made = expect(response, 201)

    assert response.headers["location"] == f"{PATH}/{made['id']}"
    assert made == {
        "id": made["id"], "client_id": 1, "application_id": None, "event_type": CUSTOMER, "entity": ADDRESS,
        "enabled": True, "on_insert": True, "on_update": True, "on_delete": True, "fields": None, "filter": None,
        "coalesce_s": 0.0, "active_since": made["created_at"], "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "sentence": "When a customer's address is inserted, updated or deleted, tell client 1's endpoints with "
        f"{CUSTOMER} ({ADDRESS}).",
    }  # fmt: skip
    assert expect(await api.admin.get(f"{PATH}/{made['id']}"), 200) == made


async def test_create_setting_takes_effect_in_the_registry(api: Api) -> None:
    made = await create(api, fields=["City", "City", "Zip"], filter={"Country": "SE"}, coalesce_s=30)

    [active] = api.node.registry.active_settings(1, ADDRESS, 5)
    assert active.fields == frozenset({"City", "Zip"})
    assert made["fields"] == ["City", "Zip"]
    assert api.node.registry.tracked_since(1, ADDRESS) is not None

    expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"enabled": False}), 200)
    assert api.node.registry.active_settings(1, ADDRESS, 5) == ()
    assert api.node.registry.tracked_since(1, ADDRESS) is None


async def test_change_setting_keeps_what_is_left_out(api: Api) -> None:
    made = await create(api, fields=["City"], filter={"Country": "SE"}, coalesce_s=5)

    changed = expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"on_delete": False, "fields": None}), 200)

    assert (changed["fields"], changed["filter"], changed["coalesce_s"]) == (None, {"Country": "SE"}, 5)
    assert (changed["on_delete"], changed["active_since"]) == (False, made["active_since"])


async def test_enable_setting_sets_since_when_it_is_active(api: Api) -> None:
    made = await create(api, enabled=False)
    assert made["active_since"] is None
    assert made["sentence"].startswith("Off, so nothing is tracked.")

    on = expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"enabled": True}), 200)
    assert on["active_since"] == on["updated_at"]
    again = expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"enabled": True, "coalesce_s": 1}), 200)
    assert again["active_since"] == on["active_since"]


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({"event_type": "CustomerChanged"}, "/event_type", "did you mean CustomerChangedNotification?"),
        ({"event_type": "OrderConfirmedEvent"}, "/event_type", "there are CompanyChangedNotification, "),
        ({"entity": "tClientCustomerAdress"}, "/entity", "did you mean tClientCustomerAddress?"),
        ({"entity": "tClientProductSku"}, "/entity", "it is about tApplicationAccount, "),
        (
            {"event_type": "SkuChangedNotification", "entity": "tClientProductSkuOnhand"},
            "/entity",
            "did you mean tClientProductSkuOnHand?",
        ),
        ({"event_type": "SkuChangedNotification", "entity": "barcode"}, "/entity", "and other tables of a product"),
        ({"fields": []}, "/fields", "must not be empty"),
        ({"fields": ["A"] * 101}, "/fields", "must have at most 100 items"),
        ({"fields": ["City", "customerid"]}, "/fields/1", "did you mean CustomerId?"),
        ({"filter": {"Customer_Id": 5}}, "/filter/Customer_Id", "did you mean CustomerId?"),
        ({"filter": {"any": [{"before.CustomrId": 5}]}}, "/filter/any/0/before.CustomrId", "did you mean CustomerId?"),
        (
            {"filter": {"not": {"$.after.CustomrId.A": 1}}},
            "/filter/not/$.after.CustomrId.A",
            "did you mean CustomerId?",
        ),
        ({"filter": {"City": {"like": "a"}}}, "/filter/City/like", "is not a comparison"),
        ({"coalesce_s": 86_401}, "/coalesce_s", "must be at most 86400"),
        ({"coalesce_s": -1}, "/coalesce_s", "must be at least 0"),
        ({"on_insert": False, "on_update": False, "on_delete": False}, "/on_update", "at least one of"),
        ({"sentence": "x"}, "/sentence", "is not a known property"),
        ({"event_type": LOW, "entity": STOCK, "on_delete": True}, "/on_delete", "has no stock to compare"),
        ({"event_type": LOW, "entity": STOCK, "fields": ["OnHandValue"]}, "/fields", "leave them out"),
    ],
)
async def test_create_setting_with_a_fault_points_at_it(api: Api, fields: Json, pointer: str, message: str) -> None:
    problem = expect_problem(await api.admin.post(PATH, json=wanted(**fields)), 422, pointer)

    assert message in problem["errors"][0]["message"]
    assert expect(await api.admin.get(PATH), 200)["items"] == []


async def test_create_setting_with_several_faults_points_at_each(api: Api) -> None:
    body = wanted(event_type=LOW, entity=STOCK, on_delete=True, fields=["A"], filter={"PartNr": 1})

    expect_problem(await api.admin.post(PATH, json=body), 422, "/on_delete", "/fields", "/filter/PartNr")


async def test_create_break_point_setting_is_for_inserted_and_updated_rows(api: Api) -> None:
    made = await create(api, event_type=LOW, entity=STOCK)

    assert (made["on_insert"], made["on_update"], made["on_delete"]) == (True, True, False)
    expect_problem(await api.admin.patch(f"{PATH}/{made['id']}", json={"on_delete": True}), 422, "/on_delete")


async def test_create_setting_for_another_table_of_a_product_is_accepted(api: Api) -> None:
    made = await create(api, event_type="SkuChangedNotification", entity="tClientProductSkuBarcode")

    assert "a row of tClientProductSkuBarcode is inserted" in made["sentence"]


async def test_field_that_no_source_maps_is_accepted_unless_it_looks_misspelt(api: Api) -> None:
    made = await create(api, fields=["Nickname"], filter={"before.Mood": "good", "$.after.Mood": "bad"})

    expect_problem(await api.admin.patch(f"{PATH}/{made['id']}", json={"fields": ["CustomerIds"]}), 422, "/fields/0")


@pytest.mark.parametrize("client_id", [1, {"column": "client"}])
async def test_field_that_is_not_in_the_mapping_of_a_source_is_refused(api: Api, client_id: Any) -> None:
    await map_entity(api, "City", "Zip", client_id=client_id)

    body = wanted(fields=["City", "CustomerId", "Nickname"], filter={"before.City": "a", "Ciy": 1})
    problem = expect_problem(await api.admin.post(PATH, json=body), 422, "/fields/2", "/filter/Ciy")
    assert "no change source maps a column to it" in problem["errors"][0]["message"]
    assert "did you mean City?" in problem["errors"][1]["message"]

    expect(await api.admin.post(PATH, json=wanted(client_id=2 if client_id == 1 else 1, fields=["Zip"])), 201)


async def test_field_of_a_mapping_that_takes_every_column_is_accepted(api: Api) -> None:
    await map_entity(api)

    await create(api, fields=["Nickname"])


async def test_field_of_another_clients_source_is_not_known(api: Api) -> None:
    await map_entity(api, "City", client_id=2)

    await create(api, fields=["Ciy"])


async def test_create_second_setting_of_the_same_subject_names_the_first(api: Api) -> None:
    made = await create(api)

    problem = expect_problem(await api.admin.post(PATH, json=wanted(fields=["City"])), 409)
    assert made["id"] in problem["detail"]
    await create(api, application_id=7)
    await create(api, client_id=2)
    expect(await api.admin.delete(f"{PATH}/{made['id']}"), 204)
    await create(api)


async def test_create_setting_beyond_the_limit_of_a_client_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_settings, "PER_CLIENT_MAX", 1)
    await create(api)

    assert (
        "at most 1 event settings"
        in expect_problem(await api.admin.post(PATH, json=wanted(application_id=2)), 409)["detail"]
    )
    await create(api, client_id=2)


async def test_list_settings_filters_and_pages(api: Api) -> None:
    made = [
        await create(api),
        await create(api, entity="tClientCustomer"),
        await create(api, event_type="CompanyChangedNotification", entity="tClientCustomer"),
        await create(api, client_id=2),
    ]

    async def listed(**query: Any) -> list[int]:
        items = expect(await api.admin.get(PATH, params=query), 200)["items"]
        return [made.index(each) for each in items]

    assert await listed() == [3, 2, 1, 0]
    assert await listed(client_id=1) == [2, 1, 0]
    assert await listed(entity="tClientCustomer") == [2, 1]
    assert await listed(entity="tClientCustomer", event_type=CUSTOMER) == [1]
    first = expect(await api.admin.get(PATH, params={"limit": 3}), 200)
    assert await listed(cursor=first["next_cursor"]) == [0]


async def test_audit_log_has_a_setting_before_and_after(api: Api) -> None:
    made = await create(api, fields=["City"])
    expect(await api.admin.patch(f"{PATH}/{made['id']}", json={"fields": ["Zip"]}), 200)
    expect(await api.admin.delete(f"{PATH}/{made['id']}"), 204)

    entries = expect(await api.admin.get("/v1/audit", params={"target": made["id"]}), 200)["items"]
    assert [each["action"] for each in entries] == ["deleteEventSetting", "changeEventSetting", "createEventSetting"]
    assert {"field": "fields", "before": None, "after": ["City"]} in entries[2]["changes"]
    assert entries[1]["changes"] == [{"field": "fields", "before": ["City"], "after": ["Zip"]}]
    assert entries[1]["name"] == f"{made['event_type']} of {made['entity']}"
    assert {"field": "fields", "before": ["Zip"], "after": None} in entries[0]["changes"]


async def test_setting_of_another_client_is_not_found(api: Api) -> None:
    made = await create(api, client_id=2)
    caller, _ = await api.key("manage", 1)

    expect_problem(await caller.post(PATH, json=wanted(client_id=2)), 403)
    expect_problem(await caller.get(PATH, params={"client_id": 2}), 403)
    for method in ("GET", "PATCH", "DELETE"):
        body: Json | None = {} if method == "PATCH" else None
        expect_problem(await caller.request(method, f"{PATH}/{made['id']}", json=body), 404)
    assert expect(await caller.get(PATH), 200)["items"] == []


async def test_setting_after_deletion_is_not_found(api: Api) -> None:
    made = await create(api)
    expect(await api.admin.delete(f"{PATH}/{made['id']}"), 204)

    for method in ("GET", "PATCH", "DELETE"):
        body: Json | None = {} if method == "PATCH" else None
        expect_problem(await api.admin.request(method, f"{PATH}/{made['id']}", json=body), 404)
