"""convert: faults of a body or a query are reported in words, at their place."""

from typing import Any

import pytest
from api_server import Api, expect_problem

from commerce_event.api.endpoint_fields import NewEndpoint
from commerce_event.api.events import EventsQuery
from commerce_event.api.validation import convert
from commerce_event.core.problems import Problem

ENDPOINT = {"client_id": 1, "url": "https://erp.example/", "event_types": ["*"]}


def fault_of(raw: Any, wanted: type, **how: Any) -> str:
    with pytest.raises(Problem) as caught:
        convert(raw, wanted, **how)
    [fault] = caught.value.faults
    assert caught.value.detail == f"{fault.pointer or 'The body'} {fault.message}."
    return caught.value.detail


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"client_id": "1"}, "/client_id must be a whole number, not text."),
        ({"client_id": 2**31}, "/client_id must be at most 2147483647."),
        ({"application_id": 1.5}, "/application_id must be a whole number or null, not a number."),
        ({"timeout_s": 0.01}, "/timeout_s must be at least 0.1."),
        ({"timeout_s": 31}, "/timeout_s must be at most 30."),
        ({"rate_limit": 0}, "/rate_limit must be more than 0."),
        ({"url": "h" * 3_000}, "/url must have at most 2048 characters."),
        ({"event_types": []}, "/event_types must not be empty."),
        ({"event_types": "*"}, "/event_types must be a list, not text."),
        ({"headers": {"X-One": 1}}, "/headers/X-One must be text, not a whole number."),
        ({"enabled": "yes"}, "/enabled must be true or false, not text."),
        ({"ordering": "strict"}, "/ordering must be one of key, none."),
        ({"retry_schedule": [5, True]}, "/retry_schedule/1 must be a number or text, not true or false."),
        ({"retry_schedule": [10**400]}, "/retry_schedule/0 must be a number that fits a double (64 bits)."),
        ({"urls": "https://erp.example/"}, "/urls is not a known property."),
    ],
)
def test_fault_of_a_body_is_told_in_a_sentence(given: dict[str, Any], sentence: str) -> None:
    assert fault_of({**ENDPOINT, **given}, NewEndpoint, where="") == sentence


def test_what_is_missing_is_told() -> None:
    assert fault_of({"client_id": 1, "event_types": ["*"]}, NewEndpoint, where="") == "/url is required."
    assert fault_of([], NewEndpoint, where="") == "The body must be an object, not a list."


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(Problem) as caught:
        convert({"client_id": "1", "urls": "x", "event_types": []}, NewEndpoint, where="")

    assert [fault.pointer for fault in caught.value.faults] == ["/client_id", "/urls", "/event_types", "/url"]
    assert caught.value.detail == "/client_id must be a whole number, not text, and 3 more faults."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"limit": "many"}, "?limit must be a whole number, not text."),
        ({"limit": "0"}, "?limit must be at least 1."),
        ({"limt": "1"}, "?limt is not a known parameter."),
    ],
)
def test_fault_of_a_query_is_told_in_a_sentence(given: dict[str, str], sentence: str) -> None:
    assert fault_of(given, EventsQuery, where="?", strict=False) == sentence


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"description": "a\0b"}, "/description"),
        ({"event_types": ["*", "\0"]}, "/event_types/1"),
        ({"headers": {"X-One": "\0"}}, "/headers/X-One"),
        ({"filter": {"any": [{"OrderNo": {"in": ["\0"]}}]}}, "/filter/any/0/OrderNo/in/0"),
        ({"filter": {"\0": 1}}, "/filter/\0"),
    ],
)
def test_nul_in_any_text_of_a_body_is_told_with_its_place(given: dict[str, Any], pointer: str) -> None:
    sentence = fault_of({**ENDPOINT, **given}, NewEndpoint, where="")

    assert sentence == f"{pointer} must not contain the character U+0000."


def test_nul_in_a_query_is_told_with_its_parameter() -> None:
    sentence = fault_of({"q": "a\0"}, EventsQuery, where="?", strict=False)

    assert sentence == "?q must not contain the character U+0000."


async def test_nul_in_a_request_is_422_everywhere(api: Api) -> None:
    for path in ("/v1/events?q=%00", "/v1/audit?target=%00", "/v1/endpoint-stats?q=a%00", "/v1/keys?cursor=%00"):
        expect_problem(await api.admin.get(path), 422, f"?{path.partition('?')[2].partition('=')[0]}")
    expect_problem(await api.admin.post("/v1/keys", json={"role": "admin", "name": "a\0"}), 422, "/name")
    for path in ("/v1/events/%00", "/v1/endpoints/%00", "/v1/event-types/%00", "/problems/%00"):
        expect_problem(await api.admin.get(path), 404)
