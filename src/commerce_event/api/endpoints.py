"""Endpoints: made, read, changed, switched off, tested."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.api.auth import check_client
from commerce_event.api.events import scope_for
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.problems import Problem, invalid, not_found
from commerce_event.api.views import (
    MASK,
    EndpointView,
    NewEndpointView,
    SecretView,
    endpoint_view,
    new_endpoint_view,
    public_key_of,
)
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core.clock import rfc3339
from commerce_event.core.filters import InvalidFilterError, check_filter
from commerce_event.core.headers import InvalidHeaderError, check_headers
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT, Endpoint, Filter, Ordering, Secret, Signing
from commerce_event.core.retry import InvalidDurationError, check_schedule, parse_duration
from commerce_event.core.signatures import new_secret
from commerce_event.core.urls import InvalidUrlError, parse_url

PER_CLIENT_MAX: Final = 200
OVERLAP_DEFAULT: Final = "24h"
_OVERLAP_MAX_S: Final = 30 * 86_400
_ANY: Final = "*"

Url = Annotated[str, Meta(max_length=2_048, examples=["https://erp.example.com/webhooks"])]
Types = Annotated[list[str], Meta(min_length=1, max_length=50, examples=[["Order", "JobCompletedEvent"]])]
Description = Annotated[str, Meta(max_length=500)]
Headers = Annotated[dict[str, str], Meta(max_length=50)]
Timeout = Annotated[float, Meta(ge=0.1, le=30)]
Schedule = Annotated[list[float | str], Meta(max_length=50, examples=[["5s", "1m", "1h"]])]
Jitter = Annotated[float, Meta(ge=0, le=1)]
MaxInFlight = Annotated[int, Meta(ge=1, le=1_000)]
RateLimit = Annotated[float, Meta(gt=0, le=10_000)]
ClientId = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint to be made. What is left out follows the server's defaults."""

    client_id: ClientId
    url: Url
    event_types: Types
    application_id: ClientId | None = None
    enabled: bool = True
    description: Description = ""
    headers: Headers = {}
    filter: Filter | None = None
    timeout_s: Timeout | None = None
    retry_schedule: Schedule | None = None
    jitter: Jitter = 0.0
    max_in_flight: MaxInFlight = DEFAULT_MAX_IN_FLIGHT
    rate_limit: RateLimit | None = None
    ordering: Ordering = "none"
    follow_redirects: bool = True
    signing: Signing = "hmac"


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; the rest stays. A header whose value is the mask keeps the value it has."""

    url: Url | UnsetType = UNSET
    event_types: Types | UnsetType = UNSET
    application_id: ClientId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    filter: Filter | UnsetType | None = UNSET
    timeout_s: Timeout | UnsetType | None = UNSET
    retry_schedule: Schedule | UnsetType | None = UNSET
    jitter: Jitter | UnsetType = UNSET
    max_in_flight: MaxInFlight | UnsetType = UNSET
    rate_limit: RateLimit | UnsetType | None = UNSET
    ordering: Ordering | UnsetType = UNSET
    follow_redirects: bool | UnsetType = UNSET


class EndpointsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which endpoints."""

    client_id: int | None = None


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old secret is used beside the new one."""

    overlap: Annotated[str, Meta(max_length=20, examples=["24h"])] = OVERLAP_DEFAULT


async def create_endpoint(call: Call) -> Reply:
    wanted: NewEndpoint = call.body
    check_client(call.key, wanted.client_id)
    present = call.services.directory.endpoints(call.scope.narrowed_to(wanted.client_id))
    if len(present) >= PER_CLIENT_MAX:
        raise Problem(409, f"A client has at most {PER_CLIENT_MAX} endpoints; delete one that is not used.")
    now_ms = call.now_ms
    fields = msgspec.structs.asdict(wanted)
    endpoint = Endpoint(
        id=call.services.ids.next(now_ms),
        created_ms=now_ms,
        updated_ms=now_ms,
        secrets=(Secret(new_secret(wanted.signing)),),
        **_checked(call, fields),
    )
    return Reply(new_endpoint_view(await call.services.directory.save(endpoint)), 201)


async def list_endpoints(call: Call) -> Reply:
    query: EndpointsQuery = call.query
    before = query.page().before
    newest_first = [
        endpoint
        for endpoint in reversed(call.services.directory.endpoints(scope_for(call, query.client_id)))
        if before is None or endpoint.id < before
    ]
    return Reply(listing(newest_first, query, endpoint_view))


async def get_endpoint(call: Call) -> Reply:
    return Reply(endpoint_view(find_endpoint(call)))


async def change_endpoint(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    change: EndpointChange = call.body
    fields = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if "headers" in fields:
        kept = endpoint.headers
        fields["headers"] = {n: kept[n] if v == MASK and n in kept else v for n, v in fields["headers"].items()}
    if fields.get("enabled"):
        fields["disabled_reason"] = None
    present = {"event_types": list(endpoint.event_types), "filter": endpoint.filter}
    checked = _checked(call, {**present, **fields})
    changed = msgspec.structs.replace(endpoint, updated_ms=call.now_ms, **checked)
    saved = await call.services.directory.save(changed)
    call.services.scheduler.wake()
    return Reply(endpoint_view(saved))


async def delete_endpoint(call: Call) -> Reply:
    await call.services.directory.delete(find_endpoint(call).id, call.now_ms)
    call.services.scheduler.wake()
    return Reply(None, 204)


async def rotate_secret(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    rotation: Rotation = call.body
    try:
        overlap_s = parse_duration(rotation.overlap)
    except InvalidDurationError as error:
        raise invalid("/overlap", str(error)) from None
    if overlap_s > _OVERLAP_MAX_S:
        raise invalid("/overlap", "an overlap lasts at most 30 days")
    now_ms = call.now_ms
    expires_ms = now_ms + round(overlap_s * 1000)
    old = [Secret(s.value, min(expires_ms, s.expires_ms or expires_ms)) for s in endpoint.secrets]
    kept = tuple(secret for secret in old if (secret.expires_ms or 0) > now_ms)
    secrets = (Secret(new_secret(endpoint.signing)), *kept)
    saved = await call.services.directory.save(msgspec.structs.replace(endpoint, secrets=secrets, updated_ms=now_ms))
    return Reply(
        SecretView(
            secret=saved.secrets[0].value,
            public_key=public_key_of(saved),
            old_secret_expires_at=rfc3339(expires_ms),
        )
    )


def find_endpoint(call: Call) -> Endpoint:
    """Return the endpoint in the path. Raises Problem 404, also for another client's."""
    endpoint = call.services.directory.endpoint(call.id("end", "endpoint"))
    if endpoint is None or endpoint.deleted_ms is not None or not call.scope.allows(endpoint.client_id):
        raise not_found("endpoint")
    return endpoint


