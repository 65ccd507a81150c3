"""Portal links: who may make them, and for what."""

import asyncio
from typing import Any

import pytest
from api_server import Api, Json, expect, expect_problem

from commerce_event.api import portal_links
from commerce_event.core import ids

PATH = "/v1/portal-links"


def wanted(client_id: int = 1, **fields: Any) -> Json:
    return {"client_id": client_id, "role": "read", "expires_in_s": 3_600, **fields}


async def test_portal_link_is_a_key_that_is_listed_and_ends(api: Api) -> None:
    expect(await api.admin.put("/v1/clients/1", json={"name": "Acme"}), 200)

    made = expect(await api.admin.post(PATH, json=wanted()), 201)

    assert made["url"].startswith(f"{api.url}/admin/portal?link=")
    (listed,) = expect(await api.admin.get("/v1/keys"), 200)["items"]
    assert (listed["id"], listed["name"]) == (made["key_id"], "Portal link for Acme (1)")
    assert (listed["role"], listed["client_ids"], listed["expires_at"]) == ("read", [1], made["expires_at"])
    (entry, _) = expect(await api.admin.get("/v1/audit"), 200)["items"]
    assert (entry["action"], entry["target"]) == ("createPortalLink", made["key_id"])
    assert made["url"].partition("link=")[2] not in str(entry)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"expires_in_s": 59}, "/expires_in_s"),
        ({"expires_in_s": 30 * 86_400 + 1}, "/expires_in_s"),
        ({"expires_in_s": None}, "/expires_in_s"),
        ({"role": "admin"}, "/role"),
        ({"role": "publish"}, "/role"),
        ({"client_id": "x"}, "/client_id"),
    ],
)
async def test_portal_link_that_is_none_is_refused(api: Api, fields: Json, pointer: str) -> None:
    expect_problem(await api.admin.post(PATH, json=wanted(**fields)), 422, pointer)


async def test_portal_link_for_another_client_is_refused(api: Api) -> None:
    caller, _ = await api.key("manage", 1)

    expect_problem(await caller.post(PATH, json=wanted(2)), 403)
    expect(await caller.post(PATH, json=wanted(1, role="manage")), 201)


async def test_portal_link_ends_with_the_key_that_makes_it(api: Api) -> None:
    body = {"role": "manage", "client_ids": [1], "expires_in_s": 600}
    key = expect(await api.admin.post("/v1/keys", json=body), 201)
    caller = await api.caller(key["key"])

    assert expect(await caller.post(PATH, json=wanted()), 201)["expires_at"] == key["expires_at"]


async def test_portal_link_is_no_bearer_token(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted()), 201)
    link = made["url"].partition("link=")[2]
    for token in (link, made["key_id"], f"{made['key_id']}_"):
        expect_problem(await (await api.caller(token)).get("/v1/events"), 401)


async def test_portal_links_of_a_client_are_limited(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal_links, "PER_CLIENT_MAX", 2)
    for _ in range(2):
        made = expect(await api.admin.post(PATH, json=wanted()), 201)
    expect(await api.admin.delete(f"/v1/keys/{made['key_id']}"), 204)

    expect_problem(await api.admin.post(PATH, json=wanted()), 409)
    expect(await api.admin.post(PATH, json=wanted(2)), 201)


async def test_portal_links_that_are_made_together_keep_the_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal_links, "PER_CLIENT_MAX", 2)

    answers = await asyncio.gather(*(api.admin.post(PATH, json=wanted()) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]


async def test_portal_link_opens_on_every_node_that_has_read_the_keys(api: Api) -> None:
    made = expect(await api.admin.post(PATH, json=wanted()), 201)
    await api.node.registry.load()

    found = api.node.registry.portal_link(made["url"].partition("link=")[2])

    assert found is not None
    assert found.id == ids.decode("key", made["key_id"])
    assert found.is_portal_link
