"""The simulated shop is consistent, and the same for the same seed."""

import itertools
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.accept.parse import parse_event
from commerce_event.changes.read import read_change
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.changes.model import EventSetting, Values
from commerce_event.core.changes.rules import ActiveSetting, RowChange, raise_notifications
from commerce_event.simulate.event_settings import settings_of
from commerce_event.simulate.rows import SimulatedChange
from commerce_event.simulate.shop import Shop, SimulatedEvent

SEEDS = st.integers(0, 2**32)
LAST = {"OrderDeliveredEvent", "OrderCancelledEvent"}


def story(seed: int, count: int = 1_500) -> list[SimulatedEvent]:
    return list(itertools.islice(Shop(seed).events(), count))


def by_order(events: list[SimulatedEvent]) -> dict[str, list[str]]:
    orders: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if "ClientOrderRef" in event.data:
            orders[event.data["ClientOrderRef"]].append(event.type)
    return orders


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_every_event_keeps_the_contract(seed: int) -> None:
    for event in story(seed, 300):
        parse_event(event.type, msgspec.json.encode(event.data), max_bytes=10_000)


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_same_seed_tells_the_same_story(seed: int) -> None:
    assert msgspec.json.encode(story(seed)) == msgspec.json.encode(story(seed))


def test_other_seeds_tell_other_stories() -> None:
    assert story(1) != story(2)


def test_all_types_of_the_contract_happen() -> None:
    assert {event.type for event in story(1, 2_000)} == set(EVENT_TYPES)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_orders_live_in_the_right_order(seed: int) -> None:
    orders = by_order(story(seed))

    assert len(orders) > 20
    for steps in orders.values():
        ranks = [RANK[step] for step in steps]
        assert ranks == sorted(ranks), steps
        assert steps[0] == "OrderReceivedEvent"
        assert len(LAST & set(steps)) <= 1, steps
        for once in ("OrderReceivedEvent", "OrderPaymentReceivedEvent", "OrderConfirmedEvent", *LAST):
            assert steps.count(once) <= 1, steps


RANK = {
    "OrderReceivedEvent": 0,
    "OrderPaymentReceivedEvent": 1,
    "OrderConfirmedEvent": 2,
    "OrderPartlyDeliveredEvent": 3,
    "OrderReadyForPickupEvent": 3,
    "OrderDeliveredEvent": 4,
    "OrderCancelledEvent": 4,
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_customers_exist_before_they_order(seed: int) -> None:
    known = 0
    for event in story(seed):
        if event.type == "CustomerChangedNotification" and event.data["EntityChanged"] == "tClientCustomer":
            known += 1
        assert event.type != "OrderReceivedEvent" or known


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_keeps_its_number_buyer_and_application(seed: int) -> None:
    names = {"ErpOrderNo": "OrderNo"}
    known: dict[tuple[str, str], object] = {}
    for event in story(seed):
        reference = event.data.get("ClientOrderRef")
        for name in ("ApplicationId", "LastName", "OrderNo", "ErpOrderNo"):
            if reference is not None and name in event.data:
                about = (reference, names.get(name, name))
                assert known.setdefault(about, event.data[name]) == event.data[name]


def test_keys_and_times_only_go_forward() -> None:
    events = story(5)

    assert len({event.key for event in events}) == len(events)
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)


def test_stock_notices_come_at_or_below_the_minimum() -> None:
    notices = [event.data for event in story(5) if event.type == "SkuOnHandBreakPointNotification"]

    assert notices
    assert all(notice["OnHandValue"] <= notice["MinimumValue"] for notice in notices)


# -- changes of rows


def changes(seed: int, count: int = 3_000) -> list[SimulatedChange]:
    return [each for each in itertools.islice(Shop(seed).life(), count) if isinstance(each, SimulatedChange)]


def test_changes_with_and_without_earlier_values_and_with_lists_of_parts_happen() -> None:
    bodies = [change.body for change in changes(1)]

    assert {body["operation"] for body in bodies} == {"insert", "update", "delete"}
    assert {"before" in body for body in bodies if body["operation"] == "update"} == {True, False}
    assert any(isinstance(body["key"].get("PartNo"), list) for body in bodies)
    assert len({body["id"] for body in bodies}) == len(bodies)


def test_changes_of_the_same_seed_are_the_same() -> None:
    assert changes(7) == changes(7)
    assert changes(7) != changes(8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_changes_raise_the_notifications_of_the_shop(seed: int) -> None:
    settings = [ActiveSetting(EventSetting(id=n, **setting)) for n, setting in enumerate(settings_of(1), 1)]
    known: dict[str, Values | None] = {}
    raised, expected = [], []
    for each in itertools.islice(Shop(seed).life(), 6_000):
        if isinstance(each, SimulatedEvent):
            if EVENT_TYPES[each.type].kind == "notification":
                expected.append((each.type, each.data))
            continue
        change = read_change(msgspec.json.encode(each.body))
        row = RowChange(change, known.get(change.row_key))
        known[change.row_key] = row.row
        of_entity = [active for active in settings if active.setting.entity == change.entity]
        raised += [(found.setting.event_type, found.body) for found in raise_notifications(row, of_entity)]

    assert raised == expected
    assert {event_type for event_type, _ in expected} == {
        name for name, event_type in EVENT_TYPES.items() if event_type.kind == "notification"
    }
