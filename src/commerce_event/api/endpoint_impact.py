"""What pausing, switching off or deleting an endpoint would mean: asked before it is done."""

from typing import Final

import msgspec

from commerce_event.api.endpoints import find_endpoint
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.endpoint_impact import EndpointImpact, events_per_hour
from commerce_event.core.model import Endpoint, Scope

_STEP_S: Final = 3_600
_SPAN_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000


class EndpointImpactView(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for an endpoint, what it gets, and in words what each action would mean."""

    endpoint_id: str
    pending: int
    in_flight: int
    events_per_hour: float
    off_since: str | None
    pause: str
    resume: str
    off: str
    delete: str


async def endpoint_impact(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    scope = Scope.of(endpoint.client_id)
    counts = await call.services.store.history.delivery_counts(scope)
    pending = sum(each.pending for each in counts if each.endpoint_id == endpoint.id)
    impact = EndpointImpact(
        pending=pending,
        in_flight=call.services.dispatcher.treatment(endpoint.id).in_flight,
        events_per_hour=await _events_per_hour(call, endpoint, scope, pending),
    )
    return Reply(
        EndpointImpactView(
            endpoint_id=ids.encode("end", endpoint.id),
            pending=impact.pending,
            in_flight=impact.in_flight,
            events_per_hour=round(impact.events_per_hour, 2),
            off_since=None if endpoint.enabled else rfc3339(endpoint.state_since_ms),
            pause=impact.pause,
            resume=impact.resume,
            off=impact.off,
            delete=impact.delete,
        )
    )


async def _events_per_hour(call: Call, endpoint: Endpoint, scope: Scope, pending: int) -> float:
    """Return how many events an hour the endpoint got in the last day, or since it was created."""
    now_ms, activity = call.now_ms, call.services.store.activity
    since_ms = max(now_ms - _SPAN_MS, endpoint.created_ms)
    since_ms -= since_ms % _HOUR_MS  # the stored steps are whole hours
    of_endpoint = await activity.by_step(scope, step_s=_STEP_S, since_ms=since_ms, endpoint_id=endpoint.id)
    of_client = await activity.by_step(scope, step_s=_STEP_S, since_ms=since_ms)
    return events_per_hour(
        ended=sum(each.delivered + each.dead for each in of_endpoint),
        pending=pending,
        accepted=sum(each.accepted for each in of_client),
        span_h=max(1.0, (now_ms - since_ms) / _HOUR_MS),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/endpoints/{id}/impact",
        name="endpointImpact",
        summary="Read what a change of state would mean",
        tag="Endpoints",
        needs="read",
        run=endpoint_impact,
        answers={200: EndpointImpactView},
        problems=(404,),
        description="What pausing, resuming, switching off or deleting the endpoint would mean, with numbers.",
    ),
)
