"""The reference page in a browser: filter, deep links, phone layout, no foreign requests."""

import json

import pytest
import pytest_asyncio
import yaml
from api_server import Api
from playwright.async_api import Page, expect

from commerce_event.contract.catalogue import EVENT_TYPES

EVENT = "OrderPartlyDeliveredEvent"


@pytest_asyncio.fixture(loop_scope="session")
async def browser_errors(page: Page, api: Api) -> list[str]:
    """Console errors, script errors and requests to other hosts."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((api.url, "data:")) else found.append(asked.url))
    return found


async def test_reference_has_no_errors_and_no_foreign_requests(page: Page, browser_errors: list[str]) -> None:
    await page.goto("/reference", wait_until="networkidle")

    assert not browser_errors
    for name in EVENT_TYPES:
        assert await page.locator(f"article#{name}").count() == 1


async def test_contents_filter_narrows_and_enter_opens(page: Page, browser_errors: list[str]) -> None:
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
    await expect(page.get_by_text("No entry matches.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(links).to_have_count(before)
    assert not browser_errors


async def test_contents_filter_finds_operation_by_path(page: Page) -> None:
    await page.goto("/reference")
    await page.get_by_label("Filter the contents").fill("/v1/replays/{id}")

    await expect(page.locator("#contents li:visible")).to_have_text(["GETRead a replay's progress"])


@pytest.mark.parametrize("place", [EVENT, "createEndpoint", f"schema-{EVENT}", "group-Supplier", "handlers"])
async def test_deep_link_opens_and_marks_the_entry(page: Page, place: str) -> None:
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


async def test_contents_collapse_on_a_phone(page: Page, browser_errors: list[str]) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto("/reference")
    toggle = page.get_by_role("button", name="Contents")
    inside = page.locator("#contents .list")
    await expect(inside).to_be_hidden()
    await toggle.click()
    await expect(inside).to_be_visible()
    await expect(toggle).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Escape")
    await expect(inside).to_be_hidden()
    await expect(toggle).to_be_focused()

    await page.keyboard.press("Enter")
    await page.locator(f"#contents a[href='#{EVENT}']").click()
    await expect(inside).to_be_hidden()
    await expect(page.locator(f"article#{EVENT}")).to_be_in_viewport()
    await expect(page.locator("#contents [aria-current]")).to_have_attribute("href", f"#{EVENT}")
    assert not browser_errors


@pytest.mark.parametrize(("button", "read"), [("OpenAPI JSON", json.loads), ("OpenAPI YAML", yaml.safe_load)])
async def test_openapi_document_downloads_completely(page: Page, button: str, read: type) -> None:
    await page.goto("/reference")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=button).click()
    path = await (await waiting.value).path()

    assert set(read(path.read_text())["webhooks"]) == set(EVENT_TYPES)
