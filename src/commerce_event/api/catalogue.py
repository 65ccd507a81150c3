"""The catalogue of event types: those of the contract, and own event types."""

from functools import reduce
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing
from commerce_event.api.parameters import unknown_type
from commerce_event.contract.catalogue import EventType, Kind
from commerce_event.contract.json_schema import SCHEMA_BYTES_MAX
from commerce_event.contract.own_types import (
    TYPES_MAX,
    VIOLATIONS_MAX,
    InvalidTypeError,
    example_violations,
    is_name,
    own_type,
)
from commerce_event.core.model import Scope
from commerce_event.core.problems import Fault, Problem, as_sentence, child, invalid
from commerce_event.registry.own_types import OwnType
from commerce_event.registry.registry import Registry
from commerce_event.store.port import EventTypeExistsError, EventTypeUsedError

EXAMPLE_BYTES_MAX: Final = 32 * 1024

_Name = Annotated[str, Meta(max_length=80)]
_Description = Annotated[str, Meta(max_length=500)]


class EventTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """An event type of the contract, or one of your own."""

    name: str
    category: str
    kind: Kind
    description: str
    schema: dict[str, Any]
    example: dict[str, Any]
    own: bool


class EventTypeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an event type of your own is to be; name and category stay."""

    kind: Kind = "event"
    description: _Description = ""
    schema: dict[str, Any]
    example: dict[str, Any]


class NewEventType(EventTypeChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event type of your own to create. Its category may be one of the contract's or a new one."""

    name: _Name
    category: _Name


async def list_types(call: Call) -> Reply:
    return Reply(Listing([_view(each) for each in call.services.registry.catalogue.types.values()], None))


async def get_type(call: Call) -> Reply:
    return Reply(_view(_find(call)))


async def create_type(call: Call) -> Reply:
    wanted: NewEventType = call.body
    registry = call.services.registry
    for place in ("name", "category"):
        if not is_name(getattr(wanted, place)):
            raise invalid(f"/{place}", "must be 3 to 80 letters and digits, a capital letter first")
    _check_free(registry, wanted)
    event_type = _build_type(wanted.name, wanted.category, wanted)
    own = OwnType(event_type=event_type, created_ms=call.now_ms, updated_ms=call.now_ms)
    try:
        if await registry.add_own_type(own, limit=TYPES_MAX) is None:
            raise Problem(409, f"There are {TYPES_MAX} event types of your own already; delete one first.")
    except EventTypeExistsError:
        raise Problem(409, f"There is an event type {wanted.name} already; choose another name.") from None
    call.is_about(None, wanted.name, name=wanted.name, after=_view(event_type))
    return Reply(_view(event_type), 201, {"Location": f"/v1/event-types/{wanted.name}"})


async def change_type(call: Call) -> Reply:
    present = _find_own(call)
    event_type = _build_type(present.event_type.name, present.event_type.category, call.body)
    own = msgspec.structs.replace(present, event_type=event_type, updated_ms=call.now_ms)
    await call.services.registry.change_own_type(own)
    name = event_type.name
    call.is_about(None, name, name=name, before=_view(present.event_type), after=_view(event_type))
    return Reply(_view(event_type))


async def delete_type(call: Call) -> Reply:
    registry = call.services.registry
    event_type = _find_own(call).event_type
    names = {event_type.name}
    if sum(each.category == event_type.category for each in registry.catalogue.types.values()) == 1:
        names.add(event_type.category)
    used = sum(
        not names.isdisjoint((*each.event_types, *each.except_types)) for each in registry.endpoints(Scope.everyone())
    )
    if used:
        named = " or ".join(sorted(names))
        raise Problem(409, f"{used} endpoint{'s name' if used > 1 else ' names'} {named}; change them first.")
    try:
        await registry.delete_own_type(event_type.name)
    except EventTypeUsedError:
        detail = f"There are events of type {event_type.name}; it can be deleted when they have expired."
        raise Problem(409, detail) from None
    call.is_about(None, event_type.name, name=event_type.name, before=_view(event_type))
    return Reply(None, 204)


def _find(call: Call) -> EventType:
    catalogue = call.services.registry.catalogue
    event_type = catalogue.get(call.path["name"])
    if event_type is None:
        raise Problem(404, as_sentence(unknown_type(call.path["name"], catalogue.types)))
    return event_type


