"""Builds the receivers that `types --language` writes, with the tools of their languages, and runs them.

Packages are downloaded once into ``build/receivers``, by a process that goes on when a test waits no longer. Where a
tool is missing, a registry does not answer or the packages are not there yet, the test is skipped with the reason.
"""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import pytest
from ports import free_port

from commerce_event.codegen.languages import BY_NAME
from commerce_event.contract.catalogue import EVENT_TYPES, EventType
from commerce_event.contract.own_types import own_type
from commerce_event.core.signatures import new_secret

DEADLINE_S: Final = 60.0
WAIT_S: Final = 300.0  # for packages, once; better-sqlite3 and SQLite for Go may have to be compiled
DOWNLOAD_S: Final = 900.0
BUILD_S: Final = 200.0
CACHE: Final = Path(__file__).parents[2] / "build" / "receivers"
TOOLS: Final = {
    "python": (),
    "typescript": ("node", "npm"),
    "java": ("java", "javac", "mvn"),
    "go": ("go",),
    "php": ("php",),
    "csharp": ("dotnet",),
}
_READER: Final = """
import sqlite3, sys
reader = sqlite3.connect(sys.argv[1], isolation_level=None)
reader.execute("BEGIN")
reader.execute("SELECT * FROM work").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""

# What a type of one's own may be called: words of the languages, and texts that would end a comment or a string.
HOSTILE: Final[dict[str, Any]] = {
    "name": "String",
    "category": "Export",
    "kind": "event",
    "description": 'Ends */ a comment ?> and \\u002a/ \u2028 """ escapes \' ` ${x} {@code',
    "schema": {
        "properties": {
            "class": {"type": "string", "description": "A keyword.\nOn two lines */ ?>", "enum": ["a\"'`\\", "b"]},
            "String": {"type": "integer"},
            "order-id": {"type": "integer"},
            "order_id": {"type": ["integer", "null"]},
            "7 días`\"'\\": {"type": ["string", "integer"]},
            "Rate": {"type": "number"},
            "Done": {"type": "boolean"},
            "Lines": {"type": "array"},
            "Detail": {"type": "object"},
            "Free": {},
        },
        "required": ["class", "String", "order_id", "Free"],
    },
    "example": {"ClientId": 1, "class": "b", "String": 7, "order_id": None, "Free": None},
}


def event_types() -> list[EventType]:
    """Return the event types of the contract, and one of our own with names that need care."""
    return [*EVENT_TYPES.values(), own_type(**HOSTILE)]


def write_files(language: str, folder: Path, types: Sequence[EventType]) -> None:
    for each in BY_NAME[language].files(types):
        path = folder / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(each.text, "utf-8")


class ReceiverProgram:
    """A receiver that was built, with a database in a folder of its own."""

    def __init__(self, command: Sequence[str], program: Path, folder: Path) -> None:
        self._command = [*command]
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.secret = new_secret("hmac")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/webhooks"

    def log(self) -> str:
        return (self._folder / "receiver.log").read_text("utf-8", "replace")

    async def start(self) -> None:
        """Start the program, and wait until it listens."""
        command = [each.replace("PORT", str(self.port)) for each in self._command]
        settings = {
            "WEBHOOK_SECRET": self.secret,
            "PORT": str(self.port),
            "DATABASE": str(self._folder / "received.db"),
        }
        environment = {**os.environ, **settings}
        with (self._folder / "receiver.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self._program, env=environment, stdout=output, stderr=output, start_new_session=True
            )  # fmt: skip
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self._process.poll() is None, self.log()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    def kill(self) -> None:
        """End the program as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._folder / "received.db", timeout=DEADLINE_S)) as database:
            return database.execute(sql).fetchall()

    @asynccontextmanager
    async def commits_held(self) -> AsyncIterator[None]:
        """Let no transaction commit inside the block: it waits with its work done, as long as its lock times out."""
        command = [sys.executable, "-c", _READER, str(self._folder / "received.db")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # locks belong to processes
        try:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"reading\n"
            yield
        finally:
            process.communicate()

    async def until_commit_waits(self) -> None:
        """Wait until a transaction tries to commit: then SQLite lets no new reader in."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with closing(sqlite3.connect(self._folder / "received.db", timeout=0)) as reader:
                    try:
                        reader.execute("SELECT count(*) FROM work").fetchall()
                    except sqlite3.OperationalError:
                        return
                await asyncio.sleep(0.005)


