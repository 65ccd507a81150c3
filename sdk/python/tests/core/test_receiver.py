"""What the receiver answers, and which handler gets an event."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event_sdk import (
    Answer,
    Category,
    DeadLetter,
    Delivery,
    Gone,
    InvalidEventError,
    InvalidSecretError,
    OrderConfirmedEvent,
    OrderReceivedEvent,
    Receiver,
    RetryLater,
    UnknownEvent,
)
from commerce_event_sdk.inbox import Inbox
from signed_requests import HEADER, ORDER, ORDER_BODY, OTHER_SECRET, SECRET, json_of, signed_headers

Take = Callable[..., Answer]
WITH_TOKEN = {HEADER[0]: HEADER[1]}


def take_sync(receiver: Receiver, headers: Any, body: bytes, **more: Any) -> Answer:
    return receiver.handle(headers, body, **more)


def take_async(receiver: Receiver, headers: Any, body: bytes, **more: Any) -> Answer:
    return asyncio.run(receiver.handle_async(headers, body, **more))


@pytest.fixture(params=[take_sync, take_async])
def take(request: pytest.FixtureRequest) -> Take:
    function: Take = request.param
    return function


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def receiver(events: list[Any]) -> Receiver:
    receiver = Receiver(secret=SECRET)
    receiver.on(OrderConfirmedEvent)(events.append)
    return receiver


class MemoryInbox(Inbox):
    """Keeps what the receiver puts, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.stored: dict[str, tuple[Delivery, str | None]] = {}

    def put(self, delivery: Delivery, business_key: str | None = None) -> bool:
        if self.error is not None:
            raise self.error
        is_new = delivery.webhook_id not in self.stored
        self.stored.setdefault(delivery.webhook_id, (delivery, business_key))
        return is_new

    async def put_async(self, delivery: Delivery, business_key: str | None = None) -> bool:
        return self.put(delivery, business_key)


def reason_of(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    reason: str = json.loads(answer.body)["reason"]
    return reason


def raising(error: BaseException) -> Callable[[Any], None]:
    def handler(_: Any) -> None:
        raise error

    return handler


# Statuses


def test_handle_answers_204_when_the_handler_has_returned(take: Take, receiver: Receiver, events: list[Any]) -> None:
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert (answer.status, answer.body, answer.is_success) == (204, b"", True)
    assert events == [OrderConfirmedEvent(**ORDER)]


def test_handle_answers_204_when_no_handler_wants_the_event(take: Take, receiver: Receiver) -> None:
    assert take(receiver, signed_headers(event_type="OrderReceivedEvent"), ORDER_BODY).status == 204
    assert take(receiver, signed_headers(b"not read", event_type="OwnEvent"), b"not read").status == 204


def test_handle_answers_202_when_the_inbox_has_stored_the_event(take: Take, events: list[Any]) -> None:
    inbox = MemoryInbox()
    receiver = Receiver(secret=SECRET, inbox=inbox)
    receiver.on(OrderConfirmedEvent)(events.append)
    headers = signed_headers(commerce_event_attempt="2", commerce_event_sequence="4711")
    assert [take(receiver, headers, ORDER_BODY).status for _ in range(2)] == [202, 202]
    assert events == []
    delivery, key = inbox.stored["evt_1"]
    assert (delivery.event_type, delivery.body, delivery.attempt, delivery.sequence) == (
        "OrderConfirmedEvent", ORDER_BODY, 2, 4711,
    )  # fmt: skip
    assert key == "order:B-1"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"ClientId": 1}', json_of({**ORDER, "OrderId": "1"})])
def test_handle_answers_400_to_a_body_that_breaks_the_contract(take: Take, receiver: Receiver, body: bytes) -> None:
    answer = take(receiver, signed_headers(body), body)
    assert answer.status == 400
    assert reason_of(answer) == "The body breaks the contract."
    assert all(error["message"] for error in json.loads(answer.body)["errors"])


def test_handle_answers_400_with_a_pointer_to_each_fault(receiver: Receiver) -> None:
    body = json_of({**ORDER, "OrderId": "1", "Source": None})
    assert json.loads(receiver.handle(signed_headers(body), body).body)["errors"] == [
        {"pointer": "/OrderId", "message": "must be an integer"},
        {"pointer": "/Source", "message": "must not be null"},
    ]


