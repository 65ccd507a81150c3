"""The work of a support person on the screens: find an order, see the answers, fix the endpoint, send again."""

import asyncio
import re
from urllib.parse import urlsplit

from api_server import DEADLINE_S, Api
from browser_actions import search, sign_in
from playwright.async_api import BrowserContext, Page, expect


async def test_order_that_never_arrived_is_found_mended_and_sent_again(page: Page, api: Api) -> None:
    await api.endpoint(url=f"{api.receiver.url}/wrong", event_types=["Order"])
    api.receiver.statuses["/wrong"] = 404
    await api.publish(OrderNo="100777")
    await api.publish(OrderNo="100778")
    await api.until_state("dead")
    api.receiver.arrived.clear()

    await sign_in(page)
    await expect(page.get_by_role("link", name=re.compile("^Sort out the dead letters of "))).to_be_visible()
    await expect(page.locator(".concerns")).to_contain_text("2 dead letters")
    await search(page, "100777")
    await page.get_by_role("link", name="Order 100777 · ref. 884211 OrderConfirmedEvent").click()
    await expect(page).to_have_title(re.compile("^Order 100777 · ref. 884211 – OrderConfirmedEvent"))
    await expect(page.get_by_text("Dead at 1.")).to_be_visible()
    await expect(page.locator("#payload")).to_contain_text("100777")
    await expect(page.get_by_text("Given up after 2 attempts")).to_be_visible()
    await expect(page.locator(".timeline .badge.bad").first).to_have_text("404")
    await page.get_by_text("What came back").first.click()
    await expect(page.get_by_text("HTTP/1.1 404").first).to_be_visible()

    await page.get_by_role("link", name="Fix URL").click()
    await page.get_by_label("URL").fill(f"{api.receiver.url}/right")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text(f"{api.receiver.url}/right", exact=True)).to_be_visible()
    await expect(page.get_by_text(f"was {api.receiver.url}/wrong when accepted")).to_be_visible()
    await page.get_by_role("button", name="Try now").click()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    await expect(page.get_by_text("Given up after 2 attempts")).to_be_visible()
    await expect(page.get_by_text("Sent again with a fresh start")).to_be_visible()


async def test_all_that_died_at_an_endpoint_is_counted_and_sent_again(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(url=f"{api.receiver.url}/wrong", event_types=["Order"])
    api.receiver.statuses["/wrong"] = 404
    await api.publish(OrderNo="100777")
    await api.publish(OrderNo="100778")
    await api.until_state("dead")
    api.receiver.arrived.clear()
    await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"url": f"{api.receiver.url}/right"})

    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    await page.get_by_role("link", name="Sort them out").click()
    await page.get_by_role("link", name="Send them again").click()
    await expect(page.get_by_text(f"This sends 2 deliveries to {api.receiver.url}/right (client 1).")).to_be_visible()
    assert api.receiver.arrived == []
    await page.get_by_role("link", name="Back").click()
    await page.get_by_text("Only some types").click()
    await page.get_by_label("OrderCancelledEvent").check()
    await page.get_by_role("button", name="Count them").click()
    await expect(page.get_by_text("There is nothing to send")).to_be_visible()
    await expect(page.get_by_role("button", name="Start")).to_have_count(0)
    await page.get_by_role("link", name="Back").click()
    await page.get_by_label("OrderCancelledEvent").uncheck()
    await page.get_by_role("button", name="Count them").click()
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text("2 of 2 finished")).to_be_visible()
    assert sorted(arrival.path for arrival in api.receiver.arrived) == ["/right", "/right"]

    await search(page, "100777")
    await expect(page.locator("tbody .badge")).to_have_text("delivered")


async def test_replay_form_tells_what_is_missing_and_what_is_wrong(page: Page, api: Api) -> None:
    await api.endpoint()
    await sign_in(page)
    await page.goto("/admin/replays/new?since=2026-02-02T00:00&until=2026-01-01T00:00&check=1")

    await expect(page.locator("#h-endpoint_id")).to_have_text("Choose an endpoint.")
    await expect(page.locator("#h-until")).to_contain_text("To must be later than From.")
    await expect(page.get_by_label("Endpoint", exact=True)).to_be_focused()


