"""Validation modes: what happens to a client's events that break the contract."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for, unknown_type
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import ValidationEntry, ValidationMode
from commerce_event.core.problems import Problem, invalid
from commerce_event.registry.authentication import check_client

ENTRIES_MAX: Final = 100  # of a client

TypeName = Annotated[str, Meta(min_length=1, max_length=100)]


class ValidationView(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to events that break the contract: those of a type, of a category, or all (``*``)."""

    client_id: int
    event_type: str
    mode: ValidationMode
    updated_at: str


class NewValidation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mode of a client's events of a type, of a category, or of all (``*``)."""

    client_id: Int32
    event_type: TypeName
    mode: ValidationMode


class ValidationQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of entries."""

    client_id: Int32 | None = None


class ValidationKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entry."""

    client_id: Annotated[Int32, Meta(examples=[1006])]
    event_type: Annotated[TypeName, Meta(examples=["Order"])]


async def list_validation(call: Call) -> Reply:
    query: ValidationQuery = call.query
    found = call.services.registry.validation_entries(scope_for(call, query.client_id))
    before = query.before
    return Reply(listing([each for each in found if before is None or each.revision < before], query, _view))


async def set_validation(call: Call) -> Reply:
    wanted: NewValidation = call.body
    check_client(call.key, wanted.client_id)
    registry = call.services.registry
    if wanted.event_type not in registry.catalogue.entries:
        message = unknown_type(wanted.event_type, registry.catalogue.entries, "categories and * do too")
        raise invalid("/event_type", message)
    before = registry.validation_entry(wanted.client_id, wanted.event_type)
    entry = ValidationEntry(
        client_id=wanted.client_id, event_type=wanted.event_type, mode=wanted.mode, updated_ms=call.now_ms
    )
    saved = await registry.set_validation(entry, limit=ENTRIES_MAX)
    if saved is None:
        raise Problem(409, f"The client has {ENTRIES_MAX} entries already; remove one first.")
    _audit(call, wanted, before, saved)
    return Reply(_view(saved))


async def remove_validation(call: Call) -> Reply:
    query: ValidationKey = call.query
    check_client(call.key, query.client_id)
    registry = call.services.registry
    before = registry.validation_entry(query.client_id, query.event_type)
    if before is None:
        raise Problem(404, f"No mode is set for {query.event_type!r} of client {query.client_id}.")
    await registry.remove_validation(query.client_id, query.event_type)
    _audit(call, query, before, None)
    return Reply(None, 204)


def _audit(
    call: Call, of: NewValidation | ValidationKey, before: ValidationEntry | None, after: ValidationEntry | None
) -> None:
    modes = [{"mode": None if each is None else each.mode} for each in (before, after)]
    call.is_about(of.client_id, of.event_type, name=of.event_type, before=modes[0], after=modes[1])


def _view(entry: ValidationEntry) -> ValidationView:
    return ValidationView(
        client_id=entry.client_id,
        event_type=entry.event_type,
        mode=entry.mode,
        updated_at=rfc3339(entry.updated_ms),
    )


_TAG: Final = "Validation"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/validation",
        name="listValidation",
        summary="List validation modes",
        tag=_TAG,
        needs="read",
        run=list_validation,
        query=ValidationQuery,
        answers={200: Listing[ValidationView]},
        problems=(422,),
        description=(
            "The last change first. The client's narrowest entry applies to an event that breaks the contract: "
            "that of its type, else of its category, else of `*`. Without an entry, the event is refused."
        ),
    ),
    Operation(
        method="PUT",
        path="/v1/validation",
        name="setValidation",
        summary="Set a validation mode",
        tag=_TAG,
        needs="manage",
        run=set_validation,
        body=NewValidation,
        answers={200: ValidationView},
        problems=(409, 415, 422),
        description=(
            "`reject`: the event is refused with 422; `warn`: it is accepted with `warnings`; `off`: it is accepted "
            "without. In every mode the body must be an object with a ClientId. It takes effect at once on this node, "
            "and within a second on others."
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/validation",
        name="removeValidation",
        summary="Remove a validation mode",
        tag=_TAG,
        needs="manage",
        run=remove_validation,
        query=ValidationKey,
        answers={204: None},
        problems=(404, 422),
        description="From then on the client's next wider entry applies.",
    ),
)
