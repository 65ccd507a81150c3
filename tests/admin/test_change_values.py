"""The values of a change before and after: what changed, and where an earlier value comes from."""

from typing import Any

import pytest

from commerce_event.admin.change_values import ValueRow, previous_sentence, value_rows
from commerce_event.api.changes import ChangeDetailView


def view(operation: Any, **fields: Any) -> ChangeDetailView:
    values = {"before": None, "after": None, "known": None, "previous": "none", "key": {"CustomerId": 1}, **fields}
    return ChangeDetailView(
        id="chg_1", accepted_at="", at=None, client_id=1, application_id=None, entity="tClientCustomer",
        operation=operation, source=None, table=None, unmapped=None, events=[], **values,
    )  # fmt: skip


def marks(row: ValueRow) -> tuple[Any, ...]:
    return row.name, row.before, row.after, row.changed, row.is_last_known, row.is_unchanged


def test_value_rows_of_an_update_have_changed_fields_first() -> None:
    known = {"Name": "Anna", "City": "Lund", "Zip": "1"}
    rows = value_rows(view("update", before={"Zip": "2"}, after={"Name": "Anna", "Zip": "3", "Age": 4}, known=known))

    assert [marks(row) for row in rows] == [
        ("Zip", "2", "3", True, False, False),
        ("Age", None, "4", True, False, False),
        ("Name", "Anna", "Anna", False, True, False),
        ("City", "Lund", "Lund", False, True, True),
    ]


def test_value_rows_of_an_insert_and_a_delete_have_one_side() -> None:
    inserted = value_rows(view("insert", after={"Name": ""}, known={"Name": "old"}))
    deleted = value_rows(view("delete", known={"Name": None}))

    assert [marks(row) for row in inserted] == [("Name", None, '""', False, False, False)]
    assert [marks(row) for row in deleted] == [("Name", "null", None, False, True, False)]


def test_value_rows_cut_long_values() -> None:
    (row,) = value_rows(view("insert", after={"Name": "x" * 10_000}))

    assert row.after == "x" * 299 + "…"


@pytest.mark.parametrize(
    ("operation", "previous", "words"),
    [
        ("update", "before", "itself says"), ("update", "last known", "last known values"),
        ("delete", "none", "not known"), ("insert", "none", ""), ("read", "none", ""),
    ],
)  # fmt: skip
def test_previous_sentence_says_which_earlier_values_were_used(operation: Any, previous: Any, words: str) -> None:
    sentence = previous_sentence(view(operation, previous=previous))

    assert words in sentence if words else not sentence
