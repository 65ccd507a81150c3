"""Pictures of every screen, light and dark, for the README and the documentation.

Run as a program: `python tests/browser/take_screenshots.py docs/images`.
"""

import asyncio
import math
import shutil
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from api_server import Api, example, running_api
from browser_actions import sign_in
from playwright.async_api import Page, async_playwright
from rich.progress import track

from commerce_event.core import ids
from commerce_event.simulate.shop import Shop
from commerce_event.store.model import LATENCY_BOUNDS_MS, Activity

SIZE: Final = {"width": 1360, "height": 850}
EVENTS: Final = 160
ORDER_NO: Final = "100777"
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as store:
        async with running_api(Path(store), retry_schedule_s=(0.05, 0.05)) as api, async_playwright() as playwright:
            screens = await fill(api)
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                args=["--no-sandbox", "--disable-gpu"],
            )
            wanted = [(scheme, name, address) for scheme in SCHEMES for name, address in screens.items()]
            pages = {scheme: await page_of(browser, api, scheme, folder) for scheme in SCHEMES}
            for scheme, name, address in track(wanted, "screenshots"):
                await pages[scheme].goto(address)
                await pages[scheme].evaluate("document.fonts.ready")
                await pages[scheme].screenshot(path=folder / f"{name}-{scheme}.png")
            for scheme in SCHEMES:
                await by_hand(pages[scheme], scheme, folder, api.receiver.url)
            await browser.close()


async def page_of(browser: Any, api: Api, scheme: Literal["light", "dark"], folder: Path) -> Page:
    context = await browser.new_context(base_url=api.url, color_scheme=scheme, viewport=SIZE, timezone_id="UTC")
    page: Page = await context.new_page()
    await page.goto("/admin/sign-in")
    await page.screenshot(path=folder / f"sign-in-{scheme}.png")
    await sign_in(page)
    return page


async def by_hand(page: Page, scheme: str, folder: Path, receiver_url: str) -> None:
    """Take what has no address of its own: the palette, and the steps to a new endpoint."""
    await page.goto("/admin")
    await page.keyboard.press("/")
    await page.keyboard.type(ORDER_NO)
    await page.get_by_role("option", name=f"Order {ORDER_NO}", exact=True).wait_for()
    await page.screenshot(path=folder / f"palette-{scheme}.png")
    await page.goto("/admin/endpoints/new")
    await page.get_by_label("URL").fill(f"{receiver_url}/erp/web")
    await page.get_by_label("Client", exact=True).fill("1")
    await page.get_by_label("Description").fill(f"ERP: orders of the web shop, {scheme}")
    await page.get_by_role("button", name="Next: event types").click()
    await page.locator("input[name=event_types][value='*']").uncheck()
    await page.locator("input[name=event_types][value=Order]").check()
    await page.get_by_role("button", name="Next: filter").click()
    await page.get_by_label("Only events that meet conditions").check()
    row = page.get_by_role("group", name="Condition 1")
    await row.get_by_label("Property").fill("Source")
    await row.get_by_label("Value").fill("WEB")
    await page.get_by_role("button", name="Try it on the last 100 events").click()
    await page.locator("#tried").wait_for()
    await page.screenshot(path=folder / f"endpoint-filter-{scheme}.png")
    await page.get_by_role("button", name="Create endpoint").click()
    await page.locator("#secret").wait_for()
    await page.screenshot(path=folder / f"endpoint-secret-{scheme}.png")


