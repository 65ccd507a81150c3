"""The reference page: everything of the document is on it, once, and can be linked to."""

import html
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import Api, expect, running_api

from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


async def page(api: Api) -> str:
    visitor = await api.caller(None)
    response = await visitor.get("/reference")
    assert response.status_code == 200
    return response.text


async def test_every_event_call_and_schema_has_its_place_and_a_link_to_it(api: Api) -> None:
    text = await page(api)
    document = expect(await api.admin.get("/openapi.json"), 200)
    ids = Counter(re.findall(r'\bid="([^"]+)"', text))
    links = set(re.findall(r'href="#([^"]+)"', text))

    assert [name for name, count in ids.items() if count > 1] == []
    wanted = set(EVENT_TYPES) | {f"schema-{name}" for name in document["components"]["schemas"]}
    wanted |= {
        call["operationId"] for path in document["paths"].values() for call in path.values() if "operationId" in call
    }
    assert wanted <= set(ids)
    assert wanted <= links
    assert links <= set(ids), "a link leads nowhere"


async def test_events_come_in_their_groups_with_every_property(api: Api) -> None:
    text = await page(api)
    places = [text.index(f'id="group-{name}"') for name in CATEGORIES]

    assert places == sorted(places)
    for event_type in EVENT_TYPES.values():
        part = text[text.index(f'<article class="entry" id="{event_type.name}"') :].split("</article>", 1)[0]
        assert html.escape(event_type.description, quote=False) in html.unescape(
            part
        ) or event_type.description in html.unescape(part)
        for each in event_type.fields:
            assert f'<span class="name">{each.name}</span>' in part, (event_type.name, each.name)
            assert each.description in html.unescape(part)
            for value in each.values:
                assert f'<span class="tag">{value}</span>' in part


async def test_page_is_asked_for_again_only_when_it_changed(api: Api) -> None:
    visitor = await api.caller(None)
    first = await visitor.get("/reference")
    again = await visitor.get("/reference", headers={"If-None-Match": first.headers["etag"]})

    assert again.status_code == 304
    assert not again.content


async def test_page_runs_nothing_but_our_own_files(api: Api) -> None:
    text = await page(api)

    assert not re.search(r"<script(?![^>]*\bsrc=\"/assets/)|\sstyle=|\son\w+=|https?://[^\s\"<]*\.(js|css|woff)", text)
