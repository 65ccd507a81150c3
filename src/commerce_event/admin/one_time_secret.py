"""Values that are shown once, such as a new key: an encrypted cookie carries them past a redirect."""

import base64
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from commerce_event.core.clock import Clock
from commerce_event.core.vault import Vault, VaultError

COOKIE: Final = "commerce_event_one_time"
LIFETIME_S: Final = 60


class _Sealed(msgspec.Struct, frozen=True):
    text: str
    ends_ms: int


class OneTimeSecret:
    """Hands a text to the next request for one page of one session. No other session can open it; nothing is stored."""

    def __init__(self, vault: Vault, clock: Clock, session_id: str) -> None:
        self._vault = vault
        self._clock = clock
        self._session_id = session_id

    def put(self, response: Response, path: str, text: str, *, secure: bool = False) -> None:
        """Add the text to ``response``, a redirect to ``path``. ``secure`` sends the cookie over TLS only."""
        plain = msgspec.msgpack.encode(_Sealed(text, self._clock.now_ms() + LIFETIME_S * 1000))
        cookie = base64.urlsafe_b64encode(self._vault.seal(plain, self._context(path))).decode()
        response.set_cookie(
            COOKIE, cookie, max_age=LIFETIME_S, path=path, httponly=True, samesite="strict", secure=secure
        )

    def take(self, request: Request) -> str:
        """Return the text for this page, empty when there is none. The response deletes the cookie."""
        try:
            raw = base64.urlsafe_b64decode(request.cookies.get(COOKIE, ""))
            found = msgspec.msgpack.decode(self._vault.open(raw, self._context(request.url.path)), type=_Sealed)
        except (ValueError, VaultError, msgspec.DecodeError):
            return ""
        return found.text if self._clock.now_ms() < found.ends_ms else ""

    def _context(self, path: str) -> bytes:
        return f"one-time {self._session_id} {path}".encode()
