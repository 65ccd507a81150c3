"""`commerce-event check` passes the receiver of the SDK in every framework, with an inbox and without one."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from commerce_event.receiver_check.http_client import HttpClient
from commerce_event.receiver_check.model import Limits, Request, Result
from commerce_event.receiver_check.requests import RequestMaker, known_types
from commerce_event.receiver_check.rules import NAMES, RULES
from commerce_event.receiver_check.runner import Runner
from commerce_event.simulate.sample_event import SampleEvents
from ports import free_port

from commerce_event_sdk import Delivery, Receiver
from commerce_event_sdk.inbox import Inbox
from framework_servers import ALL, Serve, name_of, serve_asgi, serve_wsgi
from signed_requests import HEADER, SECRET

# A busy machine is no fault of the receiver: the rules of speed have tests of their own.
LIMITS = Limits(answer_s=30.0, settle_s=0.5, effects_s=30.0, slow_body_s=0.5)
SIGNATURES = {"two-signatures", "wrong-signature", "missing-signature", "old-timestamp"}


class Shop:
    """An application whose receiver stores events in an inbox, and whose worker counts them."""

    def __init__(self, path: Path, *, header: tuple[str, str] | None = None) -> None:
        self._path = path
        self.receiver = Receiver(header=header) if header else Receiver(secret=SECRET)
        self.receiver.on("*")(self._work)
        self.effects = 0
        self._open()

    def _work(self, _: Any) -> None:
        self.effects += 1

    def _open(self) -> None:
        inbox = Inbox.sqlite(self._path)
        self.receiver.inbox = inbox
        self._worker = inbox.worker(self.receiver, concurrency=1).start()

    async def restart(self) -> None:
        """Lose all that is in memory but the count."""
        await asyncio.to_thread(self.close)
        self._open()

    def close(self) -> None:
        assert self._worker.stop()
        assert self.receiver.inbox is not None
        self.receiver.inbox.close()

    async def count(self) -> int:
        return self.effects


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "inbox.db")
    yield made
    made.close()


async def check(
    port: int,
    count: Callable[[], Awaitable[int]],
    restart: Callable[[], Awaitable[str | None]] | None,
    headers: dict[str, str] | None = None,
) -> dict[str, Result]:
    maker = RequestMaker(
        secret=None if headers else SECRET,
        headers=headers or {},
        types=known_types(["OrderConfirmedEvent", "SkuChangedNotification"]),
        sample=SampleEvents(1).next,
        random_bytes=os.urandom,
        now_ms=lambda: time.time_ns() // 1_000_000,
        limits=LIMITS,
    )
    async with HttpClient(f"http://127.0.0.1:{port}/webhooks", LIMITS.answer_s, {"trust_env": False}) as client:
        runner = Runner(client, maker, count=count, restart=restart)
        return {result.rule.name: result async for result in runner.run(RULES)}


def in_state(results: dict[str, Result], state: str) -> dict[str, str]:
    return {name: result.verdict.reason for name, result in results.items() if result.verdict.state == state}


@pytest.mark.parametrize("serve", ALL, ids=name_of)
async def test_receiver_with_an_inbox_passes_in_every_framework(serve: Serve, shop: Shop) -> None:
    with serve(shop.receiver) as port:
        results = await check(port, shop.count, shop.restart)

    assert in_state(results, "failed") == {}
    assert in_state(results, "warned") == {}
    assert set(in_state(results, "skipped")) == {"wrong-static-header"}
    assert set(in_state(results, "passed")) == set(NAMES) - {"wrong-static-header"}


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi], ids=name_of)
async def test_receiver_with_a_static_header_passes(serve: Serve, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "inbox.db", header=HEADER)
    with serve(shop.receiver) as port:
        results = await check(port, shop.count, shop.restart, dict([HEADER]))
    shop.close()

    assert set(in_state(results, "passed")) == set(NAMES) - SIGNATURES
    assert set(in_state(results, "skipped")) == SIGNATURES


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi], ids=name_of)
async def test_handler_that_records_the_id_with_its_work_passes(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    receiver = Receiver(secret=SECRET)
    inbox = Inbox.sqlite(path)
    inbox.create_tables()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mail (id TEXT)")

    @receiver.on("*")
    def send_mail(_: Any, delivery: Delivery) -> None:
        with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            if inbox.accept(connection, delivery.webhook_id):
                connection.execute("INSERT INTO mail VALUES (?)", [delivery.webhook_id])

    async def count() -> int:
        with closing(sqlite3.connect(path, timeout=20)) as connection:
            return int(connection.execute("SELECT count(*) FROM mail").fetchone()[0])

    with serve(receiver) as port:
        results = await check(port, count, None)
    inbox.close()

    assert set(in_state(results, "passed")) == set(NAMES) - {"wrong-static-header", "restart"}


APP = """
import sys
from commerce_event_sdk import Delivery, Inbox, Receiver

inbox = Inbox.sqlite("shop.db")
receiver = Receiver(secret=%r, inbox=inbox)

@receiver.on("*")
def send_mail(_, delivery: Delivery) -> None:
    delivery.connection.execute("CREATE TABLE IF NOT EXISTS mail (id TEXT)")
    delivery.connection.execute("INSERT INTO mail VALUES (?)", [delivery.webhook_id])

app = receiver.asgi()
inbox.worker(receiver).start()
"""
RESTART = """
import os, pathlib, signal, subprocess, sys
pid = pathlib.Path("pid")
if pid.exists():
    os.kill(int(pid.read_text()), signal.SIGKILL)
command = [sys.executable, "-m", "uvicorn", "app:app", "--port", sys.argv[1], "--log-level", "warning"]
with open("log", "ab") as log:
    started = subprocess.Popen(command, stdin=log, stdout=log, stderr=log, start_new_session=True)
pid.write_text(str(started.pid))
"""
COUNT = """
import sqlite3
try:
    print(sqlite3.connect("file:shop.db?mode=ro", uri=True).execute("SELECT count(*) FROM mail").fetchone()[0])
except sqlite3.OperationalError:
    print(0)
"""


async def test_check_passes_a_receiver_that_is_killed_in_between(tmp_path: Path) -> None:
    for name, text in (("app.py", APP % SECRET), ("restart.py", RESTART), ("count.py", COUNT)):
        (tmp_path / name).write_text(text)
    port = free_port()
    restart = [sys.executable, "restart.py", str(port)]
    await (await asyncio.create_subprocess_exec(*restart, cwd=tmp_path)).wait()
    try:
        await listening(port)
        done = await run(
            "check", f"http://127.0.0.1:{port}/", "--only", "repeat", "--only", "restart", "--only", "concurrent-repeat",
            "--restart-command", shlex.join(restart), "--effects-command", shlex.join([sys.executable, "count.py"]),
            environment={"COMMERCE_EVENT_SECRET": SECRET}, folder=tmp_path,
        )  # fmt: skip
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert done.code == 0, done.out + (tmp_path / "log").read_text()
    assert done.out.endswith("3 passed\n")


async def listening(port: int) -> None:
    """Wait until something accepts connections."""
    async with asyncio.timeout(60), HttpClient(f"http://127.0.0.1:{port}/", 60, {"trust_env": False}) as client:
        while (await client.send(Request(method="GET", headers=()))).status is None:
            await asyncio.sleep(0.05)
