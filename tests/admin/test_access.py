"""Protection of the admin screens: sign-in, sessions, forms from other sites, headers."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from api_server import ADMIN_KEY, DEADLINE_S, Api, example, plain_client, running_api
from browser_actions import sign_out_elsewhere
from raw_client import connected
from starlette.routing import Route

from commerce_event.admin.one_time_secret import COOKIE as ONE_TIME_COOKIE
from commerce_event.admin.one_time_secret import LIFETIME_S as ONE_TIME_LIFETIME_S
from commerce_event.admin.screen_context import safe_next
from commerce_event.admin.sessions import COOKIE, LIFETIME_S, Sessions
from commerce_event.admin.sign_in import AttemptLimit
from commerce_event.core.model import Role
from commerce_event.core.vault import Vault, parse_key


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        yield client


OWN_TYPES = {"/admin/types/new", "/admin/types/x/edit", "/admin/types/x/delete"}  # for admins, like keys


async def sign_in(visitor: httpx.AsyncClient, key: str = ADMIN_KEY, **fields: str) -> httpx.Response:
    return await visitor.post("/admin/sign-in", data={"key": key, **fields})


async def csrf_token(visitor: httpx.AsyncClient) -> str:
    """Return the token that every form of this session needs."""
    found = re.search(r'name="csrf" value="([^"]+)"', (await visitor.get("/admin")).text)
    assert found is not None
    return found[1]


def screens(api: Api) -> list[tuple[str, str]]:
    """Return method and path of every screen except sign-in."""
    routes = [each for each in api.node.app._routes.routes if isinstance(each, Route)]
    return [
        (method, re.sub(r"{[^}]+}", "x", route.path))
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if route.path.startswith("/admin") and "sign-in" not in route.path and route.path != "/admin/portal"
    ]


async def test_screens_without_session_redirect_to_sign_in(api: Api, visitor: httpx.AsyncClient) -> None:
    assert len(screens(api)) > 25
    for method, address in screens(api):
        response = await visitor.request(method, address)
        assert response.status_code == 303, (method, address)
        assert response.headers["location"].startswith("/admin/sign-in")


async def test_sign_in_redirects_to_the_requested_page(visitor: httpx.AsyncClient) -> None:
    asked = await visitor.get("/admin/events?q=SO-1")
    wanted = httpx.URL(asked.headers["location"]).params["next"]

    entered = await sign_in(visitor, next=wanted)

    assert entered.headers["location"] == "/admin/events?q=SO-1"
    assert (await visitor.get("/admin/events?q=SO-1")).status_code == 200


async def test_session_cookie_is_http_only_and_same_site(visitor: httpx.AsyncClient) -> None:
    plain = (await sign_in(visitor)).headers["set-cookie"].lower()
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
def test_safe_next_foreign_path_becomes_the_overview(path: str) -> None:
    assert safe_next(path) == "/admin"


async def test_unknown_path_answers_404_with_a_page(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    response = await visitor.get("/admin/no/such/screen")

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "There is no such page." in response.text


async def test_root_path_redirects_to_the_screens(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/")).headers["location"] == "/admin"


async def test_sign_in_wrong_key_is_rejected_and_not_echoed(visitor: httpx.AsyncClient) -> None:
    response = await sign_in(visitor, "wrong-key-that-nobody-has")

    assert response.status_code == 422
    assert "unknown or revoked" in response.text
    assert "wrong-key-that-nobody-has" not in response.text
    assert COOKIE not in response.cookies


async def test_sign_in_too_many_wrong_keys_delay_also_the_operators_key(api: Api, visitor: httpx.AsyncClient) -> None:
    statuses = [(await sign_in(visitor, f"guess-{number}")).status_code for number in range(12)]

    assert statuses == [422] * 10 + [429] * 2
    late = await sign_in(visitor)
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 60
    with patch.object(AttemptLimit, "wait_s", return_value=0.004):
        assert (await sign_in(visitor)).headers["retry-after"] == "1"


async def test_sign_in_generated_key_passes_despite_the_attempt_limit(api: Api, visitor: httpx.AsyncClient) -> None:
    _, key = await api.key("read", 1)
    for number in range(11):
        refused = await sign_in(visitor, f"guess-{number}")
    assert refused.status_code == 429

    assert (await sign_in(visitor, key["key"])).status_code == 303


async def test_sign_in_publish_key_is_rejected(api: Api, visitor: httpx.AsyncClient) -> None:
    _, key = await api.key("publish", 1)

    refused = await sign_in(visitor, key["key"])

    assert refused.status_code == 422
    assert "This key can only publish events." in refused.text
    assert COOKIE not in visitor.cookies


@pytest.mark.parametrize("role", ["publish", "read", "manage", "admin"])
async def test_screens_need_the_role_of_their_operation(api: Api, visitor: httpx.AsyncClient, role: Role) -> None:
    """Which screens are rejected is written here independently of the table of routes."""
    _, made = await api.key(role, *(() if role == "admin" else (1,)))
    key = api.node.registry.authenticate(made["key"])
    assert key is not None
    session = Sessions(api.node.registry, Vault(_vault_key(api)), api.node.clock).new_cookie(key)
    visitor.cookies.set(COOKIE, session, path="/admin")
    changing = {
        "/admin/endpoints/new", "/admin/endpoints/x/edit", "/admin/endpoints/x/test", "/admin/replays/new",
        "/admin/types/x/settings/new", "/admin/types/x/settings/fields", "/admin/event-settings/x/edit",
        "/admin/endpoints/x/secret", "/admin/endpoints/x/pause", "/admin/endpoints/x/resume", "/admin/endpoints/x/off",
        "/admin/endpoints/x/on", "/admin/endpoints/x/delete", "/admin/portal-links/new", "/admin/dead/send",
        "/admin/dead/discard",
    }  # fmt: skip
    refused = {
        (method, address)
        for method, address in screens(api)
        if not address.endswith(("/sign-out", "/admin/x"))
        and (
            role == "publish"
            or (("/keys" in address or address in OWN_TYPES) and role != "admin")
            or (role == "read" and (method == "POST" or address in changing))
        )
    }

    answers = {each: await visitor.request(each[0], each[1]) for each in screens(api)}

    by_role = {each for each, answer in answers.items() if f"A key with role {role} may not do this" in answer.text}
    assert by_role == refused
    assert all(answers[each].status_code == 403 for each in refused)
    assert not [each for each, answer in answers.items() if answer.status_code >= 500]


def _vault_key(api: Api) -> bytes:
    path = api.node.settings.store_path()
    assert path is not None
    return parse_key(path.with_name(f"{path.name}.key").read_text().strip())


async def test_screens_do_not_show_or_change_another_client(api: Api, visitor: httpx.AsyncClient) -> None:
    foreign = await api.endpoint(2, url=f"{api.receiver.url}/of-two", description="secret-of-two")
    event = await api.publish(2, FirstName="secret-of-two")
    (delivery,) = await api.until_state("delivered")
    wanted = {"endpoint_id": foreign["id"], "since": "2020-01-01T00:00:00Z", "only": "all"}
    replay = (await api.admin.post("/v1/replays", json=wanted)).json()
    wrong = example(client_id=2, OrderId=None, FirstName="secret-of-two")
    await api.admin.post("/v1/events/OrderConfirmedEvent", json=wrong)
    refused = (await api.admin.get("/v1/refusals")).json()["items"][0]
    own = {
        "events": event["id"], "deliveries": delivery["id"], "endpoints": foreign["id"], "replays": replay["id"],
        "refusals": refused["id"],
    }  # fmt: skip
    kept = [f"/v1/{kind}/{own[kind]}" for kind in ("events", "deliveries", "endpoints", "refusals")]
    before = [(await api.admin.get(path)).text for path in kept]
    _, key = await api.key("manage", 1)
    await sign_in(visitor, key["key"])
    fields = {
        "csrf": await csrf_token(visitor),
        "client_id": "2",
        "url": "http://127.0.0.1:1/",
        "event_types": "*",
        "on": "0",
        "data": "{}",
    }
    form = {**fields, "endpoint_id": foreign["id"], "since": "2020-01-01T00:00", "only": "all", "enabled": "1"}

    for method, address in screens(api):
        if "/keys" in address or "sign-out" in address or address in OWN_TYPES:
            continue
        kind = [*address.split("/"), ""][2]
        asked = address.replace("/x", f"/{own.get(kind, 'OrderConfirmedEvent')}")
        answer = await visitor.request(method, asked, data=form if method == "POST" else None)
        assert "secret-of-two" not in answer.text, asked
        assert "/of-two" not in answer.text, asked
        if "/x" in address and kind in own:
            assert answer.status_code == 404, asked
            assert not [each for each in own.values() if each in answer.text], asked
        else:
            is_whole = (
                method == "GET" and "/x" not in address and address not in {"/admin/dead/send", "/admin/dead/discard"}
            )
            assert answer.status_code in ({200} if is_whole else {200, 403, 404, 422}), asked
    for endpoint in ({"endpoint_id": foreign["id"]}, {"client_id": "2"}):
        for path in ("/admin/events", "/admin/endpoints", "/admin/dead", "/admin/replays/new", "/admin/types"):
            answer = await visitor.get(path, params=endpoint)
            assert "secret-of-two" not in answer.text + answer.headers.get("location", ""), path
            assert event["id"] not in answer.text, path
    assert [(await api.admin.get(path)).text for path in kept] == before


async def test_session_expires(api: Api, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    assert (await visitor.get("/admin")).status_code == 200

    api.node.clock.follow(LIFETIME_S * 1000)

    assert (await visitor.get("/admin")).status_code == 303


async def test_session_ends_when_its_key_is_revoked(api: Api, visitor: httpx.AsyncClient) -> None:
    _, key = await api.key("manage", 1)
    await sign_in(visitor, key["key"])
    assert (await visitor.get("/admin")).status_code == 200

    await api.admin.delete(f"/v1/keys/{key['id']}")

    assert (await visitor.get("/admin")).status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "AAAA", "é", "A" * 5000])
async def test_invalid_session_cookie_is_ignored(visitor: httpx.AsyncClient, cookie: str) -> None:
    response = await visitor.get("/admin", headers={"Cookie": f"{COOKIE}={cookie}".encode()})  # type: ignore[arg-type]

    assert response.status_code == 303


async def test_sign_out_ends_every_copy_of_the_session(api: Api, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    copied = {"Cookie": f"{COOKIE}={visitor.cookies[COOKIE]}"}
    async with plain_client(api.url, {}) as other, plain_client(api.url, copied) as thief:
        await sign_in(other)
        assert (await thief.get("/admin")).status_code == 200

        response = await visitor.post("/admin/sign-out", data={"csrf": await csrf_token(visitor)})

        assert response.headers["location"] == "/admin/sign-in?left=1"
        assert "You are signed out." in (await visitor.get(response.headers["location"])).text
        assert (await visitor.get("/admin")).status_code == 303
        assert (await thief.get("/admin")).status_code == 303
        await api.node.registry.load()
        assert (await thief.get("/admin")).status_code == 303
        assert (await other.get("/admin")).status_code == 200


async def test_ended_session_leads_to_sign_in_and_back(api: Api, visitor: httpx.AsyncClient) -> None:
    first = await visitor.get("/admin/events?q=1")
    assert first.headers["location"] == "/admin/sign-in?next=/admin/events%3Fq%3D1"
    await sign_in(visitor)
    await sign_out_elsewhere(api, visitor.cookies[COOKIE])

    for method, address, headers, back in (
        ("GET", "/admin/events?q=1", {}, "/admin/events?q=1"),
        ("POST", "/admin/endpoints/x/test", {"Referer": f"{api.url}/admin/endpoints/x"}, "/admin/endpoints/x"),
        ("POST", "/admin/keys", {"Referer": "http://["}, None),
    ):
        sent = await visitor.request(method, address, headers=headers)
        where = httpx.URL(sent.headers["location"])
        assert (where.path, where.params.get("ended"), where.params.get("next")) == ("/admin/sign-in", "1", back)
    part = await visitor.get(
        "/admin?span=day", headers={"HX-Request": "true", "HX-Current-URL": f"{api.url}/admin/events?live=1"}
    )
    assert part.headers["hx-redirect"] == "/admin/sign-in?ended=1&next=/admin/events%3Flive%3D1"
    assert "Your session has ended." in (await visitor.get(part.headers["hx-redirect"])).text


async def test_new_key_is_shown_once_and_reload_creates_no_other(api: Api, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    wanted = {"csrf": await csrf_token(visitor), "name": "till", "role": "publish", "client_ids": "1"}

    made = await visitor.post("/admin/keys", data=wanted)

    assert made.status_code == 303
    assert made.headers["location"] == "/admin/keys"
    carried = visitor.cookies[ONE_TIME_COOKIE]
    shown = re.search(r'id="new-key">([^<]+)<', (await visitor.get("/admin/keys")).text)
    assert shown is not None
    assert (await (await api.caller(shown[1])).post("/v1/events/x", json={})).status_code == 404
    assert shown[1] not in made.text + carried
    assert shown[1] not in (await visitor.get("/admin/keys")).text
    assert len((await api.admin.get("/v1/keys")).json()["items"]) == 1


async def test_one_time_secret_is_bound_to_session_and_expires(api: Api, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    wanted = {"csrf": await csrf_token(visitor), "name": "till", "role": "publish", "client_ids": "1"}
    await visitor.post("/admin/keys", data=wanted)
    mine, carried = visitor.cookies[COOKIE], visitor.cookies[ONE_TIME_COOKIE]

    async def shown(session: str, revealed: str) -> bool:
        async with plain_client(api.url, {"Cookie": f"{COOKIE}={session}; {ONE_TIME_COOKIE}={revealed}"}) as client:
            return 'id="new-key"' in (await client.get("/admin/keys")).text

    async with plain_client(api.url, {}) as other:
        await sign_in(other)
        assert not await shown(other.cookies[COOKIE], carried)
    assert not await shown(mine, "A" + carried)
    assert await shown(mine, carried)
    api.node.clock.follow(ONE_TIME_LIFETIME_S * 1000)
    assert not await shown(mine, carried)


async def test_forms_without_csrf_token_are_rejected(api: Api, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
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
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:x"},
        {"Origin": "ftp://{host}"},
        {"Origin": "https://{host}"},
        {"Origin": "http://{host}", "X-Forwarded-Proto": "https"},
        {"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_form_from_another_site_is_rejected_despite_token(
    api: Api, visitor: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await sign_in(visitor)
    endpoint = await api.endpoint()
    data = {"csrf": await csrf_token(visitor)}

    sent = {name: value.replace("{host}", f"127.0.0.1:{api.port}") for name, value in headers.items()}
    response = await visitor.post(f"/admin/endpoints/{endpoint['id']}/delete", data=data, headers=sent)

    assert response.status_code == 403
    assert (await api.admin.get(f"/v1/endpoints/{endpoint['id']}")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://LOCALHOST", "Host": "localhost:80"},
        {"Origin": "https://localhost", "Host": "localhost", "X-Forwarded-Proto": "https"},
        {"Origin": "https://localhost:443", "Host": "localhost", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_form_from_own_page_is_accepted(api: Api, visitor: httpx.AsyncClient, headers: dict[str, str]) -> None:
    sent = {name: value.replace("{port}", str(api.port)) for name, value in headers.items()}

    assert (await visitor.post("/admin/sign-in", data={"key": ADMIN_KEY}, headers=sent)).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io", "["]
)
async def test_screens_reject_unknown_host_names(api: Api, visitor: httpx.AsyncClient, host: str) -> None:
    await sign_in(visitor)
    asked = {"Host": host.replace("{port}", str(api.port))}

    for method, address in (
        ("GET", "/admin"),
        ("GET", "/admin/sign-in"),
        ("POST", "/admin/sign-in"),
        ("POST", "/admin/keys"),
    ):
        refused = await visitor.request(
            method, address, headers=asked, data={"key": ADMIN_KEY} if method == "POST" else None
        )
        assert refused.status_code == 421, address
        assert "COMMERCE_EVENT_ALLOWED_HOSTS" in refused.text
        assert "set-cookie" not in refused.headers
    assert (await api.admin.get("/v1/endpoints", headers=asked)).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3:9", "[::1]:8080", "localhost", "LOCALHOST.:1", "shop.localhost", "events.example.com"],
)
async def test_screens_answer_to_addresses_loopback_and_allowed_hosts(tmp_path: Path, host: str) -> None:
    async with (
        running_api(tmp_path, allowed_hosts=("events.example.com",)) as api,
        plain_client(api.url, {"Host": host}) as visitor,
    ):
        assert (await visitor.get("/admin/sign-in")).status_code == 200


async def test_read_key_cannot_change_anything(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint()
    _, key = await api.key("read", 1)
    await sign_in(visitor, key["key"])
    data = {"csrf": await csrf_token(visitor)}

    for part in ("delete", "off", "on", "pause", "resume", "rotate", "test"):
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
async def test_invalid_form_is_rejected_with_a_page(
    visitor: httpx.AsyncClient, content: bytes, media: str, status: int
) -> None:
    await sign_in(visitor)
    for address in ("/admin/keys", "/admin/sign-in"):
        response = await visitor.post(address, content=content, headers={"Content-Type": media})
        assert response.status_code == status, address
        assert "<h1" in response.text


async def test_pages_allow_only_own_files(visitor: httpx.AsyncClient) -> None:
    pages = [await visitor.get("/admin/sign-in")]
    await sign_in(visitor)
    pages += [await visitor.get(f"/admin{path}") for path in ("", "/events", "/endpoints/end_x", "/no-such-screen-id")]

    for page in pages[:3]:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.text)


async def test_assets_are_cached_and_nothing_else_is_served(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/admin/sign-in")
    address = re.search(r'href="(/assets/[^"]+/)base.css"', page.text)
    assert address is not None

    style = await visitor.get(f"{address[1]}base.css")
    assert style.status_code == 200
    assert "immutable" in style.headers["cache-control"]
    assert style.headers["content-type"].startswith("text/css")
    for path in ("../pages.py", "%2e%2e/pages.py", "/etc/passwd", "no-such.css"):
        assert (await visitor.get(address[1] + path)).status_code == 404, path


async def test_screens_never_show_a_stored_secret(api: Api, visitor: httpx.AsyncClient) -> None:
    endpoint = await api.endpoint(headers={"Authorization": "Bearer very-secret-value"})
    await sign_in(visitor)

    for path in ("", "/edit"):
        text = (await visitor.get(f"/admin/endpoints/{endpoint['id']}{path}")).text
        assert "very-secret-value" not in text
        assert endpoint["secret"] not in text
    kept = {
        "csrf": await csrf_token(visitor),
        "url": endpoint["url"],
        "event_types": "*",
        "client_id": "1",
        "jitter": "0",
    }
    changed = await visitor.post(
        f"/admin/endpoints/{endpoint['id']}/edit",
        data={**kept, "max_in_flight": "8", "headers": "Authorization: ***", "enabled": "1", "signing": "hmac"},
    )
    assert changed.status_code == 303, changed.text
    await api.publish()
    (arrival,) = await api.until_arrived(1)
    assert arrival.headers["authorization"] == "Bearer very-secret-value"


async def test_changes_on_screens_are_in_the_audit_log(api: Api, visitor: httpx.AsyncClient) -> None:
    made = await api.endpoint()
    _, key = await api.key("manage", 1)
    await sign_in(visitor, key["key"])
    path = f"/admin/endpoints/{made['id']}"
    await visitor.post(f"{path}/pause", data={"csrf": await csrf_token(visitor)})

    shown = (await visitor.get("/admin/audit", params={"target": made["id"]})).text

    assert "manage key" in shown
    assert "Paused http://" in shown
    assert f'href="{path}"' in shown
    await sign_in(visitor)  # a key of one client has no such filter
    wrong = await visitor.get("/admin/audit", params={"client_id": "x"})
    assert wrong.status_code == 422
    assert "Enter the client&#39;s number." in wrong.text


async def test_audit_screen_other_client_or_cursor_is_explained(api: Api, visitor: httpx.AsyncClient) -> None:
    _, key = await api.key("manage", 1)
    await sign_in(visitor, key["key"])

    foreign = await visitor.get("/admin/audit", params={"client_id": 2})
    cursor = await visitor.get("/admin/audit", params={"client_id": 1, "cursor": "bad"})

    assert foreign.status_code == 403
    assert 'role="alert"><p>' in foreign.text
    assert "client 2" in foreign.text
    assert cursor.status_code == 422
    assert "ursor" in cursor.text.partition("<main")[2]


@pytest.mark.parametrize("name", ["cursor", "endpoint_id"])
async def test_dead_letters_fault_of_another_parameter_is_not_the_clients(
    visitor: httpx.AsyncClient, name: str
) -> None:
    await sign_in(visitor)

    response = await visitor.get("/admin/dead", params={"client_id": 1, name: "bad"})
    client = await visitor.get("/admin/dead", params={"client_id": "x", name: "bad"})

    assert response.status_code == 422
    assert "Enter the client&#39;s number." not in response.text
    assert "bad" in response.text.partition("<main")[2]
    assert "Enter the client&#39;s number." in client.text


def form_head(path: str, size: int, *lines: str) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {size}",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


async def test_sign_in_forms_share_the_memory_of_bodies(tmp_path: Path) -> None:
    async with (
        running_api(tmp_path, max_body_memory=10_000) as api,
        connected(api) as slow,
        connected(api) as second,
        plain_client(api.url, {}) as visitor,
    ):
        await slow.send(form_head("/admin/sign-in", 8_000) + b"key=")
        await second.send(form_head("/admin/sign-in", 8_000) + b"key=")
        status, headers, page = await second.answer()
        assert (status, headers["retry-after"].isdigit()) == (503, True)
        assert b"Too many large requests" in page
        await api.endpoint()  # a key has a share of its own
        assert (await sign_in(visitor)).status_code == 303  # a usual form is small


async def test_forms_of_a_screen_count_for_their_key(tmp_path: Path) -> None:
    async with running_api(tmp_path, max_body_memory=10_000) as api, connected(api) as slow:
        _, made = await api.key("manage", 1)
        async with plain_client(api.url, {}) as visitor:
            await sign_in(visitor, made["key"])
            fields = {"csrf": await csrf_token(visitor), "padding": "x" * 3_000}
            head = f"POST /v1/endpoints HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made['key']}\r\n"
            await slow.send(f"{head}Content-Type: application/json\r\nContent-Length: 8000\r\n\r\n{{".encode())
            refused = await visitor.post("/admin/replays/new", data=fields)
            assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (503, True)
            assert "Too many large requests" in refused.text
            slow.writer.close()
            async with asyncio.timeout(DEADLINE_S):
                while (await visitor.post("/admin/replays/new", data=fields)).status_code == 503:
                    await asyncio.sleep(0.01)


async def test_validation_modes_are_set_and_removed_on_the_screen(api: Api, visitor: httpx.AsyncClient) -> None:
    await api.endpoint(1)
    await sign_in(visitor)
    csrf = await csrf_token(visitor)
    mode = {"client_id": "1", "event_type": "Order", "mode": "warn"}
    assert (await visitor.post("/admin/types/validation", data=mode)).status_code == 403
    assert (await visitor.post("/admin/types/validation", data={**mode, "csrf": csrf})).status_code == 303
    accepted = await api.publish(OrderNo=5)
    event = (await visitor.get(f"/admin/events/{accepted['id']}")).text
    assert "breaks the contract" in event
    assert "must be text, not a number" in event
    assert ">warn<" in (await visitor.get("/admin/types?client_id=1")).text
    wrong = await visitor.post("/admin/types/validation", data={**mode, "client_id": "x", "csrf": csrf})
    assert (wrong.status_code, "Enter the client" in wrong.text) == (422, True)
    gone = await visitor.post("/admin/types/validation/remove", data={**mode, "csrf": csrf})
    assert gone.status_code == 303
    assert ">warn<" not in (await visitor.get("/admin/types?client_id=1")).text


async def test_own_event_types_are_created_changed_and_deleted_on_the_screen(
    api: Api, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor)
    csrf = await csrf_token(visitor)
    form = {
        "name": "ExportDelivered", "category": "Export", "kind": "event", "description": "<b>x</b>",
        "schema": '{"properties": {"ExportId": {"type": "integer"}}}', "example": '{"ClientId": 1, "ExportId": 7}',
        "csrf": csrf,
    }  # fmt: skip
    assert 'name="schema"' in (await visitor.get("/admin/types/new")).text
    broken = await visitor.post("/admin/types/new", data={**form, "schema": '{"type": "array"}'})
    assert (broken.status_code, "must be object" in broken.text) == (422, True)
    unreadable = await visitor.post("/admin/types/new", data={**form, "example": "{"})
    assert (unreadable.status_code, "Example is not JSON" in unreadable.text) == (422, True)
    misnamed = await visitor.post("/admin/types/new", data={**form, "name": "exported"})
    assert (misnamed.status_code, "Name must be 3 to 80 letters" in misnamed.text) == (422, True)
    assert (await visitor.post("/admin/types/new", data=form)).status_code == 303
    shown = (await visitor.get("/admin/types/ExportDelivered")).text
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "ExportDelivered" in (await visitor.get("/admin/types")).text
    step = {"csrf": csrf, "step": "destination", "go": "next", "url": "https://a.example/", "client_id": "1"}
    offered = (await visitor.post("/admin/endpoints/new", data=step)).text
    assert 'name="event_types" value="ExportDelivered"' in offered
    assert 'name="name"' not in (await visitor.get("/admin/types/ExportDelivered/edit")).text
    changed = await visitor.post("/admin/types/ExportDelivered/edit", data={**form, "description": "Changed."})
    assert changed.status_code == 303
    assert "Changed." in (await visitor.get("/admin/types/ExportDelivered")).text
    _, key = await api.key("manage", 1)
    async with plain_client(api.url, {}) as other:
        await sign_in(other, key["key"])
        assert (await other.get("/admin/types/new")).status_code == 403
        assert "Create event type" not in (await other.get("/admin/types")).text
    assert (await visitor.get("/admin/types/OrderConfirmedEvent/edit")).status_code == 404
    user = await api.endpoint(1, event_types=["ExportDelivered"])
    kept = await visitor.post("/admin/types/ExportDelivered/delete", data={"csrf": csrf})
    assert (kept.status_code, "1 endpoint names" in kept.text) == (409, True)
    assert f'href="/admin/endpoints/{user["id"]}"' in kept.text
    await api.admin.delete(f"/v1/endpoints/{user['id']}")
    deleted = await visitor.post("/admin/types/ExportDelivered/delete", data={"csrf": csrf})
    assert deleted.status_code == 303
    assert (await visitor.get("/admin/types/ExportDelivered")).status_code == 404
