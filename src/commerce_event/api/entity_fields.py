"""List the known fields of an entity, for event settings."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.event_setting_fields import known_fields
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32
from commerce_event.registry.authentication import check_client

FIELDS_MAX: Final = 1_000


class EntityFieldsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: the entity, and the client whose changes and sources count."""

    client_id: Annotated[Int32, Meta(examples=[1006])]
    entity: Annotated[str, Meta(min_length=1, max_length=100, examples=["tClientCustomerAddress"])]


class EntityFieldsView(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a setting of the entity can list."""

    entity: str
    fields: list[str]
    complete: bool


async def list_entity_fields(call: Call) -> Reply:
    query: EntityFieldsQuery = call.query
    check_client(call.key, query.client_id)
    known = await known_fields(call, query.client_id, query.entity)
    names = sorted(known.names)
    return Reply(
        EntityFieldsView(
            entity=query.entity, fields=names[:FIELDS_MAX], complete=known.is_mapped and len(names) <= FIELDS_MAX
        )
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/event-settings/fields",
        name="listEntityFields",
        summary="List the known fields of an entity",
        tag="Event settings",
        needs="read",
        run=list_entity_fields,
        query=EntityFieldsQuery,
        answers={200: EntityFieldsView},
        problems=(422,),
        description=(
            "The fields that change sources map, that the contract's notifications name, and that changes of the "
            f"client had; at most {FIELDS_MAX:,}, in order."
        ),
    ),
)