async def three_at_night(api: Api, warehouse: str, receiver_url: str) -> dict[str, str]:
    """Let an order reach one receiver and not the other, and change settings; return the address of each screen."""
    order: dict[str, Any] = {"OrderNo": ORDER_NO, "ClientOrderRef": "884777", "OrderId": 5_012_777}
    for event_type in ("OrderReceivedEvent", "OrderConfirmedEvent", "OrderDeliveredEvent"):
        (await api.admin.post(f"/v1/events/{event_type}", json=example(event_type, **order))).raise_for_status()
    while any(each["state"] == "pending" for each in await api.deliveries()):
        await asyncio.sleep(0.05)
    for client_id, name in ((1, "Nordic Outdoor"), (7, "Acme")):
        (await api.admin.put(f"/v1/clients/{client_id}", json={"name": name})).raise_for_status()
    for fields in ({"description": "Warehouse: picking lists"}, {"timeout_s": 2, "except": ["OrderCancelledEvent"]}):
        changed = await api.admin.patch(
            f"/v1/endpoints/{warehouse}", json={**fields, "url": f"{receiver_url}/warehouse/picking"}
        )
        changed.raise_for_status()
    link = {"client_id": 7, "role": "read", "expires_in_s": 604_800}
    (await api.admin.post("/v1/portal-links", json=link)).raise_for_status()
    entry = (await api.admin.get("/v1/audit", params={"target": warehouse})).json()["items"][0]["id"]
    return {
        "order": f"/admin/orders/{ORDER_NO}?client_id=1",
        "incident": f"/admin/incidents/{warehouse}",
        "endpoint-off": f"/admin/endpoints/{warehouse}/off",
        "replay-warning": f"/admin/replays/new?endpoint_id={warehouse}&only=failed&check=1",
        "dead-letters-discard": f"/admin/dead/discard?endpoint_id={warehouse}",
        "audit-entry": f"/admin/audit/{entry}",
        "clients": "/admin/clients",
        "portal-link": "/admin/portal-links/new",
    }


async def fill(api: Api) -> dict[str, str]:
    """Let a shop live for a while; return the address of each screen."""
    endpoints = {
        name: await api.endpoint(1, url=f"{api.receiver.url}/{name}", event_types=types, description=text)
        for name, types, text in (
            ("erp/orders", ["Order"], "ERP: orders"),
            ("crm/customers", ["Customer"], "CRM: customers and companies"),
            ("search/products", ["Product"], "Search index"),
            ("warehouse/picking", ["OrderConfirmedEvent", "OrderCancelledEvent"], "Warehouse: picking lists"),
        )
    }
    api.receiver.statuses["/warehouse/picking"] = 503
    for event in islice(Shop(seed=7).events(), EVENTS):
        (await api.admin.post(f"/v1/events/{event.type}", json=event.data)).raise_for_status()
    while any(each["state"] == "pending" for each in await api.deliveries()):
        await asyncio.sleep(0.05)
    await past_hour(api, endpoints["erp/orders"]["id"])
    new = await three_at_night(api, endpoints["warehouse/picking"]["id"], api.receiver.url)
    dead = (await api.deliveries(state="dead"))[0]
    event_id = dead["event_id"]
    for wrong in (
        {"ClientId": 1, "ApplicationId": 1042, "OrderNo": "100234568", "ClientOrderRef": "884212", "OrderId": "5012208", "Source": "web"},
        {"ClientId": 1, "ApplicationId": 1042, "OrderNo": "100234569", "clientorderref": "884213", "OrderId": 5012209},
    ):  # fmt: skip
        await api.admin.post("/v1/events/OrderConfirmedEvent", json=wrong)
    await api.admin.post("/v1/events/SkuStockChanged", json={"ClientId": 1, "PartNo": "A-7", "Stock": 4})
    refused = (await api.admin.get("/v1/refusals")).json()["items"]
    changed = await change_data(api)
    replay = await api.admin.post(
        "/v1/replays",
        json={"endpoint_id": endpoints["erp/orders"]["id"], "since": "2020-01-01T00:00:00Z", "only": "all"},
    )
    return {
        "overview": "/admin",
        "events": "/admin/events",
        "event": f"/admin/events/{event_id}",
        "endpoints": "/admin/endpoints",
        "endpoint": f"/admin/endpoints/{endpoints['erp/orders']['id']}",
        "endpoint-form": "/admin/endpoints/new",
        "dead-letters": "/admin/dead",
        "refused-events": "/admin/refusals",
        "refused-event": f"/admin/refusals/{refused[1]['id']}",
        "replay": f"/admin/replays/{replay.json()['id']}",
        "replays": "/admin/replays",
        "event-types": "/admin/types",
        "event-type": "/admin/types/OrderConfirmedEvent",
        **changed,
        **new,
        "keys": "/admin/keys",
        "audit": "/admin/audit",
        "system": "/admin/system",
        "reference": "/reference",
        "reference-call": "/reference#createEndpoint",
    }


