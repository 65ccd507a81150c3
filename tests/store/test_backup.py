"""A backup of the embedded store is whole or is not there, and needs no pause of the server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest
from stores import SqliteEngine, accept_events, new_event

from commerce_event.store.backup import Backup, back_up
from commerce_event.store.port import Store, StoreBrokenError, StoreError, StoreRefusedError
from commerce_event.store.sqlite import SqliteStore

EVENTS = 120  # of 100 kB: several steps of copying
BODY = b'{"ClientId":1,"Note":"%s"}' % (b"x" * 100_000)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    made = SqliteEngine(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def store(engine: SqliteEngine) -> SqliteStore:
    opened = await engine.open()
    await accept_events(opened, [new_event(7, body=BODY) for _ in range(EVENTS)])
    return opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def copy(engine: SqliteEngine, to: Path, *, replace: bool = False) -> Backup:
    return back_up(engine.path, to, replace=replace, on_pages=lambda _done, _pages: None)


async def sequences(store: Store) -> list[int]:
    return [event.sequence for event in await store.history.events_after(1, 0, 10_000)]


async def in_copy(path: Path) -> list[int]:
    opened = SqliteStore(path)
    await opened.open()
    try:
        return await sequences(opened)
    finally:
        await opened.close()


async def test_copy_holds_the_moment_at_which_it_began_however_much_is_written_meanwhile(
    engine: SqliteEngine, store: SqliteStore, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    steps: list[tuple[int, int]] = []

    def write(done: int, pages: int) -> None:
        steps.append((done, pages))
        accepting = accept_events(store, [new_event(7) for _ in range(5)])
        asyncio.run_coroutine_threadsafe(accepting, loop).result()

    to = tmp_path / "copy.db"
    made = await asyncio.to_thread(back_up, engine.path, to, replace=False, on_pages=write)

    assert len(steps) > 2
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1]
    assert made.bytes == to.stat().st_size
    assert await in_copy(to) == list(range(1, EVENTS + 1))
    assert await sequences(store) == list(range(1, EVENTS + 5 * len(steps) + 1))


async def test_copy_is_one_file_that_its_owner_alone_reads(
    engine: SqliteEngine, store: SqliteStore, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    engine.path.with_name("events.db.key").write_text("cek_")
    made = copy(engine, folder / "copy.db")

    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600
    assert made.key_file == str(engine.path.with_name("events.db.key"))


async def test_file_that_is_there_is_left_alone_unless_it_is_to_be_replaced(
    engine: SqliteEngine, store: SqliteStore, tmp_path: Path
) -> None:
    to = tmp_path / "copy.db"
    to.write_text("mine")
    with pytest.raises(StoreRefusedError, match="exists already; give another --to, or --replace it"):
        copy(engine, to)
    assert to.read_text() == "mine"

    copy(engine, to, replace=True)
    assert len(await in_copy(to)) == EVENTS


async def test_former_try_that_was_killed_is_not_in_the_way(
    engine: SqliteEngine, store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "copy.db.part").write_bytes(b"half" * 5_000)
    copy(engine, tmp_path / "copy.db")

    assert len(await in_copy(tmp_path / "copy.db")) == EVENTS
    assert not (tmp_path / "copy.db.part").exists()


async def test_interrupted_copy_leaves_nothing(engine: SqliteEngine, store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()

    def interrupt(_done: int, _pages: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(engine.path, folder / "copy.db", replace=False, on_pages=interrupt)
    assert list(folder.iterdir()) == []
    assert await sequences(store) == list(range(1, EVENTS + 1))


async def test_full_disk_is_told_and_leaves_nothing(engine: SqliteEngine, store: SqliteStore, small_disk: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no space for .*; free some space"):
        copy(engine, small_disk / "copy.db")
    assert list(small_disk.iterdir()) == []


async def test_damaged_store_gives_no_copy(engine: SqliteEngine, store: SqliteStore, tmp_path: Path) -> None:
    await store.close()
    with apsw.Connection(str(engine.path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'delivery'")
    with engine.path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)

    with pytest.raises(StoreBrokenError, match="damaged"):
        copy(engine, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_places_that_will_not_do_are_refused(engine: SqliteEngine, store: SqliteStore, tmp_path: Path) -> None:
    strange = tmp_path / "strange.db"
    strange.write_bytes(b"no database at all" * 500)
    for source, to, sentence in [
        (tmp_path / "none.db", tmp_path / "copy.db", "there is no store"),
        (strange, tmp_path / "copy.db", "is not a commerce-event store"),
        (engine.path, tmp_path / "none" / "copy.db", "does not exist; create it"),
        (engine.path, engine.path, "is the store itself"),
        (engine.path, tmp_path, "is a folder"),
    ]:
        with pytest.raises(StoreRefusedError, match=sentence):
            back_up(source, to, replace=True, on_pages=lambda _done, _pages: None)


def test_command_names_the_tools_for_postgresql() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    command = [sys.executable, "-m", "commerce_event", "backup", "--store", "postgresql://a@b/c", "--to", "copy.db"]
    key = {"COMMERCE_EVENT_SECRET_KEY": "cek_" + "A" * 43}
    done = subprocess.run(command, env=kept | key, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "pg_dump" in done.stderr
