"""Actions of a person in the browser."""

import re

from api_server import ADMIN_KEY, Api, plain_client
from playwright.async_api import Page, expect

from commerce_event.admin.sessions import COOKIE


async def sign_in(page: Page, key: str = ADMIN_KEY) -> None:
    await page.goto("/admin/sign-in")
    await page.get_by_label("Your key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/admin")


async def search(page: Page, text: str) -> None:
    await page.get_by_role("combobox", name="Search events").fill(text)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events?*")


async def sign_out_elsewhere(api: Api, session: str) -> None:
    """End a session with a copy of its cookie, so that the browser still has its own."""
    async with plain_client(api.url, {"Cookie": f"{COOKIE}={session}"}) as client:
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/admin")).text)
        assert csrf is not None
        assert (await client.post("/admin/sign-out", data={"csrf": csrf[1]})).status_code == 303


async def find(page: Page, text: str, choice: str) -> None:
    """Type a text into the palette and open what it offers first, which must be this."""
    await page.keyboard.press("/")
    await page.keyboard.type(text)
    await expect(page.get_by_role("option").first).to_have_text(choice)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")


async def expect_server_away(page: Page) -> None:
    """Check that an open page tells that the server does not answer; the page asks it now."""
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator("#server-strip")).to_contain_text("since")


async def expect_server_back(page: Page) -> None:
    """Check that an open page recovers by itself."""
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator("#server-strip")).to_be_hidden()
