"""Which changes raise which notifications."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.accept.parse import parse_event
from commerce_event.contract.entities import NOTIFICATIONS, sources_of
from commerce_event.core.changes.model import Change, EventSetting
from commerce_event.core.changes.rules import (
    ROW_NAMES_MAX,
    ActiveSetting,
    RowChange,
    applicable,
    explain_change,
    raise_notifications,
)

KEY: Mapping[str, Any] = {
    "CompanyId": 7,
    "CustomerId": 12,
    "PartNo": "A-1",
    "SupplierId": 3,
    "PricelistId": 20,
    "WarehouseId": 1,
    "LocationId": 2,
}
LOW = {"OnHandValue": 5, "MinimumValue": 10}
HIGH = {"OnHandValue": 15, "MinimumValue": 10}
BEFORE = {"PriceSaleValue": 100, "CostValue": 40, "Name": "old", **HIGH}
AFTER = {"PriceSaleValue": 90, "CostValue": 30, "Name": "new", **LOW}
PAIRS = [(event_type, entity) for event_type, source in NOTIFICATIONS.items() for entity in source.entities]


def setting(event_type: str, entity: str, **options: Any) -> EventSetting:
    return EventSetting(id=1, client_id=1006, event_type=event_type, entity=entity, **options)


def change(entity: str, operation: str, **options: Any) -> Change:
    values: dict[str, Any] = {
        "before": None if operation == "insert" else dict(BEFORE),
        "after": None if operation == "delete" else dict(AFTER),
        "key": dict(KEY),
    }
    return Change(client_id=1006, entity=entity, operation=operation, **(values | options))  # type: ignore[arg-type]


def raised(change_: Change, *settings: EventSetting, known: dict[str, Any] | None = None) -> list[Mapping[str, Any]]:
    active = [ActiveSetting(each) for each in settings]
    return [each.body for each in raise_notifications(RowChange(change_, known), active)]


@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
@pytest.mark.parametrize(("event_type", "entity"), PAIRS)
def test_change_of_each_entity_raises_a_valid_notification(event_type: str, entity: str, operation: str) -> None:
    found = raised(change(entity, operation), setting(event_type, entity))

    if operation == "delete" and NOTIFICATIONS[event_type].rule == "break_point":
        assert found == []
        return
    [body] = found
    event = parse_event(event_type, msgspec.json.encode(body), max_bytes=10_000)
    assert event.client_id == 1006
    assert event.data.get("EntityChanged", entity) == entity
    assert all(body[name] == KEY[name] for name in NOTIFICATIONS[event_type].key)


@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
@pytest.mark.parametrize(("event_type", "entity"), PAIRS)
def test_change_of_each_entity_raises_nothing_when_its_operation_is_off(
    event_type: str, entity: str, operation: str
) -> None:
    off = setting(event_type, entity, **{f"on_{operation}": False})

    assert raised(change(entity, operation), off) == []
    assert raised(change(entity, operation), setting(event_type, entity, enabled=False)) == []


def test_update_counts_only_the_fields_of_the_setting() -> None:
    names = setting("CustomerChangedNotification", "tClientCustomer", fields=("FirstName",))
    update = change(
        "tClientCustomer", "update", before={"FirstName": "Ann", "City": "A"}, after={"FirstName": "Ann", "City": "B"}
    )

    assert raised(update, names) == []
    assert len(raised(update, msgspec.structs.replace(names, fields=("City",)))) == 1
    assert len(raised(update, msgspec.structs.replace(names, fields=None))) == 1


def test_update_without_a_difference_raises_nothing() -> None:
    same = {"FirstName": "Ann", "Age": 4}
    update = change("tClientCustomer", "update", before=same, after={"FirstName": "Ann", "Age": 4.0})

    assert raised(update, setting("CustomerChangedNotification", "tClientCustomer")) == []


def test_update_without_before_values_is_compared_with_the_last_known_ones() -> None:
    any_change = setting("CustomerChangedNotification", "tClientCustomer")
    update = change("tClientCustomer", "update", before=None, after={"FirstName": "Ann"})

    assert raised(update, any_change, known={"FirstName": "Ann"}) == []
    assert len(raised(update, any_change, known={"FirstName": "Eve"})) == 1
    assert len(raised(update, any_change, known=None)) == 1
    assert RowChange(update, {"FirstName": "Ann"}).previous_from == "last known"
    assert RowChange(update, None).previous_from == "none"


def test_unknown_value_is_neither_null_nor_changed() -> None:
    text = setting("CustomerChangedNotification", "tClientCustomer", fields=("Note",))
    row = RowChange(
        change("tClientCustomer", "update", before={"Note": "long", "City": "A"}, after={"City": "B"}), None
    )

    assert raise_notifications(row, [ActiveSetting(text)]) == []
    assert row.row == {"Note": "long", "City": "B"}


@pytest.mark.parametrize(
    ("before", "after", "fires"),
    [
        (100, 90, True),
        (100, 100.0, False),
        ("100.00", 100, False),
        ("100.00", "100.0", False),
        ("99.90", 99.9, False),
        (0.1, "0.10", False),
        (None, 10, True),
    ],
)
def test_price_is_raised_only_when_the_number_differs(before: object, after: object, fires: bool) -> None:
    price = setting("SkuPriceChangedNotification", "tClientProductSkuPriceList")
    update = change(
        "tClientProductSkuPriceList", "update", before={"PriceSaleValue": before}, after={"PriceSaleValue": after}
    )

    assert bool(raised(update, price)) is fires


def test_price_has_its_price_list_and_quantity_break() -> None:
    price = setting("SkuPriceChangedNotification", "tClientProductSkuPriceList")
    update = change(
        "tClientProductSkuPriceList",
        "update",
        key={"PartNo": 4711, "PricelistId": "20", "QuantityBreak": 10},
        before={"PriceSaleValue": "100.00", "PricelistCode": "B2B"},
        after={"PriceSaleValue": "89.50"},
    )

    assert raised(update, price) == [
        {
            "ClientId": 1006,
            "PartNo": "4711",
            "PricelistId": 20,
            "PricelistCode": "B2B",
            "PriceSaleValue": 89.5,
            "QuantityBreak": 10.0,
        }
    ]


def test_break_point_is_raised_once_and_again_only_after_stock_was_above() -> None:
    low = setting("SkuOnHandBreakPointNotification", "tClientProductSkuOnHand")
    known: dict[str, Any] | None = {"OnHandValue": 12, "MinimumValue": 10}
    fired = []
    for on_hand in (11, 10, 9, 3, 11, 10):
        row = RowChange(change("tClientProductSkuOnHand", "update", before=None, after={"OnHandValue": on_hand}), known)
        fired.append(bool(raise_notifications(row, [ActiveSetting(low)])))
        known = row.row

    assert fired == [False, True, False, False, False, True]


def test_break_point_is_raised_when_the_minimum_is_raised_above_the_stock() -> None:
    low = setting("SkuOnHandBreakPointNotification", "tClientProductSkuOnHand")
    update = change("tClientProductSkuOnHand", "update", before={"OnHandValue": 5, "MinimumValue": 2}, after=LOW)

    [body] = raised(update, low)
    assert (body["OnHandValue"], body["MinimumValue"]) == (5.0, 10.0)


def test_change_that_lists_parts_raises_one_notification_for_each() -> None:
    category = setting("SkuChangedNotification", "tCategory")

    bodies = raised(change("tCategory", "insert", key={"PartNo": ["A", "B", "A"]}), category)
    assert [body["PartNo"] for body in bodies] == ["A", "B"]


def test_filter_sees_values_before_and_after() -> None:
    def passes(filter_: dict[str, Any]) -> bool:
        wanted = setting("CustomerChangedNotification", "tClientCustomer", filter=filter_)
        update = change("tClientCustomer", "update", before={"City": "A", "Age": 1}, after={"City": "B"})
        return bool(raised(update, wanted))

    assert passes({"City": "B"})
    assert passes({"before.City": "A", "after.City": {"ne": "A"}})
    assert passes({"$.before.City": "A", "$.after.City": "B", "CustomerId": 12})
    assert passes({"after.Age": 1})
    assert not passes({"before.City": "B"})


def test_change_that_lacks_a_required_property_raises_nothing_and_says_why() -> None:
    price = setting("SkuPriceChangedNotification", "tClientProductSkuPriceList")
    row = RowChange(
        change("tClientProductSkuPriceList", "insert", key={"PartNo": "A"}, after={"PriceSaleValue": 5}), None
    )

    [decision] = explain_change(row, [ActiveSetting(price)])
    assert not decision.fired
    assert {rule.name: rule.passed for rule in decision.rules} == {
        "enabled": True,
        "operation": True,
        "value": True,
        "properties": False,
    }


def test_setting_of_the_application_replaces_that_of_all() -> None:
    every = setting("SkuChangedNotification", "tCategory")
    own = setting("SkuChangedNotification", "tCategory", application_id=5, enabled=False)
    settings = [ActiveSetting(every), ActiveSetting(own)]

    assert [each.setting for each in applicable(settings, 5)] == [own]
    assert [each.setting for each in applicable(settings, 6)] == [every]
    assert [each.setting for each in applicable(settings, None)] == [every]


def test_existing_row_does_not_replace_newer_values() -> None:
    read = change("tClientCustomer", "read", before=None, after={"City": "old"})

    assert RowChange(read, {"City": "new"}).row == {"City": "new"}
    assert RowChange(read, None).row == {"City": "old"}


def test_known_tables_of_others_are_no_open_table_of_products() -> None:
    assert [each.event_type for each in sources_of("tSupplierProductSkuOnHand")] == [
        "SupplierSkuOnHandChangedNotification"
    ]
    assert [each.event_type for each in sources_of("tClientProductSkuImage")] == [
        "SkuChangedNotification",
        "TranslationRequestedNotification",
    ]
    assert sources_of("customer") == ()


VALUES = st.dictionaries(
    st.sampled_from(["City", "Age", "OnHandValue", "MinimumValue", "PriceSaleValue", "CostValue"]),
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([1.5, "2", "2.0", "x", "\0"]),
)


@given(
    pair=st.sampled_from(PAIRS),
    operation=st.sampled_from(["insert", "update", "delete"]),
    before=st.none() | VALUES,
    after=VALUES,
    known=st.none() | VALUES,
    fields=st.none() | st.just(("City",)),
    filter_=st.none() | st.sampled_from([{"before.City": {"exists": True}}, {"after.Age": {"gt": 1}}]),
)
def test_explanation_agrees_with_what_is_raised_and_every_body_is_valid(
    pair: tuple[str, str],
    operation: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    known: dict[str, Any] | None,
    fields: tuple[str, ...] | None,
    filter_: dict[str, Any] | None,
) -> None:
    event_type, entity = pair
    values = {"before": before, "after": None if operation == "delete" else after}
    row = RowChange(change(entity, operation, **values), known)
    active = [ActiveSetting(setting(event_type, entity, fields=fields, filter=filter_))]

    bodies = [each.body for each in raise_notifications(row, active)]
    [decision] = explain_change(row, active)

    assert [each.body for each in decision.notifications] == bodies
    assert decision.fired is all(rule.passed for rule in decision.rules)
    for body in bodies:
        parse_event(event_type, msgspec.json.encode(body), max_bytes=10_000)


def test_number_and_its_text_in_a_key_name_one_row() -> None:
    keys = [change("tCategory", "insert", key={"CategoryId": value}).row_key for value in (12, "12", 12.0)]
    lists = [change("tCategory", "insert", key={"PartNo": value}).row_key for value in ([12, "A"], ["12", "A"])]

    assert len(set(keys)) == len(set(lists)) == 1
    assert change("tCategory", "insert", key={"CategoryId": "012"}).row_key != keys[0]


def test_part_that_is_listed_as_number_and_as_text_raises_one_notification() -> None:
    category = setting("SkuChangedNotification", "tCategory")

    bodies = raised(change("tCategory", "insert", key={"PartNo": ["12", 12, "A"]}), category)
    assert [body["PartNo"] for body in bodies] == ["12", "A"]


def test_row_with_too_many_fields_keeps_those_of_the_newest_change() -> None:
    known = {f"Old{number}": 1 for number in range(ROW_NAMES_MAX)}
    update = change("tClientCustomer", "update", before=None, after={"City": "Lund"})

    assert RowChange(update, known).row == {"City": "Lund"}
    assert RowChange(update, dict(list(known.items())[1:])).row == {**dict(list(known.items())[1:]), "City": "Lund"}


def test_empty_before_values_are_not_said_to_be_compared_with() -> None:
    update = change("tClientCustomer", "update", before={}, after={"City": "Lund"})

    assert RowChange(update, {"City": "Lund"}).previous_from == "last known"
    assert RowChange(update, None).previous_from == "none"
