"""Wrong uses. Both checkers report every line marked so, and no other."""

from __future__ import annotations

import sqlite3

from commerce_event_sdk import Delivery, Inbox, OrderConfirmedEvent, Receiver
from commerce_event_sdk.client import AsyncClient, Client
from commerce_event_sdk.inbox.gaps import Gaps
from commerce_event_sdk.outbox import Outbox

inbox = Inbox.sqlite(5)  # wrong
receiver = Receiver(secret="whsec_a", inbox="inbox.db")  # wrong
client = Client("https://events.example.com")  # wrong
client.publish(5)  # wrong
client.publish("OrderConfirmedEvent", ["ClientId"])  # wrong
inbox.messages(state="failed")  # wrong
inbox.worker(receiver, concurrency="4")  # wrong
number: int = inbox.put(Delivery("OrderConfirmedEvent", "evt_1", b"{}"), "order:1").bit_count()
text: str = inbox.accept(sqlite3.connect("shop.db"), "evt_1")  # wrong
Gaps(inbox, "https://events.example.com", "cek_a", "1")  # wrong
Outbox().add(sqlite3.connect("shop.db"), OrderConfirmedEvent, {"ClientId": 1}, key=5)  # wrong


async def publish(other: AsyncClient, event: OrderConfirmedEvent) -> str:
    accepted = other.publish(event)
    return accepted.id  # wrong
