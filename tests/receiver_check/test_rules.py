"""Each wrong receiver fails the rules that it must, and only those. Real sockets."""

import os
import time
from collections.abc import Mapping, Sequence

import msgspec
import pytest
import wrong_receivers as r
from wrong_receivers import ReadyReceiver

from commerce_event.receiver_check.http_client import HttpClient
from commerce_event.receiver_check.model import Limits, Result, Rule
from commerce_event.receiver_check.requests import RequestMaker, known_types
from commerce_event.receiver_check.rules import NAMES, RULES, acceptance, load, repeats
from commerce_event.receiver_check.runner import Runner
from commerce_event.simulate.sample_event import SampleEvents

pytestmark = pytest.mark.integration

LIMITS = Limits(settle_s=0.05, effects_s=1.0, slow_body_s=0.3, at_once=8)
SHORT = Limits(settle_s=0.05, effects_s=5.0, slow_body_s=0.3, answer_s=2.4, repeats_at_once=2)
SIGNATURES = {"two-signatures", "wrong-signature", "missing-signature", "old-timestamp"}
REPEATS = ["repeat", "concurrent-repeat", "restart"]


async def check(
    receiver: ReadyReceiver,
    limits: Limits = LIMITS,
    *,
    headers: Mapping[str, str] | None = None,
    counts_effects: bool = True,
    rules: Sequence[Rule] = RULES,
) -> dict[str, Result]:
    """Check a receiver; return the results by name of the rule."""
    maker = RequestMaker(
        secret=receiver.secret if headers is None else None,
        headers=headers or {},
        types=known_types([]),
        sample=SampleEvents(1).next,
        random_bytes=os.urandom,
        now_ms=lambda: time.time_ns() // 1_000_000,
        limits=limits,
    )
    with receiver.running():
        async with HttpClient(receiver.url, limits.answer_s, {"trust_env": False}) as client:
            runner = Runner(client, maker, count=receiver.count if counts_effects else None, restart=receiver.restart)
            return {result.rule.name: result async for result in runner.run(rules)}


def in_state(results: Mapping[str, Result], state: str) -> set[str]:
    return {name for name, result in results.items() if result.verdict.state == state}


async def test_ready_receiver_passes_every_rule() -> None:
    receiver = ReadyReceiver()

    results = await check(receiver)

    assert in_state(results, "passed") == set(NAMES) - {"wrong-static-header"}
    assert in_state(results, "skipped") == {"wrong-static-header"}
    assert receiver.effects > 0


