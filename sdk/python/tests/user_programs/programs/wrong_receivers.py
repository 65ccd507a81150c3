"""Wrong uses. Both checkers report every line marked so, and no other."""

from __future__ import annotations

from commerce_event_sdk import Delivery, OrderCancelledEvent, OrderConfirmedEvent, Receiver, verify

receiver = Receiver(secret="whsec_a", unhandled="ignore")  # wrong
nameless = Receiver(key="whsec_a")  # wrong


@receiver.on(OrderConfirmedEvent)  # wrong
def another_class(event: OrderCancelledEvent) -> None:
    print(event)


@receiver.on(OrderConfirmedEvent)  # wrong
def three_arguments(event: OrderConfirmedEvent, delivery: Delivery, more: int) -> None:
    print(event, delivery, more)


@receiver.on(OrderConfirmedEvent)  # wrong
async def async_of_another_class(event: OrderCancelledEvent, delivery: Delivery) -> None:
    print(event, delivery)


@receiver.on(OrderConfirmedEvent)
def confirmed(event: OrderConfirmedEvent) -> None:
    print(event.orderNo)  # wrong
    event.OrderNo = "2"  # wrong
    phone: str = event.CellPhone  # wrong
    print(phone)


OrderConfirmedEvent(ClientId=1)  # wrong
OrderConfirmedEvent(
    ClientId=1,
    ApplicationId=2,
    OrderId="3",  # wrong
    OrderNo="4",
    ClientOrderRef="5",
    Source="WEB",
)
receiver.on(5)  # wrong
receiver.handle({}, "text")  # wrong
verify("whsec_a", {}, "text")  # wrong
