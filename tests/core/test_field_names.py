"""Field names of settings against the fields that an entity is known to have."""

import pytest

from commerce_event.core.changes.field_names import KnownFields

MAPPED = KnownFields("tX", ["City", "Zip", "a.b"], is_mapped=True)
SEEN = KnownFields("tX", ["City", "Zip"], is_mapped=False)


def test_field_faults_of_a_mapped_entity_are_all_unknown_names() -> None:
    faults = list(MAPPED.field_faults(["City", "Citty", "Other"], "/fields"))

    assert [fault.pointer for fault in faults] == ["/fields/1", "/fields/2"]
    assert faults[0].message == "tX has no field 'Citty'; did you mean City?"
    assert faults[1].message == "tX has no field 'Other'; no change source maps a column to it"


def test_field_faults_of_an_entity_known_from_changes_are_misspelt_names() -> None:
    faults = list(SEEN.field_faults(["City", "Citty", "Other"], "/fields"))

    assert [fault.pointer for fault in faults] == ["/fields/1"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Citty", "Citty"), ("before.Citty", "Citty"), ("after.Citty", "Citty"), ("$.Citty", "Citty"),
        ("$.before.Citty", "Citty"), ("$.after.Citty.Name", "Citty"), ("$.City.Nme", None), ("before.City", None),
        ("before.a.b", None), ("a.b", None), ("$.Zip", None), ("before.before.City", "before.City"),
    ],
)  # fmt: skip
def test_filter_faults_are_about_the_field_of_a_name_or_path(name: str, field: str | None) -> None:
    faults = list(MAPPED.filter_faults({"not": {"any": [{"City": "a"}, {name: {"exists": True}}]}}, "/filter"))

    assert [fault.pointer for fault in faults] == ([] if field is None else [f"/filter/not/any/1/{name}"])
    assert all(f"no field {field!r}" in fault.message for fault in faults)


def test_fault_of_a_long_name_is_short() -> None:
    many = KnownFields("tX", [f"{'x' * 99}{number}" for number in range(10_000)], is_mapped=True)

    [fault] = many.field_faults(["x" * 100], "")
    assert len(fault.message) < 200


def test_long_names_do_not_make_the_search_for_the_nearest_one_long() -> None:
    long = [f"{number:03}{'x' * 36}" for number in range(200)]
    known = KnownFields("tX", ["City", *long], is_mapped=True)

    faults = list(known.field_faults(["Citty", long[0] + "y", long[-1] + "y"], "/fields"))
    assert ["did you mean" in fault.message for fault in faults] == [True, True, False]