@pytest.mark.parametrize("webhook_id", ["", "a b", "x" * 257, "ä", "a\nb"])
def test_handle_answers_400_to_a_malformed_id_without_signature(take: Take, webhook_id: str) -> None:
    headers = WITH_TOKEN | {"webhook-id": webhook_id, "commerce-event-type": "OrderConfirmedEvent"}
    answer = take(Receiver(header=HEADER), headers, ORDER_BODY)
    assert answer.status == 400
    assert "webhook-id" in reason_of(answer)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "a webhook-id, webhook-timestamp or webhook-signature header is missing"),
        (signed_headers(secret=OTHER_SECRET), "no signature matches the body and the secret"),
        (signed_headers(b"{}"), "no signature matches the body and the secret"),
        (signed_headers(at_s=time.time() - 900), "webhook-timestamp is too far in the past; compare the clocks"),
        (signed_headers(at_s=time.time() + 86_400), "webhook-timestamp is in the future; compare the clocks"),
        (signed_headers() | {"webhook-timestamp": "x"}, "webhook-timestamp is not a number of seconds"),
    ],
)
def test_handle_answers_401_to_a_wrong_signature(
    take: Take, receiver: Receiver, events: list[Any], headers: dict[str, str], reason: str
) -> None:
    answer = take(receiver, headers, ORDER_BODY)
    assert answer.status == 401
    assert reason_of(answer) == f"The signature is refused: {reason}."
    assert events == []


def test_handle_answers_410_when_the_handler_raises_gone(take: Take) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(raising(Gone("shop closed")))
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert answer.status == 410
    assert "shop closed" not in reason_of(answer)


def test_handle_answers_413_to_a_body_over_the_limit(take: Take, events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET, max_body_bytes=len(ORDER_BODY))
    receiver.on("*")(events.append)
    assert take(receiver, signed_headers(), ORDER_BODY).status == 204
    answer = take(receiver, signed_headers(ORDER_BODY + b" "), ORDER_BODY + b" ")
    assert answer.status == 413
    assert reason_of(answer) == f"The body is larger than {len(ORDER_BODY)} bytes."
    assert len(events) == 1


@pytest.mark.parametrize("name", [None, "", "a b", "x" * 257, "OrderConfirmedEvent\n"])
def test_handle_answers_422_without_an_event_type(take: Take, receiver: Receiver, name: str | None) -> None:
    answer = take(receiver, signed_headers(event_type=name), ORDER_BODY)
    assert answer.status == 422
    assert "commerce-event-type" in reason_of(answer)


def test_handle_answers_422_when_an_inbox_could_not_recognise_a_repeat(take: Take) -> None:
    inbox = MemoryInbox()
    receiver = Receiver(header=HEADER, inbox=inbox)
    receiver.on("*", model=dict)(print)
    headers = WITH_TOKEN | {"commerce-event-type": "SkuPriceChangedNotification"}
    answer = take(receiver, headers, b"{}")
    assert answer.status == 422
    assert "webhook-id" in reason_of(answer)
    assert take(receiver, headers | {"webhook-id": "evt_1"}, b"{}").status == 202


