"""Standard Webhooks signatures: HMAC-SHA256 (``v1``) and Ed25519 (``v1a``). https://www.standardwebhooks.com"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from commerce_event.core.model import Signing

Reason = Literal["missing_header", "bad_timestamp", "too_old", "too_new", "no_match"]

TOLERANCE_S: Final = 300
_HMAC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_HMAC_BYTES: Final = range(24, 65)
_SEED_BYTES: Final = 32
_HEADER_MAX: Final = 4_096
_TOKENS_MAX: Final = 8
_TIMESTAMP: Final = re.compile(r"\d{1,12}", re.ASCII)
_ID: Final = re.compile(r"[!-\-/-~]+")
_REASONS: Final[dict[Reason, str]] = {
    "missing_header": "a webhook-id, webhook-timestamp or webhook-signature header is missing",
    "bad_timestamp": "webhook-timestamp is not a number of seconds",
    "too_old": "webhook-timestamp is too far in the past; compare the clocks",
    "too_new": "webhook-timestamp is in the future; compare the clocks",
    "no_match": "no signature matches the body and secret",
}


class InvalidSecretError(ValueError):
    """The text is not a signing secret of the required kind. The message never contains it."""


class InvalidSignatureError(Exception):
    """The request was not signed with one of the keys, or not recently; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_REASONS[reason])
        self.reason: Reason = reason


def new_secret(signing: Signing, *, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new secret: ``whsec_…`` for hmac, ``whsk_…`` for ed25519."""
    prefix = _HMAC if signing == "hmac" else _PRIVATE
    return prefix + base64.b64encode(random_bytes(_SEED_BYTES)).decode()


def public_key(secret: str) -> str:
    """Return the public key (``whpk_…``) of an ed25519 secret (``whsk_…``). Raises InvalidSecretError."""
    if not secret.startswith(_PRIVATE):
        raise InvalidSecretError("only an ed25519 secret (whsk_…) has a public key")
    return _PUBLIC + base64.b64encode(_private_key(secret).public_key().public_bytes_raw()).decode()


class Signer:
    """Signs with all secrets given, so that receivers can verify with the old or the new one during a rotation."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Raises InvalidSecretError."""
        self._signs = [_sign_function(secret) for secret in secrets]

    def header(self, webhook_id: str, timestamp_s: int, body: bytes) -> str:
        """Return the value of ``webhook-signature``: one signature for each secret, in their order."""
        signed = b"%b.%d.%b" % (webhook_id.encode(), timestamp_s, body)
        return " ".join([sign(signed) for sign in self._signs])


def verify(
    keys: Sequence[str], headers: Mapping[str, str], body: bytes, now_s: float, tolerance_s: float = TOLERANCE_S
) -> None:
    """Check that one of the keys (``whsec_…``, ``whsk_…`` or ``whpk_…``) signed this request recently.

    Raises InvalidSignatureError for any other request, and InvalidSecretError for an unusable key.
    """
    checks = [_verify_function(key) for key in keys]
    lower = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp, signatures = (lower.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not webhook_id or not timestamp or not signatures:
        raise InvalidSignatureError("missing_header")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise InvalidSignatureError("bad_timestamp")
    if not _ID.fullmatch(webhook_id):  # a dot would let the signed text be split in another way
        raise InvalidSignatureError("no_match")
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    if not any(check(token, signed) for token in _tokens(signatures) for check in checks):
        raise InvalidSignatureError("no_match")
    if int(timestamp) < now_s - tolerance_s:
        raise InvalidSignatureError("too_old")
    if int(timestamp) > now_s + tolerance_s:
        raise InvalidSignatureError("too_new")


def _tokens(header: str) -> list[tuple[str, bytes]]:
    """Return (version, signature) pairs, without unreadable ones; none when the header is too long."""
    if len(header) > _HEADER_MAX:
        return []
    pairs = (token.partition(",")[::2] for token in header.split(" ")[:_TOKENS_MAX])
    return [(version, signature) for version, text in pairs if (signature := _from_base64(text))]


def _sign_function(secret: str) -> Callable[[bytes], str]:
    if secret.startswith(_PRIVATE):
        private = _private_key(secret)
        return lambda signed: "v1a," + base64.b64encode(private.sign(signed)).decode()
    keyed = hmac.new(_hmac_key(secret), digestmod="sha256")

    def sign(signed: bytes) -> str:
        mac = keyed.copy()  # hmac.digest() would be shorter, but releases the interpreter lock for every event
        mac.update(signed)
        return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode()

    return sign


def _verify_function(key: str) -> Callable[[tuple[str, bytes], bytes], bool]:
    if key.startswith(_HMAC):
        secret = _hmac_key(key)
        return lambda token, signed: (
            token[0] == "v1" and hmac.compare_digest(token[1], hmac.digest(secret, signed, "sha256"))
        )
    public = _private_key(key).public_key() if key.startswith(_PRIVATE) else _public_key(key)
    return lambda token, signed: token[0] == "v1a" and _matches(public, token[1], signed)


def _matches(public: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _hmac_key(secret: str) -> bytes:
    raw = _decode(secret, _HMAC)
    if len(raw) not in _HMAC_BYTES:
        raise InvalidSecretError(f"a {_HMAC} secret has 24 to 64 bytes in base64")
    return raw


def _private_key(secret: str) -> Ed25519PrivateKey:
    raw = _decode(secret, _PRIVATE)
    if len(raw) != _SEED_BYTES:
        raise InvalidSecretError(f"a {_PRIVATE} secret has 32 bytes in base64")
    return Ed25519PrivateKey.from_private_bytes(raw)


def _public_key(key: str) -> Ed25519PublicKey:
    raw = _decode(key, _PUBLIC)
    if len(raw) != _SEED_BYTES:
        raise InvalidSecretError(f"a {_PUBLIC} key has 32 bytes in base64")
    return Ed25519PublicKey.from_public_bytes(raw)


def _decode(text: str, prefix: str) -> bytes:
    return _from_base64(text.removeprefix(prefix)) if text.startswith(prefix) else b""


def _from_base64(text: str) -> bytes:
    """Decode base64; return no bytes unless it is in canonical form, so that a signature has one form only."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
