"""Timelines: one order from several events, what the receivers have, and whose it is."""

import asyncio
from typing import Any

from api_server import Api, Json, expect, expect_problem

from commerce_event.api import timelines


async def timeline(api: Api, value: str, kind: str = "order", **query: Any) -> Json:
    return expect(await api.admin.get(f"/v1/timelines/{kind}", params={"value": value, **query}), 200)


async def publish_order(
    api: Api, client_id: int = 1, ref: str = "884211", number: str = "SO-10804", id_: int = 2**53 + 1
) -> list[str]:
    """Publish three events of one order that share no single identifier; return their ids."""
    received = await api.publish(client_id, "OrderReceivedEvent", ClientOrderRef=ref)
    paid = await api.publish(client_id, "OrderPaymentReceivedEvent", ClientOrderRef=ref, ErpOrderNo=f"ERP-{number}")
    confirmed = await api.publish(client_id, ClientOrderRef=ref, OrderNo=number, OrderId=id_)
    return [received["id"], paid["id"], confirmed["id"]]


async def test_order_is_found_by_each_of_its_identifiers(api: Api) -> None:
    await api.endpoint(description="ERP")
    ids = await publish_order(api)
    await publish_order(api, ref="884212", number="SO-10805", id_=2**53)
    await api.until_state("delivered")

    for value in ("SO-10804", "ERP-SO-10804", "884211"):
        found = await timeline(api, value)
        assert [each["id"] for each in found["events"]] == ids[::-1], value
        assert found["title"] == "Order SO-10804"
        assert {each["property"]: each["value"] for each in found["identifiers"]} == {
            "OrderNo": "SO-10804", "ErpOrderNo": "ERP-SO-10804", "ClientOrderRef": "884211",
            "OrderId": "9007199254740993",
        }  # fmt: skip
    assert (found["verdict"], found["tone"], found["in_progress"], found["more"]) == (
        "ERP has all 3", "good", False, False,
    )  # fmt: skip
    for wrong in ("SO-1080", "9007199254740994", "so-10804"):
        expect_problem(await api.admin.get("/v1/timelines/order", params={"value": wrong}), 404)


async def test_value_of_another_property_does_not_join_orders(api: Api) -> None:
    await api.publish(OrderNo="100777", OrderId=1, ClientOrderRef="a1")
    await api.publish(OrderNo="5", OrderId=100777, ClientOrderRef="b2")

    found = await timeline(api, "100777")
    other = await timeline(api, "100777", property="OrderId")

    assert (found["title"], len(found["events"])) == ("Order 100777", 1)
    assert found["others"] == [{"property": "OrderId", "value": "100777"}]
    assert (other["title"], len(other["events"])) == ("Order 5", 1)
    assert other["others"] == [{"property": "OrderNo", "value": "100777"}]


async def test_receivers_say_what_they_have_and_what_is_missing(api: Api) -> None:
    api.receiver.statuses["/dead"] = 500
    await api.endpoint(description="Shop")
    dead = await api.endpoint(description="ERP", url=f"{api.receiver.url}/dead", retry_schedule=[])
    waits = await api.endpoint(description="Mail", url=f"{api.receiver.url}/dead", retry_schedule=["1h"])
    nothing = await api.endpoint(description="Stock", event_types=["Product"])
    await publish_order(api)
    await api.until_finished(6)
    async with asyncio.timeout(60):
        while not all(each["attempt_count"] for each in await api.deliveries(endpoint_id=waits["id"])):
            await asyncio.sleep(0.005)

    found = await timeline(api, "884211")

    verdicts = {each["name"]: (each["verdict"].partition(", next")[0], each["tone"]) for each in found["receivers"]}
    assert verdicts == {
        "Shop": ("has all 3", "good"), "ERP": ("has 0 of 3; 3 dead", "bad"), "Mail": ("has 0 of 3; waiting", "wait"),
    }  # fmt: skip
    assert (found["tone"], found["in_progress"]) == ("bad", True)
    assert found["verdict"].startswith(
        "one of three receivers has it; ERP has 0 of 3, 3 dead; Mail has 0 of 3, waiting"
    )
    assert [each["id"] for each in found["not_sent_to"]] == [nothing["id"]]
    cells = {each["endpoint_id"]: each for each in found["events"][0]["deliveries"]}
    assert (cells[dead["id"]]["state"], cells[dead["id"]]["last_status"]) == ("dead", 500)
    assert cells[dead["id"]]["latency_ms"] is None
    assert cells[waits["id"]]["next_attempt_at"] is not None
    assert "    ERP: dead: every retry was used" in found["summary"].splitlines()


async def test_held_deliveries_say_why_they_wait(api: Api) -> None:
    endpoint = await api.endpoint(description="ERP")
    expect(await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"paused": True}), 200)
    await publish_order(api)

    found = await timeline(api, "SO-10804")

    assert found["verdict"] == "ERP has 0 of 3, waiting: the endpoint is paused"


