"""Support without a terminal: find an order, see the answer, fix the endpoint, send again."""

import asyncio
import re
from urllib.parse import urlsplit

from api_server import DEADLINE_S, Api
from api_server import expect as expect_json
from browser_actions import search, sign_in
from playwright.async_api import BrowserContext, Page, expect


async def test_undelivered_order_is_found_fixed_and_sent_again(page: Page, api: Api) -> None:
    await api.endpoint(url=f"{api.receiver.url}/wrong", event_types=["Order"])
    api.receiver.statuses["/wrong"] = 404
    await api.publish(OrderNo="100777")
    await api.publish(OrderNo="100778")
    await api.until_state("dead")
    api.receiver.arrived.clear()

    await sign_in(page)
    await expect(page.get_by_role("region", name="Needs attention")).to_contain_text("0 waiting, 2 dead")
    await search(page, "100777")
    await page.get_by_role("link", name="Order 100777 · ref. 884211 OrderConfirmedEvent").click()
    await expect(page).to_have_title(re.compile("^Order 100777 · ref. 884211 – OrderConfirmedEvent"))
    await expect(page.get_by_text("Dead at 1.")).to_be_visible()
    await expect(page.locator("#payload")).to_contain_text("100777")
    await expect(page.get_by_text("Given up after 2 attempts")).to_be_visible()
    await expect(page.locator(".timeline .badge.bad").first).to_have_text("404")
    newest = page.locator(".exchange")
    await expect(newest.get_by_text("HTTP/1.1 404")).to_be_visible()
    await expect(newest.get_by_text(f"POST {api.receiver.url}/wrong")).to_be_visible()
    earlier = page.locator("details").filter(has_text="Answer, after")
    await earlier.locator("summary").click()
    await expect(earlier.get_by_text("HTTP/1.1 404")).to_be_visible()

    await page.get_by_role("link", name="Fix URL").click()
    await page.get_by_label("URL").fill(f"{api.receiver.url}/right")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text(f"{api.receiver.url}/right", exact=True)).to_be_visible()
    await expect(page.get_by_text(f"was {api.receiver.url}/wrong when accepted")).to_be_visible()
    await page.get_by_role("button", name="Try now").click()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    await expect(page.get_by_text("Given up after 2 attempts")).to_be_visible()
    await expect(page.get_by_text("Sent again with a new retry budget")).to_be_visible()


async def test_dead_letters_of_an_endpoint_are_counted_and_replayed(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(url=f"{api.receiver.url}/wrong", event_types=["Order"])
    api.receiver.statuses["/wrong"] = 404
    await api.publish(OrderNo="100777")
    await api.publish(OrderNo="100778")
    await api.until_state("dead")
    api.receiver.arrived.clear()
    await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"url": f"{api.receiver.url}/right"})

    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    await page.get_by_role("link", name="Show dead letters").click()
    await page.get_by_role("link", name="Send again").click()
    await expect(page.get_by_text(f"This sends 2 deliveries to {api.receiver.url}/right (client 1).")).to_be_visible()
    assert api.receiver.arrived == []
    await page.get_by_role("link", name="Back").click()
    await page.locator("#f-types summary").click()
    await page.get_by_label("OrderCancelledEvent").check()
    await page.get_by_role("button", name="Count").click()
    await expect(page.get_by_text("There is nothing to send")).to_be_visible()
    await expect(page.get_by_role("button", name="Start")).to_have_count(0)
    await page.get_by_role("link", name="Back").click()
    await page.get_by_label("OrderCancelledEvent").uncheck()
    await page.get_by_role("button", name="Count").click()
    await page.get_by_role("button", name="Send anyway").click()  # it has not answered at its new URL yet
    await expect(page.get_by_text("2 of 2 finished")).to_be_visible()
    assert sorted(arrival.path for arrival in api.receiver.arrived) == ["/right", "/right"]

    await search(page, "100777")
    await expect(page.locator("tbody .badge")).to_have_text("delivered")


async def test_replay_form_shows_every_error(page: Page, api: Api) -> None:
    await api.endpoint()
    await sign_in(page)
    await page.goto("/admin/replays/new?since=2026-02-02T00:00&until=2026-01-01T00:00&check=1")

    await expect(page.locator("#h-endpoint_id")).to_have_text("Choose an endpoint.")
    await expect(page.locator("#h-until")).to_contain_text("To must be later than From.")
    await expect(page.get_by_label("Endpoint", exact=True)).to_be_focused()


