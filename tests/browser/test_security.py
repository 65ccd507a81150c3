"""Foreign text is shown and never run; forms from other sites are rejected; clients stay separate."""

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from api_server import Api, example, listening
from browser_actions import sign_in
from playwright.async_api import BrowserContext, Page, expect

EVIL = "\"'><img src=x onerror=window.hit=1><script>window.hit=1</script>{{7*7}}javascript:window.hit=1"
HIT = "window.hit=1"
# Each gets out of another place: text, an attribute of either quote or none, a script, a style, a title, a comment, a
# URL, an event of the page, a template, an encoding.
VECTORS = (
    f"<script>{HIT}</script>",
    f"</script><script>{HIT}</script>",
    f"<ScRiPt src=data:text/javascript,{HIT}></sCrIpT>",
    f"<img src=x onerror={HIT}>",
    f'"><img src=x onerror={HIT}>',
    f"'><img src=x onerror={HIT}>",
    f'" autofocus onfocus={HIT} x="',
    f"' autofocus onfocus={HIT} x='",
    f" autofocus onfocus={HIT} ",
    f"<svg onload={HIT}>",
    f"<svg><script>{HIT}</script></svg>",
    f"<svg><animate onbegin={HIT} attributeName=x dur=1s>",
    f"</title><script>{HIT}</script>",
    f"</textarea><img src=x onerror={HIT}>",
    f"</option></select><img src=x onerror={HIT}>",
    f"</pre></code><iframe srcdoc='<script>parent.{HIT}</script>'></iframe>",
    f"--><img src=x onerror={HIT}><!--",
    f"javascript:{HIT}",
    f'<a href="javascript:{HIT}" autofocus onfocus={HIT}>x</a>',
    f"<details open ontoggle={HIT}>",
    f"<math><mtext></p><img src=x onerror={HIT}>",
    f"<style>@import 'javascript:{HIT}';*{{background:url(/hit)}}</style>",
    f"<body onpageshow={HIT}>",
    f"<template hx-trigger=load hx-on:htmx:load='{HIT}'></template>",
    f"<div data-hx-get=/admin hx-trigger=load hx-on::load={HIT} hx-vals='js:{{x:{HIT}}}'></div>",
    f"<base href=//127.0.0.1:1/><meta http-equiv=refresh content='0;url=javascript:{HIT}'>",
    f"{{{{ self.__init__.__globals__ }}}}{{% raw %}}${{{HIT}}}",
    f"\u003cimg src=x onerror={HIT}\u003e&lt;img src=x onerror={HIT}&gt;",
    f"<form><button formaction=javascript:{HIT} autofocus onfocus={HIT}>x</button></form>",
    f"＜script＞{HIT}＜/script＞\u202e\u2028<img/src=x/onerror={HIT}>",
)
LOOK = """() => ({
  hit: window.hit ?? null,
  made: [...document.querySelectorAll("main *, aside *, header *")]
    .filter((each) => [...each.attributes].some((a) => /^on|^hx-on/.test(a.name) || /^\\s*javascript:/i.test(a.value)
      && ["href", "src", "action", "formaction"].includes(a.name)) || each.matches("script, iframe, base, style, img[src=x]"))
    .map((each) => each.outerHTML),
  title: document.title,
})"""
FILL = """(texts) => {
  const form = document.querySelector("main form[method=post], main form.card");
  let number = 0;
  for (const each of form.elements) {
    if (each.name === "csrf") continue;
    if (each.matches("input[type=checkbox]")) { each.checked = false; continue; }
    const text = texts[number++ % texts.length];
    if (each.matches("select")) each.append(new Option("x", text, true, true));
    else if (each.matches("input, textarea")) { each.type = each.type === "hidden" ? "hidden" : "text"; each.value = text; }
  }
  form.requestSubmit(form.querySelector("button.primary"));
}"""
SCREENS = (
    "", "/events", "/endpoints", "/endpoints/new", "/dead", "/replays", "/replays/new", "/types", "/audit", "/keys", "/system",
    "/types/OrderConfirmedEvent", "/changes", "/sources", "/types/SkuChangedNotification/settings",
    "/types/SkuChangedNotification/settings/new",
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
        "properties": ["FirstName", "$.<svg onload=alert(1)>"],
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


async def test_screens_never_run_foreign_text(page: Page, api: Api) -> None:
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
    await page.get_by_text("Answer, after").first.click()
    shown = page.locator("details pre.code").first
    await expect(shown).to_contain_text("<img src=x onerror=window.hit=1>")
    assert "49" not in await page.locator("#payload").inner_text()
    assert not dialogs
    assert not violations


async def test_screens_forms_and_problems_run_no_xss_vector(page: Page, api: Api) -> None:
    """A violation of the pages' policy would show that something got as far as being run."""
    trouble: list[str] = []
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.on("console", lambda message: trouble.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    addresses = await put_everywhere(api)
    await sign_in(page)

    async def look(what: str) -> None:
        found = await page.evaluate(LOOK)
        assert found["hit"] is None, what
        assert found["made"] == [], what
        assert not trouble, (what, trouble)

    for address in [*SCREENS, *addresses]:
        await page.goto(f"/admin{address}")
        await look(address)
    for vector, other, third in thirds():
        for asked in ({"q": vector}, {"q": other, "type": vector, "since": third}, {"q": third, "client_id": other}):
            await page.goto(f"/admin/events?{urlencode(asked)}")
            await look(f"search {asked}")
        await page.goto(f"/admin/types/{quote(vector + other + third, safe='')}")
        await look(f"problem {vector}")
        await page.goto(f"/admin/replays/new?{urlencode({'endpoint_id': vector, 'only': other, 'since': third})}")
        await look(f"replay {vector}")
    for start in range(0, len(VECTORS), 4):
        texts = [VECTORS[(start + step) % len(VECTORS)] for step in range(4)]
        for address in ("/endpoints/new", "/keys", "/replays/new", "/types/SkuChangedNotification/settings/new"):
            await page.goto(f"/admin{address}")
            async with page.expect_navigation():
                await page.evaluate(FILL, texts)
            assert await page.locator(".error, [role=alert], .note.bad").count() > 0, address
            await look(f"{address} with {texts}")
    await page.context.clear_cookies()
    for vector, other, third in thirds():
        await page.goto(f"/admin/sign-in?{urlencode({'next': vector, 'ended': other, 'left': third})}")
        await look(f"sign in with {vector}")


def thirds() -> list[tuple[str, ...]]:
    """Return the vectors in threes."""
    return list(zip(*([iter(VECTORS)] * 3), strict=True))


async def put_everywhere(api: Api) -> list[str]:
    """Put each vector into names, descriptions, payloads and answers; return where these are shown."""
    api.receiver.answer_with(500, {"X-Evil": VECTORS[0]}, "\n".join(VECTORS).encode())
    addresses = []
    for number, texts in enumerate(thirds()):
        for text in texts:
            made = await api.admin.post("/v1/keys", json={"role": "read", "client_ids": [1], "name": text[:100]})
            assert made.status_code == 201, made.text
        first, second, third = texts
        endpoint = await api.endpoint(
            url=f"{api.receiver.url}/{quote(third, safe='')}?x={quote(first, safe='')}",
            description=second,
            filter={"FirstName": first},
            retry_schedule=[],
        )
        payload: dict[str, Any] = {"FirstName": first, "OrderNo": second, "Source": third, first: second, second: third}
        event = await api.publish(**payload)
        await api.until_finished(number + 1)
        addresses += [f"/events/{event['id']}", f"/endpoints/{endpoint['id']}", f"/endpoints/{endpoint['id']}/edit"]
        await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"enabled": False})
    return addresses


async def test_pages_request_no_other_host(page: Page, api: Api) -> None:
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


async def test_form_from_another_site_changes_nothing(page: Page, api: Api, context: BrowserContext) -> None:
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


async def test_screens_show_nothing_of_another_client(page: Page, api: Api) -> None:
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


async def test_read_key_sees_no_buttons_that_change(page: Page, api: Api) -> None:
    endpoint = await api.endpoint()
    _, key = await api.key("read", 1)
    await sign_in(page, key["key"])

    await page.goto(f"/admin/endpoints/{endpoint['id']}")

    await expect(page.get_by_role("heading", level=1)).to_have_text(urlsplit(endpoint["url"]).netloc)
    assert await page.locator("main form[method=post]").count() == 0
