"""The catalogue of event types, and the delivery counts."""

from typing import Any

import msgspec

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing
from commerce_event.api.parameters import unknown_type
from commerce_event.api.response_models import BooksView, counts_view, delivery_totals, shown_time
from commerce_event.contract.catalogue import EVENT_TYPES, EventType, Kind
from commerce_event.core.problems import Problem, as_sentence


class EventTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """An event type of the contract."""

    name: str
    category: str
    kind: Kind
    description: str
    schema: dict[str, Any]
    example: dict[str, Any]


async def list_types(_call: Call) -> Reply:
    return Reply(Listing([_view(each) for each in EVENT_TYPES.values()], None))


async def get_type(call: Call) -> Reply:
    event_type = EVENT_TYPES.get(call.path["name"])
    if event_type is None:
        raise Problem(404, as_sentence(unknown_type(call.path["name"], EVENT_TYPES)))
    return Reply(_view(event_type))


class BooksQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which delivery counts."""

    recounted: bool = False
    items: bool = True


async def read_books(call: Call) -> Reply:
    report, registry = call.services.maintenance.counts.report, call.services.registry
    if not call.query.recounted:
        counts = await call.services.store.history.delivery_counts(call.scope)
    else:
        counts = [] if report is None else [each for each in report.counts if call.scope.allows(each.client_id)]
    return Reply(
        BooksView(
            items=[counts_view(each, registry.endpoint_in(call.scope, each.endpoint_id)) for each in counts]
            if call.query.items
            else [],
            totals=delivery_totals(counts),
            balanced=(report is None or report.balanced) and all(each.difference == 0 for each in counts),
            counted_at=shown_time(None if report is None else report.counted_ms),
        )
    )


def _view(event_type: EventType) -> EventTypeView:
    return EventTypeView(
        name=event_type.name,
        category=event_type.category,
        kind=event_type.kind,
        description=event_type.description,
        schema=event_type.schema(),
        example=event_type.example,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/event-types",
        name="listEventTypes",
        summary="List event types",
        tag="Catalogue",
        needs="any",
        run=list_types,
        answers={200: Listing[EventTypeView]},
        description="All event types of the contract, with schema and example.",
    ),
    Operation(
        method="GET",
        path="/v1/event-types/{name}",
        name="getEventType",
        summary="Read an event type",
        tag="Catalogue",
        needs="any",
        run=get_type,
        answers={200: EventTypeView},
        problems=(404,),
        description="One event type of the contract, with schema and example.",
    ),
    Operation(
        method="GET",
        path="/v1/books",
        name="readBooks",
        summary="Read delivery counts",
        tag="Monitoring",
        needs="read",
        run=read_books,
        query=BooksQuery,
        answers={200: BooksView},
        problems=(422,),
        description=(
            "For each endpoint: matched = delivered + dead + cancelled + pending. `recounted=true` gives the counts of "
            "the last recount, without reading the store; `items=false` gives only the totals."
        ),
    ),
)
