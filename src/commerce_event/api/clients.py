"""Clients and what people call them."""

from collections import Counter
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.core.problems import Problem, invalid, not_found
from commerce_event.core.receiver_text import without_controls
from commerce_event.registry.authentication import check_client
from commerce_event.registry.registry import CLIENT_NAMES_MAX

NAME_MAX: Final = 100
_INT32: Final = 2**31


class ClientName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people call a client; null removes it."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX, examples=["Acme"])] | None


class ClientsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page to read."""


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """A client: its number, what people call it, and how many endpoints it has."""

    client_id: int
    name: str | None
    endpoints: int


class _Entry(msgspec.Struct, frozen=True):
    """A client in the list. Its ``id`` falls as the number of the client rises, as pages go by falling ids."""

    view: ClientView

    @property
    def id(self) -> int:
        return _INT32 - self.view.client_id


async def list_clients(call: Call) -> Reply:
    registry, query = call.services.registry, call.query
    names = registry.client_names(call.scope)
    endpoints = Counter(endpoint.client_id for endpoint in registry.endpoints(call.scope))
    known = names.keys() | endpoints.keys() | frozenset(call.scope.client_ids or ())
    entries = [_Entry(_view(call, client_id, endpoints[client_id])) for client_id in sorted(known)]
    found = [entry for entry in entries if query.before is None or entry.id < query.before]
    return Reply(listing(found, query, lambda entry: entry.view))


async def name_client(call: Call) -> Reply:
    client_id = _client_id(call.path["client_id"])
    check_client(call.key, client_id)
    name = _checked(call.body.name)
    call.is_about(client_id, str(client_id))
    registry = call.services.registry
    if name != registry.client_name(client_id) and not await registry.set_client_name(client_id, name):
        raise Problem(409, f"At most {CLIENT_NAMES_MAX:,} clients have a name; remove one that is not needed.")
    endpoints = [each for each in registry.endpoints(call.scope) if each.client_id == client_id]
    return Reply(_view(call, client_id, len(endpoints)))


def _view(call: Call, client_id: int, endpoints: int) -> ClientView:
    return ClientView(client_id=client_id, name=call.services.registry.client_name(client_id), endpoints=endpoints)


def _client_id(text: str) -> int:
    """Return the number in the path. Raises Problem 404."""
    try:
        client_id = int(text)
    except ValueError:
        raise not_found("client") from None
    if str(client_id) != text or not -_INT32 <= client_id < _INT32:
        raise not_found("client")
    return client_id


def _checked(name: str | None) -> str | None:
    """Return a name without blanks around it. Raises Problem 422."""
    if name is None:
        return None
    if without_controls(name) != name:
        raise invalid("/name", "write it in one line, without control characters")
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        raise invalid("/name", "write a name, or null to remove it")
    return name.strip()


_TAG = "Clients"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/clients",
        name="listClients",
        summary="List clients",
        tag=_TAG,
        needs="read",
        run=list_clients,
        query=ClientsQuery,
        answers={200: Listing[ClientView]},
        problems=(422,),
        description="By number: the clients that have a name or an endpoint, and those that the key is limited to.",
    ),
    Operation(
        method="PUT",
        path="/v1/clients/{client_id}",
        name="nameClient",
        summary="Name a client",
        tag=_TAG,
        needs="manage",
        run=name_client,
        body=ClientName,
        answers={200: ClientView},
        problems=(404, 409, 415, 422),
        description="The name is shown next to the number on screens. It has no other effect.",
    ),
)
