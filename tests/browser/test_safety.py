"""What comes from outside is shown and never run; what another site sends is refused; tenants stay apart."""

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api_server import Api, example, listening
from people import sign_in
from playwright.async_api import BrowserContext, Page, expect

EVIL = "\"'><img src=x onerror=window.hit=1><script>window.hit=1</script>{{7*7}}javascript:window.hit=1"
SCREENS = (
    "", "/events", "/endpoints", "/endpoints/new", "/dead", "/replays", "/replays/new", "/types", "/keys", "/system",
    "/types/OrderConfirmedEvent",
)  # fmt: skip


async def evil_things(api: Api) -> list[str]:
    """Put the attack into every place that takes text from outside; return the addresses of what was made."""
    await api.key("read", 1)
    made = await api.admin.post("/v1/keys", json={"role": "read", "client_ids": [1], "name": EVIL})
    assert made.status_code == 201
    wanted: dict[str, Any] = {
        "url": f"{api.receiver.url}/hook?x=%3Cscript%3Ewindow.hit=1%3C/script%3E",
        "description": EVIL,
        "headers": {"X-Evil": "<svg/onload=window.hit=2>"},  # an echo of it would be masked
        "filter": {"not": {"FirstName": "<script>window.hit=1</script>"}},
    }
    endpoint = await api.endpoint(**{**wanted, "retry_schedule": []})
    api.receiver.answer_with(500, {"X-Evil": EVIL}, EVIL.encode())
    event = await api.admin.post(
        "/v1/events/OrderConfirmedEvent",
        json={**evil_event(), "ClientId": 1},
        headers={"Idempotency-Key": EVIL[:200]},
    )
    assert event.status_code == 202, event.text
    (delivery,) = await api.until_state("dead")
    replay = await api.admin.post("/v1/replays", json={"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z"})
    ids = (f"/events/{event.json()['id']}", f"/endpoints/{endpoint['id']}", f"/endpoints/{endpoint['id']}/edit")
    return [*ids, f"/deliveries/{delivery['id']}", f"/replays/{replay.json()['id']}"]


def evil_event() -> dict[str, Any]:
    return {**example(), "FirstName": EVIL, "OrderNo": EVIL, "ClientOrderRef": EVIL, "Source": EVIL, EVIL: EVIL}


async def test_nothing_from_outside_runs_on_any_screen(page: Page, api: Api) -> None:
    addresses = await evil_things(api)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    violations: list[str] = []
    page.on("console", lambda message: violations.append(message.text) if "Content Security" in message.text else None)
    await sign_in(page)

    for address in [*SCREENS, *addresses, "/events?q=%22%3E%3Cscript%3Ewindow.hit=1%3C/script%3E"]:
        response = await page.goto(f"/admin{address}")
        assert response is not None
        assert response.status == 200, address
        assert await page.evaluate("window.hit") is None, address
        assert await page.locator("img[src=x]").count() == 0, address
    await page.goto(f"/admin{addresses[0]}")
    await page.get_by_text("What came back").first.click()
    shown = page.locator("details pre.code").first
    await expect(shown).to_contain_text("<img src=x onerror=window.hit=1>")
    assert "49" not in await page.locator("#payload").inner_text()
    assert not dialogs
    assert not violations


async def test_no_request_leaves_for_another_host(page: Page, api: Api) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await sign_in(page)
    for address in (*SCREENS, "/../reference"):
        await page.goto(f"/admin{address}")

    assert asked
    assert [url for url in asked if not url.startswith(api.url)] == []


@asynccontextmanager
async def another_site(form: str) -> AsyncIterator[str]:
    body = f"<!doctype html>{form}<script>document.forms[0].submit()</script>".encode()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with listening(app) as (host, port, _):
        yield f"http://{host}:{port}/"


async def test_form_of_another_site_changes_nothing(page: Page, api: Api, context: BrowserContext) -> None:
    endpoint = await api.endpoint()
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    token = await page.locator("input[name=csrf]").first.get_attribute("value")
    target = html.escape(f"{api.url}/admin/endpoints/{endpoint['id']}/delete")
    form = f'<form method="post" action="{target}"><input name="csrf" value="{token}"></form>'

    async with another_site(form) as url:
        await page.goto(url)
        await page.wait_for_url("**/admin/**")

    assert (await api.admin.get(f"/v1/endpoints/{endpoint['id']}")).status_code == 200


async def test_person_of_one_client_sees_nothing_of_another(page: Page, api: Api) -> None:
    foreign = await api.endpoint(2, description="secret-of-two")
    event = await api.publish(2, FirstName="secret-of-two")
    (delivery,) = await api.until_state("delivered")
    _, key = await api.key("manage", 1)
    await sign_in(page, key["key"])

    for address in SCREENS:
        await page.goto(f"/admin{address}")
        content = await page.content()
        assert "secret-of-two" not in content, address
        assert foreign["id"] not in content, address
    for address in (
        f"/events/{event['id']}",
        f"/endpoints/{foreign['id']}",
        f"/endpoints/{foreign['id']}/edit",
        f"/deliveries/{delivery['id']}",
    ):
        response = await page.goto(f"/admin{address}")
        assert response is not None
        assert response.status == 404, address


async def test_person_who_may_not_change_is_offered_no_button(page: Page, api: Api) -> None:
    endpoint = await api.endpoint()
    _, key = await api.key("read", 1)
    await sign_in(page, key["key"])

    await page.goto(f"/admin/endpoints/{endpoint['id']}")

    await expect(page.get_by_role("heading", level=1)).to_have_text(endpoint["url"])
    assert await page.locator("main form[method=post]").count() == 0
