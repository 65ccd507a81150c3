"""Run the receiver that a page of the documentation shows, and wait for what it prints."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DEADLINE_S: Final = 60.0


@contextmanager
def receiving(folder: Path, code: str) -> Iterator[Path]:
    """Run a page's receiver; yields the file that it prints into."""
    program = folder / "receiver.py"
    program.write_text(code, "utf-8")
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-u", str(program)], stdout=output, stderr=output)
        try:
            yield printed
        finally:
            process.kill()
            process.wait()


async def until_it_says(printed: Path, text: str, *, times: int = 1) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while printed.read_text("utf-8").count(text) < times:
            await asyncio.sleep(0.05)
