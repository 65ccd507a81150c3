"""On a phone: an endpoint is paused before its receiver is down for maintenance, and resumed without a loss."""

from collections.abc import AsyncIterator

import pytest_asyncio
from browser_actions import expect_server_away, expect_server_back, sign_in
from playwright.async_api import Browser, Page, expect
from screen_checks import expect_accessible, layout_faults
from site_of_tests import Site


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, site: Site) -> AsyncIterator[Page]:
    context = await browser.new_context(
        base_url=site.url, bypass_csp=True, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
        timezone_id="UTC",
    )  # fmt: skip
    context.set_default_timeout(60_000)
    page = await context.new_page()
    await sign_in(page)
    yield page


async def expect_fits(page: Page) -> None:
    assert await layout_faults(page) == [], page.url
    await expect_accessible(page)


async def test_endpoint_is_paused_and_resumed_without_a_loss(phone: Page, site: Site) -> None:
    warehouse = await site.api.endpoint(description="Warehouse of the north, with a name that needs more than one line")
    await site.api.publish(OrderNo="SO-1")
    await site.api.until_state("delivered")

    await phone.goto("/admin/endpoints")
    await expect_fits(phone)
    await phone.get_by_role("link", name="Warehouse of the north").first.tap()
    await phone.wait_for_url(f"**/admin/endpoints/{warehouse['id']}")
    await expect_fits(phone)
    await phone.get_by_role("link", name="Pause", exact=True).tap()
    await phone.wait_for_url("**/pause")
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Pause?")
    await expect_fits(phone)
    await phone.get_by_role("main").get_by_role("button", name="Pause", exact=True).tap()
    await expect(phone.locator("#health .figure")).to_have_text("paused")

    await site.restart()
    await site.api.publish(OrderNo="SO-2")
    await phone.reload()
    await expect(phone.locator("#health .figure")).to_have_text("paused")
    await expect(phone.get_by_text("Nothing is lost")).to_be_visible()
    assert [each["state"] for each in await site.api.deliveries()].count("pending") == 1

    await site.stop()
    await expect_server_away(phone)
    await site.start()
    await expect_server_back(phone)
    await phone.get_by_role("link", name="Resume", exact=True).tap()
    await phone.wait_for_url("**/resume")
    await expect_fits(phone)
    await phone.get_by_role("main").get_by_role("button", name="Resume", exact=True).tap()
    await site.api.until_state("delivered")
    await expect(phone.locator("#health .figure")).to_have_text("ok")
