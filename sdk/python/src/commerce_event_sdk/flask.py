"""The receiver in a Flask application."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from commerce_event_sdk.answer import Answer, too_large

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> Blueprint:
    """Return the routes ``path`` and ``path/EventType``.

    For ``app.register_blueprint(webhook_routes("/webhooks", receiver))``. Needs Flask 3.1 or newer.
    """
    path = path.rstrip("/")
    blueprint = Blueprint("commerce_event" + re.sub(r"\W", "_", path), __name__)

    @blueprint.post(path or "/")
    @blueprint.post(f"{path}/<event_type>")
    def webhook(event_type: str | None = None) -> Response:
        answer = _answer(receiver, event_type or "")
        return Response(answer.body, answer.status, answer.http_headers())

    return blueprint


def _answer(receiver: Receiver, last_part: str) -> Answer:
    request.max_content_length = receiver.max_body_bytes + 1  # Flask cuts a chunked body off at its limit
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        return too_large(receiver.max_body_bytes)
    return receiver.handle(request.headers, body, event_type=receiver.type_in_path(last_part))
