"""Run a command on a pseudo-terminal, as a person does: read its screen, press keys."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from command_line import COMMAND, DEADLINE_S


class Terminal:
    """A terminal with one command on it."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        os.set_blocking(self._ours, False)
        self.screen = ""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str, environment: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**kept, "TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    async def until(self, text: str, count: int = 1) -> None:
        """Wait until the screen has shown a text so many times."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while self.screen.count(text) < count:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"the screen never showed {text!r}: {self.screen!r}") from None

    async def ended(self) -> int:
        """Wait for the end of the command; return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(DEADLINE_S):
            code = await self._process.wait()
        self._read()
        return code

    def modes(self) -> list[Any]:
        """Return the terminal's modes."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while data := os.read(self._ours, 65_536):
                self.screen += data.decode(errors="replace")


@asynccontextmanager
async def open_terminal() -> AsyncIterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()
