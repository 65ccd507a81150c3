"""The receiver in a Litestar application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import asgi

# Litestar reads the annotations of a handler when the application starts.
from litestar.types import Receive, Scope, Send

if TYPE_CHECKING:
    from litestar.handlers import ASGIRouteHandler

    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> list[ASGIRouteHandler]:
    """Return the routes ``path`` and ``path/EventType``, for ``Litestar(webhook_routes("/webhooks", receiver))``."""
    application: Any = receiver.asgi()

    async def webhook(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)

    return [asgi(path, is_mount=True, opt={"exclude_from_csrf": True}, copy_scope=True)(webhook)]
