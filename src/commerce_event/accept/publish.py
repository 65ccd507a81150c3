"""The publishing calls: `POST /v1/events/{EventType}` for one event, `POST /v1/events` for many. The hot path."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec import UNSET

from commerce_event.accept.answers import AcceptedView, BatchView, ItemView
from commerce_event.accept.batch import Batch, Item, RefusedItem, envelope_max, read_batch, read_cloud_event
from commerce_event.accept.cloud_events import event_type_name, header_key, invalid_member, is_binary_mode
from commerce_event.accept.commit_batcher import PartlyStoredError, PendingEvent
from commerce_event.accept.errors import InvalidKeyError
from commerce_event.accept.intake import Intake
from commerce_event.accept.parse import ModeOf, ParsedEvent, check_idempotency_key, parse_event, read_traceparent
from commerce_event.accept.refusals import RefusalRecorder, type_label
from commerce_event.accept.turns import Steps
from commerce_event.core import ids
from commerce_event.core.model import Key
from commerce_event.core.problems import Fault, Problem, RejectedError
from commerce_event.http.asgi import (
    JSON_HEADER_LINES,
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
    problem_header_lines,
    read_body,
)
from commerce_event.http.body_budget import BodyBudget, BodyShare
from commerce_event.http.media_types import is_json, read_media_type
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import authenticate, check_client, check_role
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted

BATCH_MAX: Final = 1_000  # events
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
PREFIX: Final = "/v1/events/"
_LOOP: Final = (
    "This is a delivery of this server, which would come back again and again; "
    "change the endpoint's URL to another server."
)
_KEY_HEADERS: Final = (b"idempotency-key", b"webhook-id")


class Count(Protocol):
    """A counter of the metrics."""

    def inc(self, amount: float = 1, /) -> None: ...


class PublishCounters(Protocol):
    """The metrics of publishing, in events."""

    @property
    def accepted(self) -> Count: ...

    @property
    def duplicates(self) -> Count: ...

    def refused(self, type_label: str, problem: Problem) -> None:
        """Count an event that was refused."""
        ...

    @property
    def warned(self) -> Count: ...


class Publisher:
    """The two publishing calls as bare ASGI; ``take`` is the first one without ASGI."""

    prefix = PREFIX

    def __init__(
        self,
        registry: Registry,
        intake: Intake,
        counters: PublishCounters,
        bodies: BodyBudget,
        refusals: RefusalRecorder,
        *,
        body_max: int,
        installation_id: str,
    ) -> None:
        """``body_max`` is in bytes. ``installation_id`` is what deliveries of this installation are recognised by."""
        self._registry = registry
        self._intake = intake
        self._counters = counters
        self._bodies = bodies
        self._refusals = refusals
        self.body_max = body_max
        self._installation_id = installation_id.encode()

    def take(self, name: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Do what ``publish_one`` does, for a complete request; ``answer`` is called once, now or later."""

        def refuse(error: Exception) -> None:
            problem = problem_of(error)
            self._count_refused(name, problem)
            answer(problem.status, problem_header_lines(problem), encode(problem.body()))

        try:
            key = self._authenticate(headers)
            pending = self._pending_event(name, body, headers, key)
            warnings = pending.warnings

            def finish(result: list[Accepted] | BaseException) -> None:
                try:
                    if isinstance(result, BaseException):
                        raise result
                    status, view = self._accepted(result[0], warnings)
                except Exception as error:
                    refuse(error)
                else:
                    answer(status, JSON_HEADER_LINES, encode(view))

            self._intake.put((pending,), finish)
        except Exception as error:
            refuse(error)

    async def publish_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/events/{EventType}`."""
        event_type = scope["path"][len(PREFIX) :]
        try:
            headers: Headers = dict(scope["headers"])
            key = self._authenticate(headers)
            limit = envelope_max(self.body_max) if _is_structured(headers) else self.body_max
            with self._bodies.share(key.owner) as share:
                body = await read_body(receive, headers, limit, share)
                pending = self._pending_event(event_type, body, headers, key)
                [accepted] = await self._intake.submit((pending,))
            await answer(send, *self._accepted(accepted, pending.warnings))
        except DisconnectedError:
            return
        except Exception as error:
            problem = problem_of(error)
            self._count_refused(event_type, problem)
            await answer_problem(receive, send, problem)

    async def publish_many(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/events`: JSON Lines, JSON arrays, CloudEvents."""
        event_type: str | None = None  # of a single event
        try:
            headers: Headers = dict(scope["headers"])
            key = self._authenticate(headers)
            check_encoding(headers.get(b"content-encoding", b""))
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            with self._bodies.share(key.owner) as share:
                checked = await self._read_batch(receive, headers, content_type, key, share)
                pending = [each for each in checked if isinstance(each, PendingEvent)]
                accepted = await self._store(pending) if pending else []
                del pending
            if not _is_single(content_type, headers) or len(checked) != 1:
                await answer(send, 200, self._batch_view(checked, accepted))
            elif isinstance(checked[0], Problem):
                await answer_problem(receive, send, checked[0])
            else:
                event_type = checked[0].type.name
                await answer(send, *self._accepted(accepted[0], checked[0].warnings))
        except DisconnectedError:
            return
        except Exception as error:
            problem = problem_of(error)
            self._count_refused(event_type, problem)
            await answer_problem(receive, send, problem)

    async def _read_batch(
        self, receive: Receive, headers: Headers, content_type: str, key: Key, share: BodyShare
    ) -> list[PendingEvent | Problem]:
        """Read a batch and check its events; return a problem for each that is refused."""
        batch = read_batch(
            content_type,
            headers,
            await read_body(receive, headers, BATCH_BYTES_MAX, share),
            max_items=BATCH_MAX,
            max_bytes=BATCH_BYTES_MAX,
            max_event=self.body_max,
        )
        own_key = _key_of_request(headers)
        if own_key is not None and len(batch) > 1:
            raise InvalidKeyError("An idempotency key is for one event; give each event of a batch its own id instead.")
        return await self._intake.turns.run(key.owner, self._check_steps(batch, key, headers, own_key))

    def _authenticate(self, headers: Headers) -> Key:
        authorization = headers.get(b"authorization")
        key = authenticate(self._registry, None if authorization is None else authorization.decode("latin-1"))
        check_role(key, "publish")
        if headers.get(b"commerce-event-origin") == self._installation_id:
            raise Problem(400, _LOOP)
        return key

    def _pending_event(self, event_type: str, body: bytes, headers: Headers, key: Key) -> PendingEvent:
        """Check the event of a request. Raises RejectedError or Problem."""
        if _is_structured(headers):
            item = self._unwrap(key, event_type, body)
            checked = self._check_item(item, key, headers, _key_of_request(headers))
            if isinstance(checked, Problem):
                raise checked
            return checked
        stated = headers.get(b"ce-type")  # of a CloudEvent in binary mode
        if stated is not None and event_type_name(stated.decode("latin-1")) != event_type:
            problem = Problem(422, f"The header ce-type names another type than the address, {event_type[:100]}.")
            self._refusals.record(key, event_type, body, problem)
            raise problem
        event = self._parse_or_record(key, event_type, body)
        traceparent = headers.get(b"traceparent")
        return to_pending(
            event,
            _key_of_request(headers) or header_key(headers),
            None if traceparent is None else read_traceparent(traceparent.decode("latin-1")),
        )

    def _unwrap(self, key: Key, event_type: str, body: bytes) -> Item:
        """Read a structured CloudEvent at the address of its type, and record it when it is refused.

        Raises RejectedError.
        """
        try:
            item = read_cloud_event(body)
        except RejectedError as refusal:
            self._refusals.record(key, None, body, refusal)
            raise
        if item.type != event_type:
            mismatch = invalid_member("type", f"names another event type than the address, {event_type[:100]}")
            self._refusals.record(key, item.type, item.body, mismatch)
            raise mismatch
        return item

    def _check_steps(
        self, batch: Batch, key: Key, headers: Headers, own_key: str | None
    ) -> Steps[list[PendingEvent | Problem]]:
        """Check the events of a batch and match them; return a problem for each that is refused.

        Each event is matched before the next is read, so that only one is decoded at a time.
        """
        checked: list[PendingEvent | Problem] = []
        for item in batch:
            event_type: str | None = None
            each: PendingEvent | Problem
            if isinstance(item, RefusedItem):
                self._refusals.record(key, None, item.body, item.error)
                each = item.error
            else:
                event_type, each = item.type, self._check_item(item, key, headers, own_key)
            del item
            yield
            if isinstance(each, PendingEvent):
                yield from self._intake.match_steps(each)
            else:
                self._count_refused(event_type, each)
            checked.append(each)
        return checked

    def _check_item(self, item: Item, key: Key, headers: Headers, own_key: str | None) -> PendingEvent | Problem:
        try:
            event = self._parse_or_record(key, item.type, item.body, item.data)
        except Problem as problem:
            problem.__context__ = problem.__cause__ = None
            return problem.with_traceback(None)  # it would keep the decoded event
        traceparent = item.traceparent or read_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        return to_pending(event, own_key or item.idempotency_key, traceparent)

    def _parse_or_record(self, key: Key, event_type: str, body: bytes, data: Any = UNSET) -> ParsedEvent:
        """Check an event, and record it when it is refused. ``data`` is the decoded body, if it is known.

        Raises RejectedError.
        """
        try:
            event = self._parse(event_type, body, self._registry.modes_for(key.scope), data)
        except RejectedError as refusal:
            self._refusals.record(key, event_type, body, refusal)
            raise
        check_client(key, event.client_id)
        return event

    def _parse(self, event_type: str, body: bytes, mode_of: ModeOf, data: Any = UNSET) -> ParsedEvent:
        return parse_event(
            event_type,
            body,
            max_bytes=self.body_max,
            data=data,
            catalogue=self._registry.catalogue,
            mode_of=mode_of,
        )

    def _count_refused(self, event_type: str | None, problem: Problem) -> None:
        self._counters.refused(type_label(event_type, self._registry.catalogue.types), problem)

    def _accepted(self, accepted: Accepted | Problem, warnings: tuple[Fault, ...]) -> tuple[int, AcceptedView]:
        """Count an accepted event; return status and body of its answer. Raises the problem, or Problem 409."""
        if isinstance(accepted, Problem):
            raise accepted
        if accepted.outcome == "conflict":
            raise _conflict(accepted)
        duplicate = accepted.outcome == "duplicate"
        (self._counters.duplicates if duplicate else self._counters.accepted).inc()
        if warnings and not duplicate:
            self._counters.warned.inc()
        view = AcceptedView(ids.encode("evt", accepted.id), duplicate, accepted.deliveries, warnings)
        return 200 if duplicate else 202, view

    async def _store(self, events: Sequence[PendingEvent]) -> list[Accepted | Problem]:
        """Store the events of a batch; return a problem for each that is not stored although others are."""
        try:
            return list(await self._intake.submit(events))
        except PartlyStoredError as error:
            if not isinstance(error.reason, Exception):
                raise error.reason from None
            problem = problem_of(error.reason)
            return [*error.answers, *[problem] * (len(events) - len(error.answers))]

    def _batch_view(
        self, checked: Sequence[PendingEvent | Problem], accepted: Sequence[Accepted | Problem]
    ) -> BatchView:
        remaining = iter(accepted)
        items = [
            _refused(index, each) if isinstance(each, Problem) else self._item(index, each, next(remaining))
            for index, each in enumerate(checked)
        ]
        statuses = [item.status for item in items]
        refused = sum(status >= 400 for status in statuses)
        return BatchView(items, statuses.count(202), statuses.count(200), refused)

    def _item(self, index: int, event: PendingEvent, accepted: Accepted | Problem) -> ItemView:
        try:
            status, view = self._accepted(accepted, event.warnings)
        except Problem as problem:
            self._count_refused(event.type.name, problem)
            return _refused(index, problem)
        return ItemView(
            index=index,
            status=status,
            id=view.id,
            duplicate=view.duplicate,
            deliveries=view.deliveries,
            warnings=view.warnings,
        )


def _is_structured(headers: Headers) -> bool:
    """Tell whether the body is a structured CloudEvent, not the event itself. Raises Problem 415 unless it is JSON."""
    check_encoding(headers.get(b"content-encoding", b""))
    content_type = headers.get(b"content-type", b"")
    if content_type == b"application/json" or (not content_type and is_binary_mode(headers)):
        return False
    media_type = read_media_type(content_type.decode("latin-1"))
    if media_type == "application/cloudevents-batch+json":
        raise Problem(415, "Send a batch of CloudEvents to POST /v1/events; this address takes one event.")
    if not is_json(media_type):
        raise Problem(415, "Send the event as Content-Type: application/json.")
    return media_type == "application/cloudevents+json"


def to_pending(event: ParsedEvent, key: str | None, traceparent: str | None) -> PendingEvent:
    """Return a parsed event as the intake takes it."""
    return PendingEvent(
        event.client_id,
        event.type,
        event.application_id,
        event.data,
        event.body,
        key,
        traceparent,
        warnings=event.warnings,
    )


def _key_of_request(headers: Headers) -> str | None:
    """Return the idempotency key of a request, unless it is that of a CloudEvent. Raises InvalidKeyError."""
    for name in _KEY_HEADERS:
        if name in headers:
            try:
                text = headers[name].decode()
            except UnicodeDecodeError:
                message = "The idempotency key is not UTF-8; choose one of printable ASCII characters."
                raise InvalidKeyError(message) from None
            return check_idempotency_key(text)
    return None


def _is_single(content_type: str, headers: Headers) -> bool:
    """Whether the request is one CloudEvent, whose sender reads only the status of the answer."""
    return (
        b"ce-type" in headers
        or b"ce-specversion" in headers
        or content_type.lower().startswith("application/cloudevents+json")
    )


def _refused(index: int, problem: Problem) -> ItemView:
    errors = [{"pointer": fault.pointer, "message": fault.message} for fault in problem.faults]
    return ItemView(
        index=index, status=problem.status, title=problem.title, detail=problem.detail, errors=errors or None
    )


def _conflict(accepted: Accepted) -> Problem:
    first = ids.encode("evt", accepted.id)
    return Problem(409, f"This idempotency key was used for another event, {first}; choose a new key for a new event.")
