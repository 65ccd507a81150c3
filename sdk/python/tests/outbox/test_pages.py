"""The programs of the pages about publishing and the outbox run as they are printed there, with a real server."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from processes import ADMIN_KEY, DEADLINE_S, ServerProcess

from shop_databases import postgres_shop

pytestmark = pytest.mark.integration

PAGES = Path(__file__).parents[4] / "docs/sdk"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (commerce-event-relay .*--url .*)$", re.MULTILINE)


def programs(page: str) -> dict[str, str]:
    """Return the programs of a page by the name in their first line."""
    text = (PAGES / page).read_text("utf-8")
    found = dict(BLOCK.findall(text))
    assert len(found) == text.count("```python")
    return found


class Reader:
    """Someone who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "COMMERCE_EVENT_URL": server.url,
            "COMMERCE_EVENT_KEY": ADMIN_KEY,
        }
        self._server = server

    async def run(self, name: str, program: str) -> str:
        """Run a program; return what it prints."""
        file = self.folder / name
        file.write_text(program, "utf-8")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(file)],
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, (name, done.stderr)
        return str(done.stdout)

    async def accepted(self) -> int:
        """Return how many events the server has."""
        async with self._server.client() as client:
            metrics = (await client.get("/metrics")).text
        counted = re.search(r"^commerce_event_accepted_events_total (\S+)", metrics, re.MULTILINE)
        assert counted is not None
        return int(float(counted[1]))


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    (tmp_path / "server").mkdir()
    (tmp_path / "reader").mkdir()
    server = ServerProcess(tmp_path / "server")
    await server.start()
    yield Reader(tmp_path / "reader", server)
    server.kill()


async def test_publish_page_programs_run_as_printed(reader: Reader) -> None:
    found = programs("publish.md")
    assert re.fullmatch(r"accepted as evt_\w+\n", await reader.run("publish.py", found.pop("publish.py")))
    assert await reader.run("publish_many.py", found["publish_many.py"]) == ""
    assert await reader.run("publish_many.py", found.pop("publish_many.py")) == ""  # finds its events
    assert await reader.run("publish_async.py", found.pop("publish_async.py")) == "accepted 100\n"
    assert await reader.accepted() == 1_101
    refused = await reader.run("publish_refused.py", found.pop("publish_refused.py"))
    assert re.fullmatch(r"422 \('/\w+', '.*'\)\n", refused)
    assert not found


async def test_outbox_page_programs_run_as_printed(reader: Reader, tmp_path: Path) -> None:
    found = programs("outbox.md")
    await reader.run("shop.py", found["shop.py"])
    await reader.run("relay_thread.py", found.pop("relay_thread.py"))
    assert await reader.accepted() == 1
    await reader.run("shop.py", found.pop("shop.py"))  # the table exists
    [command] = COMMAND.findall((PAGES / "outbox.md").read_text("utf-8"))
    await follow(reader, command.replace("http://127.0.0.1:8080", reader.environment["COMMERCE_EVENT_URL"]), 2)
    with postgres_shop(tmp_path, with_table=False) as shop:
        reader.environment["SHOP_DATABASE"] = shop.url
        for name, program in found.items():
            await reader.run(name, program)
        assert [row[2] for row in shop.rows()] == ["job:7", "job:8"]
        await follow(reader, f"commerce-event-relay --database {shop.url}", 4)


async def follow(reader: Reader, command: str, count: int) -> None:
    """Run the command until the server has so many events; end it as a service would."""
    name, *arguments = command.split()
    assert name == "commerce-event-relay"
    wanted = [sys.executable, "-m", "commerce_event_sdk.outbox.command", *arguments]
    process = subprocess.Popen(wanted, cwd=reader.folder, env=reader.environment)
    async with asyncio.timeout(DEADLINE_S):
        while await reader.accepted() < count:
            assert process.poll() is None
            await asyncio.sleep(0.05)
    process.terminate()
    assert await asyncio.to_thread(process.wait, DEADLINE_S) == 0
