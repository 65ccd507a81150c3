"""The admin screens' doors: signing in, sessions, forms of strangers, headers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_server import ADMIN_KEY, Api, plain_client, running_api
from starlette.routing import Route

from commerce_event.admin.page import safe_next
from commerce_event.admin.reveal import COOKIE as REVEAL
from commerce_event.admin.reveal import LIFETIME_S as REVEAL_S
from commerce_event.admin.sessions import COOKIE, LIFETIME_S


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        yield client


async def enter(visitor: httpx.AsyncClient, key: str = ADMIN_KEY, **fields: str) -> httpx.Response:
    return await visitor.post("/admin/sign-in", data={"key": key, **fields})


async def token(visitor: httpx.AsyncClient) -> str:
    """Return what a form of this session must carry."""
    found = re.search(r'name="csrf" value="([^"]+)"', (await visitor.get("/admin")).text)
    assert found is not None
    return found[1]


def screens(api: Api) -> list[tuple[str, str]]:
    """Return method and address of every screen but those for signing in."""
    routes = [each for each in api.node.app._routes.routes if isinstance(each, Route)]
    return [
        (method, re.sub(r"{[^}]+}", "x", route.path))
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if route.path.startswith("/admin") and "sign-in" not in route.path
    ]


async def test_stranger_is_sent_to_sign_in_from_every_screen(api: Api, visitor: httpx.AsyncClient) -> None:
    assert len(screens(api)) > 25
    for method, address in screens(api):
        response = await visitor.request(method, address)
        assert response.status_code == 303, (method, address)
        assert response.headers["location"].startswith("/admin/sign-in")


async def test_signing_in_leads_to_where_one_wanted_to_go(visitor: httpx.AsyncClient) -> None:
    asked = await visitor.get("/admin/events?q=SO-1")
    wanted = httpx.URL(asked.headers["location"]).params["next"]

    entered = await enter(visitor, next=wanted)

    assert entered.headers["location"] == "/admin/events?q=SO-1"
    assert (await visitor.get("/admin/events?q=SO-1")).status_code == 200


async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(visitor: httpx.AsyncClient) -> None:
    plain = (await enter(visitor)).headers["set-cookie"].lower()
    tls = await visitor.post("/admin/sign-in", data={"key": ADMIN_KEY}, headers={"X-Forwarded-Proto": "https"})

    assert "httponly" in plain
    assert "samesite=strict" in plain
    assert "path=/admin" in plain
    assert ADMIN_KEY.lower() not in plain
    assert "secure" not in plain
    assert "secure" in tls.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/admin\\evil", "/v1/keys", "", "/adminx", "/admin//x"]
)
def test_nobody_is_led_elsewhere_after_signing_in(path: str) -> None:
    assert safe_next(path) == "/admin"


async def test_address_that_no_screen_has_is_a_page_that_says_so(visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    response = await visitor.get("/admin/no/such/screen")

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "There is no such page." in response.text


async def test_who_names_the_host_alone_comes_to_the_screens(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/")).headers["location"] == "/admin"


async def test_wrong_key_is_refused_in_words_and_never_repeated(visitor: httpx.AsyncClient) -> None:
    response = await enter(visitor, "wrong-key-that-nobody-has")

    assert response.status_code == 422
    assert "unknown or revoked" in response.text
    assert "wrong-key-that-nobody-has" not in response.text
    assert COOKIE not in response.cookies


async def test_guessing_is_slowed_down_and_right_keys_wait_too(visitor: httpx.AsyncClient) -> None:
    statuses = [(await enter(visitor, f"guess-{number}")).status_code for number in range(12)]

    assert statuses == [422] * 10 + [429] * 2
    late = await enter(visitor)
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 60


async def test_session_ends_with_its_time(api: Api, visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    assert (await visitor.get("/admin")).status_code == 200

    api.node.clock.follow(LIFETIME_S * 1000)

    assert (await visitor.get("/admin")).status_code == 303


async def test_session_ends_when_its_key_is_revoked(api: Api, visitor: httpx.AsyncClient) -> None:
    _, key = await api.key("manage", 1)
    await enter(visitor, key["key"])
    assert (await visitor.get("/admin")).status_code == 200

    await api.admin.delete(f"/v1/keys/{key['id']}")

    assert (await visitor.get("/admin")).status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "AAAA", "é", "A" * 5000])
async def test_made_up_cookie_is_no_session(visitor: httpx.AsyncClient, cookie: str) -> None:
    response = await visitor.get("/admin", headers={"Cookie": f"{COOKIE}={cookie}".encode()})  # type: ignore[arg-type]

    assert response.status_code == 303


async def test_signing_out_ends_the_session_in_this_browser(visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    response = await visitor.post("/admin/sign-out", data={"csrf": await token(visitor)})

    assert response.headers["location"] == "/admin/sign-in"
    assert (await visitor.get("/admin")).status_code == 303


async def test_new_key_is_shown_once_and_a_reload_makes_no_other(api: Api, visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    wanted = {"csrf": await token(visitor), "name": "till", "role": "publish", "client_ids": "1"}

    made = await visitor.post("/admin/keys", data=wanted)

    assert made.status_code == 303
    assert made.headers["location"] == "/admin/keys"
    carried = visitor.cookies[REVEAL]
    shown = re.search(r'id="new-key">([^<]+)<', (await visitor.get("/admin/keys")).text)
    assert shown is not None
    assert (await (await api.caller(shown[1])).post("/v1/events/x", json={})).status_code == 404
    assert shown[1] not in made.text + carried
    assert shown[1] not in (await visitor.get("/admin/keys")).text
    assert len((await api.admin.get("/v1/keys")).json()["items"]) == 1


async def test_what_is_shown_once_is_shown_to_nobody_else_and_not_later(api: Api, visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    wanted = {"csrf": await token(visitor), "name": "till", "role": "publish", "client_ids": "1"}
    await visitor.post("/admin/keys", data=wanted)
    mine, carried = visitor.cookies[COOKIE], visitor.cookies[REVEAL]

    async def shown(session: str, revealed: str) -> bool:
        async with plain_client(api.url, {"Cookie": f"{COOKIE}={session}; {REVEAL}={revealed}"}) as client:
            return 'id="new-key"' in (await client.get("/admin/keys")).text

    async with plain_client(api.url, {}) as other:
        await enter(other)
        assert not await shown(other.cookies[COOKIE], carried)
    assert not await shown(mine, "A" + carried)
    assert await shown(mine, carried)
    api.node.clock.follow(REVEAL_S * 1000)
    assert not await shown(mine, carried)


async def test_every_change_needs_the_token_of_the_session(api: Api, visitor: httpx.AsyncClient) -> None:
    await enter(visitor)
    endpoint = await api.endpoint()
    for method, address in screens(api):
        if method != "POST" or "sign-out" in address:
            continue
        for data in ({"on": "1"}, {"csrf": "x"}):
            response = await visitor.post(address.replace("x", endpoint["id"], 1), data=data)
            assert response.status_code == 403, address
            assert "out of date" in response.text
    assert len((await api.admin.get("/v1/endpoints")).json()["items"]) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_what_another_site_sends_is_refused_even_with_the_token(
    api: Api, visitor: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await enter(visitor)
    endpoint = await api.endpoint()
    data = {"csrf": await token(visitor)}

    response = await visitor.post(f"/admin/endpoints/{endpoint['id']}/delete", data=data, headers=headers)

    assert response.status_code == 403
    assert (await api.admin.get(f"/v1/endpoints/{endpoint['id']}")).status_code == 200


async def test_role_is_asked_for_every_change(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint()
    _, key = await api.key("read", 1)
    await enter(visitor, key["key"])
    data = {"csrf": await token(visitor)}

    for part in ("delete", "switch", "rotate", "test"):
        assert (await visitor.post(f"/admin/endpoints/{endpoint['id']}/{part}", data=data)).status_code == 403, part
    assert (await visitor.get("/admin/keys")).status_code == 403


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"csrf=x", "text/plain", 415),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(600)), "application/x-www-form-urlencoded", 400),
        (b"a" * 70_000, "application/x-www-form-urlencoded", 413),
    ],
    ids=["another type", "no ASCII", "no UTF-8", "too many fields", "too large"],
)
async def test_form_that_is_none_is_refused_in_words(
    visitor: httpx.AsyncClient, content: bytes, media: str, status: int
) -> None:
    await enter(visitor)
    for address in ("/admin/keys", "/admin/sign-in"):
        response = await visitor.post(address, content=content, headers={"Content-Type": media})
        assert response.status_code == status, address
        assert "<h1" in response.text


async def test_pages_allow_nothing_but_our_own_files(visitor: httpx.AsyncClient) -> None:
    pages = [await visitor.get("/admin/sign-in")]
    await enter(visitor)
    pages += [await visitor.get(f"/admin{path}") for path in ("", "/events", "/endpoints/end_x", "/no-such-screen-id")]

    for page in pages[:3]:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.text)


async def test_assets_are_kept_by_the_browser_and_nothing_else_is_served(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/admin/sign-in")
    address = re.search(r'href="(/assets/[^"]+/)base.css"', page.text)
    assert address is not None

    style = await visitor.get(f"{address[1]}base.css")
    assert style.status_code == 200
    assert "immutable" in style.headers["cache-control"]
    assert style.headers["content-type"].startswith("text/css")
    for path in ("../pages.py", "%2e%2e/pages.py", "/etc/passwd", "no-such.css"):
        assert (await visitor.get(address[1] + path)).status_code == 404, path


async def test_answers_of_the_screens_never_hold_a_secret(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint(headers={"Authorization": "Bearer very-secret-value"})
    await enter(visitor)

    for path in ("", "/edit"):
        text = (await visitor.get(f"/admin/endpoints/{endpoint['id']}{path}")).text
        assert "very-secret-value" not in text
        assert endpoint["secret"] not in text
    kept = {"csrf": await token(visitor), "url": endpoint["url"], "event_types": "*", "client_id": "1", "jitter": "0"}
    changed = await visitor.post(
        f"/admin/endpoints/{endpoint['id']}/edit",
        data={**kept, "max_in_flight": "8", "headers": "Authorization: ***", "enabled": "1", "signing": "hmac"},
    )
    assert changed.status_code == 303, changed.text
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["authorization"] == "Bearer very-secret-value"