async def test_dead_letter_is_retried_from_the_list(page: Page, api: Api) -> None:
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
    await expect(page.get_by_text("The delivery is being retried now.")).to_be_visible()
    await api.until_state("delivered")


async def test_search_shows_where_it_found_its_text(page: Page, api: Api) -> None:
    await api.publish(OrderNo="100777", LastName="Nilsson")
    await sign_in(page)
    await search(page, "nils")

    await expect(page.locator("tbody tr")).to_contain_text("LastName: Nilsson")
    await expect(page.locator("mark")).to_have_text("Nils")


async def test_search_without_result_says_what_was_searched_and_what_to_try(page: Page, api: Api) -> None:
    await api.publish(OrderNo="SO10023")
    await sign_in(page)
    await search(page, "SO-10023")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.goto("/admin/events?q=SO-7&client_id=1")

    await expect(page.get_by_text("No stored event that your key may read has “SO-7” in its payload")).to_be_visible()
    await expect(page.get_by_text("and matches the other filters")).to_be_visible()
    await page.goto("/admin/events?q=--")
    await expect(page.locator("#h-q")).to_have_text("Write at least one letter or digit to search for.")


async def test_search_shows_every_error_at_its_field(page: Page, api: Api) -> None:
    await api.publish()
    await sign_in(page)
    await page.goto("/admin/events?client_id=x&type=Nothing&since=2026-02-02T00:00&until=2026-01-01T00:00&state=")

    await expect(page).to_have_url(re.compile("until=[^&]*$"))
    await expect(page.locator("#h-client_id")).to_have_text("The client must be a whole number.")
    await expect(page.locator("#h-type")).to_contain_text("There is no such event type")
    await expect(page.locator("#h-until")).to_have_text("To must be later than From.")
    await expect(page.get_by_text("Nothing found")).to_have_count(0)


async def test_endpoints_are_found_by_name_and_health(page: Page, api: Api) -> None:
    await api.endpoint(description="The warehouse")
    await api.endpoint(description="The shop", enabled=False)
    await sign_in(page)
    await page.goto("/admin/endpoints?q=WAREHOUSE")
    await expect(page.locator("tbody tr")).to_contain_text("The warehouse")
    await page.goto("/admin/endpoints?health=off")
    await expect(page.locator("tbody tr")).to_contain_text("The shop")
    await page.goto("/admin/endpoints?client_id=x")
    await expect(page.locator("#h-client_id")).to_have_text("Enter the client's number.")


async def test_event_page_updates_while_pending(page: Page, api: Api) -> None:
    await api.endpoint()
    api.receiver.hold()
    event = await api.publish()
    await api.until_arrived(1)
    await sign_in(page)
    await page.goto(f"/admin/events/{event['id']}")
    await expect(page.get_by_text("Pending at 1.")).to_be_visible()
    await expect(page.get_by_text("Sending now")).to_be_visible()

    api.receiver.release()

    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()


async def test_pending_deliveries_are_sent_at_once_by_a_replay(page: Page, api: Api) -> None:
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
    await page.get_by_role("link", name="Send all now").click()
    await page.get_by_role("button", name="Count").click()
    await expect(page.get_by_text("This sends 1 delivery to")).to_be_visible()
    await page.get_by_role("button", name="Send anyway").click()
    await expect(page.get_by_text("1 of 1 finished")).to_be_visible()

    assert (await api.deliveries())[0]["state"] == "delivered"


async def test_search_for_an_id_opens_its_screen(page: Page, api: Api) -> None:
    endpoint = await api.endpoint()
    event = await api.publish()
    (delivery,) = await api.until_state("delivered")
    await sign_in(page)

    for text, heading in (
        (event["id"], "OrderConfirmedEvent"),
        (delivery["id"], "OrderConfirmedEvent"),
        (endpoint["id"], urlsplit(endpoint["url"]).netloc),
    ):
        await page.get_by_role("combobox", name="Search events").fill(text)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text(heading)


async def test_overview_updates_itself(page: Page, api: Api) -> None:
    await sign_in(page)
    await expect(page.get_by_text("No endpoint yet")).to_be_visible()

    await api.endpoint()

    await expect(page.get_by_text("All endpoints answer")).to_be_visible()


