"""What people do in the browser."""

from api_server import ADMIN_KEY
from playwright.async_api import Page


async def sign_in(page: Page, key: str = ADMIN_KEY) -> None:
    await page.goto("/admin/sign-in")
    await page.get_by_label("Your key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/admin")


async def search(page: Page, text: str) -> None:
    await page.get_by_role("searchbox", name="Find an event").fill(text)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events?*")
