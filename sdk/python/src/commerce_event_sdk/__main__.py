"""``python -m commerce_event_sdk inbox …``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

_USAGE: Final = """usage: python -m commerce_event_sdk inbox COMMAND …

inbox   list the messages of an inbox, retry, discard, delete or fetch them"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names, and return its exit code."""
    if arguments[:1] == ["inbox"]:
        from commerce_event_sdk.inbox.command import main as inbox

        return inbox(arguments[1:])
    is_help = arguments[:1] in (["-h"], ["--help"])
    print(_USAGE, file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
