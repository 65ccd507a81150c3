"""Encoding of events, and the pace of requests."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from commerce_event_sdk import InvalidEventError, JobCompletedEvent, UnknownEvent
from commerce_event_sdk.publishing import (
    EventRefusedError,
    NotAccepted,
    OutgoingEvent,
    Pace,
    RequestRefusedError,
    UnavailableError,
    check_id,
    encode,
)

JOB = {"ClientId": 1, "JobId": 7, "StatusId": 2}


@pytest.mark.parametrize("second", [{"A": 1}, UnknownEvent("Own", {"A": 1})])
def test_encode_name_and_event_gives_its_json(second: Any) -> None:
    assert encode("Own", second) == ("Own", second, b'{"A":1}')


def test_encode_unknown_event_takes_its_type() -> None:
    event = UnknownEvent("Own", {"Name": "Åsa"})
    assert encode(event, None) == ("Own", event, '{"Name":"Åsa"}'.encode())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Own", None),
        ("", {}),
        (3, {}),
        ("Own", [1]),
        ("Own", UnknownEvent("Other", {})),
        (UnknownEvent("Own", {}), {}),
        (JobCompletedEvent, UnknownEvent("Own", {})),
    ],
)
def test_encode_arguments_that_do_not_fit_raises_type_error(first: Any, second: Any) -> None:
    with pytest.raises(TypeError):
        encode(first, second)


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", {1, 2}])
def test_encode_value_that_is_no_json_raises_invalid_event(value: Any) -> None:
    with pytest.raises(InvalidEventError, match="cannot be written as JSON"):
        encode("Own", {"A": value})


def test_outgoing_line_is_one_line_of_json_with_the_bytes_of_the_event() -> None:
    _, _, body = encode("Own", {"Text": 'a\n"b"', "Number": 9007199254740993})
    line = OutgoingEvent('k"1', "Own", body).line
    assert b"\n" not in line
    assert json.loads(line) == {"type": "Own", "id": 'k"1', "data": {"Text": 'a\n"b"', "Number": 9007199254740993}}


@pytest.mark.parametrize("text", ["", "x" * 257, "a\nb"])
def test_check_id_that_the_server_refuses_raises(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 printable"):
        check_id(text)


def test_pace_failures_wait_longer_each_time_up_to_the_limit() -> None:
    pace = Pace(500, random.Random(1))
    pauses = [pace.fail(UnavailableError("busy")) for _ in range(12)]
    assert all(0.05 * 2**number <= pause <= 0.1 * 2**number for number, pause in enumerate(pauses[:8]))
    assert all(15 <= pause <= 30 for pause in pauses[9:])
    assert len(set(pauses)) == len(pauses)
    pace.succeed()
    assert pace.fail(UnavailableError("busy")) <= 0.1


def test_pace_retry_after_is_the_least_that_is_waited() -> None:
    pace = Pace(500, random.Random(1))
    assert 7 <= pace.fail(UnavailableError("busy", retry_after_s=7)) <= 7.7


def test_pace_server_errors_make_requests_smaller_and_success_larger() -> None:
    pace = Pace(500)
    for expected in (250, 125, 62, 31, 15, 7, 3, 1, 1):
        pace.fail(UnavailableError("500", is_overload=False))
        assert pace.events == expected
    pace.succeed()
    assert pace.events == 2
    for _ in range(9):
        pace.succeed()
    assert pace.events == 500


def test_pace_overload_and_refusal_keep_the_size() -> None:
    pace = Pace(500)
    pace.fail(UnavailableError("503"))
    pace.fail(RequestRefusedError(401, "Unauthorized", "No key."))
    assert pace.events == 500


@pytest.mark.parametrize("events", [0, 1_001])
def test_pace_batch_that_the_server_refuses_raises(events: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        Pace(events)


def test_refused_error_text_names_each_fault() -> None:
    error = EventRefusedError(422, "Broken", "It is broken.", [("/OrderId", "is required"), ("", "is odd")])
    assert str(error) == "422 Broken: It is broken. (/OrderId is required; the event is odd)"


def test_not_accepted_repr_has_no_data_of_the_event() -> None:
    assert "Anna" not in repr(NotAccepted("Own", {"FirstName": "Anna"}, "k", "closed"))
