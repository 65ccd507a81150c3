"""Uses every part of the installed SDK once, with the standard library alone. Its argument is the version of Python."""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from importlib.metadata import distributions
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from commerce_event_sdk import InvalidSignatureError, OrderConfirmedEvent, Receiver, parse, sign, verify

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


def check_receiver_on_a_socket() -> None:
    orders: list[int] = []
    receiver = Receiver(secret=SECRET)

    @receiver.on(OrderConfirmedEvent)
    def confirmed(event: OrderConfirmedEvent) -> None:
        orders.append(event.OrderId)

    with make_server("127.0.0.1", 0, receiver.wsgi(), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert post(f"http://127.0.0.1:{server.server_port}/hook", "evt_1") == 204
        server.shutdown()
        thread.join()
    assert orders == [EVENT.OrderId]


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
check_receiver_on_a_socket()
check_nothing_else_is_there()
print("all well")
