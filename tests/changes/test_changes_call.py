"""`POST /v1/changes` against a running node: what is raised, delivered, merged, and explained."""

import asyncio
import json
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.changes.evaluation import ChangeAnswer
from commerce_event.core.changes.model import Change, EventSetting
from commerce_event.store.model import ChangeBatch

DEADLINE_S = 60.0
CUSTOMER: Json = {
    "client_id": 1,
    "entity": "tClientCustomer",
    "operation": "update",
    "key": {"CustomerId": 12},
    "before": {"FirstName": "Ann", "City": "Lund"},
    "after": {"FirstName": "Eve", "City": "Lund"},
}
SETTING: Json = {"client_id": 1, "event_type": "CustomerChangedNotification", "entity": "tClientCustomer"}
STOCK: Json = {
    "client_id": 1,
    "entity": "tClientProductSkuOnHand",
    "operation": "update",
    "key": {"PartNo": "A-1", "WarehouseId": 1, "LocationId": 2},
}
LINES = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


async def setting(api: Api, **fields: Any) -> Json:
    return expect(await api.admin.post("/v1/event-settings", json={**SETTING, **fields}), 201)


async def send(api: Api, **fields: Any) -> Json:
    return expect(await api.admin.post("/v1/changes", json={**CUSTOMER, **fields}), 202)


async def explain(api: Api, change_id: str) -> Json:
    return expect(await api.admin.get(f"/v1/changes/{change_id}/explain"), 200)


async def events(api: Api) -> list[Json]:
    found: list[Json] = expect(await api.admin.get("/v1/events", params={"limit": 200}), 200)["items"]
    return found


async def until_event_count(api: Api, count: int) -> list[Json]:
    async with asyncio.timeout(DEADLINE_S):
        while len(found := await events(api)) < count:
            await asyncio.sleep(0.01)
    return found


async def test_change_is_delivered_as_a_notification(api: Api) -> None:
    await setting(api)
    await api.endpoint(event_types=["Customer"])

    answer = await send(api)
    [event_id] = answer["events"]
    assert (answer["duplicate"], answer["previous"]) == (False, "before")
    [arrival] = await api.until_arrived(1)
    assert json.loads(arrival.body) == {"ClientId": 1, "CustomerId": 12, "EntityChanged": "tClientCustomer"}
    assert arrival.headers["webhook-id"] == event_id
    event = expect(await api.admin.get(f"/v1/events/{event_id}"), 200)
    assert event["raised_by"]["change_id"] == answer["id"]
    assert event["raised_by"]["merged"] == 1


async def test_change_of_a_client_without_a_setting_raises_nothing_and_says_so(api: Api) -> None:
    await setting(api, client_id=2)

    answer = await send(api)
    assert answer["events"] == []
    explained = await explain(api, answer["id"])
    assert explained["verdict"] == "It raised nothing: client 1 has no setting for tClientCustomer."
    assert "CustomerChangedNotification" in explained["without_setting"]


async def test_repeated_change_is_a_duplicate_with_the_events_of_the_first(api: Api) -> None:
    await setting(api)
    first = await send(api, id="crm-1")

    again = expect(await api.admin.post("/v1/changes", json={**CUSTOMER, "id": "crm-1"}), 200)
    assert again == {"id": first["id"], "duplicate": True, "events": first["events"]}
    other = await api.admin.post("/v1/changes", json={**CUSTOMER, "id": "crm-1", "operation": "insert"})
    assert first["id"] in expect_problem(other, 409)["detail"]
    assert len(await events(api)) == 1


async def test_many_changes_get_a_result_each_and_faults_do_not_stop_the_others(api: Api) -> None:
    await setting(api)
    lines = [
        json.dumps({**CUSTOMER, "id": "1"}),
        "{",
        json.dumps({**CUSTOMER, "id": "1"}),
        json.dumps({**CUSTOMER, "entity": "tClientCustomr"}),
        json.dumps({**CUSTOMER, "after": CUSTOMER["before"]}),
    ]

    answer = expect(await api.admin.post("/v1/changes", content="\n".join(lines), headers=LINES), 200)
    assert [item["status"] for item in answer["items"]] == [202, 400, 200, 422, 202]
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (2, 1, 2)
    assert answer["items"][3]["errors"][0]["pointer"] == "/entity"
    assert len(await events(api)) == 1
    array = expect(await api.admin.post("/v1/changes", json=[CUSTOMER]), 200)
    assert array["accepted"] == 1


