"""Run commands as a person does: arguments, output, exit code, signals."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from processes import ADMIN_KEY, ServerProcess

DEADLINE_S = 120.0
COMMAND = (sys.executable, "-m", "commerce_event")


class Finished:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def start(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None
) -> asyncio.subprocess.Process:
    """Start a command that knows of no server but that of ``environment``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "COLUMNS": "200", **(environment or {})},
        cwd=folder,
    )


async def run(
    *arguments: str, environment: dict[str, str] | None = None, stdin: str = "", folder: Path | None = None
) -> Finished:
    return await finished(await start(*arguments, environment=environment, folder=folder), stdin)


async def finished(process: asyncio.subprocess.Process, stdin: str = "") -> Finished:
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def interrupt(process: asyncio.subprocess.Process, number: signal.Signals) -> Finished:
    """Send a signal and wait for the end."""
    process.send_signal(number)
    return await finished(process)


class Shell:
    """Commands that know where the server is."""

    def __init__(self, server: ServerProcess) -> None:
        self.environment = {"COMMERCE_EVENT_URL": server.url, "COMMERCE_EVENT_KEY": ADMIN_KEY}

    async def __call__(self, *arguments: str, stdin: str = "") -> Finished:
        return await run(*arguments, stdin=stdin, environment=self.environment)

    async def json(self, *arguments: str, stdin: str = "") -> Any:
        done = await self(*arguments, "--json", stdin=stdin)
        assert done.code == 0, done.err
        return done.json
