"""The SDK on Windows and macOS: nothing that only POSIX systems have is used without a guard."""

from __future__ import annotations

from pathlib import Path

import pytest

import commerce_event_sdk
from portability import posix_only

PACKAGE = Path(commerce_event_sdk.__file__).parent


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_uses_nothing_that_only_posix_has(module: Path) -> None:
    assert posix_only(module.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", ["1: fcntl"]),
        ("import os\nos.fork()", ["2: os.fork"]),
        ("from signal import SIGKILL", ["1: signal.SIGKILL"]),
        ("import signal\n\ndef stop():\n    signal.signal(signal.SIGHUP, None)", ["4: signal.SIGHUP"]),
        ("loop.add_signal_handler(2, stop)", ["1: loop.add_signal_handler"]),
        ("open('a.txt')", ["1: open without an encoding"]),
        ("path.write_text(text)", ["1: path.write_text without an encoding"]),
        ("try:\n    work()\nexcept ValueError:\n    import fcntl", ["4: fcntl"]),
    ],
)
def test_posix_only_finds_each_kind_of_use(source: str, found: list[str]) -> None:
    assert posix_only(source) == found


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.getpid()",
        "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None",
        "if sys.platform != 'win32':\n    import fcntl",
        "if hasattr(signal, 'SIGHUP'):\n    signal.signal(signal.SIGHUP, stop)",
        "open('a', 'rb')\nopen('a', encoding='utf-8')\npath.read_text('utf-8')\nsession.open()",
    ],
)
def test_posix_only_allows_what_works_everywhere_or_is_guarded(source: str) -> None:
    assert posix_only(source) == []
