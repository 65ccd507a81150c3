"""An order and an incident are each understood and fixed on one page."""

import asyncio
import re

from api_server import Api, Json, expect
from browser_actions import search, sign_in
from playwright.async_api import Page
from playwright.async_api import expect as expect_page

REF = "884211"


async def publish_order(api: Api, client_id: int = 1) -> None:
    await api.publish(client_id, "OrderReceivedEvent", ClientOrderRef=REF)
    await api.publish(client_id, "OrderPaymentReceivedEvent", ClientOrderRef=REF, ErpOrderNo="SO-10804")
    await api.publish(client_id, ClientOrderRef=REF, OrderNo="SO-10804")


async def until_failed(api: Api, endpoint: Json, count: int) -> None:
    async with asyncio.timeout(60):
        while expect(await api.admin.get(f"/v1/endpoints/{endpoint['id']}/stats"), 200)["consecutive_failures"] < count:
            await asyncio.sleep(0.02)


async def test_order_that_never_arrived_is_found_by_its_number_and_fixed(page: Page, api: Api) -> None:
    api.receiver.statuses["/wrong"] = 404
    await api.endpoint(description="Shop", url=f"{api.receiver.url}/shop")
    erp = await api.endpoint(description="ERP", url=f"{api.receiver.url}/wrong", retry_schedule=[])
    await publish_order(api)
    await api.until_finished(6)

    await sign_in(page)
    await search(page, "so 10804")
    found = page.get_by_label("Exact matches")
    await expect_page(found).to_contain_text(
        "Order SO-10804: 3 events, one of two receivers has it; ERP has 0 of 3, 3 dead"
    )
    await found.get_by_role("link").click()

    await expect_page(page).to_have_title(re.compile("^Order SO-10804"))
    await expect_page(page.locator(".verdict")).to_contain_text("One of two receivers has it; ERP has 0 of 3, 3 dead.")
    rows = page.locator("tbody tr")
    await expect_page(rows.locator("td.main-cell strong")).to_have_text(
        ["Order received", "Order payment received", "Order confirmed"]
    )
    await expect_page(rows.first).to_contain_text("HTTP 404: nothing is at this path")
    expect(await api.admin.patch(f"/v1/endpoints/{erp['id']}", json={"url": f"{api.receiver.url}/right"}), 200)
    for words in ("Order received", "Order payment received", "Order confirmed"):
        await page.get_by_role("button", name=f"Try now: {words} to ERP").click()
        await page.wait_for_url("**/admin/orders/SO-10804?client_id=1")

    await expect_page(page.locator(".verdict")).to_contain_text("Both receivers have it.")
    await expect_page(page.locator("#summary-text")).to_contain_text(
        "Order SO-10804 (client 1): both receivers have it."
    )
    await page.get_by_role("link", name="Order confirmed").click()
    await expect_page(page.get_by_role("link", name="All events of Order SO-10804")).to_be_visible()


async def test_order_page_follows_new_events_and_their_deliveries(page: Page, api: Api) -> None:
    await api.endpoint(description="ERP")
    api.receiver.hold()
    await api.publish(ClientOrderRef=REF, OrderNo="A/1 #7")
    await sign_in(page)
    await page.goto("/admin/orders/A%2F1%20%237")
    await expect_page(page.locator(".verdict")).to_contain_text("ERP does not have it, sending now.")

    api.receiver.release()

    await expect_page(page.locator(".verdict")).to_contain_text("ERP has it.")
    await expect_page(page.get_by_role("heading", name="Order A/1 #7")).to_be_visible()


async def test_value_of_several_clients_or_of_none_leads_on(page: Page, api: Api) -> None:
    await publish_order(api, 1)
    await publish_order(api, 2)
    await sign_in(page)
    await page.goto(f"/admin/orders/{REF}")
    await page.get_by_role("link", name="Client 2").click()
    await expect_page(page.locator(".identifiers")).to_contain_text("Client 2")

    await page.goto("/admin/orders/99")
    await expect_page(page.get_by_role("heading", name="No event found")).to_be_visible()
    await page.get_by_role("link", name="Search all payloads").click()
    await page.wait_for_url("**/admin/events?q=99")