async def test_refused_changes_are_counted_alone_and_among_others(api: Api) -> None:
    first, other = {**CUSTOMER, "id": "1"}, {**CUSTOMER, "id": "1", "operation": "insert"}
    wrong = {**CUSTOMER, "entity": "tClientCustomr"}

    for body in (first, other, wrong, [first, other, wrong]):
        await api.admin.post("/v1/changes", json=body)
    metrics = (await api.admin.get("/metrics")).text.splitlines()
    counts = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in metrics if "_changes_total" in line}
    refused = {name.split('"')[1]: count for name, count in counts.items() if "refused" in name}
    assert refused == {"conflict": 2, "the-change-is-invalid": 2}
    assert counts["commerce_event_accepted_changes_total"] == 1
    assert counts["commerce_event_duplicate_changes_total"] == 1


async def test_change_without_before_values_is_compared_with_the_last_known_row(api: Api) -> None:
    await setting(api, fields=["FirstName"])

    answers = [await send(api, before=None, after={"FirstName": name}) for name in ("Ann", "Ann", "Eve")]
    assert [answer["previous"] for answer in answers] == ["none", "last known", "last known"]
    assert [len(answer["events"]) for answer in answers] == [1, 0, 1]
    change = expect(await api.admin.get(f"/v1/changes/{answers[2]['id']}"), 200)
    assert change["known"] == {"FirstName": "Ann"}


async def test_explanation_shows_each_rule_with_the_value_found(api: Api) -> None:
    made = await setting(api, fields=["City"], filter={"after.City": "Malmö"})
    answer = await send(api, after={"FirstName": "Ann", "City": "Ystad"})

    explained = await explain(api, answer["id"])
    [decision] = explained["settings"]
    rules = {rule["name"]: rule for rule in decision["rules"]}
    assert (decision["setting_id"], decision["fired"]) == (made["id"], False)
    assert decision["verdict"] == "the filter does not match"
    assert (rules["fields"]["passed"], rules["fields"]["found"]) == (True, ["City"])
    assert rules["filter"]["found"][0]["found"] == "Ystad"


async def test_explanation_of_an_operation_that_does_not_count_names_it(api: Api) -> None:
    await setting(api, on_delete=False)
    deleted = await send(api, operation="delete", after=None)

    [decision] = (await explain(api, deleted["id"]))["settings"]
    assert decision["verdict"] == "it is a delete; the setting asks for insert or update"


async def test_explanation_uses_the_settings_of_the_time_of_the_change(api: Api) -> None:
    made = await setting(api)
    answer = await send(api)
    path = f"/v1/event-settings/{made['id']}"
    expect(await api.admin.delete(path), 204)

    [decision] = (await explain(api, answer["id"]))["settings"]
    assert decision["fired"] is True
    assert decision["notifications"][0]["event_id"] == answer["events"][0]
    assert (await send(api))["events"] == []


async def test_setting_that_this_version_does_not_know_raises_nothing_and_is_not_explained(api: Api) -> None:
    newer = EventSetting(id=1, client_id=1, event_type="CustomerMovedNotification", entity="tClientCustomer")
    await api.node.registry.change_settings.add_setting(newer, limit=9)
    await setting(api)

    answer = await send(api)
    [explained] = (await explain(api, answer["id"]))["settings"]
    assert explained["event_type"] == "CustomerChangedNotification"
    assert len(answer["events"]) == 1


async def test_setting_that_was_off_has_tracked_nothing(api: Api) -> None:
    made = await setting(api, fields=["FirstName"])
    await send(api, before=None, after={"FirstName": "Ann"})
    path = f"/v1/event-settings/{made['id']}"
    expect(await api.admin.patch(path, json={"enabled": False}), 200)
    assert (await send(api, before=None, after={"FirstName": "Eve"}))["events"] == []
    expect(await api.admin.patch(path, json={"enabled": True}), 200)

    answer = await send(api, before=None, after={"FirstName": "Ann"})
    assert (answer["previous"], len(answer["events"])) == ("none", 1)


async def test_stock_that_stays_low_raises_one_notification(api: Api) -> None:
    await setting(api, event_type="SkuOnHandBreakPointNotification", entity="tClientProductSkuOnHand", on_delete=False)
    told = []
    for on_hand in (12, 10, 3, 11, 9):
        after = {"OnHandValue": on_hand, "MinimumValue": 10}
        told.append(len((await send(api, **STOCK, before=None, after=after))["events"]))

    assert told == [0, 1, 0, 0, 1]


