"""Fixtures: a server process on a new folder, and a receiver."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from processes import LocalReceiver, ServerProcess, running_receiver


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, COMMERCE_EVENT_RETRY_SCHEDULE="0.1s,0.2s,0.5s,1s,1s,1s,1s,1s")
    yield process
    process.kill()


@pytest.fixture
async def receiver() -> AsyncIterator[LocalReceiver]:
    async with running_receiver() as running:
        yield running