def build(language: str, folder: Path) -> list[str]:
    """Write and build a receiver of all event types; return the command that runs it. PORT in it is to be replaced."""
    missing = [each for each in TOOLS[language] if shutil.which(each) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed here")
    write_files(language, folder, event_types())
    return _BUILDERS[language](folder)


def _build_python(_: Path) -> list[str]:
    return [sys.executable, "handler.py"]


def _build_typescript(folder: Path) -> list[str]:
    packages = _packages("typescript", ("package.json",), ["npm", "install", "--no-audit", "--no-fund"])
    (folder / "node_modules").symlink_to(packages / "node_modules")
    _run(["node", "node_modules/typescript/bin/tsc"], folder)
    return ["node", "dist/handler.js"]


def _build_java(folder: Path) -> list[str]:
    copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
    packages = _packages("java", ("pom.xml",), copy)
    path = f"{packages}/lib/*"
    sources = [str(each) for each in folder.rglob("*.java")]
    _run(["javac", "-Xlint:all", "-Werror", "-encoding", "UTF-8", "-cp", path, "-d", "classes", *sources], folder)
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"classes:{path}", "Handler"]


def _build_go(folder: Path) -> list[str]:
    # A program that only imports SQLite compiles it for the others.
    program = 'package main\n\nimport _ "modernc.org/sqlite"\n\nfunc main() {}\n'
    _packages("go", ("go.mod", "go.sum"), ["go", "build", "-o", "program", "."], {"main.go": program})
    _run(["gofmt", "-l", "."], folder, expected="")
    _run(["go", "vet", "."], folder)
    _run(["go", "build", "-o", "receiver", "."], folder)
    return ["./receiver"]


def _build_php(folder: Path) -> list[str]:
    if "pdo_sqlite" not in _run(["php", "-m"], folder):
        pytest.skip("PHP has no pdo_sqlite here")
    return ["php", "-S", "127.0.0.1:PORT", "handler.php"]


def _build_csharp(folder: Path) -> list[str]:
    packages = _packages("csharp", ("Receiver.csproj",), ["dotnet", "restore"])
    shutil.copytree(packages / "obj", folder / "obj")
    _run(["dotnet", "build", "--no-restore", "-o", "program"], folder)
    return ["dotnet", "program/Receiver.dll"]


_BUILDERS: Final = {
    "python": _build_python,
    "typescript": _build_typescript,
    "java": _build_java,
    "go": _build_go,
    "php": _build_php,
    "csharp": _build_csharp,
}
_NO_PACKAGES: dict[str, str] = {}  # why those of a language cannot be had; asked once in a run of the tests
_INSTALLER: Final = """
import fcntl, os, pathlib, subprocess, sys
if os.fork():
    sys.exit()  # no process waits for the child
os.setsid()
seconds, *command = sys.argv[1:]
with open("lock", "w") as lock:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit()  # another one is at work
    with open("log", "wb") as log:
        done = subprocess.run(command, stdout=log, stderr=log, timeout=float(seconds))
    pathlib.Path("failed" if done.returncode else "complete").touch()
"""


def _packages(language: str, names: Sequence[str], command: Sequence[str], extra: dict[str, str] | None = None) -> Path:
    """Return the folder where the packages that a project file names are, downloaded if need be."""
    files = {each.path: each.text for each in BY_NAME[language].files(event_types()) if each.path in names}
    files |= extra or {}
    folder = CACHE / f"{language}-{hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        if language not in _NO_PACKAGES:
            reason = _download(files, command, folder)
            if reason is None:
                return folder
            _NO_PACKAGES[language] = f"{' '.join(command)}: {reason}"
        pytest.skip(_NO_PACKAGES[language])
    return folder


def _download(files: dict[str, str], command: Sequence[str], folder: Path) -> str | None:
    """Start the download, unless it runs already, and wait for it; return why there are no packages now."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failed").unlink(missing_ok=True)  # another try in each run of the tests
    for path, text in files.items():
        (folder / path).write_text(text, "utf-8")
    installer = [sys.executable, "-c", _INSTALLER, str(DOWNLOAD_S), *command]
    subprocess.run(installer, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, check=True)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if (folder / "complete").exists():
            return None
        if (folder / "failed").exists():
            return (folder / "log").read_text("utf-8", "replace").strip()[-300:]
        time.sleep(0.1)
    return f"not there after {WAIT_S:.0f} s; the download goes on, and a later run of the tests will find it"


def _environment() -> dict[str, str]:
    # Otherwise Go writes its modules read-only, and the folder cannot be deleted.
    go = {
        "GOCACHE": str(CACHE / "go-cache"),
        "GOMODCACHE": str(CACHE / "go-modules"),
        "GOFLAGS": "-modcacherw -buildvcs=false",
    }
    return {**os.environ, **go}


def _run(command: Sequence[str], folder: Path, expected: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, env=_environment(), check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    assert expected is None or done.stdout == expected, done.stdout
    return done.stdout
