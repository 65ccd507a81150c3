"""Sessions: an encrypted cookie names the key that signed in. Every node can read it; only sign-outs are stored."""

import base64
import hmac
import secrets
from typing import Final

import msgspec

from commerce_event.core.clock import Clock
from commerce_event.core.model import Key
from commerce_event.core.vault import Vault, VaultError
from commerce_event.registry.registry import Registry

COOKIE: Final = "commerce_event_session"
LIFETIME_S: Final = 12 * 3600
_CONTEXT: Final = b"session"
_DIGEST_BYTES: Final = 8  # the end of a portal link's digest is the same for all


class Session(msgspec.Struct, frozen=True):
    """A signed-in person. ``csrf`` must be sent with every form."""

    key: Key
    csrf: str
    id: str
    ends_ms: int

    def allows(self, token: str) -> bool:
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class _CookieContent(msgspec.Struct, frozen=True):
    key_id: int
    digest: bytes  # the beginning of the key's digest: another key may have got the same id
    ends_ms: int
    csrf: str
    id: str


class Sessions:
    """Writes and reads the session cookie."""

    def __init__(self, registry: Registry, vault: Vault, clock: Clock) -> None:
        self._registry = registry
        self._vault = vault
        self._clock = clock

    def new_cookie(self, key: Key) -> str:
        """Return the cookie of a new session with this key, which ends with the key at the latest."""
        ends_ms = self._clock.now_ms() + LIFETIME_S * 1000
        if key.expires_ms is not None:
            ends_ms = min(ends_ms, key.expires_ms)
        content = _CookieContent(
            key.id, key.digest[:_DIGEST_BYTES], ends_ms, secrets.token_urlsafe(24), secrets.token_hex(16)
        )
        return base64.urlsafe_b64encode(self._vault.seal(msgspec.msgpack.encode(content), _CONTEXT)).decode()

    def read(self, cookie: str | None) -> Session | None:
        """Return the session and note the use of its key; None when the session or its key has ended."""
        if not cookie:
            return None
        try:
            raw = base64.urlsafe_b64decode(cookie)
            found = msgspec.msgpack.decode(self._vault.open(raw, _CONTEXT), type=_CookieContent)
        except (ValueError, VaultError, msgspec.DecodeError):
            return None
        if self._clock.now_ms() >= found.ends_ms or self._registry.has_ended(found.id):
            return None
        key = self._registry.key(found.key_id)
        if key is None or key.digest[:_DIGEST_BYTES] != found.digest:
            return None
        self._registry.note_use(key.id)
        return Session(key, found.csrf, found.id, found.ends_ms)

    async def end(self, session: Session) -> None:
        """End the session for every copy of its cookie: here at once, on other nodes within a second."""
        await self._registry.end_session(session.id, ends_ms=session.ends_ms, now_ms=self._clock.now_ms())
