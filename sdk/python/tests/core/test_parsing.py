"""Bodies of events: what is taken, what is refused, and with which pointers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event_sdk import MODELS, InvalidEventError, OrderConfirmedEvent, UnknownEvent, parse
from commerce_event_sdk.parsing import UnknownProperties
from signed_requests import ORDER, json_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def errors_of(body: bytes, policy: UnknownProperties = "keep") -> list[tuple[str, str]]:
    with pytest.raises(InvalidEventError) as raised:
        parse("OrderConfirmedEvent", body, unknown_properties=policy)
    return list(raised.value.errors)


def test_parse_of_a_large_order_id_keeps_every_digit() -> None:
    event = parse("OrderConfirmedEvent", json_of(ORDER))
    assert isinstance(event, OrderConfirmedEvent)
    assert event.OrderId == 9007199254740993
    assert event.CellPhone is None
    assert event.extra == {}


def test_parsed_event_equals_a_constructed_one() -> None:
    assert parse("OrderConfirmedEvent", json_of(ORDER)) == OrderConfirmedEvent(**ORDER)
    assert hash(parse("OrderConfirmedEvent", json_of(ORDER))) == hash(OrderConfirmedEvent(**ORDER))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON in UTF-8"),
        (b"{", "is not JSON in UTF-8"),
        (b"\xff{}", "is not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "is not JSON in UTF-8"),
        (b'{"a": NaN}', "is not JSON in UTF-8"),
        (b'{"a": "\\ud800"}', "is not JSON in UTF-8"),
        (b'{"\\uDfFf": 1}', "is not JSON in UTF-8"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "is not JSON in UTF-8"),
        (b"[" * 200_000, "is not JSON in UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_parse_of_what_is_no_object_raises(body: bytes, message: str) -> None:
    ((pointer, found),) = errors_of(body)
    assert pointer == ""
    assert found.startswith(message)


def test_parse_of_an_escaped_pair_of_surrogates_returns_the_character() -> None:
    event = parse("OwnEvent", b'{"a": "\\ud83d\\ude00", "b": "\\\\ud800"}')
    assert event.to_dict() == {"a": "😀", "b": "\\ud800"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OrderId", "1", "must be an integer"),
        ("OrderId", 1.0, "must be an integer"),
        ("OrderId", True, "must be an integer"),
        ("OrderId", 2**63, "must be from"),
        ("ClientId", 2**31, "must be from"),
        ("OrderNo", 1, "must be a string"),
        ("OrderNo", None, "must not be null"),
    ],
)
def test_parse_of_a_wrong_value_raises_with_its_pointer(name: str, value: Any, message: str) -> None:
    ((pointer, found),) = errors_of(json_of({**ORDER, name: value}))
    assert pointer == f"/{name}"
    assert found.startswith(message)


@pytest.mark.parametrize("value", ["1e400", "1" + "0" * 400, "-1" + "0" * 400, '"1"', "true"])
def test_parse_of_a_number_beyond_a_double_raises(value: str) -> None:
    name, number = next(
        (name, each.name)
        for name, model in MODELS.items()
        for each in model.__dataclass_fields__.values()
        if "Double" in str(each.type)
    )
    with pytest.raises(InvalidEventError) as raised:
        parse(name, f'{{"{number}": {value}}}'.encode())
    assert f"/{number}" in dict(raised.value.errors)


def test_parse_without_required_properties_names_each() -> None:
    assert [pointer for pointer, _ in errors_of(b"{}")] == [
        "/ClientId", "/ApplicationId", "/OrderId", "/OrderNo", "/ClientOrderRef", "/Source",
    ]  # fmt: skip


def test_parse_of_an_unknown_property_follows_the_policy() -> None:
    body = json_of({**ORDER, "a/b~c": [1]})
    kept = parse("OrderConfirmedEvent", body)
    ignored = parse("OrderConfirmedEvent", body, unknown_properties="ignore")
    assert isinstance(kept, OrderConfirmedEvent)
    assert isinstance(ignored, OrderConfirmedEvent)
    assert kept.extra == {"a/b~c": [1]}
    assert ignored.extra == {}
    assert json.loads(kept.to_json()) == json.loads(body)
    assert errors_of(body, "reject") == [("/a~1b~0c", "is not a property of this event type")]


def test_parse_of_a_property_named_extra_keeps_it() -> None:
    event = parse("OrderConfirmedEvent", json_of({**ORDER, "extra": {"a": 1}}))
    assert event.to_dict() == {**ORDER, "extra": {"a": 1}}


def test_parse_of_an_unknown_type_returns_its_data() -> None:
    assert parse("OwnEvent", b'{"a": 1}') == UnknownEvent("OwnEvent", {"a": 1})


def test_parse_of_many_wrong_properties_lists_twenty() -> None:
    body = json_of({**ORDER, **{f"p{number}": 1 for number in range(1_000)}})
    assert len(errors_of(body, "reject")) == 20


@given(st.sampled_from([*MODELS, "OwnEvent"]), st.dictionaries(st.sampled_from([*ORDER, "x"]), JSON))
def test_parse_of_an_arbitrary_object_returns_or_raises_invalid_event(event_type: str, data: dict[str, Any]) -> None:
    try:
        event = parse(event_type, json_of(data))
    except InvalidEventError as error:
        assert error.errors  # noqa: PT017
    else:
        assert event.event_type == event_type
