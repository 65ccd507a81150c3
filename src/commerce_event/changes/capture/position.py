"""Where a capture is: the place in the write-ahead log up to which the server has every change."""

import re
from typing import Final, NamedTuple, Self

_TEXT: Final = re.compile(r"(\d{1,20})/([0-9A-F]{8})/([0-9A-F]{16})/(\d{10})", re.ASCII)


class Position(NamedTuple):
    """The server has every transaction whose commit record begins before ``lsn``.

    Of the transaction whose commit record begins at ``lsn``, it has the first ``changes`` changes. ``system_id`` and
    ``timeline`` identify the database cluster and its history, after a failover or a restore.
    """

    system_id: int
    timeline: int
    lsn: int
    changes: int

    def __str__(self) -> str:
        return f"{self.system_id}/{self.timeline:08X}/{self.lsn:016X}/{self.changes:010d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError when the text is no position."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no position of a capture")
        return cls(int(found[1]), int(found[2], 16), int(found[3], 16), int(found[4]))


def lsn_text(lsn: int) -> str:
    """Return a log sequence number as PostgreSQL writes it, such as 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)