@pytest.mark.parametrize(
    ("receiver", "rules", "reason"),
    [
        (
            r.VerifiesNothing(),
            ["wrong-signature", "missing-signature", "old-timestamp"],
            "another secret was answered 200",
        ),
        (r.VerifiesOnlyWhatIsSigned(), ["missing-signature"], "without webhook-signature was answered 200"),
        (r.IgnoresAge(), ["old-timestamp"], "an hour ago was answered 200"),
        (r.VerifiesSerialisedAgain(), ["raw-body"], "answered 401 (no signature matches"),
        (r.VerifiesFirstSignature(), ["two-signatures"], "in second place, the event was answered 401"),
        (r.RefusesRepeats(), REPEATS, "answered 409 (this event was received before)"),
        (r.WorksAgain(), REPEATS, "effects"),
        (r.ForgetsIdsAtRestart(), ["restart"], "the work was done again"),
        (r.LooksBeforeItInserts(), ["concurrent-repeat"], "effects; one event has 1"),
        (r.LosesEvents(), REPEATS, "no effect was counted within 1 s"),
        (r.RejectsUnknownProperties(), ["unknown-property"], "unknown: ['CheckNote']"),
        (r.RejectsUnknownValues(), ["unknown-value"], "State has an unknown value"),
        (r.FailsOnUnknownTypes(), ["unknown-type"], "answered 500 (KeyError"),
        (r.RejectsEventsOutOfOrder(), ["out-of-order"], "sent first, was answered 404"),
        (r.ReadsSmallNumbers(), ["large-number"], "answered 500 (OverflowError"),
        (r.FailsOnMalformedBodies(), ["malformed-body"], "not JSON was answered 500"),
        (r.AnswersGet(), ["get-request"], "a GET request was answered 200"),
        (r.RefusesHugeBodies(), ["huge-event"], "answered 500 (too large)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ReadyReceiver) else "",
)
async def test_wrong_receiver_fails_for_the_right_rule(receiver: ReadyReceiver, rules: list[str], reason: str) -> None:
    results = await check(receiver)

    assert in_state(results, "failed") == set(rules)
    assert reason in results[rules[0]].verdict.reason


@pytest.mark.parametrize(
    ("receiver", "limits", "rule", "reason"),
    [
        (
            r.WorksBeforeItAnswers(),
            msgspec.structs.replace(SHORT, at_once=5),
            "answers-fast",
            "2 of 2 answers took longer than 1.2 s",
        ),
        (r.HandlesOneAtATime(), SHORT, "at-once", "got no answer: it took longer than 2.4 s"),
        (
            r.ReadsImpatiently(),
            msgspec.structs.replace(LIMITS, slow_body_s=1.5),
            "slow-body",
            "body took 1.5 s to arrive was answered 408",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ReadyReceiver) else "",
)
async def test_slow_receiver_fails_for_the_right_rule(
    receiver: ReadyReceiver, limits: Limits, rule: str, reason: str
) -> None:
    slow_body = next(each for each in RULES if each.name == "slow-body")

    results = await check(receiver, limits, rules=[*acceptance.RULES, slow_body, *repeats.RULES, *load.RULES])

    assert in_state(results, "failed") == {rule}
    assert reason in results[rule].verdict.reason


@pytest.mark.parametrize(
    ("receiver", "rules", "reason"),
    [
        (r.FailsOnWrongSignature(), ["wrong-signature", "missing-signature", "old-timestamp"], "but 401 says why"),
        (r.TakesEveryBody(), ["malformed-body"], "a body that is not JSON"),
        (r.RefusesHugeBodiesClearly(), ["huge-event"], "answered 413 (too large)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ReadyReceiver) else "",
)
async def test_doubtful_receiver_gets_a_warning(receiver: ReadyReceiver, rules: list[str], reason: str) -> None:
    results = await check(receiver)

    assert in_state(results, "failed") == set()
    assert in_state(results, "warned") == set(rules)
    assert all(reason in results[name].verdict.reason for name in rules)


async def test_repeated_work_without_a_count_of_effects_is_not_seen() -> None:
    results = await check(r.WorksAgain(), counts_effects=False)

    assert in_state(results, "failed") == set()


async def test_redirect_fails_the_first_rule_and_skips_the_others() -> None:
    results = await check(r.Redirects())

    assert in_state(results, "failed") == {"accepts-event"}
    assert in_state(results, "skipped") == set(NAMES) - {"accepts-event"}
    assert "answered 308 (a redirect to https://" in results["accepts-event"].verdict.reason
    assert results["repeat"].verdict.reason == "a plain event is not accepted; see accepts-event"


async def test_sender_without_signatures_skips_signatures_and_checks_the_header() -> None:
    receiver = r.TakesStaticHeader()

    results = await check(receiver, headers=dict([receiver.header]))

    assert in_state(results, "skipped") == SIGNATURES
    assert in_state(results, "passed") == set(NAMES) - SIGNATURES


async def test_receiver_that_takes_any_static_header_fails() -> None:
    receiver = r.TakesAnyStaticHeader()

    results = await check(receiver, headers=dict([receiver.header]))

    assert in_state(results, "failed") == {"wrong-static-header"}
    assert results["wrong-static-header"].verdict.reason.startswith("an event with another value of X-Api-Key")
