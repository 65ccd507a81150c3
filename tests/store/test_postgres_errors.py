"""What the database refuses for now is told as such, whatever made it refuse."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from stores import START_MS, PostgresEngine, accept_events, new_event

from commerce_event.store.port import StoreBrokenError, StoreUnavailableError
from commerce_event.store.postgres.errors import translate

WAITING = "SELECT xact_start FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout", "transaction_timeout"])
async def test_time_limit_of_the_operator_makes_a_call_unavailable(engine: PostgresEngine, setting: str) -> None:
    if not await engine.run("SELECT count(*) FROM pg_settings WHERE name = $1", setting):
        pytest.skip("this server does not know the setting")
    await engine.run(
        f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting} = ''400ms''', current_database()); END $$"
    )
    store = await engine.open()
    await accept_events(store, [new_event()])
    blocker = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    await blocker.execute(f"SET {setting} = 0")
    async with blocker.transaction():
        await blocker.execute("SELECT * FROM client FOR UPDATE")
        with pytest.raises(StoreUnavailableError):
            await accept_events(store, [new_event()])
    await blocker.close()

    assert [answer.sequence for answer in await accept_events(store, [new_event()])] == [2]


async def test_wait_for_a_lock_is_tried_again_unnoticed(engine: PostgresEngine) -> None:
    store, event = await engine.open(), new_event(7)
    await accept_events(store, [event])
    blocker = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    async with blocker.transaction():
        await blocker.execute("SELECT * FROM queue FOR UPDATE")
        cancelling = asyncio.create_task(store.queue.cancel([event.deliveries[0].id], reason="test", now_ms=START_MS))
        tried = set[object]()
        async with asyncio.timeout(60):
            while len(tried - {None}) < 2:  # each try is a transaction of its own
                tried.add(await engine.run(WAITING))
    await blocker.close()

    assert await cancelling == 1


async def test_missing_table_makes_a_call_unavailable(engine: PostgresEngine) -> None:
    store = await engine.open()
    await engine.run("ALTER TABLE event_key RENAME TO moved_away")
    with pytest.raises(StoreUnavailableError, match="restore"):
        await accept_events(store, [new_event(key="k")])
    await engine.run("ALTER TABLE moved_away RENAME TO event_key")

    assert [answer.outcome for answer in await accept_events(store, [new_event(key="k")])] == ["new"]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.LockNotAvailableError,
        asyncpg.QueryCanceledError,
        asyncpg.IdleInTransactionSessionTimeoutError,
        asyncpg.ObjectInUseError,
        asyncpg.ObjectNotInPrerequisiteStateError,
        asyncpg.StatementCompletionUnknownError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InvalidSQLStatementNameError,
        asyncpg.DuplicatePreparedStatementError,
        asyncpg.InternalServerError,
        asyncpg.PostgresIOError,
        asyncpg.UndefinedFileError,
        asyncpg.OutOfMemoryError,
        asyncpg.TooManyConnectionsError,
        asyncpg.AdminShutdownError,
        asyncpg.ConnectionDoesNotExistError,
        asyncpg.InterfaceError,
        TimeoutError,
    ],
)
def test_what_may_pass_is_told_as_unavailable(error: type[Exception]) -> None:
    assert isinstance(translate(error("from the server")), StoreUnavailableError)


def test_damage_stops_the_node() -> None:
    assert isinstance(translate(asyncpg.IndexCorruptedError("an index")), StoreBrokenError)


def test_mistake_of_ours_is_not_hidden() -> None:
    mistake = asyncpg.UniqueViolationError("a key")
    assert translate(mistake) is mistake