@pytest.mark.parametrize("error", [ValueError("secret of the handler"), DeadLetter("no use")])
def test_handle_answers_500_without_a_traceback_when_the_handler_fails(
    take: Take, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(raising(error))
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert answer.status == 500
    assert reason_of(answer) == "The handler failed; send the event again."
    assert str(error) not in answer.body.decode()
    (record,) = caplog.records
    assert record.getMessage() == "the handler of OrderConfirmedEvent evt_1 failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_handle_answers_501_when_unhandled_events_are_rejected(take: Take) -> None:
    receiver = Receiver(secret=SECRET, unhandled="reject")
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert answer.status == 501
    assert reason_of(answer) == "No handler wants OrderConfirmedEvent."


@pytest.mark.parametrize(("after_s", "header"), [(0, "0"), (0.1, "1"), (30, "30")])
def test_handle_answers_503_when_the_handler_raises_retry_later(take: Take, after_s: float, header: str) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(raising(RetryLater(after_s, "bank closed")))
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert answer.status == 503
    assert answer.headers["retry-after"] == header
    assert "bank closed" not in reason_of(answer)


@pytest.mark.parametrize("after_s", [-1, float("inf"), float("nan")])
def test_retry_later_with_an_impossible_time_is_refused(after_s: float) -> None:
    with pytest.raises(ValueError, match="after_s must be from 0"):
        RetryLater(after_s)


def test_handle_answers_503_when_the_inbox_cannot_store(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(secret=SECRET, inbox=MemoryInbox(OSError("disk full")))
    receiver.on("*")(print)
    answer = take(receiver, signed_headers(), ORDER_BODY)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "disk full" not in reason_of(answer)
    assert caplog.records[0].getMessage() == "evt_1 was not stored"


def test_handle_lets_an_exit_pass(take: Take) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(raising(SystemExit(3)))
    with pytest.raises(SystemExit):
        take(receiver, signed_headers(), ORDER_BODY)


# Verification


def test_handle_during_a_rotation_takes_both_secrets(receiver: Receiver) -> None:
    rotating = Receiver(secrets=[OTHER_SECRET, SECRET])
    assert rotating.handle(signed_headers(), ORDER_BODY).status == 204
    assert rotating.handle(signed_headers(secret=OTHER_SECRET), ORDER_BODY).status == 204
    assert receiver.handle(signed_headers(secret=OTHER_SECRET), ORDER_BODY).status == 401


def test_handle_verifies_with_the_clock_and_tolerance_given() -> None:
    receiver = Receiver(secret=SECRET, tolerance_s=10, clock=lambda: 1_000.0)
    assert receiver.handle(signed_headers(at_s=990), ORDER_BODY).status == 204
    assert receiver.handle(signed_headers(at_s=989), ORDER_BODY).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({HEADER[0]: ""}, 401),
        ({HEADER[0]: HEADER[1] + "x"}, 401),
        ({HEADER[0]: "\ud800ö"}, 401),
        ({HEADER[0]: HEADER[1]}, 204),
        ({HEADER[0].upper(): HEADER[1]}, 204),
    ],
)
def test_handle_with_a_static_header_compares_it(take: Take, headers: dict[str, str], status: int) -> None:
    receiver = Receiver(header=HEADER)
    answer = take(receiver, headers, ORDER_BODY, event_type="OrderConfirmedEvent")
    assert answer.status == status
    assert HEADER[1] not in answer.body.decode()


def test_handle_with_secret_and_static_header_demands_both() -> None:
    receiver = Receiver(secret=SECRET, header=HEADER)
    assert receiver.handle(signed_headers(), ORDER_BODY).status == 401
    assert receiver.handle(WITH_TOKEN, ORDER_BODY, event_type="OrderConfirmedEvent").status == 401
    assert receiver.handle(signed_headers() | WITH_TOKEN, ORDER_BODY).status == 204


@pytest.mark.parametrize("value", ["", " a", "a\n", "ä"])
def test_receiver_with_a_static_header_that_cannot_arrive_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Receiver(header=("X-Shop-Token", value))


def test_receiver_without_secret_and_header_is_refused() -> None:
    with pytest.raises(ValueError, match="give a secret"):
        Receiver()
    with pytest.raises(InvalidSecretError):
        Receiver(secret="")


def test_receiver_with_a_misspelt_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="unhandled is one of"):
        Receiver(secret=SECRET, unhandled="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown_properties one of"):
        Receiver(secret=SECRET, unknown_properties="drop")  # type: ignore[arg-type]


def test_handle_verifies_the_bytes_that_came() -> None:
    body = b'{ "a" : 1.0,\n"b":"\xc3\xa5" }'
    bodies: list[bytes] = []
    receiver = Receiver(secret=SECRET)

    @receiver.on("*", model=dict)
    def keep(_: Any, delivery: Delivery) -> None:
        bodies.append(delivery.body)

    assert receiver.handle(signed_headers(body), body).status == 204
    assert receiver.handle(signed_headers(body), json.dumps(json.loads(body)).encode()).status == 401
    assert bodies == [body]


# Handlers


def test_handle_calls_the_most_specific_handler_only() -> None:
    called: list[str] = []
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _: called.append("*"))
    receiver.on(Category.ORDER)(lambda _: called.append("category"))
    receiver.on(OrderConfirmedEvent)(lambda _: called.append("type"))
    order_received = OrderReceivedEvent(ClientId=1, ApplicationId=2, ClientOrderRef="B-1", Source="WEB").to_json()
    price = b'{"ClientId": 1, "PartNo": "A", "PriceListId": 1}'
    assert receiver.handle(signed_headers(), ORDER_BODY).status == 204
    receiver.handle(signed_headers(order_received, event_type="OrderReceivedEvent"), order_received)
    receiver.handle(signed_headers(price, event_type="OwnEvent"), price)
    assert called == ["type", "category", "*"]


