"""Own event types: created, published, routed, shown and deleted like those of the contract."""

import copy
import json
from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem
from openapi_spec_validator import OpenAPIV31SpecValidator

from commerce_event.api import catalogue

PATH = "/v1/event-types"
NAME = "ExportDelivered"
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "ExportId": {"type": "integer", "minimum": 1, "description": "Number of the export."},
        "PartNo": {"type": "string"},
        "Lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "Note": {"type": ["string", "null"], "enum": ["a", "b", None]},
    },
    "required": ["ExportId"],
    "$defs": {"Line": {"type": "object", "properties": {"Qty": {"type": "number"}}, "required": ["Qty"]}},
}
EXAMPLE: Json = {"ClientId": 1, "ExportId": 7, "PartNo": "A-1", "Lines": [{"Qty": 1.5}]}
WANTED: Json = {
    "name": NAME, "category": "Export", "kind": "event", "description": "An export was delivered.", "schema": SCHEMA,
    "example": EXAMPLE,
}  # fmt: skip


async def create(api: Api, **changes: Any) -> Json:
    return expect(await api.admin.post(PATH, json={**WANTED, **changes}), 201)


async def publish(api: Api, status: int = 202, **changes: Any) -> Json:
    body = {name: value for name, value in {**EXAMPLE, **changes}.items() if value != "absent"}
    return expect(await api.admin.post(f"/v1/events/{NAME}", json=body), status)


async def test_create_event_type_appears_in_the_catalogue(api: Api) -> None:
    made = await create(api)
    assert (made["name"], made["category"], made["own"], made["example"]) == (NAME, "Export", True, EXAMPLE)
    assert made["schema"]["properties"].keys() == {"ClientId", "ApplicationId", *SCHEMA["properties"]}
    assert set(made["schema"]["required"]) == {"ExportId", "ClientId"}
    assert expect(await api.admin.get(f"{PATH}/{NAME}"), 200) == made
    listed = expect(await api.admin.get(PATH), 200)["items"]
    assert (listed[-1], listed[0]["own"], len(listed)) == (made, False, 20)


async def test_publish_own_type_is_checked_routed_and_delivered(api: Api) -> None:
    await create(api)
    await api.endpoint(event_types=["Order"])
    for types in (["*"], ["Export"], [NAME]):
        await api.endpoint(event_types=types)

    accepted = await publish(api)

    assert accepted["deliveries"] == 3
    arrivals = await api.until_arrived(3)
    assert {each.headers["commerce-event-type"] for each in arrivals} == {NAME}
    assert json.loads(arrivals[0].body) == EXAMPLE
    [event] = expect(await api.admin.get("/v1/events", params={"type": "Export"}), 200)["items"]
    assert (event["type"], event["data"]) == (NAME, EXAMPLE)
    explained = expect(await api.admin.get(f"/v1/events/{accepted['id']}/explain"), 200)["endpoints"]
    assert sorted(each["matched"] for each in explained) == [False, True, True, True]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"ExportId": 0}, ["/ExportId"]),
        ({"ExportId": "absent"}, ["/ExportId"]),
        ({"Lines": [{"Qty": 1}, {}, {"Qty": "x"}]}, ["/Lines/1/Qty", "/Lines/2/Qty"]),
        ({"ClientId": "absent"}, ["/ClientId"]),
        ({"ClientId": "1"}, ["/ClientId"]),
        ({"ApplicationId": 2**31}, ["/ApplicationId"]),
        ({"PartNo": "a\0"}, ["/PartNo"]),
        ({"exportid": 3}, ["/exportid"]),
        ({"Extra": 10**30}, ["/Extra"]),
    ],
)
async def test_publish_own_type_that_does_not_fit_is_422_with_pointers(
    api: Api, changes: Json, pointers: list[str]
) -> None:
    await create(api)
    problem = await publish(api, 422, **changes)
    assert [each["pointer"] for each in problem["errors"]] == pointers


async def test_publish_own_type_with_mode_warn_is_accepted_with_warnings(api: Api) -> None:
    await create(api)
    wanted = {"client_id": 1, "event_type": "Export", "mode": "warn"}
    expect(await api.admin.put("/v1/validation", json=wanted), 200)
    warned = await publish(api, ExportId=0)
    assert warned["warnings"] == [{"pointer": "/ExportId", "message": "must be at least 1"}]


async def test_publish_own_type_with_very_many_values_is_422(api: Api) -> None:
    await create(api)
    problem = await publish(api, 422, Extra=[1] * 5_001)
    assert "5,000 values" in problem["errors"][0]["message"]
    await publish(api, Extra="," * 5_001)  # a text is one value


