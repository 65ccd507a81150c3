"""`--set Path=value`, typed by the schema."""

from typing import Any

import pytest

from commerce_event.cli.assignments import assign
from commerce_event.cli.errors import UsageError
from commerce_event.contract.catalogue import EVENT_TYPES

ORDER = EVENT_TYPES["OrderConfirmedEvent"].schema()
PAYMENT = EVENT_TYPES["OrderPaymentReceivedEvent"].schema()
JOB = EVENT_TYPES["JobCompletedEvent"].schema()
OWN: dict[str, Any] = {
    "properties": {
        "IsGift": {"type": "boolean"},
        "Address": {"type": "object", "properties": {"City": {"type": "string"}}},
        "Lines": {"type": "array", "items": {"type": "object", "properties": {"Count": {"type": "integer"}}}},
        "Any": {},
        "A.B": {"type": "string"},
    }
}


def assigned(schema: dict[str, Any], *assignments: str, **event: Any) -> tuple[dict[str, Any], list[str]]:
    notes = [note for each in assignments for note in assign(event, schema, each)]
    return event, notes


@pytest.mark.parametrize(
    ("schema", "assignment", "value"),
    [
        (ORDER, "OrderNo=SO-1", {"OrderNo": "SO-1"}),
        (ORDER, "OrderNo=17", {"OrderNo": "17"}),
        (ORDER, 'OrderNo="null"', {"OrderNo": "null"}),
        (ORDER, "OrderNo=a=b", {"OrderNo": "a=b"}),
        (ORDER, "OrderNo=", {"OrderNo": ""}),
        (ORDER, "OrderId=9007199254740993", {"OrderId": 9007199254740993}),
        (ORDER, 'OrderId="17"', {"OrderId": "17"}),
        (PAYMENT, "Amount=12.5", {"Amount": 12.5}),
        (PAYMENT, "Amount=12", {"Amount": 12}),
        (OWN, "IsGift=true", {"IsGift": True}),
        (OWN, "Address.City=Borås", {"Address": {"City": "Borås"}}),
        (OWN, 'Address={"City": "Umeå"}', {"Address": {"City": "Umeå"}}),
        (OWN, 'Lines=[{"Count": 1}]', {"Lines": [{"Count": 1}]}),
        (OWN, "Any=3", {"Any": 3}),
        (OWN, "Any=three", {"Any": "three"}),
        (OWN, "A.B=x", {"A.B": "x"}),
    ],
)
def test_value_has_the_type_of_the_schema(schema: dict[str, Any], assignment: str, value: dict[str, Any]) -> None:
    assert assigned(schema, assignment) == (value, [])


def test_path_leads_into_lists() -> None:
    event, notes = assigned(OWN, "Lines.0.Count=5", "Lines.1={}", Lines=[{"Count": 1}])

    assert event == {"Lines": [{"Count": 5}, {}]}
    assert notes == []


def test_null_removes_a_property() -> None:
    assert assigned(ORDER, "FirstName=null", FirstName="Åsa") == ({}, [])


def test_null_of_a_required_property_is_noted() -> None:
    event, [note] = assigned(ORDER, "OrderNo=null", OrderNo="1")

    assert event == {}
    assert note == "OrderNo is required; the event breaks the contract without it"


def test_unknown_property_is_kept_with_a_near_name() -> None:
    event, [note] = assigned(ORDER, "Orderno=1")

    assert event == {"Orderno": 1}
    assert note == "Orderno is not a property of this event type; it is kept. Did you mean OrderNo?"


def test_value_outside_the_list_is_kept_with_a_note() -> None:
    event, [note] = assigned(JOB, "StatusId=9")

    assert event == {"StatusId": 9}
    assert note == "9 is no value of StatusId in the contract, which has 1, 2, 3, 4, 5, 6"


@pytest.mark.parametrize(
    ("schema", "assignment", "sentence"),
    [
        (ORDER, "OrderNo", "must be Path=value"),
        (ORDER, "=1", "must be Path=value"),
        (ORDER, "OrderId=abc", "OrderId must be a whole number, not 'abc'"),
        (ORDER, "OrderId=1.0", "must be a whole number"),
        (ORDER, "OrderId=1e3", "must be a whole number"),
        (PAYMENT, "Amount=NaN", "must be a number"),
        (OWN, "IsGift=yes", "must be true or false"),
        (OWN, "Lines.7.Count=1", "the list has 0 entries"),
        (OWN, "Lines.x=1", "the list has 0 entries"),
        (ORDER, "OrderNo.x=1", "neither an object nor a list"),
    ],
)
def test_wrong_assignment_is_refused(schema: dict[str, Any], assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        assigned(schema, assignment, Lines=[], OrderNo="1")
