"""The contract: types, properties, examples and business keys as documented."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commerce_event import contract
from commerce_event.contract import CATEGORIES, EVENT_TYPES
from commerce_event.contract.properties import KNOWN_SKU_TABLES

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "contract_facts.json").read_text())
TYPE_FACTS: list[dict[str, Any]] = FACTS["event_types"]
each_type = pytest.mark.parametrize("facts", TYPE_FACTS, ids=lambda facts: facts["name"])
each_name = pytest.mark.parametrize("name", [facts["name"] for facts in TYPE_FACTS])


def test_catalogue_lists_every_type_and_category_in_page_order() -> None:
    assert list(EVENT_TYPES) == [facts["name"] for facts in TYPE_FACTS]
    assert list(CATEGORIES) == FACTS["categories"]
    assert len(EVENT_TYPES) == 19


@each_type
def test_type_has_category_and_kind_of_the_contract(facts: dict[str, Any]) -> None:
    event_type = EVENT_TYPES[facts["name"]]

    assert (event_type.category, event_type.kind) == (facts["category"], facts["kind"])
    assert event_type.description.endswith(".")
    assert event_type.properties == {prop["name"] for prop in facts["properties"]}


@each_type
def test_every_property_has_name_type_format_and_values_of_the_contract(facts: dict[str, Any]) -> None:
    fields = EVENT_TYPES[facts["name"]].fields

    assert [field.name for field in fields] == [prop["name"] for prop in facts["properties"]]
    for field, prop in zip(fields, facts["properties"], strict=True):
        assert field.json_type == prop["type"], field.name
        assert field.format == prop.get("format", "string"), field.name
        assert field.required == prop["required"], field.name
        closed = prop.get("enum_complete", True)
        assert list(field.values) == (prop.get("enum", []) if closed else []), field.name
        assert list(field.known_values) == ([] if closed else prop["enum"] or list(KNOWN_SKU_TABLES)), field.name
        assert field.description.endswith("."), field.name


@each_name
def test_class_is_exported_under_its_wire_name(name: str) -> None:
    assert getattr(contract, name) is EVENT_TYPES[name].model


@each_name
def test_example_survives_the_round_trip_through_its_class(name: str) -> None:
    event_type = EVENT_TYPES[name]
    body = json.dumps(event_type.example).encode()

    event = msgspec.json.decode(body, type=event_type.model)

    assert msgspec.to_builtins(event) == event_type.example


def test_examples_tell_of_one_client() -> None:
    assert {event_type.example["ClientId"] for event_type in EVENT_TYPES.values()} == {1006}


def test_receiver_gets_a_typed_object_with_none_for_absent_properties() -> None:
    body = b'{"ClientId":1,"ApplicationId":2,"ClientOrderRef":"77","Source":"WEB","NewProperty":[1]}'

    event = msgspec.json.decode(body, type=contract.OrderReceivedEvent)

    assert (event.client_id, event.client_order_ref, event.email) == (1, "77", None)


def test_absent_properties_are_left_out_on_the_wire() -> None:
    event = contract.SkuPriceChangedNotification(client_id=1, part_no="A", pricelist_id=2, price_sale_value=9.5)

    assert json.loads(msgspec.json.encode(event)) == {
        "ClientId": 1,
        "PartNo": "A",
        "PricelistId": 2,
        "PriceSaleValue": 9.5,
    }


def test_events_cannot_be_changed() -> None:
    event = contract.JobCompletedEvent(client_id=1, job_id=2, status_id=3)

    with pytest.raises(AttributeError):
        event.job_id = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "data", "key"),
    [
        ("OrderReceivedEvent", {"ClientOrderRef": "884211"}, "order:884211"),
        ("OrderConfirmedEvent", {"ClientOrderRef": "884211", "OrderId": 5, "OrderNo": "1"}, "order:884211"),
        ("OrderPaymentReceivedEvent", {"ClientOrderRef": "884211", "ErpOrderNo": "1"}, "order:884211"),
        ("InvoiceCaptureCompletedEvent", {"CapturedInvoiceId": 7}, "invoice:7"),
        ("SubscriptionFailedEvent", {"SubscriptionId": 1, "RecurringOrderId": 2, "BasketId": 3}, "subscription:1"),
        ("SubscriptionFailedEvent", {"RecurringOrderId": 2, "BasketId": 3}, "subscription:2"),
        ("SubscriptionFailedEvent", {"BasketId": 3}, "subscription:3"),
        ("SubscriptionFailedEvent", {"SubscriptionId": 0, "BasketId": 3}, "subscription:0"),
        ("SubscriptionFailedEvent", {"ErrorMessage": "no"}, None),
        ("SkuChangedNotification", {"PartNo": "A-1"}, "sku:A-1"),
        ("SupplierSkuPriceChangedNotification", {"PartNo": "A-1", "SupplierId": 4}, "sku:A-1"),
        ("CustomerChangedNotification", {"CustomerId": 8}, "customer:8"),
        ("CompanyChangedNotification", {"CompanyId": 9}, "company:9"),
        ("JobCompletedEvent", {"JobId": 10}, "job:10"),
    ],
)
def test_business_key_names_the_thing_an_event_is_about(name: str, data: dict[str, Any], key: str | None) -> None:
    assert EVENT_TYPES[name].business_key(data) == key


def test_long_business_keys_are_digested_and_still_differ() -> None:
    keys = {EVENT_TYPES["SkuChangedNotification"].business_key({"PartNo": "x" * 5000 + tail}) for tail in "ab"}

    assert len(keys) == 2
    assert all(key is not None and len(key) < 100 for key in keys)


def test_contract_imports_nothing_else_of_the_package() -> None:
    program = "import commerce_event.contract.openapi, sys; print(*(m for m in sys.modules if m.startswith('commerce_event.')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert all(module.startswith("commerce_event.contract") for module in loaded)
