"""Pages renew themselves in place, hold back new rows under the pointer, and say when the server is away."""

import re

import pytest
from api_server import Api
from browser_actions import sign_in
from playwright.async_api import Browser, Page, expect

STRIP = "#server-strip"
PAUSED = "document.addEventListener('page:waiting', () => console.log('waiting'))"


async def hurry(page: Page) -> None:
    """Let the page renew itself every half second."""
    await page.evaluate("document.getElementById('main').dataset.live = '0.5'")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_list_shows_new_rows_and_keeps_ticks_and_open_menus(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO-1")
    await sign_in(page)
    await page.goto("/admin/events")
    await page.get_by_role("checkbox", name=re.compile("Select .*SO-1")).check()
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")
    await hurry(page)

    await api.publish(OrderNo="SO-2")

    await expect(page.locator("tbody tr").first).to_contain_text("SO-2")
    await expect(page.get_by_role("checkbox", name=re.compile("Select .*SO-1"))).to_be_checked()
    await expect(page.locator(".freshness .live")).to_have_text("Live")


async def test_list_under_the_pointer_does_not_move_and_offers_what_is_new(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO-1")
    await sign_in(page)
    await page.goto("/admin/events")
    await page.locator("tbody tr").first.hover()
    await hurry(page)

    for number in (2, 3):
        await api.publish(OrderNo=f"SO-{number}")

    await expect(page.locator("#show-new")).to_have_text("2 new")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.locator("#show-new").click()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await expect(page.locator("#show-new")).to_be_hidden()


async def test_focused_row_does_not_move(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO-1")
    await sign_in(page)
    await page.goto("/admin/events")
    await page.keyboard.press("j")
    await hurry(page)

    await api.publish(OrderNo="SO-2")

    await expect(page.locator("#show-new")).to_have_text("1 new")
    await expect(page.locator("tbody tr").first.get_by_role("link").first).to_be_focused()


async def test_selected_text_and_pause_keep_the_page_as_it_is(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO-1")
    await sign_in(page)
    await page.goto("/admin/events")
    await page.evaluate(PAUSED)
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('tbody'))")
    async with page.expect_event("console", lambda message: message.text == "waiting"):
        await hurry(page)
    await page.evaluate("getSelection().removeAllRanges()")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator(".freshness .live")).to_have_text("Paused")

    await api.publish(OrderNo="SO-2")
    async with page.expect_request("**/healthz"):  # a paused page only watches the server
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("tbody tr")).to_have_count(2)


@pytest.mark.parametrize("address", ["/admin", "/admin/endpoints/new", "/admin/events?q=nothing", "/admin/keys"])
async def test_lost_server_is_told_on_every_screen_until_it_is_back(page: Page, address: str) -> None:
    await sign_in(page)
    await page.goto(address)
    await expect(page.locator(STRIP)).to_be_hidden()
    await page.route("**/*", lambda route: route.abort())
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator(STRIP)).to_contain_text("The server cannot be reached since")

    await page.unroute("**/*")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await expect(page.locator(STRIP)).to_be_hidden()


async def test_typed_text_survives_a_renewal(page: Page, api: Api) -> None:
    await sign_in(page)
    await page.goto("/admin/events")
    await page.locator("#e-q").fill("half a wo")
    await hurry(page)
    await api.publish(OrderNo="SO-1")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("#e-q")).to_have_value("half a wo")


async def test_search_stands_still_and_says_so(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO-1")
    await sign_in(page)
    await page.goto("/admin/events?q=SO-1")
    await expect(page.locator("[data-stands-still]")).to_contain_text("as of")
    await expect(page.get_by_role("link", name="Refresh")).to_have_attribute("href", "/admin/events?q=SO-1")


async def test_message_of_an_action_stays_in_view_until_closed(page: Page, api: Api) -> None:
    await api.endpoint(retry_schedule=[])
    api.receiver.status = 500
    event = await api.publish()
    await api.until_state("dead")
    await sign_in(page)
    await page.set_viewport_size({"width": 1280, "height": 500})
    await page.goto(f"/admin/events/{event['id']}")

    await page.get_by_role("button", name=re.compile("Try now")).first.click()

    message = page.get_by_text("The delivery is being retried now.")
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(message).to_be_in_viewport()
    await hurry(page)
    await page.get_by_role("button", name="Close the message").click()
    await expect(message).to_have_count(0)


async def test_times_have_date_and_zone_on_a_phone_and_after_a_tap(browser: Browser, api: Api) -> None:
    await api.publish()
    context = await browser.new_context(
        base_url=api.url, timezone_id="Asia/Kolkata", locale="en-GB", viewport={"width": 390, "height": 800}
    )
    page = await context.new_page()
    await sign_in(page)
    await page.goto("/admin/events")
    shown = await page.locator("tbody time").first.inner_text()
    assert re.fullmatch(r"\d+ \w+, \d\d:\d\d:\d\d GMT\+5:30", shown), shown
    await page.set_viewport_size({"width": 1280, "height": 800})
    assert re.fullmatch(r"\d\d:\d\d:\d\d", await page.locator("tbody time").first.inner_text())
    await page.locator("tbody time").first.click()
    assert "GMT+5:30" in await page.locator("tbody time").first.inner_text()
