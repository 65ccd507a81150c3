"""Run the tutorial of notifications as a reader does: every command in order, every shown output compared."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ports import free_port
from processes import ADMIN_KEY, ServerProcess
from receiver_program import receiving, until_it_says

PAGE: Final = (Path(__file__).parents[2] / "docs/tutorial/first-notification.md").read_text("utf-8")
DEADLINE_S: Final = 60.0
RECEIVER: Final = "from http.server"
ID: Final = re.compile(r"\b(?:chg|evt|set)_\w+")
TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z")
COMMAND: Final = re.compile(r"^ *(?:commerce-event|curl) (?!serve)", re.MULTILINE)
READS: Final = re.compile(r"commerce-event [a-z-]+ (?:list|explain) ")


def blocks() -> list[str]:
    """Return what is indented on the page, without the indentation."""
    found = re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") for block in found if block.strip()]


def steps() -> Iterator[tuple[str, str]]:
    """Yield each paragraph of commands with the output that follows it; no command for what the receiver prints."""
    for block in blocks():
        if "commerce-event serve" in block or block.startswith(RECEIVER):
            continue
        command, shown = "", list[str]()
        for paragraph in block.split("\n\n"):
            if paragraph.startswith(("commerce-event ", "curl ", "cat ", "sed ", "export ")):
                if command:
                    yield command, "\n\n".join(shown)
                command, shown = paragraph, []
            else:
                shown.append(paragraph)
        yield command, "\n\n".join(shown)


class Reader:
    """Follows the page, with the ids of this run in place of those on the page."""

    def __init__(self, server: ServerProcess, receiver_port: str, folder: Path) -> None:
        self._ids: dict[str, str] = {}
        self._ports = {"8080": str(server.port), "9000": receiver_port}
        self._folder = folder
        self._environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "COLUMNS": "200",
            "COMMERCE_EVENT_URL": server.url,
            "COMMERCE_EVENT_KEY": ADMIN_KEY,
        }

    async def follow(self, command: str, shown: str) -> None:
        """Run commands; what they print must be what the page shows, but for ids, times and widths of columns."""
        command = ID.sub(lambda shown_id: self._ids[shown_id[0]], command)
        command = re.sub(r":(8080|9000)/", lambda port: f":{self._ports[port[1]]}/", command)
        command = re.sub(r"^export .*\n", "", command)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                printed = await self._run(command)
                if not shown or plain(printed) == plain(shown) or not READS.search(command):
                    break
                await asyncio.sleep(0.05)  # until the delivery is on record
        if shown:
            assert plain(printed) == plain(shown), command
            for on_page, here in zip(ID.findall(shown), ID.findall(printed), strict=True):
                assert self._ids.setdefault(on_page, here) == here, f"{on_page} stands for two ids"

    async def _run(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "bash", "-ec", command, env=self._environment, cwd=self._folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, ""), command
        return out.decode()


def plain(printed: str) -> str:
    """Return an output without what differs from run to run."""
    named = TIME.sub("TIME", ID.sub(lambda id_: id_[0][:3], printed))
    return "\n".join(" ".join(line.split()) for line in named.strip().splitlines())


async def test_tutorial_of_notifications_every_command_prints_what_is_shown(
    server: ServerProcess, tmp_path: Path
) -> None:
    await server.start()
    command = tmp_path / "commerce-event"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m commerce_event "$@"\n')
    command.chmod(0o755)
    port = str(free_port())
    reader = Reader(server, port, tmp_path)
    [receiver] = [block for block in blocks() if block.startswith(RECEIVER)]
    received: list[str] = []
    ran = 0

    with receiving(tmp_path, receiver.replace("9000", port)) as printed:
        for command_lines, shown in steps():
            if command_lines:
                await reader.follow(command_lines, shown)
                ran += len(COMMAND.findall(command_lines))
                continue
            received.append(shown)
            await until_it_says(printed, shown, times=len(received))
        arrived = [line for line in printed.read_text("utf-8").splitlines() if line.startswith("received ")]

    assert arrived == received
    assert (ran, len(received)) == (len(COMMAND.findall(PAGE)), 3)
