"""Turning an event type on or off for an endpoint changes only that type, and keeps wildcards."""

from hypothesis import given
from hypothesis import strategies as st

from commerce_event.contract.catalogue import CATEGORIES, CONTRACT, EVENT_TYPES, EventType
from commerce_event.core.type_selection import TypeSelection, describe_types

TYPES = list(EVENT_TYPES.values())
CONFIRMED, CANCELLED = EVENT_TYPES["OrderConfirmedEvent"], EVENT_TYPES["OrderCancelledEvent"]
SELECTIONS = st.builds(
    TypeSelection.of,
    st.lists(st.sampled_from(["*", *CATEGORIES, *EVENT_TYPES]), max_size=8, unique=True),
    st.lists(st.sampled_from([*CATEGORIES, *EVENT_TYPES]), max_size=4, unique=True),
)


def taken(selection: TypeSelection) -> set[str]:
    return {each.name for each in CONTRACT.select(selection.event_types, selection.except_types)}


@given(SELECTIONS, st.sampled_from(TYPES))
def test_without_type_removes_only_that_type(selection: TypeSelection, event_type: EventType) -> None:
    assert taken(selection.without_type(event_type)) == taken(selection) - {event_type.name}


@given(SELECTIONS, st.sampled_from(TYPES))
def test_with_type_adds_only_that_type(selection: TypeSelection, event_type: EventType) -> None:
    assert taken(selection.with_type(event_type, CONTRACT)) == taken(selection) | {event_type.name}


def test_wildcard_stays_when_a_type_is_turned_off_and_on_again() -> None:
    everything = TypeSelection(("*",))
    off = everything.without_type(CONFIRMED)
    assert off == TypeSelection(("*",), ("OrderConfirmedEvent",))
    assert off.with_type(CONFIRMED, CONTRACT) == everything


def test_category_stays_when_a_type_is_turned_off() -> None:
    off = TypeSelection(("Order", "Customer", "OrderConfirmedEvent")).without_type(CONFIRMED)
    assert off == TypeSelection(("Order", "Customer"), ("OrderConfirmedEvent",))


def test_type_that_is_named_is_removed_by_name() -> None:
    assert TypeSelection(("OrderConfirmedEvent", "Product")).without_type(CONFIRMED) == TypeSelection(("Product",))


def test_type_of_a_category_that_is_left_out_is_turned_on_alone() -> None:
    on = TypeSelection(("*",), ("Order",)).with_type(CONFIRMED, CONTRACT)
    assert on.event_types == ("*",)
    assert "OrderCancelledEvent" in on.except_types
    assert not {"Order", "OrderConfirmedEvent"} & set(on.except_types)


def test_types_in_words_name_the_exceptions() -> None:
    assert describe_types(["*"], ["OrderConfirmedEvent"]) == "everything except OrderConfirmedEvent"
    assert describe_types(["Order", "Product"], []) == "Order, Product"
