"""Suggest the nearest known name for a name that does not exist."""

import pytest

from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.contract.near_names import _index, nearest_name


@pytest.mark.parametrize(
    "name",
    [
        "OrderConfirmdEvent", "OrderConfirm", "OrderConfirmed", "orderconfirmedevent", "order.confirmed",
        "order_confirmed_event", "ORDER CONFIRMED", "OrderConfrimedEvent", "OrderConfirmedEvents",
        "OrderConfirmedNotification", "OrderConfirmedEvent\0", "OrderConfirmed\udc80Event",
    ],
)  # fmt: skip
def test_nearest_name_misspelt_is_found(name: str) -> None:
    assert nearest_name(name, EVENT_TYPES) == "OrderConfirmedEvent"


@pytest.mark.parametrize(
    "name", ["", "x", "Event", "Notification", "Order", "SkuStockChanged", "OrderXyzEvent", "é" * 99]
)
def test_nearest_name_unlike_any_is_none(name: str) -> None:
    assert nearest_name(name, EVENT_TYPES) is None


def test_nearest_name_every_name_without_two_letters_is_found() -> None:
    for name in EVENT_TYPES:
        assert nearest_name(name[:3] + name[4:7] + name[8:], EVENT_TYPES) == name


def test_nearest_name_considers_the_given_names_only() -> None:
    assert nearest_name("Oder", EVENT_TYPES) is None
    assert nearest_name("Oder", CATEGORIES) == "Order"
    assert nearest_name("Oder", ()) is None


@pytest.mark.parametrize("name", ["x" * 10, "x" * 38, "x" * 100, "SupplierSkuPriceChangedNotificationX" * 2])
def test_nearest_name_cost_is_bounded_whatever_the_name(name: str) -> None:
    longest = max(map(len, EVENT_TYPES))

    assert len(list(_index(frozenset(EVENT_TYPES)).tried(name))) <= 2 * (longest + 2)


def test_nearest_name_overlong_name_is_not_read() -> None:
    class Unreadable(str):
        def casefold(self) -> str:
            raise AssertionError

    assert nearest_name(Unreadable("x" * 101), EVENT_TYPES) is None
