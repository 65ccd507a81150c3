"""Authenticate a caller by its API key, and check the key's role and clients."""

from typing import Final, Literal

from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Key, Role
from commerce_event.core.problems import TITLES, RejectedError
from commerce_event.registry.registry import Registry

Needed = Literal["any", "publish", "read", "manage", "admin"]

_ROLES: Final[dict[Needed, frozenset[Role]]] = {
    "any": frozenset({"admin", "manage", "publish", "read"}),
    "publish": frozenset({"admin", "manage", "publish"}),
    "read": frozenset({"admin", "manage", "read"}),
    "manage": frozenset({"admin", "manage"}),
    "admin": frozenset({"admin"}),
}
_UNKNOWN: Final = "This key is unknown or revoked."
_CHALLENGE: Final = 'Bearer realm="commerce-event"'


class NotSignedInError(RejectedError):
    """The request has no known API key."""

    STATUS = 401
    TITLE = TITLES[401]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers["WWW-Authenticate"] = _CHALLENGE


class NotAllowedError(RejectedError):
    """The key's role or clients do not permit this."""

    STATUS = 403
    TITLE = TITLES[403]


def authenticate(registry: Registry, authorization: str | None) -> Key:
    """Return the key that an ``Authorization`` header names. Raises NotSignedInError."""
    if not authorization:
        raise NotSignedInError("Send your key as: Authorization: Bearer KEY.")
    scheme, _, token = authorization.partition(" ")
    if not token:
        raise NotSignedInError("Write Bearer before the key: Authorization: Bearer KEY.")
    key = registry.authenticate(token.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        reason = why_refused(registry, token.strip()) if scheme.lower() == "bearer" else _UNKNOWN
        raise NotSignedInError(f"{reason} Ask an admin for a new one.")
    return key


def why_refused(registry: Registry, token: str) -> str:
    """Return why a token is refused, as a sentence."""
    expired_ms = registry.expired_ms(token)
    if expired_ms is None:
        return _UNKNOWN
    moment = rfc3339(expired_ms)
    return f"This key expired on {moment[:10]} at {moment[11:16]} UTC."


def check_role(key: Key, needed: Needed) -> None:
    """Raise NotAllowedError when the key's role does not permit a call that needs this one."""
    if key.role not in _ROLES[needed]:
        raise NotAllowedError(f"A key with role {key.role} may not do this; it takes {needed}.")


def check_client(key: Key, client_id: int) -> None:
    """Raise NotAllowedError when the key may not access that client."""
    if not key.scope.allows(client_id):
        raise NotAllowedError(f"This key may not act for client {client_id}.")
