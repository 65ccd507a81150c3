"""Change sources: their checks, who may see them, and what their readers report."""

from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import change_sources, metrics

PATH = "/v1/change-sources"
TABLE: Json = {
    "entity": "tClientCustomer",
    "key": {"CustomerId": "id"},
    "fields": {"FirstName": "first_name"},
    "application_id": None,
}


def wanted(client_id: Any = 1, **tables: Json) -> Json:
    return {"client_id": client_id, "tables": tables or {"public.customer": TABLE}}


async def put(api: Api, name: str = "erp", body: Json | None = None, status: int = 201) -> Json:
    return expect(await api.admin.put(f"{PATH}/{name}", json=body or wanted()), status)


async def test_put_source_creates_it_and_then_replaces_it(api: Api) -> None:
    made = await put(api)
    assert made == {
        "name": "erp", "client_id": 1, "tables": {"public.customer": TABLE}, "position": None, "state": None,
        "created_at": made["created_at"], "updated_at": made["created_at"],
    }  # fmt: skip
    table = {**TABLE, "application_id": {"column": "shop"}}

    changed = await put(api, body=wanted({"column": "client"}, **{"public.customer": table}), status=200)

    assert (changed["client_id"], changed["tables"]) == ({"column": "client"}, {"public.customer": table})
    assert changed["created_at"] == made["created_at"]
    assert expect(await api.admin.get(f"{PATH}/erp"), 200) == changed
    source = api.node.registry.source("erp")
    assert source is not None
    assert (source.client_id, source.client_column) == (None, "client")
    assert source.tables["public.customer"].application_id == {"column": "shop"}


async def test_create_source_of_a_taken_name_is_refused(api: Api) -> None:
    body = {"name": "erp", **wanted()}
    response = await api.admin.post(PATH, json=body)
    assert expect(response, 201)["name"] == "erp"
    assert response.headers["location"] == f"{PATH}/erp"

    assert "taken" in expect_problem(await api.admin.post(PATH, json=body), 409)["detail"]


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"client_id": "1", "tables": {"t": TABLE}}, "/client_id", "must be"),
        ({"client_id": {}, "tables": {"t": TABLE}}, "/client_id/column", "is required"),
        ({"client_id": 1, "tables": {}}, "/tables", "must not be empty"),
        (wanted(**{str(number): TABLE for number in range(201)}), "/tables", "at most 200"),
        (wanted(t={**TABLE, "entity": "tClientCustomr"}), "/tables/t/entity", "did you mean tClientCustomer?"),
        (wanted(t={**TABLE, "entity": "customer"}), "/tables/t/entity", "one of the contract's tables"),
        (wanted(t={**TABLE, "key": {"Id": "id"}}), "/tables/t/key", "needs CompanyId, or CustomerId"),
        (
            wanted(t={**TABLE, "entity": "tSupplierProductSku", "key": {"PartNo": "id"}}),
            "/tables/t/key", "needs SupplierId and PartNo",
        ),
        (wanted(t={**TABLE, "key": {}}), "/tables/t/key", "must not be empty"),
        (wanted(t={**TABLE, "fields": {str(number): "c" for number in range(201)}}), "/tables/t/fields", "at most 200"),
        (wanted(t={**TABLE, "fields": {"": "c"}}), "/tables/t/fields/", "1 to 100 characters"),
        (wanted(t={**TABLE, "fields": {"A": ""}}), "/tables/t/fields/A", "must not be empty"),
        (wanted(t={**TABLE, "application_id": "a"}), "/tables/t/application_id", "must be"),
        (wanted(**{"": TABLE}), "/tables/", "name the table"),
    ],
)  # fmt: skip
async def test_put_source_with_a_fault_points_at_it(api: Api, body: Json, pointer: str, message: str) -> None:
    problem = expect_problem(await api.admin.put(f"{PATH}/erp", json=body), 422, pointer)

    assert message in problem["errors"][0]["message"]
    expect_problem(await api.admin.get(f"{PATH}/erp"), 404)


