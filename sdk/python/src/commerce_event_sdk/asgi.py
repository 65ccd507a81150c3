"""The receiver as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from commerce_event_sdk.answer import NOT_POST, Answer, too_large

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiApp:
    """Takes POST requests on every path; the last part of the path may name the event type."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises RuntimeError for what is not HTTP, such as a WebSocket."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a receiver speaks HTTP only, not {scope['type']}")
        answer = await self._answer(scope, receive)
        if answer is None:
            return
        headers = [(name.encode(), value.encode()) for name, value in answer.http_headers().items()]
        if answer.status == 413 and scope.get("http_version", "1.1").startswith("1"):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """Return the answer; None when the sender went away before its body was complete."""
        if scope["method"] != "POST":
            return NOT_POST
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        body = await self._body(receive)
        if body is None or isinstance(body, Answer):
            return body
        named = self._receiver.type_in_path(scope["path"])
        return await self._receiver.handle_async(headers, body, event_type=named)

    async def _body(self, receive: Receive) -> bytes | Answer | None:
        """Read the body, and keep no more of it than the limit.

        As much again is read and dropped: a sender that is still writing when the connection closes would not see the
        answer.
        """
        limit = self._receiver.max_body_bytes
        pieces: list[bytes] = []
        size = 0
        more = True
        while more and size <= 2 * limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            more = message.get("more_body", False)
        return b"".join(pieces) if size <= limit else too_large(limit)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
