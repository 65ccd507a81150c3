"""Turning an event type on or off for an endpoint changes only that type."""

from hypothesis import given
from hypothesis import strategies as st

from commerce_event.admin.screens.event_types import with_type, without_type
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType

TYPES = list(EVENT_TYPES.values())
ENTRIES = st.lists(st.sampled_from(["*", *CATEGORIES, *EVENT_TYPES]), max_size=8, unique=True)


def taken(wanted: list[str]) -> set[str]:
    return {each.name for each in TYPES if {"*", each.category, each.name} & set(wanted)}


@given(ENTRIES, st.sampled_from(TYPES))
def test_without_type_removes_only_that_type(wanted: list[str], event_type: EventType) -> None:
    assert taken(without_type(wanted, event_type)) == taken(wanted) - {event_type.name}


@given(ENTRIES, st.sampled_from(TYPES))
def test_with_type_adds_only_that_type(wanted: list[str], event_type: EventType) -> None:
    assert taken(with_type(wanted, event_type)) == taken(wanted) | {event_type.name}


def test_without_type_keeps_whole_categories() -> None:
    assert without_type(["Order", "Customer"], EVENT_TYPES["CompanyChangedNotification"]) == [
        "Order",
        "CustomerChangedNotification",
    ]
