"""Incidents: which endpoints fail, since when and why, what waits, and what ends it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from commerce_event.api.activity import HOUR_S
from commerce_event.api.audit_log import AuditEntryView, audit_entry_view
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import AttemptView, EndpointSummary, attempt_view, endpoint_summary, shown_time
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.health import LastHour
from commerce_event.core.incidents import (
    CHANGES_BEFORE_MS,
    Facts,
    Failing,
    IncidentState,
    StepName,
    failure_code,
    first_dies_ms,
    grouped,
    is_failing,
    next_step,
    steps_of,
)
from commerce_event.core.model import Attempt, AuditEntry, Delivery, Endpoint, Scope
from commerce_event.core.problems import not_found
from commerce_event.store.model import DeliveryCounts, EndpointHealth, Page

INCIDENTS_MAX: Final = 200
OLDEST_MAX: Final = 20  # pending deliveries of an endpoint, to find out which dies first
SIBLINGS_MAX: Final = 50
ENDPOINTS_MAX: Final = 400  # of all incidents of an answer, whose pending deliveries are looked at
ENTRIES_MAX: Final = 50  # audit entries of an endpoint
_STEP_S: Final = 60
_ATTEMPTS_OF: Final = 5  # pending deliveries in whose attempts the newest answer is looked for


class IncidentsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which incidents."""

    client_id: Int32 | None = None
    state: IncidentState = "open"


class FailingEndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """One of the endpoints of an incident."""

    endpoint: EndpointSummary
    since: str
    failures: int
    pending: int
    dead: int


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident: an endpoint that fails or has failed, and others with the same host and cause."""

    endpoint_id: str
    endpoint: EndpointSummary
    state: IncidentState
    paused: bool
    since: str
    until: str | None
    cause: str | None
    last_status: int | None
    last_error: str | None
    failures: int
    last_success_at: str | None
    last_failure_at: str | None
    pending: int
    dead: int
    oldest_pending_at: str | None
    first_dies_at: str | None
    endpoints: list[FailingEndpointView]


class IncidentsView(msgspec.Struct, frozen=True, kw_only=True):
    """The incidents: open ones with the first to begin at the front, ended ones with the last to end at the front."""

    items: list[IncidentView]
    more: bool


class IncidentStepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step to the end of the incident."""

    name: StepName
    done: bool
    at: str | None


class IncidentDetailView(IncidentView, frozen=True, kw_only=True):
    """An incident with what is needed to end it."""

    retry_schedule: list[float]
    timeout_s: float
    oldest_delivery_id: str | None
    newest_attempt: AttemptView | None
    changes_before: list[AuditEntryView]
    steps: list[IncidentStepView]
    next_step: StepName | None


class _Stored(msgspec.Struct, frozen=True):
    """What the store knows about endpoints, by endpoint."""

    health: Mapping[int, EndpointHealth]
    counts: Mapping[int, DeliveryCounts]
    last_hour: Mapping[int, LastHour]


async def list_incidents(call: Call) -> Reply:
    query: IncidentsQuery = call.query
    scope = scope_for(call, query.client_id)
    stored = await _read(call, scope)
    found = _open_groups(call, scope, stored) if query.state == "open" else _ended_groups(call, scope, stored)
    shown = found[:INCIDENTS_MAX]
    oldest = await _oldest(call, shown)
    items = [_incident(call, group, stored, oldest) for group in shown]
    return Reply(IncidentsView(items=[IncidentView(**each) for each in items], more=len(found) > len(shown)))


async def get_incident(call: Call) -> Reply:
    endpoint = call.services.registry.endpoint_in(call.scope, call.id("end", "incident"))
    if endpoint is None:
        raise not_found("incident")
    stored = await _read(call, call.scope)
    open_groups = _open_groups(call, call.scope, stored)
    group = next((each for each in open_groups if any(one.endpoint_id == endpoint.id for one in each)), None)
    if group is None:
        group = next((each for each in _ended_groups(call, call.scope, stored, [endpoint])), None)
    if group is None:
        raise not_found("incident")
    group = sorted(group, key=lambda one: one.endpoint_id != endpoint.id)  # this endpoint first
    oldest = await _oldest(call, [group])
    fields = _incident(call, group, stored, oldest)
    before, changed_ms, tested_ms = await _audit(call, endpoint, group[0].since_ms)
    own = oldest.get(endpoint.id, [])
    facts = Facts(
        state=fields["state"],
        since_ms=group[0].since_ms,
        until_ms=_until_ms(stored.health[endpoint.id], fields["state"]),
        changed_ms=changed_ms,
        tested_ms=tested_ms,
        last_success_ms=stored.health[endpoint.id].last_success_ms,
        waiting=sum(each.failure_count > 0 for each in own),
        dead=stored.counts[endpoint.id].dead if endpoint.id in stored.counts else 0,
    )
    steps = steps_of(facts)
    newest = await _newest_attempt(call, endpoint, own)
    return Reply(
        IncidentDetailView(
            **fields,
            retry_schedule=list(_schedule_s(call, endpoint)),
            timeout_s=_timeout_s(call, endpoint),
            oldest_delivery_id=ids.encode("dlv", own[0].id) if own else None,
            newest_attempt=None if newest is None else attempt_view(newest),
            changes_before=before,
            steps=[IncidentStepView(name=each.name, done=each.done, at=shown_time(each.at_ms)) for each in steps],
            next_step=next_step(steps),
        )
    )


