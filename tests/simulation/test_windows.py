"""Notifications with a window, in virtual time: nodes crash and another node takes over, and every change counts once."""

import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from inline_store import Disk, inline_store
from receivers import Receivers
from record import Record
from simulated_node import Node, NodeDownError
from structlog.testing import capture_logs
from virtual_time import VirtualLoop

from commerce_event.accept.intake import Intake
from commerce_event.changes.change_intake import ChangeIntake
from commerce_event.changes.release import NotificationRelease
from commerce_event.core.changes.model import Change, EventSetting
from commerce_event.core.ids import EPOCH_MS, TIME_SHIFT, IdMaker
from commerce_event.core.vault import Vault
from commerce_event.registry.registry import Registry
from commerce_event.store.model import RaisedEvent
from commerce_event.store.port import StoreUnavailableError

_CHANGES: Final = 120
_SUBJECTS: Final = 3
_CRASHES: Final = 4
_LATE_MS: Final = 2_000 + 2_000  # a node looks every 2 s at what others let wait, and a commit may take a while
_ID_OF_ANOTHER_NODE: Final = 77


class ChangeNode(Node):
    """Two nodes on one store that take changes and raise what waits. A crash ends both."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.started_ms: list[int] = []  # when its lives began
        self.intakes: list[ChangeIntake] = []
        self.releases: list[NotificationRelease] = []

    async def start(self) -> None:
        await super().start()
        self.up = False
        self.started_ms.append(self.clock.now_ms())
        self.intakes, self.releases = [], []
        for number in (self.store.run_id % 64, _ID_OF_ANOTHER_NODE):
            ids = IdMaker(node=number, after=await self.store.last_id())
            registry = Registry(self.store, Vault(bytes(32)), ids)
            await registry.load()
            intake = Intake(self.store, registry, self.dispatcher, ids, self.clock)
            release = NotificationRelease(self.store, registry, intake, self.clock)
            release.start()
            self.releases.append(release)
            self.intakes.append(ChangeIntake(self.store, registry, intake, release, ids, self.clock))
        self.up = True


class Run:
    """Changes of a few prices, crashes of the node, and one of its two releases that stops now and then."""

    def __init__(self, seed: int, folder: Path, loop: VirtualLoop, disk: Disk) -> None:
        self._rng = rng = random.Random(seed)
        self.window_s = rng.choice((1.5, 20.0, 300.0))
        record = Record()
        receivers = Receivers(loop, record, random.Random(seed))
        self.node = ChangeNode(loop, folder, disk, receivers, record, random.Random(seed))
        self._life_s = self.window_s * 12
        self._loop = loop
        self.accepted: dict[int, Change] = {}  # by id
        self.raised: dict[int, tuple[int, Any, RaisedEvent]] = {}  # by event: when, body, changes

    async def run(self) -> None:
        node = self.node
        node.mark_outside(asyncio.current_task())
        await node.start()
        setting = EventSetting(
            id=1, client_id=1, event_type="SkuPriceChangedNotification", entity="tClientProductSkuPriceList",
            coalesce_s=self.window_s,
        )  # fmt: skip
        await node.registry.change_settings.add_setting(setting, limit=9)
        tasks = [node.outside(self._send(number)) for number in range(_CHANGES)] + [node.outside(self._crash())]
        for task in tasks:
            await task
        await asyncio.sleep(self.window_s + 10)
        for event in await node.store.history.events_after(1, 0, 1_000):
            found = await node.store.changes.raised(event.id)
            assert found is not None
            self.raised[event.id] = event.accepted_ms, msgspec.json.decode(event.body), found
        await asyncio.gather(*(release.close() for release in node.releases))
        await node.close()

    async def _send(self, number: int) -> None:
        """Send one change to one of the two nodes until it is acknowledged."""
        rng = random.Random(f"{self.window_s} {number}")
        await asyncio.sleep(self._rng.uniform(0, self._life_s))
        change = Change(
            client_id=1, entity="tClientProductSkuPriceList", operation="update", idempotency_key=f"c-{number}",
            key={"PartNo": f"P-{rng.randrange(_SUBJECTS)}", "PricelistId": 1}, after={"PriceSaleValue": number + 0.5},
        )  # fmt: skip
        while True:
            try:
                [answer] = await self.node.call(self._submit(rng.randrange(2), change))
            except (NodeDownError, StoreUnavailableError):
                await asyncio.sleep(0.5)
                continue
            self.accepted[answer.id] = change
            return

    async def _submit(self, which: int, change: Change) -> Any:
        return await self.node.intakes[which].submit("a producer", [change], size=100)

    async def _crash(self) -> None:
        """Stop one release, so that the other takes over; later crash both, and start again."""
        for _ in range(_CRASHES):
            await asyncio.sleep(self._rng.uniform(0.1, 0.6) * self._life_s / _CRASHES)
            await self._rng.choice(self.node.releases).close()
            await asyncio.sleep(self._rng.uniform(0.1, 0.3) * self._life_s / _CRASHES)
            await self.node.crash()
            await asyncio.sleep(self._rng.uniform(0.1, 2 * self.window_s))
            await self.node.start()


def run_seeded(seed: int) -> Run:
    disk = Disk(random.Random(f"disk {seed}"))
    loop = VirtualLoop(disk.latency_s)
    with tempfile.TemporaryDirectory() as folder, inline_store(disk), capture_logs() as logs:
        run = Run(seed, Path(folder), loop, disk)
        try:
            loop.run_until_complete(run.run())
        finally:
            loop.close()
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []
    return run


@pytest.fixture(scope="module", params=range(6))
def run(request: pytest.FixtureRequest) -> Run:
    return run_seeded(request.param)


def test_every_change_is_in_one_notification_with_the_newest_values(run: Run) -> None:
    subjects = Counter(change.key["PartNo"] for change in run.accepted.values())
    merged: Counter[str] = Counter()
    for _, body, raised in run.raised.values():
        of_subject = [i for i, change in run.accepted.items() if change.key["PartNo"] == body["PartNo"]]
        in_range = [i for i in of_subject if raised.first_change_id <= i <= raised.change_id]
        assert len(in_range) == raised.merged
        assert body["PriceSaleValue"] == run.accepted[max(in_range)].after["PriceSaleValue"]  # type: ignore[index]
        merged[body["PartNo"]] += raised.merged
    assert merged == subjects
    assert subjects.total() == _CHANGES
    assert len(run.raised) < _CHANGES


def test_notification_is_raised_when_its_window_has_passed_or_a_node_is_back(run: Run) -> None:
    for accepted_ms, _, raised in run.raised.values():
        due_ms = _time_ms(raised.first_change_id) + run.window_s * 1000
        up_ms = max([due_ms, *[started for started in run.node.started_ms if started <= accepted_ms]])
        assert due_ms - 1 <= accepted_ms
        assert accepted_ms <= up_ms + _LATE_MS


def _time_ms(id_: int) -> int:
    return (id_ >> TIME_SHIFT) + EPOCH_MS
