"""Event settings, changes with their explanations, and change sources on the screens."""

import json
import re
from typing import Any, Final

from api_server import Api, expect
from browser_actions import sign_in
from playwright.async_api import Page
from playwright.async_api import expect as shown

TYPE: Final = "CustomerChangedNotification"
SETTING: Final = {"client_id": 1, "event_type": TYPE, "entity": "tClientCustomer"}
EVIL: Final = "\"'><img src=x onerror=window.hit=1><script>window.hit=1</script>"


async def change(api: Api, operation: str = "update", client_id: int = 1, **fields: Any) -> dict[str, Any]:
    """Send a change of a customer; return what was answered."""
    wanted = {"entity": "tClientCustomer", "key": {"CustomerId": 12}, **fields}
    return expect(
        await api.admin.post("/v1/changes", json={"client_id": client_id, "operation": operation, **wanted}), 202
    )


async def setting(api: Api, **fields: Any) -> dict[str, Any]:
    return expect(await api.admin.post("/v1/event-settings", json={**SETTING, **fields}), 201)


async def source(api: Api, name: str = "crm", client_id: int = 1) -> None:
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"City": "city", "Zip": "zip"}}
    wanted = {"client_id": client_id, "tables": {"public.customer": table}}
    expect(await api.admin.put(f"/v1/change-sources/{name}", json=wanted), 201)


async def test_setting_is_previewed_corrected_and_saved_with_its_sentence(page: Page, api: Api) -> None:
    await api.endpoint(1)
    for city in ("Lund", "Malmö", "Ystad"):
        await change(api, before={"City": "?", "Zip": "1"}, after={"City": city, "Zip": "1"})
    await source(api)
    await sign_in(page)
    await page.goto("/admin/types")
    await page.get_by_role("link", name=f"Settings of {TYPE}").click()
    row = page.get_by_role("row", name=re.compile("^tClientCustomer No setting"))
    await shown(row).to_contain_text("raise nothing")
    await row.get_by_role("link", name="Add").click()

    await page.get_by_label("City", exact=True).check()
    await page.get_by_label("Other fields").fill("Zipp")
    await page.get_by_role("button", name="Add setting").click()
    fields = page.get_by_role("group", name="Fields that count")
    await shown(fields.locator(".error")).to_contain_text("did you mean Zip?")
    await shown(fields.get_by_label("City", exact=True)).to_be_checked()

    await fields.get_by_label("Zipp", exact=True).uncheck()
    await page.get_by_role("button", name="Preview").click()
    preview = page.locator("#preview")
    await shown(preview).to_contain_text("Over the 3 changes of this entity that are kept, it would have raised 3")
    await shown(preview).to_contain_text("its City changes")
    assert (await api.admin.get("/v1/event-settings")).json()["items"] == []

    await page.get_by_role("button", name="Add setting").click()
    await shown(page.get_by_role("status").first).to_contain_text("Saved.")
    (saved,) = (await api.admin.get("/v1/event-settings")).json()["items"]
    assert saved["fields"] == ["City"]
    await shown(page.locator(f"[id='{saved['id']}']")).to_contain_text(saved["sentence"])

    await page.get_by_role("link", name="Edit tClientCustomer").click()
    await page.get_by_label("Delete: a deleted row").uncheck()
    await page.get_by_label("Filter").fill('{"Cty": "Lund"}')
    await page.get_by_role("button", name="Save").click()
    await shown(page.locator("#h-filter .error")).to_contain_text("did you mean City?")
    await page.get_by_label("Filter").fill('{"City": "Lund"}')
    await page.get_by_role("button", name="Preview").click()
    await shown(preview).to_contain_text("it would have raised 1 notification.")
    await page.get_by_role("button", name="Save").click()
    await shown(page.locator(f"[id='{saved['id']}']")).to_contain_text("where City is Lund")

    await page.get_by_role("switch", name="tClientCustomer of client 1").click()
    await shown(page.get_by_role("status").first).to_contain_text("Switched off. While a setting is off, nothing is")
    await shown(page.get_by_role("switch", name="tClientCustomer of client 1")).not_to_be_checked()
    page.once("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete tClientCustomer").click()
    await shown(page.get_by_role("status").first).to_contain_text("Deleted.")
    assert (await api.admin.get("/v1/event-settings")).json()["items"] == []