async def _read(call: Call, scope: Scope) -> _Stored:
    store = call.services.store
    health = await store.history.endpoint_health(scope)
    counts = await store.history.delivery_counts(scope)
    since_ms = call.now_ms - HOUR_S * 1000
    found = await store.activity.by_endpoint(scope, step_s=_STEP_S, since_ms=since_ms)
    return _Stored(
        {each.endpoint_id: each for each in health},
        {each.endpoint_id: each for each in counts},
        {each.endpoint_id: LastHour(each.delivered, each.failed, None) for each in found},
    )


def _open_groups(call: Call, scope: Scope, stored: _Stored) -> list[list[Failing]]:
    failing = []
    for endpoint in call.services.registry.endpoints(scope):
        health = stored.health.get(endpoint.id)
        if health is None or health.failing_since_ms is None:
            continue
        last_hour, timeout_s = stored.last_hour.get(endpoint.id), _timeout_s(call, endpoint)
        if is_failing(endpoint, failures=health.failures, last_hour=last_hour, timeout_s=timeout_s):
            failing.append(_failing(endpoint, health, health.failing_since_ms))
    return grouped(failing)


def _ended_groups(
    call: Call, scope: Scope, stored: _Stored, endpoints: Sequence[Endpoint] | None = None
) -> list[list[Failing]]:
    """Return the last incident of each endpoint that has none now, the last to end first."""
    found: list[tuple[int, list[Failing]]] = []
    for endpoint in call.services.registry.endpoints(scope) if endpoints is None else endpoints:
        health = stored.health.get(endpoint.id)
        since_ms = None if health is None else _ended_since_ms(endpoint, health)
        if health is not None and since_ms is not None:
            last_hour, timeout_s = stored.last_hour.get(endpoint.id), _timeout_s(call, endpoint)
            if not is_failing(endpoint, failures=health.failures, last_hour=last_hour, timeout_s=timeout_s):
                found.append((health.former_until_ms or since_ms, [_failing(endpoint, health, since_ms)]))
    found.sort(key=lambda each: (-each[0], each[1][0].endpoint_id))
    return [group for _, group in found]


def _ended_since_ms(endpoint: Endpoint, health: EndpointHealth) -> int | None:
    """Return when the incident began that has ended: by a success, or because the endpoint was switched off."""
    if not endpoint.live and health.failing_since_ms is not None:
        return health.failing_since_ms
    return health.former_since_ms


def _until_ms(health: EndpointHealth, state: IncidentState) -> int | None:
    if state == "open" or health.former_since_ms is None:
        return None
    return health.former_until_ms


def _failing(endpoint: Endpoint, health: EndpointHealth, since_ms: int) -> Failing:
    return Failing(
        endpoint_id=endpoint.id,
        host=urlsplit(endpoint.url).netloc.lower(),
        code=failure_code(health.last_status, health.last_error),
        since_ms=since_ms,
    )


async def _oldest(call: Call, groups: Iterable[Sequence[Failing]]) -> dict[int, list[Delivery]]:
    """Return the oldest pending deliveries, by endpoint."""
    wanted = [each.endpoint_id for group in groups for each in group[:SIBLINGS_MAX]][:ENDPOINTS_MAX]
    found: dict[int, list[Delivery]] = {}
    for each in await call.services.store.history.oldest_pending(wanted, limit=OLDEST_MAX):
        found.setdefault(each.endpoint_id, []).append(each)
    return found


def _incident(
    call: Call, group: Sequence[Failing], stored: _Stored, oldest: Mapping[int, Sequence[Delivery]]
) -> dict[str, Any]:
    """Return the fields of IncidentView; the first endpoint of the group is the incident's."""
    registry, first = call.services.registry, group[0]
    endpoint = registry.endpoint(first.endpoint_id)
    summary = endpoint_summary(endpoint)
    if endpoint is None or summary is None:
        raise not_found("incident")  # deleted meanwhile
    health = stored.health[endpoint.id]
    last_hour, timeout_s = stored.last_hour.get(endpoint.id), _timeout_s(call, endpoint)
    is_open = is_failing(endpoint, failures=health.failures, last_hour=last_hour, timeout_s=timeout_s)
    state: IncidentState = "open" if is_open else "ended"
    waiting = [each for one in group for each in oldest.get(one.endpoint_id, [])]
    dies_ms = [_dies_ms(call, each, oldest) for each in group] if is_open else []
    views = [_endpoint_view(call, one, stored) for one in group]
    return {
        "endpoint_id": summary.id,
        "endpoint": summary,
        "state": state,
        "paused": endpoint.paused,
        "since": rfc3339(min(each.since_ms for each in group)),
        "until": shown_time(_until_ms(health, state)),
        "cause": health.last_cause,
        "last_status": health.last_status,
        "last_error": health.last_error,
        "failures": health.failures,
        "last_success_at": shown_time(health.last_success_ms),
        "last_failure_at": shown_time(health.last_failure_ms),
        "pending": sum(_count(stored, each, "pending") for each in group),
        "dead": sum(_count(stored, each, "dead") for each in group),
        "oldest_pending_at": shown_time(min((each.created_ms for each in waiting), default=None)),
        "first_dies_at": shown_time(min((each for each in dies_ms if each is not None), default=None)),
        "endpoints": [each for each in views if each is not None][:SIBLINGS_MAX],
    }