async def test_order_with_fourteen_receivers_names_those_that_lack_it(page: Page, api: Api) -> None:
    api.receiver.statuses["/3"] = 500
    for number in range(14):
        url = f"{api.receiver.url}/{number}"
        await api.endpoint(description=f"Receiver {number}", url=url, retry_schedule=[])
    await publish_order(api)
    await api.until_finished(42)
    await page.set_viewport_size({"width": 390, "height": 844})
    await sign_in(page)
    await page.goto(f"/admin/orders/{REF}")

    await expect_page(page.locator(".verdict")).to_contain_text(
        "13 of 14 receivers have it; Receiver 3 has 0 of 3, 3 dead."
    )
    await expect_page(page.locator(".receivers li:visible")).to_have_count(1)
    await page.get_by_text("13 receivers have all of their events").click()
    await expect_page(page.locator(".receivers li:visible")).to_have_count(14)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_order_with_many_events_shows_the_newest_and_leads_to_all(page: Page, api: Api) -> None:
    await api.endpoint(description="Shop", url=api.receiver.url)
    for _ in range(21):
        await api.publish(1, ClientOrderRef=REF)
    await api.until_finished(21)
    await sign_in(page)
    await page.goto(f"/admin/orders/{REF}")

    rows = page.locator(".timeline-table tbody tr")
    await expect_page(rows).to_have_count(20)
    await expect_page(page.get_by_text("1 older event is not shown.")).to_be_visible()
    await page.get_by_role("link", name="Show all 21 events").click()
    await expect_page(rows).to_have_count(21)


async def test_incident_is_followed_from_the_overview_to_its_end(page: Page, api: Api) -> None:
    api.receiver.statuses["/wrong"] = 404
    erp = await api.endpoint(description="ERP", url=f"{api.receiver.url}/right", retry_schedule=["1h", "1h"])
    expect(await api.admin.patch(f"/v1/endpoints/{erp['id']}", json={"url": f"{api.receiver.url}/wrong"}), 200)
    await publish_order(api)
    await until_failed(api, erp, 3)

    await sign_in(page)
    line = page.locator(".incidents li")
    await expect_page(line).to_contain_text("HTTP 404: nothing is at this path")
    await expect_page(line).to_contain_text("3 waiting")
    await expect_page(line).to_contain_text(re.compile("first one given up .+ \\(in 2 h"))
    await line.get_by_role("link", name="ERP").click()

    await expect_page(page.get_by_role("heading", name="ERP is failing")).to_be_visible()
    await expect_page(page.locator("#state-fix")).to_have_text("next")
    await page.get_by_role("link", name="Edit endpoint").click()
    await page.get_by_label("URL", exact=True).fill(f"{api.receiver.url}/right")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url(f"**/admin/incidents/{erp['id']}")
    await expect_page(page.locator("#state-fix")).to_have_text("done")

    await page.get_by_role("button", name="Send test").click()
    await expect_page(page.locator("#step-test")).to_contain_text("The receiver accepted the test")
    await expect_page(page.locator("#state-test")).to_have_text("done")
    await page.get_by_role("button", name="Send one").click()
    await expect_page(page.get_by_role("heading", name="ERP was failing")).to_be_visible()
    await expect_page(page.locator("#state-send_one")).to_have_text("done")
    await page.get_by_role("link", name="Send pending deliveries now").click()
    await page.get_by_role("button", name="Start").click()
    async with asyncio.timeout(60):
        while any(each["state"] != "delivered" for each in await api.deliveries()):
            await asyncio.sleep(0.02)
    await page.goto(f"/admin/incidents/{erp['id']}")

    await expect_page(page.locator("#state-closed")).to_have_text("done")
    await page.goto("/admin")
    await expect_page(page.get_by_text("No alerts")).to_be_visible()


async def test_plots_stay_in_view_beside_eight_incidents(page: Page, api: Api) -> None:
    endpoints = []
    for number in range(8):
        api.receiver.statuses[f"/{number}"] = 500 + number
        url = f"{api.receiver.url}/{number}"
        endpoints.append(await api.endpoint(description=f"{number} " + "long name " * 20, url=url, retry_schedule=[]))
    for _ in range(3):
        await api.publish()
    for each in endpoints:
        await until_failed(api, each, 3)
    await api.node.maintenance.write_activity()
    await page.set_viewport_size({"width": 1360, "height": 850})
    await sign_in(page)

    await expect_page(page.locator(".incidents > li")).to_have_count(8)
    for chart in await page.locator(".plots .chart").all():
        box = await chart.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 850


async def test_step_of_a_plot_leads_to_its_events(page: Page, api: Api) -> None:
    await api.endpoint()
    await api.publish(OrderNo="SO-1")
    await api.until_state("delivered")
    await api.node.maintenance.write_activity()
    await sign_in(page)
    chart = page.get_by_role("img", name=re.compile("^Events accepted"))
    await chart.focus()
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")

    await page.wait_for_url("**/admin/events?since=*&until=*")
    await expect_page(page.locator("tbody tr")).to_contain_text("Order SO-1")
    await page.go_back()
    await page.locator(".chart .step").first.click()
    await page.wait_for_url("**/admin/events?since=*&until=*")
    await expect_page(page.get_by_text("Nothing found")).to_be_visible()
