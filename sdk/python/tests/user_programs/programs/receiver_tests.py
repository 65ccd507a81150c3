"""Tests of a receiver, as a user writes them for the pytest plugin. Both checkers find nothing here."""

from __future__ import annotations

from collections.abc import Callable

from commerce_event_sdk import Category, CommerceEvent, Delivery, OrderConfirmedEvent, Receiver
from commerce_event_sdk.testing import RETRY_DELAYS_S, SECRET, FakeClock, Order, ReceiverClient, Sent, Shop, lives

Wrap = Callable[..., ReceiverClient]


def make_receiver(handled: list[CommerceEvent]) -> Receiver:
    receiver = Receiver(secret=SECRET)

    @receiver.on(Category.ORDER)
    def handle(event: CommerceEvent, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            handled.append(event)

    return receiver


def test_receiver(commerce_event_receiver: Wrap, shop: Shop, commerce_event_clock: FakeClock) -> None:
    handled: list[CommerceEvent] = []
    client = commerce_event_receiver(make_receiver(handled), path="/webhooks", header=("X-Key", "abc"))
    order: Order = shop.order(Source="POS")
    confirmed: OrderConfirmedEvent = order.confirmed()
    sent: Sent = client.send(confirmed, repeat=2, replay=True, attempt=1)
    assert sent.status == 204
    assert [attempt.status for attempt in sent.attempts] == [204, 204, 204]
    client.assert_processed_once(order.paid(100.0), lambda: len(handled))
    client.assert_survives_repeats(confirmed, handled, repeats=2, at_once=True)
    client.assert_order_kept(order.life("cancelled"), handled)
    client.assert_survives_reordering(order.life(), shop.order().life(), lambda key: key)
    client.assert_answers_within(5)
    client.assert_refuses_wrong_signature(confirmed)
    for offset, event, headers in lives.load("plain_order"):
        print(offset, event.event_type, headers["webhook-id"])
    shop.advance(hours=2)
    assert commerce_event_clock.elapsed_s > sum(RETRY_DELAYS_S)


def test_url() -> None:
    client = ReceiverClient("http://localhost:3000/hook", secret=None)
    for event in Shop(7).events(hours=8):
        client.send(event)
    client.close()
