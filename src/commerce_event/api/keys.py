"""API keys: create, list and revoke; only for admins."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, Time, read_time
from commerce_event.api.response_models import KeyView, NewKeyView, key_fields
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.key_state import key_state
from commerce_event.core.model import Key, Role
from commerce_event.core.problems import Problem, invalid, not_found

EXPIRES_MAX_S: Final = 10 * 366 * 86_400


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to create: its role and its clients. An admin key is for all clients."""

    role: Role
    client_ids: Annotated[list[Int32], Meta(min_length=1, max_length=1_000)] | None = None
    name: Annotated[str, Meta(max_length=100)] = ""
    expires_in_s: Annotated[int, Meta(ge=60, le=EXPIRES_MAX_S)] | None = None
    expires_at: Time | None = None


class KeysQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page to read."""


class RevokeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether to revoke a key that locks a person out."""

    force: bool = False


def clients_of(wanted: NewKey) -> tuple[int, ...] | None:
    """Return the clients of a new key; None for all. Raises Problem 422."""
    if wanted.role != "admin" and wanted.client_ids is None:
        raise invalid("/client_ids", f"name the clients that a {wanted.role} key is for")
    if wanted.role == "admin" and wanted.client_ids is not None:
        raise invalid("/client_ids", "an admin key is for all clients; leave this out")
    return None if wanted.client_ids is None else tuple(dict.fromkeys(wanted.client_ids))


def expiry_of(wanted: NewKey, now_ms: int) -> int | None:
    """Return when a new key expires (ms since 1970); None for never. Raises Problem 422."""
    if wanted.expires_in_s is not None and wanted.expires_at is not None:
        raise invalid("/expires_at", "give expires_in_s or expires_at, not both")
    if wanted.expires_in_s is not None:
        return now_ms + wanted.expires_in_s * 1000
    expires_ms = read_time(wanted.expires_at, "/expires_at")
    if expires_ms is not None and not now_ms < expires_ms <= now_ms + EXPIRES_MAX_S * 1000:
        raise invalid("/expires_at", "give a time to come, at most ten years from now")
    return expires_ms


async def create_key(call: Call) -> Reply:
    wanted: NewKey = call.body
    clients, expires_ms = clients_of(wanted), expiry_of(wanted, call.now_ms)
    key, text = await call.services.registry.add_key(
        wanted.role, clients, wanted.name, call.now_ms, expires_ms=expires_ms
    )
    fields = key_fields(key, None, call.now_ms)
    view = NewKeyView(**fields, key=text)
    call.is_about(None, view.id, name=key.name, after=KeyView(**fields))
    return Reply(view, 201, {"Location": f"/v1/keys/{view.id}"})


async def list_keys(call: Call) -> Reply:
    query: KeysQuery = call.query
    before = query.page().before
    found = [key for key in reversed(call.services.registry.all_keys()) if before is None or key.id < before]
    uses, now_ms = await call.services.registry.key_uses(), call.now_ms
    return Reply(listing(found, query, lambda key: KeyView(**key_fields(key, uses.get(key.id), now_ms))))


async def revoke_key(call: Call) -> Reply:
    key_id = call.id("key", "key")
    key = next((key for key in call.services.registry.all_keys() if key.id == key_id), None)
    if key is None:
        raise not_found("key")
    call.is_about(None, ids.encode("key", key_id), name=key.name)
    if key.revoked_ms is None:
        if not call.query.force:
            _check_revocable(call, key)
        await call.services.registry.revoke_key(key_id, call.now_ms)
        call.is_about(
            None,
            ids.encode("key", key_id),
            name=key.name,
            before={"revoked_at": None},
            after={"revoked_at": rfc3339(call.now_ms)},
        )
    return Reply(None, 204)


def _check_revocable(call: Call, key: Key) -> None:
    """Raise Problem 409 for the last admin key, and for the caller's own key."""
    admins = [each for each in call.services.registry.all_keys() if each.role == "admin"]
    live_admins = [each for each in admins if key_state(each, call.now_ms) == "active"]
    if live_admins == [key] and call.services.settings.admin_key is None:
        raise Problem(409, "This is the last admin key; create another one first, or revoke it with force=true.")
    if key.id == call.key.id:
        raise Problem(409, "This is the key of this request; use another one, or revoke it with force=true.")


_TAG = "Keys"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/keys",
        name="createKey",
        summary="Create a key",
        tag=_TAG,
        needs="admin",
        run=create_key,
        body=NewKey,
        answers={201: NewKeyView},
        problems=(415, 422),
        description="The key is shown only once. It may expire: after `expires_in_s`, or at `expires_at`.",
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        name="listKeys",
        summary="List keys",
        tag=_TAG,
        needs="admin",
        run=list_keys,
        query=KeysQuery,
        answers={200: Listing[KeyView]},
        problems=(422,),
        description=(
            "Newest first, including keys that are revoked or have expired, and portal links; without the keys "
            "themselves. Uses are written once a minute."
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{id}",
        name="revokeKey",
        summary="Revoke a key",
        tag=_TAG,
        needs="admin",
        run=revoke_key,
        query=RevokeQuery,
        answers={204: None},
        problems=(404, 409, 422),
        description=(
            "It stops working at once on this node, and within a second on others. The key of the request and the last "
            "admin key are refused with 409 unless `force=true`."
        ),
    ),
)