def _dies_ms(call: Call, failing: Failing, oldest: Mapping[int, Sequence[Delivery]]) -> int | None:
    """Return when the first delivery of an endpoint is given up at the earliest."""
    schedule_s = _schedule_s(call, call.services.registry.endpoint(failing.endpoint_id))
    return first_dies_ms(oldest.get(failing.endpoint_id, []), schedule_s, call.now_ms)


def _endpoint_view(call: Call, failing: Failing, stored: _Stored) -> FailingEndpointView | None:
    summary = endpoint_summary(call.services.registry.endpoint(failing.endpoint_id))
    if summary is None:
        return None
    return FailingEndpointView(
        endpoint=summary,
        since=rfc3339(failing.since_ms),
        failures=stored.health[failing.endpoint_id].failures,
        pending=_count(stored, failing, "pending"),
        dead=_count(stored, failing, "dead"),
    )


def _count(stored: _Stored, failing: Failing, state: Literal["pending", "dead"]) -> int:
    counts = stored.counts.get(failing.endpoint_id)
    return 0 if counts is None else counts.pending if state == "pending" else counts.dead


def _schedule_s(call: Call, endpoint: Endpoint | None) -> tuple[float, ...]:
    own = None if endpoint is None else endpoint.retry_schedule_s
    return call.services.settings.retry_schedule_s if own is None else own


def _timeout_s(call: Call, endpoint: Endpoint) -> float:
    return call.services.settings.timeout_s if endpoint.timeout_s is None else endpoint.timeout_s


async def _audit(call: Call, endpoint: Endpoint, since_ms: int) -> tuple[list[AuditEntryView], int | None, int | None]:
    """Return the changes shortly before the first failure, and when the endpoint was changed and tested since."""
    target = ids.encode("end", endpoint.id)
    entries = call.services.store.audit_log.entries
    earlier = await entries(call.scope, Page(ENTRIES_MAX, before=ids.at_time(since_ms + 1)), target=target)
    later = await entries(call.scope, Page(ENTRIES_MAX), target=target)
    since = [each for each in later if each.at_ms > since_ms]
    return (
        [
            audit_entry_view(each)
            for each in earlier
            if each.at_ms >= since_ms - CHANGES_BEFORE_MS and not _is_test(each)
        ],
        next((each.at_ms for each in since if not _is_test(each)), None),
        next((each.at_ms for each in since if _is_test(each)), None),
    )


def _is_test(entry: AuditEntry) -> bool:
    return entry.action == "testEndpoint"


async def _newest_attempt(call: Call, endpoint: Endpoint, waiting: Sequence[Delivery]) -> Attempt | None:
    """Return the newest failed attempt, with its answer: of deliveries that wait, or of the one that ended last."""
    history = call.services.store.history
    tried = sorted((each for each in waiting if each.attempt_count), key=lambda each: -(each.due_ms or 0))
    pairs = await history.deliveries_with_attempts([each.id for each in tried[:_ATTEMPTS_OF]], call.scope)
    attempts = [attempt for _, made in pairs for attempt in made]
    attempts += await history.recent_attempts(endpoint.id, _ATTEMPTS_OF)
    failed = [each for each in attempts if each.status is None or not 200 <= each.status <= 299]
    return max(failed, key=lambda each: each.started_ms, default=None)


_TAG: Final = "Monitoring"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/incidents",
        name="listIncidents",
        summary="List the endpoints that fail",
        tag=_TAG,
        needs="read",
        run=list_incidents,
        query=IncidentsQuery,
        answers={200: IncidentsView},
        problems=(422,),
        description=(
            "One incident for each endpoint that fails; endpoints with the same host and the same cause are one "
            "incident, named after the one that failed first. `state=ended` lists the last incident of endpoints that "
            f"answer again or were switched off. At most {INCIDENTS_MAX}; `more` is true when there are more."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/incidents/{id}",
        name="getIncident",
        summary="Read the incident of an endpoint",
        tag=_TAG,
        needs="read",
        run=get_incident,
        answers={200: IncidentDetailView},
        problems=(404,),
        description=(
            "The open incident of the endpoint with this id, else its last one: since when, why, what waits, when the "
            "first delivery is given up, what was changed in the hour before, and the steps to its end. 404: it has "
            "never failed several times in a row."
        ),
    ),
)
