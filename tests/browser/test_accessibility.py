"""No screen has serious accessibility findings or horizontal scrolling, in both themes and on a phone."""

from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from api_server import Api
from browser_actions import sign_in
from playwright.async_api import Browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = "place => axe.run(place, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
WHOLE = "html"
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


async def data_changes(api: Api) -> tuple[str, ...]:
    """Make settings, sources and changes; return where they are shown."""
    wanted = {"client_id": 1, "event_type": "CustomerChangedNotification"}
    settings = [
        (await api.admin.post("/v1/event-settings", json={**wanted, **fields})).json()
        for fields in (
            {"entity": "tClientCustomer", "fields": ["City", "AVeryLongNameOfAFieldThatHasNoPlaceToBreakInIt"]},
            {"entity": "tClientCustomerFlag", "enabled": False, "filter": {"after.Flag": {"in": [1, 2]}}},
            {"entity": "tClientCustomerAddress", "coalesce_s": 3600, "application_id": 7},
        )
    ]
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"City": "city"}}
    for name, state in (("crm", "running"), ("stock", "slot_lost"), ("web", "failing")):
        tables = {"public.customer": table, "a_schema_of_some_length.a_table_of_some_length": table}
        await api.admin.put(f"/v1/change-sources/{name}", json={"client_id": 1, "tables": tables})
        report = {"state": state, "message": "text without any end " * 20, "lag_ms": 40, "retained_bytes": 99_999}
        await api.admin.put(f"/v1/change-sources/{name}/status", json=report)
    row = {"before": None, "after": {"id": 1}, "source": {"schema": "public", "table": "cart"}, "op": "c", "ts_ms": 1}
    await api.admin.post("/v1/changes/debezium?source=crm", json=row)
    ids = []
    for fields in (
        {"entity": "tClientCustomer", "after": {"City": "Lund", "Note": "long" * 200}},
        {"entity": "tClientCustomerFlag", "after": {"Flag": 3}},
        {"entity": "tClientCustomerAddress", "after": {"City": "Lund"}, "application_id": 7},
    ):
        change = {"client_id": 1, "operation": "update", "key": {"CustomerId": 12}, "before": {"City": "?"}, **fields}
        ids.append((await api.admin.post("/v1/changes", json=change)).json()["id"])
    (unmapped,) = (await api.admin.get("/v1/changes?unmapped=true")).json()["items"]
    return (
        "/admin/changes", "/admin/changes?unmapped=true", *(f"/admin/changes/{id_}" for id_ in [*ids, unmapped["id"]]),
        "/admin/sources", "/admin/sources/crm", "/admin/sources/stock",
        f"/admin/event-settings/{settings[0]['id']}/edit",
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_screens_have_no_serious_accessibility_finding(
    browser: Browser, api: Api, scheme: Literal["light", "dark"]
) -> None:
    context = await browser.new_context(base_url=api.url, color_scheme=scheme, bypass_csp=True)
    page = await context.new_page()
    found: dict[str, Any] = {}

    async def judge(address: str, place: Any = WHOLE) -> None:
        await page.goto(address)
        await page.evaluate(AXE)
        found[address] = (await page.evaluate(RULES, place))["violations"]

    await judge("/admin/sign-in")
    await judge("/reference", OF_REFERENCE)
    await sign_in(page)
    for address in await addresses(api):
        await judge(address)

    serious = [
        (address, each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary", "")[:300])
        for address, violations in found.items()
        for each in violations
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
