"""Parse events: what is accepted, and what is refused with which status and words."""

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commerce_event.accept import strict_json
from commerce_event.accept.contract_errors import find_faults
from commerce_event.accept.errors import (
    BodyTooLargeError,
    InvalidEventError,
    InvalidKeyError,
    NotJsonError,
    UnknownTypeError,
)
from commerce_event.accept.parse import ParsedEvent, check_idempotency_key, parse_event, read_traceparent
from commerce_event.contract import EVENT_TYPES
from commerce_event.contract.catalogue import EventType
from commerce_event.core.model import ValidationMode
from commerce_event.core.problems import Fault, RejectedError

NAME = "OrderConfirmedEvent"
EXAMPLE = EVENT_TYPES[NAME].example
LIMIT = 262_144


def body_of(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def parse(body: bytes, name: str = NAME) -> ParsedEvent:
    return parse_event(name, body, max_bytes=LIMIT)


def with_raw(name: str, raw: bytes) -> bytes:
    """Return the example with one property replaced by raw bytes."""
    members = {key: body_of(value) for key, value in EXAMPLE.items()} | {name: raw}
    return b"{" + b",".join(body_of(key) + b":" + value for key, value in members.items()) + b"}"


def refusal(body: bytes) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        parse(body)
    return caught.value


# What is accepted


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_parse_event_example_of_every_type_is_accepted(name: str) -> None:
    body = body_of(EVENT_TYPES[name].example)

    parsed = parse(body, name)

    assert parsed.type is EVENT_TYPES[name]
    assert parsed.client_id == 1006
    assert parsed.application_id == parsed.data.get("ApplicationId")
    assert parsed.data == EVENT_TYPES[name].example
    assert parsed.body is body


def test_parse_event_properties_beyond_the_contract_are_kept() -> None:
    extra = {
        "Placed": "2026-01-31T10:00:00+01:00",
        "Lines": [{"PartNo": "A", "Note": None}, {"PartNo": "B"}],
        "Nul": "\0",
    }

    assert parse(body_of(EXAMPLE | extra)).data == EXAMPLE | extra


def test_parse_event_absent_application_is_none() -> None:
    assert parse(b'{"ClientId":1,"JobId":2,"StatusId":2}', "JobCompletedEvent").application_id is None


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_parse_event_null_in_every_optional_property_is_absent_and_kept(name: str) -> None:
    event_type = EVENT_TYPES[name]
    nulls = {field.name: None for field in event_type.fields if not field.required}
    body = body_of(event_type.example | nulls)

    parsed = parse(body, name)

    assert parsed.body is body
    assert parsed.application_id == (event_type.example | nulls).get("ApplicationId")
    without = {key: value for key, value in event_type.example.items() if key not in nulls}
    assert event_type.business_key(parsed.data) == event_type.business_key(without)


@given(st.sampled_from(list(EVENT_TYPES)), st.data())
def test_parse_event_null_is_accepted_exactly_where_absence_is(name: str, draw: st.DataObject) -> None:
    event_type = EVENT_TYPES[name]
    changed = draw.draw(st.sets(st.sampled_from(sorted(event_type.properties)), min_size=1))
    absent = {key: value for key, value in event_type.example.items() if key not in changed}

    nulls = parse_or_reject(body_of(event_type.example | dict.fromkeys(changed)), name)
    left_out = parse_or_reject(body_of(absent), name)

    assert isinstance(nulls, RejectedError) == isinstance(left_out, RejectedError)


@pytest.mark.parametrize("number", [b"0", b"-0.5", b"1", b"1E2", b"99999999999999999999", b"1.7976931348623157e308"])
def test_parse_event_amount_may_be_any_double(number: bytes) -> None:
    body = (
        b'{"ClientId":1,"ApplicationId":2,"ClientOrderRef":"r","ErpOrderNo":"e","PaymentCode":"p","Amount":%s}' % number
    )

    assert parse(body, "OrderPaymentReceivedEvent").data["Amount"] == json.loads(number)


@pytest.mark.parametrize(
    "text", ["\u202e", "e" + "\u0301" * 500, "👩‍👩‍👧‍👦", "\u2028", "𝄞", "Ａ", "x" * 200_000, "a\\u0000b", '"\\/\b']
)
def test_parse_event_any_text_is_accepted(text: str) -> None:
    assert parse(body_of(EXAMPLE | {"LastName": text})).data["LastName"] == text


def test_parse_event_escaped_surrogate_pair_is_a_character() -> None:
    assert parse(with_raw("LastName", b'"\\ud83d\\ude00 \\\\ud800"')).data["LastName"] == "😀 \\ud800"


@pytest.mark.parametrize("table", ["tCategory", "tSomethingNew", "tX9"])
def test_parse_event_unlisted_table_of_an_open_list_is_accepted(table: str) -> None:
    data = {"ClientId": 1, "PartNo": "A", "EntityChanged": table}

    assert parse(body_of(data), "SkuChangedNotification").data == data


@pytest.mark.parametrize("depth", [63, strict_json.MAX_DEPTH - 1])
def test_parse_event_nesting_up_to_the_limit_is_accepted(depth: int) -> None:
    raw = b"[" * depth + b"]" * depth

    assert "Extra" in parse(with_raw("Extra", raw)).data


def test_parse_event_brackets_inside_text_are_not_nesting() -> None:
    assert parse(body_of(EXAMPLE | {"Extra": '[{"' * 500})).data["Extra"] == '[{"' * 500


# What is refused before it is read


def test_parse_event_body_beyond_the_limit_is_413() -> None:
    with pytest.raises(BodyTooLargeError, match="11 bytes; the limit is 10") as caught:
        parse_event(NAME, b"x" * 11, max_bytes=10)

    assert caught.value.status == 413


@pytest.mark.parametrize("name", ["", "orderconfirmedevent", "OrderConfirmedEvent ", "x" * 5000, "\0"])
def test_parse_event_unknown_type_is_404(name: str) -> None:
    with pytest.raises(UnknownTypeError) as caught:
        parse(body_of(EXAMPLE), name)

    assert caught.value.status == 404
    assert len(caught.value.detail) < 600


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OrderConfirmdEvent", "There is no event type 'OrderConfirmdEvent'. Did you mean OrderConfirmedEvent?"),
        ("order.confirmed", "There is no event type 'order.confirmed'. Did you mean OrderConfirmedEvent?"),
        ("Nothing", "There is no event type 'Nothing'; GET /v1/event-types lists them."),
    ],
)
def test_parse_event_unknown_type_near_name_is_offered(name: str, hint: str) -> None:
    with pytest.raises(UnknownTypeError) as caught:
        parse(body_of(EXAMPLE), name)

    assert caught.value.detail == hint


