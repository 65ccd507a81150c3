"""Local times, kept input, keyboard shortcuts and live updates of the screens."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from api_server import Api
from browser_actions import search, sign_in, sign_out_elsewhere
from playwright.async_api import Browser, BrowserContext, Page, expect

from commerce_event.admin.sessions import COOKIE
from commerce_event.core import ids
from commerce_event.store.model import LATENCY_BOUNDS_MS, Activity


@pytest_asyncio.fixture(loop_scope="session")
async def kolkata_page(browser: Browser, api: Api) -> AsyncIterator[Page]:
    """A page in a time zone that is five and a half hours ahead of UTC."""
    context = await browser.new_context(base_url=api.url, timezone_id="Asia/Kolkata", locale="en-GB")
    context.set_default_timeout(30_000)
    yield await context.new_page()
    await context.close()


async def end_session(page: Page, api: Api) -> None:
    (session,) = [each["value"] for each in await page.context.cookies() if each["name"] == COOKIE]
    await sign_out_elsewhere(api, session)


async def add_last_hour(api: Api, endpoint: dict[str, Any]) -> None:
    """Add attempts in the last hour."""
    now_ms = api.node.clock.now_ms()
    empty = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    answered = (0, 9, 0, 1, *empty[4:])
    rows = [
        Activity(
            start_ms=now_ms - now_ms % 60_000 - minute * 60_000, client_id=1, endpoint_id=ids.decode("end", endpoint["id"]),
            accepted=0, delivered=9, failed=1, dead=0, latency=answered,
        )
        for minute in range(1, 50)
    ]  # fmt: skip
    await api.node.store.activity.add(rows, now_ms=now_ms)


async def test_ended_session_says_so_and_restores_the_form(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The shop")
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}/edit")
    await page.get_by_label("URL").fill("https://erp.example.com/webhooks")
    await page.get_by_label("Description").fill("The warehouse")
    await page.get_by_label("Static headers").fill("Authorization: Bearer a-secret-of-the-receiver")
    await end_session(page, api)

    await page.get_by_role("button", name="Save", exact=True).click()

    await expect(page.get_by_text("Your session has ended.")).to_be_visible()
    assert "a-secret" not in await page.evaluate("JSON.stringify(sessionStorage)")
    await page.get_by_label("Your key").fill("wrong-key-at-first")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_label("Your key").fill("the-operators-own-admin-key-of-the-tests")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/edit")
    await expect(page.get_by_label("URL")).to_have_value("https://erp.example.com/webhooks")
    await expect(page.get_by_label("Description")).to_have_value("The warehouse")
    await expect(page.get_by_label("Static headers")).to_have_value("")
    await page.reload()
    await expect(page.get_by_label("Description")).to_have_value("The shop")


async def test_live_update_after_session_end_leads_to_sign_in_and_back(page: Page, api: Api) -> None:
    await sign_in(page)
    await page.goto("/admin?span=day")

    await end_session(page, api)

    await page.wait_for_url("**/admin/sign-in?ended=1&next=/admin%3Fspan%3Dday")
    await page.get_by_label("Your key").fill("the-operators-own-admin-key-of-the-tests")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/admin?span=day")


async def test_sign_out_says_so(page: Page) -> None:
    await sign_in(page)
    await page.get_by_role("button", name="Sign out").click()

    await expect(page.get_by_text("You are signed out.")).to_be_visible()


async def test_chart_times_are_round_in_the_viewers_time_zone(kolkata_page: Page, api: Api) -> None:
    await add_last_hour(api, await api.endpoint())
    await sign_in(kolkata_page)

    for span, wanted in (("day", r"^\d\d:00$"), ("hour", r"^\d\d:(00|15|30|45)$"), ("week", r"^\w{3} \d\d?$")):
        await kolkata_page.goto(f"/admin?span={span}")
        labels = kolkata_page.locator(".chart").first.locator("text[data-time]")
        texts = [text for text in await labels.all_text_contents() if text]
        assert len(texts) >= 2, span
        assert all(re.match(wanted, text) for text in texts), texts
        await expect(kolkata_page.locator(".chart").first).to_contain_text("now")
    await kolkata_page.goto("/admin?span=day")
    shown = await kolkata_page.evaluate("""() => {
      const chart = document.querySelector(".chart");
      const label = [...chart.querySelectorAll("text[data-time]")].find((each) => each.textContent);
      const step = [...chart.querySelectorAll(".step")].find((each) =>
        Math.abs(each.getAttribute("x") - label.getAttribute("x")) < each.getAttribute("width") / 2);
      return [label.textContent, new Date(step.dataset.at).toTimeString().slice(0, 5)];
    }""")
    assert shown[0] == shown[1]


async def test_chart_tooltip_follows_pointer_and_keys(page: Page, api: Api) -> None:
    await add_last_hour(api, await api.endpoint())
    await sign_in(page)
    chart = page.get_by_role("img", name="Attempts by result. Newest: ")

    await chart.locator(".step").nth(30).hover()
    await expect(chart.locator(".tooltip")).to_contain_text("delivered 9")
    await page.mouse.move(0, 0)
    await expect(chart.locator(".tooltip")).to_have_count(0)
    await page.keyboard.press("Tab")
    await chart.focus()
    await page.keyboard.press("Home")
    for _ in range(20):
        await page.keyboard.press("ArrowRight")
    await expect(chart.locator(".tooltip")).to_contain_text("failed 1")
    await expect(page.locator("#announcer")).to_contain_text("delivered 9, failed 1")


async def test_time_field_takes_local_time_and_sends_an_instant(kolkata_page: Page) -> None:
    await sign_in(kolkata_page)
    await kolkata_page.evaluate("""() => {
      document.querySelector("main").innerHTML = `<form action="/admin/events"><label for="s">Since (UTC)</label>
        <input id="s" name="since" type="datetime-local" data-zone value="2026-01-31T12:00"><button>Go</button></form>`;
      document.dispatchEvent(new Event("DOMContentLoaded"));
    }""")
    field = kolkata_page.get_by_label(re.compile(r"Since \(Asia/(Kolkata|Calcutta)\)"))
    await expect(field).to_have_value("2026-01-31T17:30")

    await field.fill("2026-02-01T05:30")
    await kolkata_page.get_by_role("button", name="Go").click()

    await kolkata_page.wait_for_url("**/admin/events?since=2026-02-01T00%3A00%3A00.000Z")


@pytest.mark.parametrize(
    ("zone", "instant", "shown"),
    [
        ("Asia/Kolkata", "2026-01-31T12:00:07.120Z", "2026-01-31T17:30:07.12"),
        ("Europe/Stockholm", "2026-10-25T00:30:00.000Z", "2026-10-25T02:30"),
        ("Europe/Stockholm", "2026-10-25T01:30:00.000Z", "2026-10-25T02:30"),
        ("America/St_Johns", "2026-11-01T04:10:09.000Z", "2026-11-01T01:40:09"),
    ],
)
async def test_time_field_sends_the_instant_that_it_was_given(
    browser: Browser, api: Api, zone: str, instant: str, shown: str
) -> None:
    context = await browser.new_context(base_url=api.url, timezone_id=zone, locale="en-GB")
    context.set_default_timeout(30_000)
    try:
        page = await context.new_page()
        await sign_in(page)
        await page.goto(f"/admin/events?since={instant}")
        field = page.locator("#e-since")
        assert (await field.input_value()).startswith(shown)
        assert await field.evaluate("input => input.checkValidity()")
        sent = page.locator("input[type=hidden][name=since]")
        assert await sent.input_value() == instant

        await field.fill("2026-07-01T10:00")
        moved = await sent.input_value()
        await field.fill(shown)

        assert moved.startswith("2026-07-01T")
        assert await sent.input_value() == instant
    finally:
        await context.close()


async def test_keyboard_moves_through_results(page: Page, api: Api) -> None:
    for number in range(3):
        await api.publish(OrderNo=f"10090{number}")
    await sign_in(page)
    await search(page, "10090")
    rows = page.locator("tbody tr")
    await page.keyboard.press("j")
    await expect(rows.nth(0).get_by_role("link").first).to_be_focused()
    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    await expect(rows.nth(2).get_by_role("link").first).to_be_focused()
    await page.keyboard.press("k")
    await expect(rows.nth(1).get_by_role("link").first).to_be_focused()
    await page.keyboard.press("/")
    await page.keyboard.press("Enter")
    await expect(rows.nth(0).get_by_role("link").first).to_be_focused()

    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


async def test_type_switch_last_type_stays_on_with_reason(page: Page, api: Api) -> None:
    await api.endpoint(event_types=["JobCompletedEvent"])
    await sign_in(page)
    await page.goto("/admin/types?client_id=1")
    row = page.locator("#type-JobCompletedEvent")

    await row.get_by_role("switch").click()

    await expect(row).to_contain_text("This is the only type that the endpoint subscribes to.")
    await expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "true")
    assert (await api.publish(type_="JobCompletedEvent"))["deliveries"] == 1


async def test_theme_follows_the_system_until_chosen(browser: Browser, api: Api) -> None:
    async def background(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.goto("/admin/sign-in")
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark, light = "rgb(16, 17, 22)", "rgb(247, 247, 249)"
    plain = await browser.new_context(base_url=api.url, color_scheme="dark", java_script_enabled=False)
    page = await plain.new_page()
    await page.goto("/admin/sign-in")
    await expect(page.locator("body")).to_have_css("background-color", dark)

    context = await browser.new_context(base_url=api.url, color_scheme="dark")
    assert await background(context) == dark
    page = await context.new_page()
    await page.goto("/admin/sign-in")
    await page.get_by_role("button", name="Light").click()
    await expect(page.get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
    assert await background(context) == light
    await page.get_by_role("button", name="System").click()
    assert await background(context) == dark


async def test_reference_names_this_server_and_the_place_in_its_title(page: Page, api: Api) -> None:
    await page.goto("/reference#servers")
    await expect(page.locator("#servers td code")).to_have_text(api.url)
    await expect(page.locator("#code-shell")).to_contain_text(f"export COMMERCE_EVENT_URL={api.url}\n")
    await expect(page.locator("#code-publish")).to_contain_text(f"${{COMMERCE_EVENT_URL:-{api.url}}}")
    await page.goto("/reference#OrderConfirmedEvent")
    await expect(page).to_have_title("OrderConfirmedEvent · Reference · Commerce Event")


async def test_overview_without_events_shows_publish_command(page: Page, api: Api) -> None:
    await api.endpoint(7)
    await sign_in(page)

    await expect(page.get_by_text("No events in the last hour")).to_be_visible()
    await expect(page.locator("#publish")).to_contain_text(f"curl -X POST {api.url}/v1/events/OrderConfirmedEvent")
    await expect(page.locator("#publish")).to_contain_text('"ClientId":7')
