"""Static headers: ordinary ones are accepted, any that could change the request or imitate ours are refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.headers import HEADERS_MAX, NAME_MAX, TOTAL_MAX, VALUE_MAX, InvalidHeaderError, check_headers


def fault(headers: dict[str, str]) -> InvalidHeaderError:
    with pytest.raises(InvalidHeaderError) as caught:
        check_headers(headers)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc.def"),
        ("X-Api-Key", "k"),
        ("x_odd.name~!", "v"),
        ("Cookie", "a=b; c=d"),
        ("Accept", "*/*"),
        ("X-Place", "Malmö"),
        ("X-Empty", ""),
        ("X-Webhook-Source", "norce"),
        ("Hosting", "yes"),
        ("n" * NAME_MAX, "v" * VALUE_MAX),
    ],
)
def test_check_headers_ordinary_header_is_accepted(name: str, value: str) -> None:
    check_headers({name: value})


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "X Key",
        "X-Key:",
        "X-Key\r\nHost",
        "X-Key\0",
        "X-Ärger",
        "(x)",
        "x,y",
        "x/y",
        "x@y",
        "[x]",
        "x\t",
        "\nx",
    ],
)
def test_check_headers_invalid_name_is_refused(name: str) -> None:
    assert fault({name: "v"}).name == name


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "CONTENT-LENGTH",
        "content-type",
        "Content-Encoding",
        "Transfer-Encoding",
        "connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "trailer",
        "expect",
        "Proxy-Authorization",
        "proxy-connection",
        "User-Agent",
        "Date",
        "Digest",
        "Accept-Encoding",
        "traceparent",
        "tracestate",
        "Webhook-Id",
        "webhook-signature",
        "webhook-anything",
        "commerce-event-type",
        "Commerce-Event-Replay",
        "ce-id",
        "CE-Type",
        "HTTP2-Settings",
    ],
)
def test_check_headers_reserved_name_in_any_case_is_refused(name: str) -> None:
    assert "set by the sender itself" in str(fault({name: "v"}))


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nHost: evil",
        "a\nb",
        "a\rb",
        "a\x00b",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "€",
        "日本",
        "a\u2028b",
        "�",
        " a",
        "a ",
        "\xa0a",
        "a\xa0",
        "\r\n",
        " ",
    ],
)
def test_check_headers_value_that_would_break_the_request_is_refused(value: str) -> None:
    fault({"X-Key": value})


def test_check_headers_same_name_in_other_case_is_refused() -> None:
    assert fault({"X-Key": "1", "x-kEY": "2"}).name == "x-kEY"


def test_check_headers_at_the_limits_is_accepted_and_beyond_refused() -> None:
    full = {f"x-{number}": "v" for number in range(HEADERS_MAX)}
    check_headers(full)
    assert "one too many" in str(fault(full | {"x-more": "v"}))
    assert "too long a name" in str(fault({"x" * (NAME_MAX + 1): "v"}))
    assert "too long a value" in str(fault({"x": "v" * (VALUE_MAX + 1)}))


def test_check_headers_total_bytes_on_the_wire_are_limited() -> None:
    each = 4096 - len("x-1: \r\n")
    headers = {f"x-{number}": "v" * each for number in range(TOTAL_MAX // 4096)}
    check_headers(headers)
    assert "together" in str(fault(headers | {"x-more": ""}))


def test_invalid_header_error_shows_the_name_but_no_value() -> None:
    error = fault({"X-Secret": "hunter2\n"})
    assert "X-Secret" in str(error)
    assert "hunter2" not in str(error)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_check_headers_accepted_headers_are_one_line_each_on_the_wire(headers: dict[str, str]) -> None:
    try:
        check_headers(headers)
    except InvalidHeaderError:
        return
    wire = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
    assert len(re.findall(rb"[^\r\n\0]+\r\n", wire)) == len(headers) == wire.count(b"\n")
