"""The two calls that take changes: `POST /v1/changes`, and `POST /v1/changes/debezium` for rows of a change source."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from commerce_event.accept.batch import Piece, split_documents
from commerce_event.accept.intake import Intake
from commerce_event.accept.publish import BATCH_BYTES_MAX, BATCH_MAX, Count
from commerce_event.accept.turns import Steps
from commerce_event.changes.answers import PositionProblem, batch_view, change_view, conflict_as_problem
from commerce_event.changes.change_intake import ChangeIntake, size_of
from commerce_event.changes.debezium import read_debezium
from commerce_event.changes.errors import ChangeTooLargeError, InvalidChangeError, UnknownSourceError
from commerce_event.changes.evaluation import ChangeAnswer
from commerce_event.changes.read import read_change
from commerce_event.core.changes.model import Change, ChangeSource
from commerce_event.core.changes.sources import map_row
from commerce_event.core.model import Key
from commerce_event.core.problems import Fault, Problem
from commerce_event.http.asgi import (
    DisconnectedError,
    Headers,
    Receive,
    Scope,
    Send,
    answer,
    answer_problem,
    answer_raw,
    check_encoding,
    encode,
    read_body,
)
from commerce_event.http.body_budget import BodyBudget, BodyShare
from commerce_event.http.media_types import is_json, read_media_type
from commerce_event.http.problems import MEDIA_TYPE, problem_of
from commerce_event.registry.authentication import NotAllowedError, authenticate, check_client, check_role
from commerce_event.registry.registry import Registry
from commerce_event.store.model import PositionWrite
from commerce_event.store.port import PositionChangedError

PATH: Final = "/v1/changes"
DEBEZIUM_PATH: Final = "/v1/changes/debezium"
_POSITION_MAX: Final = 200
_PARTS_MAX: Final = 10_000  # in a request; a change that lists none counts as one
_PARAMETERS: Final = ("source", "after", "position")

T = TypeVar("T")
Take = Callable[[Key, Scope, Headers, Receive, Send, BodyShare], Awaitable[None]]


class ChangeCounters(Protocol):
    """The metrics of changes."""

    @property
    def accepted_changes(self) -> Count: ...

    @property
    def duplicate_changes(self) -> Count: ...

    @property
    def unmapped_changes(self) -> Count: ...

    @property
    def raised_notifications(self) -> Count: ...

    def refused_change(self, problem: Problem) -> None:
        """Count a change that was refused."""
        ...


class ChangeReceiver:
    """The calls as bare ASGI."""

    def __init__(
        self,
        registry: Registry,
        intake: Intake,
        change_intake: ChangeIntake,
        counters: ChangeCounters,
        bodies: BodyBudget,
        *,
        change_max: int,
    ) -> None:
        """``change_max`` is in bytes: of one change."""
        self._registry = registry
        self._intake = intake
        self._change_intake = change_intake
        self._counters = counters
        self._bodies = bodies
        self._change_max = change_max

    async def receive_changes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/changes`: one object, an array, or JSON Lines."""
        await self._answer_to(self._take_changes, scope, receive, send)

    async def receive_debezium(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/changes/debezium?source=NAME`: envelopes of Debezium, stored all together or not at all."""
        await self._answer_to(self._take_debezium, scope, receive, send)

    async def _answer_to(self, take: Take, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers: Headers = dict(scope["headers"])
            authorization = headers.get(b"authorization")
            key = authenticate(self._registry, None if authorization is None else authorization.decode("latin-1"))
            check_role(key, "publish")
            check_encoding(headers.get(b"content-encoding", b""))
            with self._bodies.share(_owner_of(key)) as share:
                await take(key, scope, headers, receive, send, share)
        except DisconnectedError:
            return
        except PositionChangedError as error:
            await _answer_position(receive, send, error)
        except Exception as error:
            problem = problem_of(error)
            self._counters.refused_change(problem)
            await answer_problem(receive, send, problem)

    async def _take_changes(
        self, key: Key, _scope: Scope, headers: Headers, receive: Receive, send: Send, share: BodyShare
    ) -> None:
        body = await read_body(receive, headers, BATCH_BYTES_MAX, share)
        pieces = _split(headers, body)
        checked = await self._read_all(key, pieces, lambda piece: self._read_change(piece, key))
        changes = [each for each in checked if isinstance(each, Change)]
        parts = sum(map(size_of, changes))
        if parts > _PARTS_MAX:
            raise ChangeTooLargeError(f"The changes list {parts} parts; the limit is {_PARTS_MAX} in one request.")
        found = await self._change_intake.submit(_owner_of(key), changes, size=len(body)) if changes else []
        stored = [conflict_as_problem(each) for each in found]
        if _is_one(headers, body):
            [only] = checked
            if isinstance(only, Problem):
                raise only
            await self._answer_one(send, stored[0])
            return
        remaining = iter(stored)
        answers = [each if isinstance(each, Problem) else next(remaining) for each in checked]
        self._count(answers)
        await answer(send, 200, batch_view([*answers]))

    async def _take_debezium(
        self, key: Key, scope: Scope, headers: Headers, receive: Receive, send: Send, share: BodyShare
    ) -> None:
        source, position = self._source_of(key, scope)
        body = await read_body(receive, headers, BATCH_BYTES_MAX, share)
        pieces = _split_events(headers, body)
        checked = await self._read_all(key, pieces, lambda piece: self._read_row(piece, source, key))
        for index, each in enumerate(checked):
            if isinstance(each, Problem):
                raise each if _is_one(headers, body) else _at(index, each)
        changes = [each for each in checked if isinstance(each, Change)]
        stored: list[ChangeAnswer | Problem] = []
        if changes or position is not None:
            owner = _owner_of(key)
            found = await self._change_intake.submit_together(owner, changes, size=len(body), position=position)
            stored = [conflict_as_problem(each) for each in found]
        if _is_one(headers, body) and stored:
            await self._answer_one(send, stored[0])
            return
        self._count(stored)
        remaining = iter(stored)
        answers = [None if each is None else next(remaining) for each in checked]
        await answer(send, 200, batch_view([*answers], None if position is None else position.position))

    async def _answer_one(self, send: Send, only: ChangeAnswer | Problem) -> None:
        """Answer a request with one change. Raises Problem when it was refused, which is then counted as such."""
        view = change_view(only)
        self._count([only])
        await answer(send, *view)

    async def _read_all(self, key: Key, pieces: Sequence[Piece], read: Callable[[bytes], T]) -> list[T | Problem]:
        """Read the changes of a request in turns; return a problem for each that is refused."""

        def steps() -> Steps[list[T | Problem]]:
            checked: list[T | Problem] = []
            for piece in pieces:
                try:
                    checked.append(read(bytes(piece)))
                except Problem as problem:
                    problem.__context__ = problem.__cause__ = None
                    checked.append(problem.with_traceback(None))
                yield
            return checked

        return await self._intake.turns.run(_owner_of(key), steps(), bulk=True)

    def _read_change(self, piece: bytes, key: Key) -> Change:
        self._check_size(piece)
        change = read_change(piece)
        if change.client_id is not None:
            check_client(key, change.client_id)
        return change

    def _read_row(self, piece: bytes, source: ChangeSource, key: Key) -> Change | None:
        self._check_size(piece)
        row = read_debezium(piece, source.name)
        if row is None:
            return None
        change = map_row(row, source)
        if change.client_id is not None:
            check_client(key, change.client_id)
        return change

    def _check_size(self, piece: bytes) -> None:
        if len(piece) > self._change_max:
            raise ChangeTooLargeError(f"The change has {len(piece)} bytes; the limit is {self._change_max}.")

    def _source_of(self, key: Key, scope: Scope) -> tuple[ChangeSource, PositionWrite | None]:
        """Return the source that the query names, and the position to store with the changes, if it is given."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        for name in query:
            if name not in _PARAMETERS:
                raise _invalid_parameter(name[:60], f"is unknown; there are {', '.join(_PARAMETERS)}")
        name = query.get("source")
        if not name:
            raise _invalid_parameter("source", "is required: the name of a change source")
        source = self._registry.source(name)
        if source is None or (source.client_id is not None and not key.scope.allows(source.client_id)):
            raise UnknownSourceError(f"There is no change source {name[:100]!r}; GET /v1/change-sources lists them.")
        position = query.get("position")
        if position is None:
            return source, None
        if not key.scope.allows(source.client_id):
            raise NotAllowedError("The position of a source counts for all its clients: setting it takes an admin key.")
        if not 0 < len(position) <= _POSITION_MAX or not position.isprintable():
            raise _invalid_parameter("position", f"must have 1 to {_POSITION_MAX} printable characters")
        return source, PositionWrite(source=name, position=position, expected=query.get("after") or None)

    def _count(self, answers: Sequence[ChangeAnswer | Problem]) -> None:
        counters = self._counters
        for each in answers:
            if isinstance(each, Problem):
                counters.refused_change(each)
            elif each.outcome == "new":
                counters.accepted_changes.inc()
                if each.note is not None:
                    counters.unmapped_changes.inc()
                if each.event_ids:
                    counters.raised_notifications.inc(len(each.event_ids))
            elif each.outcome == "duplicate":
                counters.duplicate_changes.inc()


def _owner_of(key: Key) -> str:
    """Return by whom the shares of changes are counted: apart from those of events."""
    return f"changes of {key.owner}"


def _split(headers: Headers, body: bytes) -> Sequence[Piece]:
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    return split_documents(content_type, body, max_items=BATCH_MAX)


def _split_events(headers: Headers, body: bytes) -> Sequence[Piece]:
    """Split the events of Debezium; there may be none, and one may be null."""
    whole = body.strip()
    if whole in {b"", b"[]"}:
        return []
    return [whole] if whole == b"null" else _split(headers, body)


def _is_one(headers: Headers, body: bytes) -> bool:
    """Tell whether the request is one JSON object, not an array or JSON Lines."""
    media_type = read_media_type(headers.get(b"content-type", b"").decode("latin-1") or "application/json")
    return is_json(media_type) and body.lstrip()[:1] == b"{"


def _at(index: int, problem: Problem) -> Problem:
    """Return the problem of one of many with its place among them."""
    faults = [Fault(f"/{index}{fault.pointer}", fault.message) for fault in problem.faults] or [
        Fault(f"/{index}", problem.detail)
    ]
    return Problem(problem.status, problem.detail, title=problem.title, faults=faults)


def _invalid_parameter(name: str, message: str) -> InvalidChangeError:
    return InvalidChangeError(f"The parameter {name} {message}.", [Fault(f"?{name}", message)])


async def _answer_position(receive: Receive, send: Send, error: PositionChangedError) -> None:
    """Answer that the source is at another position, with that position."""
    at = "not read yet" if error.position is None else f"at {error.position}"
    body = Problem(409, f"The source {error.source} is {at}; continue from there.").body()
    problem = PositionProblem(**msgspec.structs.asdict(body), position=error.position)
    encoded = encode(problem)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(encoded))]
    await answer_raw(receive, send, 409, encoded, headers)
