"""FairSlots: few calls at once, fewer of each owner, and an end to each in time."""

import asyncio

import pytest

from commerce_event.store.fair_slots import FairSlots
from commerce_event.store.port import StoreUnavailableError

A, B, C = "a", "b", "c"
WAITING_MAX = 10


class Calls:
    """Calls that end when told to."""

    def __init__(self, count: int, *, per_owner: int = 1, time_s: float = 60.0) -> None:
        self.slots = FairSlots(count, per_owner=per_owner, waiting_max=WAITING_MAX, time_s=time_s, what="search")
        self.running: list[str] = []
        self.may_end = asyncio.Event()

    def start(self, name: str, owner: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._call(name, owner))

    async def _call(self, name: str, owner: str) -> None:
        async with self.slots.slot(owner):
            self.running.append(name)
            await self.may_end.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slot_one_call_of_each_owner_runs_at_a_time() -> None:
    calls = Calls(2)
    tasks = [calls.start(f"a{number}", A) for number in range(5)]
    await settle()
    assert calls.running == ["a0"]
    tasks += [calls.start("b", B), calls.start("c", C)]
    await settle()
    assert calls.running == ["a0", "b"]
    calls.may_end.set()
    await asyncio.gather(*tasks)
    assert calls.running.index("c") in {2, 3}
    assert sorted(calls.running) == ["a0", "a1", "a2", "a3", "a4", "b", "c"]


async def test_slot_cancelled_call_makes_room() -> None:
    calls = Calls(1)
    first, waiting, last = calls.start("a", A), calls.start("b", B), calls.start("c", C)
    await settle()
    waiting.cancel()
    first.cancel()
    await settle()
    assert calls.running == ["a", "c"]
    calls.may_end.set()
    await last


async def test_slot_too_many_waiting_calls_of_one_owner_are_refused() -> None:
    calls = Calls(1)
    tasks = [calls.start("a", A) for _ in range(WAITING_MAX + 1)]
    await settle()
    with pytest.raises(StoreUnavailableError, match="too many calls"):
        await calls.start("a", A)
    other = calls.start("b", B)
    calls.may_end.set()
    await asyncio.gather(*tasks, other)


async def test_slot_call_that_takes_too_long_is_ended() -> None:
    calls = Calls(1, time_s=0.01)
    with pytest.raises(StoreUnavailableError, match="narrow it down"):
        await calls.start("a", A)
    calls.may_end.set()
    await calls.start("b", B)


async def test_slot_several_calls_of_an_owner_leave_room_for_another() -> None:
    calls = Calls(3, per_owner=2)
    tasks = [calls.start(f"a{number}", A) for number in range(4)] + [calls.start("b", B), calls.start("c", C)]
    await settle()
    assert calls.running == ["a0", "a1", "b"]
    calls.may_end.set()
    await asyncio.gather(*tasks)
    assert sorted(calls.running) == ["a0", "a1", "a2", "a3", "b", "c"]


async def test_slot_timeout_inside_the_call_is_passed_on() -> None:
    slots = FairSlots(1, per_owner=1, waiting_max=1, time_s=60.0, what="read")
    with pytest.raises(TimeoutError):
        async with slots.slot(A):
            raise TimeoutError
    async with asyncio.timeout(60), slots.slot(A):
        pass
