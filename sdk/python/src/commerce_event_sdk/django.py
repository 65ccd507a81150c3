"""The receiver in a Django project, under WSGI or ASGI."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path

from commerce_event_sdk.answer import NOT_POST, Answer, failure, too_large
from commerce_event_sdk.wsgi import content_length

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver


def webhook_routes(path: str, receiver: Receiver) -> list[URLPattern]:
    """Return the routes ``path`` and ``path/EventType``, for ``urlpatterns = webhook_routes("webhooks", receiver)``.

    The view is free from checks for CSRF tokens and logins: the signature proves who sends. A handler that is not
    async runs in the thread of the request, with Django's connection of that thread.
    """

    async def webhook(request: HttpRequest) -> HttpResponse:
        answer = await _answer(receiver, request)
        return HttpResponse(answer.body, status=answer.status, headers=answer.http_headers())

    webhook.csrf_exempt = True  # type: ignore[attr-defined]
    webhook.login_required = False  # type: ignore[attr-defined]
    return [re_path(rf"^{re.escape(path.strip('/'))}(?:/\w+)?/?$", webhook)]


async def _answer(receiver: Receiver, request: HttpRequest) -> Answer:
    if request.method != "POST":
        return NOT_POST
    limit = receiver.max_body_bytes
    try:
        expected = content_length(request.META) or 0
    except ValueError as error:
        return failure(400, str(error))
    if expected > limit:
        return too_large(limit)
    body = request.read(limit + 1)
    if len(body) < expected:
        return failure(400, "The body is shorter than content-length.")
    named = receiver.type_in_path(request.path)
    return await receiver.handle_async(request.headers, body, event_type=named, to_thread=_in_thread_of_the_request)


async def _in_thread_of_the_request(function: Callable[..., Any], *arguments: Any) -> Any:
    return await sync_to_async(function, thread_sensitive=True)(*arguments)