@pytest.mark.parametrize("name", ["-erp", "e rp", "e" * 61, "ö"])
async def test_put_source_with_an_unusable_name_is_refused(api: Api, name: str) -> None:
    expect_problem(await api.admin.put(f"{PATH}/{name}", json=wanted()), 422, "")


async def test_put_source_with_more_than_the_key_needs_identifies_rows_by_all_of_it(api: Api) -> None:
    made = await put(api, body=wanted(t={**TABLE, "key": {"CustomerId": "customer", "AddressId": "id"}}))

    assert made["tables"]["t"]["key"] == {"CustomerId": "customer", "AddressId": "id"}


async def test_put_source_beyond_the_limit_of_a_client_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_sources, "SOURCES_MAX", 1)
    await put(api)

    expect_problem(await api.admin.put(f"{PATH}/other", json=wanted()), 409)
    await put(api, "second", wanted(2))


async def test_source_of_another_client_is_not_found(api: Api) -> None:
    await put(api, "foreign", wanted(2))
    await put(api, "shared", wanted({"column": "client"}))
    manager, _ = await api.key("manage", 1)
    publisher, _ = await api.key("publish", 1)
    position = {"position": "1"}

    for name in ("foreign", "shared", "unknown"):
        path = f"{PATH}/{name}"
        answers = [
            await manager.get(path),
            await manager.delete(path),
            await publisher.put(f"{path}/status", json={"state": "running"}),
            await manager.put(f"{path}/position", json=position),
            await manager.delete(f"{path}/position"),
        ]
        for answer in answers:
            assert expect_problem(answer, 404)["detail"] == "There is no such change source."
    for name in ("foreign", "shared"):
        expect_problem(await manager.put(f"{PATH}/{name}", json=wanted(1)), 409)
    assert expect(await manager.get(PATH), 200)["items"] == []


async def test_source_needs_a_key_that_may_read_all_its_clients(api: Api) -> None:
    manager, _ = await api.key("manage", 1, 2)
    expect(await manager.put(f"{PATH}/erp", json=wanted(1)), 201)
    expect_problem(await manager.put(f"{PATH}/erp", json=wanted(3)), 403)
    expect_problem(await manager.put(f"{PATH}/erp", json=wanted({"column": "client"})), 403)
    expect_problem(await manager.post(PATH, json={"name": "all", **wanted({"column": "client"})}), 403)

    assert expect(await api.admin.get(f"{PATH}/erp"), 200)["client_id"] == 1


async def test_publisher_reads_its_source_and_reports_its_status(api: Api) -> None:
    await put(api)
    publisher, _ = await api.key("publish", 1)
    status = {"state": "failing", "message": "no route", "lag_bytes": 2048, "lag_ms": 1500, "retained_bytes": 4096}
    expect(await publisher.put(f"{PATH}/erp/status", json={**status, "reported_by": "db-1"}), 204)

    found = expect(await publisher.get(f"{PATH}/erp"), 200)["state"]
    assert found == {**status, "reported_by": "db-1", "reported_at": found["reported_at"]}
    [listed] = expect(await api.admin.get(PATH), 200)["items"]
    assert (listed["state"], listed["table_count"], listed["entities"]) == (found, 1, ["tClientCustomer"])
    text = (await api.admin.get("/metrics")).text
    assert 'commerce_event_source_lag_bytes{source="erp"} 2048.0\n' in text
    assert 'commerce_event_source_lag_seconds{source="erp"} 1.5\n' in text
    assert 'commerce_event_source_up{source="erp"} 0.0\n' in text

    expect(await publisher.put(f"{PATH}/erp/status", json={"state": "running"}), 204)
    text = (await api.admin.get("/metrics")).text
    assert 'commerce_event_source_up{source="erp"} 1.0\n' in text
    assert "commerce_event_source_lag_bytes{" not in text
    expect(await api.admin.delete(f"{PATH}/erp"), 204)
    assert 'source="erp"' not in (await api.admin.get("/metrics")).text


