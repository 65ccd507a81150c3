"""What audit entries say in words."""

from typing import Any

import pytest

from commerce_event.core.audit_words import change_in_words, sentence_of
from commerce_event.core.model import AuditEntry, FieldChange


def entry(
    action: str, *changes: FieldChange, name: str | None = "ERP: orders", detail: str | None = None
) -> AuditEntry:
    return AuditEntry(1, 0, 1, 0, "", action, "end_1", detail, name, changes)


@pytest.mark.parametrize(
    ("field", "after", "expected"),
    [
        ("paused", True, "Paused ERP: orders"),
        ("paused", False, "Resumed ERP: orders"),
        ("enabled", False, "Switched off ERP: orders"),
        ("enabled", True, "Switched on ERP: orders"),
    ],
)
def test_sentence_of_a_switch_has_its_own_verb(field: str, after: Any, expected: str) -> None:
    assert sentence_of(entry("changeEndpoint", FieldChange(field, not after, after))) == expected


def test_sentence_of_one_change_has_the_values() -> None:
    change = FieldChange("event_types", ["*"], ["Product", "Order"])

    assert sentence_of(entry("changeEndpoint", change)) == "Changed ERP: orders: event types * → Product, Order"


def test_sentence_of_several_changes_names_the_fields() -> None:
    changes = FieldChange("timeout_s", None, 5), FieldChange("headers.X-Token", "***", "***")

    assert sentence_of(entry("changeEndpoint", *changes)) == "Changed ERP: orders: timeout in seconds, header X-Token"
    assert change_in_words(changes[1]) == "header X-Token has another value"


def test_sentence_of_something_created_leaves_out_its_fields() -> None:
    assert sentence_of(entry("createEndpoint", FieldChange("url", None, "x"))) == "Created the endpoint ERP: orders"
    created = sentence_of(entry("putChangeSource", FieldChange("client", None, 1), name="erp"))
    assert created == "Created the change source erp"


def test_sentence_of_an_old_entry_has_its_target_and_detail() -> None:
    old = entry("setValidation", name=None, detail="reject → warn")

    assert sentence_of(old) == "Set the validation mode of end_1 (reject → warn)"


def test_sentence_of_an_action_without_words_is_its_name() -> None:
    assert sentence_of(entry("putClientName")) == "Put client name ERP: orders"
