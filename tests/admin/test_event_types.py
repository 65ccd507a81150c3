"""Turning an event type on and off for an endpoint touches that type alone."""

from hypothesis import given
from hypothesis import strategies as st

from commerce_event.admin.screens.event_types import with_type, without_type
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType

TYPES = list(EVENT_TYPES.values())
ENTRIES = st.lists(st.sampled_from(["*", *CATEGORIES, *EVENT_TYPES]), max_size=8, unique=True)


def taken(wanted: list[str]) -> set[str]:
    return {each.name for each in TYPES if {"*", each.category, each.name} & set(wanted)}


@given(ENTRIES, st.sampled_from(TYPES))
def test_off_takes_away_that_type_and_no_other(wanted: list[str], event_type: EventType) -> None:
    assert taken(without_type(wanted, event_type)) == taken(wanted) - {event_type.name}


@given(ENTRIES, st.sampled_from(TYPES))
def test_on_adds_that_type_and_no_other(wanted: list[str], event_type: EventType) -> None:
    assert taken(with_type(wanted, event_type)) == taken(wanted) | {event_type.name}


def test_a_category_that_stays_whole_stays_written_as_one() -> None:
    assert without_type(["Order", "Customer"], EVENT_TYPES["CompanyChangedNotification"]) == [
        "Order",
        "CustomerChangedNotification",
    ]
