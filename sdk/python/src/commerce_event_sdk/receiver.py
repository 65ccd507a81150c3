"""Receive events: verify the request, find the handler, and answer so that the sender repeats when it should.

What is answered:

====== ==========================================================================
status when
====== ==========================================================================
204    the handler has done its work, or no handler wants the event
202    the inbox has the event on disk; also for a repeat
400    the body is not JSON, is incomplete or breaks the contract, or webhook-id is malformed
401    the signature or the static header is wrong or missing
405    the method is not POST
410    the handler raised Gone
413    the body is larger than ``max_body_bytes``
422    the event type is not named, or the sender gives no id that an inbox needs
500    the handler failed
501    no handler wants the event and ``unhandled="reject"``
503    the inbox cannot store it now, or the handler raised RetryLater
====== ==========================================================================

The sender repeats everything but 2xx and 410. A failure has a ``reason`` in its body and a line in the log.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, overload

from commerce_event_sdk.answer import DONE, STORED, Answer, failure, too_large
from commerce_event_sdk.content_keys import CONTENT_KEYS, business_key, content_key
from commerce_event_sdk.delivery import NAME, Delivery, Gone, RetryLater
from commerce_event_sdk.event import Category, InvalidEventError
from commerce_event_sdk.handlers import Handler, HandlerDecorator, Handlers, RunningLoopError, ToThread
from commerce_event_sdk.models import MODELS
from commerce_event_sdk.parsing import UnknownProperties, parse_object
from commerce_event_sdk.signatures import TOLERANCE_S, InvalidSignatureError, Verifier

if TYPE_CHECKING:
    from commerce_event_sdk.asgi import AsgiApp
    from commerce_event_sdk.inbox import Inbox
    from commerce_event_sdk.wsgi import WsgiApp

E = TypeVar("E")
Headers = Mapping[str, str] | Iterable[tuple[str, str]]
LOG: Final = logging.getLogger("commerce_event_sdk")
MAX_BODY_BYTES: Final = 1_048_576
SENDER_TIMEOUT_S: Final = 5
_COUNT: Final = re.compile(r"[0-9]{1,18}")
_PROOFS: Final = frozenset({"webhook-signature", "authorization"})  # headers that no handler and no table gets
_UNHANDLED: Final = ("accept", "reject")
_UNKNOWN_PROPERTIES: Final = ("keep", "ignore", "reject")
_HANDLER_FAILED: Final = failure(500, "The handler failed; send the event again.")


class Receiver:
    """Receives the events of one endpoint.

    ``secret`` or ``secrets`` (several while one is replaced) verify Standard Webhooks signatures; ``header`` is the
    (name, value) of a static header for senders without signatures. What is given must hold, all of it.

    The ``webhook-id`` of a request recognises repeats. A static header alone proves who sends, as well for the id as
    for the body, so the id counts then too; neither is protected against change on the way but by TLS.

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
        if header is not None and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", header[1]):
            raise ValueError("the value of the static header must be printable ASCII without spaces around it")
        if unhandled not in _UNHANDLED or unknown_properties not in _UNKNOWN_PROPERTIES:
            raise ValueError(f"unhandled is one of {_UNHANDLED}, unknown_properties one of {_UNKNOWN_PROPERTIES}")
        self.inbox = inbox
        self.max_body_bytes = max_body_bytes
        self._verifier = Verifier(all_secrets, tolerance_s) if all_secrets else None
        self._header = None if header is None else (header[0].lower(), header[1].encode())
        self._proofs = _PROOFS if self._header is None else _PROOFS | {self._header[0]}
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
        """Take one request and return the answer. ``event_type`` counts when no header names the type.

        Every request gets an answer. Raises RuntimeError only for an async handler where an event loop
        runs: await ``handle_async`` there.
        """
        request = self._read(headers, body, event_type)
        if isinstance(request, Answer):
            return request
        delivery = request.delivery
        try:
            if self.inbox is not None:
                return _stored(delivery, self.inbox.put(delivery, request.business_key))
            request.handler.run(request.event, delivery)
        except RunningLoopError:
            raise
        except Exception as error:  # a handler or a database may raise anything
            return self._failed(delivery, error)
        return self._done(request)

    async def handle_async(
        self,
        headers: Headers,
        body: bytes,
        *,
        event_type: str | None = None,
        to_thread: ToThread = asyncio.to_thread,
    ) -> Answer:
        """Take one request and return the answer; ``to_thread`` calls a handler that is not async."""
        request = self._read(headers, body, event_type)
        if isinstance(request, Answer):
            return request
        delivery = request.delivery
        try:
            if self.inbox is not None:
                return _stored(delivery, await self.inbox.put_async(delivery, request.business_key))
            await request.handler.run_async(request.event, delivery, to_thread)
        except Exception as error:
            return self._failed(delivery, error)
        return self._done(request)

    def dispatch(self, delivery: Delivery) -> None:
        """Call the handler of a delivery that was verified before, as a worker of an inbox does.

        Raises what the handler raises, and InvalidEventError for a body that the handler's class no longer fits.
        """
        handler = self._handlers.find(delivery.event_type)
        if handler is None:
            LOG.info("%s %s has no handler", delivery.event_type, delivery.message_id)
            return
        data = parse_object(delivery.body)
        handler.run(handler.read(delivery.event_type, delivery.body, data, self._unknown_properties), delivery)

    def type_in_path(self, path: str) -> str | None:
        """Return the event type that ends a path, such as ``/webhooks/OrderConfirmedEvent``; None without one.

        Known are the types of the contract, and those that have a handler of their own.
        """
        last = path.rstrip("/").rpartition("/")[2]
        return last if last in MODELS or self._handlers.has_type(last) else None

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

    def _read(self, headers: Headers, body: bytes, named: str | None) -> _Request | Answer:
        """Return what a request holds for a handler, or the answer to one that no handler gets."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lower = {name.lower(): value for name, value in pairs}
        try:
            return self._request(lower, body, named)
        except _Refused as refused:
            answer = refused.answer
        except InvalidEventError as error:
            errors = [{"pointer": pointer, "message": message} for pointer, message in error.errors]
            answer = failure(400, "The body breaks the contract.", errors=errors)
        except Exception:  # a model of the user's own
            LOG.exception("the model of %s failed", _id_for_log(lower.get("webhook-id")))
            return _HANDLER_FAILED
        LOG.warning("%s answered %d: %s", _id_for_log(lower.get("webhook-id")), answer.status, answer.body.decode())
        return answer

    def _request(self, headers: Mapping[str, str], body: bytes, named: str | None) -> _Request | Answer:
        """Raises _Refused and InvalidEventError."""
        if len(body) > self.max_body_bytes:
            raise _Refused(too_large(self.max_body_bytes))
        self._verify(headers, body)
        webhook_id = headers.get("webhook-id")
        if webhook_id is not None and not NAME.fullmatch(webhook_id):
            raise _Refused(failure(400, "webhook-id must be 1 to 256 visible ASCII characters."))
        event_type = headers.get("commerce-event-type") or named
        if not event_type or not NAME.fullmatch(event_type):
            reason = "The event type is not named: send commerce-event-type, or end the path with the type."
            raise _Refused(failure(422, reason))
        handler = self._handlers.find(event_type)
        if handler is None:
            if self._unhandled == "reject":
                raise _Refused(failure(501, f"No handler wants {event_type}."))
            LOG.info("%s %s has no handler", event_type, _id_for_log(webhook_id))
            return DONE
        data = parse_object(body)
        event = handler.read(event_type, body, data, self._unknown_properties)
        message_id = webhook_id or content_key(event_type, data, self._content_keys)
        if message_id is None and self.inbox is not None:
            reason = f"{event_type} came without webhook-id, and has no content key that recognises a repeat."
            raise _Refused(failure(422, reason))
        delivery = Delivery(
            event_type=event_type,
            message_id=message_id,
            body=body,
            headers={name: value for name, value in headers.items() if name not in self._proofs},
            attempt=_count(headers.get("commerce-event-attempt")),
            sequence=_count(headers.get("commerce-event-sequence")),
            is_replay="commerce-event-replay" in headers,
        )
        key = None if self.inbox is None else business_key(event_type, data)
        return _Request(delivery, handler, event, key, self._clock())

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        if self._header is not None:
            name, value = self._header
            if not hmac.compare_digest(headers.get(name, "").encode("utf-8", "surrogatepass"), value):
                raise _Refused(failure(401, f"The static header {name} is missing or has another value."))
        if self._verifier is not None:
            try:
                self._verifier.check(headers, body, self._clock())
            except InvalidSignatureError as error:
                raise _Refused(failure(401, f"The signature is refused: {error}.")) from None

    def _done(self, request: _Request) -> Answer:
        duration_s = self._clock() - request.started_s
        if duration_s > SENDER_TIMEOUT_S:
            LOG.warning(
                "the handler of %s %s took %.1f s, but the sender waits for %d s and sends the event again; "
                "let an inbox answer first: Receiver(inbox=Inbox.sqlite(…))",
                request.delivery.event_type,
                _id_for_log(request.delivery.message_id),
                duration_s,
                SENDER_TIMEOUT_S,
            )
        return DONE

    def _failed(self, delivery: Delivery, error: Exception) -> Answer:
        name = _id_for_log(delivery.message_id)
        if self.inbox is not None:
            LOG.error("%s was not stored", name, exc_info=error)
            return failure(503, "The event cannot be stored now.", {"retry-after": "1"})
        if isinstance(error, Gone):
            LOG.warning("%s answered 410: %s", name, error)
            return failure(410, "This receiver wants no more events.")
        if isinstance(error, RetryLater):
            LOG.warning("%s answered 503: %s", name, error)
            return failure(503, "Try again later.", {"retry-after": str(math.ceil(error.after_s))})
        LOG.error("the handler of %s %s failed", delivery.event_type, name, exc_info=error)
        return _HANDLER_FAILED


class _Request(NamedTuple):
    """A verified request, and the handler that its event is for."""

    delivery: Delivery
    handler: Handler
    event: Any
    business_key: str | None
    started_s: float


class _Refused(Exception):  # noqa: N818
    """A request that no handler gets."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _stored(delivery: Delivery, is_new: bool) -> Answer:
    LOG.debug("%s %s %s", delivery.event_type, delivery.message_id, "stored" if is_new else "is a repeat")
    return STORED


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None


def _id_for_log(webhook_id: str | None) -> str:
    """Return an id that is not checked yet as printable text of one line."""
    return "an event without id" if webhook_id is None else ascii(webhook_id[:200])[1:-1]
