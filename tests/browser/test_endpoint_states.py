"""Pause, switch off and delete an endpoint: what it means is said first, and nothing is lost without being asked."""

import re

import pytest
from api_server import Api
from api_server import expect as expect_json
from browser_actions import sign_in
from playwright.async_api import Browser, Page, expect


async def open_endpoint(page: Page, endpoint_id: str) -> None:
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint_id}")


async def test_paused_endpoint_holds_events_and_delivers_them_when_resumed(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The ERP")
    await open_endpoint(page, endpoint["id"])
    await page.get_by_role("link", name="Pause").click()
    await expect(page.get_by_text("nothing is lost")).to_be_visible()
    await expect(page.get_by_text("Switching off tracks nothing")).to_be_visible()
    await page.get_by_role("main").get_by_role("button", name="Pause").click()

    await expect(page.locator("#health .figure")).to_have_text("paused")
    await api.publish()
    await expect(page.locator("#health")).to_contain_text("holds 1 pending")  # the page renews itself
    assert api.receiver.arrived == []

    await page.get_by_role("link", name="Resume").click()
    await expect(page.get_by_text("1 pending delivery is sent now, then new events at once.")).to_be_visible()
    await page.get_by_role("main").get_by_role("button", name="Resume").click()
    await expect(page.locator("#health .figure")).to_have_text("ok")
    await api.until_state("delivered")


async def test_endpoint_switched_on_again_offers_what_it_missed(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The ERP")
    await open_endpoint(page, endpoint["id"])
    await page.get_by_role("link", name="Switch off").click()
    await page.get_by_role("main").get_by_role("button", name="Switch off").click()
    await expect(page.locator("#health .figure")).to_have_text("off")
    off = expect_json(await api.admin.get(f"/v1/endpoints/{endpoint['id']}"), 200)
    assert (await api.publish())["deliveries"] == 0

    await page.get_by_role("link", name="Switch on").click()
    await expect(page.get_by_text("once it is on, you can send what it missed")).to_be_visible()
    await page.get_by_role("button", name="Switch on").click()

    offer = page.get_by_role("link", name="Send what it missed")
    address = f"endpoint_id={endpoint['id']}&only=missed&since={off['state_since'].replace(':', '%3A')}"
    await expect(offer).to_have_attribute("href", f"/admin/replays/new?{address}")


async def test_delete_says_how_many_deliveries_end(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(paused=True)
    await api.publish()
    await open_endpoint(page, endpoint["id"])
    await page.get_by_role("link", name="Delete").click()
    await expect(page.get_by_text("Deleting cancels 1 pending delivery; the history is kept.")).to_be_visible()
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_role("link", name="Delete").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("Its pending deliveries are cancelled")).to_be_visible()
    [delivery] = await api.deliveries()
    assert (delivery["state"], delivery["reason"]) == ("cancelled", "endpoint_deleted")


async def test_pause_works_without_scripts(browser: Browser, api: Api) -> None:
    endpoint = await api.endpoint()
    context = await browser.new_context(base_url=api.url, java_script_enabled=False)
    page = await context.new_page()
    await open_endpoint(page, endpoint["id"])
    await page.get_by_role("link", name="Pause").click()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#health .figure")).to_have_text("paused")


async def test_failing_endpoint_is_one_state_with_since_last_success_and_cause(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The ERP", retry_schedule=[])
    api.receiver.status = 503
    for number in range(3):
        await api.publish(OrderNo=f"S-{number}")
    await api.until_finished(3)
    await sign_in(page)
    await page.goto("/admin/endpoints?health=failing")

    row = page.locator("tbody tr")
    await expect(row).to_contain_text("failing")
    await expect(row).to_contain_text("3 failures in a row · never succeeded")
    await expect(row).to_contain_text("the receiver is not available now")
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    await expect(page.locator("#health time").first).to_be_visible()
    await expect(page.get_by_text("circuit")).to_have_count(0)


@pytest.mark.parametrize("count", [14, 60])
async def test_types_of_many_endpoints_are_a_row_each(page: Page, api: Api, count: int) -> None:
    long_name = ("A long name of an endpoint " * 9)[:205]
    endpoints = [await api.endpoint(description=f"Shop {number}") for number in range(count - 1)]
    named = await api.endpoint(description=long_name)
    await sign_in(page)
    await page.goto("/admin/types?client_id=1")

    await expect(page.locator("#counts tbody tr")).to_have_count(count)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = await page.locator("#counts tr", has_text="A long name").bounding_box()
    assert box is not None
    assert box["height"] < 90
    await page.get_by_label("Endpoint", exact=True).fill("shop 7")
    await page.get_by_role("button", name="Show").last.click()
    await (
        page.locator("#counts tr", has=page.get_by_text("Shop 7", exact=True)).get_by_role("link", name="Types").click()
    )
    await page.get_by_role("switch", name="OrderConfirmedEvent for Shop 7").click()
    await expect(page).to_have_url(re.compile("endpoint_id=.*#type-OrderConfirmedEvent$"))
    changed = expect_json(await api.admin.get(f"/v1/endpoints/{endpoints[7]['id']}"), 200)
    assert (changed["event_types"], changed["except"]) == (["*"], ["OrderConfirmedEvent"])
    assert named["except"] == []
