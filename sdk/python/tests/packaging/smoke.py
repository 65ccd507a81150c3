"""Uses every part of the installed SDK once, with the standard library alone. Its argument is the version of Python."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, make_server

from commerce_event_sdk import Delivery, InvalidSignatureError, OrderConfirmedEvent, Receiver, parse, sign, verify
from commerce_event_sdk.client import Client
from commerce_event_sdk.inbox import Inbox
from commerce_event_sdk.outbox import Outbox, Relay

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = OrderConfirmedEvent(
    ClientId=1, ApplicationId=2, OrderId=9_007_199_254_740_993, OrderNo="1001", ClientOrderRef="B-1", Source="WEB"
)


def headers_for(webhook_id: str, body: bytes) -> dict[str, str]:
    now_s = int(time.time())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(SECRET, webhook_id, now_s, body),
        "commerce-event-type": "OrderConfirmedEvent",
    }


def check_models() -> None:
    assert parse("OrderConfirmedEvent", EVENT.to_json()) == EVENT
    assert EVENT.business_key == "order:B-1"


def check_signatures() -> None:
    headers = headers_for("evt_1", EVENT.to_json())
    verify(SECRET, headers, EVENT.to_json())
    try:
        verify(SECRET, headers, EVENT.to_json() + b" ")
    except InvalidSignatureError:
        return
    raise AssertionError("a changed body was verified")


class Quiet(WSGIRequestHandler):
    def log_message(self, *values: object) -> None:
        """Write nothing."""


def post(url: str, webhook_id: str) -> int:
    body = EVENT.to_json()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers_for(webhook_id, body)), timeout=30) as answer:
        return int(answer.status)


def check_inbox_behind_a_socket() -> None:
    """A repeat is acknowledged and has no second effect."""
    with closing(Inbox.sqlite("inbox.db")) as inbox:
        receiver = Receiver(secret=SECRET, inbox=inbox)

        @receiver.on(OrderConfirmedEvent)
        def confirmed(event: OrderConfirmedEvent, delivery: Delivery) -> None:
            delivery.connection.execute("CREATE TABLE IF NOT EXISTS effects (order_id INTEGER)")
            delivery.connection.execute("INSERT INTO effects VALUES (?)", (event.OrderId,))

        with make_server("127.0.0.1", 0, receiver.wsgi(), handler_class=Quiet) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            url = f"http://127.0.0.1:{server.server_port}/hook"
            assert [post(url, "evt_1"), post(url, "evt_1"), post(url, "evt_2")] == [202, 202, 202]
            server.shutdown()
            thread.join()
        inbox.worker(receiver).run_until_idle()
    with closing(sqlite3.connect("inbox.db")) as database:
        assert database.execute("SELECT order_id FROM effects").fetchall() == [(EVENT.OrderId,)] * 2


class Platform(BaseHTTPRequestHandler):
    """Takes events as the server does."""

    protocol_version = "HTTP/1.1"
    taken: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        items = [json.loads(line) for line in text.splitlines()]
        self.taken.extend(items)
        results = [
            {"index": index, "status": 202, "id": f"evt_{index}", "duplicate": False, "deliveries": 0}
            for index in range(len(items))
        ]
        body = json.dumps({"accepted": len(items), "duplicates": 0, "refused": 0, "items": results}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values: object) -> None:
        """Write nothing."""


def check_outbox() -> None:
    """An event is published after the commit, and never when it was rolled back."""
    outbox = Outbox()
    with closing(sqlite3.connect("shop.db")) as shop:
        with shop:
            outbox.create_tables(shop)
        with shop:
            shop.execute("CREATE TABLE orders (number TEXT)")
            shop.execute("INSERT INTO orders VALUES ('1001')")
            event_id = outbox.add(shop, EVENT)
        shop.execute("INSERT INTO orders VALUES ('1002')")
        outbox.add(shop, EVENT)
        shop.rollback()
    with HTTPServer(("127.0.0.1", 0), Platform) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        client = Client(f"http://127.0.0.1:{server.server_port}", "cek_of_the_smoke_test")
        Relay("sqlite:///shop.db", client).run_until_idle()
        assert client.close() == []
        server.shutdown()
        thread.join()
    assert [(each["id"], each["type"], each["data"]) for each in Platform.taken] == [
        (event_id, "OrderConfirmedEvent", EVENT.to_dict())
    ]


def check_nothing_else_is_there() -> None:
    installed = {each.metadata["Name"] for each in distributions()}
    assert installed == {"commerce-event-sdk"}, installed
    own = Path(sys.prefix)
    foreign = {
        name.partition(".")[0]
        for name, module in sys.modules.items()
        if own in Path(getattr(module, "__file__", None) or "/").parents
    }
    assert foreign == {"commerce_event_sdk"}, foreign


assert sys.argv[1] == f"{sys.version_info[0]}.{sys.version_info[1]}", sys.version
check_models()
check_signatures()
check_inbox_behind_a_socket()
check_outbox()
check_nothing_else_is_there()
print("all well")
