"""Judges a run of the outbox: the orders in the database against the events that the server took."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple


class Order(NamedTuple):
    """An order of the shop. ``number`` rises within ``key``; the server refuses the event of a ``refused`` one."""

    number: int
    key: str
    fate: Literal["work", "refused", "rolled back"]


class Published(NamedTuple):
    """An event as the server took it first, under an idempotency key."""

    id: str
    number: int
    key: str


class Outcome(NamedTuple):
    """``orders`` are those in the database; ``reported`` are what the shop knows was committed or rolled back.

    ``published`` is in the order of acceptance, ``dead`` has the reasons by number.
    """

    orders: Sequence[Order]
    reported: Sequence[Order]
    published: Sequence[Published]
    dead: Mapping[int, str]
    pending: int


def judge(outcome: Outcome) -> list[str]:
    """Return each violation; none when all is well."""
    orders = {each.number: each for each in outcome.orders}
    return [
        *_reported(outcome.reported, orders),
        *_published(outcome.published, orders),
        *_order(outcome.published),
        *_dead_letters(outcome.dead, orders),
        *([f"pending at the end: {outcome.pending}"] if outcome.pending else []),
    ]


def _reported(reported: Sequence[Order], orders: Mapping[int, Order]) -> Iterator[str]:
    for each in reported:
        if each.fate == "rolled back" and each.number in orders:
            yield f"in the database although rolled back: {each.number}"
        if each.fate != "rolled back" and each.number not in orders:
            yield f"not in the database although committed: {each.number}"


def _published(published: Sequence[Published], orders: Mapping[int, Order]) -> Iterator[str]:
    seen: set[int] = set()
    for each in published:
        if each.number in seen:
            yield f"doubled: {each.number} was taken under two ids"
        seen.add(each.number)
        if each.number not in orders:
            yield f"published without an order: {each.number}"
    yield from _lost(seen, orders)


def _lost(published: Collection[int], orders: Mapping[int, Order]) -> Iterator[str]:
    for each in orders.values():
        if each.fate == "work" and each.number not in published:
            yield f"lost: {each.number} is an order without an event"
        if each.fate == "refused" and each.number in published:
            yield f"taken although refused: {each.number}"


def _order(published: Sequence[Published]) -> Iterator[str]:
    last: dict[str, int] = {}
    for each in published:
        if each.number < last.get(each.key, 0):
            yield f"order: {each.number} was taken after {last[each.key]} of the same key"
        last[each.key] = each.number


def _dead_letters(dead: Mapping[int, str], orders: Mapping[int, Order]) -> Iterator[str]:
    for each in orders.values():
        if each.fate == "refused" and each.number not in dead:
            yield f"dead message is not visible: {each.number}"
        if each.fate == "refused" and "by the oracle" not in dead.get(each.number, "by the oracle"):
            yield f"dead message without its reason: {each.number}"
    for number in dead:
        if number not in orders or orders[number].fate != "refused":
            yield f"dead message of an event that works: {number}"
