"""How endpoints stand, so that people are warned before they send something again."""

from collections.abc import Sequence
from typing import Final

from commerce_event.api.activity import HOUR_S, percentile_ms
from commerce_event.api.operations import Call
from commerce_event.core.endpoint_warnings import EndpointStanding, standing_of
from commerce_event.core.health import LastHour, health_of
from commerce_event.core.model import Endpoint, Scope

_STEP_S: Final = 60


async def standings_of(call: Call, endpoints: Sequence[Endpoint]) -> dict[int, EndpointStanding]:
    """Return how each endpoint stands, by its id, from what is stored; two reads for all of them."""
    if not endpoints:
        return {}
    services = call.services
    scope = Scope.of(*{each.client_id for each in endpoints})
    stored = {each.endpoint_id: each for each in await services.store.history.endpoint_health(scope)}
    since_ms = call.now_ms - HOUR_S * 1000
    activity = await services.store.activity.by_endpoint(scope, step_s=_STEP_S, since_ms=since_ms)
    last_hour = {
        each.endpoint_id: LastHour(each.delivered, each.failed, percentile_ms(each.latency, 0.95)) for each in activity
    }
    found = {}
    for endpoint in endpoints:
        kept = stored.get(endpoint.id)
        failures = 0 if kept is None else kept.failures
        health = health_of(
            endpoint,
            failures=failures,
            last_hour=last_hour.get(endpoint.id),
            timeout_s=endpoint.timeout_s or services.settings.timeout_s,
        )
        found[endpoint.id] = standing_of(
            health,
            failures=failures,
            failing_since_ms=None if kept is None else kept.failing_since_ms,
            cause=None if kept is None else kept.last_cause,
        )
    return found
