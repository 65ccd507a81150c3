"""Standard Webhooks signatures: HMAC-SHA256 (``v1``) and Ed25519 (``v1a``). https://www.standardwebhooks.com"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

Reason = Literal["missing_header", "bad_timestamp", "too_old", "too_new", "no_match"]
Check = Callable[[str, bytes], bool]  # (one signature of the header, signed text) -> whether it matches

TOLERANCE_S: Final = 300
_HMAC, _PUBLIC = "whsec_", "whpk_"
_HMAC_BYTES: Final = range(24, 65)
_PUBLIC_BYTES: Final = 32
_HEADER_MAX: Final = 4_096  # characters
_SIGNATURES_MAX: Final = 8
_TIMESTAMP: Final = re.compile(r"\d{1,12}", re.ASCII)
_ID: Final = re.compile(r"[!-\-/-~]{1,256}")  # a dot would let the signed text be split in another way
_REASONS: Final[dict[Reason, str]] = {
    "missing_header": "a webhook-id, webhook-timestamp or webhook-signature header is missing",
    "bad_timestamp": "webhook-timestamp is not a number of seconds",
    "too_old": "webhook-timestamp is too far in the past; compare the clocks",
    "too_new": "webhook-timestamp is in the future; compare the clocks",
    "no_match": "no signature matches the body and the secret",
}


class InvalidSecretError(ValueError):
    """The text is not a secret for signatures. The message never contains it."""


class InvalidSignatureError(Exception):
    """A request was not signed with one of the secrets, or not recently; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_REASONS[reason])
        self.reason: Reason = reason


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float = TOLERANCE_S,
    now_s: float | None = None,
) -> None:
    """Check that one of the secrets (``whsec_…``, or a public key ``whpk_…``) signed this request recently.

    ``body`` is the body as it came, before any parsing. Names of headers may be in any case.
    Raises InvalidSignatureError, and InvalidSecretError for an unusable secret.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    Verifier([secret] if isinstance(secret, str) else secret, tolerance_s).check(lower, body, now_s)


def sign(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the ``webhook-signature`` of a request for a ``whsec_…`` secret. Raises InvalidSecretError."""
    signed = b"%b.%d.%b" % (webhook_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.digest(_hmac_key(secret), signed, "sha256")).decode()


class Verifier:
    """Checks requests against the same secrets again and again."""

    def __init__(self, secrets: Sequence[str], tolerance_s: float = TOLERANCE_S) -> None:
        """Raises InvalidSecretError."""
        self._checks = [_check_of(secret) for secret in secrets]
        self._tolerance_s = tolerance_s

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float | None = None) -> None:
        """Raise InvalidSignatureError unless the request is signed. Names of headers are in lower case."""
        webhook_id = headers.get("webhook-id")
        timestamp = headers.get("webhook-timestamp")
        signatures = headers.get("webhook-signature")
        if not webhook_id or not timestamp or not signatures:
            raise InvalidSignatureError("missing_header")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise InvalidSignatureError("bad_timestamp")
        if not _ID.fullmatch(webhook_id) or not self._matches(f"{webhook_id}.{timestamp}.".encode() + body, signatures):
            raise InvalidSignatureError("no_match")
        age_s = (time.time() if now_s is None else now_s) - int(timestamp)
        if abs(age_s) > self._tolerance_s:
            raise InvalidSignatureError("too_old" if age_s > 0 else "too_new")

    def _matches(self, signed: bytes, signatures: str) -> bool:
        if len(signatures) > _HEADER_MAX or not signatures.isascii():
            return False
        given = signatures.split(" ")[:_SIGNATURES_MAX]
        return any(check(signature, signed) for signature in given for check in self._checks)


def _check_of(secret: str) -> Check:
    return _ed25519_check(secret) if secret.startswith(_PUBLIC) else _hmac_check(_hmac_key(secret))


def _hmac_check(key: bytes) -> Check:
    def check(signature: str, signed: bytes) -> bool:
        expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
        return hmac.compare_digest(expected, signature.encode())

    return check


def _ed25519_check(secret: str) -> Check:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise InvalidSecretError(
            "a whpk_ key needs the cryptography package; install it with: pip install 'commerce-event-sdk[ed25519]'"
        ) from None
    raw = _decode(secret, _PUBLIC)
    if len(raw) != _PUBLIC_BYTES:
        raise InvalidSecretError("a whpk_ key has 32 bytes in base64")
    public = Ed25519PublicKey.from_public_bytes(raw)

    def check(signature: str, signed: bytes) -> bool:
        try:
            public.verify(_decode(signature, "v1a,"), signed)
        except InvalidSignature:
            return False
        return True

    return check


def _hmac_key(secret: str) -> bytes:
    raw = _decode(secret, _HMAC)
    if len(raw) not in _HMAC_BYTES:
        raise InvalidSecretError("a secret is whsec_ and 24 to 64 bytes in base64; a public key begins with whpk_")
    return raw


def _decode(text: str, prefix: str) -> bytes:
    """Return the bytes behind the prefix; none when the text is not base64 in canonical form."""
    if not text.startswith(prefix):
        return b""
    try:
        raw = base64.b64decode(text[len(prefix) :], validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text[len(prefix) :] else b""
