"""The screens of refused events: what they show, and accepting, correcting and discarding there."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_server import ADMIN_KEY, Api, example, plain_client


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        await sign_in(client)
        yield client


async def sign_in(visitor: httpx.AsyncClient, key: str = ADMIN_KEY) -> None:
    response = await visitor.post("/admin/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 303


async def form_of(visitor: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    match = re.search('name="csrf" value="([^"]+)"', (await visitor.get("/admin")).text)
    assert match is not None
    return {"csrf": match[1], **fields}


async def refuse(api: Api, **changes: Any) -> str:
    """Publish an order that is refused; return the id of the refusal."""
    known = {each["id"] for each in (await api.admin.get("/v1/refusals")).json()["items"]}
    await api.admin.post("/v1/events/OrderConfirmedEvent", json={**example(OrderId=None), **changes})
    while True:  # it is stored after the answer
        for each in (await api.admin.get("/v1/refusals")).json()["items"]:
            if each["id"] not in known:
                return str(each["id"])


async def test_refused_event_is_accepted_on_its_screen_once(api: Api, visitor: httpx.AsyncClient) -> None:
    id_ = await refuse(api, FirstName="<b>canary</b>")
    form = await form_of(visitor)

    assert id_ in (await visitor.get("/admin/refusals")).text
    assert "1 event was refused" in (await visitor.get("/admin")).text
    shown = (await visitor.get(f"/admin/refusals/{id_}")).text
    assert "<b>canary" not in shown
    assert "canary" in shown
    assert "<code>/OrderId</code> is required" in shown

    accepted = await visitor.post(f"/admin/refusals/{id_}/accept", data=form)
    assert accepted.status_code == 303
    event = (await visitor.get(accepted.headers["location"])).text
    assert f'href="/admin/refusals/{id_}"' in event
    again = await visitor.post(f"/admin/refusals/{id_}/accept", data=form)
    assert again.status_code == 409
    assert accepted.headers["location"].rpartition("/")[2] in again.text
    assert id_ not in (await visitor.get("/admin/refusals")).text
    assert id_ in (await visitor.get("/admin/refusals?state=accepted")).text


async def test_refused_event_is_corrected_on_its_screen(api: Api, visitor: httpx.AsyncClient) -> None:
    id_ = await refuse(api)
    form = await form_of(visitor, type="OrderReceivedEvent")
    path = f"/admin/refusals/{id_}/correct"
    for text, words in (
        ("", "Enter the corrected event."), ("{", "not JSON"), ('{"ClientId": "<i>x</i>"}', "<code>/ClientId</code>"),
        ('{}, "type": "OrderConfirmedEvent"', "not JSON"), ("7", "must be an object"),
    ):  # fmt: skip
        answer = await visitor.post(path, data={**form, "data": text})
        assert 400 <= answer.status_code <= 422, text
        assert words in answer.text
        assert "<i>x" not in answer.text
    corrected = await visitor.post(path, data={**form, "data": json.dumps(example(OrderId=77, Extra="ö"))})
    assert corrected.status_code == 303, corrected.text
    event = (await api.admin.get(f"/v1/events/{corrected.headers['location'].rpartition('/')[2]}")).json()
    assert (event["type"], event["data"]["OrderId"], event["data"]["Extra"]) == ("OrderReceivedEvent", 77, "ö")


async def test_refused_event_is_discarded_on_its_screen(api: Api, visitor: httpx.AsyncClient) -> None:
    id_ = await refuse(api)
    form = await form_of(visitor, reason="a <test>")

    assert (await visitor.post(f"/admin/refusals/{id_}/discard", data=form)).status_code == 303
    shown = (await visitor.get(f"/admin/refusals/{id_}")).text
    assert "a &lt;test&gt;" in shown
    assert "Accept as it is" not in shown
    assert (await visitor.post(f"/admin/refusals/{id_}/discard", data=form)).status_code == 409


async def test_refused_event_that_is_large_or_not_json_is_shown(api: Api, visitor: httpx.AsyncClient) -> None:
    large = await refuse(api, Note="n" * 50_000)
    await api.admin.post("/v1/events/No", content=b"\xff<i>x", headers={"Content-Type": "application/json"})
    other = (await api.admin.get("/v1/refusals")).json()["items"][0]["id"]

    assert "too large to correct here" in (await visitor.get(f"/admin/refusals/{large}")).text
    shown = (await visitor.get(f"/admin/refusals/{other}")).text
    assert "&lt;i&gt;x" in shown
    assert "<i>x" not in shown


async def test_item_without_type_can_only_be_corrected(api: Api, visitor: httpx.AsyncClient) -> None:
    await api.admin.post("/v1/events", json=[{"data": example()}])
    (refused,) = (await api.admin.get("/v1/refusals")).json()["items"]

    shown = (await visitor.get(f"/admin/refusals/{refused['id']}")).text
    assert "Accept as it is" not in shown
    form = await form_of(visitor, data=json.dumps(example()))
    path = f"/admin/refusals/{refused['id']}/correct"
    assert (await visitor.post(path, data={**form, "type": ""})).status_code == 422
    assert (await visitor.post(path, data={**form, "type": "OrderConfirmedEvent"})).status_code == 303


async def test_refused_event_of_unknown_type_offers_the_type_that_was_meant(
    api: Api, visitor: httpx.AsyncClient
) -> None:
    for sent, offered in (("OrderConfirmed", "OrderConfirmedEvent"), ("Refund", "")):
        await api.admin.post(f"/v1/events/{sent}", json=example())
        id_ = (await api.admin.get("/v1/refusals")).json()["items"][0]["id"]

        shown = (await visitor.get(f"/admin/refusals/{id_}")).text
        assert "GET /v1" not in shown + (await visitor.get("/admin/refusals")).text
        assert "Accept as it is" not in shown
        assert "its type is not known" in shown
        assert re.findall("<option selected>([^<]*)", shown) == ([offered] if offered else [])
        form = await form_of(visitor, data=json.dumps(example()), type="OrderConfirmedEvent")
        assert (await visitor.post(f"/admin/refusals/{id_}/correct", data=form)).status_code == 303


async def test_event_with_warnings_says_why_it_was_accepted(api: Api, visitor: httpx.AsyncClient) -> None:
    id_ = await refuse(api, OrderNo=1)
    accepted = await visitor.post(f"/admin/refusals/{id_}/accept", data=await form_of(visitor))
    of_refusal = (await visitor.get(accepted.headers["location"])).text
    await api.admin.put("/v1/validation", json={"client_id": 1, "event_type": "*", "mode": "warn"})
    published = await api.admin.post("/v1/events/OrderConfirmedEvent", json={**example(), "OrderNo": 2})
    of_mode = (await visitor.get(f"/admin/events/{published.json()['id']}")).text

    assert ("and accepted later" in of_refusal, "validation mode" in of_refusal) == (True, False)
    assert ("and accepted later" in of_mode, "validation mode" in of_mode) == (False, True)


async def test_refusals_screen_filters_and_explains_errors(api: Api, visitor: httpx.AsyncClient) -> None:
    one = await refuse(api)
    two = await refuse(api, ClientId=2)
    _, key = await api.key("manage", 1)
    await sign_in(visitor, key["key"])

    own = (await visitor.get("/admin/refusals")).text
    assert (one in own, two in own) == (True, False)
    assert one not in (await visitor.get("/admin/refusals?type=Other")).text
    for query, status, words in (
        ("client_id=2", 403, "client 2"), ("client_id=x", 422, "Enter the client&#39;s number."),
        ("state=lost", 422, "must be one of"), ("cursor=bad", 422, "ursor"),
    ):  # fmt: skip
        wrong = await visitor.get(f"/admin/refusals?{query}")
        assert wrong.status_code == status, query
        assert words in wrong.text.partition("<main")[2], query


async def test_search_without_result_leads_to_refused_events(visitor: httpx.AsyncClient) -> None:
    text = (await visitor.get("/admin/events?q=nothing&client_id=7")).text

    assert 'href="/admin/refusals?client_id=7"' in text
    assert 'href="/admin/refusals?type=JobCompletedEvent"' in (await visitor.get("/admin/types/JobCompletedEvent")).text
