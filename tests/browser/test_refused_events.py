"""A refused order is found, corrected and delivered without a terminal."""

import json

from api_server import Api, example
from browser_actions import search, sign_in
from playwright.async_api import Page, expect


async def refuse(api: Api, **changes: object) -> None:
    await api.admin.post("/v1/events/OrderConfirmedEvent", json={**example(), **changes})


async def test_refused_order_is_found_and_accepted_as_it_is(page: Page, api: Api) -> None:
    await api.endpoint()
    await refuse(api, OrderNo="100777", OrderId="5012207")
    await sign_in(page)
    await expect(page.locator(".alerts")).to_contain_text("1 event was refused")
    await search(page, "100777")
    await page.get_by_role("link", name="Look in refused events").click()
    await page.get_by_role("link", name="OrderConfirmedEvent").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Order 100777")
    await expect(page.locator("main")).to_contain_text("/OrderId must be a whole number")
    await expect(page.locator("#body .key").first).to_have_text('"ClientId"')

    await page.get_by_role("button", name="Accept as it is").click()
    await expect(page.get_by_text("The refused event is accepted.")).to_be_visible()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    (arrival,) = await api.until_arrived(1)
    assert json.loads(arrival.body)["OrderId"] == "5012207"
    await page.get_by_role("link", name="rfs_").click()
    await expect(page.get_by_role("button", name="Accept as it is")).to_have_count(0)
    await page.get_by_role("link", name="evt_").click()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()


async def test_refused_order_is_corrected_in_place(page: Page, api: Api) -> None:
    await api.endpoint()
    await refuse(api, OrderId="<b>x")
    await sign_in(page)
    await page.goto("/admin/refusals")
    await page.get_by_role("link", name="OrderConfirmedEvent").click()
    await page.get_by_text("Correct and accept").click()
    event = page.get_by_label("Event", exact=True)
    text = await event.input_value()
    await event.fill(text.replace("Astrid", "Zoë"))
    await page.get_by_role("button", name="Accept corrected event").click()

    await expect(page.get_by_role("alert")).to_contain_text("/OrderId must be a whole number")
    await expect(event).to_be_focused()
    assert "Zoë" in await event.input_value()
    await event.fill((await event.input_value()).replace('"<b>x"', "77"))
    await page.get_by_role("button", name="Accept corrected event").click()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    (arrival,) = await api.until_arrived(1)
    assert (json.loads(arrival.body)["OrderId"], json.loads(arrival.body)["FirstName"]) == (77, "Zoë")


async def test_refused_event_is_discarded_with_a_reason(page: Page, api: Api) -> None:
    await refuse(api, OrderId=None)
    await sign_in(page)
    await page.goto("/admin/refusals")
    await page.get_by_role("link", name="OrderConfirmedEvent").click()
    await page.get_by_label("Reason").fill("a test of the shop")
    await page.get_by_role("button", name="Discard").click()

    await expect(page.get_by_text("The refused event is discarded.")).to_be_visible()
    await expect(page.get_by_text("No open refused events")).to_be_visible()
    await page.get_by_role("link", name="Show closed ones").click()
    await page.get_by_role("link", name="OrderConfirmedEvent").click()
    await expect(page.locator("main")).to_contain_text("a test of the shop")


async def test_name_with_a_direction_override_does_not_turn_round_the_text_after_it(page: Page, api: Api) -> None:
    type_ = {"name": "Turned", "category": "Turn", "schema": {"additionalProperties": {"type": "integer"}}}
    await api.admin.post("/v1/event-types", json={**type_, "example": {"ClientId": 1}})
    await api.admin.post("/v1/events/Turned", json={"ClientId": 1, "\u202eabc": "x"})
    await sign_in(page)
    await page.goto("/admin/refusals")
    await page.get_by_role("link", name="Turned").click()
    place = page.locator("main code", has_text="abc").first
    left_to_right = """code => {
        const range = document.createRange(), text = code.nextSibling;
        const left = at => (range.setStart(text, at), range.setEnd(text, at + 1), range.getBoundingClientRect().left);
        return left(1) < left(text.length - 2);
    }"""
    assert await place.evaluate(left_to_right)