# Not JSON: 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b"\xef\xbb\xbf" + body_of(EXAMPLE), "byte order mark"),
        (json.dumps(EXAMPLE).encode("utf-16"), "UTF-16"),
        (json.dumps(EXAMPLE).encode("utf-16-be"), "UTF-16"),
        (json.dumps(EXAMPLE).encode("utf-32-le"), "UTF-16 or UTF-32"),
        (b'{"A":"\xff"}', "byte 6"),
        (b'{"\xc3\xa5":"\xed\xa0\x80"}', "byte 7"),
        (b'{"A":"\xc0\x80"}', "byte 6"),
        (b'{"A":1,}', "byte "),  # the comma, or what follows it: Python's own reader decides
        ('{"å":}'.encode(), "byte 6"),
        (b'{"A":01}', "byte 6"),
        (b"{'A':1}", "byte 1"),
        (b'{"A":1 /* no */}', "byte 7"),
        (b'{"A":"a\nb"}', "byte 7"),
        (b'{"A":"a\0b"}', "byte 7"),
        (b'{"A":"\\x41"}', "byte 6"),
        (b'{"A":1', "byte 6"),
        (b'{"A":"', "byte 5"),
        (b"{} {}", "byte 3"),
        (b"{}\0", "byte 2"),
        (b'{"A":NaN}', "byte 5"),
        (b'{"A":[1,-Infinity]}', "byte 8"),
        (b'{"A":"1e999","B":1e400}', "byte 17"),
        (b'{"A":-1E400}', "byte 5"),
        (b'{"ClientId":' + b"9" * 5000 + b"}", "byte 12"),
        (b'{"A":"\\ud800"}', "byte 6"),
        (b'{"A":"\\\\\\uDFFF"}', "byte 8"),
        (b'{"A":"\\ud800\\u0041"}', "byte 6"),
        (b'{"\\ud83d":1}', "byte 2"),
    ],
)
def test_parse_event_not_json_is_400_and_names_the_byte(body: bytes, words: str) -> None:
    error = refusal(body)

    assert isinstance(error, NotJsonError)
    assert error.status == 400
    assert words in error.detail


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"A":1,"A":1}', "/A"),
        (b'{"A":1,"\\u0041":2}', "/A"),
        (b'{"A":{"B":[0,{"c/d~":1,"x":":","c/d~":2}]}}', "/A/B/1/c~1d~0"),
        (b'{"":1,"":2}', "/"),
        (b'{"A":"\\u003a","B":1,"B":2}', "/B"),
        (b'{"A":"\\u003A","\\u003a":[],"B":{},"B":2}', "/B"),
    ],
)
def test_parse_event_repeated_name_is_400_with_its_pointer(body: bytes, pointer: str) -> None:
    error = refusal(body)

    assert (error.status, [fault.pointer for fault in error.faults]) == (400, [pointer])
    assert "twice" in error.detail


