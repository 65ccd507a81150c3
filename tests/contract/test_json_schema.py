"""Which JSON Schemas an own event type may have, and what is found when an event does not fit."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from commerce_event.contract import json_schema
from commerce_event.contract.json_schema import VALUES_MAX, InvalidSchemaError, SchemaValidator, Violation

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "Id": {"type": "integer", "minimum": 1, "x-note": "ours"},
        "State": {"enum": ["done", "failed", None]},
        "Amount": {"type": "number", "multipleOf": 0.01, "exclusiveMaximum": 1000},
        "Code": {"type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2},
        "Lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "maxItems": 3, "uniqueItems": True},
        "Who": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["Name"]}]},
        "Never": False,
    },
    "patternProperties": {"^N_": {"type": "integer"}},
    "required": ["Id"],
    "dependentRequired": {"Code": ["State"]},
    "$defs": {"Line": {"type": "object", "properties": {"Qty": {"type": "number"}}, "required": ["Qty"]}},
}


KEYWORDS = {*json_schema._WEIGHTS, *json_schema._BOUNDS, *json_schema._NOTES, *json_schema._SAME_ONE}
KEYWORDS |= {*json_schema._INNER_ONE, *json_schema._LISTS, *json_schema._MAPS, *json_schema._ROOT_ONLY, "enum", "$ref"}


def violations(data: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> list[Violation]:
    return SchemaValidator(schema).violations(data, json.dumps(data).encode(), 20)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"Id": 1}, []),
        ({}, [Violation(("Id",), "is required")]),
        ({"Id": 0}, [Violation(("Id",), "must be at least 1")]),
        ({"Id": "1"}, [Violation(("Id",), "must be a whole number")]),
        ({"Id": 1, "State": "x"}, [Violation(("State",), "must be one of done, failed, None")]),
        ({"Id": 1, "Amount": 1000}, [Violation(("Amount",), "must be less than 1000")]),
        ({"Id": 1, "Lines": [{"Qty": 1}, {}]}, [Violation(("Lines", 1, "Qty"), "is required")]),
        ({"Id": 1, "Lines": [{"Qty": 1}] * 2}, [Violation(("Lines",), "must not have an item twice")]),
        ({"Id": 1, "Who": 1}, [Violation(("Who",), "must fit exactly one of the schemas")]),
        ({"Id": 1, "Never": 1}, [Violation(("Never",), "is not allowed")]),
        ({"Id": 1, "N_a": "x"}, [Violation(("N_a",), "must be a whole number")]),
        ({"Id": 1, "Code": "AB"}, [Violation(("State",), "is required")]),
        ({"Id": 1, "Code": "A"}, [Violation(("Code",), "must match the pattern ^[A-Z]{2}$"), Violation(("State",), "is required")]),
    ],
)  # fmt: skip
def test_violations_name_each_place_in_plain_words(data: dict[str, Any], found: list[Violation]) -> None:
    assert sorted(violations(data), key=str) == sorted(found, key=str)


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"$ref": "https://a.example/s.json"}, ("$ref",), "definition of this schema"),
        ({"$ref": "#/properties/A"}, ("$ref",), "definition of this schema"),
        ({"$ref": "#/$defs/None"}, ("$ref",), "no definition None"),
        ({"$defs": {"A": {"not": {"$ref": "#/$defs/A"}}}}, ("$defs", "A", "not", "$ref"), "refers to itself"),
        ({"$id": "https://a.example/"}, ("$id",), "not a keyword"),
        ({"properties": {"A": {"$dynamicRef": "#a"}}}, ("properties", "A", "$dynamicRef"), "not a keyword"),
        ({"unevaluatedProperties": False}, ("unevaluatedProperties",), "not a keyword"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "2020-12"),
        ({"$schema": {}}, ("$schema",), "2020-12"),
        ({"$schema": []}, ("$schema",), "2020-12"),
        ({"properties": {"A": 1}}, ("properties", "A"), "must be a schema"),
        ({"properties": []}, ("properties",), "object of schemas"),
        ({"allOf": {}}, ("allOf",), "list of schemas"),
        ({"properties": {"A": {"pattern": "(?=x)"}}}, ("properties", "A", "pattern"), "linear time"),
        ({"properties": {"A": {"pattern": "(a{900}){900}"}}}, ("properties", "A", "pattern"), "linear time"),
        ({"properties": {"A": {"pattern": "a" * 201}}}, ("properties", "A", "pattern"), "200 characters"),
        ({"properties": {"A": {"enum": [0.5]}}}, ("properties", "A", "enum"), "whole numbers"),
        ({"properties": {"A": {"enum": list(range(50))}}}, ("properties", "A"), "too costly"),
        ({"properties": {"A": {"enum": ["x"] * 501}}}, ("properties", "A", "enum"), "1 to 500"),
        ({"properties": {"A": {"multipleOf": 1e-12}}}, ("properties", "A", "multipleOf"), "at least"),
        ({"properties": {"A": {"maximum": 2**70}}}, ("properties", "A", "maximum"), "64 bits"),
        ({"properties": {"A": {"allOf": [{"minimum": 1}] * 101}}}, ("properties", "A"), "too many"),
        ({"properties": {"A": {"type": "text"}}}, ("properties", "A", "type"), "must fit"),
        ({"minProperties": -1}, ("minProperties",), "at least 0"),
    ],
)
def test_schema_that_is_not_allowed_is_refused_with_its_place(
    schema: dict[str, Any], path: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidSchemaError, match=words) as caught:
        SchemaValidator(schema)

    assert caught.value.path == path


def test_schema_that_doubles_with_each_definition_is_refused() -> None:
    """Without a bound, a check would take 2 to the power of the number of definitions."""
    chain = {f"D{n}": {"allOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(40)} | {"D40": {"minimum": 1}}
    with pytest.raises(InvalidSchemaError, match="nested"):
        SchemaValidator({"$defs": chain, "properties": {"A": {"$ref": "#/$defs/D0"}}})


def test_schema_that_doubles_within_the_depth_is_refused() -> None:
    chain = {f"D{n}": {"allOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(7)} | {"D7": {"minimum": 1}}
    with pytest.raises(InvalidSchemaError, match="too many"):
        SchemaValidator({"$defs": chain, "properties": {"A": {"$ref": "#/$defs/D0"}}})


def test_schema_that_applies_twice_at_each_level_of_the_data_is_refused() -> None:
    def level(n: int) -> dict[str, Any]:
        inner: dict[str, Any] = {"$ref": f"#/$defs/D{n + 1}"}
        return {"allOf": [{"properties": {"A": inner}}, {"additionalProperties": inner}]}

    definitions = {f"D{n}": level(n) for n in range(12)} | {"D12": {"minimum": 1}}
    with pytest.raises(InvalidSchemaError, match="too many"):
        SchemaValidator({"$defs": definitions, "properties": {"A": {"$ref": "#/$defs/D0"}}})


def test_violations_many_values_and_large_numbers_are_not_checked() -> None:
    assert violations({"Id": 1, "Extra": [0] * VALUES_MAX}) == [Violation((), "must have at most 5,000 values")]
    assert violations({"Id": 1, "Extra": [[2**64]]}) == [
        Violation(("Extra", 0, 0), "must be a number of at most 64 bits")
    ]
    for number in (1e31, -1e-31):
        assert violations({"Id": 1, "Extra": number}) == [
            Violation(("Extra",), "must be 0, or from 1e-30 to 1e30 without its sign")
        ]
    assert violations({"Id": 1, "Extra": [1e30, -1e-30, 0.0, "9e9"]}) == []
    assert violations({"Id": 1, "Extra": "," * VALUES_MAX + "9" * 30}) == []


def test_violations_of_a_large_event_name_the_property() -> None:
    schema = {"properties": {"A": {"items": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "x"}}}}
    assert violations({"A": [1] * 4_000, "B": 1}, schema) == [Violation(("A",), "does not fit the schema")]


@pytest.mark.parametrize("pattern", ["([01]{1,500}1){1,2}x", "[01]*1[01]{250}2"])
def test_violations_of_a_large_event_whose_patterns_take_long_is_refused_unchecked(pattern: str) -> None:
    """Some patterns that run in linear time take 27 microseconds for each letter."""
    schema = {"properties": {"A": {"pattern": pattern}, "B": {"pattern": "^[A-Z]{2}$"}}}
    assert violations({"A": "01" * 500}, schema) == [Violation(("A",), f"must match the pattern {pattern}")]
    (found,) = violations({"A": "01" * 50_000}, schema)
    assert (found.path, found.message.startswith("must have at most")) == ((), True)


def test_violations_of_a_large_event_with_plain_patterns_are_checked() -> None:
    schema = {"properties": {"A": {"pattern": r"^\w+$"}, "B": {"pattern": "^[A-Z]{2}-[0-9]{4,10}$"}}}
    assert violations({"A": "a" * 250_000, "B": "AB-1234"}, schema) == []
    assert violations({"A": "a" * 250_000, "B": "AB-1"}, schema) == [Violation(("B",), "does not fit the schema")]


def test_schema_with_too_many_large_patterns_is_refused() -> None:
    patterns = {f"P{n}": {"pattern": rf"\w{{60}}{n}"} for n in range(600)}
    with pytest.raises(InvalidSchemaError, match="too long patterns"):
        SchemaValidator({"properties": patterns})
    with pytest.raises(InvalidSchemaError, match="too many or too costly"):
        SchemaValidator({"properties": {"A": {"allOf": [{"pattern": "^.{1,100}$"}] * 3}}})


def test_violations_of_a_whole_event_with_many_values_are_not_described_one_by_one() -> None:
    """The library copies all values for each branch that does not fit."""
    schema = {"anyOf": [{"required": ["X"]}] * 90}
    assert violations({"A": 1}, schema) == [Violation((), "must fit one of the schemas")]
    assert violations({str(n): n for n in range(4_900)}, schema) == [Violation((), "does not fit the schema")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1_001) | st.sampled_from(["done", "AB", "", 0.5, 12.34]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["Qty", "Name"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "N_a", "Other"]), VALUES))
def test_violations_are_found_exactly_when_the_reference_implementation_refuses(data: dict[str, Any]) -> None:
    assert bool(violations(data)) is not Draft202012Validator(SCHEMA).is_valid(data)


JSON_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\0",
    [],
    [1],
    ["x", "x"],
    [{}],
    [[]],
    {},
    {"": {}},
    {"a": 1},
]


@pytest.mark.parametrize("keyword", sorted(KEYWORDS))
def test_schema_with_any_value_of_any_keyword_is_allowed_or_refused(keyword: str) -> None:
    for value in JSON_VALUES:
        for schema in ({keyword: value}, {"properties": {"A": {keyword: value}}}):
            with suppress(InvalidSchemaError):  # any other error would be a 500
                SchemaValidator(schema).violations({"A": 1, "ClientId": 1}, b"{}", 20)