async def test_event_that_a_replay_sent_again_counts_as_delivered(api: Api) -> None:
    api.receiver.status = 500
    endpoint = await api.endpoint(description="ERP", retry_schedule=[])
    await publish_order(api)
    await api.until_state("dead")
    api.receiver.status = 200
    replay = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z", "only": "all"}
    expect(await api.admin.post("/v1/replays", json=replay), 202)

    async with asyncio.timeout(60):
        while (await timeline(api, "SO-10804"))["verdict"] != "ERP has all 3":
            await asyncio.sleep(0.02)


async def test_value_of_several_clients_asks_which_one(api: Api) -> None:
    await publish_order(api, 1)
    await publish_order(api, 2)

    both = await timeline(api, "884211")
    one = await timeline(api, "884211", client_id=2)

    assert both["clients"] == [{"client_id": 1, "events": 3}, {"client_id": 2, "events": 3}]
    assert (both["client_id"], both["events"], both["receivers"]) == (None, [], [])
    assert (one["client_id"], len(one["events"])) == (2, 3)


async def test_reader_of_one_client_sees_only_its_order(api: Api) -> None:
    await api.endpoint(2, description="foreign")
    ids = await publish_order(api, 1)
    await publish_order(api, 2)
    await publish_order(api, 2, ref="foreign", number="SO-2", id_=2)
    reader, _ = await api.key("read", 1)

    found = expect(await reader.get("/v1/timelines/order", params={"value": "884211"}), 200)

    assert [each["id"] for each in found["events"]] == ids[::-1]
    assert found["clients"] == [{"client_id": 1, "events": 3}]
    assert "foreign" not in str(found)
    unknown = await reader.get("/v1/timelines/order", params={"value": "foreign"})
    expect_problem(unknown, 404)
    expect_problem(await reader.get("/v1/timelines/order", params={"value": "884211", "client_id": 2}), 403)


async def test_parts_customers_and_companies_have_time_lines(api: Api) -> None:
    await api.publish(1, "SkuChangedNotification", PartNo="A/1-77")
    await api.publish(1, "SkuPriceChangedNotification", PartNo="A/1-77")
    await api.publish(1, "SkuChangedNotification", PartNo="A/1-7")
    await api.publish(1, "CustomerChangedNotification", CustomerId=12)
    await api.publish(1, "CustomerChangedNotification", CustomerId=123)
    await api.publish(1, "CompanyChangedNotification", CompanyId=12)

    assert len((await timeline(api, "A/1-77", "part"))["events"]) == 2
    customer = await timeline(api, "12", "customer")
    company = await timeline(api, "12", "company")

    assert [each["type"] for each in customer["events"]] == ["CustomerChangedNotification"]
    assert [each["type"] for each in company["events"]] == ["CompanyChangedNotification"]
    assert (customer["title"], customer["verdict"]) == ("Customer 12", "no endpoint matched its events")


async def test_empty_and_missing_identifiers_join_nothing(api: Api) -> None:
    expect(await api.admin.put("/v1/validation", json={"client_id": 1, "event_type": "*", "mode": "off"}), 200)
    for ref in ("", " ", None):
        await api.publish(OrderNo="SO-1", ClientOrderRef=ref, OrderId=None)
        await api.publish(OrderNo="SO-2", ClientOrderRef=ref, OrderId=None)

    assert len((await timeline(api, "SO-1"))["events"]) == 3
    expect_problem(await api.admin.get("/v1/timelines/order", params={"value": " "}), 422, "?value")


async def test_time_line_is_bounded_and_says_so(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr(timelines, "EVENTS_MAX", 2)
    newest = [(await api.publish(ClientOrderRef="884211"))["id"] for _ in range(3)][1:]

    found = await timeline(api, "884211")

    assert [each["id"] for each in found["events"]] == newest[::-1]
    assert found["more"] is True


async def test_search_for_an_order_stops_after_its_candidates(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr(timelines, "CANDIDATES_MAX", 4)
    monkeypatch.setattr(timelines, "_STEP", 2)
    wanted = await api.publish(ClientOrderRef="7", OrderNo="x1", OrderId=500001)
    for number in range(6):
        await api.publish(ClientOrderRef=f"7-{number}", OrderNo="x2", OrderId=500002)

    expect_problem(await api.admin.get("/v1/timelines/order", params={"value": "7"}), 404)
    found = await timeline(api, "x1")

    assert [each["id"] for each in found["events"]] == [wanted["id"]]
    assert found["more"] is True


async def test_wrong_parameters_are_named(api: Api) -> None:
    await publish_order(api)
    get = api.admin.get
    expect_problem(await get("/v1/timelines/orders", params={"value": "1"}), 404)
    expect_problem(await get("/v1/timelines/order"), 422, "?value")
    expect_problem(await get("/v1/timelines/order", params={"value": "–"}), 422, "?value")
    expect_problem(await get("/v1/timelines/order", params={"value": "1", "property": "PartNo"}), 422, "?property")
    expect_problem(await get("/v1/timelines/order", params={"value": "x" * 201}), 422, "?value")
