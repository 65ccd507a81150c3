"""What only the embedded engine has to prove: one holder, honest durability, full disks, kill -9."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from change_batches import accept, found, new_change, row, row_key, values_of, waiting
from stores import START_MS, accept_events, claim, new_event, result

from commerce_event.core import clock
from commerce_event.core.clock import SystemClock
from commerce_event.core.model import Scope
from commerce_event.maintenance.clock_watcher import ClockWatcher
from commerce_event.store.model import EventQuery, Page, PositionWrite
from commerce_event.store.port import StoreBrokenError, StoreRefusedError, StoreUnavailableError
from commerce_event.store.sqlite import SqliteStore, checkpoints, files, journal, sql
from commerce_event.store.sqlite import clock as stored_clock
from commerce_event.store.sqlite.writer import Writer

EVERYONE = Scope.everyone()
SUPPORT = Path(__file__).parents[1] / "support"

WRITER = """
import asyncio, sys
from pathlib import Path
from commerce_event.core.ids import IdMaker
from commerce_event.store.model import NewDelivery, NewEvent
from commerce_event.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    ids = IdMaker(after=await store.last_id())
    while True:
        events = [
            NewEvent(id=ids.next(0), client_id=1, type="JobCompletedEvent", application_id=None, accepted_ms=1,
                     config_version=0, idempotency_key=None, traceparent=None, body=b"{}" * 200,
                     deliveries=(NewDelivery(ids.next(0), 7),))
            for _ in range(20)
        ]
        await store.journal.accept([events])
        print(*[event.id for event in events], flush=True)

asyncio.run(main())
"""

CHANGES_WRITER = """
import asyncio, sys
from pathlib import Path
from commerce_event.core.ids import IdMaker
from commerce_event.store.model import ChangeBatch, PositionWrite
from commerce_event.store.sqlite import SqliteStore
sys.path.insert(0, sys.argv[2])
from change_batches import new_change, raised, row, row_key
from stores import START_MS, event_at

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    ids = IdMaker(after=await store.last_id())
    while True:
        known = (await store.changes.known_rows([(1, row_key(1))])).get((1, row_key(1)))
        count = 0 if known is None else known.values["n"]
        position = None if known is None else str(count)
        changes = [new_change(accepted_ms=START_MS + 100 * count + n, idempotency_key=f"{count} {n}") for n in range(20)]
        events = [event_at(ids, START_MS) for _ in changes]
        last = changes[-1].id
        await store.changes.accept(ChangeBatch(
            changes=changes,
            rows=[row(1, last, None if known is None else known.change_id, values={"n": count + 1})],
            raised=[raised(event, change.id, change.id) for event, change in zip(events, changes)],
            positions=[PositionWrite(source="erp", position=str(count + 1), expected=position)],
        ), events)
        print(*[event.id for event in events], flush=True)

