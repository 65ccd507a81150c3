"""Batches: every format gives the same items, byte for byte, and each error in its place."""

import base64
import contextlib
import json
import tracemalloc
from collections.abc import Callable, Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.accept import parse
from commerce_event.accept.batch import Item, RefusedItem, read_batch
from commerce_event.accept.cloud_events import event_key
from commerce_event.accept.errors import BodyTooLargeError, InvalidItemError, NotJsonError, TooManyItemsError
from commerce_event.accept.parse import parse_event
from commerce_event.core.problems import RejectedError
from commerce_event.http.media_types import UnsupportedMediaError

LINES = "application/x-ndjson"
JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DATA = b'{ "ClientId":1,  "JobId":2,\t"StatusId":2, "More":[1.50, "\\u00e5"] }'
ATTRIBUTES = {"specversion": "1.0", "type": "JobCompletedEvent", "source": "/erp", "id": "7"}


def read(content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> list[Item | RejectedError]:
    raw = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    batch = read_batch(content_type, raw, body, max_items=5, max_bytes=10_000, max_event=1_000)
    return [each if isinstance(each, Item) else each.error for each in batch]


def only_item(content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> Item:
    (item,) = read(content_type, body, headers)
    assert isinstance(item, Item), item
    assert item.data is msgspec.UNSET or item.data == json.loads(item.body)
    return msgspec.structs.replace(item, data=msgspec.UNSET)


def only_rejection(content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> RejectedError:
    (error,) = read(content_type, body, headers)
    assert isinstance(error, RejectedError)
    return error


def plain(data: bytes = DATA, key: str = "a-1") -> bytes:
    return b'{"type":"JobCompletedEvent", "data" : %s , "id":"%s"}' % (data, key.encode())


def cloud_event(**attributes: object) -> bytes:
    members = {**ATTRIBUTES, **attributes}
    return json.dumps(members).encode()[:-1] + b', "data": ' + DATA + b"}"


def ce_headers(**attributes: str) -> dict[str, str]:
    return {f"ce-{name}": value for name, value in {**ATTRIBUTES, **attributes}.items()}


# Formats


@pytest.mark.parametrize("content_type", [LINES, "application/jsonl", "application/json-lines; charset=UTF-8", JSON])
def test_read_batch_plain_item_keeps_its_exact_bytes(content_type: str) -> None:
    item = only_item(content_type, plain())

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="a-1")


def test_read_batch_lines_keep_their_order_without_blank_ones() -> None:
    items = read(LINES, b"\n" + plain(key="1") + b"\r\n\r\n  \n" + plain(key="2"))

    assert [item.idempotency_key for item in items if isinstance(item, Item)] == ["1", "2"]


def test_read_batch_array_gives_each_element() -> None:
    items = read(JSON, b" [" + plain(key="1") + b" , " + plain(key="2") + b"]\n")

    assert [item.body for item in items if isinstance(item, Item)] == [DATA, DATA]


def test_read_batch_empty_array_gives_none() -> None:
    assert read(JSON, b"[]") == []


def test_read_batch_id_is_optional() -> None:
    assert only_item(JSON, b'{"type":"T","data":{}}') == Item(type="T", body=b"{}")


def test_read_batch_data_member_with_an_escaped_name_is_found() -> None:
    assert only_item(JSON, b'{"type":"T","d\\u0061ta":{"data":1}}').body == b'{"data":1}'


@pytest.mark.parametrize(("content_type", "form"), [(CLOUD_EVENT, b"%s"), (CLOUD_EVENTS, b"[%s]")])
def test_read_batch_cloud_event_gives_its_data_and_attributes(content_type: str, form: bytes) -> None:
    item = only_item(content_type, form % cloud_event(traceparent=TRACE, datacontenttype="application/json"))

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="/erp#7", traceparent=TRACE)


def test_read_batch_cloud_event_type_may_be_a_dotted_name() -> None:
    assert only_item(CLOUD_EVENT, cloud_event(type="com.shop.JobCompletedEvent")).type == "JobCompletedEvent"


@pytest.mark.parametrize("source", [None, ""])
def test_read_batch_cloud_event_without_source_has_its_id_as_key(source: str | None) -> None:
    assert only_item(CLOUD_EVENT, cloud_event(source=source)).idempotency_key == "7"


def test_read_batch_cloud_event_data_may_be_base64() -> None:
    body = json.dumps({**ATTRIBUTES, "data_base64": base64.b64encode(DATA).decode()}).encode()

    assert only_item(CLOUD_EVENT, body).body == DATA


def test_read_batch_malformed_traceparent_is_ignored() -> None:
    assert only_item(CLOUD_EVENT, cloud_event(traceparent="x\r\nevil: 1")).traceparent is None


@pytest.mark.parametrize("content_type", [JSON, "application/vnd.shop+json", "text/json"])
def test_read_batch_binary_cloud_event_is_the_body_itself(content_type: str) -> None:
    item = only_item(content_type, DATA, ce_headers(source="/erp/%C3%A5", traceparent=TRACE))

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="/erp/å#7", traceparent=TRACE)