def _checked(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an endpoint from those of a request. Raises Problem 422 at the first that cannot be used."""
    checked = dict(fields)
    if "url" in fields:
        checked["url"] = _url(call, fields["url"])
    checked["event_types"] = _types(fields["event_types"])
    if fields.get("filter") is not None:
        checked["filter"] = _filter(fields["filter"], checked["event_types"])
    if "headers" in fields:
        _headers(fields["headers"])
    if "retry_schedule" in checked:
        schedule = checked.pop("retry_schedule")
        checked["retry_schedule_s"] = None if schedule is None else _schedule(schedule)
    return checked


def _url(call: Call, text: str) -> str:
    try:
        return parse_url(text, call.services.policy).text
    except InvalidUrlError as error:
        raise invalid("/url", str(error)) from None


def _types(names: Sequence[str]) -> tuple[str, ...]:
    known = {_ANY, *CATEGORIES, *EVENT_TYPES}
    for index, name in enumerate(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {near[0]}?" if near else "GET /v1/event-types lists the names; categories and * do too"
            )
            raise invalid(f"/event_types/{index}", f"there is no event type {name[:60]!r}; {hint}")
    return tuple(dict.fromkeys(names))


def _filter(raw: Filter, types: Sequence[str]) -> Filter:
    names = set(types)
    chosen = [t for t in EVENT_TYPES.values() if names & {_ANY, t.name, t.category}]
    try:
        return check_filter(raw, frozenset().union(*(each.properties for each in chosen)))
    except InvalidFilterError as error:
        raise invalid(f"/filter{error.pointer}", str(error)) from None


def _headers(headers: dict[str, str]) -> None:
    try:
        check_headers(headers)
    except InvalidHeaderError as error:
        name = error.name.replace("~", "~0").replace("/", "~1")
        raise invalid(f"/headers/{name}" if name else "/headers", str(error)) from None


def _schedule(delays: Sequence[float | str]) -> tuple[float, ...]:
    found = []
    for index, delay in enumerate(delays):
        try:
            seconds = parse_duration(delay) if isinstance(delay, str) else float(delay)
            check_schedule((seconds,))
        except InvalidDurationError as error:
            raise invalid(f"/retry_schedule/{index}", str(error)) from None
        found.append(seconds)
    return tuple(found)


_TAG = "Endpoints"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/endpoints",
        name="createEndpoint",
        summary="Make an endpoint",
        tag=_TAG,
        needs="manage",
        run=create_endpoint,
        body=NewEndpoint,
        answers={201: NewEndpointView},
        problems=(403, 409, 415, 422, 503),
        description="The answer holds the signing secret; it is not shown again.",
    ),
    Operation(
        method="GET",
        path="/v1/endpoints",
        name="listEndpoints",
        summary="List endpoints",
        tag=_TAG,
        needs="read",
        run=list_endpoints,
        query=EndpointsQuery,
        answers={200: Listing[EndpointView]},
        problems=(403, 422),
    ),
    Operation(
        method="GET",
        path="/v1/endpoints/{id}",
        name="getEndpoint",
        summary="Read an endpoint",
        tag=_TAG,
        needs="read",
        run=get_endpoint,
        answers={200: EndpointView},
        problems=(404,),
    ),
    Operation(
        method="PATCH",
        path="/v1/endpoints/{id}",
        name="changeEndpoint",
        summary="Change an endpoint",
        tag=_TAG,
        needs="manage",
        run=change_endpoint,
        body=EndpointChange,
        answers={200: EndpointView},
        problems=(404, 415, 422, 503),
        description="Switched off, nothing is tracked for it; what already waits is held until it is on again.",
    ),
    Operation(
        method="DELETE",
        path="/v1/endpoints/{id}",
        name="deleteEndpoint",
        summary="Delete an endpoint",
        tag=_TAG,
        needs="manage",
        run=delete_endpoint,
        answers={204: None},
        problems=(404, 503),
        description="What waits for it is cancelled; its history stays.",
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{id}/rotate-secret",
        name="rotateSecret",
        summary="Make a new secret",
        tag=_TAG,
        needs="manage",
        run=rotate_secret,
        body=Rotation,
        body_required=False,
        answers={200: SecretView},
        problems=(404, 415, 422, 503),
    ),
)
