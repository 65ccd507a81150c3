"""The judge of the outbox: it finds each kind of violation, and none in a run where all is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from outbox_judge import Order, Outcome, Published, judge

ORDERS = (Order(1, "a", "work"), Order(2, "a", "work"), Order(3, "b", "refused"))
REPORTED = (*ORDERS, Order(4, "a", "rolled back"))
PUBLISHED = (Published("x1", 1, "a"), Published("x2", 2, "a"))
DEAD = {3: "422 Refused by the oracle."}


def _judge(
    *,
    orders: Sequence[Order] = ORDERS,
    reported: Sequence[Order] = REPORTED,
    published: Sequence[Published] = PUBLISHED,
    dead: Mapping[int, str] = DEAD,
    pending: int = 0,
) -> list[str]:
    return judge(Outcome(orders, reported, published, dead, pending))


def test_judge_finds_nothing_when_all_is_well() -> None:
    assert _judge() == []


@pytest.mark.parametrize(
    ("published", "found"),
    [
        (PUBLISHED[:1], "lost: 2 is an order without an event"),
        ((*PUBLISHED, Published("x3", 1, "b")), "doubled: 1 was taken under two ids"),
        ((*PUBLISHED, Published("x4", 4, "a")), "published without an order: 4"),
        ((*PUBLISHED, Published("x3", 3, "b")), "taken although refused: 3"),
        (PUBLISHED[::-1], "order: 1 was taken after 2 of the same key"),
    ],
)
def test_judge_finds_what_was_published_wrongly(published: Sequence[Published], found: str) -> None:
    assert _judge(published=published) == [found]


@pytest.mark.parametrize(
    ("dead", "found"),
    [
        ({}, "dead message is not visible: 3"),
        ({3: ""}, "dead message without its reason: 3"),
        ({**DEAD, 1: "x"}, "dead message of an event that works: 1"),
    ],
)
def test_judge_finds_dead_messages_that_are_missing_or_wrong(dead: Mapping[int, str], found: str) -> None:
    assert _judge(dead=dead) == [found]


def test_judge_finds_a_commit_or_a_rollback_that_did_not_hold() -> None:
    assert _judge(reported=[*REPORTED, Order(5, "a", "work")]) == ["not in the database although committed: 5"]
    assert _judge(reported=[Order(1, "a", "rolled back")]) == ["in the database although rolled back: 1"]


def test_judge_finds_what_is_pending_at_the_end() -> None:
    assert _judge(pending=2) == ["pending at the end: 2"]
