"""A checksum that is the same for the same rows, whichever engine they were read from."""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from commerce_event.store.migrate_store.tables import Row

_ENCODER: Final = msgspec.msgpack.Encoder()


class Checksum:
    """Takes rows in the order of their key. Bytes count by their SHA-256, as the target hands them out."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, rows: Iterable[Row]) -> int:
        """Return how many rows these were."""
        encoded = [_ENCODER.encode(row) for row in rows]
        self._hash.update(b"".join(encoded))
        self.rows += len(encoded)
        return len(encoded)

    @property
    def text(self) -> str:
        return self._hash.hexdigest()


def sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
