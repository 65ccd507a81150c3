"""Send requests of a check: bounded in time and in what is read, without redirects and cookies."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
import httpx

from commerce_event.http.connect_errors import connect_reason
from commerce_event.receiver_check.model import Answer, Request
from commerce_event.receiver_check.reasons import one_line, reason_of

_READ_MAX: Final = 64 * 1024  # bytes of an answer; what follows is not read
_PIECES: Final = 10  # of a slow body


class UnreachableError(Exception):
    """Nothing accepts connections at the URL."""


class HttpClient:
    """Sends requests to one URL, each on a connection of its own, as after a pause.

    It stands on a transport of httpx, which knows neither redirects nor cookies.
    """

    def __init__(self, url: str, timeout_s: float, options: Mapping[str, Any]) -> None:
        """``timeout_s`` is for a whole exchange. ``options`` are those of httpx for proxies and certificates."""
        self._url = url
        self._timeout_s = timeout_s
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx.AsyncHTTPTransport(**options, limits=limits)

    async def __aenter__(self) -> Self:
        await anyio.lowlevel.checkpoint()  # loads what httpx would load during the first request
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def send_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests at once; return their answers in the same order."""
        return list(await asyncio.gather(*map(self.send, requests)))

    async def send(self, request: Request) -> Answer:
        """Send a request. Every failure is an answer without a status."""
        started = time.monotonic()
        status, reason, error = None, "", ""
        try:
            async with asyncio.timeout(self._timeout_s):
                status, reason = await self._exchange(request)
        except TimeoutError:
            error = f"it took longer than {self._timeout_s:g} s"
        except httpx.NetworkError as failure:
            error = _network_reason(failure)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            error = one_line(str(failure) or type(failure).__name__)
        return Answer(status=status, duration_s=time.monotonic() - started, reason=reason, error=error)

    async def probe(self) -> None:
        """Send a GET request. Raises UnreachableError when nothing accepts the connection."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(Request(method="GET", headers=()))
        except httpx.ConnectError as failure:
            raise UnreachableError(_network_reason(failure)) from None
        except httpx.ProxyError as failure:
            raise UnreachableError(f"the proxy refused the connection: {one_line(str(failure))}") from None
        except (TimeoutError, httpx.HTTPError):
            return  # something is there; the rules tell what is wrong

    async def _exchange(self, request: Request) -> tuple[int, str]:
        """Return the status and what the answer says."""
        headers = [*request.headers]
        content: bytes | AsyncIterator[bytes] = request.body
        if request.send_s:
            headers.append(("content-length", str(len(request.body))))
            content = _slowly(request)
        response = await self._transport.handle_async_request(
            httpx.Request(request.method, self._url, headers=headers, content=content)
        )
        try:
            location = response.headers.get("location")
            if location is not None and 300 <= response.status_code <= 399:
                return response.status_code, one_line(f"a redirect to {location}")
            return response.status_code, reason_of(await _beginning(response))
        finally:
            await response.aclose()


def _network_reason(failure: httpx.NetworkError) -> str:
    reason = one_line(connect_reason(failure))
    return reason[:1].lower() + reason[1:]


async def _beginning(response: httpx.Response) -> bytes:
    """Return the body, cut."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) >= _READ_MAX:
            break
    return bytes(body[:_READ_MAX])


async def _slowly(request: Request) -> AsyncIterator[bytes]:
    size = max(1, -(-len(request.body) // _PIECES))
    for start in range(0, len(request.body), size):
        if start:
            await asyncio.sleep(request.send_s / (_PIECES - 1))
        yield request.body[start : start + size]
