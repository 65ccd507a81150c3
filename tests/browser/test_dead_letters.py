"""From dead letters to done: warned, fixed, one sent, all sent; discarded; a replay cancelled; a change put back."""

import re

from api_server import Api, Json
from api_server import expect as expect_status
from browser_actions import sign_in
from playwright.async_api import Page, expect


async def failing_endpoint(api: Api, count: int = 4) -> Json:
    """Make an endpoint with dead letters: ``count`` with 503, and one with 401."""
    made = await api.endpoint(description="ERP: orders", retry_schedule=[], timeout_s=30)
    api.receiver.status = 401
    await api.publish(OrderNo="100776")
    await api.until_finished(1)
    api.receiver.status = 503
    for number in range(count):
        await api.publish(OrderNo=f"10077{number}")
    await api.until_finished(count + 1)
    api.receiver.arrived.clear()
    return made


async def test_dead_letters_are_sent_again_after_a_warning_and_one_that_arrived(page: Page, api: Api) -> None:
    await failing_endpoint(api)
    await sign_in(page)
    await page.goto("/admin/dead")
    await expect(page.get_by_text("The endpoint has failed 5 times in a row since")).to_be_visible()
    await page.get_by_role("link", name="Send all dead letters of ERP: orders again").click()
    await expect(page.get_by_text("This sends 5 deliveries")).to_be_visible()
    await expect(page.locator(".warning")).to_contain_text("the receiver is not available now")
    await expect(page.get_by_role("button", name="Send anyway")).to_be_visible()
    assert api.receiver.arrived == []

    api.receiver.status = 200  # fixed
    await page.get_by_role("button", name="Send one").click()
    await expect(page.get_by_text("One dead letter is sent again. When it has arrived")).to_be_visible()
    await expect(page.get_by_text("Delivered to 1.")).to_be_visible()
    assert len(api.receiver.arrived) == 1

    await page.goto("/admin/dead")
    await expect(page.get_by_text("times in a row")).to_have_count(0)
    await page.get_by_role("link", name="Send again: ERP: orders, the receiver is not available now").click()
    await expect(page.get_by_text("This sends 3 dead letters again")).to_be_visible()
    await page.get_by_role("button", name="Send 3").click()
    await expect(page.get_by_text("3 dead letters are sent again.")).to_be_visible()
    await page.get_by_role("link", name=re.compile("^Send again: ERP: orders, the receiver rejects the")).click()
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#state")).to_have_text("done")
    await expect(page.locator("#state")).to_have_class(re.compile(r"\bgood\b"))
    await expect(page.get_by_text("1 of 1 finished")).to_be_visible()
    assert len(await api.until_state("delivered")) == 5


async def test_replay_that_fails_again_follows_to_the_end_and_is_red(page: Page, api: Api) -> None:
    made = await failing_endpoint(api)
    api.receiver.hold()
    await sign_in(page)
    await page.goto(f"/admin/replays/new?endpoint_id={made['id']}&only=failed&check=1")
    await page.get_by_role("button", name="Send anyway").click()
    await expect(page.locator("#state")).to_have_text("running")
    await expect(page.get_by_text("0 of 5 finished")).to_be_visible()
    await expect(page.locator(".warning")).to_be_visible()
    api.receiver.release()

    await expect(page.locator("#state")).to_have_text("done, 5 dead")
    await expect(page.locator("#state")).to_have_class(re.compile(r"\bbad\b"))
    await expect(page.get_by_role("button", name="Cancel replay")).to_have_count(0)
    await expect(page.locator(".sidebar .count")).to_have_text("5")
    await page.get_by_role("link", name="Show dead letters").click()
    await expect(page.locator("#letters tbody tr")).to_have_count(5)


async def test_running_replay_is_cancelled_after_a_question(page: Page, api: Api) -> None:
    made = await failing_endpoint(api)
    api.receiver.hold()
    replay = expect_status(
        await api.admin.post("/v1/replays", json={"endpoint_id": made["id"], "since": "2020-01-01T00:00:00Z"}), 202
    )
    questions: list[str] = []

    async def answer(dialog: object) -> None:
        questions.append(dialog.message)  # type: ignore[attr-defined]
        await dialog.accept()  # type: ignore[attr-defined]

    page.on("dialog", answer)
    await sign_in(page)
    await page.goto(f"/admin/replays/{replay['id']}")
    await page.get_by_role("button", name="Cancel replay").click()

    await expect(page.locator("#state")).to_have_text("cancelled")
    assert questions == ["Cancel this replay? Its pending deliveries become dead letters again."]
    assert {each["reason"] for each in await api.until_state("dead")} == {"replay_cancelled"}


async def test_dead_letters_of_a_cause_are_discarded_with_a_reason(page: Page, api: Api) -> None:
    await failing_endpoint(api)
    await sign_in(page)
    await page.goto("/admin/dead")
    await page.get_by_role("link", name="Discard: ERP: orders, the receiver is not available now").click()
    await expect(page.get_by_role("heading", name="Discard 4 dead letters?")).to_be_visible()
    await page.get_by_role("button", name="Discard 4").click()
    await expect(page.get_by_text("Say why they are discarded.")).to_be_visible()
    await page.get_by_label("Reason").fill("a test of the shop")
    await page.get_by_role("button", name="Discard 4").click()

    await expect(page.get_by_text("4 dead letters are discarded.")).to_be_visible()
    await expect(page.locator("#letters tbody tr")).to_have_count(1)
    await expect(page.locator(".sidebar .count")).to_have_text("1")
    reasons = [each["reason"] for each in await api.deliveries(state="cancelled")]
    assert reasons == ["discarded: a test of the shop"] * 4
    await page.goto("/admin/audit")
    await expect(page.locator("tbody tr").first).to_contain_text(
        "Discarded dead letters of ERP: orders (4 dead letters"
    )


async def test_change_is_put_back_from_the_audit_log(page: Page, api: Api) -> None:
    made = await api.endpoint(description="Search index")
    path = f"/v1/endpoints/{made['id']}"
    expect_status(await api.admin.patch(path, json={"event_types": ["Product"]}), 200)
    await sign_in(page)
    await page.goto("/admin/audit")
    await page.get_by_role("link", name=re.compile("^Put back: Changed Search index")).click()
    await expect(page.get_by_role("row", name="event types * Product")).to_be_visible()
    await page.get_by_role("button", name="Put back").click()

    await expect(page.get_by_text("Put back: event types.")).to_be_visible()
    assert expect_status(await api.admin.get(path), 200)["event_types"] == ["*"]
    await page.goto("/admin/audit")
    await page.get_by_role("link", name=re.compile("^Changed Search index: event types")).click()
    await page.get_by_role("button", name="Put back").click()
    await expect(page.get_by_text("Changed again since then: event_types.")).to_be_visible()