asyncio.run(main())
"""


async def test_store_that_was_closed_is_one_file(tmp_path: Path) -> None:
    """So a copy of it is a copy of everything, and a copy that is put in its place is what starts."""
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await accept_events(store, [new_event(7)])
    assert await store.history.events(EventQuery(scope=EVERYONE), Page(10))
    await store.close()

    assert {path.name for path in tmp_path.iterdir()} == {"events.db", "events.db.lock"}


async def test_start_after_a_proper_end_is_a_clean_one(tmp_path: Path) -> None:
    for _ in range(3):
        store = SqliteStore(tmp_path / "events.db")
        await store.open()
        assert (await store.info()).unclean_starts == 0
        await store.close()


async def test_copy_log_after_a_crash_moves_the_log_into_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await accept_events(store, [new_event(7)])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{store._path}{suffix}", crashed)
    await store.close()
    assert (crashed / "events.db-wal").stat().st_size > 0

    connection = files.open_writer(crashed / "events.db")
    files.copy_log(connection)

    assert (crashed / "events.db-wal").stat().st_size == 0
    assert connection.execute("SELECT count(*) FROM event").fetchall() == [(1,)]
    connection.close()


async def test_link_to_a_store_in_use_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    (tmp_path / "link.db").symlink_to(tmp_path / "events.db")

    with pytest.raises(StoreRefusedError, match=r"events\.db is in use by"):
        await SqliteStore(tmp_path / "link.db").open()
    await store.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_acknowledged_once_the_file_was_taken_away(tmp_path: Path, replaced: bool) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await accept_events(store, [new_event(7)])
    (tmp_path / "events.db").unlink()
    if replaced:
        (tmp_path / "events.db").touch()

    with pytest.raises(StoreBrokenError, match=r"events\.db was deleted or replaced while in use"):
        await accept_events(store, [new_event(7)])

    async with asyncio.timeout(60):
        assert "was deleted or replaced" in str(await store.failed())
    await store.close()


async def test_damage_that_a_reader_meets_ends_the_store(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    store = SqliteStore(path)
    await store.open()
    [event] = [new_event(7, body=b"x" * 3_000)]
    await accept_events(store, [event])
    await store.close()
    damage_page_of(path, "event")
    store = SqliteStore(path)
    await store.open()

    with pytest.raises(StoreBrokenError):
        await store.history.event(event.id, EVERYONE)

    async with asyncio.timeout(60):
        assert "can no longer be trusted" in str(await store.failed())
    with closing(files.open_reader(path)) as reader:
        assert files.damage(reader) is not None
    await store.close()


def damage_page_of(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    connection = apsw.Connection(str(path))
    found = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    page = int(str(found[0][0]))
    size = int(str(connection.pragma("page_size")))
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_nobody_else_on_the_machine_can_read_the_files(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await accept_events(store, [new_event()])

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("events.db", "events.db-wal", "events.db-shm", "events.db.lock"), 0o600)
    await store.close()


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path, *, leave: int = 0) -> None:
    """Take all the space of the file system that ``path`` lies on, but for ``leave`` bytes."""
    free = os.statvfs(path.parent)
    path.write_bytes(b"x" * (free.f_bavail * free.f_frsize - leave))


async def open_and_close(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def open_and_accept(store: SqliteStore) -> None:
    await store.open()
    await accept_events(store, [new_event(7)])


async def test_second_process_on_the_same_file_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    with pytest.raises(StoreRefusedError, match=f"in use by process {os.getpid()}"):
        await SqliteStore(tmp_path / "events.db").open()
    await store.close()

    again = SqliteStore(tmp_path / "events.db")
    await again.open()
    await again.close()


async def test_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"this is not a database at all, but long enough to be mistaken for one" * 20)
    before = path.read_bytes()

    with pytest.raises(StoreRefusedError, match="is not a commerce-event store"):
        await SqliteStore(path).open()
    assert path.read_bytes() == before


async def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()

    with pytest.raises(StoreRefusedError, match="database of another program"):
        await SqliteStore(path).open()


async def test_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 999)
    connection.close()

    with pytest.raises(StoreRefusedError, match="has schema 999"):
        await SqliteStore(path).open()


async def test_folder_that_is_missing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match="does not exist; create it"):
        await SqliteStore(tmp_path / "nowhere" / "events.db").open()


async def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match="is a folder; name a file in it"):
        await SqliteStore(tmp_path).open()


def test_weak_durability_is_refused(tmp_path: Path) -> None:
    connection = files.open_writer(tmp_path / "events.db")
    assert files.check_durability(connection) == "WAL, synchronous=FULL"

    connection.execute("PRAGMA synchronous = OFF")
    with pytest.raises(StoreRefusedError, match="would not be durable"):
        files.check_durability(connection)
    connection.close()


async def test_opening_again_and_again_migrates_once(tmp_path: Path) -> None:
    leases = []
    for _ in range(3):
        store = SqliteStore(tmp_path / "events.db")
        await store.open()
        leases.append(store.run_id)
        await store.close()

    assert leases == sorted(set(leases))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
async def test_full_disk_refuses_and_goes_on_by_itself_once_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        store = SqliteStore(small / "events.db")
        await store.open()
        accepted = 0
        (small / "ballast").write_bytes(b"x" * 1_000_000)
        refused = None
        while refused is None and accepted < 2_000:
            try:
                await accept_events(store, [new_event(7, body=b"y" * 10_000)])
                accepted += 1
            except StoreUnavailableError as error:
                refused = str(error)
        assert refused == "the disk is full; free some space and it goes on by itself"
        with pytest.raises(StoreUnavailableError):
            await accept_events(store, [new_event(7, body=b"y" * 100_000)])

        (small / "ballast").unlink()
        [answer] = await accept_events(store, [new_event(7, body=b"z" * 10_000)])
        assert answer.sequence == accepted + 1
        assert len(await store.history.events(EventQuery(scope=EVERYONE), Page(5_000))) == accepted + 1
        await store.close()


async def write_and_kill(lines: int, *command: str) -> set[int]:
    """Run a writer, kill it after so many batches; return the ids of all events that it was answered for."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    acknowledged: list[int] = []
    for _ in range(lines):
        acknowledged += map(int, (await process.stdout.readline()).split())
    process.kill()
    rest = await process.stdout.read()
    for line in rest.splitlines(keepends=True):
        if line.endswith(b"\n"):
            acknowledged += map(int, line.split())
    await process.wait()
    return set(acknowledged)