async def test_changes_within_the_window_become_one_notification_with_the_newest_values(api: Api) -> None:
    await setting(api, event_type="SkuPriceChangedNotification", entity="tClientProductSkuPriceList", coalesce_s=0.3)
    await api.endpoint()
    price = {**STOCK, "entity": "tClientProductSkuPriceList", "key": {"PartNo": "A-1", "PricelistId": 20}}
    answers = [
        await send(api, **price, before=None, after={"PriceSaleValue": value}) for value in (10, 11, "11.00", 12.5)
    ]

    assert [(answer["events"], answer.get("waiting", 0)) for answer in answers] == [([], 1), ([], 1), ([], 0), ([], 1)]
    waiting = (await explain(api, answers[0]["id"]))["settings"][0]["notifications"][0]
    assert waiting["merged"] == 3 or waiting["event_id"] is not None
    [arrival] = await api.until_arrived(1)
    assert json.loads(arrival.body)["PriceSaleValue"] == 12.5
    [event] = await events(api)
    raised = expect(await api.admin.get(f"/v1/events/{event['id']}"), 200)["raised_by"]
    assert (raised["merged"], raised["first_change_id"], raised["change_id"]) == (3, answers[0]["id"], answers[3]["id"])
    for merged in (answers[0], answers[1], answers[3]):
        [shown] = (await explain(api, merged["id"]))["settings"][0]["notifications"]
        assert (shown["event_id"], shown["merged"]) == (event["id"], 3)


async def test_notification_no_longer_waits_when_its_setting_merges_no_more(api: Api) -> None:
    price = {**STOCK, "entity": "tClientProductSkuPriceList", "key": {"PartNo": "A-1", "PricelistId": 20}}
    made = await setting(
        api, event_type="SkuPriceChangedNotification", entity="tClientProductSkuPriceList", coalesce_s=3_600
    )
    assert (await send(api, **price, before=None, after={"PriceSaleValue": 10}))["waiting"] == 1

    expect(await api.admin.patch(f"/v1/event-settings/{made['id']}", json={"coalesce_s": 0}), 200)
    [event] = await until_event_count(api, 1)
    assert event["data"]["PriceSaleValue"] == 10


async def test_explanation_finds_a_notification_that_is_raised_while_it_is_made(api: Api) -> None:
    await setting(api, coalesce_s=3600)
    answer = await send(api)
    changes = api.node.store.changes
    reads = [("waiting", changes.waiting), ("raised_for", changes.raised_for)]
    due = await changes.due(now_ms=2**50, limit=9)

    async def raise_after(read: Any, *arguments: Any) -> Any:
        found = await read(*arguments)
        while due:
            await api.node.release.release([due.pop()])
        return found

    with ExitStack() as patches:
        for name, read in reads:
            patches.enter_context(patch.object(changes, name, partial(raise_after, read)))
        [shown] = (await explain(api, answer["id"]))["settings"][0]["notifications"]

    [event] = await events(api)
    assert (shown["event_id"], shown["waits_until"]) == (event["id"], None)


async def test_close_stores_every_piece_of_a_request(api: Api) -> None:
    intake = api.node.change_intake
    change = Change(client_id=1, entity="tClientCustomer", operation="insert", key={"CustomerId": 1}, after={})
    sending = asyncio.create_task(intake.submit("a producer", [change] * 300, size=1))
    await asyncio.sleep(0)

    await intake.close(DEADLINE_S)
    assert not intake._running
    assert [type(each) for each in await sending] == [ChangeAnswer] * 300


async def test_change_that_waits_for_the_store_is_evaluated_again_when_a_setting_was_switched_off(api: Api) -> None:
    made = await setting(api)
    intake, places = api.node.intake.turns, api.node.change_intake._places
    free = places._value
    evaluated = asyncio.Event()

    async def run_and_take_the_places(*arguments: Any, **options: Any) -> Any:
        result = await run(*arguments, **options)
        if not evaluated.is_set() and arguments[1].__qualname__ == "Evaluation.steps":
            for _ in range(free):
                await places.acquire()
            evaluated.set()
        return result

    run = intake.run
    with patch.object(intake, "run", run_and_take_the_places):
        sending = asyncio.create_task(send(api))
        async with asyncio.timeout(DEADLINE_S):
            await evaluated.wait()
        expect(await api.admin.patch(f"/v1/event-settings/{made['id']}", json={"enabled": False}), 200)
        for _ in range(free):
            places.release()
        answer = await sending

    assert answer["events"] == []
    assert await events(api) == []


