"""Pace: a few requests begin in each turn of the event loop, the clients one after the other."""

import asyncio

import pytest

from commerce_event.deliver import pace
from commerce_event.deliver.pace import Pace


class Starts:
    """Requests that begin when they may, in the order in which they did."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.begun: list[int] = []

    def add(self, client_id: int, count: int, weight: int = 1, *, bulk: bool = False) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._start(client_id, weight, bulk)) for _ in range(count)]

    async def _start(self, client_id: int, weight: int, bulk: bool) -> None:
        await self.pace.wait_for_turn(client_id, bulk=bulk, weight=weight)
        self.begun.append(client_id)


async def test_wait_for_turn_lets_a_few_requests_begin_in_each_turn_of_the_loop() -> None:
    starts = Starts()
    tasks = starts.add(1, 100)
    counts = []
    while len(starts.begun) < 100:
        before = len(starts.begun)
        await asyncio.sleep(0)
        counts.append(len(starts.begun) - before)
    await asyncio.gather(*tasks)
    assert max(counts) <= 2 * pace._STARTS_MAX


async def test_wait_for_turn_lets_one_heavy_request_begin_in_each_turn_of_the_loop() -> None:
    starts = Starts()
    tasks = starts.add(1, 10, weight=pace._STARTS_MAX + 1)
    counts = []
    while len(starts.begun) < 10:
        before = len(starts.begun)
        await asyncio.sleep(0)
        counts.append(len(starts.begun) - before)
    await asyncio.gather(*tasks)
    assert max(counts) == 1


async def test_wait_for_turn_of_another_client_does_not_wait_behind_many() -> None:
    starts = Starts()
    tasks = starts.add(1, 100) + starts.add(2, 2)
    await asyncio.gather(*tasks)
    assert max(index for index, client_id in enumerate(starts.begun) if client_id == 2) < 2 * pace._STARTS_MAX


async def test_wait_for_turn_of_a_cancelled_request_is_skipped() -> None:
    starts = Starts()
    tasks = starts.add(1, 3 * pace._STARTS_MAX)
    await asyncio.sleep(0)
    for task in tasks[20:]:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(starts.begun) == 20
    await starts.pace.wait_for_turn(2)


async def test_wait_for_turn_of_bulk_pauses_between_turns_while_others_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "_PAUSE_S", 3_600.0)
    starts = Starts()
    await asyncio.gather(*starts.add(1, 1))
    bulk = starts.add(2, 100, bulk=True)
    await asyncio.gather(*starts.add(1, 100))

    assert starts.begun.count(1) == 101
    assert starts.begun.count(2) == pace._BULK_STARTS_MAX
    for task in bulk:
        task.cancel()


async def test_wait_for_turn_of_bulk_continues_after_a_pause() -> None:
    starts = Starts()
    await asyncio.gather(*starts.add(1, 1), *starts.add(2, 50, bulk=True))

    assert starts.begun.count(2) == 50


async def test_wait_for_turn_of_bulk_alone_has_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PAUSE_S", 3_600.0)
    starts = Starts()

    await asyncio.gather(*starts.add(2, 100, bulk=True))
