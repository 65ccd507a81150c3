"""Rules of requests that a receiver must refuse."""

from collections.abc import Sequence
from typing import Final

import msgspec

from commerce_event.receiver_check.model import PASSED, Plan, Rule, failed, send, warned
from commerce_event.receiver_check.requests import RequestMaker, encode
from commerce_event.receiver_check.rules.judgement import refused

_OLD_S: Final = 3_600
_EXPECTED: Final = "401"


def _wrong_signature(maker: RequestMaker) -> Plan:
    message, other = maker.message(), maker.message()
    by_other = yield from send(maker.request(message, secrets=[maker.other_secret()]))
    changed = yield from send(msgspec.structs.replace(maker.request(message), body=other.body))
    return refused(
        [
            ("an event that is signed with another secret", by_other),
            ("an event whose body was changed after it was signed", changed),
        ],
        _EXPECTED,
    )


def _missing_signature(maker: RequestMaker) -> Plan:
    request = maker.request(maker.message(), secrets=[])
    unsigned = yield from send(request)
    empty = yield from send(msgspec.structs.replace(request, headers=(*request.headers, ("webhook-signature", "v1,"))))
    bare = yield from send(
        msgspec.structs.replace(
            request, headers=tuple(pair for pair in request.headers if not pair[0].startswith("webhook-"))
        )
    )
    return refused(
        [
            ("an event without webhook-signature", unsigned),
            ("an event with an empty signature", empty),
            ("an event without any webhook- header", bare),
        ],
        _EXPECTED,
    )


def _old_timestamp(maker: RequestMaker) -> Plan:
    answer = yield from send(maker.request(maker.message(), age_s=_OLD_S))
    return refused([("an event that was signed an hour ago", answer)], _EXPECTED)


def _wrong_static_header(maker: RequestMaker) -> Plan:
    attempts = []
    for name, value in maker.headers.items():
        others = {other: kept for other, kept in maker.headers.items() if other != name}
        wrong = yield from send(maker.request(maker.message(), headers={**others, name: f"not-{value}"[:100]}))
        missing = yield from send(maker.request(maker.message(), headers=others))
        attempts += [(f"an event with another value of {name}", wrong), (f"an event without {name}", missing)]
    return refused(attempts, _EXPECTED)


def _malformed_body(maker: RequestMaker) -> Plan:
    event = maker.event()
    bodies = {
        "a body that is not JSON": b'{"ClientId": 1, ',
        "a body that is not UTF-8": b'{"ClientId": 1, "Source": "\xff\xfe"}',
        "a body that is a list": encode(event).join((b"[", b"]")),
        "a body whose ClientId is a text": encode({**event, "ClientId": "one"}),
        "a body without the required properties": b"{}",
    }
    accepted = []
    for what, body in bodies.items():
        answer = yield from send(maker.request(maker.message(body)))
        if answer.is_success:
            accepted.append(what)
        elif not answer.is_client_error:
            return failed(f"{what} {answer}")
    if accepted:
        return warned(f"accepted, so the error is found later, if at all: {', '.join(accepted)}")
    return PASSED


def _get_request(maker: RequestMaker) -> Plan:
    answer = yield from send(maker.get())
    if answer.is_success or answer.status is None or answer.status >= 500:
        return failed(f"a GET request {answer}")
    return PASSED


RULES: Final[Sequence[Rule]] = (
    Rule(
        name="wrong-signature",
        sends="an event signed with another secret, and one whose body was changed after it was signed",
        requires="both are refused, best with 401",
        fix="Compare the HMAC over `id.timestamp.body` with every signature, and answer 401 before anything is done.",
        plan=_wrong_signature,
        needs="secret",
    ),
    Rule(
        name="missing-signature",
        sends="an event without a signature, one with an empty signature, and one without any webhook- header",
        requires="all are refused, best with 401",
        fix="Refuse a request that lacks webhook-id, webhook-timestamp or webhook-signature.",
        plan=_missing_signature,
        needs="secret",
    ),
    Rule(
        name="old-timestamp",
        sends="an event with a right signature that is an hour old, such as a recorded one",
        requires="it is refused, best with 401",
        fix="Refuse a webhook-timestamp that differs from your clock by more than five minutes.",
        plan=_old_timestamp,
        needs="secret",
    ),
    Rule(
        name="wrong-static-header",
        sends="an event with another value of each static header, and one without it",
        requires="all are refused, best with 401",
        fix="Compare the static header in constant time, and answer 401 when it is missing or differs.",
        plan=_wrong_static_header,
        needs="static_header",
    ),
    Rule(
        name="malformed-body",
        sends="signed bodies that are not JSON, not UTF-8, a list, and without or with wrong required properties",
        requires="each is answered 4xx; 2xx is a warning",
        fix="Catch errors of parsing and answer 400: a 5xx says that a later attempt may succeed, and it never does.",
        plan=_malformed_body,
    ),
    Rule(
        name="get-request",
        sends="a GET request",
        requires="it is not answered 2xx or 5xx",
        fix="Answer 405: a page that answers every request with 200 would take events and lose them.",
        plan=_get_request,
    ),
)
