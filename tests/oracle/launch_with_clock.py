"""Run the product with a wall clock that another process sets: `FILE BUG ARGUMENT...`.

FILE holds the offset in seconds. BUG is one of `tests/seeded_bugs`, or "none".
"""

import sys
import time
from pathlib import Path

_RE_READ_S = 0.2


class OtherTime:
    """The machine's wall clock and an offset, which is read five times a second."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._real = time.time_ns
        self._read_at = -1.0
        self._offset_ns = 0

    def __call__(self) -> int:
        now = time.monotonic()
        if now - self._read_at > _RE_READ_S:
            self._read_at = now
            self._offset_ns = int(self._file.read_text()) * 1_000_000_000
        return self._real() + self._offset_ns


if __name__ == "__main__":
    other = OtherTime(Path(sys.argv.pop(1)))
    time.time_ns = other
    time.time = lambda: other() / 1e9
    bug = sys.argv.pop(1)
    if bug != "none":
        sys.path += [str(Path(__file__).parent.parent / "seeded_bugs"), str(Path(__file__).parent)]
        from put_in import put_in

        put_in(bug)

    from commerce_event.cli.main import main

    main()
