"""Programs that publish. Both checkers find nothing here."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future

from commerce_event_sdk import OrderConfirmedEvent
from commerce_event_sdk.client import AsyncClient, Client
from commerce_event_sdk.outbox import Outbox, Relay
from commerce_event_sdk.publishing import Accepted, EventRefusedError, NotAccepted

event = OrderConfirmedEvent(
    ClientId=1, ApplicationId=2, OrderId=3, OrderNo="4", ClientOrderRef="5", Source="WEB", CellPhone=None
)

with Client("https://events.example.com", "cek_a") as client:
    waiting: Future[Accepted] = client.publish(event)
    client.publish("OrderConfirmedEvent", {"ClientId": 1}, id="order-4-confirmed", block=False)
    try:
        print(waiting.result(timeout=5).id)
    except EventRefusedError as error:
        print([message for _, message in error.errors])


def end(other: Client) -> list[str]:
    left: list[NotAccepted] = other.close(timeout_s=5)
    return [each.reason for each in left]


async def publish() -> str:
    async with AsyncClient("https://events.example.com", "cek_a") as other:
        accepted: Accepted = await other.publish(event)
        return accepted.id


outbox = Outbox()


def confirm(connection: sqlite3.Connection) -> str:
    with connection:
        connection.execute("UPDATE orders SET state = 'confirmed'")
        event_id: str = outbox.add(connection, event)
        outbox.add(connection, "OrderConfirmedEvent", {"ClientId": 1}, key="order:5")
        return event_id


relay = Relay("sqlite:///shop.db", Client("https://events.example.com", "cek_a"))
relay.start()
relay.stop(timeout_s=5)
