"""Event settings in words."""

from typing import Any

import pytest

from commerce_event.contract.entities import ENTITIES
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.changes.words import describe_entity, describe_key, describe_setting

CUSTOMER, PRICE, LOW = "CustomerChangedNotification", "SkuPriceChangedNotification", "SkuOnHandBreakPointNotification"


def setting(event_type: str = CUSTOMER, entity: str = "tClientCustomerAddress", **fields: Any) -> EventSetting:
    return EventSetting(id=1, client_id=1006, event_type=event_type, entity=entity, **fields)


TELL = "tell client 1006's endpoints with CustomerChangedNotification (tClientCustomerAddress)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (setting(), f"When a customer's address is inserted, updated or deleted, {TELL}."),
        (setting(on_insert=False), f"When a customer's address is updated or deleted, {TELL}."),
        (
            setting(on_delete=False, fields=("City", "Zip"), filter={"Country": "SE"}, coalesce_s=30.0),
            f"When a customer's address is inserted or its City or Zip changes, {TELL}, where Country is SE; "
            "changes within 30 s become one.",
        ),
        (setting(fields=("City",)), f"When a customer's address is inserted or deleted, or its City changes, {TELL}."),
        (
            setting(on_insert=False, on_delete=False, fields=("City",), coalesce_s=7200.0),
            f"When the City of a customer's address changes, {TELL}; changes within 2 h become one.",
        ),
        (
            setting(on_insert=False, on_update=False, on_delete=False),
            f"When no change of a customer's address counts, {TELL}.",
        ),
        (
            setting(enabled=False),
            "Off, so nothing is tracked. If it were on: when a customer's address is inserted, updated or deleted, "
            f"{TELL}.",
        ),
        (
            setting(PRICE, "tClientProductSkuPriceList", application_id=7),
            "When a product's price is inserted or deleted, or its PriceSaleValue changes, tell client 1006's "
            "endpoints of application 7 with SkuPriceChangedNotification (tClientProductSkuPriceList).",
        ),
        (
            setting(PRICE, "tClientProductSkuPriceList", on_delete=False, fields=("Vat",)),
            "When a product's price is inserted or its PriceSaleValue changes together with its Vat, tell client 1006's "
            "endpoints with SkuPriceChangedNotification (tClientProductSkuPriceList).",
        ),
        (
            setting(LOW, "tClientProductSkuOnHand", on_delete=False),
            "When a product's stock is inserted or updated and its OnHandValue reaches or falls below MinimumValue, tell "
            "client 1006's endpoints with SkuOnHandBreakPointNotification (tClientProductSkuOnHand).",
        ),
        (
            setting(LOW, "tClientProductSkuOnHand", on_insert=False, on_update=False),
            "When no change of a product's stock counts, tell client 1006's endpoints with "
            "SkuOnHandBreakPointNotification (tClientProductSkuOnHand).",
        ),
    ],
)
def test_describe_setting_says_when_whom_and_with_what(given: EventSetting, said: str) -> None:
    assert describe_setting(given) == said


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ({"Country": ["SE", "NO"]}, "Country is one of SE or NO"),
        ({"Total": {"gte": 100, "lt": 500.5}}, "Total is at least 100 and Total is less than 500.5"),
        ({"before.Zip": {"ne": None}, "$.after.Zip": ""}, 'Zip before the change is not empty and Zip after the change is ""'),
        ({"any": [{"A": True}, {"not": {"B": {"exists": False}}}]}, "(A is true or not (B is absent))"),
        ({"all": [{"$.Extra.Origin": {"prefix": "w"}}]}, "Extra.Origin begins with w"),
        ({"A": {"not_in": list(range(20))}}, "A is none of 0, 1, 2, 3, 4, 5, 6 or 13 others"),
    ],
)  # fmt: skip
def test_describe_setting_says_its_filter(filter_: dict[str, Any], said: str) -> None:
    assert f", where {said}." in describe_setting(setting(filter=filter_))


def test_describe_setting_with_much_in_it_stays_short() -> None:
    conditions = [{f"Name{number}" * 20: ["v" * 256] * 100} for number in range(50)]
    said = describe_setting(setting(fields=("F" * 100,) * 100, filter={"any": conditions}))

    assert len(said) < 6_000
    assert "93 others" in said
    assert "40 more conditions" in said


@pytest.mark.parametrize("entity", ENTITIES)
def test_describe_entity_has_words_for_each_of_the_contract(entity: str) -> None:
    assert entity not in describe_entity(entity)


def test_describe_entity_of_another_table_names_it() -> None:
    assert describe_entity("tClientProductSkuBarcode") == "a row of tClientProductSkuBarcode"


def test_describe_key_is_one_short_line() -> None:
    assert (
        describe_key({"PartNo": ["A", "B", "C", "D"], "WarehouseId": 1}) == "PartNo A, B, C and 1 more, WarehouseId 1"
    )
    assert describe_key({"PartNo": ["A"], "Name": "n" * 99}) == f"PartNo A, Name {'n' * 79}…"
