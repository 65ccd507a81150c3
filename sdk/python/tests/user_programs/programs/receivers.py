"""Receivers in every style. Both checkers find nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commerce_event_sdk import (
    Answer,
    Category,
    CommerceEvent,
    DeadLetter,
    Delivery,
    Gone,
    OrderConfirmedEvent,
    OrderPaymentReceivedEvent,
    Receiver,
    RetryLater,
    SkuPriceChangedNotification,
    UnknownEvent,
    parse,
    sign,
    verify,
)
from commerce_event_sdk.asgi import AsgiApp
from commerce_event_sdk.wsgi import WsgiApp

receiver = Receiver(secrets=["whsec_new", "whsec_old"], header=("x-token", "a"), unhandled="reject", tolerance_s=60)


@receiver.on(OrderConfirmedEvent)
def confirmed(event: OrderConfirmedEvent) -> None:
    number: str = event.OrderNo
    phone: str | None = event.CellPhone
    print(number, phone, event.OrderId + 1)


@receiver.on(OrderPaymentReceivedEvent)
async def paid(event: OrderPaymentReceivedEvent, delivery: Delivery) -> None:
    print(event.ClientOrderRef, delivery.webhook_id, delivery.attempt or 1)
    if delivery.is_replay:
        raise RetryLater(30)


@receiver.on(SkuPriceChangedNotification)
def price(event: CommerceEvent) -> int:
    """A handler may take a base class, and what it returns is ignored."""
    return len(event.to_json())


@receiver.on("OrderReceivedEvent", model=dict)
def received(event: dict[str, Any]) -> None:
    print(event["ClientOrderRef"])


@receiver.on(Category.CUSTOMER)
def customer(event: CommerceEvent | UnknownEvent) -> None:
    print(event.business_key)
    raise Gone


@receiver.on("*")
def rest(event: Any, delivery: Delivery) -> None:
    raise DeadLetter(f"{delivery.event_type} is not expected")


class Shop:
    """A method is a handler too."""

    def cancelled(self, event: OrderConfirmedEvent) -> None:
        print(event.FirstName)


other = Receiver(secret="whsec_a")
other.on(OrderConfirmedEvent)(Shop().cancelled)
still_typed: str = str(confirmed(OrderConfirmedEvent(
    ClientId=1, ApplicationId=2, OrderId=3, OrderNo="4", ClientOrderRef="5", Source="WEB"
)))  # fmt: skip


def lambda_handler(headers: Mapping[str, str], body: bytes) -> int:
    answer: Answer = receiver.handle(headers, body, event_type="OrderConfirmedEvent")
    return answer.status


async def in_an_event_loop(headers: list[tuple[str, str]], body: bytes) -> bytes:
    return (await receiver.handle_async(headers, body)).body


def by_hand(headers: dict[str, str], body: bytes) -> None:
    verify("whsec_a", headers, body)
    event = parse("OrderConfirmedEvent", body)
    if isinstance(event, OrderConfirmedEvent):
        print(event.OrderNo, sign("whsec_a", "evt_1", 1, body))
    elif isinstance(event, UnknownEvent):
        print(event.event_type, event.data)


asgi: AsgiApp = receiver.asgi()
wsgi: WsgiApp = receiver.wsgi()
