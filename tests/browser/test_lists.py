"""Lists: keys, ticks, actions on many rows, files, and payloads that are long or written in two directions."""

import csv
import io
import re
from typing import Any

import msgspec
import pytest
from api_server import Api, example
from browser_actions import sign_in
from playwright.async_api import Browser, Page, expect

# Every link and button by its accessible name; the places that each name leads to.
NAMES = """() => {
  const found = {};
  for (const each of document.querySelectorAll("a[href], button, summary")) {
    if (!each.getClientRects().length || each.closest("[role=tablist], .chart")) continue;
    const label = each.getAttribute("aria-label") ?? each.textContent.trim().replace(/\\s+/g, " ");
    const row = each.closest("form");
    const place = each.href ?? (row ? row.action + new URLSearchParams(new FormData(row)).toString() : each.outerHTML);
    (found[label] ??= new Set()).add(place);
  }
  return Object.entries(found).filter(([, places]) => places.size > 1).map(([name, places]) => [name, ...places]);
}"""


async def dead_event(api: Api, order: str = "SO-1") -> dict[str, Any]:
    event = await api.publish(OrderNo=order)
    await api.until_state("dead")
    return event


async def test_rows_are_chosen_and_sent_again_with_keys_only(page: Page, api: Api) -> None:
    await api.endpoint(retry_schedule=[])
    api.receiver.status = 500
    await dead_event(api)
    await sign_in(page)
    await page.goto("/admin/events")
    api.receiver.status = 200

    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await expect(page.get_by_text("1 selected")).to_be_visible()
    await page.keyboard.press("?")
    help_dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(help_dialog.get_by_role("heading", name="On this page")).to_be_visible()
    await expect(help_dialog).to_contain_text("Send again")
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")

    await expect(page.get_by_text("1 delivery is sent again.")).to_be_visible()
    await api.until_state("delivered")


async def test_select_all_ticks_the_page_and_its_bar_says_how_many(page: Page, api: Api) -> None:
    for number in range(3):
        await api.publish(OrderNo=f"SO-{number}")
    await sign_in(page)
    await page.goto("/admin/events")
    bar = page.get_by_role("form", name="Selected events")
    await expect(bar).to_be_hidden()
    await page.get_by_role("checkbox", name="Select all on this page").check()
    await expect(bar).to_contain_text("3 selected")


async def test_ticked_dead_letters_are_discarded_with_a_reason(page: Page, api: Api) -> None:
    await api.endpoint(retry_schedule=[])
    api.receiver.status = 500
    await dead_event(api)
    await sign_in(page)
    await page.goto("/admin/dead")
    await page.get_by_role("checkbox", name=re.compile("Select Order SO-1")).check()
    await page.get_by_label("Why they are discarded").fill("Entered by hand")
    await page.get_by_role("form", name="Selected dead letters").get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("1 dead letter is discarded.")).to_be_visible()
    (delivery,) = await api.deliveries()
    assert (delivery["state"], delivery["reason"]) == ("cancelled", "discarded: Entered by hand")


async def test_endpoints_are_paused_and_resumed_together(page: Page, api: Api) -> None:
    made = [await api.endpoint(description=f"Receiver {number}") for number in range(2)]
    await sign_in(page)
    for button, paused in (("Pause", True), ("Resume", False)):
        await page.goto("/admin/endpoints")
        await page.get_by_role("checkbox", name="Select all on this page").check()
        await page.get_by_role("form", name="Selected endpoints").get_by_role("button", name=button).click()
        await expect(page.get_by_role("status").filter(has_text="2 endpoints are")).to_be_visible()
        for each in made:
            assert (await api.admin.get(f"/v1/endpoints/{each['id']}")).json()["paused"] is paused


async def test_export_has_the_filtered_rows_and_no_formula(page: Page, api: Api) -> None:
    await api.endpoint(description="=1+1")
    await api.publish(OrderNo="SO-1")
    await api.publish(2, OrderNo="SO-2")
    await sign_in(page)
    await page.goto("/admin/events?client_id=1")
    assert "1 row" in await page.locator(".list-end").inner_text()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="JSON Lines").click()
    assert (await download.value).suggested_filename == "events.jsonl"
    answer = await page.request.get("/admin/events/export?client_id=1&format=jsonl")
    (line,) = (await answer.text()).splitlines()
    assert msgspec.json.decode(line)["data"]["OrderNo"] == "SO-1"

    table = await page.request.get("/admin/endpoints/export?format=csv")
    (row,) = csv.DictReader(io.StringIO((await table.text()).removeprefix("\ufeff")))
    assert row["endpoint.description"] == "'=1+1"
    assert table.headers["content-disposition"] == 'attachment; filename="endpoints.csv"'


