"""The reference page in a browser: search, deep links, narrow screens, no requests to other hosts."""

import json

import pytest
import pytest_asyncio
import yaml
from api_server import Api
from playwright.async_api import Page, expect

from commerce_event.contract.catalogue import EVENT_TYPES

EVENT = "OrderPartlyDeliveredEvent"


@pytest_asyncio.fixture(loop_scope="session")
async def complaints(page: Page, api: Api) -> list[str]:
    """What the browser complains of, and what it asks of anybody but this server."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((api.url, "data:")) else found.append(asked.url))
    return found


async def test_page_asks_nobody_else_and_complains_of_nothing(page: Page, complaints: list[str]) -> None:
    await page.goto("/reference", wait_until="networkidle")

    assert not complaints
    for name in EVENT_TYPES:
        assert await page.locator(f"article#{name}").count() == 1


async def test_typing_narrows_the_contents_and_enter_goes_there(page: Page, complaints: list[str]) -> None:
    await page.goto("/reference")
    links = page.locator("#contents li:visible")
    before = await links.count()
    await page.keyboard.press("/")
    await page.keyboard.type("partly")

    await expect(links.first).to_be_visible()
    assert 0 < await links.count() < before
    assert all("partly" in text.lower() for text in await links.all_inner_texts())
    await page.keyboard.press("Enter")
    await expect(page.locator(f"article#{EVENT}")).to_be_in_viewport()
    assert page.url.endswith(f"#{EVENT}")

    await page.keyboard.press("/")
    await page.keyboard.type("no such thing")
    await expect(page.get_by_text("Nothing has that in its name.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(links).to_have_count(before)
    assert not complaints


async def test_call_is_found_by_its_path(page: Page) -> None:
    await page.goto("/reference")
    await page.get_by_label("Narrow the contents").fill("/v1/replays/{id}")

    await expect(page.locator("#contents li:visible")).to_have_text(["GETRead a replay's progress"])


@pytest.mark.parametrize("place", [EVENT, "createEndpoint", f"schema-{EVENT}", "group-Supplier", "handlers"])
async def test_link_into_the_page_opens_there_and_is_marked(page: Page, place: str) -> None:
    await page.goto(f"/reference#{place}")

    await expect(page.locator(f"[id='{place}']")).to_be_in_viewport()
    if not place.startswith("group-"):  # the contents name the events of a group
        await expect(page.locator(f"#contents a[href='#{place}']")).to_have_attribute("aria-current", "location")


async def test_chosen_language_is_remembered(page: Page) -> None:
    await page.goto("/reference#handlers")
    await page.get_by_role("tab", name="Go", exact=True).click()
    await expect(page.get_by_role("tabpanel", name="Go", exact=True)).to_be_visible()
    await page.keyboard.press("ArrowLeft")
    chosen = await page.get_by_role("tab", selected=True).inner_text()
    assert chosen != "Go"

    await page.reload()
    await expect(page.get_by_role("tab", selected=True)).to_have_text(chosen)
    await expect(page.get_by_role("tabpanel", name=chosen, exact=True)).to_be_visible()


async def test_contents_fold_on_a_phone(page: Page, complaints: list[str]) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto("/reference")
    fold = page.get_by_role("button", name="Contents")
    inside = page.locator("#contents .list")
    await expect(inside).to_be_hidden()
    await fold.click()
    await expect(inside).to_be_visible()
    await expect(fold).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Escape")
    await expect(inside).to_be_hidden()
    await expect(fold).to_be_focused()

    await page.keyboard.press("Enter")
    await page.locator(f"#contents a[href='#{EVENT}']").click()
    await expect(inside).to_be_hidden()
    await expect(page.locator(f"article#{EVENT}")).to_be_in_viewport()
    await expect(page.locator("#contents [aria-current]")).to_have_attribute("href", f"#{EVENT}")
    assert not complaints


@pytest.mark.parametrize(("button", "read"), [("OpenAPI JSON", json.loads), ("OpenAPI YAML", yaml.safe_load)])
async def test_document_is_downloaded_whole(page: Page, button: str, read: type) -> None:
    await page.goto("/reference")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=button).click()
    path = await (await waiting.value).path()

    assert set(read(path.read_text())["webhooks"]) == set(EVENT_TYPES)
