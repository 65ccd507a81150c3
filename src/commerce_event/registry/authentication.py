"""Who calls, and what they may do."""

from typing import Final, Literal

from commerce_event.core.model import Key, Role
from commerce_event.core.problems import Problem
from commerce_event.registry.registry import Registry

Needed = Literal["any", "publish", "read", "manage", "admin"]

_MAY: Final[dict[Needed, frozenset[Role]]] = {
    "any": frozenset({"admin", "manage", "publish", "read"}),
    "publish": frozenset({"admin", "manage", "publish"}),
    "read": frozenset({"admin", "manage", "read"}),
    "manage": frozenset({"admin", "manage"}),
    "admin": frozenset({"admin"}),
}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="commerce-event"'}


def authenticate(registry: Registry, authorization: str | None) -> Key:
    """Return the caller's key. Raises Problem 401."""
    if not authorization:
        raise Problem(401, "Send your key as: Authorization: Bearer KEY.", headers=_CHALLENGE)
    scheme, _, token = authorization.partition(" ")
    if not token:
        raise Problem(401, "Write Bearer before the key: Authorization: Bearer KEY.", headers=_CHALLENGE)
    key = registry.authenticate(token.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise Problem(401, "This key is unknown or revoked; use another one, which an admin makes.", headers=_CHALLENGE)
    return key


def check_role(key: Key, needed: Needed) -> None:
    """Raises Problem 403."""
    if key.role not in _MAY[needed]:
        raise Problem(403, f"A key with role {key.role} may not do this; it takes {needed}.")


def check_client(key: Key, client_id: int) -> None:
    """Raises Problem 403 when the key may not touch that client."""
    if not key.scope.allows(client_id):
        raise Problem(403, f"This key may not act for client {client_id}.")
