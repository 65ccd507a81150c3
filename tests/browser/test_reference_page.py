"""The reference page in a browser: search, print, deep links, phone layout, no foreign requests."""

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


async def test_search_finds_a_property_in_its_events(page: Page, browser_errors: list[str]) -> None:
    await page.goto("/reference")
    await page.keyboard.press("/")
    await page.keyboard.type("ClientOrderRef")

    found = page.locator("#found > ul > li").first
    await expect(found.locator("p")).to_have_text("ClientOrderRef string")
    wanted = [name for name, each in EVENT_TYPES.items() if "ClientOrderRef" in {field.name for field in each.fields}]
    assert sorted(await found.locator("a").all_inner_texts()) == sorted(wanted)
    await expect(page.locator("#contents").get_by_text("Getting started")).to_be_hidden()

    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(found.locator("a").first).to_be_focused()
    name = await found.locator("a").first.inner_text()
    await page.keyboard.press("Enter")
    await expect(page.locator(f"[id='{name}.ClientOrderRef']")).to_be_in_viewport()
    assert page.url.endswith(f"#{name}.ClientOrderRef")

    await page.keyboard.press("/")
    await page.keyboard.type("no such thing")
    await expect(page.locator("#found .count")).to_have_text("Nothing is found.")
    await page.keyboard.press("Escape")
    await expect(page.locator("#found")).to_be_hidden()
    await expect(page.locator("#contents").get_by_text("Getting started")).to_be_visible()
    assert not browser_errors


@pytest.mark.parametrize(
    ("text", "first", "target"),
    [
        ("partly", f"{EVENT} Webhook", EVENT),
        ("/v1/replays/{id}", "Read a replay's progress GET", "getReplay"),
        ("listEvents", "List and search events GET", "listEvents"),
        ("verify the sig", "Verify the signature Heading", "receiving-signature"),
        ("traceparent", "", "CompanyChangedNotification.traceparent"),
        ("unknown event type", "Unknown event type Problem 404", "problem-unknown-event-type"),
        ("hmac-sha256", "Verify the signature Heading", "receiving-signature"),
        ("ProblemFault", "ProblemFault Schema", "schema-ProblemFault"),
    ],
)
async def test_search_first_result_leads_to(page: Page, text: str, first: str, target: str) -> None:
    await page.goto("/reference")
    await page.get_by_label("Search the reference").fill(text)
    link = page.locator("#found a").first
    if first:
        await expect(link).to_have_text(first)
    await page.keyboard.press("Enter")
    await expect(page.locator(f"[id='{target}']")).to_be_in_viewport()


async def test_search_result_inside_closed_details_is_opened(page: Page) -> None:
    await page.goto("/reference")
    await page.goto("/reference#createEndpoint")
    inner = page.locator("details.inside:not([open]) .properties > li[id]").first
    place = await inner.get_attribute("id")
    await expect(inner).to_be_hidden()

    await page.goto(f"/reference#{place}")
    await expect(page.locator(f"[id='{place}']")).to_be_in_viewport()


async def test_reference_on_paper_is_short_and_has_nothing_to_click(page: Page) -> None:
    await page.goto("/reference")
    pages = (await page.pdf(format="A4")).count(b"/Type /Page\n")
    assert 10 < pages < 64

    await page.emulate_media(media="print")
    await expect(page.locator("#contents")).to_be_hidden()
    await expect(page.locator("[data-copy]").filter(visible=True)).to_have_count(0)
    await expect(page.locator("#OrderConfirmedEvent .properties").first).to_be_visible()
    await expect(page.locator("#schema-EndpointView .properties").first).to_be_visible()
    await expect(page.locator("#example-request")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


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
