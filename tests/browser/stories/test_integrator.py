"""An integrator connects a receiver: URL, types, filter, secret, handler, test, "signature is right"."""

import re

from browser_actions import expect_server_away, expect_server_back
from playwright.async_api import Page, expect
from screen_checks import expect_accessible
from site_of_tests import Site
from standardwebhooks.webhooks import Webhook


async def test_receiver_is_connected_step_by_step(page: Page, site: Site) -> None:
    for source in ("WEB", "WEB", "POS"):
        await site.api.publish(Source=source)
    await page.goto("/admin/endpoints/new")
    await page.get_by_label("URL").fill("ftp://receiver.example/hook")
    await page.get_by_label("Client", exact=True).fill("1")
    await page.get_by_label("Description").fill("ERP: مستودع")
    await page.get_by_role("button", name="Next: event types").click()
    await expect(page.locator("#h-url .error")).to_be_visible()
    await expect(page.get_by_label("Description")).to_have_value("ERP: مستودع")
    await expect_accessible(page)
    await page.get_by_label("URL").fill(f"{site.receiver.url}/hook")
    await page.get_by_role("button", name="Next: event types").click()

    await page.locator("input[name=event_types][value='*']").uncheck()
    await page.locator("input[name=event_types][value=Order]").check()
    await expect_accessible(page)
    await site.restart()
    await page.get_by_role("button", name="Next: filter").click()

    await page.get_by_label("Only events that meet conditions").check()
    row = page.get_by_role("group", name="Condition 1")
    await row.get_by_label("Property").fill("Source")
    await row.get_by_label("Value").fill("WEB")
    await page.get_by_role("button", name="Try it on the last 100 events").click()
    await expect(page.locator("#tried")).to_contain_text("2 would be sent")
    await expect_accessible(page)
    await page.get_by_role("button", name="Create endpoint").click()

    secret = await page.locator("#secret").inner_text()
    await page.get_by_text("Go", exact=True).click()
    await expect(page.locator("#run-go")).to_contain_text(secret)
    await expect_accessible(page)
    await site.stop()
    await expect_server_away(page)
    await site.start()
    await expect_server_back(page)

    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("The receiver accepted the test")).to_be_visible()
    await expect_accessible(page)
    arrived = site.receiver.arrived[-1]
    assert Webhook(secret).verify(arrived.body, arrived.headers)
    site.receiver.status = 401
    await page.get_by_role("button", name="Send a wrong signature").click()
    await expect(page.get_by_text("Your receiver checks signatures: yes")).to_be_visible()
    await page.goto("/admin/endpoints")
    await page.get_by_role("link", name=re.compile("ERP: مستودع")).first.click()
    await expect(page.locator("#health .figure")).to_have_text("ok")
