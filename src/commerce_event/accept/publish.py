"""Publish over HTTP: one event at the address of its type, or many at once. The hot path of the product."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from commerce_event.accept.answers import AcceptedView, BatchView, ItemView
from commerce_event.accept.batch import Batch, Item, read_batch
from commerce_event.accept.cloud_events import header_key
from commerce_event.accept.errors import InvalidKeyError
from commerce_event.accept.intake import Intake
from commerce_event.accept.parse import ParsedEvent, check_idempotency_key, parse_event, read_traceparent
from commerce_event.accept.pending_event import PendingEvent
from commerce_event.core import ids
from commerce_event.core.model import Key
from commerce_event.core.problems import Problem, RejectedError
from commerce_event.http.asgi import (
    JSON_LINES,
    Answer,
    DisconnectedError,
    Headers,
    Receive,
    Scope,
    Send,
    answer,
    answer_problem,
    check_encoding,
    encode,
    problem_lines,
    read_body,
)
from commerce_event.http.media_types import is_json, read_media_type
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import authenticate, check_client, check_role
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted

BATCH_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
PREFIX: Final = "/v1/events/"
_LOOP: Final = (
    "This is a delivery of this server, which would come back again and again; have the endpoint's URL lead elsewhere."
)
_KEY_HEADERS: Final = (b"idempotency-key", b"webhook-id")
_TURN_S: Final = 0.005  # of unwrapping events, before others have theirs


class Count(Protocol):
    """A counter of the metrics."""

    def inc(self, amount: float = 1, /) -> None: ...


class PublishCounters(Protocol):
    """What is counted of publishing."""

    @property
    def accepted(self) -> Count: ...

    @property
    def duplicates(self) -> Count: ...

    @property
    def refused(self) -> Count: ...

    @property
    def unreadable(self) -> Count: ...


class Publisher:
    """The two publishing calls, as bare ASGI."""

    prefix = PREFIX

    def __init__(
        self, registry: Registry, intake: Intake, counters: PublishCounters, *, body_max: int, installation_id: str
    ) -> None:
        """``body_max`` is in bytes; ``installation_id`` is how deliveries of this installation are recognised."""
        self._registry = registry
        self._intake = intake
        self._counters = counters
        self.body_max = body_max
        self._installation_id = installation_id.encode()
        self._unwrapping = asyncio.Lock()

    def take(self, name: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Begin what ``one`` does, with a request that is all there; ``answer`` is called once, now or later."""

        def stored(accepted: list[Accepted] | BaseException) -> None:
            try:
                if isinstance(accepted, BaseException):
                    raise accepted
                status, view = self._accepted(accepted[0])
            except Exception as error:
                refuse(error)
            else:
                answer(status, JSON_LINES, encode(view))

        def refuse(error: Exception) -> None:
            self._counters.refused.inc()
            problem = problem_of(error)
            answer(problem.status, problem_lines(problem), encode(problem.body()))

        try:
            key = self._caller(headers)
            _check_media(headers)
            draft = self._draft(name, body, headers, key)
            self._intake.put((draft,), stored)
        except Exception as error:
            refuse(error)

    def unreadable(self) -> None:
        """Count a request that was refused before anybody looked at what it asks for."""
        self._counters.unreadable.inc()

    async def one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/events/{EventType}`."""
        try:
            headers: Headers = dict(scope["headers"])
            key = self._caller(headers)
            _check_media(headers)
            body = await read_body(receive, headers, self.body_max)
            draft = self._draft(scope["path"][len(PREFIX) :], body, headers, key)
            accepted = (await self._intake.submit((draft,)))[0]
            await self._answer_one(send, accepted)
        except DisconnectedError:
            return
        except Exception as error:
            self._counters.refused.inc()
            await answer_problem(receive, send, problem_of(error))

    async def many(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/events`: JSON Lines, arrays, CloudEvents."""
        try:
            headers: Headers = dict(scope["headers"])
            key = self._caller(headers)
            check_encoding(headers.get(b"content-encoding", b""))
            body = await read_body(receive, headers, BATCH_BYTES_MAX)
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            batch = read_batch(
                content_type,
                headers,
                body,
                max_items=BATCH_MAX,
                max_bytes=BATCH_BYTES_MAX,
                max_event=self.body_max,
            )
            drafts = await self._drafts(batch, key, headers)
            answers = await self._submit([draft for draft in drafts if isinstance(draft, PendingEvent)])
            if _is_single(content_type, headers) and len(drafts) == 1:
                await self._answer_single(send, drafts[0], answers)
            else:
                await answer(send, 200, self._batch_view(drafts, answers))
        except DisconnectedError:
            return
        except Exception as error:
            self._counters.refused.inc()
            await answer_problem(receive, send, problem_of(error))

    def _caller(self, headers: Headers) -> Key:
        authorization = headers.get(b"authorization")
        key = authenticate(self._registry, None if authorization is None else authorization.decode("latin-1"))
        check_role(key, "publish")
        if headers.get(b"commerce-event-origin") == self._installation_id:
            raise Problem(400, _LOOP)
        return key

    def _draft(self, event_type: str, body: bytes, headers: Headers, key: Key) -> PendingEvent:
        _check_stated_type(headers, event_type)
        event = parse_event(event_type, body, max_bytes=self.body_max)
        check_client(key, event.client_id)
        traceparent = headers.get(b"traceparent")
        return _draft(
            event,
            _key_of_request(headers) or header_key(headers),
            None if traceparent is None else read_traceparent(traceparent.decode("latin-1")),
        )

    async def _drafts(self, batch: Batch, key: Key, headers: Headers) -> list[PendingEvent | Problem]:
        """Return the items as drafts, or why each is refused; all batches together take turns with everything else."""
        own_key = _key_of_request(headers)
        if own_key is not None and len(batch) > 1:
            raise InvalidKeyError("An idempotency key is for one event; give each of these an id of its own instead.")
        drafts: list[PendingEvent | Problem] = []
        async with self._unwrapping:
            now = asyncio.get_running_loop().time
            end = now() + _TURN_S
            for item in batch:
                drafts.append(self._checked(item, key, headers, own_key))
                if now() > end:
                    await asyncio.sleep(0)
                    end = now() + _TURN_S
        return drafts

    def _checked(
        self, item: Item | RejectedError, key: Key, headers: Headers, own_key: str | None
    ) -> PendingEvent | Problem:
        """Return an item of a batch as a pending event, or why it is refused."""
        try:
            if isinstance(item, RejectedError):
                raise item
            event = parse_event(item.type, item.body, max_bytes=self.body_max, data=item.data)
            check_client(key, event.client_id)
        except Problem as problem:
            return problem
        traceparent = item.traceparent or read_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        return _draft(event, own_key or item.idempotency_key, traceparent)

    async def _submit(self, drafts: Sequence[PendingEvent]) -> list[Accepted]:
        return await self._intake.submit(drafts) if drafts else []

    async def _answer_one(self, send: Send, accepted: Accepted) -> None:
        status, view = self._accepted(accepted)
        await answer(send, status, view)

    def _accepted(self, accepted: Accepted) -> tuple[int, AcceptedView]:
        """Return what is answered. Raises Problem 409."""
        if accepted.outcome == "conflict":
            raise _conflict(accepted)
        duplicate = accepted.outcome == "duplicate"
        self._count(accepted)
        return 200 if duplicate else 202, AcceptedView(ids.encode("evt", accepted.id), duplicate, accepted.deliveries)

    async def _answer_single(self, send: Send, draft: PendingEvent | Problem, answers: Sequence[Accepted]) -> None:
        if isinstance(draft, Problem):
            raise draft
        await self._answer_one(send, answers[0])

    def _batch_view(self, drafts: Sequence[PendingEvent | Problem], answers: Sequence[Accepted]) -> BatchView:
        remaining = iter(answers)
        items = []
        for index, draft in enumerate(drafts):
            item = _refused(index, draft) if isinstance(draft, Problem) else self._item(index, next(remaining))
            items.append(item)
        statuses = [item.status for item in items]
        refused = sum(status >= 400 for status in statuses)
        self._counters.refused.inc(refused)
        return BatchView(items, statuses.count(202), statuses.count(200), refused)

    def _item(self, index: int, accepted: Accepted) -> ItemView:
        if accepted.outcome == "conflict":
            return _refused(index, _conflict(accepted))
        self._count(accepted)
        duplicate = accepted.outcome == "duplicate"
        return ItemView(
            index=index,
            status=200 if duplicate else 202,
            id=ids.encode("evt", accepted.id),
            duplicate=duplicate,
            deliveries=accepted.deliveries,
        )

    def _count(self, accepted: Accepted) -> None:
        counters = self._counters
        (counters.accepted if accepted.outcome == "new" else counters.duplicates).inc()


def _check_media(headers: Headers) -> None:
    check_encoding(headers.get(b"content-encoding", b""))
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json" and not is_json(read_media_type(content_type.decode("latin-1"))):
        raise Problem(415, "Send the event as Content-Type: application/json.")


def _check_stated_type(headers: Headers, event_type: str) -> None:
    """A CloudEvent in binary mode names its type in a header too."""
    stated = headers.get(b"ce-type")
    if stated is not None and stated.rpartition(b".")[2] != event_type.encode():
        raise Problem(422, f"The header ce-type names another type than the address, {event_type[:100]}.")


def _draft(event: ParsedEvent, key: str | None, traceparent: str | None) -> PendingEvent:
    return PendingEvent(event.client_id, event.type, event.application_id, event.data, event.body, key, traceparent)


def _key_of_request(headers: Headers) -> str | None:
    """Return the idempotency key that a request gives, beside that of a CloudEvent. Raises InvalidKeyError."""
    for name in _KEY_HEADERS:
        if name in headers:
            return check_idempotency_key(_text(headers[name]))
    return None


def _is_single(content_type: str, headers: Headers) -> bool:
    """One CloudEvent: its sender reads the status alone."""
    return (
        b"ce-type" in headers
        or b"ce-specversion" in headers
        or (content_type.lower().startswith("application/cloudevents+json"))
    )


def _refused(index: int, problem: Problem) -> ItemView:
    errors = [{"pointer": fault.pointer, "message": fault.message} for fault in problem.faults]
    return ItemView(
        index=index, status=problem.status, title=problem.title, detail=problem.detail, errors=errors or None
    )


def _conflict(accepted: Accepted) -> Problem:
    first = ids.encode("evt", accepted.id)
    return Problem(409, f"This idempotency key was used for another event, {first}; choose a new key for a new event.")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidKeyError("The idempotency key is not UTF-8; choose one of printable ASCII characters.") from None
