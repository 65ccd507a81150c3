"""Operations: every management call is described once, for its route and for the OpenAPI document."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from commerce_event.accept.batch import envelope_max
from commerce_event.accept.strict_json import load
from commerce_event.api.read_limits import SharedResponse, problem_response, run_in_turn
from commerce_event.api.response_models import NOT_AUDITED
from commerce_event.api.services import Services
from commerce_event.api.validation import convert
from commerce_event.api.waiting_calls import WaitingCall
from commerce_event.core import ids
from commerce_event.core.field_changes import find_changes
from commerce_event.core.model import AuditEntry, FieldChange, Key, Scope
from commerce_event.core.problems import Fault, Problem
from commerce_event.http.asgi import (
    HEADERS,
    DisconnectedError,
    check_encoding,
    encode,
    read_body,
    until_gone,
)
from commerce_event.http.body_budget import BodyShare
from commerce_event.http.media_types import is_json, read_media_type
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import Needed, authenticate, check_role
from commerce_event.store.port import StoreError
from commerce_event.web.origin import origin_of

BODY_MAX: Final = 256 * 1024  # bytes of a management call

log = structlog.get_logger(__name__)

T = TypeVar("T")


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Subject(msgspec.Struct, frozen=True):
    """What a call changes: an id or a name, and its client."""

    client_id: int | None
    target: str
    name: str | None = None  # what people call it
    detail: str | None = None  # what was done, in words
    changes: tuple[FieldChange, ...] = ()


class Call:
    """One request to an operation; query and body are already checked."""

    def __init__(
        self,
        services: Services,
        key: Key,
        path: Mapping[str, str],
        query: Any,
        body: Any,
        raw_body: bytes = b"",
        *,
        origin: str = "",
    ) -> None:
        self.services = services
        self.key = key
        self.path = path
        self.query = query
        self.body = body
        self.raw_body = raw_body  # as it was sent
        self.origin = origin  # of the server, as the caller has it
        self.subjects: list[Subject] = []  # for the audit log, once they are known

    def is_about(
        self,
        client_id: int | None,
        target: str,
        *,
        name: str | None = None,
        before: Any = None,
        after: Any = None,
        secret: Collection[str] = (),
        detail: str | None = None,
    ) -> None:
        """Set what the call changes, for the audit log.

        ``before`` and ``after`` are response models or objects of JSON. Their differences are kept, masked in the
        fields of ``secret``. None before: it is created; None after: it is deleted.
        """
        changes = find_changes(_audited(before), _audited(after), secret=secret)
        self.subjects = [Subject(client_id, target, name or None, detail, changes)]

    def is_about_all(self, subjects: Iterable[Subject]) -> None:
        """Set the things that the call changes, for the audit log: an entry for each."""
        self.subjects = list(subjects)

    @property
    def scope(self) -> Scope:
        return self.key.scope

    @property
    def now_ms(self) -> int:
        return self.services.clock.now_ms()

    def id(self, prefix: ids.Prefix, what: str) -> int:
        """Return the id in the path. Raises Problem 404 when it is not an id."""
        try:
            return ids.decode(prefix, self.path["id"])
        except ids.InvalidIdError:
            raise Problem(404, f"There is no such {what}.") from None


class Reply(msgspec.Struct, frozen=True):
    """The answer of a call."""

    content: Any
    status: int = 200
    headers: dict[str, str] = {}


Handler = Callable[[Call], Awaitable[Reply]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A management call. ``answers`` maps each success status to the type of the body."""

    method: str
    path: str
    name: str  # operationId
    summary: str
    description: str
    tag: str
    needs: Needed
    run: Handler
    answers: Mapping[int, Any]
    problems: tuple[int, ...] = ()
    query: type[msgspec.Struct] = NoParams
    body: type[msgspec.Struct] | None = None
    body_required: bool = True
    reads: bool = False  # although it is not a GET
    holds_event: bool = False  # the body may be as large as an event with its envelope
    wait: Callable[[Call], AbstractContextManager[WaitingCall] | None] | None = None  # for an entry of an empty list

    @property
    def is_read(self) -> bool:
        """Whether it only reads; then it ends when its caller has gone."""
        return self.reads or self.method == "GET"


