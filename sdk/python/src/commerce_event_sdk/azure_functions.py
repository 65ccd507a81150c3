"""The receiver in an Azure Functions app (programming model v2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import azure.functions as func

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> func.Blueprint:
    """Return the routes ``path`` and ``path/EventType``.

    For ``app.register_functions(webhook_routes("webhooks", receiver))``.
    The address needs no function key: the signature proves who sends.
    """
    path = path.strip("/")
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("commerce_event_" + re.sub(r"\W", "_", path))
    @blueprint.route(path + "/{event_type?}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    async def webhook(req: func.HttpRequest) -> func.HttpResponse:
        named = receiver.type_in_path(urlsplit(req.url).path)
        answer = await receiver.handle_async(req.headers, req.get_body(), event_type=named)
        return func.HttpResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))

    return blueprint