async def test_endpoint_form_shows_all_errors_at_once(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The shop")
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}/edit")
    await page.get_by_label("URL").fill("ftp://nowhere")
    await page.get_by_label("Description").fill("The warehouse")
    await page.get_by_label("A filter as JSON").check()
    await page.get_by_role("textbox", name="Filter").fill('{"Sorce": "WEB"}')
    all_types = page.get_by_label("All event types,")
    one_type = page.locator("[name=event_types][value=OrderConfirmedEvent]")
    await expect(one_type).to_be_disabled()
    await all_types.uncheck()
    await expect(one_type).to_be_enabled()
    await expect(page.get_by_label("Jitter")).to_be_hidden()
    await page.get_by_text("Limits, ordering, redirects").click()
    await page.get_by_label("Jitter").fill("2")
    await page.get_by_role("button", name="Save", exact=True).click()

    await expect(page.get_by_text("4 fields have errors")).to_be_visible()
    for field in ("URL", "Jitter", "All event types,"):
        await expect(page.get_by_label(field)).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_role("textbox", name="Filter")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("URL")).to_be_focused()
    await expect(page.locator("#h-jitter")).to_contain_text("Jitter must be at most 1.")
    await expect(page.get_by_label("Description")).to_have_value("The warehouse")
    await page.get_by_role("link", name="Jitter").click()
    await page.get_by_label("Jitter").fill("0")
    await page.get_by_label("Every event of these types").check()
    await all_types.check()
    await page.get_by_label("URL").fill(f"{api.receiver.url}/warehouse")
    await page.get_by_role("button", name="Save", exact=True).click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("The warehouse")
    saved = (await api.admin.get(f"/v1/endpoints/{endpoint['id']}")).json()
    assert (saved["url"], saved["filter"]) == (f"{api.receiver.url}/warehouse", None)


async def test_endpoint_test_reload_sends_nothing(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(url=f"{api.receiver.url}/warehouse")
    api.receiver.answer_with(404, {"x-where": "nowhere"}, b"no such path")
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    await page.get_by_role("button", name="Send test").click()

    await expect(page.get_by_text("The receiver did not accept the test")).to_be_visible()
    await expect(page.get_by_text("HTTP/1.1 404")).to_contain_text("x-where: nowhere")
    await expect(page.get_by_text("no such path")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("No result")).to_be_visible()
    assert len(api.receiver.arrived) == 1

    api.receiver.answer_with(200, {}, b"")
    await page.get_by_role("button", name="Send test").click()
    await expect(page.get_by_role("button", name="Send again")).to_be_visible()
    await expect(page.get_by_text("The receiver accepted the test")).to_be_visible()
    assert [arrival.path for arrival in api.receiver.arrived] == ["/warehouse"] * 2


async def test_type_switch_turns_a_type_off_and_on(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(event_types=["*"])
    await sign_in(page)
    await page.goto("/admin/types")
    await page.locator("#t-client").select_option("1")
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
    await expect(page.get_by_role("link", name="Send what it missed")).to_be_visible()
    kept = expect_json(await api.admin.get(f"/v1/endpoints/{endpoint['id']}"), 200)
    assert (kept["event_types"], kept["except"]) == (["*"], [])
    assert (await api.publish())["deliveries"] == 1


async def test_key_is_shown_once_and_revoked(page: Page, api: Api, context: BrowserContext) -> None:
    await sign_in(page)
    await page.goto("/admin/keys")
    await page.get_by_label("Name").fill("the shop")
    await page.get_by_label("Clients").fill("1, x")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.get_by_label("Clients")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Clients").fill("1, 2")
    await page.get_by_role("button", name="Create key").click()
    text = await page.locator("#new-key").inner_text()
    caller = await api.caller(text)
    assert (await caller.get("/v1/event-types")).status_code == 200

    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("row", name="the shop").get_by_role("button", name="Revoke").click()

    await expect(page.get_by_role("row", name="the shop")).to_contain_text("revoked")
    assert (await caller.get("/v1/event-types")).status_code == 401
    await page.reload()
    assert text not in await page.content()


async def test_retry_by_keyboard_alone(page: Page, api: Api) -> None:
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

    await expect(page.get_by_text("The delivery is being retried now.")).to_be_visible()
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
