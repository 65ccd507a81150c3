"""Payload selection on the screens: the endpoint's form without scripts, and the body of each endpoint."""

import json
import re
from collections.abc import AsyncIterator
from html import unescape

import httpx
import pytest
from api_server import ADMIN_KEY, Api, Json, expect, plain_client

from commerce_event.admin.payload_selection import payload_text, property_groups, unlisted
from commerce_event.contract.catalogue import CONTRACT, Catalogue
from commerce_event.contract.own_types import own_type

REQUIRED = {"ClientId", "ApplicationId", "OrderId", "OrderNo", "ClientOrderRef", "Source"}


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        await client.post("/admin/sign-in", data={"key": ADMIN_KEY}, headers={"Sec-Fetch-Site": "same-origin"})
        yield client


async def edit(visitor: httpx.AsyncClient, endpoint: Json, **fields: str | list[str]) -> httpx.Response:
    """Send the endpoint's form, with these fields in place of what it has."""
    path = f"/admin/endpoints/{endpoint['id']}/edit"
    csrf = re.search('name="csrf" value="([^"]+)"', (await visitor.get(path)).text)
    assert csrf is not None
    form = {"csrf": csrf[1], "url": endpoint["url"], "event_types": "*", "enabled": "1", "jitter": "0"}
    return await visitor.post(path, data={**form, "max_in_flight": "32", **fields})


async def properties(api: Api, endpoint: Json) -> list[str] | None:
    found: list[str] | None = expect(await api.admin.get(f"/v1/endpoints/{endpoint['id']}"), 200)["properties"]
    return found


async def test_endpoint_form_saves_ticked_and_other_properties(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint()
    selection: dict[str, str | list[str]] = {
        "properties": ["Email", "FirstName", "Email"],
        "other_properties": "$.A , ",
    }
    assert (await edit(visitor, endpoint, payload="selected", **selection)).status_code == 303
    assert await properties(api, endpoint) == ["Email", "FirstName", "$.A"]
    page = (await visitor.get(f"/admin/endpoints/{endpoint['id']}/edit")).text
    assert {*re.findall('name="properties" value="([^"]+)" checked', page)} == {"Email", "FirstName"}
    assert 'name="other_properties" type="text" value="$.A"' in page
    assert (await edit(visitor, endpoint, payload="selected")).status_code == 303
    assert await properties(api, endpoint) == []
    assert (await edit(visitor, endpoint, payload="all", **selection)).status_code == 303
    assert await properties(api, endpoint) is None


async def test_endpoint_form_with_misspelt_property_is_shown_again(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint()
    refused = await edit(visitor, endpoint, payload="selected", properties="FirstName", other_properties="Emial")
    assert refused.status_code == 422
    assert "did you mean Email?" in refused.text
    assert 'name="properties" value="FirstName" checked' in refused.text
    assert 'name="other_properties" type="text" value="Emial"' in refused.text


async def test_event_screen_shows_the_body_that_each_endpoint_got(api: Api, visitor: httpx.AsyncClient) -> None:
    selecting = await api.endpoint(properties=["$.Note"], description="Newsletter")
    whole = await api.endpoint(description="ERP")
    event = await api.publish(Note="<b>canary</b>")
    await api.until_finished(2)
    page = (await visitor.get(f"/admin/events/{event['id']}")).text
    assert "<b>canary" not in page
    body = re.search(f'id="body-{selecting["id"]}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert body is not None
    shown = json.loads(unescape(re.sub("<[^>]+>", "", body[1])))
    assert shown.keys() == REQUIRED | {"Note"}
    assert f'id="body-{whole["id"]}"' not in page
    curl = re.search(f'id="curl-{selecting["id"]}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert curl is not None
    assert "LastName" not in curl[1]
    assert "Body sent: a part of the event" in page


async def test_event_screen_without_selections_shows_one_body(api: Api, visitor: httpx.AsyncClient) -> None:
    await api.endpoint()
    event = await api.publish()
    await api.until_finished(1)
    page = (await visitor.get(f"/admin/events/{event['id']}")).text
    assert "a part of" not in page


async def test_event_screen_of_unsent_delivery_shows_the_body_to_be_sent(api: Api, visitor: httpx.AsyncClient) -> None:
    await api.endpoint(properties=[])
    await api.node.dispatcher.close(1)
    event = await api.publish()
    assert "Body to be sent: a part of the event" in (await visitor.get(f"/admin/events/{event['id']}")).text


def test_payload_text_says_what_is_sent() -> None:
    assert payload_text(None) == "the whole event, as it was accepted"
    assert payload_text(()) == "the required properties only"
    assert payload_text(["Email", "$.Campaign"]) == "the required properties, Email, Campaign"


def test_property_groups_of_a_type_with_many_properties_are_bounded() -> None:
    schema = {"properties": {f"P{number}": {} for number in range(500)}, "required": ["P1", "P2"]}
    catalogue = Catalogue([own_type("Wide", "Export", "event", "", schema, {})])
    wide = property_groups(catalogue)[-1]
    assert (wide.type, len(wide.properties), wide.more) == ("Wide", 100, 402)
    assert [name for name, is_required in wide.properties if is_required] == ["ClientId", "P1", "P2"]
    assert unlisted(["P3", "P499", "$.Other", "Email"], catalogue) == ["P499", "$.Other"]


def test_unlisted_properties_are_those_without_a_box() -> None:
    assert unlisted(["Email", "PartNo", "$.Campaign"], CONTRACT) == ["PartNo", "$.Campaign"]
