"""Text searches: few at once, one of each client, and an end to each in time."""

import asyncio

import pytest

from commerce_event.core.model import Scope
from commerce_event.store import search_slots
from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.search_slots import WAITING_MAX, SearchSlots

A, B, C = Scope.of(1), Scope.of(2), Scope.of(3)


class Searches:
    """Searches that end when told to."""

    def __init__(self, count: int) -> None:
        self.slots = SearchSlots(count)
        self.running: list[str] = []
        self.may_end = asyncio.Event()

    def start(self, name: str, scope: Scope) -> asyncio.Task[None]:
        return asyncio.create_task(self._search(name, scope))

    async def _search(self, name: str, scope: Scope) -> None:
        async with self.slots.slot(scope):
            self.running.append(name)
            await self.may_end.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slot_one_search_of_each_client_runs_at_a_time() -> None:
    searches = Searches(2)
    tasks = [searches.start(f"a{number}", A) for number in range(5)]
    await settle()
    assert searches.running == ["a0"]
    tasks += [searches.start("b", B), searches.start("c", C)]
    await settle()
    assert searches.running == ["a0", "b"]
    searches.may_end.set()
    await asyncio.gather(*tasks)
    assert searches.running.index("c") in {2, 3}
    assert sorted(searches.running) == ["a0", "a1", "a2", "a3", "a4", "b", "c"]


async def test_slot_cancelled_search_makes_room() -> None:
    searches = Searches(1)
    first, waiting, last = searches.start("a", A), searches.start("b", B), searches.start("c", C)
    await settle()
    waiting.cancel()
    first.cancel()
    await settle()
    assert searches.running == ["a", "c"]
    searches.may_end.set()
    await last


async def test_slot_too_many_waiting_searches_of_one_client_are_refused() -> None:
    searches = Searches(1)
    tasks = [searches.start("a", A) for _ in range(WAITING_MAX + 1)]
    await settle()
    with pytest.raises(StoreUnavailableError, match="too many searches"):
        await searches.start("a", A)
    other = searches.start("b", B)
    searches.may_end.set()
    await asyncio.gather(*tasks, other)


async def test_slot_search_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_slots, "SEARCH_S", 0.01)
    searches = Searches(1)
    with pytest.raises(StoreUnavailableError, match="narrow it down"):
        await searches.start("a", A)
    searches.may_end.set()
    await searches.start("b", B)
