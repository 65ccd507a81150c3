"""The delivery counts."""

import msgspec

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.response_models import BooksView, counts_view, delivery_totals, shown_time


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


OPERATIONS = (
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
