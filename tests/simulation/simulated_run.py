"""One simulated run: a seed decides everything. It runs, recovers, and is recorded for the judge."""

import asyncio
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from unittest.mock import patch

from actors import HOUR_S, Actors
from inline_store import Disk, FaultPoint, inline_store
from receivers import Receivers
from record import Kept, Record
from simulated_node import Node, NodeDownError
from structlog.testing import capture_logs
from virtual_time import VirtualLoop

from commerce_event.core.model import Scope
from commerce_event.deliver import claim_loop, pace
from commerce_event.store.model import DeliveryQuery, Page

_SHARED_MEMORY: Final = Path("/dev/shm")
_EVERYONE: Final = Scope.everyone()
_QUIET_WITHIN_S: Final = 14 * 24 * HOUR_S
_REPLAYED: Final = "SELECT id FROM delivery WHERE replayed"
_LOOK_EVERY_S: Final = 300.0
_LOOK_UNASKED_S: Final = HOUR_S


class SimulatedRun:
    """A node, its receivers and its users."""

    def __init__(
        self, seed: int, folder: Path, loop: VirtualLoop, disk: Disk, record: Record, node: type[Node]
    ) -> None:
        rng = random.Random(seed)
        self._loop = loop
        self._disk = disk
        self._record = record
        self._days = rng.choice((1, 2, 3))
        self._events = rng.randint(40, 110)
        self._receivers = Receivers(loop, record, random.Random(rng.random()))
        self._node = node(loop, folder, disk, self._receivers, record, random.Random(rng.random()))
        self._actors = Actors(loop, self._node, self._receivers, disk, record, random.Random(rng.random()))

    async def run(self) -> None:
        node, record = self._node, self._record
        node.mark_outside(asyncio.current_task())
        await node.start()
        node.look_each_minute()
        await self._live()
        await self._heal()
        record.healed_s = self._loop.time()
        await self._until_quiet()
        await self._take_stock()
        await node.close()

    async def _live(self) -> None:
        node, actors, over_s = self._node, self._actors, self._days * 24 * HOUR_S
        await actors.make_endpoints(over_s)
        going_on = [
            node.outside(actors.publish(self._events, over_s)),
            node.outside(actors.act_now_and_then(over_s)),
            node.outside(actors.go_wrong_now_and_then(over_s)),
        ]
        for task in going_on:
            await task

    async def _heal(self) -> None:
        self._disk.full = False
        await asyncio.sleep(60.0)
        for endpoint in self._node.registry.endpoints(_EVERYONE):
            if not endpoint.is_sending:
                await self._actors.change(endpoint.id, "on", enabled=True, paused=False, disabled_reason=None)

    async def _until_quiet(self) -> None:
        give_up_s = self._loop.time() + _QUIET_WITHIN_S
        while self._loop.time() < give_up_s:
            await asyncio.sleep(_LOOK_EVERY_S)
            published = all(event.event_id is not None for event in self._record.published)
            with suppress(NodeDownError):
                books = await self._node.call(self._node.store.history.delivery_counts(_EVERYONE))
                if published and not any(book.pending for book in books):
                    return

    async def _take_stock(self) -> None:
        node, record = self._node, self._record
        record.end_s, record.commits = self._loop.time(), self._disk.commits
        after = 0
        replayed = await node.store._access.read(lambda c: {row[0] for row in c.execute(_REPLAYED)})
        while found := await node.store.history.deliveries(DeliveryQuery(scope=_EVERYONE), Page(500, after=after)):
            ids = [each.id for each in found]
            record.kept += [
                Kept(delivery=each, attempts=attempts, replayed=each.id in replayed)
                for each, attempts in await node.store.history.deliveries_with_attempts(ids, _EVERYONE)
            ]
            after = found[-1].id
        record.health = {each.endpoint_id: each for each in await node.store.history.endpoint_health(_EVERYONE)}
        await node.maintenance.counts.verify()
        record.balanced = node.maintenance.counts.report is not None and node.maintenance.counts.report.balanced
        await asyncio.sleep(30.0)
        if node.dispatcher.in_flight or node.dispatcher.unsettled:
            record.left_over = f"{node.dispatcher.in_flight} slots held, {node.dispatcher.unsettled} results unsettled"
        for kept in record.kept:
            delivery = kept.delivery
            record.trace(
                record.end_s, "kept", delivery=delivery.id, state=delivery.state, reason=delivery.reason,
                attempts=[(each.number, each.status, each.error, each.started_ms) for each in kept.attempts],
            )  # fmt: skip


def run_seeded(
    seed: int,
    *,
    run: type[SimulatedRun] = SimulatedRun,
    node: type[Node] = Node,
    lines: bool = False,
    point: FaultPoint | None = None,
) -> Record:
    """Do the run of a seed to its end and return its record.

    ``lines`` keeps the trace to be read; at ``point`` the disk fails.
    """
    record = Record()
    record.lines = [] if lines else None
    disk = Disk(random.Random(f"disk {seed}"), point)
    loop = VirtualLoop(disk.latency_s)
    shared = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, inline_store(disk), _rare_looks(), capture_logs() as logs:
        try:
            loop.run_until_complete(run(seed, Path(folder), loop, disk, record, node).run())
        finally:
            loop.close()
    record.complaints = [str(entry) for entry in logs if entry["log_level"] in {"error", "critical"}]
    return record


@contextmanager
def _rare_looks() -> Iterator[None]:
    """Have the dispatcher look at the store unasked once an hour instead of once a second.

    While something is overdue it looks once a minute (``Node.look_each_minute``), so a missed hint costs a minute here
    and a second in the product.
    """
    with (
        patch.object(claim_loop, "_SCAN_INTERVAL_S", _LOOK_UNASKED_S),
        patch.object(pace, "thread_time", lambda: 0.0),  # so that a run does not depend on the machine
    ):
        yield
