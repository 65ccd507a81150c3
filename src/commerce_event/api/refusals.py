"""Refused events: list, read, accept or discard them."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.accept.errors import InvalidEventError, NotJsonError
from commerce_event.accept.refusal_acceptance import Correction, RefusalAcceptance, acceptance_in_progress, check_open
from commerce_event.accept.strict_json import load
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, Time, read_time, scope_for
from commerce_event.api.response_models import shown_time
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Refusal, RefusalState
from commerce_event.core.problems import Fault, ProblemFault, not_found
from commerce_event.store.model import RefusalQuery

COUNTED_MAX: Final = 1_000
LISTED_FAULTS_MAX: Final = 5
_WRITTEN_WITHIN_S: Final = 1.0  # so that a caller finds what was refused just before, on the same node
_WHAT: Final = "refused event"


class RefusalsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of refused events."""

    client_id: Int32 | None = None
    type: Annotated[str, Meta(max_length=100)] | None = None
    state: RefusalState | None = None
    since: Time | None = None
    until: Time | None = None


class RefusalCountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which refused events to count."""

    client_id: Int32 | None = None


class CorrectedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to publish in place of a refused event: another body, another type, or both."""

    data: dict[str, Any] | None = None
    type: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class DiscardRefusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a refused event is discarded."""

    reason: Annotated[str, Meta(max_length=200)] | None = None


class RefusalView(msgspec.Struct, frozen=True, kw_only=True):
    """A refused event without its body; ``errors`` are the first 5."""

    id: str
    at: str
    client_id: int | None
    type: str | None
    label: str
    key_id: str | None
    key_name: str
    status: int
    detail: str
    errors: list[ProblemFault]
    state: RefusalState
    event_id: str | None
    reason: str | None
    closed_at: str | None


class RefusalDetailView(RefusalView, frozen=True, kw_only=True):
    """A refused event with its body and all its errors."""

    body: msgspec.Raw


class RefusalCountsView(msgspec.Struct, frozen=True):
    """How many refused events are open; ``more`` when there are more than counted."""

    open: int
    more: bool


async def list_refusals(call: Call) -> Reply:
    query: RefusalsQuery = call.query
    wanted = RefusalQuery(
        scope=scope_for(call, query.client_id),
        type=query.type,
        state=query.state,
        since_ms=read_time(query.since, "?since"),
        until_ms=read_time(query.until, "?until"),
    )
    await call.services.refusals.wait_until_written(_WRITTEN_WITHIN_S)
    return Reply(listing(await call.services.store.refusals.refusals(wanted, query.page()), query, _view))


async def count_refusals(call: Call) -> Reply:
    scope = scope_for(call, call.query.client_id)
    found = await call.services.store.refusals.count_open(scope, limit=COUNTED_MAX + 1)
    return Reply(RefusalCountsView(min(found, COUNTED_MAX), found > COUNTED_MAX))


async def get_refusal(call: Call) -> Reply:
    return Reply(_detail_view(await _find(call)))


async def accept_refusal(call: Call) -> Reply:
    services = call.services
    refusal = await _find(call)
    correction = _correction(call)
    acceptance = RefusalAcceptance(
        services.store.refusals,
        services.registry,
        services.intake,
        services.clock,
        body_max=services.settings.max_body,
    )
    try:
        accepted = await acceptance.accept(call.key, refusal, correction)
    except InvalidEventError as error:
        if correction is None or correction.body is None:
            raise
        raise InvalidEventError(
            error.detail, [Fault(f"/data{each.pointer}", each.message) for each in error.faults]
        ) from None
    call.is_about(accepted.accepting_for, ids.encode("rfs", refusal.id), name=_name(refusal))
    return Reply(_detail_view(accepted))


async def discard_refusal(call: Call) -> Reply:
    refusal = await _find(call)
    check_open(refusal)
    now_ms = call.now_ms
    if not await call.services.store.refusals.discard(refusal.id, call.body.reason, now_ms=now_ms):
        now = await _find(call)
        check_open(now)
        raise acceptance_in_progress(now.accepting_for or 0)
    call.is_about(refusal.client_id, ids.encode("rfs", refusal.id), name=_name(refusal), detail=call.body.reason)
    discarded = msgspec.structs.replace(refusal, state="discarded", reason=call.body.reason, closed_ms=now_ms)
    return Reply(_detail_view(discarded))


def _name(refusal: Refusal) -> str | None:
    return " ".join(filter(None, (refusal.label, refusal.type))) or None


async def _find(call: Call) -> Refusal:
    refusal = await call.services.store.refusals.refusal(call.id("rfs", _WHAT), call.scope)
    if refusal is None:
        raise not_found(_WHAT)
    return refusal


def _correction(call: Call) -> Correction | None:
    wanted: CorrectedEvent = call.body
    if wanted.data is None:
        return None if wanted.type is None else Correction(None, wanted.type)
    return Correction(bytes(_DATA.decode(call.raw_body).data), wanted.type)


class _Data(msgspec.Struct):
    data: msgspec.Raw


_DATA: Final = msgspec.json.Decoder(_Data)


def _view(refusal: Refusal) -> RefusalView:
    return RefusalView(**_fields(refusal, LISTED_FAULTS_MAX))


def _detail_view(refusal: Refusal) -> RefusalDetailView:
    return RefusalDetailView(**_fields(refusal), body=_body(refusal.body))


def _fields(refusal: Refusal, faults_max: int | None = None) -> dict[str, Any]:
    return {
        "id": ids.encode("rfs", refusal.id),
        "at": rfc3339(refusal.at_ms),
        "client_id": refusal.client_id,
        "type": refusal.type,
        "label": refusal.label,
        "key_id": ids.encode("key", refusal.key_id) if refusal.key_id else None,
        "key_name": refusal.key_name,
        "status": refusal.status,
        "detail": refusal.detail,
        "errors": [ProblemFault.of(each) for each in refusal.faults[:faults_max]],
        "state": refusal.state,
        "event_id": None if refusal.event_id is None else ids.encode("evt", refusal.event_id),
        "reason": refusal.reason,
        "closed_at": shown_time(refusal.closed_ms),
    }


def _body(body: bytes) -> msgspec.Raw:
    """Return a body as it was sent; one that is not JSON as a string."""
    try:
        load(body)
    except NotJsonError:
        return msgspec.Raw(msgspec.json.encode(body.decode("utf-8", "replace")))
    return msgspec.Raw(body)


_TAG = "Refused events"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/refusals",
        name="listRefusals",
        summary="List refused events",
        tag=_TAG,
        needs="read",
        run=list_refusals,
        query=RefusalsQuery,
        answers={200: Listing[RefusalView]},
        problems=(422,),
        description=(
            "Events that publishing refused with 422 or 404, newest first, without their bodies. Those whose client is "
            "not known are shown to admins only."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/refusal-counts",
        name="countRefusals",
        summary="Count open refused events",
        tag=_TAG,
        needs="read",
        run=count_refusals,
        query=RefusalCountsQuery,
        answers={200: RefusalCountsView},
        problems=(422,),
        description=f"Counts up to {COUNTED_MAX:,}; `more` is true when there are more.",
    ),
    Operation(
        method="GET",
        path="/v1/refusals/{id}",
        name="getRefusal",
        summary="Read a refused event",
        tag=_TAG,
        needs="read",
        run=get_refusal,
        answers={200: RefusalDetailView},
        problems=(404,),
        description="With its body as it was sent; a body that is not JSON is given as a string.",
    ),
    Operation(
        method="POST",
        path="/v1/refusals/{id}/accept",
        name="acceptRefusal",
        summary="Accept a refused event",
        tag=_TAG,
        needs="manage",
        run=accept_refusal,
        body=CorrectedEvent,
        body_required=False,
        holds_event=True,
        answers={200: RefusalDetailView},
        problems=(404, 409, 413, 415, 422),
        description=(
            "Without a body, the event is accepted as it is and delivered byte for byte; it must be an object with the "
            "ClientId of the refused event's client. With `data` or `type`, the corrected event is checked like "
            "one that is published. 409 names the event when it was accepted before."
        ),
    ),
    Operation(
        method="POST",
        path="/v1/refusals/{id}/discard",
        name="discardRefusal",
        summary="Discard a refused event",
        tag=_TAG,
        needs="manage",
        run=discard_refusal,
        body=DiscardRefusal,
        body_required=False,
        answers={200: RefusalDetailView},
        problems=(404, 409, 415, 422),
        description="It stays in the list, with the reason, until it expires.",
    ),
)
