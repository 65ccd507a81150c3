"""Endpoints: create, list, read, change, delete, and rotate the secret."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta

from commerce_event.api.endpoint_fields import EndpointChange, NewEndpoint, check_fields
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import (
    AUDITED_SECRETS,
    MASK,
    EndpointView,
    NewEndpointView,
    SecretView,
    audited_endpoint,
    endpoint_view,
    new_endpoint_view,
    public_key_of,
    shared_secret_of,
)
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.problems import Problem, invalid, not_found
from commerce_event.core.retry import InvalidDurationError, parse_duration
from commerce_event.core.signatures import new_secret
from commerce_event.registry.authentication import check_client

PER_CLIENT_MAX: Final = 200
OVERLAP_DEFAULT: Final = "24h"
_OVERLAP_MAX_S: Final = 30 * 86_400
_SECRETS_MAX: Final = 8  # a receiver checks at most 8 signatures


class EndpointsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of endpoints."""

    client_id: Int32 | None = None


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long requests are signed with the old secret as well."""

    overlap: Annotated[str, Meta(max_length=20, examples=["24h"])] = OVERLAP_DEFAULT


async def create_endpoint(call: Call) -> Reply:
    wanted: NewEndpoint = call.body
    check_client(call.key, wanted.client_id)
    now_ms = call.now_ms
    fields = msgspec.structs.asdict(wanted)
    endpoint = Endpoint(
        id=call.services.ids.next(now_ms),
        created_ms=now_ms,
        updated_ms=now_ms,
        switched_ms=now_ms,
        secrets=(Secret(new_secret(wanted.signing)),),
        **check_fields(fields, call.services.policy, call.services.registry.catalogue),
    )
    saved = await call.services.registry.add(endpoint, limit=PER_CLIENT_MAX)
    if saved is None:
        raise Problem(409, f"A client has at most {PER_CLIENT_MAX} endpoints; delete an unused one.")
    _audit(call, None, saved)
    view = new_endpoint_view(saved, now_ms)
    return Reply(view, 201, {"Location": f"/v1/endpoints/{view.id}"})


async def list_endpoints(call: Call) -> Reply:
    query: EndpointsQuery = call.query
    before = query.page().before
    newest_first = [
        endpoint
        for endpoint in reversed(call.services.registry.endpoints(scope_for(call, query.client_id)))
        if before is None or endpoint.id < before
    ]
    return Reply(listing(newest_first, query, lambda endpoint: endpoint_view(endpoint, call.now_ms)))


async def get_endpoint(call: Call) -> Reply:
    return Reply(endpoint_view(find_endpoint(call), call.now_ms))


async def change_endpoint(call: Call) -> Reply:
    saved = await store_endpoint_change(call, find_endpoint(call).id, lambda _: call.body)
    return Reply(endpoint_view(saved, call.now_ms))


async def store_endpoint_change(
    call: Call, endpoint_id: int, change_for: Callable[[Endpoint], EndpointChange]
) -> Endpoint:
    """Store the change that ``change_for`` returns for the endpoint as it is now. Raises Problem."""
    saved = await _change(call, endpoint_id, lambda endpoint: _changed(call, endpoint, change_for(endpoint)))
    call.services.dispatcher.wake()
    return saved


async def _change(call: Call, endpoint_id: int, changed: Callable[[Endpoint], Endpoint]) -> Endpoint:
    before: Endpoint | None = None

    def remembered(endpoint: Endpoint) -> Endpoint:
        nonlocal before
        before = endpoint
        return changed(endpoint)

    saved = await call.services.registry.change(endpoint_id, remembered)
    if saved is None:
        raise not_found("endpoint")
    _audit(call, before, saved)
    return saved


def _audit(call: Call, before: Endpoint | None, after: Endpoint | None) -> None:
    """Set what the call changes: an endpoint. None before: it is created; None after: it is deleted."""
    endpoint = after or before
    if endpoint is not None:
        call.is_about(
            endpoint.client_id,
            ids.encode("end", endpoint.id),
            name=endpoint.name,
            before=None if before is None else audited_endpoint(before),
            after=None if after is None else audited_endpoint(after),
            secret=AUDITED_SECRETS,
        )


def _changed(call: Call, endpoint: Endpoint, change: EndpointChange) -> Endpoint:
    fields = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if "headers" in fields:
        kept = {name.lower(): value for name, value in endpoint.headers.items()}
        fields["headers"] = {n: kept.get(n.lower(), v) if v == MASK else v for n, v in fields["headers"].items()}
    if fields.get("enabled"):
        fields["disabled_reason"] = None
    present: dict[str, Any] = {
        "event_types": list(endpoint.event_types),
        "except_types": list(endpoint.except_types),
        "filter": endpoint.filter,
    }
    if fields.keys() & {"event_types", "except_types"}:  # a selection must fit them
        present["properties"] = endpoint.properties
    usable = check_fields({**present, **fields}, call.services.policy, call.services.registry.catalogue)
    switched = endpoint.switched(
        call.now_ms,
        enabled=usable.pop("enabled", endpoint.enabled),
        paused=usable.pop("paused", endpoint.paused),
    )
    return msgspec.structs.replace(switched, updated_ms=call.now_ms, **usable)


async def delete_endpoint(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    await call.services.registry.delete(endpoint.id, call.now_ms)
    _audit(call, endpoint, None)
    call.services.dispatcher.wake()
    return Reply(None, 204)


async def rotate_secret(call: Call) -> Reply:
    rotation: Rotation = call.body
    try:
        overlap_s = parse_duration(rotation.overlap)
    except InvalidDurationError as error:
        raise invalid("/overlap", str(error)) from None
    if overlap_s > _OVERLAP_MAX_S:
        raise invalid("/overlap", "an overlap lasts at most 30 days")
    now_ms = call.now_ms
    expires_ms = now_ms + round(overlap_s * 1000)

    def rotated(endpoint: Endpoint) -> Endpoint:
        secrets = (Secret(new_secret(endpoint.signing)), *_kept(endpoint.secrets, expires_ms, now_ms))
        return msgspec.structs.replace(endpoint, secrets=secrets, updated_ms=now_ms)

    saved = await _change(call, find_endpoint(call).id, rotated)
    return Reply(
        SecretView(
            secret=shared_secret_of(saved),
            public_key=public_key_of(saved),
            old_secret_expires_at=rfc3339(expires_ms),
        )
    )


def _kept(secrets: Sequence[Secret], expires_ms: int, now_ms: int) -> list[Secret]:
    """Return the old secrets that sign as well as a new one, newest first."""
    old = [Secret(s.value, min(expires_ms, s.expires_ms or expires_ms)) for s in secrets]
    return [secret for secret in old if (secret.expires_ms or 0) > now_ms][: _SECRETS_MAX - 1]


def find_endpoint(call: Call) -> Endpoint:
    """Return the endpoint in the path. Raises Problem 404, also for another client's endpoint."""
    endpoint = call.services.registry.endpoint_in(call.scope, call.id("end", "endpoint"))
    if endpoint is None:
        raise not_found("endpoint")
    call.is_about(endpoint.client_id, ids.encode("end", endpoint.id), name=endpoint.name)
    return endpoint


_TAG = "Endpoints"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/endpoints",
        name="createEndpoint",
        summary="Create an endpoint",
        tag=_TAG,
        needs="manage",
        run=create_endpoint,
        body=NewEndpoint,
        answers={201: NewEndpointView},
        problems=(409, 415, 422),
        description="The answer has the signing secret, which is shown only once; with ed25519 the public key instead.",
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
        problems=(422,),
        description="Newest first, without deleted endpoints.",
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
        description="Values of static headers are masked.",
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
        problems=(404, 415, 422),
        description=(
            "While disabled, new events are not tracked, and pending deliveries are held until it is enabled. While "
            "paused, new events are tracked, and their deliveries are held until it is resumed: nothing is lost."
        ),
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
        problems=(404,),
        description="Its pending deliveries are cancelled; its history stays.",
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{id}/rotate-secret",
        name="rotateSecret",
        summary="Rotate the secret",
        tag=_TAG,
        needs="manage",
        run=rotate_secret,
        body=Rotation,
        body_required=False,
        answers={200: SecretView},
        problems=(404, 415, 422),
        description="Until the overlap ends, requests are signed with both secrets, so receivers have time to change.",
    ),
)
