"""The shop: believable events of every type, the same for the same seed."""

import hashlib

import pytest

from commerce_event_sdk import MODELS, CommerceEvent, OrderPaymentReceivedEvent, parse
from commerce_event_sdk.testing import OUTCOMES, FakeClock, Shop

START_S = 1_000_000.0


def all_types(shop: Shop) -> list[CommerceEvent]:
    order = shop.order()
    return [
        order.received(),
        order.paid(),
        order.confirmed(),
        order.partly_delivered(),
        order.ready_for_pickup(),
        order.delivered(),
        order.cancelled(),
        order.invoice_captured(),
        shop.price_changed(),
        shop.stock_low(),
        shop.product_changed(),
        shop.translation_requested(),
        shop.customer_changed(),
        shop.company_changed(),
        shop.supplier_product_changed(),
        shop.supplier_stock_changed(),
        shop.supplier_price_changed(),
        shop.job_completed(),
        shop.subscription_failed(),
    ]


def test_shop_makes_every_event_type_and_each_keeps_the_contract() -> None:
    made = all_types(Shop())
    assert {each.event_type for each in made} == set(MODELS)
    assert [parse(each.event_type, each.to_json()) for each in made] == made


def test_shop_events_are_the_same_for_the_same_seed_in_every_version_of_python() -> None:
    def digest(seed: int) -> str:
        shop = Shop(seed)
        made = [*all_types(shop), *shop.events(hours=3)]
        return hashlib.sha256(b"\n".join(each.to_json() for each in made)).hexdigest()[:16]

    assert (digest(1), digest(2)) == ("0fd170f305efd126", "0477f2f03009b0f2")


def test_shop_events_move_the_clock_and_stay_within_the_hours() -> None:
    clock = FakeClock(START_S)
    times = []
    for event in Shop(3, clock=clock).events(hours=8):
        assert event.business_key is not None
        times.append(clock())
    assert len(times) > 100
    assert times == sorted(times)
    assert times[0] > START_S
    assert times[-1] < START_S + 8 * 3600


def test_shop_events_keep_the_order_of_each_order() -> None:
    steps = ["OrderReceivedEvent", "OrderPaymentReceivedEvent", "OrderConfirmedEvent"]
    seen: dict[str, list[str]] = {}
    for event in Shop(4).events(hours=8):
        if (event.business_key or "").startswith("order:"):
            seen.setdefault(str(event.business_key), []).append(event.event_type)
    assert len(seen) > 20
    assert all(each[:3] == steps[: len(each[:3])] for each in seen.values())


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_order_life_ends_as_asked(outcome: str) -> None:
    life = Shop().order().life(outcome)  # type: ignore[arg-type]
    ends = {"cancelled": "OrderCancelledEvent", "picked_up": "OrderReadyForPickupEvent"}
    assert ends.get(outcome, "OrderDeliveredEvent") in [each.event_type for each in life]
    assert {getattr(each, "ClientOrderRef", None) for each in life} <= {life[0].ClientOrderRef, None}  # type: ignore[attr-defined]


def test_order_properties_are_in_every_event_and_payments_differ() -> None:
    order = Shop().order(Source="POS", OrderId=9_007_199_254_740_993)
    assert (order.received().Source, order.confirmed().Source, order.delivered().OrderId) == (
        "POS",
        "POS",
        9_007_199_254_740_993,
    )
    first, second = order.paid(100.0), order.paid()
    assert isinstance(first, OrderPaymentReceivedEvent)
    assert (first.Amount, second.Amount) == (100.0, order.Amount)
    assert first.PaymentCode != second.PaymentCode


def test_order_with_an_unknown_property_is_refused() -> None:
    with pytest.raises(TypeError, match="no event of an order has the property Sorce"):
        Shop().order(Sorce="POS")
    with pytest.raises(TypeError, match="OrderConfirmedEvent has no property Amount"):
        Shop().order().confirmed(Amount=1.0)


def test_clock_moves_forward_only() -> None:
    clock = FakeClock(START_S)
    clock.advance(days=1, hours=1, minutes=1, seconds=1)
    clock.sleep(2)
    assert (clock(), clock.elapsed_s) == (START_S + 90_063, 90_063)
    assert clock.now.isoformat() == "1970-01-13T14:47:43+00:00"
    with pytest.raises(ValueError, match="forward"):
        clock.advance(seconds=-1)
