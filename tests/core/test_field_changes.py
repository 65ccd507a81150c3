"""What a change of a setting changed: which fields, which values are masked, and which are shortened."""

from commerce_event.core.field_changes import CHANGES_MAX, VALUE_MAX, find_changes, is_kept_whole
from commerce_event.core.model import FieldChange


def test_changes_are_the_fields_whose_values_differ() -> None:
    before = {"url": "https://a.example/", "enabled": True, "filter": None}
    after = {"url": "https://a.example/", "enabled": False, "filter": {"Total": 1}}

    assert find_changes(before, after) == (
        FieldChange("enabled", True, False),
        FieldChange("filter", None, {"Total": 1}),
    )


def test_changes_of_something_created_leave_out_what_is_empty() -> None:
    created: dict[str, object] = {
        "url": "https://a.example/",
        "description": "",
        "headers": {},
        "filter": None,
        "enabled": False,
    }

    assert find_changes(None, created) == (
        FieldChange("url", None, "https://a.example/"),
        FieldChange("enabled", None, False),
    )
    assert find_changes({"url": "x", "filter": None}, None) == (FieldChange("url", "x", None),)


def test_changes_of_secret_fields_are_masked_member_by_member() -> None:
    before = {"headers": {"X-A": "one", "X-B": "two", "X-C": "same"}, "secret": "whsec_old"}
    after = {"headers": {"X-A": "1", "X-C": "same", "X-D": "new"}, "secret": "whsec_new"}

    found = find_changes(before, after, secret={"headers", "secret"})

    assert found == (
        FieldChange("headers.X-A", "***", "***"),
        FieldChange("headers.X-B", "***", None),
        FieldChange("secret", "***", "***"),
        FieldChange("headers.X-D", None, "***"),
    )
    assert not is_kept_whole(found[0].before)


def test_changes_of_long_values_keep_the_beginning_and_the_length() -> None:
    [change] = find_changes({"note": "a" * VALUE_MAX}, {"note": "b" * (VALUE_MAX + 1)})

    assert is_kept_whole(change.before)
    assert change.before == "a" * VALUE_MAX
    assert not is_kept_whole(change.after)
    assert change.after == "b" * VALUE_MAX + "… (501 characters)"


def test_changes_are_bounded() -> None:
    assert len(find_changes({}, {f"f{number}": 1 for number in range(1_000)})) == CHANGES_MAX