@pytest.mark.parametrize("name", ["Order", "*"])
def test_handle_of_a_type_named_like_a_group_does_not_reach_its_handler(name: str) -> None:
    receiver = Receiver(secret=SECRET, unhandled="reject")
    receiver.on(Category.ORDER)(raising(AssertionError()))
    assert receiver.handle(signed_headers(event_type=name), ORDER_BODY).status == 501


@pytest.mark.parametrize("selector", [OrderConfirmedEvent, "OrderConfirmedEvent"])
def test_second_handler_of_a_type_is_refused(receiver: Receiver, selector: Any) -> None:
    with pytest.raises(ValueError, match="OrderConfirmedEvent has a handler already"):
        receiver.on(selector)(print)


@pytest.mark.parametrize("selectors", [(Category.ORDER, "Order"), ("*", "*")])
def test_second_handler_of_a_group_is_refused(selectors: tuple[Any, Any]) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on(selectors[0])(print)
    with pytest.raises(ValueError, match="has a handler already"):
        receiver.on(selectors[1])(print)


@pytest.mark.parametrize("selector", ["", None, 1, dict, Receiver])
def test_selector_that_is_no_type_is_refused(selector: Any) -> None:
    with pytest.raises(ValueError, match=r"no event class|name an event type"):
        Receiver(secret=SECRET).on(selector)(print)


@pytest.mark.parametrize("model", [list, "OrderConfirmedEvent", 1])
def test_model_that_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="is no event class, pydantic model or dict"):
        Receiver(secret=SECRET).on("*", model=model)(print)


@pytest.mark.parametrize("function", [lambda: None, lambda _1, _2, _3: None, lambda _1, *, _2: None])
def test_handler_that_cannot_be_called_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match="must take the event"):
        Receiver(secret=SECRET).on("*")(function)


def test_handler_decorator_returns_the_function_itself() -> None:
    def confirmed(event: OrderConfirmedEvent) -> str:
        return event.OrderNo

    assert Receiver(secret=SECRET).on(OrderConfirmedEvent)(confirmed) is confirmed


class Callables:
    """Every way to write a handler."""

    seen: ClassVar[list[str]] = []

    @staticmethod
    def sync(_: Any) -> None:
        Callables.seen.append("sync")

    @staticmethod
    async def coroutine(_: Any, delivery: Delivery) -> None:
        await asyncio.sleep(0)
        Callables.seen.append(delivery.webhook_id)

    class Object:
        async def __call__(self, _: Any) -> None:
            await asyncio.sleep(0)
            Callables.seen.append("object")


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (Callables.sync, "sync"),
        (Callables.coroutine, "evt_1"),
        (Callables.Object(), "object"),
        (functools.partial(Callables.coroutine), "evt_1"),
        (lambda event: Callables.coroutine(event, Delivery("OwnEvent", "evt_2", b"")), "evt_2"),
    ],
)
def test_handler_of_any_kind_has_finished_before_the_answer(take: Take, function: Any, seen: str) -> None:
    Callables.seen.clear()
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(function)
    assert take(receiver, signed_headers(), ORDER_BODY).status == 204
    assert Callables.seen == [seen]


async def test_handle_async_of_a_handler_that_raises_stop_iteration_answers_500() -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _: next(iter(())))
    answer = await asyncio.wait_for(receiver.handle_async(signed_headers(), ORDER_BODY), 10)
    assert answer.status == 500


async def test_handle_async_calls_a_sync_handler_outside_the_loop() -> None:
    threads: list[int] = []
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _: threads.append(threading.get_ident()))
    await receiver.handle_async(signed_headers(), ORDER_BODY)
    assert threads != [threading.get_ident()]


async def test_handle_of_an_async_handler_in_a_running_loop_raises(receiver: Receiver, events: list[Any]) -> None:
    receiver.on("*")(Callables.coroutine)
    assert receiver.handle(signed_headers(), ORDER_BODY).status == 204
    with pytest.raises(RuntimeError, match=r"is async and an event loop runs: await handle_async\(\) instead"):
        receiver.handle(signed_headers(event_type="OwnEvent"), ORDER_BODY)


