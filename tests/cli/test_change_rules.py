"""Rules of an explanation in words."""

from typing import Any

import pytest

from commerce_event.cli.change_rules import rule_rows


def rule(name: str, wanted: Any, found: Any, *, passed: bool = False) -> dict[str, Any]:
    return {"name": name, "passed": passed, "wanted": wanted, "found": found}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (rule("enabled", "on", "off"), "failed: wanted on, found off"),
        (
            rule("operation", ["insert", "update"], "insert", passed=True),
            "passed: wanted insert or update, found insert",
        ),
        (rule("operation", [], "delete"), "failed: wanted none, found delete"),
        (rule("fields", "any", []), "failed: wanted any, found none"),
        (rule("fields", ["City", "Zip"], ["Name", "Email"]), "failed: wanted City or Zip, found Name and Email"),
        (
            rule("value", "PriceSaleValue", [None, "9.50"]),
            'failed: wanted another PriceSaleValue, found not known before, "9.50" after',
        ),
        (
            rule("break_point", "stock is low", {"before": [5, 4], "after": [4.5, None]}),
            "failed: wanted stock is low, found 5 (minimum 4) before, 4.5 (minimum not known) after",
        ),
        (rule("properties", ["PartNo"], {"missing": []}, passed=True), "passed: wanted PartNo, found all"),
        (rule("properties", ["A", "B"], {"missing": ["A", "B"]}), "failed: wanted A and B, found no A and no B"),
        (rule("a_later_one", {"x": 1}, None), 'failed: wanted {"x": 1}, found not known'),
    ],
)
def test_rule_is_said_in_words(shown: dict[str, Any], text: str) -> None:
    assert list(rule_rows(shown)) == [{"rule": shown["name"], "result": text}]


def test_filter_has_a_row_for_each_condition() -> None:
    conditions = [
        {"path": "after.Country", "operator": "ne", "wanted": "SE", "found": "SE", "passed": False},
        {"path": "before.Zip", "operator": "exists", "wanted": False, "passed": True},
        "… (60 values)",
    ]

    assert [(row["rule"], row["result"]) for row in rule_rows(rule("filter", {}, conditions))] == [
        ("filter", "failed: wanted each condition below, found 1 not true"),
        ("  after.Country", 'failed: wanted ne "SE", found "SE"'),
        ("  before.Zip", "passed: wanted exists false, found not known"),
    ]
