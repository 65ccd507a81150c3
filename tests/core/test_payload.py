"""Payload selection: what stays in a body, what is left out, and that what stays is not changed."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.accept.parse import parse_event
from commerce_event.contract.catalogue import CONTRACT, EVENT_TYPES
from commerce_event.contract.own_types import own_type
from commerce_event.core.payload import find_selection_faults, sent_body
from commerce_event.core.problems import Fault

ORDER = EVENT_TYPES["OrderReceivedEvent"]
KNOWN = frozenset({"Email", "CellPhone", "FirstName", "PartNo"})
NAMES = st.sampled_from(["ClientId", "Email", "Custom", "email", "$", "$.Email", "", "å", 'a"b\\', "\n"]) | st.text(
    max_size=5
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def as_written(body: bytes) -> Any:
    """Return the members of a body, with each number as its text."""
    return json.loads(body, parse_int=str, parse_float=str)


def test_sent_body_without_selection_is_the_accepted_body() -> None:
    body = b'{ "ClientId": 1, "Email": "a@example.com" }'
    assert sent_body(body, ORDER, None) is body


def test_sent_body_keeps_selected_and_required_properties_only() -> None:
    body = json.dumps({**ORDER.example, "Campaign": "spring", "Coupon": "X"}).encode()
    sent = json.loads(sent_body(body, ORDER, ("FirstName", "$.Campaign")))
    assert sent == {
        **{
            name: ORDER.example[name] for name in ("ClientId", "ApplicationId", "ClientOrderRef", "Source", "FirstName")
        },
        "Campaign": "spring",
    }


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_sent_body_with_empty_selection_still_fits_the_contract(name: str) -> None:
    event_type = EVENT_TYPES[name]
    sent = sent_body(json.dumps(event_type.example).encode(), event_type, ())
    parsed = parse_event(name, sent, max_bytes=1_000)
    assert parsed.data.keys() == {field.name for field in event_type.fields if field.required}


def test_sent_body_keeps_numbers_and_texts_as_written() -> None:
    body = (
        b'{"ClientId": 1,"Amount":\t100.00 , "Big" :9223372036854775807, "Small":1e-7,"Text":"\\u00e5\\/", "Gone":0,'
        b'"List":[ 1.0, {"A" : 2.50}]}'
    )
    sent = sent_body(body, ORDER, ("$.Amount", "$.Big", "$.Small", "$.Text", "$.List"))
    assert sent == (
        b'{"ClientId":1,"Amount":100.00,"Big":9223372036854775807,"Small":1e-7,"Text":"\\u00e5\\/",'
        b'"List":[ 1.0, {"A" : 2.50}]}'
    )


def test_sent_body_of_which_nothing_is_left_out_is_the_accepted_body() -> None:
    body = b'{ "Email" : "a@example.com", "ClientId":1}'
    assert sent_body(body, ORDER, ("Email",)) is body


@pytest.mark.parametrize("name", [rb"\u0045mail", rb"\u0045\u006d\u0061\u0069\u006c", b"email", b"Email "])
def test_sent_body_leaves_out_a_name_in_other_capitals_or_escapes(name: bytes) -> None:
    sent = sent_body(b'{"ClientId":1,"' + name + b'":"a@example.com"}', ORDER, ())
    assert sent == b'{"ClientId":1}'


def test_sent_body_of_own_type_keeps_what_its_schema_requires() -> None:
    schema = {"properties": {"ExportId": {"type": "integer"}, "Email": {}}, "required": ["ExportId", "Undescribed"]}
    own = own_type("ExportDelivered", "Export", "event", "", schema, {"ClientId": 1, "ExportId": 1, "Undescribed": 2})
    body = b'{"ClientId":1,"ExportId":7,"Undescribed":2,"Email":"a@example.com","ApplicationId":3}'
    assert sent_body(body, own, ()) == b'{"ClientId":1,"ExportId":7,"Undescribed":2}'


def test_sent_body_of_unknown_type_keeps_the_client() -> None:
    sent = sent_body(b'{"ClientId":1,"Email":"a@example.com"}', CONTRACT.of_event("GoneEvent"), ())
    assert sent == b'{"ClientId":1}'


@given(
    data=st.dictionaries(NAMES, VALUES, max_size=8),
    selected=st.lists(NAMES, max_size=4),
    indent=st.sampled_from([None, 2]),
    is_ascii=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_sent_body_of_any_accepted_event_is_exactly_the_kept_members(
    data: dict[str, Any], selected: list[str], indent: int | None, is_ascii: bool
) -> None:
    body = json.dumps({**data, "ClientId": 7}, indent=indent, ensure_ascii=is_ascii).encode()
    accepted = parse_event(ORDER.name, body, max_bytes=100_000, mode_of=lambda *_: "off").body

    sent = sent_body(accepted, ORDER, selected)

    kept = ORDER.required | {name.removeprefix("$.") for name in selected}
    assert as_written(sent) == {name: value for name, value in as_written(accepted).items() if name in kept}
    assert sent_body(sent, ORDER, selected) == sent


def test_find_selection_faults_names_the_nearest_property() -> None:
    faults = find_selection_faults(["Email", "Emial", "$.Anything"], KNOWN)
    assert faults == [
        Fault(
            "/1",
            "the chosen event types have no property 'Emial'; did you mean Email? "
            "Beyond the contract, write a path: $.Name",
        )
    ]


@pytest.mark.parametrize("name", ["$", "$.", "$Name", "$.Custom.Campaign", "$..a"])
def test_find_selection_faults_path_into_a_property_is_refused(name: str) -> None:
    [fault] = find_selection_faults(["Email", name], KNOWN)
    assert (fault.pointer, fault.message.partition(":")[0]) == ("/1", "write $.Name")
