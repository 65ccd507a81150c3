"""A person sees why an attempt failed: the redirects, the phases, and the answer beside the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from api_server import Api
from browser_actions import sign_in
from playwright.async_api import Page, expect
from ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def redirecting(location: str) -> AsyncIterator[str]:
    """Answer every request with a redirect; yields the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % location.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()


async def test_redirect_to_a_dead_address_is_drawn_on_event_and_test_page(page: Page, api: Api) -> None:
    dead = f"http://127.0.0.1:{free_port()}/x"
    async with redirecting(dead) as url:
        endpoint = await api.endpoint(url=url)
        event = await api.publish()
        await api.until_state("dead")
        await sign_in(page)
        await page.goto(f"/admin/events/{event['id']}")
        await _expect_chain(page, url, dead)
        await page.goto(f"/admin/endpoints/{endpoint['id']}/test")
        await page.get_by_role("button", name="Send test").click()
        await expect(page.get_by_text("did not accept the test")).to_be_visible()
        await _expect_chain(page, url, dead)


async def _expect_chain(page: Page, url: str, dead: str) -> None:
    shown = page.locator(".diagnosis:visible")
    await expect(shown.get_by_role("list", name="Redirects").get_by_role("listitem")).to_have_text(
        [f"POST {url}", f"302 {dead}", "failed: connect"]
    )
    await expect(shown.get_by_role("list", name="Phases of the request").get_by_role("listitem").first).to_have_text(
        "connect ✗failed"
    )
    await expect(page.get_by_text("where nothing listens").first).to_be_visible()


async def test_cards_keep_their_order_after_an_action(page: Page, api: Api) -> None:
    for name in ("Alpha", "Beta", "Gamma"):
        await api.endpoint(url=f"{api.receiver.url}/{name}", description=name)
    api.receiver.statuses["/Beta"] = 404
    event = await api.publish()
    await api.until_finished(3)
    api.receiver.statuses.pop("/Beta")
    await sign_in(page)
    await page.goto(f"/admin/events/{event['id']}")
    titles = page.locator(".deliveries section.card h2")
    await expect(titles).to_have_text(["Alpha", "Beta", "Gamma"])

    await page.get_by_role("button", name="Try now").click()
    await expect(page.get_by_text("Delivered to 3.")).to_be_visible()

    await expect(titles).to_have_text(["Alpha", "Beta", "Gamma"])
    await expect(page.get_by_text("The delivery is being retried now.")).to_be_in_viewport()
    await expect(titles.nth(1)).to_be_in_viewport()
