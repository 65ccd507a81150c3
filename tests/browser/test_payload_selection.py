"""Choosing the properties of a payload in the endpoint's form."""

from api_server import Api
from api_server import expect as expect_status
from browser_actions import sign_in
from playwright.async_api import Page, expect


async def test_payload_selection_is_said_in_words_while_it_is_chosen(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(event_types=["OrderReceivedEvent", "SubscriptionFailedEvent"])
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}/edit")
    sentence = page.locator("[data-payload-sentence]")
    received = page.locator("[data-group-of=OrderReceivedEvent]")
    failed = page.locator("[data-group-of=SubscriptionFailedEvent]")
    await expect(sentence).to_have_text("Sent: the whole event, as it was accepted.")
    await expect(received).to_be_hidden()

    await page.get_by_label("Only some properties").check()

    await expect(sentence).to_contain_text("Sent: the required properties only. Left out: BasketId, CellPhone, Email,")
    await expect(sentence).to_contain_text("and all that no event type has.")
    await expect(page.locator("[data-group-of]:visible")).to_have_count(2)
    await received.locator("summary").click()
    await expect(received.get_by_label("ClientOrderRef")).to_be_disabled()
    await expect(received.get_by_label("ClientOrderRef")).to_be_checked()
    await received.get_by_label("FirstName").check()
    await expect(failed.get_by_label("FirstName", exact=True)).to_be_checked()
    await expect(failed.locator("summary")).to_contain_text("1 of 9 optional")
    await page.get_by_label("Other properties").fill("$.Campaign")
    await expect(sentence).to_contain_text("Sent: the required properties, FirstName and Campaign. Left out:")
    await page.get_by_role("button", name="Save").click()

    await page.wait_for_url(f"**/admin/endpoints/{endpoint['id']}")
    await expect(page.get_by_text("the required properties, FirstName, Campaign")).to_be_visible()
    saved = expect_status(await api.admin.get(f"/v1/endpoints/{endpoint['id']}"), 200)
    assert saved["properties"] == ["FirstName", "$.Campaign"]


async def test_payload_selection_follows_the_chosen_event_types(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(event_types=["OrderReceivedEvent"], properties=["Email"])
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}/edit")
    await expect(page.locator("[data-group-of]:visible")).to_have_count(1)
    await page.locator("input[name=event_types][value=OrderReceivedEvent]").uncheck()
    await page.locator("input[name=event_types][value=Product]").check()
    await expect(page.locator("[data-group-of]:visible")).to_have_count(4)
    await expect(page.locator("[data-payload-sentence]")).not_to_contain_text("Email")
    await page.get_by_role("button", name="Tick all").click()
    await expect(page.locator("[data-payload-sentence]")).to_contain_text("WarehouseCode. Left out: all that no")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url(f"**/admin/endpoints/{endpoint['id']}?*")  # which offers what it missed
    saved = expect_status(await api.admin.get(f"/v1/endpoints/{endpoint['id']}"), 200)
    assert set(saved["properties"]) == {
        "ApplicationId", "PricelistCode", "QuantityBreak", "WarehouseCode", "LocationCode",
    }  # fmt: skip