async def test_fields_to_choose_follow_the_entity(page: Page, api: Api) -> None:
    await source(api)
    await sign_in(page)
    await page.goto(f"/admin/types/{TYPE}/settings/new?client_id=1")
    await shown(page.locator("#offered")).to_contain_text("appear here")

    await page.get_by_label("Entity").select_option("tClientCustomer")
    await shown(page.get_by_label("Zip", exact=True)).to_be_visible()
    await page.get_by_label("Zip", exact=True).check()
    await page.get_by_label("Entity").focus()
    await page.get_by_label("Entity").select_option("tClientCustomerFlag")
    await shown(page.get_by_label("City", exact=True)).to_have_count(0)
    await shown(page.get_by_label("Zip", exact=True)).to_be_checked()


async def test_table_name_of_an_open_list_may_be_typed(page: Page, api: Api) -> None:
    await sign_in(page)
    await page.goto("/admin/types/SkuChangedNotification/settings/new?client_id=1")
    await page.get_by_label("Entity").fill("tClientProductSkuu")
    await page.get_by_role("button", name="Add setting").click()
    await shown(page.locator("#h-entity .error")).to_contain_text("did you mean tClientProductSku?")
    await page.get_by_label("Entity").fill("tClientProductSkuBarcode")
    await page.get_by_role("button", name="Add setting").click()

    await shown(page.get_by_role("row", name=re.compile("^tClientProductSkuBarcode"))).to_contain_text("insert")


async def test_change_that_raised_a_notification_is_explained_up_to_its_delivery(page: Page, api: Api) -> None:
    await api.endpoint(1)
    await setting(api, fields=["City"])
    await change(api, "insert", after={"City": "Lund", "Zip": "1"})
    await change(api, after={"City": "Ystad"})
    await api.until_arrived(2)
    await api.until_state("delivered")
    await sign_in(page)
    await page.get_by_role("link", name="Changes", exact=True).click()
    await page.get_by_role("link", name="tClientCustomer").first.click()

    await shown(page.locator("#verdict")).to_contain_text(f"It raised {TYPE}.")
    await shown(page.get_by_role("row", name=re.compile("^changed fields"))).to_contain_text("passed")
    values = page.get_by_role("group", name="Values")
    await shown(values.get_by_role("row", name=re.compile("^City"))).to_have_text(
        re.compile(r"City\s+changed\s+Lund\s+last known\s+Ystad")
    )
    await shown(values.get_by_role("row", name=re.compile("^Zip"))).to_contain_text("not in the change")
    address = page.url
    await page.get_by_role("link", name="evt_").click()
    await shown(page.get_by_text("Delivered to 1.")).to_be_visible()
    assert json.loads(await page.locator("#payload").inner_text())["EntityChanged"] == "tClientCustomer"
    await page.get_by_role("link", name="chg_").click()
    assert page.url == address


async def test_change_that_raised_nothing_says_which_rule_failed(page: Page, api: Api) -> None:
    await setting(api, fields=["City"], filter={"after.City": "Lund"})
    made = await change(api, before={"City": "Ystad", "Zip": "1"}, after={"City": "Ystad", "Zip": "2"})
    await sign_in(page)
    await page.goto(f"/admin/changes/{made['id']}")

    await shown(page.locator("#verdict")).to_contain_text("It raised nothing")
    await shown(page.get_by_text("No field that counts has changed.")).to_be_visible()
    await shown(page.get_by_role("row", name=re.compile("^changed fields did not match City Zip"))).to_be_visible()
    await shown(page.get_by_role("row", name=re.compile("^filter did not match"))).to_contain_text("after.City eq Lund")
    await page.get_by_role("link", name="Add a setting of CompanyChangedNotification").click()
    await shown(page.get_by_label("Client")).to_have_value("1")
    await shown(page.get_by_label("Entity")).to_have_value("tClientCustomer")


async def test_merged_changes_say_how_many_wait(page: Page, api: Api) -> None:
    await setting(api, coalesce_s=3600)
    for city in ("Lund", "Ystad", "Malmö"):
        made = await change(api, before={"City": "?"}, after={"City": city})
    await sign_in(page)
    await page.goto(f"/admin/changes/{made['id']}")

    await shown(page.get_by_text("3 changes merged so far")).to_be_visible()
    await shown(page.locator("main .badge.wait", has_text="waits")).to_be_visible()


async def test_unmapped_change_leads_to_its_source(page: Page, api: Api) -> None:
    await source(api)
    row = {"before": None, "after": {"id": 1}, "source": {"schema": "public", "table": "cart"}, "op": "c", "ts_ms": 1}
    await api.admin.post("/v1/changes/debezium?source=crm", json=row)
    await change(api, after={"City": "Lund"})
    await sign_in(page)
    await page.goto("/admin/changes")
    await page.get_by_role("link", name="1 unmapped").click()
    await shown(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="public.cart").click()
    await shown(page.locator("#verdict")).to_contain_text("the source crm has no table public.cart")
    await page.locator("#verdict").get_by_role("link", name="crm").click()

    await shown(page.get_by_role("heading", level=1)).to_have_text("crm")
    await shown(page.get_by_role("row", name=re.compile(r"^public\.customer"))).to_contain_text("tClientCustomer")
    await shown(page.get_by_role("link", name="public.cart")).to_be_visible()


