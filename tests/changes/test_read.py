"""Changes as producers send them are checked, and each fault is pointed at."""

import json
from typing import Any

import pytest

from commerce_event.changes.read import read_change
from commerce_event.core.problems import RejectedError

CHANGE: dict[str, Any] = {
    "client_id": 1006,
    "entity": "tClientCustomer",
    "operation": "update",
    "key": {"CustomerId": 12},
    "before": {"FirstName": "Ann"},
    "after": {"FirstName": "Eve"},
}


def read(**members: Any) -> Any:
    return read_change(json.dumps(CHANGE | members).encode())


def test_change_is_read_with_all_its_members() -> None:
    change = read(id="c-1", application_id=5, at="2026-01-31T12:00:00+01:00")

    assert (change.idempotency_key, change.application_id, change.client_id) == ("c-1", 5, 1006)
    assert change.at_ms == 1_769_857_200_000
    assert (change.before, change.after) == (CHANGE["before"], CHANGE["after"])


def test_table_of_the_open_list_needs_a_part_number() -> None:
    assert read(entity="tClientProductSkuImage", key={"PartNo": "A"}).entity == "tClientProductSkuImage"
    with pytest.raises(RejectedError, match="wrong in 1 place"):
        read(entity="tClientProductSkuImage")


@pytest.mark.parametrize(
    ("members", "pointer", "says"),
    [
        ({"client_id": None}, "/client_id", "is required"),
        ({"client_id": "1"}, "/client_id", "must be a whole number"),
        ({"client_id": 2**40}, "/client_id", "must be a whole number"),
        ({"application_id": 1.5}, "/application_id", "must be a whole number"),
        ({"entity": "tClientCustomr"}, "/entity", "did you mean tClientCustomer?"),
        ({"entity": "customer\0"}, "/entity", "write it like tClientCustomer"),
        ({"entity": None}, "/entity", "is required"),
        ({"operation": ["update"]}, "/operation", "must be one of insert, update, delete"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "/at", "must be a time such as"),
        ({"at": "0001-01-01T00:00:00+12:00"}, "/at", "must be a time such as"),
        ({"operation": "upsert"}, "/operation", "must be one of insert, update, delete"),
        ({"key": {}}, "/key", "must be an object with 1 to 10 names"),
        ({"key": {"CustomerId": None}}, "/key/CustomerId", "must be a text or a number"),
        ({"key": {"CustomerId": [1, 2]}}, "/key/CustomerId", "only PartNo may be a list"),
        ({"key": {"PartNo": []}}, "/key/PartNo", "only PartNo may be a list"),
        ({"key": {"OrderId": 1}}, "/key", "a change of tClientCustomer needs CompanyId or CustomerId"),
        ({"after": None}, "/after", "is required: the values of the row after the update"),
        ({"after": [1]}, "/after", "must be an object"),
        ({"before": "x"}, "/before", "must be an object"),
        ({"at": "yesterday"}, "/at", "must be a time such as"),
        ({"at": 5}, "/at", "must be a time such as"),
        ({"id": ""}, "/id", "must be a text of 1 to 256"),
        ({"id": 5}, "/id", "must be a text of 1 to 256"),
        ({"entitty": "x"}, "/entitty", "is unknown; did you mean entity?"),
    ],
)
def test_wrong_member_is_refused_with_a_pointer(members: dict[str, Any], pointer: str, says: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        read(**members)

    [fault] = refusal.value.faults
    assert fault.pointer == pointer
    assert says in fault.message


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b'{"a":', b'{"a":1,"a":2}'])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RejectedError):
        read_change(body)


def test_subject_may_be_in_the_values() -> None:
    change = read(entity="tClientCustomerAddress", key={"AddressId": 3}, after={"CustomerId": 12})

    assert change.key == {"AddressId": 3}


def test_unknown_members_are_named_up_to_a_number_in_their_order() -> None:
    with pytest.raises(RejectedError) as refusal:
        read(**{f"extra{number}": 1 for number in range(20_000)})
    assert [fault.pointer for fault in refusal.value.faults] == [f"/extra{number}" for number in range(20)]
