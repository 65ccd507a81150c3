"""Receive events: verify the request, find the handler, and answer so that the sender repeats when it should.

What is answered:

====== ==========================================================================
status when
====== ==========================================================================
204    the handler has done its work, or no handler wants the event
202    the inbox has the event on disk; also for a repeat
400    the body is not JSON or breaks the contract
401    the signature or the static header is wrong or missing
405    the method is not POST
410    the handler raised Gone
413    the body is larger than ``max_body_bytes``
422    the event type is not named, or the sender gives no id that an inbox needs
500    the handler failed
501    no handler wants the event and ``unhandled="reject"``
503    the inbox cannot store it now, or the handler raised RetryLater
====== ==========================================================================

The sender repeats everything but 2xx and 410.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from commerce_event_sdk.answer import DONE, STORED, Answer, failure, too_large
from commerce_event_sdk.content_keys import CONTENT_KEYS, content_key
from commerce_event_sdk.delivery import Delivery, Gone, RetryLater
from commerce_event_sdk.event import Category, CommerceEvent, InvalidEventError, UnknownEvent
from commerce_event_sdk.handlers import Handler, HandlerDecorator, Handlers
from commerce_event_sdk.models import MODELS
from commerce_event_sdk.parsing import UnknownProperties, parse, parse_object
from commerce_event_sdk.signatures import TOLERANCE_S, InvalidSignatureError, Verifier

if TYPE_CHECKING:
    from commerce_event_sdk.asgi import AsgiApp
    from commerce_event_sdk.inbox import Inbox
    from commerce_event_sdk.wsgi import WsgiApp

E = TypeVar("E")
Headers = Mapping[str, str] | Iterable[tuple[str, str]]
LOG: Final = logging.getLogger("commerce_event_sdk")
MAX_BODY_BYTES: Final = 1_048_576
_COUNT_MAX: Final = 2**63


class Receiver:
    """Receives the events of one endpoint.

    ``secret`` or ``secrets`` (several while one is replaced) verify Standard Webhooks signatures; ``header`` is the
    (name, value) of a static header for senders without signatures. What is given must hold, all of it.

    ``inbox`` stores each event before the answer; a worker of the inbox calls the handlers then. Without an inbox the
    handler runs before the answer, which the sender awaits for five seconds.

    ``unhandled`` says what becomes of an event that no handler wants: ``accept`` (204, forgotten) or ``reject`` (501,
    repeated by the sender until there is a handler). ``unknown_properties`` of a body are kept in ``event.extra``,
    ignored, or rejected. ``content_keys`` names the properties that identify an event of a sender without ids.
    """

    def __init__(
        self,
        *,
        secret: str | None = None,
        secrets: Sequence[str] = (),
        header: tuple[str, str] | None = None,
        inbox: Inbox | None = None,
        unhandled: Literal["accept", "reject"] = "accept",
        unknown_properties: UnknownProperties = "keep",
        content_keys: Mapping[str, Sequence[str]] = CONTENT_KEYS,
        tolerance_s: float = TOLERANCE_S,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError without a secret or header, and InvalidSecretError."""
        all_secrets = [*([secret] if secret is not None else []), *secrets]
        if not all_secrets and header is None:
            raise ValueError("give a secret (whsec_…) or a static header, so that others cannot send events")
        if header is not None and not header[1]:
            raise ValueError("the static header has an empty value, which everybody could send")
        self.inbox = inbox
        self.max_body_bytes = max_body_bytes
        self._verifier = Verifier(all_secrets, tolerance_s) if all_secrets else None
        self._header = None if header is None else (header[0].lower(), header[1].encode())
        self._unhandled = unhandled
        self._unknown_properties = unknown_properties
        self._content_keys = content_keys
        self._clock = clock
        self._handlers = Handlers()

    @overload
    def on(self, selector: type[E], /) -> HandlerDecorator[E]: ...
    @overload
    def on(self, selector: Category | str, /, *, model: type[E]) -> HandlerDecorator[E]: ...
    @overload
    def on(self, selector: Category | str, /) -> HandlerDecorator[Any]: ...
    def on(self, selector: Any, /, *, model: Any = None) -> Any:
        """Register a handler for an event class, the name of a type, a category or ``*`` (everything).

        The most specific handler handles an event: by type, else by category, else ``*``. ``model`` is the class that
        it gets: an event class, ``dict``, or a pydantic model. Raises ValueError for a second handler.
        """

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self._handlers.add(selector, model, function)
            return function

        return add

    def handle(self, headers: Headers, body: bytes, *, event_type: str | None = None) -> Answer:
        """Take one request and return the answer. ``event_type`` counts when no header names the type."""
        try:
            delivery, handler, event = self._read(headers, body, event_type)
        except _Ended as ended:
            return ended.answer
        try:
            if self.inbox is not None:
                return self._stored(delivery, self.inbox.put(delivery, business_key(event, delivery)))
            _finish(handler.call(event, delivery))
        except Exception as error:  # whatever a handler or a database raises
            return self._failed(delivery, error)
        return DONE

    async def handle_async(self, headers: Headers, body: bytes, *, event_type: str | None = None) -> Answer:
        """Take one request and return the answer; a handler that is no coroutine runs in a thread."""
        try:
            delivery, handler, event = self._read(headers, body, event_type)
        except _Ended as ended:
            return ended.answer
        try:
            if self.inbox is not None:
                return self._stored(delivery, await self.inbox.put_async(delivery, business_key(event, delivery)))
            if inspect.iscoroutinefunction(handler.function):
                await handler.call(event, delivery)
            else:
                await _finish_async(await asyncio.to_thread(handler.call, event, delivery))
        except Exception as error:
            return self._failed(delivery, error)
        return DONE

    def dispatch(self, delivery: Delivery) -> None:
        """Call the handler of a delivery that was verified before, as a worker of an inbox does.

        Raises what the handler raises, and InvalidEventError for a body that the handler's class no longer fits.
        """
        handler = self._handlers.find(delivery.event_type)
        if handler is None:
            LOG.info("%s %s has no handler", delivery.event_type, delivery.message_id)
            return
        event = handler.read(delivery.event_type, delivery.body, self._unknown_properties)
        _finish(handler.call(event, delivery))

    def handles(self, event_type: str) -> bool:
        """Return whether a handler wants events of the type."""
        return self._handlers.find(event_type) is not None

    def asgi(self) -> AsgiApp:
        """Return the receiver as an ASGI application."""
        from commerce_event_sdk.asgi import AsgiApp

        return AsgiApp(self)

    def wsgi(self) -> WsgiApp:
        """Return the receiver as a WSGI application."""
        from commerce_event_sdk.wsgi import WsgiApp

        return WsgiApp(self)

    def _read(self, headers: Headers, body: bytes, named: str | None) -> tuple[Delivery, Handler, Any]:
        """Return the delivery of a request, its handler and its event. Raises _Ended."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lower = {name.lower(): value for name, value in pairs}
        message_id = lower.get("webhook-id")
        try:
            if len(body) > self.max_body_bytes:
                raise _Ended(too_large(self.max_body_bytes))
            self._verify(lower, body)
            event_type, handler = self._find_handler(lower, named, message_id)
            event = handler.read(event_type, body, self._unknown_properties)
            message_id = self._message_id(message_id, event_type, body)
        except InvalidEventError as error:
            errors = [{"pointer": pointer, "message": message} for pointer, message in error.errors]
            ended = _Ended(failure(400, "The body breaks the contract.", errors=errors))
        except _Ended as refused:
            ended = refused
        else:
            return _delivery(event_type, message_id, lower, body), handler, event
        if not ended.answer.is_success:
            LOG.warning("%s answered %d: %s", _printable(message_id), ended.answer.status, ended.answer.body.decode())
        raise ended

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        if self._header is not None:
            name, value = self._header
            if not hmac.compare_digest(headers.get(name, "").encode("utf-8", "surrogateescape"), value):
                raise _Ended(failure(401, f"The static header {name} is missing or has another value."))
        if self._verifier is not None:
            try:
                self._verifier.check(headers, body, self._clock())
            except InvalidSignatureError as error:
                raise _Ended(failure(401, f"The signature is refused: {error}.")) from None

    def _find_handler(
        self, headers: Mapping[str, str], named: str | None, message_id: str | None
    ) -> tuple[str, Handler]:
        event_type = headers.get("commerce-event-type", named)
        if not event_type:
            reason = "The event type is not named: send commerce-event-type, or end the path with the type."
            raise _Ended(failure(422, reason))
        handler = self._handlers.find(event_type)
        if handler is not None:
            return event_type, handler
        if self._unhandled == "reject":
            raise _Ended(failure(501, f"No handler wants {_printable(event_type)}."))
        LOG.info("%s %s has no handler", _printable(event_type), _printable(message_id))
        raise _Ended(DONE)

    def _message_id(self, webhook_id: str | None, event_type: str, body: bytes) -> str | None:
        if webhook_id is not None:
            return webhook_id
        found = content_key(event_type, parse_object(body), self._content_keys)
        if found is None and self.inbox is not None:
            reason = f"{event_type} came without webhook-id, and has no content key that recognises a repeat."
            raise _Ended(failure(422, reason))
        return found

    def _stored(self, delivery: Delivery, is_new: bool) -> Answer:
        LOG.debug("%s %s %s", delivery.event_type, delivery.message_id, "stored" if is_new else "is a repeat")
        return STORED

    def _failed(self, delivery: Delivery, error: Exception) -> Answer:
        name = _printable(delivery.message_id)
        if isinstance(error, Gone):
            LOG.warning("%s answered 410: %s", name, error)
            return failure(410, "This receiver wants no more events.")
        if isinstance(error, RetryLater):
            LOG.warning("%s answered 503: %s", name, error)
            return failure(503, "Try again later.", {"retry-after": str(max(0, math.ceil(error.after_s)))})
        if self.inbox is not None:
            LOG.error("%s was not stored", name, exc_info=error)
            return failure(503, "The event cannot be stored now.", {"retry-after": "1"})
        LOG.error("the handler of %s %s failed", delivery.event_type, name, exc_info=error)
        return failure(500, "The handler failed; send the event again.")


class _Ended(Exception):  # noqa: N818
    """A request that is answered before any handler runs."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def business_key(event: Any, delivery: Delivery) -> str | None:
    """Return what an event is about, whatever class the handler wants it in."""
    if isinstance(event, (CommerceEvent, UnknownEvent)):
        return event.business_key
    return parse(delivery.event_type, delivery.body).business_key


def type_in_path(path: str) -> str | None:
    """Return the event type that ends a path, such as ``/webhooks/OrderConfirmedEvent``; None without one."""
    last = path.rstrip("/").rpartition("/")[2]
    return last if last in MODELS else None


def _delivery(name: str, message_id: str | None, headers: Mapping[str, str], body: bytes) -> Delivery:
    return Delivery(
        event_type=name,
        message_id=message_id,
        body=body,
        headers=headers,
        attempt=_count(headers.get("commerce-event-attempt")),
        sequence=_count(headers.get("commerce-event-sequence")),
        is_replay="commerce-event-replay" in headers,
    )


def _count(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return int(text) if int(text) < _COUNT_MAX else None


def _printable(text: str | None) -> str:
    return "an event without id" if text is None else ascii(text[:200])[1:-1]


def _finish(result: Any) -> None:
    """Wait for the coroutine that an async handler returned."""
    if inspect.isawaitable(result):
        asyncio.run(_finish_async(result))


async def _finish_async(result: Awaitable[Any] | Any) -> None:
    if inspect.isawaitable(result):
        await result