async def test_source_with_a_lost_slot_is_an_alert_that_says_what_to_do(page: Page, api: Api) -> None:
    await source(api)
    report = {"state": "slot_lost", "message": "changes after 0/1A may be missing"}
    expect(await api.admin.put("/v1/change-sources/crm/status", json=report), 204)
    await sign_in(page)
    await shown(page.locator(".alerts")).to_contain_text("slot lost")
    await page.get_by_role("link", name="Change source crm").click()

    await shown(page.locator("#reader.bad")).to_contain_text("Changes after 0/1A may be missing.")
    await shown(page.locator("#command-2")).to_contain_text("--source crm --accept-gap")
    expect(await api.admin.put("/v1/change-sources/crm/status", json={"state": "running", "lag_ms": 40}), 204)
    await shown(page.locator("#reader.good")).to_be_visible()  # without a reload
    await shown(page.get_by_text("40 ms")).to_be_visible()


async def test_key_of_one_client_sees_and_changes_its_own_only(page: Page, api: Api) -> None:
    _, key = await api.key("manage", 1)
    own, foreign = await setting(api), await setting(api, client_id=2)
    made = await change(api, client_id=2, after={"City": "Lund"})
    await source(api)
    await source(api, "secret-source", 2)
    await sign_in(page, key["key"])
    for address in (f"types/{TYPE}/settings", f"types/{TYPE}/settings?client_id=", "changes", "sources", "audit"):
        await page.goto(f"/admin/{address}")
        text = await page.content()
        assert foreign["id"] not in text, address
        assert made["id"] not in text, address
        assert "secret-source" not in text, address
    await page.goto(f"/admin/types/{TYPE}/settings")
    await shown(page.locator(f"[id='{own['id']}']")).to_be_visible()
    for address, status in (
        (f"changes/{made['id']}", 404), (f"event-settings/{foreign['id']}/edit", 404), ("sources/secret-source", 404),
        (f"types/{TYPE}/settings?client_id=2", 403), ("changes?client_id=2", 403), ("sources?client_id=2", 403),
    ):  # fmt: skip
        response = await page.goto(f"/admin/{address}")
        assert response is not None
        assert response.status == status, address
    await page.goto(f"/admin/types/{TYPE}/settings/new?client_id=2&entity=tClientCustomer")
    await page.get_by_role("button", name="Add setting").click()
    await shown(page.locator("main .note.bad")).to_be_visible()
    assert len((await api.admin.get("/v1/event-settings")).json()["items"]) == 2


async def test_values_and_names_of_fields_are_shown_and_never_run(page: Page, api: Api) -> None:
    made = await setting(api, fields=[EVIL], filter={f"after.{EVIL}": EVIL})
    changed = await change(api, before={EVIL: "<b>x"}, after={EVIL: EVIL, "Nested": {EVIL: [EVIL]}})
    part = await change(api, "insert", entity="tClientProductSku", key={"PartNo": EVIL}, after={"Name": EVIL})
    await source(api)
    report = {"state": "failing", "message": EVIL, "reported_by": EVIL[:90]}
    expect(await api.admin.put("/v1/change-sources/crm/status", json=report), 204)
    trouble: list[str] = []
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.on("console", lambda message: trouble.append(message.text) if "Content Security" in message.text else None)
    await sign_in(page)
    for address in (
        "events", "changes", f"changes/{changed['id']}", f"changes/{part['id']}", f"types/{TYPE}/settings?client_id=1",
        f"event-settings/{made['id']}/edit", f"types/{TYPE}/settings/new?client_id=1&entity=tClientCustomer", "sources",
        "sources/crm", "audit",
    ):  # fmt: skip
        response = await page.goto(f"/admin/{address}")
        assert response is not None
        assert response.status == 200, address
        assert await page.evaluate("window.hit") is None, address
        assert await page.locator("img[src=x], main script").count() == 0, address
    await page.goto(f"/admin/changes/{changed['id']}")
    await shown(page.get_by_role("group", name="Values").locator("code").first).to_have_text(EVIL)
    await page.goto(f"/admin/event-settings/{made['id']}/edit")
    await page.get_by_role("button", name="Preview").click()
    await shown(page.locator("#preview")).to_contain_text("1 notification")
    assert await page.evaluate("window.hit") is None
    assert not trouble
