"""Follow a page of the documentation: write its files, and run its commands in a shell."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from commerce_event_sdk import sign

ROOT: Final = Path(__file__).parents[4]
PAGES: Final = ROOT / "docs/sdk"
DEADLINE_S: Final = 60.0
_BLOCK: Final = re.compile(r"^```\w+\n(.*?)^```$|((?:^    [^\n]*\n?)+)", re.MULTILINE | re.DOTALL)
_SERVER: Final = re.compile(r"uvicorn |flask .* run |python manage.py (?:runserver|handle_events)|python \w+\.py$")


class QuickStart:
    """A page that is being followed in a folder of its own, on a port of its own in place of 8000."""

    def __init__(self, page: str, folder: Path, port: int) -> None:
        self.text = (PAGES / page).read_text("utf-8")
        self.folder = folder
        self.port = port
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        self.commands_run: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def secret(self) -> str:
        return self.environment["COMMERCE_EVENT_SECRET"]

    @property
    def log(self) -> Path:
        """What the servers have printed."""
        return self.folder / "printed.log"

    def follow(self, heading: str) -> str:
        """Follow one section, and return what its commands printed, those of servers excepted."""
        section = self.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        assert section, f"there is no section {heading}"
        printed = ""
        for code, commands in _BLOCK.findall(section):
            if code:
                self.write(code)
            for line in commands.splitlines():
                printed += self.run(line.strip())
        return printed

    def write(self, code: str) -> None:
        """Write or change the file that the first line of a block names."""
        named = re.match(r"# ([\w./]+)(, at the end|, in place of the line with \"(.*)\")?\n", code)
        assert named is not None, f"no file is named: {code}"
        path = self.folder / named[1]
        code = code.replace("8000", str(self.port))
        if named[3]:
            lines = path.read_text("utf-8").splitlines(keepends=True)
            (index,) = [number for number, line in enumerate(lines) if named[3] in line]
            lines[index] = code.partition("\n")[2]
            code = "".join(lines)
        elif named[2]:
            code = path.read_text("utf-8") + code
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")

    def run(self, command: str) -> str:
        """Run a command, or start a server and leave it running; return what the command printed."""
        self.commands_run.append(command)
        if command.startswith("pip install "):
            for name in re.findall(r"[a-z][\w-]*", re.sub(r"\[.*?\]", "", command.removeprefix("pip install "))):
                distribution(name)  # raises PackageNotFoundError
            return ""
        if exported := re.fullmatch(r"export (\w+)=(.*)", command):
            printed = self._finish(f'{exported[0]}; printf %s "${exported[1]}"')
            self.environment[exported[1]] = printed
            return ""
        command = command.replace("8000", str(self.port))
        if _SERVER.match(command):
            self._start(command)
            return ""
        return self._finish(command)

    def send(self, webhook_id: str, body: bytes, event_type: str = "OrderConfirmedEvent") -> int:
        """Send an event of one's own, signed, and return the status."""
        from sockets import request

        now_s = int(time.time())
        headers = {
            "content-type": "application/json",
            "commerce-event-type": event_type,
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": sign(self.secret, webhook_id, now_s, body),
        }
        return request(self.port, "/webhooks", headers, body).status

    def wait_until_printed(self, text: str) -> None:
        self._wait(lambda: text in self.log.read_text("utf-8"), f"{text!r} was not printed")

    def stop_servers(self) -> None:
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl+C in a terminal
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def _finish(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self._printed()}"
        return done.stdout

    def _start(self, command: str) -> None:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        if "handle_events" not in command and "worker" not in command:
            self._wait(self._listens, f"{command} does not listen")

    def _listens(self) -> bool:
        import socket

        for process in self._processes:
            assert process.poll() is None, f"a server ended with {process.returncode}: {self._printed()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{complaint}: {self._printed()}"
            time.sleep(0.05)

    def _printed(self) -> str:
        return self.log.read_text("utf-8") if self.log.exists() else ""


@contextmanager
def following(page: str, folder: Path, port: int) -> Iterator[QuickStart]:
    """Follow a page, and end its servers afterwards."""
    start = QuickStart(page, folder, port)
    try:
        yield start
    finally:
        start.stop_servers()
