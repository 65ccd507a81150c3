"""A followed database, a receiver of its changes, and a capture between them."""

from collections.abc import AsyncIterator

import pytest
from change_receiver import ChangeReceiver, running_change_receiver
from followed_database import Followed, logical_server
from running_capture import Capture


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    """Return a database of the test's own, on a server with logical decoding."""
    database = await Followed.create(logical_server())
    yield database
    await database.drop()


@pytest.fixture
async def receiver() -> AsyncIterator[ChangeReceiver]:
    async with running_change_receiver() as running:
        yield running


@pytest.fixture
async def capture(followed: Followed, receiver: ChangeReceiver) -> Capture:
    return Capture(followed, receiver)
