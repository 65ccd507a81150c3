"""What is shown once, such as a new key: a sealed cookie takes it past a redirect, so that a reload makes no other."""

import base64
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from commerce_event.core.clock import Clock
from commerce_event.core.vault import Vault, VaultError

COOKIE: Final = "commerce_event_reveal"
LIFETIME_S: Final = 60


class _Sealed(msgspec.Struct, frozen=True):
    text: str
    ends_ms: int


class Reveal:
    """Hands a text to the next look at one page, in one session; nobody else can open it, and nothing stores it."""

    def __init__(self, vault: Vault, clock: Clock, session: str) -> None:
        """``session`` is something that only this session has."""
        self._vault = vault
        self._clock = clock
        self._session = session

    def put(self, response: Response, path: str, text: str, *, secure: bool = False) -> None:
        """Let ``response``, a redirect to ``path``, carry the text. ``secure`` keeps it to TLS."""
        plain = msgspec.msgpack.encode(_Sealed(text, self._clock.now_ms() + LIFETIME_S * 1000))
        cookie = base64.urlsafe_b64encode(self._vault.seal(plain, self._context(path))).decode()
        response.set_cookie(
            COOKIE, cookie, max_age=LIFETIME_S, path=path, httponly=True, samesite="strict", secure=secure
        )

    def take(self, request: Request) -> str:
        """Return what this page is to show, empty when there is nothing. The answer deletes the cookie."""
        try:
            raw = base64.urlsafe_b64decode(request.cookies.get(COOKIE, ""))
            found = msgspec.msgpack.decode(self._vault.open(raw, self._context(request.url.path)), type=_Sealed)
        except (ValueError, VaultError, msgspec.DecodeError):
            return ""
        return found.text if self._clock.now_ms() < found.ends_ms else ""

    def _context(self, path: str) -> bytes:
        return f"reveal {self._session} {path}".encode()