async def test_dead_letter_is_tried_from_the_list_and_the_list_stays(page: Page, api: Api) -> None:
    await api.endpoint(description="The warehouse", retry_schedule=[])
    api.receiver.status = 404
    await api.publish(OrderNo="100777")
    await api.until_state("dead")
    api.receiver.status = 200
    await sign_in(page)
    await page.goto("/admin/dead?client_id=1")

    letter = page.locator("#letters tbody tr")
    await expect(letter).to_contain_text("Order 100777 · ref. 884211")
    await expect(letter).to_contain_text("The warehouse")
    await expect(letter).to_contain_text("Nothing is at this path")
    await letter.get_by_role("button", name="Try now").click()
    await page.wait_for_url("**/admin/dead?client_id=1")
    await expect(page.get_by_text("The delivery is tried again now.")).to_be_visible()
    await api.until_state("delivered")


async def test_search_says_where_it_found_its_words(page: Page, api: Api) -> None:
    await api.publish(OrderNo="100777", LastName="Nilsson")
    await sign_in(page)
    await search(page, "nils")

    await expect(page.locator("tbody tr")).to_contain_text("LastName: Nilsson")
    await expect(page.locator("mark")).to_have_text("Nils")


async def test_search_that_cannot_be_made_tells_every_fault_beside_its_field(page: Page, api: Api) -> None:
    await api.publish()
    await sign_in(page)
    await page.goto("/admin/events?client_id=x&type=Nothing&since=2026-02-02T00:00&until=2026-01-01T00:00&state=")

    await expect(page).to_have_url(re.compile("until=[^&]*$"))
    await expect(page.locator("#h-client_id")).to_have_text("The client must be a whole number.")
    await expect(page.locator("#h-type")).to_contain_text("There is no such event type")
    await expect(page.locator("#h-until")).to_have_text("To must be later than From.")
    await expect(page.get_by_text("Nothing found")).to_have_count(0)


async def test_following_keeps_the_filters_and_searching_keeps_following(page: Page, api: Api) -> None:
    await api.publish(OrderNo="100777")
    await sign_in(page)
    await page.goto("/admin/events?state=pending")
    await page.get_by_role("link", name="Follow live").click()
    await expect(page.get_by_text("Following", exact=True)).to_be_visible()
    await expect(page.get_by_label("State")).to_have_value("pending")
    await page.get_by_label("State").select_option("")
    await page.get_by_label("In the payload").fill("100777")
    await page.get_by_role("button", name="Search").click()

    await expect(page.get_by_text("Following", exact=True)).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/admin/events\?live=1&q=100777$"))


async def test_endpoints_are_found_by_name_and_by_health(page: Page, api: Api) -> None:
    await api.endpoint(description="The warehouse")
    await api.endpoint(description="The shop", enabled=False)
    await sign_in(page)
    await page.goto("/admin/endpoints?q=WAREHOUSE")
    await expect(page.locator("tbody tr")).to_contain_text("The warehouse")
    await page.goto("/admin/endpoints?health=off")
    await expect(page.locator("tbody tr")).to_contain_text("The shop")
    await page.goto("/admin/endpoints?client_id=x")
    await expect(page.locator("#h-client_id")).to_have_text("Write the client's number.")


async def test_event_page_follows_what_is_still_under_way(page: Page, api: Api) -> None:
    await api.endpoint()
    api.receiver.hold()
    event = await api.publish()
    await api.until_arrived(1)
    await sign_in(page)
    await page.goto(f"/admin/events/{event['id']}")
    await expect(page.get_by_text("Waiting for 1.")).to_be_visible()
    await expect(page.get_by_text("Being sent now")).to_be_visible()

    api.receiver.release()

    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    await expect(page.locator("#fate")).not_to_have_attribute("hx-get", re.compile("."))


