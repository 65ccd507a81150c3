"""The property in which a search found its text."""

import msgspec
import pytest

from commerce_event.admin.search_hits import search_hit


@pytest.mark.parametrize(
    ("text", "name", "marked"),
    [
        ("100777", "OrderNo", "<mark>100777</mark>"),
        ("so-10", "Rows.Ref", "<mark>SO-10</mark>023"),
        ("so10023", "Rows.Ref", "<mark>SO-10023</mark>"),
        ("10023", "Rows.Ref", "SO-<mark>10023</mark>"),
        ("lindstrom", "LastName", "<mark>Lindström</mark>"),
        ("lind", "LastName", "<mark>Lind</mark>ström"),
        ("京市", "City", "北<mark>京市</mark>"),
        ("astrid lindström", "FirstName", "<mark>Astrid</mark>"),
        ("4000017", "OrderId", "<mark>4000017</mark>"),
        ("b & c", "Note", "a&lt;<mark>b &amp; c</mark>"),
    ],
)
def test_search_hit_names_the_property_and_marks_the_text(text: str, name: str, marked: str) -> None:
    data = {
        "OrderNo": "100777", "OrderId": 4000017, "FirstName": "Astrid", "LastName": "Lindström",
        "Rows": [{"Ref": "SO-10023"}], "Note": "a<b & c",
        "City": "北京市",
    }  # fmt: skip
    found = search_hit(msgspec.json.encode(data), text)

    assert found is not None
    assert (found.name, str(found.value)) == (name, marked)


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff"])
def test_search_hit_of_invalid_body_is_none(body: bytes) -> None:
    assert search_hit(body, "x") is None


def test_search_hit_of_a_large_event_is_found_near_its_beginning_only() -> None:
    def found(before: int) -> bool:
        return search_hit(msgspec.json.encode({"A": ["b"] * before, "C": "needle"}), "needle") is not None

    assert found(19_000)
    assert not found(21_000)
