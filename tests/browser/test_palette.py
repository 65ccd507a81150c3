"""The search field offers orders, events, endpoints, event types, screens and actions."""

from api_server import Api
from browser_actions import sign_in
from playwright.async_api import Browser, Page, expect


async def test_palette_leads_to_an_action_without_a_mouse(page: Page) -> None:
    await sign_in(page)
    field = page.get_by_role("combobox", name="Search events")
    await page.keyboard.press("/")
    await expect(field).to_have_attribute("aria-expanded", "true")
    await page.keyboard.type("create end")
    option = page.get_by_role("option", name="Create endpoint")
    await expect(option).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await expect(option).to_have_attribute("aria-selected", "true")
    assert await field.get_attribute("aria-activedescendant") == await option.get_attribute("id")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/endpoints/new")


async def test_palette_groups_what_a_text_may_be(page: Page, api: Api) -> None:
    await api.endpoint(description="ERP: SO-77 only")
    event = await api.publish(OrderNo="SO-77")
    await sign_in(page)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("SO-77")
    palette = page.get_by_role("listbox", name="Suggestions")
    await expect(palette.get_by_role("option", name="Order SO-77", exact=True)).to_have_attribute(
        "href", "/admin/orders/SO-77"
    )
    await expect(palette.get_by_role("group", name="Endpoints")).to_contain_text("ERP: SO-77 only")
    await expect(palette.get_by_role("group", name="Events").get_by_role("option").first).to_have_attribute(
        "href", f"/admin/events/{event['id']}"
    )
    await expect(palette.get_by_role("option", name="Pause: ERP: SO-77 only")).to_be_visible()
    await page.keyboard.press("End")
    await page.keyboard.press("Escape")
    await expect(palette).to_be_hidden()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events?q=SO-77")


async def test_palette_offers_a_read_key_no_actions(page: Page, api: Api) -> None:
    await api.endpoint(description="ERP: orders")
    _, made = await api.key("read", 1)
    await sign_in(page, made["key"])
    await page.keyboard.press("/")
    palette = page.get_by_role("listbox", name="Suggestions")
    await expect(palette.get_by_role("option", name="Endpoints")).to_be_visible()
    await expect(palette.get_by_role("option", name="Keys")).to_have_count(0)
    await page.keyboard.type("erp")
    await expect(palette.get_by_role("group", name="Endpoints")).to_be_visible()
    await expect(palette.get_by_role("option", name="Pause: ERP: orders")).to_have_count(0)


async def test_search_works_without_scripts(browser: Browser, api: Api) -> None:
    await api.publish(OrderNo="SO-77")
    context = await browser.new_context(base_url=api.url, java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page)
    await page.get_by_label("Search events").fill("SO-77")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events?q=SO-77")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.get_by_text("as of")).to_be_visible()