async def test_publish_large_event_that_does_not_fit_names_the_property(api: Api) -> None:
    await create(api)
    problem = await publish(api, 422, Lines=[{}] * 2_000, Extra="x" * 20_000)
    assert problem["errors"] == [{"pointer": "/Lines", "message": "does not fit the schema"}]


async def test_publish_batch_of_an_own_type_answers_each_item(api: Api) -> None:
    await create(api)
    items = [{"type": NAME, "data": EXAMPLE}, {"type": NAME, "data": {}}, {"type": "Nope", "data": EXAMPLE}]
    answer = expect(await api.admin.post("/v1/events", json=items), 200)["items"]
    assert [each["status"] for each in answer] == [202, 422, 404]


async def test_own_type_can_be_filtered_tested_ordered_and_replayed(api: Api) -> None:
    await create(api)
    endpoint = await api.endpoint(event_types=[NAME], filter={"PartNo": "A-1", "ExportId": 7}, ordering="key")
    tested = expect(await api.admin.post(f"/v1/endpoints/{endpoint['id']}/test"), 200)
    assert json.loads(tested["request_body"]) == EXAMPLE
    assert (await publish(api))["deliveries"] == 1
    assert (await publish(api, PartNo="B"))["deliveries"] == 0
    wanted = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z", "types": ["Export"], "only": "all"}
    counted = expect(await api.admin.post("/v1/replays/count", json=wanted), 200)
    assert counted["deliveries"] == 1
    wrong = {"client_id": 1, "url": "https://a.example/", "event_types": [NAME], "filter": {"ExportId": "x"}}
    expect_problem(await api.admin.post("/v1/endpoints", json=wrong), 422, "/filter/ExportId")


async def test_own_type_is_in_the_openapi_document_and_on_the_reference_page(api: Api) -> None:
    before = (await api.admin.get("/openapi.json")).json()
    await create(api)
    document = (await api.admin.get("/openapi.json")).json()
    assert NAME not in before["webhooks"]
    assert document["webhooks"][NAME]["post"]["tags"] == ["Export"]
    schema = document["components"]["schemas"][NAME]
    assert schema["properties"]["Lines"]["items"]["$ref"] == f"#/components/schemas/{NAME}/$defs/Line"
    assert "Export" in {tag["name"] for tag in document["tags"]}
    operation = document["paths"]["/v1/events/{id}"]["post"]
    assert NAME in operation["parameters"][0]["schema"]["enum"]
    assert "get" in document["paths"]["/v1/events/{id}"]
    OpenAPIV31SpecValidator(document).validate()
    assert NAME in (await api.admin.get("/openapi.yaml")).text
    page = await api.admin.get("/reference")
    assert page.status_code == 200
    assert f'id="{NAME}"' in page.text
    assert "It has no business key" not in page.text
    keyless = {"schema": {"type": "object"}, "example": {"ClientId": 1}}
    expect(await api.admin.put(f"{PATH}/{NAME}", json=keyless), 200)
    assert (await api.admin.get("/reference")).text.count("It has no business key") == 1
    assert (await api.admin.delete(f"{PATH}/{NAME}")).status_code == 204
    assert (await api.admin.get("/openapi.json")).json() == before


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "export"}, "/name"),
        ({"name": "Export Delivered"}, "/name"),
        ({"category": "*"}, "/category"),
        ({"kind": "thing"}, "/kind"),
        ({"schema": {"type": "array"}}, "/schema/type"),
        ({"schema": {"$ref": "https://a.example/"}}, "/schema/$ref"),
        ({"schema": {"properties": {"A": {"pattern": r"(a+)+\1"}}}}, "/schema/properties/A/pattern"),
        ({"schema": {"properties": {"A": {"type": "text"}}}}, "/schema/properties/A/type"),
        ({"schema": {"description": "x" * 40_000}}, "/schema"),
        ({"schema": {"$defs": {"A": {"$ref": "#/$defs/A"}}}}, "/schema/$defs/A/$ref"),
        ({"example": {**EXAMPLE, "ExportId": 0}}, "/example/ExportId"),
        ({"example": {"ExportId": 1}}, "/example/ClientId"),
        ({"example": {**EXAMPLE, "ClientId": 2**31}}, "/example/ClientId"),
        ({"example": {**EXAMPLE, "Extra": "x" * 40_000}}, "/example"),
        ({"description": "a\0"}, "/description"),
    ],
)
async def test_create_event_type_invalid_field_is_422_with_its_pointer(api: Api, changes: Json, pointer: str) -> None:
    expect_problem(await api.admin.post(PATH, json={**WANTED, **changes}), 422, pointer)
    assert len(expect(await api.admin.get(PATH), 200)["items"]) == 19


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "OrderConfirmedEvent"},
        {"name": "ORDERConfirmedEvent"},
        {"name": "Order"},
        {"name": "EventView"},
        {"category": "OrderConfirmedEvent"},
        {"category": "ORDER"},
        {"category": "Keys"},
        {"category": NAME},
    ],
)
async def test_create_event_type_name_that_is_taken_is_409(api: Api, changes: Json) -> None:
    expect_problem(await api.admin.post(PATH, json={**WANTED, **changes}), 409)