def test_slow_handler_is_answered_204_and_logged_with_the_remedy(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    now_s = [time.time()]
    receiver = Receiver(secret=SECRET, clock=lambda: now_s[0])

    @receiver.on("*")
    def slow(_: Any) -> None:
        now_s[0] += 5.5

    headers = signed_headers()
    assert take(receiver, headers, ORDER_BODY).status == 204
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the handler of OrderConfirmedEvent evt_1 took 5.5 s, but the sender waits for 5 s and sends the event again; "
        "let an inbox answer first: Receiver(inbox=Inbox.sqlite(…))"
    )


# Events, types and models


@pytest.mark.parametrize(("policy", "status"), [("keep", 204), ("ignore", 204), ("reject", 400)])
def test_handle_of_an_unknown_property_follows_the_policy(policy: Any, status: int, events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET, unknown_properties=policy)
    receiver.on(OrderConfirmedEvent)(events.append)
    body = json_of({**ORDER, "New": 1})
    assert receiver.handle(signed_headers(body), body).status == status
    assert [event.extra for event in events] == {"keep": [{"New": 1}], "ignore": [{}], "reject": []}[policy]


def test_handle_of_an_unknown_type_gives_a_catch_all_its_data(events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(events.append)
    receiver.handle(signed_headers(b'{"a": 1}', event_type="OwnEvent"), b'{"a": 1}')
    assert events == [UnknownEvent("OwnEvent", {"a": 1})]


def test_handle_with_dict_as_model_gives_the_object(take: Take, events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("OrderConfirmedEvent", model=dict)(events.append)
    assert take(receiver, signed_headers(b'{"OrderId": []}'), b'{"OrderId": []}').status == 204
    assert events == [{"OrderId": []}]


def test_handle_with_an_event_class_as_model_of_an_own_type(events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on("ShopOrderConfirmed", model=OrderConfirmedEvent)(events.append)
    receiver.handle(signed_headers(event_type="ShopOrderConfirmed"), ORDER_BODY)
    assert events == [OrderConfirmedEvent(**ORDER)]


def test_header_of_the_type_counts_more_than_the_argument(receiver: Receiver, events: list[Any]) -> None:
    answer = receiver.handle(signed_headers(event_type="OwnEvent"), ORDER_BODY, event_type="OrderConfirmedEvent")
    assert (answer.status, events) == (204, [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/webhooks/OrderConfirmedEvent", "OrderConfirmedEvent"),
        ("/OrderConfirmedEvent/", "OrderConfirmedEvent"),
        ("OrderConfirmedEvent", "OrderConfirmedEvent"),
        ("/hooks/OwnEvent", "OwnEvent"),
        ("/hooks/UnknownEvent", None),
        ("/hooks/Order", None),
        ("/hooks/*", None),
        ("/OrderConfirmedEvent/x", None),
        ("/", None),
        ("", None),
    ],
)
def test_type_in_path_returns_known_types_only(path: str, expected: str | None) -> None:
    receiver = Receiver(secret=SECRET)
    for selector in ("OwnEvent", Category.ORDER, "*"):
        receiver.on(selector)(print)
    assert receiver.type_in_path(path) == expected


def test_delivery_has_what_the_sender_says_and_no_secrets() -> None:
    deliveries: list[Delivery] = []
    receiver = Receiver(secret=SECRET, header=HEADER)
    receiver.on("*")(lambda _, delivery: deliveries.append(delivery))
    headers = signed_headers(
        commerce_event_attempt="3", commerce_event_sequence="12", commerce_event_replay="rep_1", authorization="Basic x"
    )
    assert receiver.handle((headers | WITH_TOKEN).items(), ORDER_BODY).status == 204
    (delivery,) = deliveries
    assert (delivery.webhook_id, delivery.attempt, delivery.sequence, delivery.is_replay) == ("evt_1", 3, 12, True)
    assert set(delivery.headers) == {
        "content-type", "webhook-id", "webhook-timestamp", "commerce-event-type", "commerce-event-attempt",
        "commerce-event-sequence", "commerce-event-replay",
    }  # fmt: skip
    assert "884211" not in repr(delivery)
    with pytest.raises(RuntimeError, match=r"call inbox\.accept"):
        _ = delivery.connection


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", "９", "1" * 19])
def test_delivery_with_a_strange_count_has_none(text: str) -> None:
    deliveries: list[Delivery] = []
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _, delivery: deliveries.append(delivery))
    receiver.handle(signed_headers(commerce_event_attempt=text, commerce_event_sequence=text), ORDER_BODY)
    assert (deliveries[0].attempt, deliveries[0].sequence, deliveries[0].is_replay) == (None, None, False)


# Ids, content keys and business keys


def delivery_of(body: bytes, event_type: str = "OrderConfirmedEvent", **settings: Any) -> Delivery:
    """Return the delivery of a request of a sender that gives no ids."""
    deliveries: list[Delivery] = []
    receiver = Receiver(header=HEADER, **settings)
    receiver.on("*", model=dict)(lambda _, delivery: deliveries.append(delivery))
    assert receiver.handle(WITH_TOKEN, body, event_type=event_type).status == 204
    return deliveries[0]


def test_content_key_is_the_same_for_the_same_event_only() -> None:
    key = delivery_of(ORDER_BODY).webhook_id
    assert key.startswith("content:")
    assert delivery_of(json_of({**ORDER, "FirstName": "Åsa", "Source": "POS"})).webhook_id == key
    others = [json_of({**ORDER, "OrderId": 1}), json_of({**ORDER, "ClientId": 2}), json_of({**ORDER, "OrderId": "1"})]
    assert len({key, *(delivery_of(other).webhook_id for other in others)}) == 4
    assert delivery_of(ORDER_BODY, "OrderCancelledEvent").webhook_id != key


@pytest.mark.parametrize("event_type", ["SkuPriceChangedNotification", "OwnEvent"])
def test_content_key_of_what_may_happen_again_is_none(event_type: str) -> None:
    delivery = delivery_of(b'{"ClientId": 1}', event_type)
    assert delivery.message_id is None
    with pytest.raises(LookupError, match=f"this {event_type} came without webhook-id"):
        _ = delivery.webhook_id


def test_content_key_of_an_own_type_is_made_of_the_properties_given() -> None:
    keys = {"OwnEvent": ("Id",)}
    one, same, other = (
        delivery_of(body, "OwnEvent", content_keys=keys).webhook_id
        for body in (b'{"Id": 1}', b'{"Id": 1, "x": 2}', b'{"Id": 2}')
    )
    assert one == same != other


def test_content_key_of_a_nested_value_is_none() -> None:
    assert delivery_of(json_of({**ORDER, "OrderId": [1]})).message_id is None


def test_webhook_id_without_signature_is_the_id() -> None:
    """A request with the static header is from the sender, so its id is trusted like its body."""
    deliveries: list[Delivery] = []
    receiver = Receiver(header=HEADER)
    receiver.on("*")(lambda _, delivery: deliveries.append(delivery))
    receiver.handle(WITH_TOKEN | {"webhook-id": "their.id"}, ORDER_BODY, event_type="OrderConfirmedEvent")
    assert deliveries[0].webhook_id == "their.id"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"ClientOrderRef": "B-1"}', "order:B-1"),
        (b'{"ClientOrderRef": null}', None),
        (b'{"ClientOrderRef": {"a": 1}}', None),
        (b'{"ClientOrderRef": 7}', "order:7"),
        (b"{}", None),
    ],
)
def test_business_key_with_dict_as_model_never_fails(take: Take, body: bytes, expected: str | None) -> None:
    inbox = MemoryInbox()
    receiver = Receiver(secret=SECRET, inbox=inbox)
    receiver.on("*", model=dict)(print)
    assert take(receiver, signed_headers(body), body).status == 202
    assert inbox.stored["evt_1"][1] == expected


