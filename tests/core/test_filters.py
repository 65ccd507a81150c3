"""Filters: what an event must have in it, checked when saved, fast when used, explained when asked."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from commerce_event.core.comparisons import LIST_MAX, TEXT_MAX
from commerce_event.core.filters import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    CompiledFilter,
    InvalidFilterError,
    check_filter,
    compile_filter,
    explain_filter,
)

PROPERTIES = frozenset({"OrderNo", "StatusId", "Total", "Active", "Note", "Gone"})
EVENT = {
    "OrderNo": "A-1042",
    "StatusId": 2,
    "Total": 99.5,
    "Active": True,
    "Note": None,
    "Tags": ["web", "A-1042"],
    "Extra": {"Origin": "web", "Deep": {"N": 1}},
}


def takes(raw: dict[str, Any], data: dict[str, Any] | None = None) -> bool:
    return compile_filter(check_filter(raw, PROPERTIES))(EVENT if data is None else data)


def fault(raw: object) -> InvalidFilterError:
    with pytest.raises(InvalidFilterError) as caught:
        check_filter(raw, PROPERTIES)
    return caught.value


# The language


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, True),
        ({"OrderNo": "A-1042"}, True),
        ({"OrderNo": "a-1042"}, False),
        ({"StatusId": 2}, True),
        ({"StatusId": 2.0}, True),
        ({"StatusId": "2"}, False),
        ({"StatusId": [1, 2]}, True),
        ({"StatusId": [1, 3]}, False),
        ({"OrderNo": "A-1042", "StatusId": 3}, False),
        ({"Total": {"gte": 99.5, "lt": 100}}, True),
        ({"Total": {"gt": 99.5}}, False),
        ({"Total": {"lte": 99}}, False),
        ({"Total": {"lte": 99.5}}, True),
        ({"Total": {"lt": 99.5}}, False),
        ({"OrderNo": {"prefix": "A-"}}, True),
        ({"OrderNo": {"suffix": "42"}}, True),
        ({"OrderNo": {"contains": "-10"}}, True),
        ({"OrderNo": {"contains": "B"}}, False),
        ({"OrderNo": {"gte": "A-1", "lt": "A-2"}}, True),
        ({"OrderNo": {"in": ["x", "A-1042"]}}, True),
        ({"OrderNo": {"not_in": ["x", "A-1042"]}}, False),
        ({"OrderNo": {"ne": "x"}}, True),
        ({"OrderNo": {"exists": True}}, True),
        ({"any": [{"StatusId": 9}, {"Active": True}]}, True),
        ({"all": [{"StatusId": 2}, {"Active": False}]}, False),
        ({"not": {"StatusId": 2}}, False),
        ({"not": {"StatusId": 2, "Active": False}}, True),
        ({"any": [{"StatusId": 9}, {"not": {"all": [{"Active": False}]}}], "OrderNo": {"prefix": "A"}}, True),
        ({"$.Extra.Origin": "web"}, True),
        ({"$.Extra.Deep.N": {"gt": 0}}, True),
        ({"$.StatusId": 2}, True),
    ],
)
def test_filter_takes_the_events_it_describes(raw: dict[str, Any], expected: bool) -> None:
    assert takes(raw) is expected


@pytest.mark.parametrize(
    "path", ["Gone", "$.Gone", "$.Extra.Gone", "$.Gone.Gone", "$.OrderNo.Inner", "$.Tags.web", "$.Note.X"]
)
@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ({"eq": "x"}, False),
        ({"eq": None}, False),
        ({"in": ["x", None]}, False),
        ({"gt": 0}, False),
        ({"lte": 0}, False),
        ({"prefix": "x"}, False),
        ({"suffix": "x"}, False),
        ({"contains": "x"}, False),
        ({"exists": True}, False),
        ({"exists": False}, True),
        ({"ne": "x"}, True),
        ({"not_in": ["x"]}, True),
    ],
)
def test_absent_property_passes_only_what_asks_for_absence(
    path: str, comparison: dict[str, Any], expected: bool
) -> None:
    assert takes({path: comparison}) is expected


def test_null_at_a_path_is_a_value_and_there() -> None:
    assert takes({"$.Note": None})
    assert takes({"$.Note": {"exists": True, "in": [None, "x"]}})
    assert not takes({"$.Note": {"ne": None}})


def test_null_in_a_property_of_the_contract_means_absent() -> None:
    assert takes({"Note": {"exists": False, "ne": "x"}})
    assert not takes({"Note": {"exists": True}})
    assert explain_filter({"Note": {"exists": False}}, {"Note": None}).conditions[0].found is UNSET


@pytest.mark.parametrize(
    "raw",
    [
        {"Active": 1},
        {"Active": [0, 1, 1.0]},
        {"Active": {"gt": 0}},
        {"StatusId": True},
        {"StatusId": [True, "2"]},
        {"StatusId": {"prefix": "2"}},
        {"OrderNo": {"gt": 0}},
        {"Total": {"lt": "z"}},
        {"$.Tags": {"contains": "web"}},
        {"$.Tags": ["web"]},
        {"$.Extra": ["web"]},
        {"$.Extra": {"eq": "web"}},
    ],
)
def test_comparison_between_types_is_false_and_no_error(raw: dict[str, Any]) -> None:
    assert takes(raw) is False


@pytest.mark.parametrize("value", [True, False])
def test_truth_values_are_equal_to_themselves_only(value: bool) -> None:
    assert takes({"Active": value}, {"Active": value})
    assert takes({"Active": [value]}, {"Active": value})
    assert not takes({"Active": value}, {"Active": int(value)})


# What is refused


@pytest.mark.parametrize(
    ("raw", "pointer", "remedy"),
    [
        (None, "", "JSON object"),
        ([], "", "JSON object"),
        ("OrderNo", "", "JSON object"),
        ({"OrderNr": 1}, "/OrderNr", "did you mean OrderNo"),
        ({"Zzz": 1}, "/Zzz", "check its spelling"),
        ({"a/b~c": 1}, "/a~1b~0c", "no property"),
        ({"any": [{"OrderNo": "x"}, {"orderno": 1}]}, "/any/1/orderno", "no property"),
        ({"OrderNo": {"like": "x"}}, "/OrderNo/like", "there are eq, ne"),
        ({"OrderNo": {"regex": ".*"}}, "/OrderNo/regex", "not a comparison"),
        ({"OrderNo": {}}, "/OrderNo", "name a comparison"),
        ({"OrderNo": []}, "/OrderNo", "1 to 100 values"),
        ({"OrderNo": [[1]]}, "/OrderNo", "needs a text, a number"),
        ({"OrderNo": {"in": "x"}}, "/OrderNo/in", "needs a list"),
        ({"OrderNo": {"in": list(range(LIST_MAX + 1))}}, "/OrderNo/in", "1 to 100 values"),
        ({"OrderNo": {"eq": {"a": 1}}}, "/OrderNo/eq", "needs a text, a number"),
        ({"OrderNo": {"ne": [1]}}, "/OrderNo/ne", "needs a text, a number"),
        ({"OrderNo": {"prefix": 1}}, "/OrderNo/prefix", "needs a text"),
        ({"OrderNo": {"contains": ""}}, "/OrderNo/contains", "not empty"),
        ({"OrderNo": {"exists": "yes"}}, "/OrderNo/exists", "true or false"),
        ({"Total": {"gt": None}}, "/Total/gt", "number or a text"),
        ({"Total": {"gt": True}}, "/Total/gt", "number or a text"),
        ({"Total": {"gt": float("nan")}}, "/Total/gt", "finite"),
        ({"Total": float("inf")}, "/Total", "finite"),
        ({"OrderNo": "x" * (TEXT_MAX + 1)}, "/OrderNo", "at most 256"),
        ({"OrderNo": {"suffix": "x" * (TEXT_MAX + 1)}}, "/OrderNo/suffix", "at most 256"),
        ({"OrderNo": {"lt": "x" * (TEXT_MAX + 1)}}, "/OrderNo/lt", "at most 256"),
        ({"any": []}, "/any", "takes a list"),
        ({"all": {"OrderNo": 1}}, "/all", "takes a list"),
        ({"any": [{}]}, "/any/0", "object with conditions"),
        ({"any": ["OrderNo"]}, "/any/0", "object with conditions"),
        ({"not": {}}, "/not", "object with conditions"),
        ({"not": [{"OrderNo": 1}]}, "/not", "object with conditions"),
        ({"$": 1}, "/$", "write a path"),
        ({"$.": 1}, "/$.", "write a path"),
        ({"$.a..b": 1}, "/$.a..b", "write a path"),
        ({"$Name": 1}, "/$Name", "write a path"),
    ],
)
def test_fault_is_refused_with_its_place_and_the_remedy(raw: object, pointer: str, remedy: str) -> None:
    error = fault(raw)
    assert error.pointer == pointer
    assert remedy in str(error)


def test_long_name_is_refused() -> None:
    assert "at most 256" in str(fault({"$." + "x" * TEXT_MAX: 1}))


def nested(levels: int) -> dict[str, Any]:
    raw: dict[str, Any] = {"OrderNo": "A-1042"}
    for _ in range(levels - 1):
        raw = {"all": [raw]}
    return raw


def test_depth_is_limited() -> None:
    assert takes(nested(DEPTH_MAX))
    assert "deep" in str(fault(nested(DEPTH_MAX + 1)))
    assert "deep" in str(fault(nested(400)))


def test_number_of_conditions_is_limited() -> None:
    condition = {"OrderNo": "A-1042"}
    assert takes({"all": [condition] * CONDITIONS_MAX})
    assert "at most 50" in str(fault({"all": [condition] * (CONDITIONS_MAX + 1)}))
    assert "at most 50" in str(fault({"any": [{"Total": {"gt": 1, "lt": 2}}] * 26}))


# Explaining


def test_explanation_shows_every_condition_with_what_was_found() -> None:
    explanation = explain_filter({"any": [{"StatusId": [1, 2]}, {"Gone": {"ne": "x"}}], "Total": {"gt": 100}}, EVENT)
    assert explanation.passed is False
    assert [(c.pointer, c.path, c.operator, c.wanted, c.found, c.passed) for c in explanation.conditions] == [
        ("/any/0/StatusId", "StatusId", "in", [1, 2], 2, True),
        ("/any/1/Gone/ne", "Gone", "ne", "x", UNSET, True),
        ("/Total/gt", "Total", "gt", 100, 99.5, False),
    ]


def test_explanation_becomes_json_without_what_is_absent() -> None:
    explanation = explain_filter({"Gone": 1}, EVENT)
    assert "found" not in msgspec.to_builtins(explanation)["conditions"][0]


# Laws

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, "", "a", "ab", "b"])
TEXTS = st.sampled_from(["a", "ab", "b"])
PATHS = st.sampled_from(["OrderNo", "StatusId", "$.Extra.X"])
DATA = st.dictionaries(
    st.sampled_from(["OrderNo", "StatusId", "Total"]), SCALARS | st.lists(SCALARS, max_size=1)
).flatmap(
    lambda data: st.fixed_dictionaries({}, optional={"Extra": st.fixed_dictionaries({"X": SCALARS}) | SCALARS}).map(
        lambda extra: data | extra
    )
)
COMPARISON = st.one_of(
    st.fixed_dictionaries({}, optional={"eq": SCALARS, "ne": SCALARS, "exists": st.booleans()}),
    st.fixed_dictionaries({}, optional={"gt": st.integers(-2, 2), "lte": TEXTS, "prefix": TEXTS, "contains": TEXTS}),
    st.fixed_dictionaries({"not_in": st.lists(SCALARS, min_size=1, max_size=3)}),
).filter(bool)
FLAT = st.dictionaries(PATHS, SCALARS | st.lists(SCALARS, min_size=1, max_size=3) | COMPARISON, min_size=1, max_size=2)
FILTERS = st.recursive(
    FLAT,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda items: {"any": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda items: {"all": items}),
        inner.map(lambda item: {"not": item}),
    ),
    max_leaves=4,
).filter(lambda raw: str(raw).count("{") < 9)


def depth_fits(raw: dict[str, Any]) -> bool:
    try:
        check_filter(raw, PROPERTIES)
    except InvalidFilterError:
        return False
    return True


@given(FILTERS.filter(depth_fits), DATA)
@settings(max_examples=60)
def test_explanation_agrees_with_the_compiled_filter(raw: dict[str, Any], data: dict[str, Any]) -> None:
    assert explain_filter(raw, data).passed is compile_filter(raw)(data)


@given(FILTERS.filter(depth_fits), DATA)
@settings(max_examples=60)
def test_steps_agree_with_the_compiled_filter(raw: dict[str, Any], data: dict[str, Any]) -> None:
    compiled = CompiledFilter(raw)
    results: list[bool] = []

    def run() -> Iterator[None]:
        results.append((yield from compiled.steps(data)))

    assert len(list(run())) <= compiled.condition_count
    assert results == [compiled.passes(data)]


@given(
    st.text("ab ", max_size=4), st.text("ab ", min_size=1, max_size=6), st.sampled_from([0, 1, 1_021, 29_990, 29_999])
)
@settings(max_examples=60)
def test_contains_finds_what_is_in_a_long_text(end: str, wanted: str, length: int) -> None:
    text = "a" * length + end
    assert takes({"$.X": {"contains": wanted}}, {"X": text}) is (wanted in text)


@given(FLAT, DATA)
@settings(max_examples=40)
def test_clauses_of_one_object_must_all_hold(raw: dict[str, Any], data: dict[str, Any]) -> None:
    explanation = explain_filter(raw, data)
    assert explanation.passed is all(condition.passed for condition in explanation.conditions)
    assert takes(raw, data) is all(takes({name: value}, data) for name, value in raw.items())


@given(FLAT, FLAT, DATA)
@settings(max_examples=40)
def test_combinators_follow_logic(one: dict[str, Any], two: dict[str, Any], data: dict[str, Any]) -> None:
    assert takes({"all": [one, two]}, data) is (takes(one, data) and takes(two, data))
    assert takes({"any": [one, two]}, data) is (takes(one, data) or takes(two, data))
    assert takes({"not": one}, data) is not takes(one, data)
    assert takes({"not": {"any": [one, two]}}, data) is takes({"all": [{"not": one}, {"not": two}]}, data)


@given(PATHS, st.lists(SCALARS, min_size=1, max_size=3), DATA)
@settings(max_examples=40)
def test_lists_are_any_of_and_opposites_are_opposites(path: str, values: list[Any], data: dict[str, Any]) -> None:
    assert takes({path: values}, data) is any(takes({path: value}, data) for value in values)
    assert takes({path: {"not_in": values}}, data) is not takes({path: values}, data)
    assert takes({path: {"ne": values[0]}}, data) is not takes({path: values[0]}, data)


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    )
)
@settings(max_examples=40)
def test_any_json_is_a_filter_or_an_invalid_filter(raw: object) -> None:
    try:
        filter_ = check_filter(raw, PROPERTIES)
    except InvalidFilterError:
        return
    assert compile_filter(filter_)(EVENT) in {True, False}
