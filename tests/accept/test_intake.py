"""The intake: a failure affects only its own callers, and every caller gets an answer in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from local_node import ORDER, Bench

from commerce_event.accept import commit_batcher, turns
from commerce_event.accept.commit_batcher import OutcomeUnknownError, PartlyStoredError, PendingEvent
from commerce_event.store.model import Accepted, Claimed, NewEvent
from commerce_event.store.port import StoreUnavailableError

Result = list[Accepted] | Awaitable[list[Accepted]]


def pending(key: str | None = None, client: int = 1) -> PendingEvent:
    data = {**ORDER.example, "ClientId": client}
    return PendingEvent(client, ORDER, None, data, msgspec.json.encode(data), key)


def failing_at(number: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method``, but let one call raise: the one with this number."""
    left = [number]

    def call(*values: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("a fault of ours")
        return method(*values, **named)

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


COSTLY = {"any": [{"$.X": {"contains": f"{number}b"}} for number in range(50)]}


def costly(client: int = 1) -> PendingEvent:
    data = {**ORDER.example, "ClientId": client, "X": "a" * 20_000}
    return PendingEvent(client, ORDER, None, data, msgspec.json.encode(data))


async def test_submit_costly_matching_does_not_delay_other_clients(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    await bench.endpoint("/ok", filter=COSTLY)
    intake = bench.node.intake
    events = [costly() for _ in range(200)]
    first = asyncio.create_task(intake.submit(events))
    await asyncio.sleep(0)
    [answer] = await intake.submit([pending(client=2)])
    assert answer.outcome == "new"
    assert not first.done()
    assert [each.deliveries for each in await first] == [0] * 200


async def test_submit_endpoint_changed_while_matching_gets_the_event(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    await bench.endpoint("/ok", filter=COSTLY)
    intake = bench.node.intake
    submitted = asyncio.create_task(intake.submit([costly()]))
    await asyncio.sleep(0)
    await bench.endpoint("/ok", filter={"any": [{"$.X": {"contains": "aaaa"}}, *COSTLY["any"][1:]]})
    [answer] = await submitted
    assert answer.deliveries == 1
    assert {each.state for each in await bench.until_settled()} == {"delivered"}
    assert len(bench.arrived("/ok")) == 1


async def test_submit_matched_event_keeps_no_decoded_body(bench: Bench) -> None:
    await bench.endpoint("/ok", filter={"OrderId": {"exists": True}})
    event = pending()
    await bench.node.intake.submit([event])
    assert event.data is None
    [answer] = await bench.node.intake.submit([event])  # it is decoded again if need be
    assert answer.deliveries == 1


async def test_submit_bulk_events_sends_them_within_their_share_of_the_slots(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.endpoint("/ok", max_in_flight=1)
    dispatcher, launched = bench.node.dispatcher, list[Claimed]()
    launch = dispatcher.launch

    def launch_noted(claimed: Claimed) -> None:
        launched.append(claimed)
        launch(claimed)

    monkeypatch.setattr(dispatcher, "launch", launch_noted)
    bulk, other = [pending() for _ in range(5)], [pending()]
    for event in bulk:
        event.bulk = True
    await bench.node.intake.submit([*bulk, *other])

    assert [each.bulk for each in launched] == [True, False]  # the others wait in the store
    assert [each.state for each in await bench.until_settled()] == ["delivered"] * 6
    assert dispatcher.in_flight == 0


async def test_close_refuses_events_that_are_being_matched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    await bench.endpoint("/ok", filter=COSTLY)
    events = [costly() for _ in range(100)]
    submitted = asyncio.create_task(bench.node.intake.submit(events))
    await asyncio.sleep(0)
    await bench.node.intake.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        await submitted


async def test_batch_of_one_client_leaves_room_for_another_client() -> None:
    stored: list[list[int]] = []
    may_store = asyncio.Event()

    async def store(batch: Any) -> None:
        stored.append([submission.events[0].client_id for submission in batch])
        await may_store.wait()

    batcher = commit_batcher.CommitBatcher(store)

    def submission(client: int, count: int) -> commit_batcher.Submission:
        return commit_batcher.Submission([pending(client=client)] * count, lambda _: None, 0.0)

    batcher.add(submission(1, 1))
    while not stored:
        await asyncio.sleep(0)
    for _ in range(5):
        batcher.add(submission(1, 400))
    batcher.add(submission(2, 1))
    may_store.set()
    assert batcher.running is not None
    await batcher.running
    assert stored == [[1], [1, 2], [1], [1], [1], [1]]


async def test_submit_events_with_many_deliveries_are_stored_in_pieces_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_batcher, "_DELIVERIES_MAX", 4)
    for _ in range(2):
        await bench.endpoint("/ok")
    intake, journal = bench.node.intake, bench.node.store.journal
    accept, calls = journal.accept, []
    other: list[asyncio.Task[list[Accepted]]] = []

    async def note(submissions: list[list[NewEvent]], **named: Any) -> Sequence[Result]:
        calls.append([event.client_id for submission in submissions for event in submission])
        if not other:
            other.append(asyncio.create_task(intake.submit([pending(client=2)])))
            await asyncio.sleep(0)
        return await accept(submissions, **named)

    monkeypatch.setattr(journal, "accept", note)
    answers = await intake.submit([pending(f"key {number}") for number in range(5)])
    [of_other] = await other[0]

    assert [answer.outcome for answer in answers] == ["new"] * 5
    assert [answer.sequence for answer in answers] == [1, 2, 3, 4, 5]
    assert [answer.deliveries for answer in answers] == [2] * 5
    assert of_other.outcome == "new"
    assert [each for call in calls for each in call] in ([1, 1, 2, 1, 1, 1], [1, 1, 1, 1, 2, 1])
    assert all(call.count(1) <= 2 for call in calls)
    assert {each.state for each in await bench.until_settled()} == {"delivered"}
    assert len(bench.arrived("/ok")) == 10


async def test_submit_failure_after_a_piece_raises_partly_stored_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_batcher, "_DELIVERIES_MAX", 2)
    await bench.endpoint("/ok")
    intake, journal = bench.node.intake, bench.node.store.journal
    events = [f"key {number}" for number in range(5)]
    with monkeypatch.context() as patched:
        patched.setattr(journal, "accept", failing_at(2, journal.accept))
        with pytest.raises(PartlyStoredError, match="first 2 events") as partly:
            await intake.submit([pending(key) for key in events])

    assert [answer.outcome for answer in partly.value.answers] == ["new", "new"]
    assert "a fault of ours" in str(partly.value.reason)
    answers = await intake.submit([pending(key) for key in events])
    assert [answer.outcome for answer in answers] == ["duplicate", "duplicate", "new", "new", "new"]
    assert intake._waiting.used == intake._waiting_bytes.used == 0
    assert {each.state for each in await bench.until_settled()} == {"delivered"}
    assert len(bench.arrived("/ok")) == 5
