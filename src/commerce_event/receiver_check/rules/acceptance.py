"""Rules of requests that every receiver must accept."""

from collections.abc import Sequence
from typing import Final

from commerce_event.receiver_check.model import PASSED, Plan, Rule, failed, send
from commerce_event.receiver_check.requests import RequestMaker
from commerce_event.receiver_check.rules.judgement import accepted


def _event(maker: RequestMaker) -> Plan:
    for message in maker.messages_of_all_types():
        answer = yield from send(maker.request(message))
        if not answer.is_success:
            return failed(f"{message.type_name} {answer}")
    return PASSED


def _two_signatures(maker: RequestMaker) -> Plan:
    secrets = [maker.other_secret(), *maker.secrets]
    answer = yield from send(maker.request(maker.message(), secrets=secrets))
    return accepted("with the right signature in second place, the event", answer)


def _out_of_order(maker: RequestMaker) -> Plan:
    order = maker.event("OrderDeliveredEvent")
    for name, what in (
        ("OrderDeliveredEvent", "sent first"),
        ("OrderConfirmedEvent", "sent after OrderDeliveredEvent"),
    ):
        answer = yield from send(maker.request(maker.message(order, name)))
        if not answer.is_success:
            return failed(f"{name}, {what}, {answer}")
    return PASSED


RULES: Final[Sequence[Rule]] = (
    Rule(
        name="accepts-event",
        sends="one event of each type that is checked, as the server sends it",
        requires="it is answered 2xx within the limit",
        fix="Answer POST requests on exactly this URL with 2xx; compare the secret and the clock if the signature is "
        "refused.",
        plan=_event,
    ),
    Rule(
        name="two-signatures",
        sends="an event with two signatures, the second one right, as while a secret is rotated",
        requires="it is answered 2xx",
        fix="Split webhook-signature at spaces, and accept the event when any of the signatures matches.",
        plan=_two_signatures,
        needs="secret",
    ),
    Rule(
        name="out-of-order",
        sends="OrderDeliveredEvent of an order, and then its OrderConfirmedEvent",
        requires="both are answered 2xx",
        fix="Store what an event says even if an earlier one is missing: retries change the order of events.",
        plan=_out_of_order,
    ),
)