@pytest.mark.parametrize("reference", ["x" * 100_000, "a\0b"])
def test_business_key_that_no_database_could_index_is_a_digest(reference: str) -> None:
    inbox = MemoryInbox()
    receiver = Receiver(secret=SECRET, inbox=inbox)
    receiver.on("*")(print)
    body = json_of({**ORDER, "ClientOrderRef": reference})
    assert receiver.handle(signed_headers(body), body).status == 202
    key = inbox.stored["evt_1"][1]
    assert key is not None
    assert key.startswith("order:")
    assert key.isprintable()
    assert len(key) == 46


# Dispatch


def test_dispatch_calls_the_handler_without_verification(receiver: Receiver, events: list[Any]) -> None:
    receiver.dispatch(Delivery("OrderConfirmedEvent", "evt_1", ORDER_BODY))
    receiver.dispatch(Delivery("OrderReceivedEvent", "evt_2", b"{}"))
    assert events == [OrderConfirmedEvent(**ORDER)]


def test_dispatch_raises_what_the_handler_raises(receiver: Receiver) -> None:
    receiver.on("*")(raising(KeyError("x")))
    with pytest.raises(KeyError):
        receiver.dispatch(Delivery("OwnEvent", "evt_1", b"{}"))
    with pytest.raises(InvalidEventError):
        receiver.dispatch(Delivery("OrderConfirmedEvent", "evt_1", b"{}"))


