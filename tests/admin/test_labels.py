"""What people call an event's order, and where a search found its words."""

import msgspec
import pytest

from commerce_event.admin.labels import found_in, label_of


@pytest.mark.parametrize(
    ("event_type", "data", "label"),
    [
        ("OrderConfirmedEvent", {"OrderNo": "100777", "ClientOrderRef": "884211"}, "Order 100777 · ref. 884211"),
        ("OrderPaymentReceivedEvent", {"ErpOrderNo": "7", "ClientOrderRef": "8"}, "Order 7 · ref. 8"),
        ("OrderReceivedEvent", {"ClientOrderRef": "884211"}, "Order ref. 884211"),
        ("OrderConfirmedEvent", {"OrderNo": "8", "ClientOrderRef": "8"}, "Order 8"),
        ("SkuChangedNotification", {"PartNo": "FJ-1"}, "Part FJ-1"),
        ("CustomerChangedNotification", {"CustomerId": 88301}, "Customer 88301"),
        ("JobCompletedEvent", {"StatusId": 2}, ""),
        ("AnUnknownEvent", {"OrderNo": "1"}, ""),
    ],
)
def test_label_is_the_number_that_people_know(event_type: str, data: dict[str, object], label: str) -> None:
    assert label_of(event_type, msgspec.json.encode(data)).text == label


@pytest.mark.parametrize(
    ("text", "name", "marked"),
    [
        ("100777", "OrderNo", "<mark>100777</mark>"),
        ("so-10", "Rows.Ref", "<mark>SO-10</mark>023"),
        ("lindstrom", "LastName", "<mark>Lindström</mark>"),
        ("astrid lindström", "FirstName", "<mark>Astrid</mark>"),
        ("4000017", "OrderId", "<mark>4000017</mark>"),
        ("b & c", "Note", "a&lt;<mark>b &amp; c</mark>"),
    ],
)
def test_search_says_which_property_it_found(text: str, name: str, marked: str) -> None:
    data = {
        "OrderNo": "100777", "OrderId": 4000017, "FirstName": "Astrid", "LastName": "Lindström",
        "Rows": [{"Ref": "SO-10023"}], "Note": "a<b & c",
    }  # fmt: skip
    found = found_in(msgspec.json.encode(data), text)

    assert found is not None
    assert (found.name, str(found.value)) == (name, marked)


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff"])
def test_body_that_is_no_object_has_no_label_and_nothing_to_mark(body: bytes) -> None:
    assert label_of("OrderConfirmedEvent", body).text == ""
    assert found_in(body, "x") is None