@pytest.mark.parametrize("outside", [b'"x:y"', b'{"a:":[{"b":":"}]}', b'["\\":\\"", {"a":{}}]'])
def test_parse_event_repeated_name_is_found_among_colons_in_texts(outside: bytes) -> None:
    assert "Extra" in parse(with_raw("Extra", outside)).data
    error = refusal(with_raw("Extra", b'[%s,{"c":1,"d":2,"c":3}]' % outside))

    assert [fault.pointer for fault in error.faults] == ["/Extra/1/c"]


def test_parse_event_repeated_name_that_hides_deep_nesting_is_400() -> None:
    deep = b"[" * 900 + b"]" * 900

    assert "nested" in refusal(b'{"A":%s,"A":1}' % deep).detail


@pytest.mark.parametrize("number", [b"9" * 400 + b".5", b"-" + b"1" * 320 + b".0", b"1" + b"0" * 309 + b"e0"])
def test_parse_event_long_number_beyond_a_double_is_400_with_its_byte(number: bytes) -> None:
    assert "byte 12" in refusal(b'{"A":[1,1e1,' + number + b"]}").detail


def test_parse_event_same_name_in_different_objects_is_accepted() -> None:
    assert parse(with_raw("Lines", b'[{"A":1},{"A":2,"B":{"A":3}}]')).data["Lines"][1]["B"] == {"A": 3}


@pytest.mark.parametrize("depth", [strict_json.MAX_DEPTH + 1, 2_000, 100_000])
@pytest.mark.parametrize("bracket", [b"[", b'{"a":', b'[{"a":"]",'])
def test_parse_event_deep_nesting_is_400(depth: int, bracket: bytes) -> None:
    error = refusal((bracket * depth)[:LIMIT])

    assert (error.status, "nested" in error.detail) == (400, True)


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 130_000, b'"' * LIMIT, b"[]" * 131_072, b'{"a":"' + b"[\\" * 130_000])
def test_parse_event_bodies_made_to_be_slow_are_refused(body: bytes) -> None:
    assert refusal(body).status == 400


