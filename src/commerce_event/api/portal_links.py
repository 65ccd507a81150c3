"""Portal links: a URL that opens the screens for one client, for a limited time."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.problems import Problem
from commerce_event.registry.authentication import NotAllowedError, check_client

PATH: Final = "/admin/portal"
EXPIRES_MIN_S: Final = 60
EXPIRES_MAX_S: Final = 30 * 86_400
PER_CLIENT_MAX: Final = 100  # made in EXPIRES_MAX_S, also those that have ended


class NewPortalLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link to make: for which client, what it allows, and for how long."""

    client_id: Int32
    role: Literal["read", "manage"] = "read"
    expires_in_s: Annotated[int, Meta(ge=EXPIRES_MIN_S, le=EXPIRES_MAX_S, examples=[604_800])]


class PortalLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A new portal link; the URL is shown only once."""

    url: str
    key_id: str
    client_id: int
    role: Literal["read", "manage"]
    expires_at: str


async def create_portal_link(call: Call) -> Reply:
    wanted: NewPortalLink = call.body
    check_client(call.key, wanted.client_id)
    if call.key.is_portal_link:  # else revoking a link would leave those that it made
        raise NotAllowedError("A portal link cannot make other links; it takes a key.")
    registry, now_ms = call.services.registry, call.now_ms
    name = registry.client_name(wanted.client_id)
    shown = str(wanted.client_id) if name is None else f"{name} ({wanted.client_id})"
    ends_ms = now_ms + wanted.expires_in_s * 1000
    expires_ms = ends_ms if call.key.expires_ms is None else min(ends_ms, call.key.expires_ms)
    added = await registry.add_portal_link(
        wanted.role,
        wanted.client_id,
        f"Portal link for {shown}"[:100],
        now_ms,
        expires_ms=expires_ms,
        since_ms=now_ms - EXPIRES_MAX_S * 1000,
        limit=PER_CLIENT_MAX,
    )
    if added is None:
        raise Problem(409, f"A client gets at most {PER_CLIENT_MAX} portal links in 30 days; use one that there is.")
    key, link = added
    view = PortalLinkView(
        url=f"{call.origin}{PATH}?link={link}",
        key_id=ids.encode("key", key.id),
        client_id=wanted.client_id,
        role=wanted.role,
        expires_at=rfc3339(expires_ms),
    )
    call.is_about(wanted.client_id, view.key_id)
    return Reply(view, 201, {"Location": view.url})


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/portal-links",
        name="createPortalLink",
        summary="Create a portal link",
        tag="Clients",
        needs="manage",
        run=create_portal_link,
        body=NewPortalLink,
        answers={201: PortalLinkView},
        problems=(409, 415, 422),
        description=(
            "Anyone who has the URL may open the screens of that client until the link ends, which is never later than "
            "the key that makes it. It is listed among the keys; revoking it there ends the link and its sessions."
        ),
    ),
)
