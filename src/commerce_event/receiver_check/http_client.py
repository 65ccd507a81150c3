"""Send requests of a check: bounded in time and in what is read, without redirects and cookies."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
import httpx

from commerce_event.core.receiver_text import receiver_line
from commerce_event.http.connect_errors import connect_reason
from commerce_event.receiver_check.model import Answer, Request
from commerce_event.receiver_check.reasons import one_line, reason_of

_READ_MAX: Final = 64 * 1024  # bytes of an answer; what follows is not read
_PIECES: Final = 10  # of a slow body


class UnreachableError(Exception):
    """Nothing accepts connections at the URL."""


class HttpClient:
    """Sends requests to one URL, each on a connection of its own, as after a pause."""

    def __init__(self, url: str, timeout_s: float, options: Mapping[str, Any]) -> None:
        """``timeout_s`` is for a whole exchange. ``options`` are those of httpx for proxies and certificates."""
        self._url = url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            **options,
            follow_redirects=False,
            timeout=timeout_s,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        await anyio.lowlevel.checkpoint()  # loads what httpx would load during the first request
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests at once; return their answers in the same order."""
        return list(await asyncio.gather(*map(self.send, requests)))

    async def send(self, request: Request) -> Answer:
        """Send a request. Every failure is an answer without a status."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, reason = await self._exchange(request)
                error = ""
        except (TimeoutError, httpx.TimeoutException):
            status, reason, error = None, "", f"it took longer than {self._timeout_s:g} s"
        except httpx.ConnectError as failure:
            status, reason, error = None, "", one_line(connect_reason(failure)).lower()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            status, reason, error = None, "", one_line(str(failure) or type(failure).__name__)
        return Answer(status=status, duration_s=time.monotonic() - started, reason=reason, error=error)

    async def probe(self) -> None:
        """Open a connection. Raises UnreachableError when that fails."""
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("GET", self._url):
                pass
        except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
            raise UnreachableError(one_line(connect_reason(failure)).lower()) from None
        except httpx.ProxyError as failure:
            raise UnreachableError(f"the proxy refused the connection ({one_line(str(failure))})") from None
        except (TimeoutError, httpx.HTTPError):
            return  # something is there; the rules tell what is wrong

    async def _exchange(self, request: Request) -> tuple[int, str]:
        headers = [*request.headers]
        content: bytes | AsyncIterator[bytes] = request.body
        if request.send_s:
            headers.append(("content-length", str(len(request.body))))
            content = _slowly(request)
        async with self._client.stream(request.method, self._url, headers=headers, content=content) as response:
            location = response.headers.get("location")
            if response.is_redirect and location is not None:
                return response.status_code, one_line(f"a redirect to {receiver_line(location.encode())}")
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= _READ_MAX:
                    break
        return response.status_code, reason_of(body[:_READ_MAX])


async def _slowly(request: Request) -> AsyncIterator[bytes]:
    size = max(1, -(-len(request.body) // _PIECES))
    for start in range(0, len(request.body), size):
        if start:
            await asyncio.sleep(request.send_s / (_PIECES - 1))
        yield request.body[start : start + size]