# Breaks the contract: 422


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"7", b" [{}] "])
def test_parse_event_json_that_is_not_an_object_is_422(body: bytes) -> None:
    error = refusal(body)

    assert isinstance(error, InvalidEventError)
    assert error.status == 422
    assert error.faults == (Fault("", "must be an object"),)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("ClientId", b"2147483648", "must be a whole number from -2147483648 to 2147483647"),
        ("ClientId", b"-2147483649", "must be a whole number from -2147483648 to 2147483647"),
        ("ClientId", b"9" * 4000, "must be a whole number from -2147483648 to 2147483647"),
        ("ClientId", b"true", "must be a whole number from -2147483648 to 2147483647, not true or false"),
        ("ClientId", b'"1"', "must be a whole number from -2147483648 to 2147483647, not text"),
        ("ClientId", b"1.0", "must be a whole number from -2147483648 to 2147483647, not a fraction or an exponent"),
        ("ClientId", b"1E2", "must be a whole number from -2147483648 to 2147483647, not a fraction or an exponent"),
        ("ClientId", b"null", "must be a whole number from -2147483648 to 2147483647, not null"),
        ("OrderId", b"9223372036854775808", "must be a whole number from -9223372036854775808 to 9223372036854775807"),
        ("OrderNo", b"5", "must be text, not a number"),
        ("OrderNo", b"5.5", "must be text, not a number"),
        ("OrderNo", b"[]", "must be text, not a list"),
        ("OrderNo", b"{}", "must be text, not an object"),
        ("OrderNo", b'"a\\u0000"', "must not contain the character U+0000"),
        ("FirstName", b"false", "must be text, not true or false"),
        ("FirstName", b'"\\u0000"', "must not contain the character U+0000"),
    ],
)
def test_parse_event_invalid_property_is_422_with_pointer_and_reason(name: str, raw: bytes, message: str) -> None:
    error = refusal(with_raw(name, raw))

    assert isinstance(error, InvalidEventError)
    assert error.status == 422
    assert error.faults == (Fault(f"/{name}", message),)


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("JobCompletedEvent", {"StatusId": 7}, Fault("/StatusId", "must be one of 1, 2, 3, 4, 5, 6")),
        ("JobCompletedEvent", {"StatusId": 2.0}, Fault("/StatusId", "must be one of 1, 2, 3, 4, 5, 6, not a fraction or an exponent")),
        ("InvoiceCaptureCompletedEvent", {"State": "captured"}, Fault("/State", "must be one of Captured, Error")),
        ("SupplierSkuOnHandChangedNotification", {"EntityChanged": "tX"}, Fault("/EntityChanged", "must be tSupplierProductSkuOnHand")),
        ("OrderPaymentReceivedEvent", {"Amount": "1"}, Fault("/Amount", "must be a number, not text")),
        ("OrderPaymentReceivedEvent", {"Amount": True}, Fault("/Amount", "must be a number, not true or false")),
        ("OrderPaymentReceivedEvent", {"Amount": 10**400}, Fault("/Amount", "must be a number that fits a double (64 bits)")),
    ],
)  # fmt: skip
def test_parse_event_value_outside_closed_list_or_double_is_refused(
    name: str, data: dict[str, Any], fault: Fault
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse(body_of(EVENT_TYPES[name].example | data), name)

    assert caught.value.faults == (fault,)


@pytest.mark.parametrize("table", ["Category", "tcategory", "t", "tA-b", "tA\n", "tÅr", ""])
def test_parse_event_malformed_table_of_an_open_list_is_refused(table: str) -> None:
    body = body_of({"ClientId": 1, "PartNo": "A", "EntityChanged": table})

    with pytest.raises(InvalidEventError) as caught:
        parse(body, "SkuChangedNotification")

    assert [fault.pointer for fault in caught.value.faults] == ["/EntityChanged"]


def test_parse_event_all_faults_are_reported_in_contract_order() -> None:
    error = refusal(b'{"Source":1,"FirstName":2,"OrderId":"x","ClientId":1}')

    assert [fault.pointer for fault in error.faults] == [
        "/ApplicationId", "/OrderId", "/OrderNo", "/ClientOrderRef", "/FirstName", "/Source",
    ]  # fmt: skip
    assert error.faults[0].message == "is required"
    assert "6 places" in error.detail


# Laws

INTERESTING = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, -(2**63), 10**400, 1.0, 0.5, "", "1", "\0", "tA", "tA\n", [], [1], {}, {"a": 1}]
)  # fmt: skip
SNIPPETS = st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"NaN",
     b"1e400", b"-", b".0", b"null", b"true", b'"ClientId":1,', b'{"a":1,"a":2}', b"9" * 4301, b"[" * 70, b"\n", b"\x1f"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
json_texts = json_values.map(lambda value: json.dumps(value).encode())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    body = body_of(EXAMPLE | {"Lines": [{"PartNo": "A", "At": "10:00"}]})
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(SNIPPETS | st.binary(max_size=3)) + body[start + draw(st.integers(0, 6)) :]
    return body