# The log


def test_log_has_the_id_and_never_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    receiver = Receiver(secret=SECRET, header=HEADER, unhandled="reject", inbox=MemoryInbox())
    receiver.on(OrderConfirmedEvent)(print)
    right = signed_headers() | WITH_TOKEN
    wrong = json_of({**ORDER, "OrderId": "personal data"})
    for headers, body in [
        (right, ORDER_BODY),
        (right | {HEADER[0]: "guess-of-the-token"}, ORDER_BODY),
        (right | {"webhook-signature": "v1,guess"}, ORDER_BODY),
        (signed_headers(wrong) | WITH_TOKEN, wrong),
        (signed_headers(event_type="OwnEvent") | WITH_TOKEN, ORDER_BODY),
        (signed_headers(event_type="") | WITH_TOKEN, ORDER_BODY),
    ]:
        receiver.handle(headers, body)
    assert len(caplog.messages) == 6
    assert all("evt_1" in message for message in caplog.messages)
    for secret in (SECRET, SECRET[6:], HEADER[1], "guess", right["webhook-signature"], "personal data"):
        assert secret not in caplog.text


def test_log_of_a_hostile_id_is_one_printable_line(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.handle({"webhook-id": "a\nERROR forged\x1b[2J\u2028" + "x" * 10_000}, b"")
    (message,) = caplog.messages
    assert message.isprintable()
    assert len(message) < 500


# Hostile input

NAMES = st.sampled_from(
    [
        "webhook-id", "webhook-timestamp", "webhook-signature", "commerce-event-type", "commerce-event-attempt",
        "commerce-event-sequence", "Content-Type", HEADER[0],
    ]
) | st.text(max_size=10)  # fmt: skip
ANYTHING = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["OrderConfirmedEvent", "*", "Order", HEADER[1], "1"]
)
BODIES = st.binary(max_size=50) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(ORDER)) | st.text(), inner),
    max_leaves=8,
).map(json_of)


def receivers(inbox: Inbox | None) -> list[Receiver]:
    signed = Receiver(secret=SECRET, inbox=inbox)
    strict = Receiver(header=HEADER, inbox=inbox, unknown_properties="reject")
    untyped = Receiver(header=HEADER, inbox=inbox)
    signed.on("*")(lambda _: None)
    strict.on("*")(lambda _: None)
    untyped.on("*", model=dict)(lambda _: None)
    return [signed, strict, untyped]


@given(st.lists(st.tuples(NAMES, ANYTHING)), BODIES, st.none() | ANYTHING, st.booleans())
def test_handle_of_arbitrary_requests_returns_an_answer(
    headers: list[tuple[str, str]], body: bytes, event_type: str | None, has_inbox: bool
) -> None:
    inbox = MemoryInbox() if has_inbox else None
    signed = signed_headers(body, event_type=None).items()
    for receiver in receivers(inbox):
        for proofs in ([], [*signed, HEADER]):
            answer = receiver.handle([*headers, *proofs], body, event_type=event_type)
            assert answer.status in {202, 204, 400, 401, 422}
            assert answer.is_success or json.loads(answer.body)["reason"]
    for delivery, key in (inbox.stored if inbox else {}).values():
        assert delivery.webhook_id.isascii()
        assert delivery.event_type.isascii()
        assert key is None or key.isprintable()


@given(st.lists(st.tuples(NAMES, ANYTHING)), BODIES)
def test_handle_async_of_arbitrary_requests_returns_an_answer(headers: list[tuple[str, str]], body: bytes) -> None:
    for receiver in receivers(None):
        answer = receiver.handle_async([*headers, HEADER], body, event_type="OrderConfirmedEvent")
        assert inspect.isawaitable(answer)
        assert asyncio.run(answer).status in {204, 400, 401, 422}


def test_headers_may_be_a_mapping_or_pairs(take: Take, receiver: Receiver) -> None:
    headers: Mapping[str, str] = signed_headers()
    assert take(receiver, headers, ORDER_BODY).status == 204
    assert take(receiver, [(name.upper(), value) for name, value in headers.items()], ORDER_BODY).status == 204
