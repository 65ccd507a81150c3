"""A short fixed scenario with some of everything, in which any one commit may fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from inline_store import Fault, FaultPoint
from receivers import Behaviour
from record import Record
from simulated_node import NodeDownError
from simulated_run import SimulatedRun, run_seeded

from commerce_event.core.model import Endpoint
from commerce_event.store.port import StoreUnavailableError

EVENTS: Final = 50
_SEED: Final = 1
_OVER_S: Final = 60.0
_BACK_AFTER_S: Final = 2.0
_SHORT: Final = (1.0, 5.0, 5.0)
_ENDPOINTS: Final[tuple[tuple[dict[str, Any], list[Behaviour]], ...]] = (
    ({"client_id": 1, "event_types": ("*",)}, [Behaviour(0.0, "up")]),
    ({"client_id": 1, "event_types": ("Order",), "ordering": "key"}, [Behaviour(0.0, "flaky"), Behaviour(90.0, "up")]),
    (
        {"client_id": 1, "event_types": ("*",), "retry_schedule_s": _SHORT},
        [Behaviour(0.0, "up"), Behaviour(15.0, "down"), Behaviour(80.0, "up")],
    ),
    (
        {"client_id": 2, "event_types": ("*",), "retry_schedule_s": _SHORT},
        [Behaviour(0.0, "lost"), Behaviour(60.0, "up")],
    ),
    (
        {"client_id": 2, "event_types": ("Order",), "retry_schedule_s": _SHORT},
        [Behaviour(0.0, "up"), Behaviour(40.0, "gone"), Behaviour(90.0, "up")],
    ),
)


class Scenario(SimulatedRun):
    """A shop of two clients for a few minutes."""

    async def _live(self) -> None:
        actors = self._actors
        self._disk.on_fault = self._go_wrong
        for number, (fields, behaviours) in enumerate(_ENDPOINTS, start=1):
            self._receivers.add(number, behaviours)
            await self._make(Endpoint(id=number, url=f"https://receiver-{number}.example/", secrets=(), **fields))
        publishing = self._node.outside(actors.publish(EVENTS, _OVER_S))
        acts: tuple[tuple[float, Callable[[], Awaitable[None]]], ...] = (
            (20.0, lambda: actors.change(1, "edit", event_types=("Order", "Customer"))),
            (25.0, lambda: actors.cancel(3)),
            (35.0, lambda: actors.change(4, "off", enabled=False)),
            (45.0, lambda: actors.change(4, "on", enabled=True)),
            (85.0, lambda: actors.retry(3, "dead")),
            (90.0, lambda: actors.replay(self._endpoint(3), "failed", 1)),
            (95.0, lambda: actors.replay(self._endpoint(1), "all", 1)),
            (100.0, lambda: actors.change(4, "delete", deleted_ms=self._node.clock.now_ms())),
        )
        for at_s, act in acts:
            await asyncio.sleep(at_s - self._loop.time())
            await self._until_up()
            await act()
        await publishing
        await self._until_up()

    async def _make(self, endpoint: Endpoint) -> None:
        begin_s = self._loop.time()
        while True:
            try:
                saved = await self._node.call(self._node.registry.save(endpoint))
            except (NodeDownError, StoreUnavailableError):
                await asyncio.sleep(0.5)
                await self._until_up()
            else:
                self._record.note_form(saved, begin_s, self._loop.time())
                return

    def _endpoint(self, number: int) -> Endpoint:
        found = self._node.registry.endpoint(number)
        assert found is not None
        return found

    async def _until_up(self) -> None:
        while not self._node.up:
            await asyncio.sleep(0.5)

    def _go_wrong(self, fault: Fault) -> None:
        self._record.trace(self._loop.time(), "fault", kind=fault)
        if fault == "full":
            self._disk.full = True
            self._node.outside(self._make_space())
        else:
            self._node.die()
            self._node.outside(self._begin_again())

    async def _make_space(self) -> None:
        begin_s = self._loop.time()
        await asyncio.sleep(_BACK_AFTER_S)
        self._disk.full = False
        self._record.outages.append((begin_s, self._loop.time()))

    async def _begin_again(self) -> None:
        begin_s = self._loop.time()
        await self._node.crash()
        await asyncio.sleep(_BACK_AFTER_S)
        await self._node.start()
        self._record.outages.append((begin_s, self._loop.time()))
        self._actors.look_again()


def run_scenario(point: FaultPoint | None = None) -> Record:
    """Run the short life, in which the disk fails once if a point is given, and return its record."""
    return run_seeded(_SEED, run=Scenario, point=point)