async def test_metrics_have_the_sources_that_reported_last(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_SOURCES_MAX", 2)
    for name in ("a", "b", "c"):
        await put(api, name)
    for name in ("a", "b", "a", "c"):
        expect(await api.admin.put(f"{PATH}/{name}/status", json={"state": "running"}), 204)

    text = (await api.admin.get("/metrics")).text
    assert [name for name in "abc" if f'commerce_event_source_up{{source="{name}"}}' in text] == ["a", "c"]


async def test_report_with_an_unknown_state_is_refused(api: Api) -> None:
    await put(api)

    expect_problem(await api.admin.put(f"{PATH}/erp/status", json={"state": "fine"}), 422, "/state")
    expect_problem(await api.admin.put(f"{PATH}/erp/status", json={"state": "running", "lag_ms": -1}), 422, "/lag_ms")


async def test_position_is_set_and_forgotten_by_a_person(api: Api) -> None:
    await put(api)
    assert expect(await api.admin.put(f"{PATH}/erp/position", json={"position": "0/1A"}), 200)["position"] == "0/1A"
    await put(api, body=wanted(), status=200)
    assert expect(await api.admin.get(f"{PATH}/erp"), 200)["position"] == "0/1A"

    expect(await api.admin.delete(f"{PATH}/erp/position"), 204)
    assert expect(await api.admin.get(f"{PATH}/erp"), 200)["position"] is None
    entries = expect(await api.admin.get("/v1/audit", params={"target": "erp"}), 200)["items"]
    assert [entry["changes"] for entry in entries if "Position" in entry["action"]] == [
        [{"field": "position", "before": "0/1A", "after": None}],
        [{"field": "position", "before": None, "after": "0/1A"}],
    ]


async def test_source_created_after_deletion_has_no_position(api: Api) -> None:
    await put(api)
    expect(await api.admin.put(f"{PATH}/erp/position", json={"position": "0/1A"}), 200)
    expect(await api.admin.delete(f"{PATH}/erp"), 204)

    assert (await put(api))["position"] is None


async def test_audit_log_has_each_place_of_a_source_that_differs(api: Api) -> None:
    await put(api)
    await put(api, body=wanted(**{"public.customer": {**TABLE, "fields": {"City": "city"}}}), status=200)
    expect(await api.admin.delete(f"{PATH}/erp"), 204)

    entries = expect(await api.admin.get("/v1/audit", params={"target": "erp"}), 200)["items"]
    assert [each["action"] for each in entries] == ["deleteChangeSource", "putChangeSource", "putChangeSource"]
    assert entries[1]["changes"] == [
        {"field": "public.customer fields.FirstName", "before": "first_name", "after": None},
        {"field": "public.customer fields.City", "before": None, "after": "city"},
    ]
    assert entries[2]["changes"][:2] == [
        {"field": "client", "before": None, "after": 1},
        {"field": "public.customer entity", "before": None, "after": "tClientCustomer"},
    ]


async def test_list_sources_pages_by_the_last_change(api: Api) -> None:
    for name in ("a", "b", "c"):
        await put(api, name)
    await put(api, "a", status=200)

    first = expect(await api.admin.get(PATH, params={"limit": 2}), 200)
    rest = expect(await api.admin.get(PATH, params={"cursor": first["next_cursor"]}), 200)
    assert [each["name"] for each in first["items"] + rest["items"]] == ["a", "c", "b"]
    assert rest["next_cursor"] is None


async def test_position_that_cannot_be_stored_everywhere_is_refused(api: Api) -> None:
    expect(await api.admin.put(f"{PATH}/erp", json={"client_id": 1, "tables": {"public.customer": TABLE}}), 201)

    expect_problem(await api.admin.put(f"{PATH}/erp/position", json={"position": "1\0"}), 422, "/position")
