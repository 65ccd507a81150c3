"""Read bodies and write answers with bare ASGI, without request and response objects."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from commerce_event.core.problems import Problem
from commerce_event.http.body_budget import BodyShare
from commerce_event.http.problems import MEDIA_TYPE

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]
Headers = Mapping[bytes, bytes]  # names in lower case
Answer = Callable[[int, bytes, bytes], None]  # status, header lines but for the content-length, body

ON_HALF_CLOSE: Final = "commerce_event.on_half_close"  # in the scope: called when the caller will send no more
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}  # of all answers
BODY_TIME_S: Final = 30.0  # for the whole body of a request
BODY_IDLE_S: Final = 10.0  # between two pieces of a body
LINGER_TIME_S: Final = 5.0  # for the rest of a body after a problem
LINGER_IDLE_S: Final = 1.0  # between two pieces of it
_LINGER_MAX: Final = 64 * 1024 * 1024  # bytes of it
_CLOSE: Final = {"Connection": "close"}
_LENGTH_DIGITS: Final = 18
_BASE: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", MEDIA_TYPE.encode())

JSON_HEADER_LINES: Final = b"".join([b"%b: %b\r\n" % header for header in (*_BASE, _JSON)])

encode: Final = msgspec.json.Encoder().encode


class DisconnectedError(Exception):
    """The caller disconnected before it had sent the whole request."""


def check_encoding(encoding: bytes) -> None:
    """Raise Problem 415 for a compressed body."""
    if encoding.lower() not in {b"", b"identity"}:
        raise Problem(415, "Compressed bodies are not supported; send the body without a Content-Encoding.")


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int, share: BodyShare | None = None
) -> bytes:
    """Return the body of a request. ``share`` bounds the memory of all bodies.

    Raises Problem 413 as soon as it is known to exceed ``limit`` bytes, Problem 408 when it comes too slowly,
    Problem 503 when the share does not allow it, before a body of known length is read; DisconnectedError.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > _LENGTH_DIGITS or int(length) > limit):
        raise _too_large(limit, unread=True)
    if share is not None and length.isdigit():
        share.grow_to(int(length))
    pieces: list[bytes] = []
    size = 0
    now = asyncio.get_running_loop().time
    end = now() + BODY_TIME_S
    try:
        async with asyncio.timeout(BODY_IDLE_S) as timeout:
            while (message := await receive())["type"] == "http.request":
                more: bool = message.get("more_body", False)
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limit:
                    raise _too_large(limit, unread=more)
                if share is not None:
                    share.grow_to(size)
                if not more:
                    return b"".join(pieces)
                timeout.reschedule(min(end, now() + BODY_IDLE_S))
    except TimeoutError:
        raise Problem(408, "The body came too slowly; send it in one go.", headers=_CLOSE) from None
    raise DisconnectedError


async def until_gone(scope: Scope, receive: Receive) -> None:
    """Wait until the caller has disconnected, or has closed its side, after a request whose body is read."""
    gone = asyncio.Event()
    scope[ON_HALF_CLOSE] = gone.set

    async def until_disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    disconnected = asyncio.ensure_future(until_disconnected())
    disconnected.add_done_callback(lambda _: gone.set())
    try:
        await gone.wait()
    finally:
        disconnected.cancel()


async def answer(send: Send, status: int, content: Any) -> None:
    """Answer with JSON."""
    body = encode(content)
    headers = [*_BASE, _JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_problem(receive: Receive, send: Send, problem: Problem) -> None:
    """Answer with a problem."""
    body = encode(problem.body())
    headers = [*_problem_headers(problem), (b"content-length", b"%d" % len(body))]
    await answer_raw(receive, send, problem.status, body, headers)


def problem_header_lines(problem: Problem) -> bytes:
    """Return the headers of a problem as sent, but for the content-length."""
    return b"".join([b"%b: %b\r\n" % header for header in _problem_headers(problem)])


def _problem_headers(problem: Problem) -> RawHeaders:
    extra = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [*_BASE, _PROBLEM, *extra]


async def answer_raw(receive: Receive, send: Send, status: int, body: bytes, headers: RawHeaders) -> None:
    """Answer. With a ``connection: close``, give the caller time to read the answer before the connection closes."""
    closing = (b"connection", b"close") in headers
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": closing})
    if closing:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Discard what still arrives, for a while: closing on unread bytes would reset the connection, answer included."""
    now = asyncio.get_running_loop().time
    end = now() + LINGER_TIME_S
    left = _LINGER_MAX
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_IDLE_S) as timeout:
            more = True
            while more and left > 0:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                left -= len(message.get("body", b""))
                timeout.reschedule(min(end, now() + LINGER_IDLE_S))


def _too_large(limit: int, *, unread: bool) -> Problem:
    return Problem(413, f"The body has more than {limit} bytes.", headers=_CLOSE if unread else None)
