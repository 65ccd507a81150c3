"""The programs of the documentation of the inbox run as they are printed."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import pytest

from commerce_event_sdk import OrderConfirmedEvent, Receiver
from commerce_event_sdk.inbox import Inbox, Worker
from commerce_event_sdk.signatures import sign

PAGE = Path(__file__).parents[4] / "docs/sdk/inbox.md"
pytestmark = [pytest.mark.integration, pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not there")]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def program(number: int) -> str:
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [each for each in blocks if "Receiver(secret" in each][number]


def run_program(number: int) -> dict[str, object]:
    with sqlite3.connect("shop.db") as connection:
        connection.execute("CREATE TABLE bookings (order_no TEXT)")
    connection.close()
    names: dict[str, object] = {"__name__": "shop"}
    exec(compile(program(number), "shop.py", "exec", dont_inherit=True), names)
    return names


def request(webhook_id: str) -> tuple[dict[str, str], bytes]:
    event = OrderConfirmedEvent(
        ClientId=1, ApplicationId=2, OrderId=3, OrderNo="SO-1", ClientOrderRef="R-1", Source="WEB"
    )
    now, body = int(time.time()), event.to_json()
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(now), "commerce-event-type": "OrderConfirmedEvent"}
    return {**headers, "webhook-signature": sign(SECRET, webhook_id, now, body)}, body


def bookings() -> list[str]:
    connection = sqlite3.connect("shop.db")
    rows = [row[0] for row in connection.execute("SELECT order_no FROM bookings")]
    connection.close()
    return rows


def test_program_that_works_later_books_each_order_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_program(0)
    receiver, inbox, worker = names["receiver"], names["inbox"], names["worker"]
    assert isinstance(receiver, Receiver)
    assert isinstance(inbox, Inbox)
    assert isinstance(worker, Worker)
    assert [receiver.handle(*request("evt_1")).status for _ in range(3)] == [202, 202, 202]
    while inbox.status().done == 0:
        time.sleep(0.01)
    assert worker.stop()
    inbox.close()
    assert bookings() == ["SO-1"]


def test_program_that_accepts_in_its_transaction_books_each_order_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    receiver = run_program(1)["receiver"]
    assert isinstance(receiver, Receiver)
    assert [receiver.handle(*request("evt_1")).status for _ in range(3)] == [204, 204, 204]
    assert bookings() == ["SO-1"]