def test_read_batch_binary_header_names_ignore_case() -> None:
    headers = {name.title(): value for name, value in ce_headers().items()}

    assert only_item(JSON, DATA, headers).idempotency_key == "/erp#7"


def test_read_batch_structured_content_type_wins_over_headers() -> None:
    assert only_item(CLOUD_EVENT, cloud_event(), ce_headers(id="other")).idempotency_key == "/erp#7"


# Faults in their place


@pytest.mark.parametrize(
    ("piece", "status", "words"),
    [
        (b"7", 422, "not a JSON object"),
        (b"{}", 422, "type"),
        (b'{"type":5,"data":{}}', 422, "type must be text"),
        (b'{"type":"","data":{}}', 422, "type is required"),
        (b'{"type":"T"}', 422, "data is required"),
        (b'{"type":"T","data":null}', 422, "data is required"),
        (b'{"type":"T","data":{},"id":7}', 422, "id must be text"),
        (b'{"type":"T","data":{},"id":""}', 400, "1 to 256"),
        (b'{"type":"T","data":{},"id":"a\\n"}', 400, "1 to 256"),
        (b'{"type":"T","data":{},"Id":"1"}', 422, "Id is unknown"),
        (b'{"type":"T","data":{},"type":"T"}', 400, "twice"),
        (b'{"type":"T","data":{"a":1,"a":2}}', 400, "twice"),
        (b'{"type":"T","data":{},"id":"\xff"}', 400, "byte 28"),
        (b'{"type":"T","data":' + b"[" * 100 + b"]" * 100 + b"}", 400, "nested"),
    ],
)
@pytest.mark.parametrize("form", [b"%s\n%s\n%s", b"[%s,%s,%s]"])
def test_read_batch_invalid_item_gives_its_error_in_its_place(
    form: bytes, piece: bytes, status: int, words: str
) -> None:
    first, error, last = read(JSON if form.startswith(b"[") else LINES, form % (plain(key="1"), piece, plain(key="3")))

    assert isinstance(first, Item)
    assert isinstance(error, RejectedError)
    assert isinstance(last, Item)
    assert (error.status, words in error.detail) == (status, True), error.detail


def test_read_batch_invalid_line_does_not_affect_others() -> None:
    results = read(LINES, plain() + b'\n{oops\n{"type":"\\ud800"}\n' + plain())

    assert [type(result) for result in results] == [Item, NotJsonError, NotJsonError, Item]


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"specversion": None}, "/specversion"),
        ({"id": None}, "/id"),
        ({"id": 7}, "/id"),
        ({"type": None}, "/type"),
        ({"source": 7}, "/source"),
        ({"datacontenttype": "text/xml"}, "/datacontenttype"),
        ({"data_base64": "e30="}, "/data_base64"),
    ],
)
def test_read_batch_invalid_attribute_is_named(attributes: dict[str, object], pointer: str) -> None:
    error = only_rejection(CLOUD_EVENT, cloud_event(**attributes))

    assert isinstance(error, InvalidItemError)
    assert [fault.pointer for fault in error.faults] == [pointer]