@pytest.mark.parametrize("cycle", range(3))
async def test_kill_9_in_the_middle_of_writing_loses_nothing_acknowledged(tmp_path: Path, cycle: int) -> None:
    path = tmp_path / "events.db"
    acknowledged: set[int] = set()
    for _ in range(2):
        acknowledged |= await write_and_kill(40 + 17 * cycle, WRITER, str(path))

    store = SqliteStore(path)
    await store.open()
    stored = {event.id for event in await store.history.events(EventQuery(scope=EVERYONE), Page(100_000))}
    sequences = [event.sequence for event in await store.history.events_after(1, 0, 100_000)]
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    info = await store.info()
    await store.close()
    assert info.unclean_starts == 2
    assert acknowledged <= stored
    assert sequences == list(range(1, len(stored) + 1))
    assert book.difference == 0


@pytest.mark.parametrize("cycle", range(2))
async def test_kill_9_in_the_middle_of_changes_leaves_whole_batches(tmp_path: Path, cycle: int) -> None:
    path = tmp_path / "events.db"
    acknowledged: set[int] = set()
    for _ in range(2):
        acknowledged |= await write_and_kill(20 + 13 * cycle, CHANGES_WRITER, str(path), str(SUPPORT))

    store = SqliteStore(path)
    await store.open()
    events = await store.history.events_after(1, 0, 100_000)
    changes = await found(store)
    known = await store.changes.known_rows([(1, row_key(1))])
    states = await store.change_settings.source_states()
    raised_by = [await store.changes.raised(event.id) for event in events]
    await store.close()
    batches = known[1, row_key(1)].values["n"]
    assert acknowledged <= {event.id for event in events}
    assert [event.sequence for event in events] == list(range(1, 20 * batches + 1))
    assert [each.change_id for each in raised_by if each is not None] == sorted(changes)
    assert len(changes) == 20 * batches
    assert states["erp"].position == str(batches)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; it has the test with a mount")
def test_folder_without_write_rights_is_refused_with_the_remedy(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreRefusedError, match="cannot be written; change its permissions"):
        asyncio.run(SqliteStore(tmp_path / "events.db").open())
    tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
@pytest.mark.parametrize("present", [False, True])
def test_read_only_disk_is_refused_with_the_remedy(tmp_path: Path, present: bool) -> None:
    with small_disk(tmp_path / "small") as small:
        if present:
            asyncio.run(open_and_close(small / "events.db"))
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)

        with pytest.raises(StoreRefusedError, match="cannot be written; change its permissions"):
            asyncio.run(SqliteStore(small / "events.db").open())


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
async def test_full_disk_at_the_start_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        fill(small / "ballast")
        with pytest.raises(StoreRefusedError):
            await SqliteStore(small / "events.db").open()

        (small / "ballast").unlink()
        store = SqliteStore(small / "events.db")
        await store.open()
        assert [answer.outcome for answer in await accept_events(store, [new_event(7)])] == ["new"]
        await store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
