"""Pages and assets are compressed, but not for other sites; a page that is as before is not sent again."""

import gzip
import re

import pytest
from api_server import ADMIN_KEY, Api, plain_client
from starlette.requests import Request
from starlette.responses import Response

from commerce_event.web.compression import compress


def answer(headers: dict[str, str], body: bytes = b"x" * 5000) -> Response:
    scope_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    response = Response(body)
    compress(Request({"type": "http", "method": "GET", "path": "/", "headers": scope_headers}), response)
    return response


def test_compress_answers_own_requests_with_gzip() -> None:
    for site in ({}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        response = answer({"accept-encoding": "gzip, br", **site})
        assert gzip.decompress(bytes(response.body)) == b"x" * 5000
        assert response.headers["content-length"] == str(len(response.body))
        assert response.headers["vary"] == "Accept-Encoding, Sec-Fetch-Site"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_compress_leaves_answers_to_other_sites_as_they_are(site: str) -> None:
    assert answer({"accept-encoding": "gzip", "sec-fetch-site": site}).body == b"x" * 5000


def test_compress_leaves_short_answers_and_old_clients_as_they_are() -> None:
    assert answer({"accept-encoding": "gzip"}, b"short").body == b"short"
    assert "content-encoding" not in answer({}).headers


async def test_unchanged_page_is_answered_with_304(api: Api) -> None:
    async with plain_client(api.url, {}) as client:
        await client.post("/admin/sign-in", data={"key": ADMIN_KEY})
        part = {"HX-Request": "true"}
        first = await client.get("/admin/events", headers=part)
        again = await client.get("/admin/events", headers={**part, "If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await api.publish()
        changed = await client.get("/admin/events", headers={**part, "If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200
        assert "etag" not in (await client.get("/admin/events")).headers


async def test_assets_are_compressed_once_and_the_icon_has_an_address(api: Api) -> None:
    async with plain_client(api.url, {"Accept-Encoding": "identity"}) as client:
        page = (await client.get("/admin/sign-in")).text
        address = re.search(r'href="(/assets/[^"]+/base\.css)"', page)
        assert address is not None
        plain = await client.get(address[1])
        packed = await client.get(address[1], headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 2
        icon = await client.get("/favicon.ico")
        assert (icon.status_code, icon.headers["content-type"]) == (200, "image/x-icon")
        assert icon.content.startswith(b"\0\0\1\0")
