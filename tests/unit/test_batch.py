"""Many events in one request: every format gives the same items, byte for byte, each fault in its place."""

import base64
import contextlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.accept.batch import Item, read_batch
from commerce_event.accept.parse import BodyTooLargeError, NotJsonError, RejectedError, parse_event
from commerce_event.accept.rejections import InvalidItemError, TooManyItemsError, UnsupportedMediaError

LINES = "application/x-ndjson"
JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DATA = b'{ "ClientId":1,  "JobId":2,\t"StatusId":2, "More":[1.50, "\\u00e5"] }'
ATTRIBUTES = {"specversion": "1.0", "type": "JobCompletedEvent", "source": "/erp", "id": "7"}


def read(content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> list[Item | RejectedError]:
    return read_batch(content_type, headers or {}, body, max_items=5, max_bytes=10_000)


def only_item(content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> Item:
    (item,) = read(content_type, body, headers)
    assert isinstance(item, Item), item
    return item


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
def test_plain_item_is_cut_out_exactly(content_type: str) -> None:
    item = only_item(content_type, plain())

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="a-1")


def test_lines_keep_their_order_and_blank_ones_are_skipped() -> None:
    items = read(LINES, b"\n" + plain(key="1") + b"\r\n\r\n  \n" + plain(key="2"))

    assert [item.idempotency_key for item in items if isinstance(item, Item)] == ["1", "2"]


def test_array_holds_many() -> None:
    items = read(JSON, b" [" + plain(key="1") + b" , " + plain(key="2") + b"]\n")

    assert [item.body for item in items if isinstance(item, Item)] == [DATA, DATA]


def test_empty_array_holds_none() -> None:
    assert read(JSON, b"[]") == []


def test_id_may_be_left_out() -> None:
    assert only_item(JSON, b'{"type":"T","data":{}}') == Item(type="T", body=b"{}")


def test_text_of_the_data_member_is_found_however_its_name_is_written() -> None:
    assert only_item(JSON, b'{"type":"T","d\\u0061ta":{"data":1}}').body == b'{"data":1}'


@pytest.mark.parametrize(("content_type", "form"), [(CLOUD_EVENT, b"%s"), (CLOUD_EVENTS, b"[%s]")])
def test_cloud_event_is_unwrapped(content_type: str, form: bytes) -> None:
    item = only_item(content_type, form % cloud_event(traceparent=TRACE, datacontenttype="application/json"))

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="/erp#7", traceparent=TRACE)


def test_cloud_event_type_may_be_a_dotted_name() -> None:
    assert only_item(CLOUD_EVENT, cloud_event(type="com.shop.JobCompletedEvent")).type == "JobCompletedEvent"


@pytest.mark.parametrize("source", [None, ""])
def test_cloud_event_without_source_is_known_by_its_id(source: str | None) -> None:
    assert only_item(CLOUD_EVENT, cloud_event(source=source)).idempotency_key == "7"


def test_cloud_event_data_may_be_base64() -> None:
    body = json.dumps({**ATTRIBUTES, "data_base64": base64.b64encode(DATA).decode()}).encode()

    assert only_item(CLOUD_EVENT, body).body == DATA


def test_malformed_traceparent_is_dropped() -> None:
    assert only_item(CLOUD_EVENT, cloud_event(traceparent="x\r\nevil: 1")).traceparent is None


@pytest.mark.parametrize("content_type", [JSON, "application/vnd.shop+json", "text/json"])
def test_binary_cloud_event_is_the_body_itself(content_type: str) -> None:
    item = only_item(content_type, DATA, ce_headers(source="/erp/%C3%A5", traceparent=TRACE))

    assert item == Item(type="JobCompletedEvent", body=DATA, idempotency_key="/erp/å#7", traceparent=TRACE)


def test_binary_header_names_have_no_case() -> None:
    headers = {name.title(): value for name, value in ce_headers().items()}

    assert only_item(JSON, DATA, headers).idempotency_key == "/erp#7"


def test_structured_content_type_wins_over_headers() -> None:
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
def test_broken_item_is_rejected_in_its_place(form: bytes, piece: bytes, status: int, words: str) -> None:
    first, error, last = read(JSON if form.startswith(b"[") else LINES, form % (plain(key="1"), piece, plain(key="3")))

    assert isinstance(first, Item)
    assert isinstance(error, RejectedError)
    assert isinstance(last, Item)
    assert (error.status, words in error.detail) == (status, True), error.detail


def test_broken_line_does_not_break_its_neighbours() -> None:
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
def test_wrong_attribute_is_named(attributes: dict[str, object], pointer: str) -> None:
    error = only_rejection(CLOUD_EVENT, cloud_event(**attributes))

    assert isinstance(error, InvalidItemError)
    assert [fault.pointer for fault in error.faults] == [pointer]


@pytest.mark.parametrize("text", ["?", "e30", "e3 0=", "é"])
def test_bad_base64_is_refused(text: str) -> None:
    error = only_rejection(CLOUD_EVENT, json.dumps({**ATTRIBUTES, "data_base64": text}).encode())

    assert [fault.pointer for fault in error.faults] == ["/data_base64"]


@pytest.mark.parametrize("missing", ["specversion", "type", "id"])
def test_binary_cloud_event_needs_its_headers(missing: str) -> None:
    headers = ce_headers()
    del headers[f"ce-{missing}"]

    assert [fault.pointer for fault in only_rejection(JSON, DATA, headers).faults] == [f"/{missing}"]


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
        (JSON, b"7", NotJsonError),
        (JSON, b"[{}", NotJsonError),
        (JSON, b"[{}] x", NotJsonError),
        (JSON, b"\xef\xbb\xbf[]", NotJsonError),
        (JSON, b"[" * 9_000, NotJsonError),
        (CLOUD_EVENTS, b"{}", NotJsonError),
        (LINES, b"1\n" * 6, TooManyItemsError),
        (JSON, b"[1,1,1,1,1,1]", TooManyItemsError),
        (JSON, b" " * 10_001, BodyTooLargeError),
    ],
)
def test_whole_that_cannot_be_read_is_refused(content_type: str, body: bytes, error: type[RejectedError]) -> None:
    with pytest.raises(error):
        read(content_type, body)


# Laws

CONTENT_TYPES = st.sampled_from([LINES, JSON, CLOUD_EVENT, CLOUD_EVENTS, "application/vnd.x+json", "text/html"])
PIECES = st.sampled_from(
    [plain(), cloud_event(), b"[", b"]", b",", b"\n", b"{", b"}", b"null", b'"', b"\\", b"\xff", b"\0"]
)


@given(CONTENT_TYPES, st.lists(PIECES | st.binary(max_size=4), max_size=6).map(b"".join), st.booleans())
def test_any_bytes_give_items_or_rejections(content_type: str, body: bytes, binary: bool) -> None:
    for result in read_or_reject(content_type, body, ce_headers() if binary else {}):
        if isinstance(result, Item):
            assert result.body in body
            with contextlib.suppress(RejectedError):
                parse_event(result.type, result.body, max_bytes=10_000)
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
def test_lines_and_arrays_give_back_the_exact_bytes(parts: list[tuple[str, dict[str, object]]]) -> None:
    bodies = [json.dumps(data, separators=("," + space, ":" + space)).encode() for space, data in parts]
    wrapped = [plain(body) for body in bodies]

    from_array = read(JSON, b"[" + b",".join(wrapped) + b"]")
    from_lines = read(LINES, b"\n".join(wrapped)) if wrapped else []

    assert from_array == from_lines
    assert [item.body for item in from_array if isinstance(item, Item)] == bodies
