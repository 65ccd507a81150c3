"""Follow a slot: read, post, advance; and start again from the stored position after anything went wrong."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final, Literal, TypeAlias

from commerce_event.changes.capture.change_server import ChangeServer, Source
from commerce_event.changes.capture.database import READ_MAX_BYTES, READ_MAX_ROWS, Cluster, Slot, SourceDatabase
from commerce_event.changes.capture.envelopes import Batch, EnvelopeWriter
from commerce_event.changes.capture.errors import (
    CaptureError,
    NeedsPersonError,
    PositionMovedError,
    SlotChangedError,
    SlotLostError,
    UnavailableError,
)
from commerce_event.changes.capture.pgoutput import DecodeError, Relation
from commerce_event.changes.capture.position import Position, lsn_text

_IDLE_FIRST_S: Final = 0.005
_IDLE_MAX_S: Final = 0.05
_WAIT_MAX_S: Final = 1.0
_HEARTBEAT_S: Final = 10.0
_HEARTBEAT_BYTES: Final = 16 * 1024**2
_REPORT_S: Final = 5.0
_REPORT_MAX_S: Final = 5.0
_CHECK_S: Final = 10.0
_GRACE_S: Final = 2.0  # for what is under way when the capture is stopped
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 15.0
_MESSAGE_MAX: Final = 500
_HOST_MAX: Final = 100
_RETAINED_WARNING_BYTES: Final = 1024**3  # of log that a slot keeps although nothing limits it

State: TypeAlias = Literal["running", "waiting", "failing", "slot_lost", "stopped"]


class _GapError(Exception):
    """Changes from ``first_lsn`` on may be missing."""

    def __init__(self, reason: str, first_lsn: int) -> None:
        super().__init__(reason)
        self.first_lsn = first_lsn


class Progress:
    """How far a capture is."""

    def __init__(self) -> None:
        self.state: State = "waiting"
        self.message: str | None = None
        self.rows = 0  # posted by this process
        self.position: Position | None = None
        self.lag_bytes = 0
        self.lag_ms: int | None = None  # from the newest commit that was posted to the answer; 0 when all is read
        self.retained_bytes = 0

    def status(self) -> dict[str, Any]:
        """Return the report for the server."""
        return {
            "state": self.state,
            "message": None if self.message is None else self.message[:_MESSAGE_MAX],
            "lag_bytes": self.lag_bytes,
            "lag_ms": self.lag_ms,
            "retained_bytes": self.retained_bytes,
            "reported_by": socket.gethostname()[:_HOST_MAX],
        }


def retention_warning(slot: Slot, limit_bytes: int | None) -> str | None:
    """Return a sentence when the log that a slot keeps may fill the database's disk, or when it is soon deleted.

    ``limit_bytes``: max_slot_wal_keep_size; None when there is no limit.
    """
    retained = f"{slot.retained_bytes / 1024**2:,.0f} MiB of log are kept for the slot"
    if limit_bytes is None:
        if slot.retained_bytes < _RETAINED_WARNING_BYTES:
            return None
        return (
            f"{retained}, and max_slot_wal_keep_size sets no limit, so they may fill the disk; let the capture "
            "catch up, or remove the slot with --teardown"
        )
    if slot.retained_bytes < limit_bytes / 2:
        return None
    return (
        f"{retained}, and beyond {limit_bytes / 1024**2:,.0f} MiB (max_slot_wal_keep_size) the slot is lost; let the "
        "capture catch up, or raise the limit"
    )


class Follower:
    """Follows one database for one source until it is stopped."""

    def __init__(
        self, database: SourceDatabase, server: ChangeServer, *, accept_gap: bool, warn: Callable[[str], None]
    ) -> None:
        """``warn`` is called with sentences for people. ``accept_gap``: continue after a lost slot, once."""
        self.progress = Progress()
        self._database = database
        self._server = server
        self._accept_gap = accept_gap
        self._warn = warn
        self._warned: set[str] = set()
        self._is_interrupted = False
        self._reported_at = 0.0
        self._report_task: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until ``stop`` is set. Raises NeedsPersonError or SlotLostError."""
        backoff = _BACKOFF_FIRST_S
        try:
            while not stop.is_set():
                try:
                    await _run_until(stop, self._follow(stop))
                except PositionMovedError as error:
                    self.warn_once(str(error))
                    await _wait(stop, _BACKOFF_FIRST_S)
                except UnavailableError as error:
                    if self.progress.state == "running":
                        backoff = _BACKOFF_FIRST_S
                    self._is_interrupted = True
                    await self._set_state("waiting", str(error))
                    self.warn_once(str(error))
                    await _wait(stop, max(backoff, error.retry_after_s or 0))
                    backoff = min(2 * backoff, _BACKOFF_MAX_S)
            await self._set_state("stopped", None)
        except SlotLostError as error:
            await self._set_state("slot_lost", str(error))
            raise
        except (NeedsPersonError, DecodeError) as error:
            await self._set_state("failing", str(error))
            if isinstance(error, DecodeError):
                raise NeedsPersonError(f"The log has a message that capture cannot read: {error}") from None
            raise
        finally:
            await self._end_report()
            await self._database.close()

    async def _follow(self, stop: asyncio.Event) -> None:
        cluster = await self._database.connect()
        if not await self._database.lock():
            raise UnavailableError(
                f"Another capture follows the slot {self._database.slot}; this one waits until it ends. For a second "
                "source, name another --slot"
            )
        source = await self._server.source()
        await self._database.check_publication(source.tables)
        position, stored = await self._start(source, cluster)
        await self._set_state("running", None)
        if self._is_interrupted:
            self._warn("Following again")
        self._is_interrupted = False
        self._warned.clear()
        reading = _Reading(self, self._database, self._server, source, cluster.database, position, stored)
        try:
            await reading.run(stop)
        finally:
            await reading.end()

    async def _start(self, source: Source, cluster: Cluster) -> tuple[Position, Position]:
        """Return the position to continue from, and the one that the server has.

        Raises SlotLostError when changes may be missing.
        """
        slot = await self._database.slot_state()
        usable = slot.exists and not slot.is_lost
        begin = Position(cluster.system_id, cluster.timeline, slot.confirmed_lsn, 0)
        stored = source.position
        if stored is None:
            if not slot.exists:
                raise NeedsPersonError(
                    f"There is no slot {self._database.slot} in {self._database.shown}; create it with --setup"
                )
            stored = begin
            if usable:
                await self._server.post(Batch(begin), None)
        try:
            return await self._continue_at(stored, slot, cluster), stored
        except _GapError as gap:
            until = f"to {lsn_text(slot.confirmed_lsn)}" if usable else "on"
            sentence = f"{gap}. Changes from {lsn_text(gap.first_lsn)} {until} may be missing"
        if not usable:
            raise SlotLostError(
                f"{sentence}. Create the slot again with --setup, continue with --accept-gap, and read the rows again "
                "with --backfill"
            )
        if not self._accept_gap:
            raise SlotLostError(f"{sentence}. Continue with --accept-gap, and read the rows again with --backfill")
        self._accept_gap = False
        await self._server.post(Batch(begin), source.position)
        self._warn(f"{sentence}. Continuing, as --accept-gap says")
        return begin, begin

    async def _continue_at(self, stored: Position, slot: Slot, cluster: Cluster) -> Position:
        """Return where in this cluster's log the stored position is. Raises _GapError."""
        name = f"The slot {self._database.slot}"
        if not slot.exists:
            raise _GapError(f"{name} does not exist: it was dropped, or a failover left it behind", stored.lsn)
        if slot.is_lost:
            raise _GapError(f"{name} was invalidated, because the log that it needs was deleted", stored.lsn)
        if stored.system_id != cluster.system_id:
            raise _GapError(f"{self._database.shown} is another database cluster than before", stored.lsn)
        position = stored._replace(timeline=cluster.timeline)
        if stored.timeline != cluster.timeline:
            end_lsn = await self._database.timeline_end(cluster, stored.timeline)
            if end_lsn is None and stored.lsn > slot.confirmed_lsn:
                raise _GapError(
                    f"{self._database.shown} failed over, and its user may not read at which place (to allow it: "
                    "GRANT pg_read_server_files)",
                    slot.confirmed_lsn,
                )
            if end_lsn is not None and end_lsn < stored.lsn:
                self._warn(
                    f"{self._database.shown} failed over to a server that had not received the last changes; those "
                    f"captured between {lsn_text(end_lsn)} and {lsn_text(stored.lsn)} no longer exist there"
                )
                position = position._replace(lsn=end_lsn, changes=0)
        if slot.confirmed_lsn > position.lsn:
            raise _GapError(f"{name} was dropped and created again, or another program read from it", position.lsn)
        return position

    async def report(self) -> None:
        """Report the progress to the server, unless the last report was a moment ago or is still under way."""
        if time.monotonic() - self._reported_at >= _REPORT_S and (
            self._report_task is None or self._report_task.done()
        ):
            self._reported_at = time.monotonic()
            self._report_task = asyncio.create_task(self._report())

    async def _set_state(self, state: State, message: str | None) -> None:
        self.progress.state, self.progress.message = state, message
        await self._end_report()
        await self._report()

    async def _report(self) -> None:
        with suppress(CaptureError, TimeoutError):  # posting changes fails in the same way, and reports it
            async with asyncio.timeout(_REPORT_MAX_S):
                await self._server.report(self.progress.status())

    async def _end_report(self) -> None:
        task, self._report_task = self._report_task, None
        if task is not None:
            await task

    def warn_once(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._warn(sentence)


class _Reading:
    """Reads a slot from the connection to the first error, and posts what it finds."""

    def __init__(
        self,
        follower: Follower,
        database: SourceDatabase,
        server: ChangeServer,
        source: Source,
        database_name: str,
        position: Position,
        stored: Position,
    ) -> None:
        """``stored`` is the position that the server has; ``position`` is the same place in this cluster's log."""
        self._follower = follower
        self._database = database
        self._server = server
        self._source = source
        self._stored = stored
        self._base_types: dict[int, int] = {}
        self._writer = EnvelopeWriter(
            position,
            source=source.name,
            database=database_name,
            base_types=self._base_types,
            on_table=self._check_table,
        )
        self._stored_lsn = position.lsn
        self._read_lsn = position.lsn  # the log is read, and changes are posted, up to here
        self._posting: asyncio.Task[None] | None = None
        self._posted_at = self._checked_at = time.monotonic()
        follower.progress.position = stored

    async def run(self, stop: asyncio.Event) -> None:
        pause = _IDLE_FIRST_S
        while not stop.is_set():
            slot = await self._database.slot_state()
            self._check_slot(slot)
            if slot.flushed_lsn > self._read_lsn:
                started = time.monotonic()
                found = await self._step(slot, stop)
                pause = _IDLE_FIRST_S if found else min(2 * pause, _IDLE_MAX_S)
                wait_s = min(max(pause, time.monotonic() - started), _WAIT_MAX_S)  # half of the time at most
                wait_s = wait_s if self._read_lsn >= slot.flushed_lsn else 0.0
            else:
                self._follower.progress.lag_ms = 0
                pause = wait_s = min(2 * pause, _IDLE_MAX_S)
            await self._update_report(slot)
            await _wait(stop, wait_s)

    async def end(self) -> None:
        """Wait a moment for the request that is under way. The stored position shows its outcome."""
        if self._posting is not None:
            await asyncio.wait([self._posting], timeout=_GRACE_S)
            self._posting.cancel()
            await asyncio.wait([self._posting])
            if not self._posting.cancelled():
                self._posting.exception()

    async def _step(self, slot: Slot, stop: asyncio.Event) -> bool:
        """Read the log up to what is flushed, or some of it; post what is found. Tell whether anything was found."""
        up_to_lsn = min(slot.flushed_lsn, self._read_lsn + READ_MAX_BYTES)
        count = 0
        async with aclosing(self._database.peek(up_to_lsn)) as blocks:
            async for messages, state in blocks:
                self._check_slot(state)
                count += len(messages)
                unknown = self._writer.unknown_types(messages)
                if unknown:
                    self._base_types.update(await self._database.base_types(unknown))
                for batch in self._writer.feed(messages, time.time_ns() // 1_000_000):
                    await self._post(batch)
                if stop.is_set():
                    await self._join()
                    return True
                await self._follower.report()
        is_complete = count < READ_MAX_ROWS
        last = self._writer.finish(up_to_lsn if is_complete else None)
        if last.rows:
            await self._post(last)
        await self._join()
        self._read_lsn = up_to_lsn if is_complete else self._writer.position.lsn
        if self._stored_lsn > slot.confirmed_lsn:
            await self._database.advance(self._stored_lsn)
        return count > 0

    def _is_heartbeat_due(self, position: Position) -> bool:
        """Tell whether the server should store a position without changes, to let PostgreSQL delete its log."""
        waited = time.monotonic() - self._posted_at >= _HEARTBEAT_S
        return position.lsn - self._stored_lsn >= (1 if waited else _HEARTBEAT_BYTES)

    async def _post(self, batch: Batch) -> None:
        """Begin to post a batch once the one before is stored."""
        await self._join()
        self._posting = asyncio.create_task(self._post_now(batch))

    async def _join(self) -> None:
        posting, self._posting = self._posting, None
        if posting is not None:
            await posting

    async def _post_now(self, batch: Batch) -> None:
        await self._server.post(batch, self._stored)
        self._stored = batch.position
        self._stored_lsn = batch.position.lsn
        self._posted_at = time.monotonic()
        progress = self._follower.progress
        progress.rows += len(batch.rows)
        progress.position = batch.position
        if batch.rows:
            progress.lag_ms = max(0, time.time_ns() // 1_000_000 - batch.committed_ms)

    def _check_slot(self, slot: Slot) -> None:
        """Raise SlotChangedError when the slot may lack changes: then it is checked again from the start.

        It is checked before and after it is read, so a slot that was created again in between is noticed: it begins
        later than the position up to which the server has everything.
        """
        if not slot.exists or slot.is_lost or slot.confirmed_lsn > self._stored_lsn:
            raise SlotChangedError(f"The slot {self._database.slot} has changed")

    def _check_table(self, relation: Relation) -> None:
        """Warn when a table, as it is in the log, is not what the source describes."""
        name = f"{relation.schema}.{relation.table}"
        columns = self._source.columns.get((relation.schema, relation.table))
        if columns is None:
            self._follower.warn_once(f"The source has no table {name}; its changes are sent, and listed as unmapped")
            return
        missing = sorted(columns - {column.name for column in relation.columns})
        if missing:
            self._follower.warn_once(
                f"The table {name} has no column {', '.join(missing)} (any more) that the source reads; change it"
            )

    async def _update_report(self, slot: Slot) -> None:
        """Update the report of the capture, and check from time to time the state that others may change."""
        progress = self._follower.progress
        progress.lag_bytes = max(0, slot.flushed_lsn - self._read_lsn)
        progress.retained_bytes = slot.retained_bytes
        if self._is_heartbeat_due(self._writer.position):
            await self._post(self._writer.finish())
            await self._join()
            await self._database.advance(self._stored_lsn)
        await self._follower.report()
        if time.monotonic() - self._checked_at >= _CHECK_S:
            self._checked_at = time.monotonic()
            self._source = await self._server.source()
            await self._database.check_publication(self._source.tables)
            progress.message = retention_warning(slot, await self._database.retention_limit_bytes())
            if progress.message is not None:
                self._follower.warn_once(progress.message)


async def _run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run until the work ends; cancel it when it still runs after ``stop`` is set, as in a long wait for a server."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait([task], timeout=_GRACE_S)
    finally:
        stopping.cancel()
        is_stopping = stop.is_set()
        task.cancel()
        await asyncio.wait([task])
    if not (task.cancelled() and is_stopping):
        task.result()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