async def test_what_waits_for_its_next_try_is_sent_at_once_when_its_receiver_is_mended(page: Page, api: Api) -> None:
    await api.endpoint(retry_schedule=["1h"])
    api.receiver.status = 500
    await api.publish()
    await api.until_arrived(1)
    async with asyncio.timeout(DEADLINE_S):
        while (await api.deliveries())[0]["next_attempt_at"] is None:
            await asyncio.sleep(0.005)
    api.receiver.status = 200

    await sign_in(page)
    await page.goto("/admin/endpoints")
    await page.get_by_role("link", name=api.receiver.url).click()
    await page.get_by_role("link", name="Send the rest now").click()
    await page.get_by_role("button", name="Count them").click()
    await expect(page.get_by_text("This sends 1 delivery to")).to_be_visible()
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text("1 of 1 finished")).to_be_visible()

    assert (await api.deliveries())[0]["state"] == "delivered"


async def test_an_id_in_the_search_leads_straight_to_its_thing(page: Page, api: Api) -> None:
    endpoint = await api.endpoint()
    event = await api.publish()
    (delivery,) = await api.until_state("delivered")
    await sign_in(page)

    for text, heading in (
        (event["id"], "OrderConfirmedEvent"),
        (delivery["id"], "OrderConfirmedEvent"),
        (endpoint["id"], urlsplit(endpoint["url"]).netloc),
    ):
        await page.get_by_role("searchbox", name="Find an event").fill(text)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text(heading)


async def test_list_follows_new_events_live(page: Page, api: Api) -> None:
    await sign_in(page)
    await page.goto("/admin/events")
    await page.get_by_role("link", name="Follow live").click()
    await expect(page.get_by_text("No events yet")).to_be_visible()

    await api.publish(OrderNo="100900")

    await expect(page.get_by_role("link", name="OrderConfirmedEvent")).to_be_visible()


async def test_overview_renews_itself(page: Page, api: Api) -> None:
    await sign_in(page)
    await expect(page.get_by_text("No endpoint yet")).to_be_visible()

    await api.endpoint()

    await expect(page.get_by_text("Every endpoint answers")).to_be_visible()


async def test_endpoint_is_made_with_all_its_faults_shown_at_once(page: Page, api: Api) -> None:
    await sign_in(page)
    await page.goto("/admin/endpoints/new")
    await page.get_by_label("URL").fill("ftp://nowhere")
    await page.get_by_label("Client", exact=True).fill("seven")
    await page.get_by_label("Description").fill("The warehouse")
    await page.get_by_label("Filter").fill('{"Sorce": "WEB"}')
    everything = page.get_by_label("Everything,")
    await expect(page.get_by_label("OrderConfirmedEvent")).to_be_disabled()
    await everything.uncheck()
    await expect(page.get_by_label("OrderConfirmedEvent")).to_be_enabled()
    await expect(page.get_by_label("Jitter")).to_be_hidden()
    await page.get_by_text("Pace, order, redirects").click()
    await page.get_by_label("Jitter").fill("2")
    await page.get_by_role("button", name="Make the endpoint").click()

    await expect(page.get_by_text("5 fields need another look")).to_be_visible()
    for label in ("URL", "Client", "Filter", "Jitter", "Everything,"):
        await expect(page.get_by_label(label, exact=label == "Client")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("URL")).to_be_focused()
    await expect(page.locator("#h-client_id")).to_contain_text("Write a whole number.")
    await expect(page.locator("#h-jitter")).to_contain_text("Jitter must be at most 1.")
    await expect(page.get_by_label("Description")).to_have_value("The warehouse")
    await page.get_by_role("link", name="Jitter").click()
    await page.get_by_label("Jitter").fill("0")
    await page.get_by_label("Client", exact=True).fill("7")
    await page.get_by_label("Filter").fill("")
    await everything.check()
    await page.get_by_label("URL").fill(f"{api.receiver.url}/warehouse")
    await page.get_by_role("button", name="Make the endpoint").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("The warehouse")
    await expect(page.locator("#secret")).to_have_text(re.compile("^whsec_"))
    await page.reload()
    await expect(page.locator("#secret")).to_have_count(0)
    assert len((await api.admin.get("/v1/endpoints")).json()["items"]) == 1


