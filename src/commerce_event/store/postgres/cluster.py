"""Being there: one connection that shows the other nodes that this run lives, hears them, and takes over from the dead.

A run holds an advisory lock for as long as its connection stands. What a run was sending whose lock has been gone for
longer than a reconnect takes is due again; what a live run is sending is nobody else's, until its lease runs out.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from commerce_event.core.clock import Clock, SharedClock
from commerce_event.core.ids import NODE_BITS
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres import partitions, work_queue
from commerce_event.store.postgres.connections import Address, let_go
from commerce_event.store.postgres.locks import RUNS, run_key
from commerce_event.store.postgres.sql import Connection, only, run

_CHANNEL: Final = "commerce_event"
_BEAT_S: Final = 1.0
_TELL_EVERY_S: Final = 0.02  # a notice takes a lock over the whole database: many together cost as much as one
_WEEKS_EVERY_S: Final = 3_600.0
_NODES_MAX: Final = 2**NODE_BITS

log = structlog.get_logger(__name__)


class Presence:
    """This run among the nodes. ``hear`` is called on the event loop with every notice of another node."""

    def __init__(self, address: Address, clock: Clock, hear: Callable[[str], None], *, lost_after_s: float) -> None:
        """A run whose lock has been missing for ``lost_after_s`` is taken for lost."""
        self._address = address
        self._clock = clock
        self._hear = hear
        self._lost_after_s = lost_after_s
        self._missing: dict[int, float] = {}  # runs without a lock, and since when by the loop's time
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._holds = False
        self._left = False
        self._news: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self._weeks_at = 0.0
        self.run = 0
        self.nodes = 1

    async def enter(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Take the next free run number; ``connection`` is this object's from now on.

        Raises StoreRefusedError when as many nodes run as ids can tell apart.
        """
        self._connection = connection
        await self._compare_clocks(connection)
        await self._take_number(connection)
        await connection.add_listener(_CHANNEL, self._on_notice)
        connection.add_termination_listener(self._on_cut)
        await self._look_around(connection)
        self._task = asyncio.create_task(self._stay())

    async def _take_number(self, connection: Connection) -> None:
        """Take a number whose part in ids differs from that of every run that lives or still has leases."""
        for _ in range(_NODES_MAX):
            self.run = int(await only(connection, "bump", "run"))
            await self._hold(connection)  # before the look: of two that take numbers at once, one sees the other
            if not self._holds:  # the counter was set back, as by a copy that was put in the database's place
                continue
            others = {row[0] for row in await run(connection, "live_runs", RUNS)} - {run_key(self.run)}
            others |= {row[0] for row in await run(connection, "holders")}
            if self.run % _NODES_MAX not in {other % _NODES_MAX for other in others}:
                return
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", RUNS, run_key(self.run))
        raise StoreRefusedError(f"{self._address} has {_NODES_MAX} nodes already; stop one of them first")

    async def leave(self) -> None:
        """Let the others have what this run was sending. Idempotent."""
        self._left = True  # a cancellation alone may get lost in the driver's own waiting
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await work_queue.take_back(connection, [self.run], self._clock.now_ms())
            self._news["work"] = None
            await self._send(connection)
            await connection.execute("SELECT pg_advisory_unlock_all()")
        await let_go(connection)

    def tell(self, notice: str) -> None:
        """Tell the other nodes soon."""
        self._news[notice] = None
        self._wake.set()

    async def is_alone(self, connection: Connection) -> bool:
        """Tell whether no other run lives."""
        return {row[0] for row in await run(connection, "live_runs", RUNS)} <= {run_key(self.run)}

    async def _stay(self) -> None:
        while not self._left:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S):
                    await self._wake.wait()
            try:
                await self._beat()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the database is out of reach", error=str(error) or type(error).__name__)
                await asyncio.sleep(_BEAT_S)
            except Exception:  # whatever it is, the others must not lose sight of this run
                log.exception("a look at the other nodes failed")
                await asyncio.sleep(_BEAT_S)
            else:
                await asyncio.sleep(_TELL_EVERY_S)

    async def _beat(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._come_back()
        if self._wake.is_set():
            await self._send(connection)
        if asyncio.get_running_loop().time() >= self._look_at:
            self._look_at = asyncio.get_running_loop().time() + _BEAT_S
            await self._look_around(connection)

    async def _look_around(self, connection: Connection) -> None:
        await self._compare_clocks(connection)
        if not self._holds:
            await self._hold(connection)
        self.nodes = max(1, len(await run(connection, "live_runs", RUNS)))
        if await self._take_over(connection):
            self.tell("work")
            self._hear("work")
        if asyncio.get_running_loop().time() >= self._weeks_at:
            await self._make_weeks(connection)

    async def _come_back(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect anew. Meanwhile our leases may have been taken: their results are fenced off, and that is all."""
        if self._connection is not None:
            await let_go(self._connection)
        connection = await self._address.connect()
        try:
            await self._attach(connection)
        except BaseException:
            await let_go(connection)
            raise
        self._connection = connection
        self._missing.clear()  # the others may have been cut off just as this run was
        for notice in ("config", "work"):  # whatever was said meanwhile
            self._hear(notice)
        return connection

    async def _attach(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await self._hold(connection)
        await connection.add_listener(_CHANNEL, self._on_notice)
        connection.add_termination_listener(self._on_cut)

    async def _hold(self, connection: Connection) -> None:
        """False while the server has not noticed yet that our former connection is gone: that one counts as well."""
        self._holds = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", RUNS, run_key(self.run))

    async def _send(self, connection: Connection) -> None:
        for notice in list(self._news):
            del self._news[notice]  # told again from here on, it is sent again
            try:
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, notice)
            except BaseException:
                self._news[notice] = None
                raise
        if not self._news:
            self._wake.clear()

    async def _compare_clocks(self, connection: Connection) -> None:
        if isinstance(self._clock, SharedClock):
            asked_s = self._clock.monotonic()
            there_ms = float(await only(connection, "time"))
            self._clock.compared(there_ms, asked_s, self._clock.monotonic())

    def _on_cut(self, _connection: object) -> None:
        self._wake.set()

    def _on_notice(self, _connection: object, pid: int, _channel: str, payload: object) -> None:
        own = self._connection
        if own is None or own.is_closed() or own.get_server_pid() != pid:
            self._hear(str(payload))

    async def _take_over(self, connection: Connection) -> bool:
        holders = {row[0] for row in await run(connection, "holders")} - {self.run}
        if not holders:
            self._missing.clear()
            return False
        live = {row[0] for row in await run(connection, "live_runs", RUNS)}  # read later: who held a lease was there
        now_s = asyncio.get_running_loop().time()
        self._missing = {holder: self._missing.get(holder, now_s) for holder in holders if run_key(holder) not in live}
        lost = sorted(holder for holder, since_s in self._missing.items() if now_s - since_s >= self._lost_after_s)
        return bool(lost) and await work_queue.take_back(connection, lost, self._clock.now_ms())

    async def _make_weeks(self, connection: Connection) -> None:
        await partitions.make_ahead(connection, self._clock.now_ms())
        self._weeks_at = asyncio.get_running_loop().time() + _WEEKS_EVERY_S
