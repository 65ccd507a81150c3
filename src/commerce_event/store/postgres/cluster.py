"""This node in the cluster: one connection that holds its run lock, exchanges notices and takes over from lost runs.

There is no leader.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from commerce_event.core.clock import Clock
from commerce_event.store.postgres import partitions
from commerce_event.store.postgres.clock import LeaseShifts, compare_clocks
from commerce_event.store.postgres.connections import Address, close
from commerce_event.store.postgres.notices import Notices
from commerce_event.store.postgres.run_lock import RunLock, live_run_keys
from commerce_event.store.postgres.sql import Connection, RawConnection, execute
from commerce_event.store.postgres.takeover import Takeover, release_runs

_HEARTBEAT_S: Final = 1.0
_NOTICES_EVERY_S: Final = 0.02  # a notice locks the whole database for a moment: many together cost as much as one
_PARTITIONS_EVERY_S: Final = 3_600.0

log = structlog.get_logger(__name__)


class Cluster:
    """The heartbeat of this run.

    Another run takes over what this one was sending once its lock has been gone for longer than a reconnect takes. As
    long as a run is alive, its claims are its own until their leases end.
    """

    def __init__(
        self, address: Address, clock: Clock, on_notice: Callable[[str], None], *, lost_after_s: float
    ) -> None:
        """``on_notice`` is called on the event loop with every notice of another node, and after a reconnect.

        A run whose lock has been missing for ``lost_after_s`` is lost.
        """
        self._address = address
        self._clock = clock
        self._on_notice = on_notice
        self._notices = Notices(on_notice)
        self._takeover = Takeover(lost_after_s=lost_after_s)
        self._connection: RawConnection | None = None
        self._left = False
        self._task: asyncio.Task[None] | None = None
        self._heartbeat_at = 0.0
        self._partitions_at = 0.0
        self.run_lock = RunLock(address)
        self.lease_shifts = LeaseShifts()
        self.nodes = 1

    @property
    def run_id(self) -> int:
        return self.run_lock.run_id

    async def enter(self, connection: RawConnection) -> None:
        """Take the next free run number; ``connection`` belongs to this object from now on.

        Raises StoreRefusedError when as many nodes run as ids can tell apart.
        """
        self._connection = connection
        await compare_clocks(connection, self._clock)
        await self.run_lock.take_number(connection)
        await self._notices.listen(connection)
        await self._heartbeat(connection)
        self._task = asyncio.create_task(self._run())

    async def leave(self) -> None:
        """Release this run's claims to the other nodes, and close the connection. Idempotent."""
        self._left = True  # the driver may swallow a cancellation while it waits
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await release_runs(connection, [self.run_id], self._clock.now_ms())
            self.tell("work")
            await self._notices.send(connection)
            await execute(connection, "unlock_all")
        await close(connection)

    def tell(self, notice: str) -> None:
        """Send a notice to the other nodes soon."""
        self._notices.tell(notice)

    async def _run(self) -> None:
        while not self._left:
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._notices.wake.wait()
            try:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self._reconnect()
                if self._notices.wake.is_set():
                    await self._notices.send(connection)
                now_s = asyncio.get_running_loop().time()
                if now_s >= self._heartbeat_at:
                    self._heartbeat_at = now_s + _HEARTBEAT_S
                    await self._heartbeat(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the database is out of reach", error=str(error) or type(error).__name__)
                await asyncio.sleep(_HEARTBEAT_S)
            except Exception:  # after any error, this run must stay visible to the others
                log.exception("a heartbeat failed")
                await asyncio.sleep(_HEARTBEAT_S)
            else:
                await asyncio.sleep(_NOTICES_EVERY_S)

    async def _heartbeat(self, connection: Connection) -> None:
        await compare_clocks(connection, self._clock)
        if not self.run_lock.is_held:
            await self.run_lock.lock(connection)
        self.nodes = max(1, len(await live_run_keys(connection)))
        now_ms = self._clock.now_ms()
        if await self._takeover.release_lost_runs(connection, own_run_id=self.run_id, now_ms=now_ms):
            self.tell("work")
            self._on_notice("work")
        if asyncio.get_running_loop().time() >= self._partitions_at:
            await partitions.make_ahead(connection, now_ms)
            self._partitions_at = asyncio.get_running_loop().time() + _PARTITIONS_EVERY_S

    async def _reconnect(self) -> RawConnection:
        """Connect again. Other nodes may have released this run's claims by now: their results are fenced off."""
        if self._connection is not None:
            await close(self._connection)
        connection = await self._address.connect()
        try:
            await self.run_lock.lock(connection)
            await self._notices.listen(connection)
        except BaseException:
            await close(connection)
            raise
        self._connection = connection
        self._takeover.reset()
        for notice in ("config", "work"):  # notices may have been missed
            self._on_notice(notice)
        return connection
