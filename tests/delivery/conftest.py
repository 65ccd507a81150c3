from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hostile_receiver import HostileServer
from node_bench import SECRET_KEY, Bench

from commerce_event.accept import commit_batcher
from commerce_event.server import Node
from commerce_event.settings import Settings


@pytest.fixture
def max_in_flight() -> int:
    return Settings().max_in_flight


@pytest.fixture
async def bench(tmp_path: Path, max_in_flight: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(commit_batcher, "ANSWER_S", 60.0)  # a busy disk may take its time
    settings = Settings(
        store=f"sqlite:///{tmp_path / 'x.db'}",
        allow_networks=("127.0.0.0/8",),
        admin_key="k" * 20,
        secret_key=SECRET_KEY,
        max_in_flight=max_in_flight,
    )
    node = Node(settings)
    async with HostileServer() as hostile:
        await node.start()
        yield Bench(node, hostile)
        await node.stop()
        assert node.scheduler.in_flight == 0
        assert node.scheduler.unsettled == 0
