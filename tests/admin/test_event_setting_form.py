"""The form of an event setting: from what was typed to a request body, and from errors back to the fields."""

from typing import Any

import pytest

from commerce_event.admin.event_setting_form import errors_of, read_fields
from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.problems import Fault, Problem

CUSTOMER = NOTIFICATIONS["CustomerChangedNotification"]
FORM: dict[str, list[str]] = {
    "client_id": ["1006"], "application_id": [""], "entity": ["tClientCustomer"], "enabled": ["1"], "on_insert": ["1"],
    "on_update": ["1"], "fields": ["City", "Zip"], "more_fields": ["Zip, Country ,"], "filter": ['{"City": "Lund"}'],
    "coalesce_s": ["1,5"],
}  # fmt: skip


def test_read_fields_returns_the_body_of_a_new_setting() -> None:
    body, errors = read_fields(FORM, CUSTOMER, is_new=True)

    assert not errors
    assert body == {
        "client_id": 1006, "application_id": None, "event_type": "CustomerChangedNotification",
        "entity": "tClientCustomer", "enabled": True, "on_insert": True, "on_update": True, "on_delete": False,
        "fields": ["City", "Zip", "Country"], "filter": {"City": "Lund"}, "coalesce_s": 1.5,
    }  # fmt: skip


def test_read_fields_of_an_existing_setting_leaves_out_what_is_fixed() -> None:
    body, errors = read_fields({**FORM, "client_id": [], "fields": [], "more_fields": []}, CUSTOMER, is_new=False)

    assert not errors
    assert not body.keys() & {"client_id", "application_id", "event_type", "entity"}
    assert body["fields"] is None


def test_read_fields_of_a_break_point_have_no_fields_and_no_delete() -> None:
    source = NOTIFICATIONS["SkuOnHandBreakPointNotification"]
    body, _ = read_fields({**FORM, "on_delete": ["1"]}, source, is_new=True)

    assert (body["on_delete"], body["fields"]) == (False, None)


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("client_id", "", "client's number"), ("client_id", "x", "whole number"), ("entity", " ", "data table"),
        ("application_id", "1.5", "whole number"), ("coalesce_s", "soon", "Enter a number"), ("filter", "{", "The filter is not JSON"),
        ("filter", "[" * 9_999, "nested more than 64"), ("coalesce_s", "nan", "Enter a number"), ("client_id", "9" * 9_999, "whole number"),
    ],
)  # fmt: skip
def test_read_fields_reports_values_that_cannot_be_read(name: str, typed: str, words: str) -> None:
    _, errors = read_fields({**FORM, name: [typed]}, CUSTOMER, is_new=True)

    assert list(errors) == [name]
    assert words in errors[name]


@pytest.mark.parametrize(
    ("pointer", "message", "place", "sentence"),
    [
        ("/fields/1", "did you mean City?", "fields", "Did you mean City?"),
        ("/setting/on_update", "at least one must be on", "operations", "At least one must be on."),
        ("/setting/filter/before.Zip", "has no value", "filter", "Filter has no value. (at before.Zip)"),
        ("/coalesce_s", "must be at most 86400", "coalesce_s", "Merge changes within must be at most 86400."),
        ("/setting", "is not an object", "", "Is not an object."),
    ],
)
def test_errors_of_a_problem_are_at_their_fields(pointer: str, message: str, place: str, sentence: str) -> None:
    assert errors_of(Problem(422, "Wrong.", faults=[Fault(pointer, message)])) == {place: sentence}


@pytest.mark.parametrize(("status", "place"), [(403, "client_id"), (409, "")])
def test_errors_of_a_problem_without_faults(status: int, place: str) -> None:
    found: Any = errors_of(Problem(status, "Not possible."))

    assert found == {place: "Not possible."}
