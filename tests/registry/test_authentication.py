"""Authentication: which callers are refused, and with which answer."""

import pytest

from commerce_event.core.model import Key, Role
from commerce_event.core.problems import RejectedError
from commerce_event.registry.authentication import (
    Needed,
    NotAllowedError,
    NotSignedInError,
    authenticate,
    check_client,
    check_role,
)
from commerce_event.registry.registry import Registry

KEY = Key(id=1, role="publish", client_ids=(1, 2), name="shop", digest=b"", created_ms=0)


class OneKey(Registry):
    """A registry that knows one token."""

    def __init__(self) -> None:
        """Do without a store."""

    def authenticate(self, token: str) -> Key | None:
        return KEY if token == "secret" else None

    def expired_ms(self, token: str) -> int | None:
        return 1_790_000_000_000 if token == "old" else None


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_authenticate_known_key_is_returned(authorization: str) -> None:
    assert authenticate(OneKey(), authorization) is KEY


@pytest.mark.parametrize("authorization", [None, "", "secret", "Bearer", "Bearer ", "Bearer other", "Basic secret"])
def test_authenticate_anything_else_is_401_with_a_challenge(authorization: str | None) -> None:
    with pytest.raises(NotSignedInError) as raised:
        authenticate(OneKey(), authorization)

    body = raised.value.body()
    assert (body.type, body.title, body.status) == ("/problems/not-signed-in", "Not signed in", 401)
    assert raised.value.headers == {"WWW-Authenticate": 'Bearer realm="commerce-event"'}
    assert isinstance(raised.value, RejectedError)


def test_authenticate_expired_key_is_401_and_says_so() -> None:
    with pytest.raises(NotSignedInError, match=r"This key expired on 2026-09-21 at 14:13 UTC\. Ask an admin"):
        authenticate(OneKey(), "Bearer old")


@pytest.mark.parametrize(
    ("needed", "roles"),
    [
        ("any", {"admin", "manage", "publish", "read"}),
        ("publish", {"admin", "manage", "publish"}),
        ("read", {"admin", "manage", "read"}),
        ("manage", {"admin", "manage"}),
        ("admin", {"admin"}),
    ],
)
@pytest.mark.parametrize("role", ["admin", "manage", "publish", "read"])
def test_check_role_refuses_exactly_the_other_roles(role: Role, needed: Needed, roles: set[str]) -> None:
    key = Key(id=1, role=role, client_ids=None, name="", digest=b"", created_ms=0)
    if role in roles:
        check_role(key, needed)
    else:
        with pytest.raises(NotAllowedError, match=f"it takes {needed}"):
            check_role(key, needed)


def test_check_client_refuses_other_clients_with_403() -> None:
    check_client(KEY, 2)
    with pytest.raises(NotAllowedError) as raised:
        check_client(KEY, 3)

    body = raised.value.body()
    assert (body.type, body.title, body.status) == ("/problems/not-allowed", "Not allowed", 403)
    assert raised.value.headers == {}
