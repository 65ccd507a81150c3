"""The rules that decided what a change raised, in words."""

from typing import Any

import pytest

from commerce_event.admin.change_rules import rule_row
from commerce_event.api.explanations import RuleView, shown_rules
from commerce_event.core.changes.model import Change, EventSetting
from commerce_event.core.changes.rules import ActiveSetting, RowChange, explain_change

STOCK = {
    "before": [12, 5],
    "after": [4, 5],
}


@pytest.mark.parametrize(
    ("name", "wanted", "found", "words"),
    [
        ("enabled", "on", "off", ("switched on", "on", "off")),
        ("operation", ["insert", "update"], "delete", ("operation", "insert, update", "delete")),
        ("operation", [], "delete", ("operation", "none", "delete")),
        ("fields", "any", [], ("changed fields", "any field", "none changed")),
        ("fields", ["City", "Zip"], ["Name"], ("changed fields", "City, Zip", "Name")),
        ("value", "PriceSaleValue", [None, "10.00"], ("value", "PriceSaleValue changes", "not known → 10.00")),
        ("break_point", "stock falls", STOCK, (
            "break point", "stock falls", "before: 12 with a minimum of 5; after: 4 with a minimum of 5",
        )),
        ("properties", ["PartNo"], {"missing": ["PartNo"]}, ("needed properties", "PartNo", "missing: PartNo")),
        ("properties", ["PartNo"], {"missing": []}, ("needed properties", "PartNo", "all there")),
    ],
)  # fmt: skip
def test_rule_row_says_what_the_setting_wants_and_the_change_has(
    name: str, wanted: Any, found: Any, words: tuple[str, str, str]
) -> None:
    row = rule_row(RuleView(name, False, wanted, found))

    assert (row.name, row.wanted, row.found) == words


@pytest.mark.parametrize(
    ("event_type", "entity", "key"),
    [
        ("CustomerChangedNotification", "tClientCustomer", {"CustomerId": 1}),
        ("SkuPriceChangedNotification", "tClientProductSkuPriceList", {"PartNo": "A", "PricelistId": 1}),
        ("SkuOnHandBreakPointNotification", "tClientProductSkuOnHand", {"PartNo": "A"}),
    ],
)
@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
def test_rule_row_has_words_for_every_rule_of_an_explanation(
    event_type: str, entity: str, key: dict[str, Any], operation: Any
) -> None:
    setting = EventSetting(id=1, client_id=1, event_type=event_type, entity=entity, filter={"after.Name": ["A", "B"]})
    change = Change(client_id=1, entity=entity, operation=operation, key=key, after={"Name": "A", "Other": None})

    (decision,) = explain_change(RowChange(change, None), [ActiveSetting(setting)])
    rows = [rule_row(rule) for rule in shown_rules(decision.rules)]

    assert [row.passed for row in rows] == [rule.passed for rule in decision.rules]
    assert all(row.name and row.wanted and row.found for row in rows)
    assert [each.text for each in rows[-1].conditions] == ['after.Name in ["A","B"]']
    assert [each.found for each in rows[-1].conditions] == ["not there" if operation == "delete" else "A"]