@settings(max_examples=80)
@given(st.binary() | json_texts | mutated(), st.sampled_from(list(EVENT_TYPES)))
@example(b'{"ClientId":1,"JobId":1,"StatusId":1,"x":1}', "JobCompletedEvent")
def test_parse_event_any_bytes_are_an_event_or_an_error(body: bytes, name: str) -> None:
    outcome = parse_or_reject(body, name)

    if isinstance(outcome, RejectedError):
        assert outcome.status in {400, 422}
        assert outcome.detail
        assert len(outcome.faults) <= 20
    else:
        assert outcome.data == json.loads(body)
        assert outcome.body == body


def parse_or_reject(body: bytes, name: str) -> ParsedEvent | RejectedError:
    try:
        return parse(body, name)
    except RejectedError as error:
        return error


def loads_strictly(body: bytes) -> Any:
    """Load JSON slowly but surely: the law that the fast way is held against."""

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in members}) == len(members)
        return dict(members)

    def refuse(_: str) -> None:
        raise ValueError("not JSON")

    value = json.loads(body.decode(), object_pairs_hook=unique, parse_constant=refuse)
    check_values(value, strict_json.MAX_DEPTH)
    return value


def check_values(value: Any, depth_left: int) -> None:
    if isinstance(value, dict | list):
        assert depth_left > 0
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        for element in inner:
            check_values(element, depth_left - 1)
    elif isinstance(value, str):
        value.encode()
    else:
        assert not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=150)
@given(st.binary(max_size=8) | json_texts | mutated())
@example(b'"\\ud83d\\ude00"')
@example(b'{"a":{},"b":1}')
@example(b'{"a:":1,"a:":2}')
@example(b"[" * 64 + b"]" * 64)
def test_load_accepts_exactly_what_strict_loading_accepts(body: bytes) -> None:
    try:
        wanted = loads_strictly(body)
    except (ValueError, AssertionError, RecursionError):
        with pytest.raises(NotJsonError):
            strict_json.load(body)
    else:
        assert strict_json.load(body) == wanted


@given(st.sampled_from(list(EVENT_TYPES)), st.data())
def test_find_faults_finds_some_exactly_when_the_class_refuses(name: str, draw: st.DataObject) -> None:
    event_type = EVENT_TYPES[name]
    changes = draw.draw(st.dictionaries(st.sampled_from(sorted(event_type.properties)), INTERESTING, max_size=3))
    left_out = draw.draw(st.sets(st.sampled_from(sorted(event_type.properties)), max_size=1))
    data = {key: value for key, value in (event_type.example | changes).items() if key not in left_out}

    refused = not converts(data, event_type.model) or "\0" in data.values()

    assert bool(find_faults(event_type, data)) == refused


def converts(data: Mapping[str, Any], model: type[msgspec.Struct] | None) -> bool:
    assert model is not None
    try:
        msgspec.convert(data, model)
    except msgspec.ValidationError:
        return False
    return True


# Names that differ in case alone


@pytest.mark.parametrize("name", ["clientId", "CLIENTID", "orderno", "\u017fource"])
def test_parse_event_name_in_other_case_is_422_with_its_pointer(name: str) -> None:
    error = refusal(body_of(EXAMPLE | {name: 1, "Extra": 1}))

    assert error.status == 422
    assert [fault.pointer for fault in error.faults] == [f"/{name}"]


def test_parse_event_missing_name_and_its_other_case_are_both_reported() -> None:
    renamed = {name: value for name, value in EXAMPLE.items() if name != "ClientId"} | {"clientId": 1}

    assert [fault.pointer for fault in refusal(body_of(renamed)).faults] == ["/ClientId", "/clientId"]


def test_parse_event_names_of_other_types_and_inner_objects_are_kept() -> None:
    extra = {"partNo": "A", "Lines": [{"clientId": 2, "ORDERID": 3}]}

    assert parse(body_of(EXAMPLE | extra)).data == EXAMPLE | extra


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda each: each.name)
def test_contract_no_two_names_of_a_type_differ_in_case_only(event_type: EventType) -> None:
    assert len({name.casefold() for name in event_type.properties}) == len(event_type.properties)


# Idempotency keys and traces


