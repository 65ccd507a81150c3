"""Without a mouse: find the dead letters, send one again, discard the others with a reason."""

import re

from browser_actions import expect_server_away, expect_server_back, find
from playwright.async_api import Page, expect
from screen_checks import expect_accessible, repeated_names
from site_of_tests import Site


async def test_dead_letters_are_sent_and_discarded_by_keys(page: Page, site: Site) -> None:
    await page.mouse.move(0, 0)
    site.receiver.status = 422
    await site.api.endpoint(description="Warehouse", retry_schedule=[])
    for number in range(3):
        await site.api.publish(OrderNo=f"SO-{number}")
    await site.api.until_state("dead")
    site.receiver.status = 200

    await find(page, "Dead letters", "Send dead letters again")
    await page.wait_for_url("**/admin/dead*")
    await expect_accessible(page)
    assert await repeated_names(page) == []

    await site.stop()
    await expect_server_away(page)
    await site.start()
    await expect_server_back(page)

    first = page.locator("#letters tbody tr").first
    await page.locator("#letters tbody tr a").first.focus()
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await expect(first.get_by_role("link").first).to_be_focused()
    await page.keyboard.press("r")
    await expect(page.locator("#letters tbody tr")).to_have_count(2)
    await site.restart()
    await page.reload()

    await page.get_by_role("link", name=re.compile("^Discard")).first.press("Enter")
    await page.wait_for_url("**/admin/dead/discard*")
    await expect_accessible(page)
    await page.get_by_role("button", name=re.compile("^Discard")).press("Enter")
    await expect(page.get_by_text("Say why they are discarded.")).to_be_visible()
    await page.locator("[name=note]").press_sequentially("test shop, closed in May")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="No dead letters")).to_be_visible()
    await expect_accessible(page)
    states = sorted(each["state"] for each in await site.api.deliveries())
    assert states == ["cancelled", "cancelled", "delivered"]
