"""What people call the subject of an event."""

import msgspec
import pytest

from commerce_event.contract.labels import label_of, type_words


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
        ("ATypeOfOnesOwn", {"OrderNo": "1"}, "Order 1"),
    ],
)
def test_label_of_event_is_the_number_that_people_know(event_type: str, data: dict[str, object], label: str) -> None:
    assert label_of(event_type, msgspec.json.encode(data)).text == label


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff", b"[" * 100_000])
def test_label_of_invalid_body_is_empty(body: bytes) -> None:
    assert label_of("OrderConfirmedEvent", body).text == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OrderConfirmedEvent", "Order confirmed"),
        ("SupplierSkuOnHandChangedNotification", "Supplier sku on hand changed"),
        ("ExportDelivered", "Export delivered"),
        ("Event", "Event"),
        ("B2BOrder4", "B 2 b order 4"),
    ],
)
def test_type_words_are_those_of_the_name(name: str, text: str) -> None:
    assert type_words(name) == text
