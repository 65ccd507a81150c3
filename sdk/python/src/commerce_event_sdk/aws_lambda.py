"""The receiver as an AWS Lambda function behind API Gateway (REST or HTTP API), a function URL or a load balancer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from commerce_event_sdk.answer import NOT_POST, Answer, failure

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver

Request = dict[str, Any]  # the event document of Lambda
Response = dict[str, Any]


def webhook_handler(receiver: Receiver) -> Callable[[Request, Any], Response]:
    """Return the function that Lambda calls: ``lambda_handler = webhook_handler(receiver)``."""

    def lambda_handler(event: Request, context: Any) -> Response:  # noqa: ARG001 - Lambda passes both
        answer = _answer(receiver, event)
        return {"statusCode": answer.status, "headers": answer.http_headers(), "body": answer.body.decode()}

    return lambda_handler


def _answer(receiver: Receiver, request: Request) -> Answer:
    """Raises ValueError for a call that is no HTTP request, such as one from the console."""
    http = request.get("requestContext", {}).get("http", {})
    method = request.get("httpMethod") or http.get("method")
    if method is None:
        raise ValueError("this is no HTTP request: call the function through API Gateway or a function URL")
    if method != "POST":
        return NOT_POST
    body = (request.get("body") or "").encode()
    if request.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            return failure(400, "The body is not base64.")
    path = request.get("rawPath") or request.get("path") or ""
    return receiver.handle(_headers(request), body, event_type=receiver.type_in_path(path))


def _headers(request: Request) -> Iterator[tuple[str, str]]:
    yield from (request.get("headers") or {}).items()
    for name, values in (request.get("multiValueHeaders") or {}).items():
        yield from ((name, value) for value in values)
