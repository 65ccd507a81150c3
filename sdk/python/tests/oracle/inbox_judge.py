"""Judges a run: what the sender knows against what the receiver's database has at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from inbox_ledger import Sent


class Effect(NamedTuple):
    """A row that a handler wrote, in the order of the rows."""

    event_id: str
    key: str | None
    number: int


class Outcome(NamedTuple):
    """The receiver's database at the end. ``dead`` are dead letters with their errors, ``pending`` what is left."""

    effects: Sequence[Effect]
    dead: Mapping[str, str]
    pending: Collection[str]


def judge(sent: Sequence[Sent], outcome: Outcome, *, has_dead_letters: bool) -> list[str]:
    """Return each violation as a rule and the event it is about; none when all is well.

    ``has_dead_letters``: an event whose work always fails is kept as a dead letter; otherwise it is never acknowledged.
    """
    return [
        *_effects(sent, outcome.effects),
        *_order(outcome.effects),
        *(_dead_letters(sent, outcome.dead) if has_dead_letters else _unacknowledged(sent)),
        *(f"pending at the end: {each}" for each in sorted(outcome.pending)),
    ]


def _effects(sent: Sequence[Sent], effects: Sequence[Effect]) -> Iterator[str]:
    counts: defaultdict[str, int] = defaultdict(int)
    for effect in effects:
        counts[effect.event_id] += 1
    for event in sent:
        count = counts.pop(event.id, 0)
        if event.fate != "work":
            if count:
                yield f"effect of a {event.fate} event: {event.id}"
        elif count > 1:
            yield f"doubled: {event.id} has {count} effects"
        elif count == 0 and event.is_acknowledged:
            yield f"lost: {event.id} was acknowledged and has no effect"
    for unknown in sorted(counts):
        yield f"effect of an event that was never sent: {unknown}"


def _order(effects: Sequence[Effect]) -> Iterator[str]:
    last: dict[str, Effect] = {}
    for effect in effects:
        if effect.key is None:
            continue
        before = last.get(effect.key)
        if before is not None and before.number > effect.number:
            yield f"order: {effect.event_id} has its effect after {before.event_id} of the same key"
        last[effect.key] = effect


def _dead_letters(sent: Sequence[Sent], dead: Mapping[str, str]) -> Iterator[str]:
    expected = {event.id for event in sent if event.fate == "poison" and event.is_acknowledged}
    for missing in sorted(expected - dead.keys()):
        yield f"dead letter is not visible: {missing}"
    for other in sorted(dead.keys() - {event.id for event in sent if event.fate == "poison"}):
        yield f"dead letter of an event that works: {other}"
    for event_id in sorted(expected & dead.keys()):
        if "poison" not in dead[event_id]:
            yield f"dead letter without its reason: {event_id}"


def _unacknowledged(sent: Sequence[Sent]) -> Iterator[str]:
    for event in sent:
        if event.fate != "work" and event.is_acknowledged:
            yield f"acknowledged without its work: {event.id}"
