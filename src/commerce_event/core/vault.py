"""Encrypt secrets at rest with AES-256-GCM, each bound to the row that it belongs to."""

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PREFIX: Final = "cek_"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_INSTALLATION_ID_DIGITS: Final = 16
_VERSION: Final = b"\x01"


class VaultError(Exception):
    """A sealed secret cannot be decrypted, or the key is malformed."""


class Vault:
    """Encrypts and decrypts with one key. ``installation_id`` is a hash of the key, which it does not reveal."""

    def __init__(self, key: bytes, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESGCM(key)
        self.installation_id = hashlib.sha256(b"commerce-event origin\n" + key).hexdigest()[:_INSTALLATION_ID_DIGITS]
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt. ``context`` names the row; decrypting takes the same one."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt. Raises VaultError for another key, another context or changed bytes."""
        start = len(_VERSION) + _NONCE_BYTES
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(sealed[1:start], sealed[start:], _VERSION + context)
        except (InvalidTag, ValueError):
            raise VaultError(
                "a stored secret cannot be decrypted; set COMMERCE_EVENT_SECRET_KEY to the key that it was encrypted "
                "with, or restore the .key file next to the store"
            ) from None


def new_key(*, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new key as text."""
    return _text(random_bytes(_KEY_BYTES))


def parse_key(text: str) -> bytes:
    """Return the bytes of a key. Raises VaultError; the message never contains the text."""
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX) + "=", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES or _text(raw) != text:
        raise VaultError(f"the secret key must be {_PREFIX} followed by 43 characters of base64")
    return raw


def _text(key: bytes) -> str:
    return _PREFIX + base64.urlsafe_b64encode(key).decode().rstrip("=")
