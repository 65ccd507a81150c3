"""The intake: a failure affects only its own callers, and every caller gets an answer in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from local_node import ORDER, Bench

from commerce_event.accept import commit_batcher
from commerce_event.accept.commit_batcher import OutcomeUnknownError, PendingEvent
from commerce_event.store.model import Accepted, NewEvent
from commerce_event.store.port import StoreUnavailableError

Result = list[Accepted] | Awaitable[list[Accepted]]


def pending(key: str | None = None, client: int = 1) -> PendingEvent:
    data = {**ORDER.example, "ClientId": client}
    return PendingEvent(client, ORDER, None, data, msgspec.json.encode(data), key)


def failing_at(number: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method``, but let one call raise: the one with this number."""
    left = [number]

    def call(*values: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("a fault of ours")
        return method(*values)

    return call


@asynccontextmanager
async def hanging_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Let the store write events and return only after the block; callers wait 0.3 s instead of 8 s."""
    store, asked, may_answer = bench.node.store, asyncio.Event(), asyncio.Event()
    accept = store.journal.accept

    async def late(submissions: list[list[NewEvent]], **named: Any) -> Sequence[Result]:
        results = await accept(submissions, **named)
        asked.set()
        await may_answer.wait()
        return results

    with monkeypatch.context() as patched:
        patched.setattr(store.journal, "accept", late)
        patched.setattr(commit_batcher, "ANSWER_S", 0.3)
        yield asked
    may_answer.set()


async def test_submit_event_that_cannot_be_matched_releases_its_slots(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = bench.node.intake
    for _ in range(2):
        await bench.endpoint("/ok")
    with monkeypatch.context() as patched:
        patched.setattr(intake._ids, "next", failing_at(3, intake._ids.next))  # a slot is reserved by then
        with pytest.raises(RuntimeError):
            await bench.publish()
    assert bench.node.dispatcher.in_flight == 0

    await bench.publish(5)
    assert [each.state for each in await bench.until_settled()] == ["delivered"] * 10


async def test_submit_after_a_wrong_answer_of_the_store_still_works(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.node.store
    accept = store.journal.accept

    async def once_too_many(submissions: list[list[NewEvent]], **named: Any) -> Sequence[Result]:
        monkeypatch.setattr(store.journal, "accept", accept)
        results = await accept(submissions, **named)
        return [*results, *results]

    monkeypatch.setattr(store.journal, "accept", once_too_many)
    await bench.publish()

    async with asyncio.timeout(60):
        [answer] = await bench.publish()
    assert answer.outcome == "new"


async def test_submit_while_the_store_hangs_raises_outcome_unknown_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.endpoint("/ok")
    intake = bench.node.intake
    async with hanging_store(bench, monkeypatch) as asked:
        first = asyncio.create_task(intake.submit([pending("first")]))
        await asked.wait()
        second = asyncio.create_task(intake.submit([pending("second")]))
        with pytest.raises(OutcomeUnknownError, match="same idempotency key"):
            await first
        with pytest.raises(StoreUnavailableError):
            await second
        with pytest.raises(StoreUnavailableError):  # at once, while the store still hangs
            intake.put([pending("third")], lambda _: None)

    await bench.until_settled()  # it was stored, and is sent
    answers = [(await intake.submit([pending(key)]))[0].outcome for key in ("first", "second", "third")]
    assert answers == ["duplicate", "new", "new"]
    assert {each.state for each in await bench.until_settled()} == {"delivered"}
    assert len(bench.arrived("/ok")) == 3


async def test_close_while_the_store_hangs_fails_waiting_events(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = bench.node.intake
    async with hanging_store(bench, monkeypatch) as asked:
        monkeypatch.setattr(commit_batcher, "ANSWER_S", 60.0)
        first = asyncio.create_task(intake.submit([pending()]))
        await asked.wait()
        second = asyncio.create_task(intake.submit([pending()]))
        await asyncio.sleep(0)
        await intake.close(0.05)
        with pytest.raises(StoreUnavailableError):
            await second
    assert [answer.outcome for answer in await first] == ["new"]
