"""Keys that expire, and when keys were last used."""

from typing import Any

import msgspec
import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.core.clock import rfc3339

PATH = "/v1/keys"
DAY_S = 86_400


def wanted(**fields: Any) -> Json:
    return {"role": "read", "client_ids": [1], "name": "support", **fields}


async def find(api: Api, key_id: str) -> Json:
    return next(each for each in expect(await api.admin.get(PATH), 200)["items"] if each["id"] == key_id)


async def test_expired_key_is_refused_with_the_time_of_its_expiry(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted(expires_in_s=60)), 201)
    caller = await api.caller(made["key"])
    expect(await caller.get("/v1/events"), 200)

    skip_time(api, 60_000)

    problem = expect_problem(await caller.get("/v1/events"), 401)
    day, minute = made["expires_at"][:10], made["expires_at"][11:16]
    assert problem["detail"] == f"This key expired on {day} at {minute} UTC. Ask an admin for a new one."
    assert (await find(api, made["id"]))["state"] == "expired"


async def test_key_may_expire_at_a_time(api: Api) -> None:
    then = rfc3339(api.node.clock.now_ms() + 3_600_000)

    made = expect(await api.admin.post(PATH, json=wanted(expires_at=then)), 201)

    assert made["expires_at"] == then
    assert (await find(api, made["id"]))["expires_at"] == then


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"expires_in_s": 59}, "/expires_in_s"),
        ({"expires_in_s": 11 * 366 * DAY_S}, "/expires_in_s"),
        ({"expires_in_s": "soon"}, "/expires_in_s"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2088-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_in_s": 60, "expires_at": "2030-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_expiry_that_is_none_is_refused(api: Api, fields: Json, pointer: str) -> None:
    expect_problem(await api.admin.post(PATH, json=wanted(**fields)), 422, pointer)


async def test_list_says_when_a_key_was_last_used_also_after_the_flush(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted()), 201)
    assert (await find(api, made["id"]))["last_used_at"] is None
    caller = await api.caller(made["key"])
    before = rfc3339(api.node.clock.now_ms())

    expect(await caller.get("/v1/events"), 200)
    noted = (await find(api, made["id"]))["last_used_at"]
    await api.node.registry.flush_key_uses()

    assert before <= noted <= rfc3339(api.node.clock.now_ms())
    assert (await find(api, made["id"]))["last_used_at"] == noted


async def test_list_warns_of_keys_that_end_soon_or_were_never_used(api: Api) -> None:
    soon = expect(await api.admin.post(PATH, json=wanted(expires_in_s=2 * DAY_S + 60)), 201)
    later = expect(await api.admin.post(PATH, json=wanted(expires_in_s=30 * DAY_S)), 201)
    assert (await find(api, soon["id"]))["warning"] == "expires in 2 days"
    assert (await find(api, later["id"]))["warning"] is None

    skip_time(api, 8 * DAY_S * 1000)

    assert (await find(api, soon["id"]))["warning"] is None  # its state says that it has expired
    assert (await find(api, later["id"]))["warning"] == "never used in 8 days"


async def test_last_admin_key_is_the_last_one_that_has_not_expired(api: Api) -> None:
    _, lasting = await api.key("admin")
    expect(await api.admin.post(PATH, json={"role": "admin", "expires_in_s": 60}), 201)
    msgspec.structs.force_setattr(api.node.settings, "admin_key", None)
    skip_time(api, 60_000)

    expect_problem(await api.admin.delete(f"{PATH}/{lasting['id']}"), 409)


def skip_time(api: Api, ms: int) -> None:
    """Let the node's clock be so much later."""
    clock = api.node.clock
    now_ms = clock.now_ms
    clock.now_ms = lambda: now_ms() + ms  # type: ignore[method-assign]
