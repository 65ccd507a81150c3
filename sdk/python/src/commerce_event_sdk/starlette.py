"""The receiver in a Starlette application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> list[BaseRoute]:
    """Return the routes ``path`` and ``path/EventType``.

    For ``Starlette(routes=webhook_routes("/webhooks", receiver))``.
    """
    application = receiver.asgi()
    path = path.rstrip("/")
    return [
        Route(path or "/", application, include_in_schema=False),
        Route(path + "/{event_type}", application, include_in_schema=False),
    ]
