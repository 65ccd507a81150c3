"""A correct receiver on this machine: it checks signatures, counts what arrived, and answers 503 now and then."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from commerce_event.core.clock import Clock
from commerce_event.core.signatures import InvalidSignatureError, verify

Message = MutableMapping[str, Any]

_REMEMBERED_MAX: Final = 200_000  # ids kept for each path; the demo has far fewer


class Receiver:
    """An ASGI application with a webhook URL for each path that has a secret."""

    def __init__(self, clock: Clock, *, fail_every: int = 0) -> None:
        """``fail_every`` is how often a first attempt is answered 503, to show retries: every n-th one; 0 for never."""
        self._clock = clock
        self._fail_every = fail_every
        self._seen = 0
        self.secrets: dict[str, str] = {}
        self.arrived: dict[str, Counter[str]] = {}  # path -> webhook-id -> how often it arrived
        self.refused = 0  # answered 503
        self.forged = 0  # wrong signatures
        self._next = asyncio.Event()  # set and replaced when a delivery arrives
        self.waiting = 0  # requests that are held
        self.held = asyncio.Event()  # set once a request waits for release
        self._open = asyncio.Event()
        self._open.set()

    @property
    def taken(self) -> int:
        return sum(ids.total() for ids in self.arrived.values())

    def add(self, path: str, secret: str) -> None:
        """Start to answer at a path."""
        self.secrets[path] = secret
        self.arrived[path] = Counter()

    async def next_taken(self) -> None:
        """Wait until the next delivery has arrived."""
        await self._next.wait()

    async def until_taken(self, count: int) -> None:
        """Wait until this many deliveries have arrived."""
        while self.taken < count:
            await self.next_taken()

    def hold(self) -> None:
        """Hold all answers until ``release``."""
        self.held.clear()
        self._open.clear()

    def release(self) -> None:
        """Answer held requests and new ones."""
        self._open.set()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        body = await _read(receive)
        if not self._open.is_set():
            self.held.set()
            self.waiting += 1
            await self._open.wait()
            self.waiting -= 1
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status = self._answer(scope["path"], headers, body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"thank you\n" if status == 200 else b"not now\n"})

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> int:
        secret = self.secrets.get(path)
        if secret is None:
            return 404
        try:
            verify([secret], headers, body, self._clock.now_ms() / 1000)
        except InvalidSignatureError:
            self.forged += 1
            return 401
        if self._should_fail(headers):
            self.refused += 1
            return 503
        arrived = self.arrived[path]
        if len(arrived) < _REMEMBERED_MAX:
            arrived[headers["webhook-id"]] += 1
        self._next.set()
        self._next = asyncio.Event()
        return 200

    def _should_fail(self, headers: dict[str, str]) -> bool:
        if not self._fail_every or headers.get("commerce-event-attempt") != "1":
            return False
        self._seen += 1
        return self._seen % self._fail_every == 0


async def _read(receive: Callable[[], Awaitable[Message]]) -> bytes:
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if not message.get("more_body", False):
            return body