async def test_change_of_very_many_parts_raises_each_once_and_in_order(api: Api) -> None:
    await setting(api, event_type="SkuChangedNotification", entity="tCategory")
    parts = [f"P-{number:03}" for number in range(450)]

    answer = await send(api, entity="tCategory", key={"PartNo": parts}, operation="insert", before=None)
    assert len(answer["events"]) + answer["waiting"] == 450
    await until_event_count(api, 200)
    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < 450:
            after = {"client_id": 1, "after": 0, "limit": 200}
            found = []
            page: Json = {"items": [], "next_cursor": ""}
            while page["next_cursor"] is not None:
                cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
                page = expect(await api.admin.get("/v1/events", params={**after, **cursor}), 200)
                found += [event["data"]["PartNo"] for event in page["items"]]
    assert found == parts


async def test_key_of_another_client_cannot_send_or_read_changes(api: Api) -> None:
    own, _ = await api.key("publish", 1)
    reader, _ = await api.key("read", 2)
    answer = expect(await own.post("/v1/changes", json=CUSTOMER), 202)

    expect_problem(await own.post("/v1/changes", json={**CUSTOMER, "client_id": 2}), 403)
    expect_problem(await reader.post("/v1/changes", json=CUSTOMER), 403)
    expect_problem(await reader.get(f"/v1/changes/{answer['id']}"), 404)
    assert expect(await reader.get("/v1/changes"), 200)["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        (b"", 400, []),
        (b"[]x", 400, []),
        (b'"x"', 422, [""]),
        (b"{}", 422, ["/client_id", "/entity", "/operation", "/key"]),
        (json.dumps({**CUSTOMER, "key": {"PartNo": 1}}).encode(), 422, ["/key"]),
        (json.dumps({**CUSTOMER, "after": {"x": "y" * 300_000}}).encode(), 413, []),
    ],
)
async def test_wrong_request_gets_a_problem(api: Api, body: bytes, status: int, pointers: list[str]) -> None:
    response = await api.admin.post("/v1/changes", content=body, headers={"Content-Type": "application/json"})
    expect_problem(response, status, *pointers)


async def test_media_type_that_is_no_json_is_refused(api: Api) -> None:
    expect_problem(await api.admin.post("/v1/changes", content=b"{}", headers={"Content-Type": "text/csv"}), 415)


async def test_list_of_changes_is_filtered(api: Api) -> None:
    first = await send(api)
    await send(api, entity="tClientCustomerAddress")

    async def ids(**query: Any) -> list[str]:
        page = expect(await api.admin.get("/v1/changes", params=query), 200)
        return [each["id"] for each in page["items"]]

    assert len(await ids()) == 2
    assert await ids(entity="tClientCustomer", client_id=1) == [first["id"]]
    assert await ids(unmapped="true") == []
    assert await ids(source="crm") == []
    expect_problem(await api.admin.get("/v1/changes", params={"unmapped": "perhaps"}), 422, "?unmapped")


