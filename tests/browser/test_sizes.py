"""Every screen with much of everything, with nothing, and for a caller who may do little."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from api_server import Api, example, expect
from browser_actions import sign_in
from changes_on_screens import data_changes
from playwright.async_api import Browser, Page
from screen_checks import layout_faults, repeated_names, violations
from site_of_tests import Site, running_site

from commerce_event.admin.routes import _SCREENS
from commerce_event.admin.screen_context import ROOT
from commerce_event.core import ids

WIDTHS: Final = (1280, 390)
DEAD: Final = 5_000
LONG: Final = ("The warehouse of the north " * 8)[:205]
UNBROKEN: Final = "W" * 205
ARABIC: Final = "مستودع الشمال " * 8
_NO_PAGES: Final = ("/export", "/palette", "/payload", "/fields", "{path:path}")  # downloads, parts, what is not found
_NEED_A_QUERY: Final = frozenset({"/dead/send", "/dead/discard"})
_OWN_TYPES: Final = "/types/{name}/edit"  # types of the contract have no such screen
EMPTY: Final = {"/types/{name}": "JobCompletedEvent", "/types/{name}/settings": "SkuChangedNotification"}


def addresses(made: Mapping[str, str], role: str) -> list[str]:
    """Return where the screens are that the role may open.

    ``made`` has the id or the name for a path and all below it, or the query of a path. A screen of something that
    was not made is left out.
    """
    roles = {"read": {"any", "read"}, "admin": {"any", "read", "manage", "admin"}}[role]
    found = []
    for method, path, needs, _ in _SCREENS:
        if method != "GET" or needs not in roles or path.endswith(_NO_PAGES):
            continue
        if path == _OWN_TYPES and path not in made:
            continue
        if "{" in path:
            given = max((each for each in made if "{" in each and path.startswith(each)), key=len, default=None)
            if given is not None:
                found.append(ROOT + re.sub(r"\{[^}]+\}", made[given], path) + made.get(f"{path}?", ""))
        elif path in made or path not in _NEED_A_QUERY:
            found.append(ROOT + path + made.get(path, ""))
    return found


async def make_something(api: Api) -> dict[str, str]:
    """Make one of everything that has a screen of its own; return its id or name by the beginning of the path."""
    await data_changes(api)
    wrong = {"ClientId": 1, "OrderNo": "SO-10023", "Note": UNBROKEN * 3, "ملاحظة": ARABIC}
    await api.admin.post("/v1/events/OrderConfirmedEvent", json=wrong)
    own = {"name": "L" * 60, "category": "Long", "description": LONG, "schema": {}, "example": {"ClientId": 1}}
    expect(await api.admin.post("/v1/event-types", json=own), 201)

    async def first_of(path: str) -> Any:
        return expect(await api.admin.get(path), 200)["items"][0]["id"]

    return {
        "/changes/{id}": await first_of("/v1/changes"),
        "/refusals/{id}": await first_of("/v1/refusals"),
        "/types/{name}": "OrderConfirmedEvent",
        "/types/{name}/edit": own["name"],
        "/types/{name}/settings": "CustomerChangedNotification",
        "/types/{name}/settings?": "?client_id=1",
        "/event-settings/{id}": await first_of("/v1/event-settings"),
        "/sources/{name}": "crm",
        "/audit/{id}": await first_of("/v1/audit?client_id=1"),
    }


def let_die(path: Path, endpoint_id: int, now_ms: int) -> None:
    """Make every pending delivery of an endpoint dead, in a store that no server uses."""
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute(
            "INSERT INTO attempt (delivery_id, number, started_ms, duration_ms, status, error, response_headers, "
            "response_body) SELECT id, 1, created_ms, 5.0, 500, NULL, '[]', CAST(? AS BLOB) FROM delivery "
            "WHERE endpoint_id = ? AND state = 'pending'",
            (UNBROKEN, endpoint_id),
        )
        connection.execute(
            "UPDATE delivery SET state = 'dead', attempt_count = 1, due_ms = NULL, reason = 'attempts_exhausted', "
            "finished_ms = created_ms WHERE endpoint_id = ? AND state = 'pending'",
            (endpoint_id,),
        )
        connection.execute(
            "UPDATE delivery_counts SET dead = dead + pending, pending = 0 WHERE endpoint_id = ?", (endpoint_id,)
        )
        connection.execute(
            "INSERT OR REPLACE INTO endpoint_health (endpoint_id, client_id, failures, failing_since_ms, "
            "last_failure_ms, last_status) VALUES (?, 1, 5000, ?, ?, 500)",
            (endpoint_id, now_ms - 3_600_000, now_ms),
        )
    connection.close()


async def make_many(site: Site, folder: Path, endpoints: int, dead: int) -> dict[str, str]:
    """Fill a store without sending, let deliveries die, and start the server again."""
    api = site.api
    site.receiver.statuses["/orders"] = 500
    texts = (LONG, UNBROKEN, ARABIC, "ERP", "")
    orders = await api.endpoint(
        url=f"{site.receiver.url}/orders", event_types=["Order"], description=LONG, retry_schedule=[]
    )
    for number in range(1, endpoints):
        await api.endpoint(
            url=f"https://receiver-{number}.example/{'path/' * (number % 30)}",
            event_types=["JobCompletedEvent"], description=texts[number % len(texts)],
        )  # fmt: skip
    made = await make_something(api)
    for start in range(0, dead, 1_000):
        batch = [
            {"type": "OrderConfirmedEvent", "data": example(OrderNo=f"SO-{number}", OrderId=number, ClientOrderRef=f"B-{number // 20}", FirstName=ARABIC if number % 2 else "Åsa")}
            for number in range(start, min(dead, start + 1_000))
        ]  # fmt: skip
        expect(await api.admin.post("/v1/events", json=batch), 200)
    expect(await api.admin.post("/v1/keys", json={"role": "read", "name": "N" * 100, "client_ids": [1]}), 201)
    now_ms = api.node.clock.now_ms()
    await site.stop()
    let_die(folder / "events.db", ids.decode("end", orders["id"]), now_ms)
    await site.start(hold_deliveries=False)

    api = site.api
    big = await api.publish(Notes=[f"{number} " + UNBROKEN for number in range(900)], ملاحظة=ARABIC, LastName=UNBROKEN)
    [delivery] = await api.until_state("dead", event_id=big["id"])
    wanted = {"endpoint_id": orders["id"], "since": "2020-01-01T00:00:00Z", "types": ["OrderCancelledEvent"]}
    replay = expect(await api.admin.post("/v1/replays", json=wanted), 202)
    part = UNBROKEN[:60]
    await api.publish(type_="SkuChangedNotification", PartNo=part)
    group = f"?endpoint_id={orders['id']}"
    return {
        **made,
        "/orders/{value:path}": "SO-7",
        "/parts/{value:path}": part,
        "/incidents/{id}": orders["id"],
        "/dead/send": group,
        "/dead/discard": group,
        "/events/{id}": big["id"],
        "/deliveries/{id}": delivery["id"],
        "/endpoints/{id}": orders["id"],
        "/replays/{id}": replay["id"],
    }


async def faults_of(page: Page, address: str, errors: list[str]) -> list[str]:
    """Return what is wrong with a screen at every width."""
    await page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    response = await page.goto(address)
    assert response is not None
    found = [] if response.status == 200 else [f"answers {response.status}"]
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        found += await layout_faults(page)
    found += [f"violates {each['id']}: {each['nodes'][0]['html'][:160]}" for each in await violations(page)]
    found += [f"repeats {each}" for each in await repeated_names(page)]
    found += [f"reports {each}" for each in errors]
    errors.clear()
    return [f"{address} {each}" for each in dict.fromkeys(found)]


@asynccontextmanager
async def site_with(case: str, folder: Path) -> AsyncIterator[tuple[Site, dict[str, str], str]]:
    """Yield a server with the data of the case, the ids of what has a screen, and the key to look with."""
    async with running_site(folder, hold_deliveries=case != "empty") as site:
        made = EMPTY
        if case != "empty":
            made = await make_many(site, folder, *(14, 40) if case == "fourteen endpoints" else (60, DEAD))
        key = ""
        if case == "a read key of one client":
            _, issued = await site.api.key("read", 1)
            key = issued["key"]
        yield site, made, key


@pytest.mark.parametrize(
    "case", ["empty", "fourteen endpoints", "sixty endpoints and 5,000 dead letters", "a read key of one client"]
)
async def test_screen_of_any_size_is_readable_and_accessible(browser: Browser, tmp_path: Path, case: str) -> None:
    async with asyncio.timeout(600), site_with(case, tmp_path) as (site, made, key):
        context = await browser.new_context(base_url=site.url, bypass_csp=True)
        page = await context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await (sign_in(page, key) if key else sign_in(page))
        found = []
        for address in addresses(made, "read" if key else "admin"):
            found += await faults_of(page, address, errors)
        assert not found, "\n".join(found)
