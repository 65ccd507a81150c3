"""Change sources: which tables and columns are which entity, their positions, and the state of their reader."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from commerce_event.api.change_source_fields import (
    ChangeSourceFields,
    Column,
    NewChangeSource,
    TableFields,
    check_name,
    source_of,
    table_fields,
)
from commerce_event.api.metrics import SourceReport
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.core.changes.model import ChangeSource, SourceState
from commerce_event.core.changes.source_words import values_by_place
from commerce_event.core.clock import rfc3339
from commerce_event.core.problems import Problem, invalid, not_found
from commerce_event.registry.authentication import NotAllowedError, check_client
from commerce_event.registry.change_settings import LimitReachedError

SOURCES_MAX: Final = 100  # of a client; those that take the client from a column together

ReaderState = Literal["running", "waiting", "failing", "slot_lost", "stopped"]
Amount = Annotated[int, Meta(ge=0, le=2**62)]
_READING: Final = frozenset({"running", "waiting"})
_NEW: Final = SourceState()
Position = Annotated[str, Meta(min_length=1, max_length=500, examples=["0/1A2B3C8"])]


class SourcesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of change sources."""

    client_id: Int32 | None = None


class ReaderView(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader of a source last reported about itself."""

    state: ReaderState
    message: str | None
    lag_bytes: int | None
    lag_ms: int | None
    retained_bytes: int | None
    reported_by: str | None
    reported_at: str


class ChangeSourceSummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A change source without its tables."""

    name: str
    client_id: int | Column
    table_count: int
    entities: list[str]
    position: str | None
    state: ReaderView | None
    created_at: str
    updated_at: str


class ChangeSourceView(msgspec.Struct, frozen=True, kw_only=True):
    """Which tables and columns are which entity, their positions, and the state of their reader."""

    name: str
    client_id: int | Column
    tables: dict[str, TableFields]
    position: str | None
    state: ReaderView | None
    created_at: str
    updated_at: str


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reader of a source reports about itself."""

    state: ReaderState
    message: Annotated[str, Meta(max_length=500)] | None = None
    lag_bytes: Amount | None = None
    lag_ms: Amount | None = None
    retained_bytes: Amount | None = None
    reported_by: Annotated[str, Meta(max_length=100, examples=["capture@db-1"])] | None = None


class SourcePosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place up to which a source counts as read."""

    position: Position


async def create_change_source(call: Call) -> Reply:
    wanted: NewChangeSource = call.body
    check_name(wanted.name, "/name")
    return await _put(call, wanted.name, wanted, is_new=True)


async def put_change_source(call: Call) -> Reply:
    wanted: ChangeSourceFields = call.body
    check_name(call.path["name"], "")
    return await _put(call, call.path["name"], wanted)


async def _put(call: Call, name: str, wanted: ChangeSourceFields | NewChangeSource, *, is_new: bool = False) -> Reply:
    if isinstance(wanted.client_id, Column):
        _check_all_clients(call)
    else:
        check_client(call.key, wanted.client_id)
    source = source_of(name, wanted, call.now_ms)
    before: ChangeSource | None = None

    def changed(found: ChangeSource | None) -> ChangeSource:
        nonlocal before
        before = found
        if found is None:
            return source
        if is_new or not call.scope.allows(found.client_id):
            raise Problem(409, f"The name {name} is taken; choose another one.")
        return msgspec.structs.replace(source, created_ms=found.created_ms)

    try:
        saved = await call.services.registry.change_settings.put_source(name, changed, limit=SOURCES_MAX)
    except LimitReachedError:
        raise Problem(409, f"There are at most {SOURCES_MAX} change sources; delete an unused one.") from None
    _audit(call, before, saved)
    view = _view(saved, await _state(call, name))
    return Reply(view) if before is not None else Reply(view, 201, {"Location": f"/v1/change-sources/{name}"})


def _check_all_clients(call: Call) -> None:
    """Raise NotAllowedError when the caller may not read a source that has the rows of every client."""
    if not call.scope.allows(None):
        raise NotAllowedError(
            "A source that takes the client from a column may have rows of every client; use an admin key."
        )


async def list_change_sources(call: Call) -> Reply:
    query: SourcesQuery = call.query
    before = query.before
    found = [
        source
        for source in call.services.registry.change_settings.sources(scope_for(call, query.client_id))
        if before is None or source.revision < before
    ]
    found.sort(key=lambda source: source.revision, reverse=True)
    states = await call.services.store.change_settings.source_states()
    return Reply(listing(found, query, lambda source: _summary(source, states.get(source.name, _NEW))))


async def get_change_source(call: Call) -> Reply:
    source = _find(call)
    return Reply(_view(source, await _state(call, source.name)))


async def delete_change_source(call: Call) -> Reply:
    source = _find(call)
    await call.services.registry.change_settings.delete_source(source.name)
    call.services.metrics.forget_source(source.name)
    _audit(call, source, None)
    return Reply(None, 204)


async def report_change_source(call: Call) -> Reply:
    source = _find(call)
    status: SourceStatus = call.body
    now_ms = call.now_ms
    await call.services.store.change_settings.report_source(
        source.name, msgspec.json.encode(status).decode(), now_ms=now_ms
    )
    report = SourceReport(
        is_reading=status.state in _READING,
        lag_bytes=status.lag_bytes,
        lag_ms=status.lag_ms,
        retained_bytes=status.retained_bytes,
        reported_ms=now_ms,
    )
    call.services.metrics.report_source(source.name, report)
    return Reply(None, 204)


async def set_source_position(call: Call) -> Reply:
    wanted: SourcePosition = call.body
    if not wanted.position.isprintable():
        raise invalid("/position", "write printable characters only")
    source = await _reset(call, wanted.position)
    return Reply(_view(source, await _state(call, source.name)))


async def forget_source_position(call: Call) -> Reply:
    await _reset(call, None)
    return Reply(None, 204)


async def _reset(call: Call, position: str | None) -> ChangeSource:
    source = _find(call)
    before = (await _state(call, source.name)).position
    await call.services.store.change_settings.reset_position(source.name, position)
    call.is_about(
        source.client_id, source.name, name=source.name, before={"position": before}, after={"position": position}
    )
    return source


def _audit(call: Call, before: ChangeSource | None, after: ChangeSource | None) -> None:
    """Set what the call changes: a source. None before: it is created; None after: it is deleted."""
    source = after or before
    if source is not None:
        call.is_about(
            source.client_id,
            source.name,
            name=source.name,
            before=None if before is None else values_by_place(before),
            after=None if after is None else values_by_place(after),
        )


def _find(call: Call) -> ChangeSource:
    """Return the source in the path. Raises Problem 404, also for another client's source."""
    source = call.services.registry.source(call.path["name"])
    if source is None or not call.scope.allows(source.client_id):
        raise not_found("change source")
    return source


async def _state(call: Call, name: str) -> SourceState:
    return (await call.services.store.change_settings.source_states()).get(name, _NEW)


def _view(source: ChangeSource, state: SourceState) -> ChangeSourceView:
    return ChangeSourceView(
        name=source.name,
        client_id=_client(source),
        tables={table: table_fields(mapping) for table, mapping in source.tables.items()},
        position=state.position,
        state=_reader(state),
        created_at=rfc3339(source.created_ms),
        updated_at=rfc3339(source.updated_ms),
    )


def _summary(source: ChangeSource, state: SourceState) -> ChangeSourceSummaryView:
    return ChangeSourceSummaryView(
        name=source.name,
        client_id=_client(source),
        table_count=len(source.tables),
        entities=sorted({mapping.entity for mapping in source.tables.values()}),
        position=state.position,
        state=_reader(state),
        created_at=rfc3339(source.created_ms),
        updated_at=rfc3339(source.updated_ms),
    )


def _client(source: ChangeSource) -> int | Column:
    return source.client_id if source.client_id is not None else Column(column=source.client_column or "")


def _reader(state: SourceState) -> ReaderView | None:
    if state.report is None or state.reported_ms is None:
        return None
    status = msgspec.json.decode(state.report, type=SourceStatus)
    return ReaderView(**msgspec.structs.asdict(status), reported_at=rfc3339(state.reported_ms))


_TAG: Final = "Change sources"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/change-sources",
        name="createChangeSource",
        summary="Create a change source",
        tag=_TAG,
        needs="manage",
        run=create_change_source,
        body=NewChangeSource,
        answers={201: ChangeSourceView},
        problems=(409, 415, 422),
        description=(
            "A source says which tables and columns of another system are which entity, key and fields. One that "
            "takes the client from a column needs an admin key."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/change-sources",
        name="listChangeSources",
        summary="List change sources",
        tag=_TAG,
        needs="read",
        run=list_change_sources,
        query=SourcesQuery,
        answers={200: Listing[ChangeSourceSummaryView]},
        problems=(422,),
        description="The last change first, without their tables.",
    ),
    Operation(
        method="GET",
        path="/v1/change-sources/{name}",
        name="getChangeSource",
        summary="Read a change source",
        tag=_TAG,
        needs="any",
        run=get_change_source,
        answers={200: ChangeSourceView},
        problems=(404,),
        description="With its tables, the position up to which it has been read, and the last report of its reader.",
    ),
    Operation(
        method="PUT",
        path="/v1/change-sources/{name}",
        name="putChangeSource",
        summary="Create or replace a change source",
        tag=_TAG,
        needs="manage",
        run=put_change_source,
        body=ChangeSourceFields,
        answers={200: ChangeSourceView, 201: ChangeSourceView},
        problems=(404, 409, 415, 422),
        description="Its position and its state stay. A name of another client's source answers 409.",
    ),
    Operation(
        method="DELETE",
        path="/v1/change-sources/{name}",
        name="deleteChangeSource",
        summary="Delete a change source",
        tag=_TAG,
        needs="manage",
        run=delete_change_source,
        answers={204: None},
        problems=(404,),
        description="With its position: a source of that name that is created later has no position.",
    ),
    Operation(
        method="PUT",
        path="/v1/change-sources/{name}/status",
        name="reportChangeSource",
        summary="Report the status of a reader",
        tag=_TAG,
        needs="publish",
        run=report_change_source,
        body=SourceStatus,
        answers={204: None},
        problems=(404, 415, 422),
        description="The reader of a source reports its state every few seconds; the last report is kept.",
    ),
    Operation(
        method="PUT",
        path="/v1/change-sources/{name}/position",
        name="setSourcePosition",
        summary="Set the position of a change source",
        tag=_TAG,
        needs="manage",
        run=set_source_position,
        body=SourcePosition,
        answers={200: ChangeSourceView},
        problems=(404, 415, 422),
        description=(
            "Its reader continues from there at its next start. Changes between the two positions are read again, or "
            "never; a reader that runs is refused and stops."
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/change-sources/{name}/position",
        name="forgetSourcePosition",
        summary="Forget the position of a change source",
        tag=_TAG,
        needs="manage",
        run=forget_source_position,
        answers={204: None},
        problems=(404,),
        description="Its reader starts without a position.",
    ),
)
