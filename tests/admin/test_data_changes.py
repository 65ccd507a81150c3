"""The screens of changes, event settings and change sources: what they refuse, and what they say when empty."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_server import ADMIN_KEY, Api, expect, plain_client, running_api

TYPE = "CustomerChangedNotification"
FORM = {"client_id": "1", "entity": "tClientCustomer", "on_update": "1", "enabled": "1", "coalesce_s": "0"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        await sign_in(client)
        yield client


async def sign_in(visitor: httpx.AsyncClient, key: str = ADMIN_KEY) -> None:
    assert (await visitor.post("/admin/sign-in", data={"key": key})).status_code == 303


async def form_of(visitor: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    match = re.search('name="csrf" value="([^"]+)"', (await visitor.get("/admin/keys")).text)
    assert match is not None
    return {"csrf": match[1], **fields}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("changes", "curl -X POST"), ("sources", "curl -X PUT"), (f"types/{TYPE}/settings", "Add setting"),
        ("changes?entity=tNothing", "Remove a filter"), ("sources?client_id=7", "no change source"),
        (f"types/{TYPE}/settings?client_id=7", "No setting: changes of a customer raise nothing."),
        (f"types/{TYPE}/settings?client_id=1.0", "No setting: changes of a customer raise nothing."),
    ],
)  # fmt: skip
async def test_empty_screens_say_what_to_do_next(visitor: httpx.AsyncClient, address: str, words: str) -> None:
    response = await visitor.get(f"/admin/{address}")

    assert response.status_code == 200
    assert words in response.text


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("changes?client_id=x", 422, "Enter the client&#39;s number."), ("changes?since=soon", 422, "since"),
        ("changes?unmapped=perhaps", 422, "unmapped"), ("changes?cursor=bad", 422, "ursor"),
        ("sources?client_id=x", 422, "whole number"), (f"types/{TYPE}/settings?client_id=x", 422, "client_id"),
        ("types/OrderConfirmedEvent/settings", 404, "There is no such notification"), ("sources/none", 404, "no such"),
        ("changes/chg_1", 404, "There is no such change."), ("event-settings/set_1", 404, "no such event setting"),
    ],
)  # fmt: skip
async def test_screens_say_what_is_wrong_with_an_address(
    visitor: httpx.AsyncClient, address: str, status: int, words: str
) -> None:
    response = await visitor.get(f"/admin/{address}")

    assert response.status_code == status
    assert words in response.text.partition("<main")[2]


async def test_event_setting_forms_need_the_token_of_the_session(api: Api, visitor: httpx.AsyncClient) -> None:
    new = f"/admin/types/{TYPE}/settings/new"
    assert (await visitor.post(new, data=FORM)).status_code == 403
    foreign = await visitor.post(new, data=await form_of(visitor, **FORM), headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert expect(await api.admin.get("/v1/event-settings"), 200)["items"] == []

    assert (await visitor.post(new, data=await form_of(visitor, **FORM))).status_code == 303
    (setting,) = expect(await api.admin.get("/v1/event-settings"), 200)["items"]
    for action in ("edit", "switch", "delete"):
        assert (await visitor.post(f"/admin/event-settings/{setting['id']}/{action}", data=FORM)).status_code == 403
    assert expect(await api.admin.get("/v1/event-settings"), 200)["items"] == [setting]


async def test_second_setting_of_an_entity_is_refused_with_the_first(api: Api, visitor: httpx.AsyncClient) -> None:
    new, form = f"/admin/types/{TYPE}/settings/new", await form_of(visitor, **FORM)
    assert (await visitor.post(new, data=form)).status_code == 303
    (setting,) = expect(await api.admin.get("/v1/event-settings"), 200)["items"]

    again = await visitor.post(new, data=form)

    assert again.status_code == 409
    assert setting["id"] in again.text


async def test_audit_log_has_the_sentence_before_and_after(api: Api, visitor: httpx.AsyncClient) -> None:
    await visitor.post(f"/admin/types/{TYPE}/settings/new", data=await form_of(visitor, **FORM))
    (setting,) = expect(await api.admin.get("/v1/event-settings"), 200)["items"]
    form = await form_of(visitor, on="0")
    assert (await visitor.post(f"/admin/event-settings/{setting['id']}/switch", data=form)).status_code == 303

    text = (await visitor.get("/admin/audit")).text

    assert "Switched off CustomerChangedNotification of tClientCustomer" in text
    assert f'href="/admin/event-settings/{setting["id"]}"' in text


async def test_break_point_form_asks_for_no_fields_and_no_delete(visitor: httpx.AsyncClient) -> None:
    text = (await visitor.get("/admin/types/SkuOnHandBreakPointNotification/settings/new")).text

    assert 'name="on_insert"' in text
    assert 'name="on_delete"' not in text
    assert 'name="more_fields"' not in text
    assert "falls below MinimumValue" in text


async def test_search_for_the_id_of_a_change_opens_it(visitor: httpx.AsyncClient, api: Api) -> None:
    change = {"client_id": 1, "entity": "tClientCustomer", "operation": "delete", "key": {"CustomerId": 1}}
    made = expect(await api.admin.post("/v1/changes", json=change), 202)

    found = await visitor.get(f"/admin/events?q={made['id']}")

    assert found.headers["location"] == f"/admin/changes/{made['id']}"
    assert "has no setting for tClientCustomer" in (await visitor.get(found.headers["location"])).text
