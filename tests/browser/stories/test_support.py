"""A customer calls about an order: find it, see who lacks it, fix that, and answer the customer."""

import re

from browser_actions import expect_server_away, expect_server_back, find
from playwright.async_api import Page, expect
from screen_checks import expect_accessible
from site_of_tests import Site


async def test_order_is_found_understood_fixed_and_answered(page: Page, site: Site) -> None:
    receiver = site.receiver
    receiver.statuses["/wrong"] = 404
    await site.api.endpoint(url=f"{receiver.url}/erp", description="ERP")
    await site.api.endpoint(url=f"{receiver.url}/wrong", description="Warehouse", retry_schedule=[])
    await site.api.publish(OrderNo="SO-10023", ClientOrderRef="B-7")
    await site.api.publish(type_="OrderCancelledEvent", OrderNo="SO-10023", ClientOrderRef="B-7")
    await site.api.until_finished(4)

    await find(page, "SO-10023", "Order SO-10023")
    await page.wait_for_url("**/admin/orders/*")
    verdict = page.locator(".verdict")
    await expect(verdict).to_contain_text("Warehouse")
    await expect(page.locator(".receivers li", has_text="ERP")).to_contain_text("delivered")
    await expect(page.locator(".receivers li", has_text="Warehouse")).to_contain_text("dead")
    await expect_accessible(page)

    await site.stop()
    await expect_server_away(page)
    await expect(verdict).to_contain_text("Warehouse")
    await site.start()
    await expect_server_back(page)

    order = page.url
    await page.locator(".timeline-table tbody tr").first.get_by_role("link").first.click()
    await page.wait_for_url("**/admin/events/*")
    await expect(page.get_by_text("404").first).to_be_visible()
    await expect_accessible(page)
    await page.get_by_role("link", name=re.compile("^Fix URL")).click()
    await page.wait_for_url(re.compile(r"/edit\?"))
    await page.get_by_label("URL").fill(f"{receiver.url}/right")
    await expect_accessible(page)
    await page.get_by_role("button", name="Save").first.click()
    await page.wait_for_url("**/admin/events/*")

    await page.goto(order)
    for left in (1, 0):
        await page.get_by_role("button", name=re.compile("^Try now: .* to Warehouse")).first.click()
        await expect(page.get_by_role("button", name=re.compile("^Try now: "))).to_have_count(left)
    await expect(page.locator(".receivers li", has_text="Warehouse")).to_contain_text("delivered")
    await expect(page.locator("#summary-text")).to_contain_text("SO-10023")
    assert sorted(each.path for each in receiver.arrived if each.path == "/right") == ["/right", "/right"]