@pytest.mark.parametrize("text", ["?", "e30", "e3 0=", "é"])
def test_read_batch_invalid_base64_is_refused(text: str) -> None:
    error = only_rejection(CLOUD_EVENT, json.dumps({**ATTRIBUTES, "data_base64": text}).encode())

    assert [fault.pointer for fault in error.faults] == ["/data_base64"]


@pytest.mark.parametrize("missing", ["specversion", "type", "id"])
def test_read_batch_binary_cloud_event_without_a_required_header_is_refused(missing: str) -> None:
    headers = ce_headers()
    del headers[f"ce-{missing}"]

    assert [fault.pointer for fault in only_rejection(JSON, DATA, headers).faults] == [f"/{missing}"]


# What tells CloudEvents apart


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a#b", "c"), ("a", "b#c")),
        (("a#", "b"), ("a", "#b")),
        (("#", "#"), ("##", "")),
        (("#3#a", "b"), ("#3", "a#b")),
        (("3#a#b", "c"), ("a#b", "c")),
    ],
)
def test_event_key_differs_for_sources_and_ids_that_join_alike(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert event_key(*one) != event_key(*other)


texts = st.text("#1a", min_size=1, max_size=6)


@given(texts, texts, texts, texts)
def test_event_key_is_equal_only_for_equal_source_and_id(
    source: str, id_: str, other_source: str, other_id: str
) -> None:
    same = (source, id_) == (other_source, other_id)

    assert (event_key(source, id_) == event_key(other_source, other_id)) == same


# Faults of the whole


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("", b"{}", UnsupportedMediaError),
        ("text/plain", b"{}", UnsupportedMediaError),
        ("application/xml", b"{}", UnsupportedMediaError),
        ("application/json; charset=latin-1", b"{}", UnsupportedMediaError),
        (LINES, b"", NotJsonError),
        (LINES, b"\n \r\n", NotJsonError),
        (JSON, b"", NotJsonError),
        (JSON, b"7", InvalidItemError),
        (JSON, b"[{}", NotJsonError),
        (JSON, b"[{}] x", NotJsonError),
        (JSON, b"\xef\xbb\xbf[]", NotJsonError),
        (JSON, b"[" * 9_000, NotJsonError),
        (CLOUD_EVENTS, b"{}", InvalidItemError),
        (LINES, b"1\n" * 6, TooManyItemsError),
        (JSON, b"[1,1,1,1,1,1]", TooManyItemsError),
        (JSON, b" " * 10_001, BodyTooLargeError),
    ],
)
def test_read_batch_unreadable_request_is_refused(content_type: str, body: bytes, error: type[RejectedError]) -> None:
    with pytest.raises(error):
        read(content_type, body)


# Bounds

