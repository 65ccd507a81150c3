"""Rules of bodies that are unusual and right."""

from collections.abc import Sequence
from typing import Final

from commerce_event.receiver_check.model import PASSED, Plan, Rule, failed, send, skipped, warned
from commerce_event.receiver_check.requests import RequestMaker, encode, encode_oddly
from commerce_event.receiver_check.rules.judgement import accepted

_HUGE_BYTES: Final = 256 * 1024  # what the server accepts
_LARGE_NUMBER: Final = 9_007_199_254_740_993  # 2**53 + 1, which no double holds
_ORDER: Final = "OrderConfirmedEvent"
_NOTE: Final = "CheckNote"  # a property that no event type has


def _raw_body(maker: RequestMaker) -> Plan:
    event = maker.event()
    if "FirstName" in event:
        event |= {"FirstName": "Åsa 🛒", "LastName": "Öberg/O’Brien"}
    answer = yield from send(maker.request(maker.message(encode_oddly(event))))
    return accepted("an event whose body is written in an unusual way", answer)


def _unknown_property(maker: RequestMaker) -> Plan:
    event = {**maker.event(), _NOTE: {"Since": [1, 2.5, None, True]}}
    answer = yield from send(maker.request(maker.message(event)))
    return accepted(f"an event with the unknown property {_NOTE}", answer)


def _unknown_value(maker: RequestMaker) -> Plan:
    name, changed = "InvoiceCaptureCompletedEvent", {"State": "PartlyCaptured"}
    answer = yield from send(maker.request(maker.message({**maker.event(name), **changed}, name)))
    return accepted(f"{name} with the new State PartlyCaptured", answer)


def _unknown_type(maker: RequestMaker) -> Plan:
    name = "OrderArchivedEvent"
    answer = yield from send(maker.request(maker.message(maker.event(_ORDER), name)))
    return accepted(f"an event of the new type {name}", answer)


def _large_number(maker: RequestMaker) -> Plan:
    event = maker.event()
    name = None if "OrderId" in event else _ORDER
    if name is not None:
        event = maker.event(name)
    answer = yield from send(maker.request(maker.message({**event, "OrderId": _LARGE_NUMBER}, name)))
    return accepted(f"an event with OrderId {_LARGE_NUMBER}", answer)


def _huge_event(maker: RequestMaker) -> Plan:
    event = {**maker.event(), _NOTE: ""}
    small = yield from send(maker.request(maker.message(event)))
    if not small.is_success:
        return skipped("an unknown property is refused already; see unknown-property")
    body = encode({**event, _NOTE: "x" * (_HUGE_BYTES - len(encode(event)))})
    answer = yield from send(maker.request(maker.message(body)))
    if answer.status == 413:
        return warned(f"an event of 256 KiB {answer}; the server would retry it and then keep it as a dead letter")
    return accepted("an event of 256 KiB", answer)


def _slow_body(maker: RequestMaker) -> Plan:
    send_s = maker.limits.slow_body_s
    answer = yield from send(maker.request(maker.message(), send_s=send_s))
    if answer.is_success:
        return PASSED
    return failed(f"an event whose body took {send_s:g} s to arrive {answer}")


RULES: Final[Sequence[Rule]] = (
    Rule(
        name="raw-body",
        sends="an event with other white space, order of properties, escapes and letters than a serialiser writes",
        requires="it is answered 2xx",
        fix="Verify the signature over the bytes as they came, before parsing: serialised again, the body differs.",
        plan=_raw_body,
    ),
    Rule(
        name="unknown-property",
        sends=f"an event with a property that no event type has ({_NOTE})",
        requires="it is answered 2xx",
        fix="Ignore or keep properties that you do not know: new ones are added to event types.",
        plan=_unknown_property,
    ),
    Rule(
        name="unknown-value",
        sends="InvoiceCaptureCompletedEvent with a State that is not in the contract yet",
        requires="it is answered 2xx",
        fix="Treat a value that you do not know as one that needs no work, and log it; do not let parsing fail.",
        plan=_unknown_value,
    ),
    Rule(
        name="unknown-type",
        sends="a signed event of a type that does not exist yet",
        requires="it is answered 2xx",
        fix="Answer 2xx to types that you do not handle: any other answer makes the server retry for hours.",
        plan=_unknown_type,
    ),
    Rule(
        name="large-number",
        sends=f"an event with OrderId {_LARGE_NUMBER}",
        requires="it is answered 2xx",
        fix="Read OrderId as a 64-bit integer (in JavaScript as BigInt), and give its column 64 bits.",
        plan=_large_number,
    ),
    Rule(
        name="huge-event",
        sends="an event of 256 KiB, the largest that the server accepts",
        requires="it is answered 2xx; 413 is a warning",
        fix="Raise the limit of the body, also that of a proxy in front, to at least 256 KiB.",
        plan=_huge_event,
    ),
    Rule(
        name="slow-body",
        sends="an event whose body arrives in small pieces over seconds",
        requires="it is answered 2xx within the limit",
        fix="Read the body until content-length bytes have arrived; give slow senders at least five seconds.",
        plan=_slow_body,
    ),
)
