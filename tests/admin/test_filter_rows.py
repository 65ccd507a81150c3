"""Filters as rows of a form: from rows to a filter and back."""

from typing import Any

import pytest

from commerce_event.admin.filter_rows import (
    ROWS_MAX,
    FilterRow,
    Join,
    UnreadableRowError,
    condition_of,
    filter_of,
    property_kinds,
    rows_of,
)
from commerce_event.contract.catalogue import CONTRACT

KINDS = property_kinds(CONTRACT.select(["Order"]))


@pytest.mark.parametrize(
    ("row", "condition"),
    [
        (FilterRow("Source", "eq", "WEB"), {"Source": "WEB"}),
        (FilterRow("OrderNo", "eq", "100"), {"OrderNo": "100"}),  # a text, although it looks like a number
        (FilterRow("OrderId", "gte", " 100 "), {"OrderId": {"gte": 100}}),
        (FilterRow("Source", "in", "WEB, POS,"), {"Source": ["WEB", "POS"]}),
        (FilterRow("OrderId", "not_in", "1, 2"), {"OrderId": {"not_in": [1, 2]}}),
        (FilterRow("Email", "present"), {"Email": {"exists": True}}),
        (FilterRow("Email", "absent", "left over"), {"Email": {"exists": False}}),
        (FilterRow("$.Vip", "eq", "true"), {"$.Vip": True}),
        (FilterRow("$.Level", "gt", "2.5"), {"$.Level": {"gt": 2.5}}),
        (FilterRow("$.Code", "eq", '"7"'), {"$.Code": "7"}),
        (FilterRow("$.Code", "prefix", "A-[1]"), {"$.Code": {"prefix": "A-[1]"}}),
        (FilterRow("$.Code", "eq", "NaN"), {"$.Code": "NaN"}),
    ],
)
def test_condition_of_reads_the_value_as_the_property_has_it(row: FilterRow, condition: dict[str, Any]) -> None:
    found = condition_of(row, KINDS)

    assert found == condition
    (value,) = found.values()
    assert type(value) is type(next(iter(condition.values())))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (FilterRow("", "eq", "WEB"), "Choose a property"),
        (FilterRow("Source", "eq", ""), "Enter a value"),
        (FilterRow("Source", "like", "W"), "Choose a comparison"),
        (FilterRow("OrderId", "eq", "WEB"), "Enter a number"),
        (FilterRow("OrderId", "in", "1, x"), "Enter a number"),
    ],
)
def test_condition_of_an_unreadable_row_says_what_to_enter(row: FilterRow, message: str) -> None:
    with pytest.raises(UnreadableRowError, match=message):
        condition_of(row, KINDS)


ALL_FILTERS: list[tuple[dict[str, Any], Join]] = [
    ({"Source": "WEB"}, "all"),
    ({"Source": "WEB", "OrderId": {"gte": 100}}, "all"),
    ({"any": [{"Source": "WEB"}, {"Source": "POS"}]}, "any"),
    ({"all": [{"OrderId": {"gte": 100}}, {"OrderId": {"lt": 500}}]}, "all"),
    ({"Source": ["WEB", "POS"]}, "all"),
    ({"Email": {"exists": False}, "$.Vip": True, "$.Code": "7", "$.None": None}, "all"),
    ({"$.Text": " padded "}, "all"),
]


@pytest.mark.parametrize(("filter_", "join"), ALL_FILTERS)
def test_rows_of_a_filter_make_the_same_filter_again(filter_: dict[str, Any], join: Join) -> None:
    found = rows_of(filter_)

    assert found is not None
    assert found.join == join
    assert filter_of(found.join, [condition_of(row, KINDS) for row in found.rows]) == filter_


def test_rows_of_two_comparisons_of_a_property_are_two_rows() -> None:
    found = rows_of({"OrderId": {"gte": 100, "lt": 500}})

    assert found is not None
    assert found.rows == [FilterRow("OrderId", "gte", "100"), FilterRow("OrderId", "lt", "500")]


@pytest.mark.parametrize(
    "filter_",
    [
        {"not": {"Source": "WEB"}},
        {"any": [{"Source": "WEB", "OrderId": 1}, {"Source": "POS"}]},
        {"any": [{"Source": "WEB"}], "OrderId": 1},
        {"all": [{"any": [{"Source": "WEB"}]}]},
        {"$.List": ["a,b"]},
        {f"$.P{number}": 1 for number in range(ROWS_MAX + 1)},
    ],
)
def test_rows_of_a_filter_that_rows_cannot_say_is_none(filter_: dict[str, Any]) -> None:
    assert rows_of(filter_) is None


def test_rows_of_no_filter_are_none_and_make_no_filter() -> None:
    found = rows_of(None)

    assert found is not None
    assert filter_of(found.join, []) is None
    assert found.rows == []
