"""No screen has serious accessibility findings or horizontal scrolling, in both themes and on a phone."""

from typing import Any, Literal

import pytest
from api_server import Api
from browser_actions import sign_in
from changes_on_screens import data_changes
from playwright.async_api import Browser
from screen_checks import WHOLE, violations

# The reference is long and alike: one of each kind of part is judged.
OF_REFERENCE = {
    "include": [".contents", ".pages > header", "#receiving", "#handlers", "#OrderConfirmedEvent", "#createEndpoint",
                "#schema-NewEndpoint"],
}  # fmt: skip
SCREENS = (
    "/admin", "/admin?span=week", "/admin/events", "/admin/events?q=nothing", "/admin/events?client_id=x", "/admin/endpoints", "/admin/endpoints/new",
    "/admin/dead", "/admin/replays", "/admin/replays/new", "/admin/types", "/admin/types/JobCompletedEvent",
    "/admin/audit", "/admin/keys", "/admin/system", "/admin/changes?client_id=x", "/admin/changes?entity=nothing",
    "/admin/types/SkuChangedNotification/settings", "/admin/types/SkuChangedNotification/settings/new",
    "/admin/types/CustomerChangedNotification", "/admin/types/CustomerChangedNotification/settings?client_id=1",
)  # fmt: skip


async def addresses(api: Api) -> tuple[str, ...]:
    """Make some of everything; return where it is shown."""
    endpoint = await api.endpoint(url=f"{api.receiver.url}/bad", filter={"Source": "WEB"}, properties=["FirstName"])
    await api.endpoint()
    api.receiver.statuses["/bad"] = 500
    event = await api.publish(Source="WEB")
    await api.until_finished(2)
    wanted = {"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z"}
    replay = (await api.admin.post("/v1/replays", json=wanted)).json()
    wrong = {"ClientId": 1, "OrderNo": "SO-10023", "Note": "a rather long line of text without any end " * 9}
    await api.admin.post("/v1/events/OrderConfirmedEvent", json=wrong)
    refused = (await api.admin.get("/v1/refusals")).json()["items"][0]
    own = (
        f"/admin/refusals/{refused['id']}", "/admin/refusals", "/admin/refusals?client_id=x", "/admin/refusals?state=accepted",
        f"/admin/events/{event['id']}", f"/admin/endpoints/{endpoint['id']}", f"/admin/replays/{replay['id']}",
        f"/admin/endpoints/{endpoint['id']}/edit", f"/admin/endpoints/{endpoint['id']}/test",
        f"/admin/replays/new?endpoint_id={endpoint['id']}&only=all&check=1", "/admin/replays/new?check=1",
    )  # fmt: skip
    return (*SCREENS, *own, *await data_changes(api))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_screens_have_no_serious_accessibility_finding(
    browser: Browser, api: Api, scheme: Literal["light", "dark"]
) -> None:
    context = await browser.new_context(base_url=api.url, color_scheme=scheme, bypass_csp=True)
    page = await context.new_page()
    found: dict[str, Any] = {}

    async def judge(address: str, place: Any = WHOLE) -> None:
        await page.goto(address)
        found[address] = await violations(page, place)

    await judge("/admin/sign-in")
    await judge("/reference", OF_REFERENCE)
    await sign_in(page)
    for address in await addresses(api):
        await judge(address)

    serious = [
        (address, each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary", "")[:300])
        for address, violated in found.items()
        for each in violated
        if each["impact"] in {"serious", "critical"}
    ]
    assert not serious, "\n".join(map(str, serious))


async def test_screens_on_a_phone_do_not_scroll_horizontally(browser: Browser, api: Api) -> None:
    context = await browser.new_context(base_url=api.url, viewport={"width": 360, "height": 800})
    page = await context.new_page()
    await sign_in(page)
    for address in (*await addresses(api), "/reference"):
        await page.goto(address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, address