async def test_test_of_an_endpoint_is_a_page_that_a_reload_does_not_repeat(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(url=f"{api.receiver.url}/warehouse")
    api.receiver.answer_with(404, {"x-where": "nowhere"}, b"no such path")
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    await page.get_by_role("button", name="Send the example now").click()

    await expect(page.get_by_text("The receiver did not take it")).to_be_visible()
    await expect(page.get_by_text("HTTP/1.1 404")).to_contain_text("x-where: nowhere")
    await expect(page.get_by_text("no such path")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("Nothing was sent just now")).to_be_visible()
    assert len(api.receiver.arrived) == 1

    api.receiver.answer_with(200, {}, b"")
    await page.get_by_role("button", name="Send the example now").click()
    await expect(page.get_by_role("button", name="Send again")).to_be_visible()
    await expect(page.get_by_text("The receiver took it")).to_be_visible()
    assert [arrival.path for arrival in api.receiver.arrived] == ["/warehouse"] * 2


async def test_type_is_turned_off_and_on_for_a_client(page: Page, api: Api) -> None:
    await api.endpoint(event_types=["Order"])
    await sign_in(page)
    await page.goto("/admin/types")
    await page.get_by_label("Client").select_option("1")
    await page.wait_for_url("**/admin/types?client_id=1")

    switch = page.get_by_role("switch", name="OrderConfirmedEvent for")
    await expect(switch).to_have_attribute("aria-checked", "true")
    await switch.click()
    await expect(page.get_by_text("OrderConfirmedEvent is off for")).to_be_visible()
    await expect(switch).to_have_attribute("aria-checked", "false")
    assert page.url.endswith("#type-OrderConfirmedEvent")
    assert (await api.publish())["deliveries"] == 0
    assert (await api.publish(type_="OrderCancelledEvent"))["deliveries"] == 1

    await switch.click()
    await expect(page.get_by_text("OrderConfirmedEvent is on for")).to_be_visible()
    assert (await api.publish())["deliveries"] == 1


async def test_key_is_shown_once_and_revoked_for_good(page: Page, api: Api, context: BrowserContext) -> None:
    await sign_in(page)
    await page.goto("/admin/keys")
    await page.get_by_label("Name").fill("the shop")
    await page.get_by_label("Clients").fill("1, x")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_label("Clients")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Clients").fill("1, 2")
    await page.get_by_role("button", name="Make the key").click()
    text = await page.locator("#new-key").inner_text()
    caller = await api.caller(text)
    assert (await caller.get("/v1/event-types")).status_code == 200

    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("row", name="the shop").get_by_role("button", name="Revoke").click()

    await expect(page.get_by_role("row", name="the shop")).to_contain_text("revoked")
    assert (await caller.get("/v1/event-types")).status_code == 401
    await page.reload()
    assert text not in await page.content()


async def test_everything_needed_can_be_done_by_keyboard(page: Page, api: Api) -> None:
    await api.endpoint(url=f"{api.receiver.url}/bad", retry_schedule=[])
    api.receiver.statuses["/bad"] = 500
    await api.publish(OrderNo="100555")
    await api.until_state("dead")
    api.receiver.statuses.clear()

    await page.goto("/admin/sign-in")
    await page.keyboard.type("the-operators-own-admin-key-of-the-tests")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin")
    await page.keyboard.press("/")
    await page.keyboard.type("100555")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events?*")
    await tab_to(page, "Order 100555 · ref. 884211 OrderConfirmedEvent")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/admin/events/evt_*")
    await tab_to(page, "Try now")
    await page.keyboard.press("Enter")

    await expect(page.get_by_text("The delivery is tried again now.")).to_be_visible()
    await api.until_state("delivered")


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until the thing with that text has the focus, and can be seen to have it."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if (await focused.count()) and (await focused.inner_text()).strip() == text:
            assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
            return
    raise AssertionError(f"{text} cannot be reached by Tab")
