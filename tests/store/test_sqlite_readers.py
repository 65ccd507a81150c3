"""Readers of SQLite: a call that is cancelled is interrupted, and no other."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite.readers import Readers

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[Readers]:
    path = tmp_path / "store.db"
    apsw.Connection(str(path)).close()
    made = Readers(path, 1, name="test", on_error=lambda _: None)
    yield made
    made.close()


def one(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT 1").get)


async def test_do_cancelled_call_is_interrupted_and_the_next_one_runs(readers: Readers) -> None:
    began = threading.Event()

    def endless(connection: apsw.Connection) -> None:
        began.set()
        connection.execute(ENDLESS).get  # noqa: B018 - runs the statement

    running = asyncio.create_task(readers.do(endless))
    waiting = asyncio.create_task(readers.do(one))
    await asyncio.to_thread(began.wait)
    running.cancel()
    async with asyncio.timeout(60):
        assert await waiting == 1
    assert running.cancelled()


async def test_do_waiting_call_that_is_cancelled_never_runs(readers: Readers) -> None:
    may_end, ran = threading.Event(), []
    first = asyncio.create_task(readers.do(lambda _: may_end.wait()))
    second = asyncio.create_task(readers.do(lambda _: ran.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    may_end.set()
    await first
    assert await readers.do(one) == 1
    assert ran == []


async def test_close_interrupts_a_call_that_does_not_end(readers: Readers) -> None:
    began = threading.Event()

    def endless(connection: apsw.Connection) -> None:
        began.set()
        connection.execute(ENDLESS).get  # noqa: B018 - runs the statement

    running = asyncio.create_task(readers.do(endless))
    await asyncio.to_thread(began.wait)
    async with asyncio.timeout(60):
        await asyncio.to_thread(readers.close, 0.01)
        with pytest.raises(StoreUnavailableError):
            await running