async def change_data(api: Api) -> dict[str, str]:
    """Make event settings and sources, and change data; return the address of each screen."""
    setting = {"client_id": 1, "event_type": "CustomerChangedNotification"}
    for fields in (
        {"entity": "tClientCustomer", "fields": ["FirstName", "LastName", "Email"]},
        {"entity": "tClientCustomerAddress", "on_delete": False, "filter": {"after.Country": "SE"}, "coalesce_s": 600},
        {"entity": "tClientCustomerFlag", "enabled": False},
    ):
        (await api.admin.post("/v1/event-settings", json={**setting, **fields})).raise_for_status()
    customer = {
        "entity": "tClientCustomer", "key": {"CustomerId": "id"},
        "fields": {"FirstName": "first_name", "LastName": "last_name", "Email": "email", "Newsletter": "newsletter"},
    }  # fmt: skip
    address = {
        "entity": "tClientCustomerAddress", "key": {"CustomerId": "customer_id", "AddressId": "id"},
        "fields": {"City": "city", "Zip": "zip", "Country": "country"},
    }  # fmt: skip
    tables = {"public.customer": customer, "public.address": address}
    (await api.admin.put("/v1/change-sources/shop", json={"client_id": 1, "tables": tables})).raise_for_status()
    report = {"state": "running", "lag_ms": 38, "retained_bytes": 16_777_216, "reported_by": "shop-db-1"}
    (await api.admin.put("/v1/change-sources/shop/status", json=report)).raise_for_status()
    columns = {"id": 12, "first_name": "Anna", "last_name": "Berg", "email": "anna@example.com", "newsletter": True}
    for table, op, before, after in (
        ("customer", "c", None, columns),
        ("customer", "u", columns, {**columns, "first_name": "Anne"}),
        ("cart", "c", None, {"id": 5}),
        ("address", "c", None, {"id": 3, "customer_id": 12, "city": "Lund", "zip": "22100", "country": "SE"}),
        ("customer", "u", columns, {**columns, "newsletter": False}),
    ):
        row = {
            "before": before,
            "after": after,
            "op": op,
            "source": {"schema": "public", "table": table},
            "ts_ms": None,
        }
        (await api.admin.post("/v1/changes/debezium?source=shop", json=row)).raise_for_status()
    changes = (await api.admin.get("/v1/changes?entity=tClientCustomer")).json()["items"]
    settings = "/admin/types/CustomerChangedNotification/settings"
    return {
        "changes": "/admin/changes",
        "change-raised": f"/admin/changes/{changes[1]['id']}",
        "change": f"/admin/changes/{changes[0]['id']}",
        "event-settings": f"{settings}?client_id=1",
        "event-setting-form": f"{settings}/new?client_id=1&entity=tClientCustomerAddress",
        "change-sources": "/admin/sources",
        "change-source": "/admin/sources/shop",
    }


async def past_hour(api: Api, endpoint: str) -> None:
    """Give the plots a past: the shop has been open longer than the pictures take."""
    now_ms = api.node.clock.now_ms()
    rows = []
    for minute in range(1, 60):
        level = 40 + 22 * math.sin(minute / 7) + 9 * math.sin(minute * 1.7)
        failed = max(0, round(5 * math.sin(minute / 4 - 1)))
        latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        latency[2], latency[3], latency[5] = round(level), round(level / 3), 1 + failed
        start_ms = now_ms - now_ms % 60_000 - minute * 60_000
        counts = {"accepted": 0, "dead": 0, "delivered": round(level * 1.6), "failed": failed, "pending": failed * 3}
        rows += [
            Activity(
                start_ms=start_ms, client_id=1, endpoint_id=ids.decode("end", endpoint), latency=tuple(latency),
                oldest_ms=failed * 900, dead_letters=14, **counts,
            ),
            Activity(
                start_ms=start_ms, client_id=1, endpoint_id=0, latency=tuple([0] * len(latency)),
                accepted=round(level), delivered=0, failed=0, dead=0,
            ),
        ]  # fmt: skip
    await api.node.maintenance.write_activity()
    await api.node.store.activity.add(rows, now_ms=now_ms)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1])))