async def test_long_payload_is_folded_shown_whole_and_downloaded(page: Page, api: Api) -> None:
    await api.endpoint()
    event = await api.publish(OrderNo="SO-BIG", Lines=[{"PartNo": f"P-{number}"} for number in range(6000)])
    await sign_in(page)
    await page.goto(f"/admin/events/{event['id']}")
    card = page.locator("#payload-card")
    await expect(card).to_contain_text(re.compile(r"The first 40 of 18,\d\d\d lines"))
    assert await page.evaluate("document.documentElement.scrollHeight") < 4000
    assert "P-5999" not in await page.content()

    async with page.expect_download() as download:
        await card.get_by_role("link", name="Download").click()
    assert (await download.value).suggested_filename == f"{event['id']}.json"
    await card.get_by_role("link", name="Show all").click()
    await expect(card).to_contain_text("P-5999")
    assert await page.evaluate("document.documentElement.scrollHeight") < 4000


async def test_payload_shows_characters_of_escapes_and_escapes_of_directions(page: Page, api: Api) -> None:
    raw = rb'{"ClientId":1,"OrderNo":"Nystr\u00f6m","Note":"a\u202eb","\u0645":"\u0642"}'
    body = msgspec.json.encode({**example(), **msgspec.json.decode(raw)})
    exact = body.replace("Nyström".encode(), rb"Nystr\u00f6m")
    kind = {"Content-Type": "application/json"}
    made = await api.admin.post("/v1/events/OrderConfirmedEvent", content=exact, headers=kind)
    await sign_in(page)
    await page.goto(f"/admin/events/{made.json()['id']}")
    await expect(page.locator("#payload")).to_contain_text('"Nyström"')
    await expect(page.locator("#payload")).to_contain_text(r'"a\u202eb"')
    await page.get_by_role("tab", name="Exact bytes").click()
    await expect(page.locator("#payload-bytes")).to_contain_text(r"Nystr\u00f6m")


async def test_date_fields_show_their_whole_value_at_1280(browser: Browser, api: Api) -> None:
    context = await browser.new_context(base_url=api.url, viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await sign_in(page)
    await page.goto("/admin/events?since=2026-12-28T10:20:30Z")
    box = await page.locator("#e-since").bounding_box()
    assert box is not None
    assert box["width"] >= 230


@pytest.mark.parametrize("address", ["/nothing", "/problems/not-found", "/problems/nothing"])
async def test_address_without_a_screen_answers_browsers_with_a_page(page: Page, api: Api, address: str) -> None:
    await page.goto(address)
    await expect(page.get_by_role("link", name="Open the screens")).to_be_visible()
    answer = await api.admin.get(address)
    assert answer.headers["content-type"].startswith(("application/problem+json", "application/json"))


async def test_accessible_names_are_unique_for_different_places(page: Page, api: Api) -> None:
    for number in range(2):
        await api.endpoint(description=f"Receiver {number}", retry_schedule=[])
        await api.key("read", 1)
    api.receiver.status = 500
    event = await dead_event(api)
    await dead_event(api, "SO-2")
    await sign_in(page)
    screens = await page.locator("#screens a").evaluate_all("links => links.map((each) => each.getAttribute('href'))")
    wrong = {}
    for address in (*screens[:-1], f"/admin/events/{event['id']}", "/admin/endpoints/new", "/admin/replays/new"):
        await page.goto(address)
        if found := await page.evaluate(NAMES):
            wrong[address] = found
    assert not wrong, "\n".join(f"{address}: {each}" for address, names in wrong.items() for each in names)


async def test_paper_has_the_event_without_the_screens_around_it(page: Page, api: Api) -> None:
    await api.endpoint()
    event = await api.publish()
    await sign_in(page)
    await page.goto(f"/admin/events/{event['id']}")
    await page.emulate_media(media="print")
    await expect(page.locator("#screens")).to_be_hidden()
    await expect(page.get_by_role("button", name="Copy").first).to_be_hidden()
    await expect(page.locator("h1")).to_be_visible()
    await expect(page.locator("main time").first).to_contain_text(re.compile(r", \d\d:\d\d"))
    assert await page.locator("main time .zone").first.is_visible()
