"""Rules of repeats: the same event again, with the same webhook-id. With a count of effects, the work is done once."""

from collections.abc import Generator, Sequence
from typing import Any, Final

from commerce_event.receiver_check.model import (
    PASSED,
    Plan,
    Restart,
    Rule,
    Step,
    Verdict,
    count_effects,
    failed,
    send,
    send_all,
    skipped,
    warned,
)  # fmt: skip
from commerce_event.receiver_check.requests import Message, RequestMaker

_BUSY: Final = frozenset({409, 425, 429, 503})  # what a receiver may answer while the same event is being handled
_FIX: Final = (
    "Insert the webhook-id into a table with a unique key, in the transaction of the work; "
    "when it is there already, answer 2xx and do nothing."
)


class _First:
    """An event that was accepted once, and the effects that one event has."""

    def __init__(self, message: Message, effects: int | None, effects_of_one: int | None) -> None:
        self.message = message
        self.effects = effects
        self.effects_of_one = effects_of_one


def _send_first(maker: RequestMaker) -> Generator[Step, Any, _First | Verdict]:
    """Send an event and count its effects. Return a verdict when it is not accepted or has no effect."""
    message = maker.message()
    before = yield from count_effects()
    answer = yield from send(maker.request(message))
    if not answer.is_success:
        return failed(f"the event itself {answer}")
    if before is None:
        return _First(message, None, None)
    after = yield from count_effects(before)
    if after is None or after <= before:
        return failed(
            f"the event {answer}, but no effect was counted within {maker.limits.effects_s:g} s: it was not handled, "
            "or something else is counted"
        )
    return _First(message, after, after - before)


def _repeat(maker: RequestMaker) -> Plan:
    first = yield from _send_first(maker)
    if isinstance(first, Verdict):
        return first
    return (yield from _send_again(maker, first, "the repeat"))


def _restart(maker: RequestMaker) -> Plan:
    first = yield from _send_first(maker)
    if isinstance(first, Verdict):
        return first
    reason = yield Restart()
    if reason is not None:
        return skipped(reason)
    return (yield from _send_again(maker, first, "the repeat after a restart"))


def _send_again(maker: RequestMaker, first: _First, what: str) -> Plan:
    answer = yield from send(maker.request(first.message, attempt=2))
    if not answer.is_success:
        return failed(f"{what} {answer}")
    effects = yield from count_effects()
    if first.effects is not None and effects != first.effects:
        return failed(f"{what} was answered {answer.status}, and the work was done again: {_more(first, effects)}")
    if answer.duration_s > maker.limits.fast_s:
        return failed(f"{what} was answered {answer.status}, but took {answer.duration_s:.1f} s")
    return PASSED


def _concurrent_repeat(maker: RequestMaker) -> Plan:
    sample = yield from _send_first(maker)
    if isinstance(sample, Verdict):
        return sample
    count = maker.limits.repeats_at_once
    message = maker.message()
    answers = yield from send_all([maker.request(message) for _ in range(count)])
    wrong = [each for each in answers if not each.is_success and each.status not in _BUSY]
    if wrong:
        return failed(f"of {count} copies of an event at once, one {wrong[0]}")
    again = yield from send(maker.request(message, attempt=2))
    if not again.is_success:
        return failed(f"after {count} copies of an event at once, a later one {again}")
    if sample.effects is not None and sample.effects_of_one is not None:
        effects = yield from count_effects(sample.effects)
        if effects != sample.effects + sample.effects_of_one:
            return failed(
                f"{count} copies of an event at once had {_difference(sample, effects)} effects; "
                f"one event has {sample.effects_of_one}"
            )
    busy = [each for each in answers if not each.is_success]
    if busy:
        return warned(f"{len(busy)} of {count} copies of an event at once were refused; one {busy[0]}")
    return PASSED


def _more(first: _First, effects: int | None) -> str:
    return f"{first.effects} effects before, {effects} after it"


def _difference(first: _First, effects: int | None) -> int:
    return (effects or 0) - (first.effects or 0)


RULES: Final[Sequence[Rule]] = (
    Rule(
        name="repeat",
        sends="an event, and the same event with the same webhook-id again",
        requires="both are answered 2xx, the repeat within half of the limit; the work is done once",
        fix=_FIX,
        plan=_repeat,
    ),
    Rule(
        name="concurrent-repeat",
        sends="ten copies of one event at once, with the same webhook-id",
        requires="all are answered 2xx (409, 425, 429 and 503 are a warning); the work is done once",
        fix="Let the database decide which copy is first: insert the webhook-id under a unique key instead of looking "
        "whether it is there.",
        plan=_concurrent_repeat,
    ),
    Rule(
        name="restart",
        sends="an event, and after a restart of the receiver the same event with the same webhook-id",
        requires="both are answered 2xx; the work is done once",
        fix="Keep the ids on disk, in the database of the work, and not in memory.",
        plan=_restart,
    ),
)