async def perform(operation: Operation, call: Call) -> Reply:
    """Run a call, and write what it changed to the audit log. Raises Problem."""
    reply = await operation.run(call)
    if operation.method != "GET" and not operation.reads:
        for subject in call.subjects:
            await _write_audit_entry(operation.name, call, subject)
    return reply


async def _write_audit_entry(action: str, call: Call, subject: Subject) -> None:
    key, now_ms = call.key, call.now_ms
    entry = AuditEntry(
        id=call.services.ids.next(now_ms),
        at_ms=now_ms,
        client_id=subject.client_id,
        key_id=key.id,
        key_name=key.name,
        action=action,
        target=subject.target,
        detail=subject.detail,
        name=subject.name,
        changes=subject.changes,
    )
    log.info("changed", action=action, target=subject.target, key=ids.encode("key", key.id) if key.id else key.name)
    try:
        await call.services.store.audit_log.add(entry)
    except StoreError as error:  # the change is done, so the caller gets its answer
        log.error("an audit log entry is lost", action=action, target=subject.target, error=str(error))


def _audited(value: Any) -> dict[str, Any] | None:
    """Return the fields of a response model that a person can change."""
    if value is None:
        return None
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return {name: each for name, each in fields.items() if name not in NOT_AUDITED}


def endpoint_of(operation: Operation, services: Services) -> Callable[[Request], Awaitable[Response]]:
    """Return the HTTP handler of an operation."""

    async def handle(request: Request) -> Response:
        try:
            key = authenticate(services.registry, request.headers.get("authorization"))
            check_role(key, operation.needs)
            query = _read_query(operation, request)
            with services.bodies.share(key.owner) as share:
                raw = await _read_raw_body(operation, services, request, share)
                body = _read_body(operation, request, raw)
                call = Call(services, key, request.path_params, query, body, raw, origin=origin_of(request))
                if operation.is_read:
                    reply = await while_caller_waits(request, _read(operation, call, request))
                else:
                    reply = await perform(operation, call)
        except DisconnectedError:
            return Response(status_code=400)
        except Exception as error:
            return problem_response(problem_of(error))
        return SharedResponse(json_response(reply), services.bodies, key.owner)

    return handle


async def _read(operation: Operation, call: Call, request: Request) -> Reply:
    """Read in turn. A call that waits for an entry reads again each time there may be one, if its key still holds."""
    is_search = getattr(call.query, "q", None) is not None

    async def read() -> Reply:
        return await run_in_turn(call.services.reads, call.key, perform(operation, call), is_search=is_search)

    waiting = None if operation.wait is None else operation.wait(call)
    if waiting is None:
        return await read()
    with waiting as wait:  # begins before the first read, so that no event in between is missed
        reply = await read()
        while not reply.content.items and await wait.next_event():
            authenticate(call.services.registry, request.headers.get("authorization"))
            reply = await read()
        return reply


async def while_caller_waits(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run work that takes long; cancel it and raise DisconnectedError when the caller has gone."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_gone(request.scope, request.receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise DisconnectedError
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


def json_response(reply: Reply) -> Response:
    content = b"" if reply.content is None else encode(reply.content)
    media = None if reply.content is None else "application/json"
    return Response(content, reply.status, HEADERS | reply.headers, media)


def _read_query(operation: Operation, request: Request) -> Any:
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise Problem(
                422, f"The parameter {name[:60]} is given twice.", faults=[Fault(f"?{name[:60]}", "given twice")]
            )
        values[name] = value
    return convert(values, operation.query, where="?", strict=False)


async def _read_raw_body(operation: Operation, services: Services, request: Request, share: BodyShare) -> bytes:
    if operation.body is None:
        return b""
    headers = dict(request.headers.raw)
    check_encoding(headers.get(b"content-encoding", b""))
    limit = max(BODY_MAX, envelope_max(services.settings.max_body)) if operation.holds_event else BODY_MAX
    return await read_body(request.receive, headers, limit, share)


def _read_body(operation: Operation, request: Request, raw: bytes) -> Any:
    if operation.body is None:
        return None
    if not raw and not operation.body_required:
        return operation.body()
    if not is_json(read_media_type(request.headers.get("content-type", ""))):
        raise Problem(415, "Send the body as application/json.")
    return convert(load(raw), operation.body, where="")
