"""An integrator creates an endpoint, runs the ready handler with its secret, and sees that the signature is right."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from api_server import Api
from api_server import expect as expect_status
from browser_actions import sign_in
from playwright.async_api import Page, expect
from ports import free_port
from screen_checks import expect_accessible

DEADLINE_S = 60.0


@asynccontextmanager
async def running_handler(code: str, command: str, port: int, folder: Path) -> AsyncIterator[None]:
    """Run the handler as the page says: its code in a file, and the command with the secret."""
    (folder / "handler.py").write_text(code, "utf-8")
    process = subprocess.Popen(
        ["/bin/sh", "-c", command.replace("pip install -r requirements.txt && python", sys.executable)],
        cwd=folder,
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(verify=False, trust_env=False) as client:
            while True:
                try:
                    await client.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def test_integrator_gets_from_the_url_to_a_checked_signature(page: Page, api: Api, tmp_path: Path) -> None:
    for number, campaign in enumerate(("spring", "autumn", "spring")):
        await api.publish(OrderNo=f"10{number}", Campaign=campaign)
    _, key = await api.key("manage", 1)
    port = free_port()
    await sign_in(page, key["key"])
    await page.goto("/admin/endpoints/new")
    await expect(page.get_by_label("Client", exact=True)).to_have_count(0)
    await expect_accessible(page)

    await page.get_by_label("URL").fill("ftp://nowhere")
    await page.get_by_label("Description").fill("The ERP")
    await page.get_by_role("button", name="Next: event types").click()
    await expect(page.locator("#f-url")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Description")).to_have_value("The ERP")
    await page.get_by_label("URL").fill(f"http://127.0.0.1:{port}/webhooks")
    await page.keyboard.press("Enter")

    await expect(page.locator("[aria-current=step]")).to_contain_text("Event types")
    await expect(page.get_by_text("Everything in the order has been delivered.")).to_be_visible()
    await expect_accessible(page)
    await page.get_by_label("All event types,").uncheck()
    await page.locator("[name=event_types][value=Order]").check()
    await page.get_by_text("Exceptions").click()
    await page.locator("[name=except][value=OrderCancelledEvent]").check()
    await page.get_by_role("button", name="Next: filter").click()

    await expect(page.locator("[aria-current=step]")).to_contain_text("Filter")
    await page.get_by_label("Only events that meet conditions").check()
    await page.get_by_label("Property").fill("$.Campaign")
    await page.locator("[name=filter_value]").fill("spring")
    await page.get_by_role("button", name="Add a condition").click()
    await page.locator("[name=filter_name]").nth(1).fill("OrderIdd")
    await page.locator("[name=filter_value]").nth(1).fill("7")
    await page.get_by_role("button", name="Try it on the last 100 events").click()
    await expect(page.locator("#h-filter_row_2")).to_contain_text("did you mean OrderId?")
    await page.get_by_role("button", name="Remove condition 2").click()
    await page.get_by_role("button", name="Try it on the last 100 events").click()
    await expect(page.locator("#tried")).to_contain_text("2 would be sent")
    await expect(page.locator("#tried")).to_contain_text("Campaign is spring: no, it is autumn")
    await expect_accessible(page)
    await page.get_by_role("button", name="Back").click()
    await expect(page.locator("[name=event_types][value=Order]")).to_be_checked()
    await page.get_by_role("button", name="Next: filter").click()
    await expect(page.locator("[name=filter_value]")).to_have_value("spring")
    await page.get_by_role("button", name="Create endpoint").click()

    await page.wait_for_url("**/secret?new=1")
    await expect(page.locator("#secret")).to_have_text(re.compile("^whsec_"))
    await expect_accessible(page)
    await page.get_by_text("TypeScript", exact=True).click()
    await expect(page.locator("#code-typescript")).to_be_visible()
    await page.get_by_text("Python", exact=True).click()
    code = await page.locator("#code-python").inner_text()
    command = await page.locator("#run-python").inner_text()
    (endpoint,) = expect_status(await api.admin.get("/v1/endpoints"), 200)["items"]
    assert (endpoint["client_id"], endpoint["event_types"], endpoint["except"]) == (
        1,
        ["Order"],
        ["OrderCancelledEvent"],
    )
    assert endpoint["filter"] == {"$.Campaign": "spring"}

    async with running_handler(code, command, port, tmp_path):
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_text("The receiver accepted the test")).to_be_visible()
        await expect(page.get_by_text("The signature is right.")).to_be_visible()
        await expect_accessible(page)
        await page.get_by_role("button", name="Send a wrong signature").click()
        await expect(page.get_by_text("Your receiver checks signatures: yes.")).to_be_visible()
    await page.get_by_role("link", name="open the endpoint").click()
    await page.wait_for_url(f"**/admin/endpoints/{endpoint['id']}?missed_since=*")


async def test_rotation_leads_to_the_handler_and_says_when_the_old_secret_ends(page: Page, api: Api) -> None:
    endpoint = await api.endpoint(description="The ERP")
    await sign_in(page)
    await page.goto(f"/admin/endpoints/{endpoint['id']}")
    page.on("dialog", lambda dialog: dialog.accept())

    await page.get_by_role("button", name="Rotate secret").click()

    await page.wait_for_url("**/secret")
    await expect(page.locator("#secret")).to_have_text(re.compile("^whsec_"))
    await expect(page.get_by_text("requests are signed with the old secret as well")).to_be_visible()
    await page.reload()
    await expect(page.locator("#secret")).to_have_count(0)


async def test_partner_opens_a_portal_link_and_sees_one_client(page: Page, api: Api) -> None:
    expect_status(await api.admin.put("/v1/clients/1", json={"name": "Acme"}), 200)
    await api.endpoint(1, description="own-endpoint")
    await api.endpoint(2, description="of-two")
    await sign_in(page)
    await page.goto("/admin/clients")
    await expect_accessible(page)
    await page.get_by_role("link", name="Portal link for Acme (1)").click()
    await page.get_by_role("button", name="Create link").click()
    url = await page.locator("#portal-url").inner_text()
    await page.context.clear_cookies()

    await page.goto(url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Client Acme (1)")
    await expect_accessible(page)
    await page.get_by_role("button", name="Open the screens").click()

    await page.wait_for_url("**/admin")
    await page.goto("/admin/endpoints")
    await expect(page.get_by_text("own-endpoint")).to_be_visible()
    await expect(page.get_by_text("of-two")).to_have_count(0)
    await expect(page.get_by_label("Client", exact=True)).to_have_count(0)
    (key,) = expect_status(await api.admin.get("/v1/keys"), 200)["items"]
    expect_status(await api.admin.delete(f"/v1/keys/{key['id']}"), 204)
    await page.goto("/admin/events")
    await expect(page.get_by_text("Your session has ended.")).to_be_visible()
