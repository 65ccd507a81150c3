"""The judge itself: it finds each kind of violation, and none in a run where all is well."""

from __future__ import annotations

from collections.abc import Sequence

from inbox_judge import Effect, Outcome, judge
from inbox_ledger import Fate, Sent

DEAD = {"evt_000003": "DeadLetter: a poison event"}


def _sent(number: int, fate: Fate = "work", *, key: str | None = "a", acknowledged: bool = True) -> Sent:
    return Sent(f"evt_{number:06d}", number, key, fate, acknowledged)


SENT = [_sent(1), _sent(2), _sent(3, "poison"), _sent(4, "refused", acknowledged=False), _sent(5, key=None)]


def _judge(
    *numbers: int, sent: Sequence[Sent] = SENT, dead: dict[str, str] = DEAD, pending: Sequence[str] = ()
) -> list[str]:
    by_number = {event.number: event for event in sent}
    effects = [Effect(f"evt_{each:06d}", by_number[each].key if each in by_number else None, each) for each in numbers]
    return judge(sent, Outcome(effects, dead, pending), has_dead_letters=True)


def test_judge_finds_nothing_when_all_is_well() -> None:
    assert _judge(5, 1, 2) == []


def test_judge_finds_an_acknowledged_event_without_effect() -> None:
    assert _judge(1, 2) == ["lost: evt_000005 was acknowledged and has no effect"]


def test_judge_accepts_any_effect_of_an_event_without_answer() -> None:
    sent = [_sent(1, acknowledged=False), _sent(2, acknowledged=False)]
    assert _judge(2, sent=sent, dead={}) == []


def test_judge_finds_a_second_effect_also_without_an_answer() -> None:
    sent = [_sent(1, acknowledged=False)]
    assert _judge(1, 1, sent=sent, dead={}) == ["doubled: evt_000001 has 2 effects"]


def test_judge_finds_effects_of_refused_poison_and_unknown_events() -> None:
    assert _judge(1, 2, 3, 4, 5, 9) == [
        "effect of a poison event: evt_000003",
        "effect of a refused event: evt_000004",
        "effect of an event that was never sent: evt_000009",
    ]


def test_judge_finds_effects_of_a_key_out_of_order() -> None:
    assert _judge(2, 1, 5) == ["order: evt_000001 has its effect after evt_000002 of the same key"]


def test_judge_finds_dead_letters_that_are_missing_wrong_or_without_reason() -> None:
    assert _judge(1, 2, 5, dead={}) == ["dead letter is not visible: evt_000003"]
    assert _judge(1, 2, 5, dead={**DEAD, "evt_000001": "x"}) == ["dead letter of an event that works: evt_000001"]
    assert _judge(1, 2, 5, dead={"evt_000003": ""}) == ["dead letter without its reason: evt_000003"]


def test_judge_finds_what_is_pending_at_the_end() -> None:
    assert _judge(1, 2, 5, pending=["evt_000002"]) == ["pending at the end: evt_000002"]


def test_judge_without_dead_letters_finds_an_acknowledgement_without_work() -> None:
    sent = [_sent(1, "poison"), _sent(2, "refused")]
    assert judge(sent, Outcome([], {}, []), has_dead_letters=False) == [
        "acknowledged without its work: evt_000001",
        "acknowledged without its work: evt_000002",
    ]
