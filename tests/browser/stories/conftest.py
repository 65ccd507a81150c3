"""Fixtures: a server that can be stopped and started in the middle of a story, and a browser signed in to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from browser_actions import sign_in
from playwright.async_api import Browser, Page
from site_of_tests import Site, running_site


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Return a server whose retries come after an hour."""
    async with running_site(tmp_path, retry_schedule_s=(3_600.0,)) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> Page:
    context = await browser.new_context(base_url=site.url, bypass_csp=True, timezone_id="UTC")
    context.set_default_timeout(60_000)
    page = await context.new_page()
    await sign_in(page)
    return page