async def test_batch_that_met_a_full_disk_is_not_there_by_halves(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        store = SqliteStore(small / "events.db")
        await store.open()
        [kept] = await accept_events(store, [new_event(7, key="kept")])
        fill(small / "ballast", leave=200_000)
        batch = [new_event(7, 8, key=f"lost-{number}", body=b"y" * 20_000) for number in range(50)]
        with pytest.raises(StoreUnavailableError):
            await accept_events(store, batch)

        assert [event.id for event in await store.history.events(EventQuery(scope=EVERYONE), Page(99))] == [kept.id]
        assert [
            (book.endpoint_id, book.matched, book.pending) for book in await store.history.delivery_counts(EVERYONE)
        ] == [(7, 1, 1)]
        [claimed] = await claim(store, 7)
        (small / "ballast").unlink()
        assert await store.queue.settle([result(claimed)]) == [True]
        answers = await accept_events(store, batch)
        assert [(answer.outcome, answer.sequence) for answer in answers] == [("new", 2 + n) for n in range(50)]
        await store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
async def test_batch_of_changes_on_a_full_disk_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        store = SqliteStore(small / "events.db")
        await store.open()
        await accept(store, new_event(7), rows=[row(0, 5)], waiting=[waiting("s", 5)])
        fill(small / "ballast", leave=200_000)
        made = [new_change(idempotency_key=f"k{number}", after={"n": "y" * 20_000}) for number in range(50)]
        rows = [row(0, 6, 5), *(row(number, 6) for number in range(1, 50))]
        events = [new_event(7, body=b"y" * 20_000) for _ in range(50)]
        position = PositionWrite(source="erp", position="1", expected=None)
        parts: dict[str, Any] = {"changes": made, "rows": rows, "waiting": [waiting("s", 6)], "positions": [position]}
        with pytest.raises(StoreUnavailableError):
            await accept(store, *events, **parts)

        assert await found(store) == []
        assert await values_of(store, 0, 1) == [5, None]
        assert [each.merged for each in await store.changes.due(now_ms=2 * START_MS, limit=9)] == [1]
        assert await store.change_settings.source_states() == {}
        (small / "ballast").unlink()
        answers = await accept(store, *events, **parts)
        assert [answer.sequence for answer in answers] == list(range(2, 52))
        assert len(await found(store)) == 50
        await store.close()


async def test_damaged_file_is_refused_or_reported_and_never_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    store = SqliteStore(path)
    await store.open()
    for _ in range(20):
        await accept_events(store, [new_event(7, body=b"y" * 2_000) for _ in range(20)])
    await store.close()
    data = bytearray(path.read_bytes())
    data[4_096:] = os.urandom(len(data) - 4_096)
    path.write_bytes(data)

    again = SqliteStore(path)
    with pytest.raises((StoreRefusedError, StoreBrokenError)):
        await open_and_accept(again)
    await again.close()


async def test_settings_that_durability_rests_on_hold_in_the_file_as_opened(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    info = await store.info()
    await store.close()
    connection = apsw.Connection(str(tmp_path / "events.db"))
    mode = connection.pragma("journal_mode")
    connection.close()

    assert (info.engine, info.durability, mode) == ("sqlite", "WAL, synchronous=FULL", "wal")
    assert info.location == str(tmp_path / "events.db")
    assert info.free_bytes is not None
    assert info.free_bytes > 0


async def test_store_held_by_another_process_is_refused_and_free_once_that_one_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()  # it has opened the store and accepted something
    with pytest.raises(StoreRefusedError, match=rf"events\.db is in use by process {process.pid} .*; stop that one"):
        await SqliteStore(path).open()
    process.kill()
    await process.communicate()

    await open_and_close(path)


async def test_closing_while_the_log_is_copied_waits_for_the_copy_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, go_on = threading.Event(), threading.Event()
    copy = checkpoints.Checkpointer._copy

    def held_up(checkpointer: checkpoints.Checkpointer, connection: apsw.Connection) -> None:
        copying.set()
        go_on.wait()
        copy(checkpointer, connection)

    monkeypatch.setattr(checkpoints, "_PAGES", 1)
    monkeypatch.setattr(checkpoints.Checkpointer, "_copy", held_up)
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await accept_events(store, [new_event(7)])
    await asyncio.to_thread(copying.wait)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    go_on.set()

    async with asyncio.timeout(60):
        await closing


async def test_log_that_grew_under_a_long_reader_shrinks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOG_KEPT_BYTES", 64 * 1024)
    monkeypatch.setattr(checkpoints, "_PAGES", 4)
    path = tmp_path / "events.db"
    log = path.with_name("events.db-wal")
    store = SqliteStore(path)
    await store.open()
    await accept_events(store, [new_event(7)])
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchall()
    async with asyncio.timeout(60):
        while log.stat().st_size < 512 * 1024:
            await accept_events(store, [new_event(7) for _ in range(20)])
        reader.execute("ROLLBACK")
        while log.stat().st_size > 128 * 1024:
            await accept_events(store, [new_event(7)])
    reader.close()
    await store.close()


async def test_store_after_a_refused_write_is_writable_only_once_a_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "events.db")
    await store.open()
    await store.journal.check_writable()
    full = True

    def work(_connection: apsw.Connection) -> None:
        if full:
            raise apsw.FullError("database or disk is full")

    with pytest.raises(StoreUnavailableError, match="full"):
        await store._access.write(work)
    wrote: list[str] = []
    execute = sql.execute

    def noted(connection: apsw.Connection, name: str, *values: Any) -> None:
        wrote.append(name)
        if full:
            raise apsw.FullError("database or disk is full")
        execute(connection, name, *values)

    monkeypatch.setattr(journal, "execute", noted)
    with pytest.raises(StoreUnavailableError, match="full"):
        await store.journal.check_writable()
    full = False
    await store.journal.check_writable()
    await store.journal.check_writable()  # an empty transaction again
    assert wrote == ["raise_meta"] * 2
    await store.close()


async def test_nothing_is_written_before_what_insists(tmp_path: Path) -> None:
    """Else due times of events accepted after the clock was set would be moved with those from before."""
    connection = files.open_writer(tmp_path / "events.db")
    connection.execute("CREATE TABLE done (what TEXT)")
    writer = Writer(connection, on_rollback=lambda: None, check=lambda: None, after_commit=lambda: None)
    full = threading.Event()
    full.set()

    def note(what: str, *, takes_space: bool = False) -> Callable[[apsw.Connection], None]:
        def work(connection: apsw.Connection) -> None:
            if takes_space and full.is_set():
                raise apsw.FullError("the disk is full")
            connection.execute("INSERT INTO done VALUES (?)", (what,))

        return work

    insisting = asyncio.create_task(writer.do(note("moved", takes_space=True), insist=True))
    await asyncio.sleep(0)  # it stands in the queue now
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await writer.do(note("accepted"))
    assert not insisting.done()
    full.clear()
    await writer.do(note("accepted"))
    await insisting
    writer.close()

    assert list(connection.execute("SELECT what FROM done")) == [("moved",), ("accepted",)]


@pytest.mark.parametrize(
    ("boots_again", "waits_ms"), [(False, 60_000), (True, 60_000 + 3_600_000)], ids=["same boot", "another boot"]
)
async def test_clock_that_is_set_back_while_no_server_runs_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boots_again: bool, waits_ms: int
) -> None:
    """Only what the wall clock alone can tell after another boot is believed."""
    path, former = tmp_path / "events.db", SystemClock()
    store = SqliteStore(path, clock=former)
    await store.open()
    await accept_events(store, [new_event(7)])
    [claimed] = await claim(store, 7)
    await store.queue.settle([result(claimed, "pending", due_ms=former.now_ms() + 60_000)])
    await store.close()

    wall_ms = clock._wall_ms
    monkeypatch.setattr(clock, "_wall_ms", lambda: wall_ms() - 3_600_000)
    if boots_again:
        monkeypatch.setattr(stored_clock, "_boot_id", lambda: 1)
    later = SystemClock()
    store = SqliteStore(path, clock=later)
    await store.open()
    await ClockWatcher(store.maintenance, later).check()
    [waiting] = await store.queue.backlog()
    await store.close()

    assert waiting.due_ms - later.now_ms() == pytest.approx(waits_ms, abs=10_000)
    assert later.now_ms() == pytest.approx(clock._wall_ms(), abs=10)
