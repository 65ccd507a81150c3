"""Dead letters grouped by endpoint, reason and last error."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing
from commerce_event.api.parameters import Int32, read_id, scope_for
from commerce_event.api.response_models import EndpointSummary, endpoint_summary
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Endpoint
from commerce_event.store.model import DeadGroup

GROUPED_MAX: Final = 10_000


class DeadLettersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of dead letters."""

    client_id: Int32 | None = None
    endpoint_id: Annotated[str, Meta(max_length=40)] | None = None


class DeadGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of an endpoint with the same reason and error; ``error`` is that of the last attempt."""

    endpoint_id: str
    reason: str | None
    error: str | None
    count: int
    oldest_at: str
    newest_at: str
    endpoint: EndpointSummary | None


async def list_groups(call: Call) -> Reply:
    query: DeadLettersQuery = call.query
    scope = scope_for(call, query.client_id)
    endpoint_id = read_id("end", query.endpoint_id, "?endpoint_id")
    groups = await call.services.store.history.dead_groups(scope, endpoint_id=endpoint_id, limit=GROUPED_MAX)
    registry = call.services.registry
    return Reply(Listing([_view(each, registry.endpoint_in(scope, each.endpoint_id)) for each in groups], None))


def _view(group: DeadGroup, endpoint: Endpoint | None) -> DeadGroupView:
    return DeadGroupView(
        endpoint_id=ids.encode("end", group.endpoint_id),
        reason=group.reason,
        error=group.error,
        count=group.count,
        oldest_at=rfc3339(group.oldest_ms),
        newest_at=rfc3339(group.newest_ms),
        endpoint=endpoint_summary(endpoint),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/dead-letters",
        name="listDeadLetters",
        summary="Group dead letters",
        tag="Deliveries",
        needs="read",
        run=list_groups,
        query=DeadLettersQuery,
        answers={200: Listing[DeadGroupView]},
        problems=(422,),
        description=(
            f"The newest {GROUPED_MAX:,} dead deliveries by endpoint, reason and last error, the largest group first. "
            "`GET /v1/deliveries?state=dead` lists them one by one."
        ),
    ),
)
