"""Failover of the database under load: nodes continue on the standby without loss."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from postgres_replication import Replicated
from processes import LocalReceiver, ServerProcess
from publisher import Publisher, sequences, subscribe, until_arrived, until_settled

from commerce_event.core.vault import new_key

BEFORE, AFTER = 150, 150
PUBLISHERS = 4


@pytest.fixture
async def databases() -> AsyncIterator[Replicated]:
    pair = await asyncio.to_thread(Replicated)
    await pair.wait_for_standby()
    yield pair
    await asyncio.to_thread(pair.close)


async def test_failover_to_the_standby_loses_no_acknowledged_event(
    databases: Replicated, tmp_path: Path, receiver: LocalReceiver
) -> None:
    node = ServerProcess(
        tmp_path,
        COMMERCE_EVENT_STORE=databases.url,
        COMMERCE_EVENT_SECRET_KEY=new_key(),
        COMMERCE_EVENT_RETRY_SCHEDULE="0.1s,0.2s,0.5s,1s,1s,1s,1s,1s",
    )
    try:
        await node.start()
        await subscribe(node, receiver, "/hook")
        publisher, enough = Publisher(node), asyncio.Event()
        publishing = [asyncio.create_task(publisher.run(enough)) for _ in range(PUBLISHERS)]
        await publisher.until_acknowledged(BEFORE)

        await asyncio.to_thread(databases.lose_primary)
        await asyncio.to_thread(databases.promote)
        await publisher.until_acknowledged(len(publisher.acknowledged) + AFTER)
        enough.set()
        await asyncio.gather(*publishing)

        ids = set(publisher.acknowledged.values())
        await until_arrived(receiver, "/hook", ids)
        [book] = await until_settled(node)
        assert book["matched"] == book["delivered"] == len(ids)
        assert "a failover would lose" not in node.log()
        assert await sequences(node) == list(range(1, len(ids) + 1))
    finally:
        node.kill()
