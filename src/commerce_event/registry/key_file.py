"""The secret key, which encrypts endpoint secrets: from the settings, or from a file next to the store."""

import os
from pathlib import Path
from typing import Final

from commerce_event.core.vault import VaultError, new_key, parse_key

_SIZE_MAX: Final = 1_024  # bytes; a key file has 48
_REMEDY: Final = "restore it from a backup, set COMMERCE_EVENT_SECRET_KEY, or delete it if no endpoint exists yet"


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
            self._text = _read(self._path) or new_key()
        self.key = parse_key(self._text)

    def save(self) -> None:
        """Write a new key durably, readable by its owner alone. Call it once the key is known to fit the store."""
        if self._path is None or self._path.exists():
            return
        part = self._path.with_name(self._path.name + ".part")  # of an earlier start, if it exists
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(self._text + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _read(path: Path) -> str:
    """Return the key in a file; an empty text without a file. Raises VaultError that names the file."""
    if not path.exists():
        return ""
    if not path.is_file():  # reading a FIFO would wait for ever
        raise VaultError(f"the key file {path} is not a regular file; {_REMEDY}")
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_MAX).decode("ascii").strip()
        parse_key(text)
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be read ({error.strerror}); change its permissions") from None
    except (UnicodeDecodeError, VaultError):
        what = "is empty" if path.stat().st_size == 0 else "does not hold a secret key"
        raise VaultError(f"the key file {path} {what}; {_REMEDY}") from None
    return text
