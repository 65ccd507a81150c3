"""Run the product under a name server that never answers: ``launch_with_silent_names.py FOLDER serve``.

Each lookup hangs in its thread for good, as it would for a long time in the C library, and leaves a file in FOLDER.
"""

import socket
import sys
import threading
from pathlib import Path
from typing import Any

_FOLDER = Path(sys.argv.pop(1))


def _hang(host: str, *_: Any, **__: Any) -> list[Any]:
    (_FOLDER / f"lookup-of-{host}").touch()
    threading.Event().wait()
    return []


socket.getaddrinfo = _hang  # type: ignore[assignment]

from commerce_event.cli.main import main  # noqa: E402 - the resolver takes the function when it is imported

main()
