"""The registry that routes and the document are made from, and what it makes of data that does not fit."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from commerce_event.api.openapi import OPERATIONS, document
from commerce_event.api.operations import Operation
from commerce_event.api.paging import PageQuery, listing
from commerce_event.api.parameters import read_time
from commerce_event.api.validation import convert, find_faults
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.problems import TITLES, Fault, Problem

NAMES = [operation.name for operation in OPERATIONS]


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    count: int


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=3)] = ""
    inner: list[Inner] = []
    marks: dict[str, str] = {}
    things: dict[str, Inner] = {}


class Item(msgspec.Struct):
    id: int


def pointers(raw: object, where: str = "") -> list[str]:
    with pytest.raises(Problem) as raised:
        convert(raw, Wanted, where=where)
    assert raised.value.status == 422
    return [fault.pointer for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], ""),
        ({"name": 1}, "/name"),
        ({"name": "long"}, "/name"),
        ({"inner": {}}, "/inner"),
        ({"inner": [{"count": 1}, {"count": "x"}]}, "/inner/1/count"),
        ({"inner": [{}]}, "/inner/0/count"),
        ({"inner": [{"count": 1, "more": 1}]}, "/inner/0/more"),
        ({"marks": {"a": 1}}, "/marks/a"),
        ({"things": {"a": {"more": 1}}}, "/things/a/more /things/a/count"),
        ({"surprise": 1}, "/surprise"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_convert_wrong_member_points_at_every_fault(raw: object, expected: str) -> None:
    assert pointers(raw) == expected.split(" ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(data=st.data())
def test_find_faults_any_data_agrees_with_msgspec(data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from([each.body for each in OPERATIONS if each.body is not None]))
    names = st.sampled_from(wanted.__struct_encode_fields__) | st.text(max_size=4)
    raw = data.draw(st.dictionaries(names, json_values, max_size=5) | json_values)
    try:
        msgspec.convert(raw, wanted)
    except msgspec.ValidationError:
        assert "does not have the form that this call takes" not in [each.message for each in find_faults(raw, wanted)]
    else:
        assert [each.message for each in find_faults(raw, wanted)] == ["does not have the form that this call takes"]


def test_a_fault_in_the_query_names_the_parameter() -> None:
    assert pointers({"name": "long"}, "?") == ["?name"]
    assert pointers({"surprise": "1"}, "?") == ["?surprise"]


@pytest.mark.parametrize("where", ["", "?"])
def test_an_answer_does_not_repeat_at_length_what_was_sent(where: str) -> None:
    with pytest.raises(Problem) as raised:
        convert({"x" * 100_000: 1}, Wanted, where=where)
    (fault,) = raised.value.faults
    assert len(raised.value.detail) + len(fault.pointer) + len(fault.message) < 1_000


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_what_an_operation_states_is_what_the_document_says(operation: Operation) -> None:
    described = document()["paths"][operation.path][operation.method.lower()]
    assert described["operationId"] == operation.name
    stated = {str(status) for status in (*operation.answers, *operation.problems)}
    assert stated | {"401", "403", "500"} <= set(described["responses"])
    assert ("requestBody" in described) == (operation.body is not None)
    parameters = {each["name"] for each in described.get("parameters", [])}
    in_path = {part[1:-1] for part in operation.path.split("/") if part.startswith("{")}
    assert parameters == in_path | set(operation.query.__struct_fields__)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_nothing_that_is_sent_is_silently_ignored(operation: Operation) -> None:
    assert operation.query.__struct_config__.forbid_unknown_fields
    if operation.body is not None:
        assert operation.body.__struct_config__.forbid_unknown_fields
    assert set(operation.problems) <= set(TITLES)


def test_the_document_is_plain_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(document())) == document()


@settings(max_examples=30)
@given(count=st.integers(0, 30), limit=st.integers(1, 10), start=st.integers(0, 2**62))
def test_following_the_cursor_shows_everything_once(count: int, limit: int, start: int) -> None:
    everything = [Item(start + count - index) for index in range(count)]
    seen: list[int] = []
    cursor = None
    for _ in range(count + 1):
        query = PageQuery(limit=limit, cursor=cursor)
        page = query.page()
        found = [item for item in everything if page.before is None or item.id < page.before][: page.limit]
        shown = listing(found, query, lambda item: item.id)
        assert len(shown.items) <= limit
        seen += shown.items
        cursor = shown.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert seen == [item.id for item in everything]


@given(cursor=st.text(max_size=64))
@settings(max_examples=50)
def test_a_cursor_from_elsewhere_is_refused_or_read_never_broken(cursor: str) -> None:
    refused: tuple[Fault, ...] = ()
    before = None
    try:
        before = PageQuery(cursor=cursor).page().before
    except Problem as problem:
        refused = problem.faults
    assert [fault.pointer for fault in refused] == ([] if before is not None else ["?cursor"])
    assert before is None or 0 <= before < 2**63


@given(moment=st.datetimes(timezones=st.timezones()))
@settings(max_examples=50)
def test_every_time_is_read_as_one_that_can_be_stored_and_shown(moment: object) -> None:
    text = str(moment).replace("+", " ")  # as a query with a bare plus arrives, its blank a T
    ms = read_time(text.replace(" ", "T", 1), "?since")
    assert ms is not None
    assert 0 <= ids.at_time(ms) < 2**63
    rfc3339(ms)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-31T00:00:00"])
def test_a_time_without_all_its_parts_is_refused(text: str) -> None:
    with pytest.raises(Problem) as raised:
        read_time(text, "?since")
    assert raised.value.faults[0].pointer == "?since"
