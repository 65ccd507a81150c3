"""The receiver in a FastAPI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from commerce_event_sdk import starlette

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> APIRouter:
    """Return the routes ``path`` and ``path/EventType``.

    For ``app.include_router(webhook_routes("/webhooks", receiver))``.
    """
    return APIRouter(routes=starlette.webhook_routes(path, receiver))
