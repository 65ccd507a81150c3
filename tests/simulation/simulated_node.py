"""A node as the server assembles it, without sockets, which can crash at any moment and restart."""

import asyncio
import os
import random
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from inline_store import Disk, InlineWriter
from receivers import DEFAULT_TIMEOUT_S, Receivers
from record import Record
from virtual_time import Machine, VirtualClock, VirtualLoop

from commerce_event.accept.intake import Intake
from commerce_event.core.ids import IdMaker
from commerce_event.core.retry import DEFAULT_SCHEDULE_S
from commerce_event.core.vault import Vault
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.replays import Replays
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.maintenance.runner import Maintenance
from commerce_event.registry.registry import Registry
from commerce_event.store.sqlite import SqliteStore

T = TypeVar("T")

_OVERDUE = "SELECT 1 FROM delivery WHERE state = 'pending' AND run_id IS NULL AND due_ms <= ? LIMIT 1"


class NodeDownError(Exception):
    """The node died before it answered, or was dead already."""


class Options:
    """How the simulated server is set up; the schedule is the documented one."""

    def __init__(self, rng: random.Random) -> None:
        self.max_in_flight = rng.choice((16, 64, 512))
        self.circuit_failures = rng.choice((0, 5, 20))


class Node:
    """One life after the other of a node on the same data."""

    dispatcher_type: type[Dispatcher] = Dispatcher

    def __init__(
        self, loop: VirtualLoop, folder: Path, disk: Disk, receivers: Receivers, record: Record, rng: random.Random
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._disk = disk
        self._receivers = receivers
        self._record = record
        self._rng = rng
        self._options = Options(rng)
        self._life = 0
        self._outsiders: set[asyncio.Task[Any]] = set()
        self.machine = Machine(loop)
        self.up = False
        self.store: SqliteStore
        self.registry: Registry
        self.dispatcher: Dispatcher
        self.intake: Intake
        self.maintenance: Maintenance
        self.replays: Replays

    async def start(self) -> None:
        """Open the store and begin, in the order of the server."""
        self.clock = clock = VirtualClock(self.machine)
        self._receivers.clock = clock
        store = self.store = SqliteStore(self._path, clock=clock)
        await store.open()
        ids = IdMaker(node=store.run_id % 256, after=await store.last_id())
        self.registry = Registry(store, Vault(bytes(32)), ids)
        await self.registry.load()
        self.dispatcher = self.dispatcher_type(
            store,
            self.registry,
            self._receivers,
            clock,
            timeout_s=DEFAULT_TIMEOUT_S,
            retry_schedule_s=DEFAULT_SCHEDULE_S,
            max_in_flight=self._options.max_in_flight,
            circuit_failures=self._options.circuit_failures,
            rng=random.Random(self._rng.random()),
        )
        self.intake = Intake(store, self.registry, self.dispatcher, ids, clock)
        self.replays = Replays(store, self.registry, ids, clock, self.dispatcher.wake, self.intake.turns.run)
        self.maintenance = Maintenance(
            store,
            self.registry,
            clock,
            ActivityRecorder(clock),
            retention_s=0,
            refusal_retention_s=0,
            change_retention_s=0,
        )
        self.dispatcher.start()
        self.replays.run()
        self.up = True

    def die(self) -> None:
        """Nothing more is written or answered."""
        self.up = False
        writer = self.store._access.writer
        assert isinstance(writer, InlineWriter)
        writer.kill()

    async def crash(self) -> None:
        """Die now: nothing is closed, finished or written; the next life finds the files as they are."""
        self.die()
        tasks = [task for task in self._loop.tasks if task not in self._outsiders]
        for task in tasks:
            task.cancel()
        old = self._path
        self._life += 1
        for suffix in ("", "-wal"):
            source = old.with_name(old.name + suffix)
            if source.exists():
                shutil.copyfile(source, self._path.with_name(self._path.name + suffix))
        if self._disk.torn_at is not None:
            os.truncate(f"{self._path}-wal", self._disk.torn_at)
            self._disk.torn_at = None
        if tasks:
            await asyncio.wait(tasks)
        self.store._close()
        old.unlink()

    def look_each_minute(self) -> None:
        """Have the dispatcher look at the store once a minute while something in it is overdue."""
        readers = self.store._access.readers
        if self.up and readers is not None and readers._read(self._overdue):
            self.dispatcher.wake()
        self._loop.call_later(60.0, self.look_each_minute)

    def _overdue(self, connection: Any) -> bool:
        return connection.execute(_OVERDUE, (self.clock.now_ms(),)).get is not None

    async def close(self) -> None:
        """End in good order."""
        self.up = False
        await self.intake.close()
        await self.replays.close()
        await self.dispatcher.close(8.0)
        await self.store.close()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Call the node from outside. Raises NodeDownError."""
        if not self.up:
            work.close()
            raise NodeDownError
        task = self._loop.create_task(work)
        await asyncio.wait([task])
        if task.cancelled():
            raise NodeDownError
        return task.result()

    def outside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that outlives the node."""
        task = self._loop.create_task(work)
        self.mark_outside(task)
        return task

    def mark_outside(self, task: asyncio.Task[Any] | None) -> None:
        assert task is not None
        self._outsiders.add(task)

    @property
    def _path(self) -> Path:
        return self._folder / f"life{self._life}.db"
