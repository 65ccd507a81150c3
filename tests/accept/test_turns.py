"""Long work runs in turns, the owners one after the other."""

import asyncio

import pytest

from commerce_event.accept import turns
from commerce_event.accept.turns import Steps, Turns
from commerce_event.store.port import StoreUnavailableError


@pytest.fixture(autouse=True)
def _one_step_per_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)


def work(name: str, count: int, log: list[str]) -> Steps[str]:
    for _ in range(count):
        log.append(name)
        yield
    return name


async def test_run_owners_take_turns_and_jobs_of_one_owner_follow_each_other() -> None:
    log: list[str] = []
    queue = Turns()
    results = await asyncio.gather(
        queue.run("a", work("a1", 3, log)), queue.run("a", work("a2", 2, log)), queue.run("b", work("b", 2, log))
    )
    assert list(results) == ["a1", "a2", "b"]
    assert [each for each in log if each != "b"] == ["a1"] * 3 + ["a2"] * 2
    assert log[:4] == ["a1", "b", "a1", "b"]


async def test_run_lets_other_tasks_run_between_steps() -> None:
    log: list[str] = []
    queue = Turns()

    async def other() -> None:
        for _ in range(3):
            log.append("other")
            await asyncio.sleep(0)

    await asyncio.gather(queue.run("a", work("a", 3, log)), other())
    assert log.index("other") < len(log) - 1 - log[::-1].index("a")


async def test_run_error_of_one_job_reaches_its_caller_only() -> None:
    def faulty() -> Steps[None]:
        yield
        raise ValueError("a fault")

    log: list[str] = []
    queue = Turns()
    results = await asyncio.gather(queue.run("a", faulty()), queue.run("a", work("a", 2, log)), return_exceptions=True)
    assert isinstance(results[0], ValueError)
    assert results[1] == "a"


async def test_run_ends_the_work_of_a_cancelled_caller() -> None:
    log: list[str] = []
    queue = Turns()
    running = asyncio.create_task(queue.run("a", work("a", 1_000_000, log)))
    while not log:
        await asyncio.sleep(0)
    running.cancel()
    assert await queue.run("a", work("next", 1, log)) == "next"
    assert log.count("a") < 20


async def test_close_fails_waiting_work_and_refuses_more() -> None:
    queue = Turns()
    running = asyncio.create_task(queue.run("a", work("a", 1_000_000, [])))
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        await running
    with pytest.raises(StoreUnavailableError):
        await queue.run("a", work("a", 1, []))
