"""The reference page: it shows everything in the document once, with a link."""

import asyncio
import html
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import pytest
from api_server import Api, expect, running_api
from markupsafe import escape

from commerce_event.api import openapi
from commerce_event.api.openapi import document
from commerce_event.api.problem_types import problem_types
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.reference import routes
from commerce_event.reference.from_openapi import reference_page
from commerce_event.reference.samples import PUBLISH, SIGNED, handlers

VOID = {"meta", "link", "img", "input", "wbr", "br", "hr"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


async def page(api: Api) -> str:
    visitor = await api.caller(None)
    response = await visitor.get("/reference")
    assert response.status_code == 200
    return response.text


class Outline(HTMLParser):
    """Notes headings, and elements that are not closed where they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.faults: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"{tag} has an attribute twice")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> at line {self.getpos()[0]}")


async def test_reference_every_event_operation_and_schema_has_a_link(api: Api) -> None:
    text = await page(api)
    document = expect(await api.admin.get("/openapi.json"), 200)
    ids = Counter(re.findall(r'\bid="([^"]+)"', text))
    links = set(re.findall(r'href="#([^"]+)"', text))

    assert [name for name, count in ids.items() if count > 1] == []
    wanted = set(EVENT_TYPES) | {f"schema-{name}" for name in document["components"]["schemas"]}
    wanted |= {call["operationId"] for path in document["paths"].values() for call in path.values()}
    assert wanted <= set(ids)
    assert wanted <= links
    assert links <= set(ids), "a link leads nowhere"
    pointed = re.findall(r'(?:aria-controls|aria-labelledby|data-copy|for)="([^"]+)"', text)
    assert set(pointed) <= set(ids)


async def test_reference_events_are_grouped_with_every_property(api: Api) -> None:
    text = await page(api)
    places = [text.index(f'id="group-{name}"') for name in CATEGORIES]

    assert places == sorted(places)
    for event_type in EVENT_TYPES.values():
        part = text[text.index(f'<article class="entry" id="{event_type.name}"') :].split("</article>", 1)[0]
        said = html.unescape(part)
        assert event_type.description in said
        for each in event_type.fields:
            assert f'<span class="name">{each.name}</span>' in part, (event_type.name, each.name)
            assert each.description in said
            for value in (*each.values, *each.known_values):
                assert f'<code class="tag">{value}</code>' in part


async def test_reference_is_well_formed_and_headings_skip_no_level(api: Api) -> None:
    outline = Outline()
    outline.feed(await page(api))

    assert outline.faults == []
    assert outline.headings.count(1) == 1
    assert outline.headings[0] == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(later <= earlier + 1 for earlier, later in steps)


async def test_reference_links_document_screens_and_handlers(api: Api) -> None:
    text = await page(api)

    for address in ("/openapi.json", "/openapi.yaml", "/admin"):
        assert f'href="{address}"' in text
        assert (await (await api.caller(None)).get(address)).status_code in {200, 303}
    for sample in (*handlers([*EVENT_TYPES.values()]), SIGNED, PUBLISH):
        for number, file in enumerate(sample.files):
            place = f"code-{sample.language}-{number}" if number else f"code-{sample.language}"
            shown = text[text.index(f'id="{place}"') :].split("</pre>", 1)[0].split(">", 1)[1]
            assert html.unescape(re.sub(r"<[^>]+>", "", shown)) == file.text


async def test_reference_shows_the_settings_in_force(tmp_path: Path) -> None:
    async with running_api(tmp_path, retry_schedule_s=(60.0, 120.0), timeout_s=2.0, max_body=2048) as api:
        text = await page(api)

    receiving = text[text.index('id="receiving"') : text.index('id="handlers"')]
    assert "<b>This server: 2 retries over 3 min</b>; the contract: 16 retries over 22 h." in receiving
    assert ">Answer within 2 s</h3>" in receiving
    assert re.findall(r"<li>([^<]+)</li>", receiving) == ["1 min", "2 min"]
    assert "An event has at most 2 KiB." in text
    assert '<th scope="row">Largest event</th><td><b>2 KiB</b></td><td>256 KiB</td>' in text


async def test_reference_without_retries_says_so(tmp_path: Path) -> None:
    async with running_api(tmp_path, retry_schedule_s=()) as api:
        assert "A delivery is attempted only once" in await page(api)


async def test_reference_every_call_that_needs_a_key_says_its_role(api: Api) -> None:
    text = await page(api)
    document = expect(await api.admin.get("/openapi.json"), 200)
    for call in (call for path in document["paths"].values() for call in path.values()):
        part = text[text.index(f'<article class="entry" id="{call["operationId"]}"') :].split("</article>", 1)[0]
        assert ("Needs no key." in part) == (not call["security"]), call["operationId"]


async def test_reference_lists_every_problem_with_its_remedy(api: Api) -> None:
    text = await page(api)
    for name, kind in problem_types().items():
        part = text[text.index(f'<div id="problem-{name}">') :].split("</div>", 1)[0]
        assert str(kind.status) in part
        assert str(escape(kind.remedy)) in part


async def test_reference_unchanged_answers_304(api: Api) -> None:
    visitor = await api.caller(None)
    first = await visitor.get("/reference")
    again = await visitor.get("/reference", headers={"If-None-Match": first.headers["etag"]})
    other = await visitor.get("/reference", headers={"If-None-Match": '"another"'})

    assert again.status_code == 304
    assert not again.content
    assert other.status_code == 200


async def test_reference_is_gzipped_on_request(api: Api) -> None:
    visitor = await api.caller(None)
    packed = await visitor.get("/reference", headers={"Accept-Encoding": "gzip"})
    plain = await visitor.get("/reference", headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.text == plain.text


async def test_reference_runs_only_own_files(api: Api) -> None:
    text = await page(api)

    assert not re.search(r"<script(?![^>]*\bsrc=\"/assets/)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)
    response = await (await api.caller(None)).get("/reference")
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(("call", "status"), [("publishEvent", 202), ("publishEvents", 200), ("createKey", 201)])
async def test_reference_example_bodies_are_accepted(api: Api, call: str, status: int) -> None:
    shown = {each.id: each for tag in reference_page(document(), {}).tags for each in tag.operations}[call]
    body = json.loads(shown.curl.split(" -d '", 1)[1].removesuffix("'"))
    path = re.search(r'\$COMMERCE_EVENT_URL([^"]+)"', shown.curl)
    assert path is not None

    answer = expect(await api.admin.post(path[1], json=body), status)

    if call == "publishEvents":
        assert (answer["accepted"], answer["refused"]) == (len(body), 0)


async def test_publish_sample_run_twice_publishes_once(api: Api, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    script = tmp_path / PUBLISH.main.path
    script.write_text(PUBLISH.main.text, "utf-8")
    publisher, made = await api.key("publish", 1006)
    assert publisher is not None
    environment = {**os.environ, "COMMERCE_EVENT_URL": api.url, "COMMERCE_EVENT_KEY": made["key"]}

    def run() -> dict[str, object]:
        done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, check=True)
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    first = await asyncio.to_thread(run)
    second = await asyncio.to_thread(run)

    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["id"] == second["id"]
    events = expect(await api.admin.get("/v1/events", params={"client_id": 1006}), 200)["items"]
    assert [each["data"]["LastName"] for each in events] == ["Lindström"]


async def test_page_and_document_that_many_ask_for_at_once_are_made_once(api: Api) -> None:
    """Anybody may ask, and with fifty own event types each takes seconds."""
    type_ = {"name": "ManyAsk", "category": "Asked", "schema": {}, "example": {"ClientId": 1}}
    expect(await api.admin.post("/v1/event-types", json=type_), 201)
    visitor = await api.caller(None)
    openapi.document_yaml.cache_clear()
    with (
        patch.object(routes, "_render", wraps=routes._render) as render,
        patch.object(openapi, "as_yaml_text", wraps=openapi.as_yaml_text) as as_yaml,
    ):
        asked = [visitor.get(path) for path in ("/reference", "/openapi.yaml") for _ in range(4)]
        answers = await asyncio.gather(*asked)
    assert all("ManyAsk" in each.text for each in answers)
    assert (render.call_count, as_yaml.call_count) == (1, 1)