class Rows:
    """A change source and what is posted for it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, **fields: Any) -> None:
        source = {
            "client_id": 1,
            "tables": {
                "public.customer": {
                    "entity": "tClientCustomer",
                    "key": {"CustomerId": "id"},
                    "fields": {"FirstName": "first_name"},
                }
            },
            **fields,
        }
        expect(await self._api.admin.put("/v1/change-sources/crm", json=source), 201)

    async def post(self, *documents: Any, **query: str) -> httpx.Response:
        lines = "\n".join(json.dumps(each) for each in documents)
        params = {"source": "crm", **query}
        return await self._api.admin.post("/v1/changes/debezium", params=params, content=lines, headers=LINES)

    def row(self, number: int, name: str, operation: str = "u", lsn: int = 1, table: str = "customer") -> Json:
        return {
            "op": operation,
            "before": None,
            "after": {"id": number, "first_name": name, "secret": "not mapped"},
            "source": {"schema": "public", "table": table, "lsn": lsn},
            "ts_ms": 1_700_000_000_000,
        }


async def test_debezium_tombstone_alone_is_ignored(api: Api) -> None:
    rows = Rows(api)
    await rows.create()

    answer = expect(await api.admin.post("/v1/changes/debezium?source=crm", content="null", headers=JSON), 200)
    assert answer["items"] == [{"index": 0, "status": 200, "ignored": True}]


async def test_debezium_rows_are_mapped_and_raise_notifications(api: Api) -> None:
    await setting(api)
    rows = Rows(api)
    await rows.create()

    document = rows.row(7, "Eve", "c")
    answer = expect(await rows.post(document, None, rows.row(8, "Bo", table="staff")), 200)
    assert [item["status"] for item in answer["items"]] == [202, 200, 202]
    assert answer["items"][1]["ignored"] is True
    assert answer["items"][2]["unmapped"] == "the source crm has no table public.staff"
    change = expect(await api.admin.get(f"/v1/changes/{answer['items'][0]['id']}"), 200)
    assert change["after"] == {"FirstName": "Eve"}
    assert [event["data"]["CustomerId"] for event in await events(api)] == [7]
    again = expect(await rows.post(document), 200)
    assert again["duplicates"] == 1
    unmapped = expect(await api.admin.get("/v1/changes", params={"unmapped": "true"}), 200)["items"]
    assert [each["table"] for each in unmapped] == ["public.staff"]
    assert expect(await api.admin.get("/v1/changes/counts"), 200) == {"unmapped": 1, "more": False}
    explained = await explain(api, unmapped[0]["id"])
    assert explained["verdict"] == "It raised nothing: the source crm has no table public.staff."


async def test_existing_row_is_a_last_known_value_and_raises_nothing(api: Api) -> None:
    await setting(api)
    rows = Rows(api)
    await rows.create()

    await rows.post(rows.row(7, "Eve", "r"))
    same = expect(await rows.post(rows.row(7, "Eve", lsn=2)), 200)["items"][0]
    other = expect(await rows.post(rows.row(7, "Ann", lsn=3)), 200)["items"][0]
    late = expect(await rows.post(rows.row(7, "Eve", "r", lsn=4)), 200)["items"][0]
    assert (same["events"], same["previous"]) == ([], "last known")
    assert len(other["events"]) == 1
    change = expect(await api.admin.get(f"/v1/changes/{late['id']}"), 200)
    assert change["known"] == {"FirstName": "Ann"}


async def test_one_wrong_row_refuses_the_whole_request(api: Api) -> None:
    rows = Rows(api)
    await rows.create()

    expect_problem(await rows.post(rows.row(7, "Eve"), {"op": "x"}), 422, "/1/op")
    assert expect(await api.admin.get("/v1/changes"), 200)["items"] == []


async def test_position_is_stored_with_the_rows_and_only_in_order(api: Api) -> None:
    rows = Rows(api)
    await rows.create()

    first = expect(await rows.post(rows.row(7, "Eve"), position="10"), 200)
    assert first["position"] == "10"
    problem = expect_problem(await rows.post(rows.row(8, "Bo"), position="20"), 409)
    assert problem["position"] == "10"
    assert len(expect(await api.admin.get("/v1/changes"), 200)["items"]) == 1
    expect(await rows.post(rows.row(8, "Bo"), after="10", position="20"), 200)
    expect(await rows.post(after="20", position="30"), 200)
    source = expect(await api.admin.get("/v1/change-sources/crm"), 200)
    assert source["position"] == "30"


async def test_source_of_another_client_is_unknown(api: Api) -> None:
    rows = Rows(api)
    await rows.create()
    foreign, _ = await api.key("publish", 2)

    for name in ("crm", "nothing"):
        response = await foreign.post("/v1/changes/debezium", params={"source": name}, json=rows.row(1, "x"))
        expect_problem(response, 404)
    expect_problem(await api.admin.post("/v1/changes/debezium", json=rows.row(1, "x")), 422, "?source")
    expect_problem(await rows.post(rows.row(1, "x"), sorce="y"), 422, "?sorce")


async def test_client_in_a_column_must_be_one_of_the_key(api: Api) -> None:
    rows = Rows(api)
    await rows.create(client_id={"column": "id"})
    own, _ = await api.key("publish", 1)

    expect(await own.post("/v1/changes/debezium", params={"source": "crm"}, json=rows.row(1, "x")), 202)
    expect_problem(await own.post("/v1/changes/debezium", params={"source": "crm"}, json=rows.row(2, "x")), 403)


async def test_position_of_every_client_is_not_set_by_a_key_of_one(api: Api) -> None:
    rows = Rows(api)
    await rows.create(client_id={"column": "id"})
    expect(await rows.post(rows.row(1, "Eve"), position="10"), 200)
    own, _ = await api.key("publish", 1)

    for query in ({"position": "99", "after": "10"}, {"position": "99"}):
        response = await own.post("/v1/changes/debezium", params={"source": "crm", **query}, json=rows.row(1, "x"))
        assert "10" not in expect_problem(response, 403)["detail"]
    assert expect(await api.admin.get("/v1/change-sources/crm"), 200)["position"] == "10"


async def test_row_that_is_sent_again_after_its_mapping_changed_is_a_duplicate(api: Api) -> None:
    await setting(api)
    rows = Rows(api)
    await rows.create()
    expect(await rows.post(rows.row(7, "Eve"), rows.row(8, "Bo")), 200)
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"Name": "first_name"}}
    source = {"client_id": 1, "tables": {"public.customer": table}}
    expect(await api.admin.put("/v1/change-sources/crm", json=source), 200)

    again = expect(await rows.post(rows.row(7, "Eve"), rows.row(8, "Bo")), 200)
    assert (again["duplicates"], again["refused"]) == (2, 0)
    assert len(await events(api)) == 2


async def test_unmapped_row_that_is_sent_again_after_it_was_mapped_raises_its_notification(api: Api) -> None:
    await setting(api)
    rows = Rows(api)
    await rows.create()
    first = expect(await rows.post(rows.row(7, "Eve", table="guest")), 200)["items"][0]
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}}
    source = {"client_id": 1, "tables": {"public.guest": table}}
    expect(await api.admin.put("/v1/change-sources/crm", json=source), 200)

    again = expect(await rows.post(rows.row(7, "Eve", table="guest")), 200)["items"][0]
    assert (first["events"], again["status"], len(again["events"])) == ([], 202, 1)


async def test_request_that_lists_too_many_parts_is_refused_whole(api: Api) -> None:
    parts = [str(number) for number in range(1_000)]
    change = {"client_id": 1, "entity": "tCategory", "operation": "insert", "key": {"PartNo": parts}, "after": {}}

    expect_problem(await api.admin.post("/v1/changes", json=[change] * 11), 413)
    assert expect(await api.admin.get("/v1/changes"), 200)["items"] == []


async def test_list_shows_some_of_the_events_of_a_change_of_many_parts(api: Api) -> None:
    await setting(api, event_type="SkuChangedNotification", entity="tCategory")
    parts = [str(number) for number in range(60)]
    answer = await send(
        api, entity="tCategory", operation="insert", key={"PartNo": parts}, before=None, after={"Name": "x"}
    )

    [shown] = expect(await api.admin.get("/v1/changes", params={"expand": "true"}), 200)["items"]
    assert [each["event_id"] for each in shown["raised"]] == answer["events"][:50]
    assert expect(await api.admin.get(f"/v1/changes/{answer['id']}"), 200)["events"] == answer["events"]


async def test_partial_updates_of_one_row_do_not_make_its_known_values_grow_without_end(api: Api) -> None:
    await setting(api)
    for number in range(4):
        answer = await send(api, before=None, after={f"Field{number}": "x" * 100_000})

    change = expect(await api.admin.get(f"/v1/changes/{answer['id']}"), 200)
    assert set(change["known"]) == {"Field2"}


async def test_large_changes_are_stored_in_commits_of_a_bounded_size(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await setting(api)
    commits: list[int] = []
    accept = api.node.store.changes.accept

    async def counting(batch: ChangeBatch, *given: Any, **options: Any) -> Any:
        commits.append(len(batch.changes))
        return await accept(batch, *given, **options)

    monkeypatch.setattr(api.node.store.changes, "accept", counting)
    changes = [{**CUSTOMER, "key": {"CustomerId": number}, "after": {"Note": "x" * 200_000}} for number in range(50)]

    answer = expect(await api.admin.post("/v1/changes", json=changes), 200)
    assert (answer["accepted"], sum(commits)) == (50, 50)
    assert max(commits) * 200_000 <= 4 * 1024**2
    ids = [item["id"] for item in answer["items"]]
    assert ids == sorted(ids)
