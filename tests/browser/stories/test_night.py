"""An endpoint fails at night: since when, why, what waits; fix, test, send one, send all, closed."""

import re
from pathlib import Path
from typing import Any

from api_server import running_api, running_receiver
from browser_actions import expect_server_away, expect_server_back, sign_in
from playwright.async_api import Browser, Page, expect
from postgres import drop, empty_database, in_database, server_url
from screen_checks import expect_accessible
from site_of_tests import Site

from commerce_event.core.vault import new_key


async def test_incident_is_understood_fixed_and_closed(page: Page, site: Site) -> None:
    site.receiver.statuses["/orders"] = 503
    warehouse = await site.api.endpoint(url=f"{site.receiver.url}/orders", description="Warehouse")
    for number in range(4):
        await site.api.publish(OrderNo=f"SO-{number}")
    await site.api.until_arrived(4)

    await page.goto("/admin")
    line = page.locator(".incidents li", has_text="Warehouse")
    await expect(line).to_contain_text("failing")
    since = await line.locator("time").first.get_attribute("datetime")
    await expect_accessible(page)

    await site.restart()
    await page.reload()
    await expect(line.locator("time").first).to_have_attribute("datetime", since or "")
    await line.get_by_role("link").first.click()
    await page.wait_for_url(f"**/admin/incidents/{warehouse['id']}")
    await expect(page.locator(".verdict").first).to_contain_text("It has failed since")
    await expect(page.locator(".facts")).to_contain_text("4 deliveries")
    await expect_accessible(page)

    await site.stop()
    await expect_server_away(page)
    await site.start()
    await expect_server_back(page)

    site.receiver.statuses["/orders"] = 200
    await page.get_by_role("button", name="Send test").click()
    await expect(page.locator("#step-test")).to_contain_text("The receiver accepted the test")
    await page.locator("#step-send_one").get_by_role("button").click()
    await expect(page.locator("#state-send_one")).to_have_text("done")
    await page.get_by_role("link", name="Send pending deliveries now").click()
    await expect_accessible(page)
    await page.get_by_role("button", name=re.compile("^Start")).click()
    await expect(page.get_by_text("3 of 3 finished")).to_be_visible()
    await expect_accessible(page)
    await page.goto(f"/admin/incidents/{warehouse['id']}")
    await expect(page.locator("#state-closed")).to_have_text("done")
    await expect_accessible(page)


async def test_incident_is_the_same_on_every_node(browser: Browser, tmp_path: Path) -> None:
    name = await empty_database()
    settings: dict[str, Any] = {
        "store": in_database(server_url(), name),
        "secret_key": new_key(),
        "retry_schedule_s": (3_600.0,),
    }
    try:
        async with (
            running_receiver() as receiver,
            running_api(tmp_path, receiver=receiver, **settings) as first,
            running_api(tmp_path, receiver=receiver, hold_deliveries=True, **settings) as second,
        ):
            receiver.status = 503
            warehouse = await first.endpoint(description="Warehouse")
            for number in range(3):
                await first.publish(OrderNo=f"SO-{number}")
            await first.until_arrived(3)
            seen = []
            for api in (first, second):  # the second has sent nothing, and knows only what is stored
                context = await browser.new_context(base_url=api.url)
                page = await context.new_page()
                await sign_in(page)
                line = page.locator(".incidents li", has_text="Warehouse")
                await expect(line).to_contain_text("failing")
                seen.append(await line.locator("time").first.get_attribute("datetime"))
                await page.goto(f"/admin/endpoints/{warehouse['id']}")
                await expect(page.locator("#health .figure")).to_have_text("failing")
            assert seen[0] == seen[1]
    finally:
        await drop(name)