MIB = 1024 * 1024
LARGE = 16 * MIB


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        (JSON, b"[" + b"1," * (LARGE // 2 - 2) + b"1]", TooManyItemsError),
        (LINES, b"1\n" * (LARGE // 2), TooManyItemsError),
        (LINES, b"\n" * LARGE, NotJsonError),
        (JSON, b"[" + b'{"a":1},' * (LARGE // 8 - 1), TooManyItemsError),
        (JSON, b"[[" + b"1," * (LARGE // 2 - 1), NotJsonError),
        (CLOUD_EVENTS, b'{"a":[' + b"1," * (LARGE // 2 - 5) + b"1]}", InvalidItemError),
    ],
    ids=["array", "lines", "blank lines", "objects", "no end", "no array"],
)
def test_read_batch_too_large_request_is_refused_within_bounded_memory(
    content_type: str, body: bytes, error: type[RejectedError]
) -> None:
    def read_all() -> None:
        with pytest.raises(error):
            read_batch(content_type, {}, body, max_items=1_000, max_bytes=LARGE, max_event=262_144)

    assert peak_of(read_all) < 2 * LARGE


@pytest.mark.parametrize("form", [b"[%s]", b"%s\n1"])
@pytest.mark.parametrize("large", [b"[" + b"1," * 7 * MIB + b"1]", b'{"a":[' + b"{}," * 5 * MIB + b"1]}"])
def test_read_batch_too_large_item_is_refused_without_decoding_it(form: bytes, large: bytes) -> None:
    content_type = JSON if form.startswith(b"[") else LINES
    found: list[Item | RefusedItem] = []

    def read_all() -> None:
        found.extend(read_batch(content_type, {}, form % large, max_items=9, max_bytes=LARGE, max_event=262_144))

    assert peak_of(read_all) < 5 * LARGE
    assert isinstance(found[0], RefusedItem)
    assert isinstance(found[0].error, BodyTooLargeError)


def peak_of(call: Callable[[], None]) -> int:
    """Return how many bytes were held at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_read_batch_fault_of_a_large_request_names_its_byte() -> None:
    body = b"[" + b'{"a":"' + b"x" * MIB + b'"} 1]'

    with pytest.raises(NotJsonError, match=rf"byte {len(body) - 2}\)"):
        read_batch(JSON, {}, body, max_items=5, max_bytes=LARGE, max_event=262_144)


@pytest.mark.parametrize("body", [plain(), b"[" + plain() + b"]"])
def test_parse_event_of_a_batch_item_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    (item,) = read(JSON, body)
    assert isinstance(item, Item)
    monkeypatch.delattr(parse, "load")

    assert parse_event(item.type, item.body, max_bytes=1_000, data=item.data).data == json.loads(DATA)


# Laws

CONTENT_TYPES = st.sampled_from([LINES, JSON, CLOUD_EVENT, CLOUD_EVENTS, "application/vnd.x+json", "text/html"])
PIECES = st.sampled_from(
    [plain(), cloud_event(), b"[", b"]", b",", b"\n", b"{", b"}", b"null", b'"', b"\\", b"\xff", b"\0"]
)


@given(CONTENT_TYPES, st.lists(PIECES | st.binary(max_size=4), max_size=6).map(b"".join), st.booleans())
def test_read_batch_any_bytes_give_items_or_errors(content_type: str, body: bytes, binary: bool) -> None:
    for result in read_or_reject(content_type, body, ce_headers() if binary else {}):
        if isinstance(result, Item):
            assert result.body in body
            with contextlib.suppress(RejectedError):
                parse_event(result.type, result.body, max_bytes=10_000, data=result.data)
        else:
            assert result.status in {400, 413, 415, 422}


def read_or_reject(content_type: str, body: bytes, headers: Mapping[str, str]) -> list[Item | RejectedError]:
    try:
        return read(content_type, body, headers)
    except RejectedError as error:
        return [error]


spaces = st.text(" \t", max_size=2)


@settings(max_examples=50)
@given(st.lists(st.tuples(spaces, st.dictionaries(st.text(), st.text() | st.integers())), max_size=5))
def test_read_batch_lines_and_arrays_keep_the_exact_bytes(parts: list[tuple[str, dict[str, object]]]) -> None:
    bodies = [json.dumps(data, separators=("," + space, ":" + space)).encode() for space, data in parts]
    wrapped = [plain(body) for body in bodies]

    from_array = read(JSON, b"[" + b",".join(wrapped) + b"]")
    from_lines = read(LINES, b"\n".join(wrapped)) if wrapped else []

    assert from_array == from_lines
    assert [item.body for item in from_array if isinstance(item, Item)] == bodies
