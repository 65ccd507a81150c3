"""Programs with an inbox. Both checkers find nothing here."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from commerce_event_sdk import Delivery, Inbox, OrderConfirmedEvent, Receiver, RetryLater
from commerce_event_sdk.inbox import InboxMessage, InboxStatus, InboxUnavailableError, Worker
from commerce_event_sdk.inbox.gaps import GapReport, Gaps, GapsError

inbox = Inbox.sqlite("inbox.db")
receiver = Receiver(secret="whsec_a", inbox=inbox)


@receiver.on(OrderConfirmedEvent)
def confirmed(event: OrderConfirmedEvent, delivery: Delivery) -> None:
    delivery.connection.execute("UPDATE orders SET state = 'confirmed' WHERE number = ?", (event.OrderNo,))
    if delivery.attempt == 1:
        raise RetryLater(60, "the ERP system is away")


worker: Worker = inbox.worker(receiver, concurrency=8, retry_schedule=(5, 30), max_attempts=10)
worker.start()
print(worker.run_until_idle() + 1, worker.stop(timeout_s=10))

own = Receiver(header=("x-token", "a"))


@own.on(OrderConfirmedEvent)
def in_a_transaction_of_its_own(event: OrderConfirmedEvent, delivery: Delivery) -> None:
    with closing(sqlite3.connect("shop.db")) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        is_new: bool = inbox.accept(connection, delivery.webhook_id)
        if is_new:
            connection.execute("INSERT INTO mails (number) VALUES (?)", (event.OrderNo,))


def look() -> int:
    status: InboxStatus = inbox.status()
    dead: list[InboxMessage] = inbox.messages(state="dead", limit=10)
    for message in dead:
        print(message.id, message.event_type or "", message.error or "")
    return status.pending + inbox.retry(*(message.id for message in dead))


async def put(delivery: Delivery) -> bool:
    try:
        return await inbox.put_async(delivery, "order:1")
    except InboxUnavailableError:
        return False


gaps = Gaps(inbox, "https://events.example.com", "cek_a", 1, receiver=receiver)
gaps.start(every_s=60)
try:
    report: GapReport = gaps.run_once()
    print(report.fetched, [last - first + 1 for first, last in report.lost])
except GapsError as error:
    print(error.status or 0, error.retry_after_s)
