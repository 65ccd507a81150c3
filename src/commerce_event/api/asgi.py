"""The bare ASGI that the accepting path is written in: no request or response objects between the bytes and us."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from commerce_event.api.operations import HEADERS, encode
from commerce_event.api.problems import MEDIA_TYPE, Problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_TIME_S: Final = 30.0  # for the whole body of a request
_BASE: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", MEDIA_TYPE.encode())


class DisconnectedError(Exception):
    """The caller went away before the whole request was there."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """Return the body of a request. Raises Problem 413 as soon as it is known to be too large, 408 when it dawdles."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > most:
            raise _too_large(most)
        return whole
    try:
        async with asyncio.timeout(BODY_TIME_S):
            return await _read_on(message, receive, most)
    except TimeoutError:
        raise Problem(
            408, f"The body did not arrive within {BODY_TIME_S:g} s.", headers={"Connection": "close"}
        ) from None


async def answer(send: Send, status: int, content: Any) -> None:
    """Answer with JSON."""
    await _send(send, status, encode(content), [*_BASE, _JSON])


async def answer_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem."""
    extra = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await _send(send, problem.status, encode(problem.body()), [*_BASE, _PROBLEM, *extra])


async def _read_on(message: Message, receive: Receive, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise DisconnectedError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _too_large(most: int) -> Problem:
    return Problem(413, f"The body has more than {most} bytes.", headers={"Connection": "close"})