def _find_own(call: Call) -> OwnType:
    own = call.services.registry.own_type(_find(call).name)
    if own is None:
        raise Problem(409, f"{call.path['name']} is a type of the contract; only your own types can be changed.")
    return own


def _check_free(registry: Registry, wanted: NewEventType) -> None:
    """Raise Problem 409 when the name or the category means something else already."""
    from commerce_event.api.openapi import reserved_names  # late: it reads the operations of this module

    catalogue = registry.catalogue
    for name in (wanted.name, wanted.category):
        if name in reserved_names():
            raise Problem(409, f"{name} has a meaning in the OpenAPI document; choose another name.")
    taken = {name.casefold(): name for name in (*catalogue.types, *catalogue.categories)}
    other = taken.get(wanted.name.casefold())
    if other is not None:
        what = "a category" if other in catalogue.categories else "an event type"
        raise Problem(409, f"There is {what} {other} already; choose another name.")
    if wanted.category in catalogue.types or wanted.category == wanted.name:
        raise Problem(409, f"{wanted.category} is the name of an event type; choose another category.")
    other = taken.get(wanted.category.casefold(), wanted.category)
    if other != wanted.category:
        raise Problem(409, f"There is a category {other} already; write it like that.")


def _build_type(name: str, category: str, wanted: EventTypeChange) -> EventType:
    """Return the type if its schema is allowed and its example fits. Raises Problem 422 with every fault."""
    sizes = (("schema", wanted.schema, SCHEMA_BYTES_MAX), ("example", wanted.example, EXAMPLE_BYTES_MAX))
    for place, value, limit in sizes:
        if len(msgspec.json.encode(value)) > limit:
            raise invalid(f"/{place}", f"must have at most {limit // 1024} KiB")
    try:
        event_type = own_type(name, category, wanted.kind, wanted.description, wanted.schema, wanted.example)
        violations = example_violations(event_type)
    except InvalidTypeError as error:
        violations = list(error.violations)
    if violations:
        faults = [Fault(reduce(child, path, ""), message) for path, message in violations[:VIOLATIONS_MAX]]
        raise Problem(422, f"{faults[0].pointer} {faults[0].message}.", faults=faults)
    return event_type


def _view(event_type: EventType) -> EventTypeView:
    return EventTypeView(
        name=event_type.name,
        category=event_type.category,
        kind=event_type.kind,
        description=event_type.description,
        schema=event_type.schema(),
        example=event_type.example,
        own=event_type.is_own,
    )


_TAG: Final = "Catalogue"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/event-types",
        name="listEventTypes",
        summary="List event types",
        tag=_TAG,
        needs="any",
        run=list_types,
        answers={200: Listing[EventTypeView]},
        description="All event types of the contract, then your own, with schema and example.",
    ),
    Operation(
        method="POST",
        path="/v1/event-types",
        name="createEventType",
        summary="Create an event type",
        tag=_TAG,
        needs="admin",
        run=create_type,
        body=NewEventType,
        answers={201: EventTypeView},
        problems=(409, 415, 422),
        description=(
            "For all clients. Events of the type are checked with its JSON Schema (2020-12), and must have a ClientId. "
            "The example must fit the schema. 409 when the name exists."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/event-types/{name}",
        name="getEventType",
        summary="Read an event type",
        tag=_TAG,
        needs="any",
        run=get_type,
        answers={200: EventTypeView},
        problems=(404,),
        description="One event type, with schema and example.",
    ),
    Operation(
        method="PUT",
        path="/v1/event-types/{name}",
        name="changeEventType",
        summary="Change an event type of your own",
        tag=_TAG,
        needs="admin",
        run=change_type,
        body=EventTypeChange,
        answers={200: EventTypeView},
        problems=(404, 409, 415, 422),
        description="Replaces all but name and category. Events that were accepted before are not checked again.",
    ),
    Operation(
        method="DELETE",
        path="/v1/event-types/{name}",
        name="deleteEventType",
        summary="Delete an event type of your own",
        tag=_TAG,
        needs="admin",
        run=delete_type,
        answers={204: None},
        problems=(404, 409),
        description="409 while there are events of the type, or endpoints that name it. Its validation modes go too.",
    ),
)