@pytest.mark.parametrize("key", ["a", "x" * 256, "order 7 #1", "https://shop.example/#å"])
def test_check_idempotency_key_printable_key_is_returned(key: str) -> None:
    assert check_idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 257, "a\n", "\0", "\x7f", "\u202e", "\ud800"])
def test_check_idempotency_key_other_keys_are_400(key: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        check_idempotency_key(key)

    assert caught.value.status == 400


def test_read_traceparent_malformed_is_none() -> None:
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert read_traceparent(good) == good
    for bad in (None, "", good.upper(), good + "\r\nx: y", "ff" + good[2:], f"00-{'0' * 32}-00f067aa0ba902b7-01"):
        assert read_traceparent(bad) is None


# Validation modes


def parse_in(mode: ValidationMode, data: Any, name: str = NAME) -> ParsedEvent:
    return parse_event(name, body_of(data), max_bytes=LIMIT, mode_of=lambda _client, _type: mode)


BROKEN = EXAMPLE | {"OrderNo": 5, "Source": None, "firstname": "Eva"}


def test_parse_event_warn_accepts_with_the_faults_that_reject_gives() -> None:
    parsed = parse_in("warn", BROKEN)

    assert (parsed.client_id, parsed.data) == (EXAMPLE["ClientId"], BROKEN)
    assert parsed.warnings == refusal(body_of(BROKEN)).faults
    assert [fault.pointer for fault in parsed.warnings] == ["/OrderNo", "/Source", "/firstname"]


def test_parse_event_off_accepts_without_warnings() -> None:
    assert parse_in("off", BROKEN).warnings == ()


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_parse_event_that_keeps_the_contract_has_no_warnings_in_any_mode(mode: ValidationMode) -> None:
    assert parse_in(mode, EXAMPLE) == parse(body_of(EXAMPLE))


@pytest.mark.parametrize("mode", ["warn", "off"])
@pytest.mark.parametrize(
    "data",
    [
        [],
        None,
        {"OrderNo": "1"},
        EXAMPLE | {"ClientId": "1006"},
        EXAMPLE | {"ClientId": 2**31},
        EXAMPLE | {"ClientId": True},
        EXAMPLE | {"OrderNo": "a\0"},
        EXAMPLE | {"ApplicationId": "\0"},
    ],
)
def test_parse_event_unusable_body_is_422_in_every_mode(mode: ValidationMode, data: Any) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse_in(mode, data)

    assert caught.value.faults


@pytest.mark.parametrize("value", ["7", 7.0, True, None, 2**31, [7]])
def test_parse_event_warn_application_that_is_no_number_is_routed_as_none(value: Any) -> None:
    parsed = parse_in("warn", EXAMPLE | {"ApplicationId": value})

    assert parsed.application_id is None
    assert [fault.pointer for fault in parsed.warnings] == ["/ApplicationId"]


def test_parse_event_warn_accepts_unlisted_table_of_a_closed_list() -> None:
    data = {"ClientId": 1, "SupplierId": 2, "PartNo": "A", "EntityChanged": "tSupplierNew"}

    assert parse_in("warn", data, "SupplierSkuChangedNotification").data == data


def test_parse_event_mode_is_asked_by_client_and_type_when_the_contract_is_broken() -> None:
    asked = []

    def mode_of(client_id: int, event_type: EventType) -> ValidationMode:
        asked.append((client_id, event_type.name))
        return "off"

    for data in (EXAMPLE, BROKEN):
        parse_event(NAME, body_of(data), max_bytes=LIMIT, mode_of=mode_of)

    assert asked == [(EXAMPLE["ClientId"], NAME)]


@given(st.sampled_from(list(EVENT_TYPES)), st.data())
def test_parse_event_warn_accepts_all_but_unusable_bodies(name: str, draw: st.DataObject) -> None:
    event_type = EVENT_TYPES[name]
    names = st.sampled_from(sorted(event_type.properties - {"ClientId"}))
    data = event_type.example | draw.draw(st.dictionaries(names, INTERESTING, max_size=3))
    if "\0" in [data[each] for each in event_type.properties if each in data]:
        return

    parsed = parse_in("warn", data, name)

    assert parsed.warnings == getattr(parse_or_reject(body_of(data), name), "faults", ())
    event_type.business_key(parsed.data)
