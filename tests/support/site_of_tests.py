"""A server that stops and starts again at the same address and on the same store, with a receiver that stays."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from api_server import Api, Receiver, running_api, running_receiver
from ports import free_port


class Site:
    """``api`` is the node that runs now."""

    api: Api

    def __init__(self, folder: Path, receiver: Receiver, settings: dict[str, Any]) -> None:
        self.receiver = receiver
        self._folder = folder
        self._settings = settings
        self._port = free_port()
        self._running = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self, **changed: Any) -> None:
        """Start a node; ``changed`` settings hold from now on."""
        self._settings.update(changed)
        node = running_api(self._folder, at_port=self._port, receiver=self.receiver, **self._settings)
        self.api = await self._running.enter_async_context(node)

    async def stop(self) -> None:
        await self._running.aclose()

    async def restart(self, **changed: Any) -> None:
        await self.stop()
        await self.start(**changed)


@asynccontextmanager
async def running_site(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    async with running_receiver() as receiver:
        site = Site(folder, receiver, settings)
        await site.start()
        try:
            yield site
        finally:
            receiver.release()
            await site.stop()