async def test_create_event_type_twice_or_beyond_the_limit_is_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await create(api)
    expect_problem(await api.admin.post(PATH, json=WANTED), 409)
    monkeypatch.setattr(catalogue, "TYPES_MAX", 1)
    expect_problem(await api.admin.post(PATH, json={**WANTED, "name": "Another"}), 409)


async def test_change_event_type_replaces_schema_and_example(api: Api) -> None:
    await create(api)
    await publish(api)
    schema = copy.deepcopy(SCHEMA)
    schema["properties"]["ExportId"]["minimum"] = 100
    change = {"schema": schema, "example": {**EXAMPLE, "ExportId": 100}, "description": "Changed."}
    changed = expect(await api.admin.put(f"{PATH}/{NAME}", json=change), 200)
    assert (changed["category"], changed["description"]) == ("Export", "Changed.")
    await publish(api, 422)
    await publish(api, ExportId=100)
    expect_problem(await api.admin.put(f"{PATH}/{NAME}", json={**change, "example": EXAMPLE}), 422, "/example/ExportId")
    expect_problem(await api.admin.put(f"{PATH}/{NAME}", json={**change, "name": "Other"}), 422, "/name")


async def test_change_and_delete_event_type_of_the_contract_are_409_and_unknown_404(api: Api) -> None:
    change = {"schema": {}, "example": EXAMPLE}
    expect_problem(await api.admin.put(f"{PATH}/OrderConfirmedEvent", json=change), 409)
    expect_problem(await api.admin.delete(f"{PATH}/OrderConfirmedEvent"), 409)
    expect_problem(await api.admin.put(f"{PATH}/{NAME}", json=change), 404)
    expect_problem(await api.admin.delete(f"{PATH}/{NAME}"), 404)


@pytest.mark.parametrize("types", [[NAME], ["Export"]])
async def test_delete_event_type_that_an_endpoint_names_is_409(api: Api, types: list[str]) -> None:
    await create(api)
    endpoint = await api.endpoint(event_types=["Order", *types])
    assert types[0] in expect_problem(await api.admin.delete(f"{PATH}/{NAME}"), 409)["detail"]
    expect(await api.admin.delete(f"/v1/endpoints/{endpoint['id']}"), 204)
    expect(await api.admin.delete(f"{PATH}/{NAME}"), 204)
    expect_problem(await api.admin.post(f"/v1/events/{NAME}", json=EXAMPLE), 404)


async def test_delete_event_type_with_events_is_409(api: Api) -> None:
    await create(api)
    await publish(api)
    assert "events" in expect_problem(await api.admin.delete(f"{PATH}/{NAME}"), 409)["detail"]


async def test_events_of_a_type_that_is_gone_can_still_be_read(api: Api) -> None:
    await create(api)
    await api.endpoint(event_types=["*"], ordering="key")
    accepted = await publish(api)
    api.node.registry._set_own_types({})  # as if another node had deleted it while the event was on its way
    path = f"/v1/events/{accepted['id']}"
    assert expect(await api.admin.get(path), 200)["type"] == NAME
    expect(await api.admin.get(f"{path}/explain"), 200)


async def test_own_types_survive_a_restart_and_are_in_the_audit_log(api: Api) -> None:
    await create(api)
    await api.node.registry.load()
    await publish(api)
    [entry] = expect(await api.admin.get("/v1/audit", params={"target": NAME}), 200)["items"]
    assert (entry["action"], entry["client_id"]) == ("createEventType", None)


async def test_publish_own_type_with_long_names_has_short_pointers(api: Api) -> None:
    """Twenty pointers of sixteen long names each would be forty times as long as the event."""
    schema: Json = {"items": {"type": "integer"}}
    value: Any = ["x"] * 20
    for _ in range(12):
        schema, value = {"additionalProperties": schema}, {"~" * 100: value}
    await create(api, schema={"properties": {"Deep": schema}}, example={"ClientId": 1})
    problem = await publish(api, 422, Deep=value)
    assert {len(each["pointer"]) for each in problem["errors"]} == {500}
