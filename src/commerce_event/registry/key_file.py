"""The secret key, which encrypts endpoint secrets: from the settings, or from a file next to the store."""

import os
from pathlib import Path

from commerce_event.core.vault import new_key, parse_key


class KeyFile:
    """The secret key and where it is kept. ``key`` holds its bytes."""

    def __init__(self, secret_key: str | None, store_path: Path | None) -> None:
        """Take ``secret_key``, or read the file next to the store, or make a new key when both are missing.

        ``store_path`` is None for a store on a server: the settings then hold the key. Raises VaultError.
        """
        self._path: Path | None = None
        self._text = secret_key or ""
        if not self._text and store_path is not None:
            database = store_path.resolve()
            self._path = database.with_name(database.name + ".key")
            self._text = self._path.read_text().strip() if self._path.exists() else new_key()
        self.key = parse_key(self._text)

    def save(self) -> None:
        """Write a new key durably, readable by its owner alone. Call it once the key is known to fit the store."""
        if self._path is None or self._path.exists():
            return
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(self._text + "\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
