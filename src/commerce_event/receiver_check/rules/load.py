"""Rules of speed."""

from collections.abc import Sequence
from typing import Final

from commerce_event.receiver_check.model import PASSED, Plan, Rule, failed, send, send_all
from commerce_event.receiver_check.requests import RequestMaker

_SEQUENCE: Final = 20  # with one slow answer among 20, the 95th percentile is still fast


def _answers_fast(maker: RequestMaker) -> Plan:
    slow = 0
    for number in range(1, _SEQUENCE + 1):
        answer = yield from send(maker.request(maker.message()))
        if not answer.is_success:
            return failed(f"event {number} of {_SEQUENCE}, sent one after the other, {answer}")
        if answer.duration_s > maker.limits.fast_s:
            slow += 1
        if slow > _SEQUENCE // 20:
            return failed(
                f"{slow} of {number} answers took longer than {maker.limits.fast_s:g} s, the last one "
                f"{answer.duration_s:.1f} s; the sender gives up after {maker.limits.answer_s:g} s"
            )
    return PASSED


def _at_once(maker: RequestMaker) -> Plan:
    count = maker.limits.at_once
    answers = yield from send_all([maker.request(maker.message()) for _ in range(count)])
    wrong = [answer for answer in answers if not answer.is_success]
    return failed(f"{len(wrong)} of {count} events were not accepted; one {wrong[0]}") if wrong else PASSED


RULES: Final[Sequence[Rule]] = (
    Rule(
        name="answers-fast",
        sends=f"{_SEQUENCE} events, one after the other",
        requires="95 % of them are answered within half of the limit",
        fix="Store the event, answer, and do the work afterwards: an inbox table and a worker.",
        plan=_answers_fast,
    ),
    Rule(
        name="at-once",
        sends="50 events at once",
        requires="each is answered 2xx within the limit",
        fix="Handle requests in parallel, and give the database and the listening socket room for 50 at once.",
        plan=_at_once,
    ),
)
