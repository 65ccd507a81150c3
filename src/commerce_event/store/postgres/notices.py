"""Notices between nodes by LISTEN and NOTIFY: there is new work, or the configuration changed."""

import asyncio
from collections.abc import Callable
from typing import Final

from commerce_event.store.postgres.sql import Connection, RawConnection, execute

_CHANNEL: Final = "commerce_event"


class Notices:
    """Notices to send, and those of other nodes."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        """``on_notice`` is called on the event loop with every notice of another node."""
        self._on_notice = on_notice
        self._to_send: dict[str, None] = {}
        self._pid: int | None = None  # of the connection that listens and sends
        self.wake = asyncio.Event()  # set when there is something to send, or the connection was cut

    def tell(self, notice: str) -> None:
        """Send a notice to the other nodes soon."""
        self._to_send[notice] = None
        self.wake.set()

    async def listen(self, connection: RawConnection) -> None:
        self._pid = connection.get_server_pid()
        await connection.add_listener(_CHANNEL, self._receive)
        connection.add_termination_listener(self._on_cut)

    async def send(self, connection: Connection) -> None:
        for notice in list(self._to_send):
            del self._to_send[notice]  # a notice told from here on is sent again
            try:
                await execute(connection, "notify", _CHANNEL, notice)
            except BaseException:
                self._to_send[notice] = None
                raise
        if not self._to_send:
            self.wake.clear()

    def _on_cut(self, _connection: object) -> None:
        self.wake.set()

    def _receive(self, _connection: object, pid: int, _channel: str, payload: object) -> None:
        if pid != self._pid:
            self._on_notice(str(payload))
