"""A capture in this process, between a followed database and a receiver of its changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from change_receiver import SOURCE, ChangeReceiver
from followed_database import Followed

from commerce_event.changes.capture.change_server import ChangeServer
from commerce_event.changes.capture.database import SourceDatabase
from commerce_event.changes.capture.errors import CaptureError
from commerce_event.changes.capture.follow import Follower
from commerce_event.changes.capture.names import default_name
from commerce_event.changes.capture.setup import set_up

NAME = default_name(SOURCE)


class Capture:
    """Sets up and runs a capture in this process."""

    def __init__(self, followed: Followed, receiver: ChangeReceiver) -> None:
        self.followed = followed
        self.receiver = receiver
        self.warnings: list[str] = []
        self.said: list[str] = []
        self.slot = f"{NAME}_{followed.url.partition('?')[0].rpartition('/')[2][-20:]}"  # slots are of the whole server

    def database(self) -> SourceDatabase:
        return SourceDatabase(self.followed.url, slot=self.slot, publication=NAME)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[ChangeServer]:
        with httpx.Client(base_url=self.receiver.url, trust_env=False, timeout=30) as client:
            yield ChangeServer(client, SOURCE)

    async def set_up(self, *tables: str) -> None:
        """Map the tables, and make publication and slot."""
        for table in tables:
            self.receiver.map_table(table)
        database = self.database()
        try:
            async with self.server() as server:
                await set_up(database, await server.source(), self.said.append)
        finally:
            await database.close()

    @asynccontextmanager
    async def running(self, *, accept_gap: bool = False) -> AsyncIterator[Follower]:
        """Follow until the end of the block; an error of the capture is raised there."""
        stop = asyncio.Event()
        async with self.server() as server:
            follower = Follower(self.database(), server, accept_gap=accept_gap, warn=self.warnings.append)
            task = asyncio.create_task(follower.run(stop))
            try:
                yield follower
            except BaseException:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
                raise
            stop.set()
            await task

    @asynccontextmanager
    async def ending(self) -> AsyncIterator[list[str]]:
        """Follow until the capture ends by itself, in or after the block; yield a list that gets its sentence."""
        sentences: list[str] = []
        async with self.server() as server:
            follower = Follower(self.database(), server, accept_gap=False, warn=self.warnings.append)
            task = asyncio.create_task(follower.run(asyncio.Event()))
            yield sentences
            with pytest.raises(CaptureError) as error:
                async with asyncio.timeout(60):
                    await task
        sentences.append(str(error.value))

    async def run_to_error(self, *, accept_gap: bool = False) -> str:
        """Follow until the capture ends by itself; return the sentence that it ends with."""
        async with self.server() as server:
            follower = Follower(self.database(), server, accept_gap=accept_gap, warn=self.warnings.append)
            with pytest.raises(CaptureError) as error:
                async with asyncio.timeout(60):
                    await follower.run(asyncio.Event())
        return str(error.value)
