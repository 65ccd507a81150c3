"""Portal links on the screens, and attacks on them."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import Api, Json, expect, plain_client, running_api

from commerce_event.admin.sessions import COOKIE


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


@pytest.fixture
async def partner(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(api.url, {}) as client:
        yield client


async def make_link(api: Api, client_id: int = 1, **fields: Any) -> Json:
    body = {"client_id": client_id, "role": "read", "expires_in_s": 3_600, **fields}
    return expect(await api.admin.post("/v1/portal-links", json=body), 201)


def link_of(made: Json) -> str:
    found: str = made["url"].partition("link=")[2]
    return found


async def open_link(partner: httpx.AsyncClient, link: str, **headers: str) -> httpx.Response:
    return await partner.post("/admin/portal", data={"link": link}, headers=headers)


async def csrf_of(partner: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await partner.get("/admin")).text)
    assert found is not None
    return found[1]


async def test_portal_page_says_what_it_opens_and_starts_nothing(api: Api, partner: httpx.AsyncClient) -> None:
    expect(await api.admin.put("/v1/clients/1", json={"name": "Acme <b>"}), 200)
    made = await make_link(api)

    shown = await partner.get(made["url"])
    head = await partner.head(made["url"])

    assert (shown.status_code, head.status_code) == (200, 200)
    assert "Client Acme &lt;b&gt; (1)" in shown.text
    assert "change nothing" in shown.text
    assert made["expires_at"] in shown.text
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["cache-control"] == "no-store"
    assert not partner.cookies
    assert (await partner.get("/admin")).status_code == 303


async def test_portal_button_opens_the_screens_of_that_client_only(api: Api, partner: httpx.AsyncClient) -> None:
    own, foreign = await api.endpoint(1, description="own-endpoint"), await api.endpoint(2, description="of-two")
    await api.publish(2, FirstName="of-two")

    opened = await open_link(partner, link_of(await make_link(api)))

    assert (opened.status_code, opened.headers["location"]) == (303, "/admin")
    listed = (await partner.get("/admin/endpoints")).text
    assert "own-endpoint" in listed
    assert "of-two" not in listed
    assert 'name="client_id"' not in listed
    assert (await partner.get(f"/admin/endpoints/{foreign['id']}")).status_code == 404
    assert (await partner.get(f"/admin/endpoints/{own['id']}")).status_code == 200
    assert (await partner.get("/admin/events?client_id=2")).status_code in {200, 403}
    assert "of-two" not in (await partner.get("/admin/events?client_id=2")).text
    assert (await partner.get("/admin/keys")).status_code == 403
    assert (await partner.get(f"/admin/endpoints/{own['id']}/edit")).status_code == 403


async def test_portal_session_ends_with_the_link(api: Api, partner: httpx.AsyncClient) -> None:
    link = link_of(await make_link(api, expires_in_s=60))
    await open_link(partner, link)
    assert (await partner.get("/admin")).status_code == 200

    clock = api.node.clock
    now_ms = clock.now_ms
    clock.now_ms = lambda: now_ms() + 60_000  # type: ignore[method-assign]

    assert (await partner.get("/admin")).status_code == 303
    again = await open_link(partner, link)
    assert (again.status_code, "This link has ended." in again.text) == (404, True)
    assert "set-cookie" not in again.headers


async def test_portal_link_that_is_revoked_ends_its_sessions(api: Api, partner: httpx.AsyncClient) -> None:
    made = await make_link(api)
    await open_link(partner, link_of(made))

    expect(await api.admin.delete(f"/v1/keys/{made['key_id']}"), 204)

    assert (await partner.get("/admin")).status_code == 303
    replayed = await open_link(partner, link_of(made))
    assert (replayed.status_code, "This link was revoked." in replayed.text) == (404, True)
    assert (await partner.get(made["url"])).status_code == 404


@pytest.mark.parametrize(
    "changed",
    [
        lambda _link: "",
        lambda link: link[:-1],
        lambda link: f"{link[:20]}{'A' if link[20] != 'A' else 'B'}{link[21:]}",
        lambda link: link.swapcase(),
        lambda link: link + "A" * 10_000,
        lambda _link: "not a link é\u0000",
    ],
)
async def test_portal_link_that_is_tampered_with_opens_nothing(
    api: Api, partner: httpx.AsyncClient, changed: Callable[[str], str]
) -> None:
    link = changed(link_of(await make_link(api)))

    shown = await partner.get("/admin/portal", params={"link": link}) if len(link) < 1_000 else None
    opened = await open_link(partner, link)

    assert shown is None or shown.status_code == 404
    assert opened.status_code in {404, 413}
    assert COOKIE not in opened.cookies


async def test_portal_link_is_no_session_cookie_and_no_key(api: Api, partner: httpx.AsyncClient) -> None:
    link = link_of(await make_link(api))
    partner.cookies.set(COOKIE, link, path="/admin")
    assert (await partner.get("/admin")).status_code == 303
    partner.cookies.clear()
    assert (await partner.post("/admin/sign-in", data={"key": link})).status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_portal_form_of_another_site_is_rejected(
    api: Api, partner: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    opened = await open_link(partner, link_of(await make_link(api)), **headers)

    assert opened.status_code == 403
    assert COOKIE not in opened.cookies


async def test_portal_form_of_the_page_itself_without_referrer_is_accepted(
    api: Api, partner: httpx.AsyncClient
) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}

    opened = await open_link(partner, link_of(await make_link(api)), **headers)

    assert opened.status_code == 303


async def test_portal_session_makes_no_other_links(api: Api, partner: httpx.AsyncClient) -> None:
    await open_link(partner, link_of(await make_link(api, role="manage")))
    form = {"csrf": await csrf_of(partner), "role": "read", "expires_in_s": "3600"}

    refused = await partner.post("/admin/portal-links/new", data=form)

    assert refused.status_code == 403
    assert "A portal link cannot make other links" in refused.text
    assert len(expect(await api.admin.get("/v1/keys"), 200)["items"]) == 1


async def test_portal_session_with_manage_creates_an_endpoint_without_naming_the_client(
    api: Api, partner: httpx.AsyncClient
) -> None:
    await open_link(partner, link_of(await make_link(api, role="manage")))
    assert 'name="client_id"' not in (await partner.get("/admin/endpoints/new")).text
    url = f"{api.receiver.url}/partner"
    form = {"csrf": await csrf_of(partner), "url": url, "event_types": "*", "jitter": "0", "max_in_flight": "8"}

    made = await partner.post("/admin/endpoints/new", data=form)
    stolen = await partner.post("/admin/endpoints/new", data={**form, "client_id": "2"})

    assert made.status_code == 303
    assert stolen.status_code == 403
    (endpoint,) = expect(await api.admin.get("/v1/endpoints"), 200)["items"]
    assert (endpoint["client_id"], endpoint["url"]) == (1, url)


async def test_portal_token_is_in_no_log(
    api: Api, partner: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    link = link_of(await make_link(api))
    await partner.get(f"/admin/portal?link={link}")
    await partner.get(f"/admin/portal?link={link}x")
    await open_link(partner, link)

    written = "".join(capfd.readouterr())

    assert "createPortalLink" in written
    assert link not in written
