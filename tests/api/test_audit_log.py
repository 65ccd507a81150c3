"""Who changed what: every change through the API or the screens leaves an entry, and nobody else's is shown."""

import asyncio

import pytest
from api_server import Api, Json, expect, expect_problem
from structlog.testing import capture_logs

from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite.audit_log import SqliteAuditLog


async def test_every_change_leaves_an_entry_with_its_key(api: Api) -> None:
    manager, key = await api.key("manage", 1)
    api.receiver.status = 500
    wanted = {"client_id": 1, "url": api.receiver.url, "event_types": ["*"], "retry_schedule": []}
    made = expect(await manager.post("/v1/endpoints", json=wanted), 201)
    path = f"/v1/endpoints/{made['id']}"
    await api.publish()
    [delivery] = await api.until_state("dead")
    expect(await manager.post(f"{path}/test"), 200)
    api.receiver.hold()
    replay = {"endpoint_id": made["id"], "since": "2020-01-01T00:00:00Z"}
    for response, status in (
        (await manager.patch(path, json={"description": "d"}), 200),
        (await manager.post(f"{path}/rotate-secret"), 200),
        (await manager.post(f"/v1/deliveries/{delivery['id']}/retry"), 202),
        (await manager.post(f"/v1/deliveries/{delivery['id']}/cancel"), 200),
        (await manager.post("/v1/replays", json=replay), 202),
        (await manager.delete(path), 204),
    ):
        assert response.status_code == status, response.text
    api.receiver.release()

    found = expect(await manager.get("/v1/audit"), 200)["items"]

    assert [each["action"] for each in reversed(found)] == [
        "createEndpoint",
        "testEndpoint",
        "changeEndpoint",
        "rotateSecret",
        "retryDelivery",
        "cancelDelivery",
        "startReplay",
        "deleteEndpoint",
    ]
    assert {each["key_id"] for each in found} == {key["id"]}
    assert {each["client_id"] for each in found} == {1}
    of_endpoint = expect(await manager.get("/v1/audit", params={"target": made["id"]}), 200)["items"]
    assert len(of_endpoint) == 5
    assert "whsec_" not in (await manager.get("/v1/audit")).text


async def test_the_log_names_keys_as_the_audit_log_does(api: Api) -> None:
    manager, key = await api.key("manage", 1)
    with capture_logs() as logged:
        wanted = {"client_id": 1, "url": api.receiver.url, "event_types": ["*"]}
        expect(await manager.post("/v1/endpoints", json=wanted), 201)
        await api.endpoint()

    assert [entry["key"] for entry in logged if entry["event"] == "changed"] == [key["id"], "operator"]


async def test_what_was_refused_or_only_read_leaves_none(api: Api) -> None:
    made = await api.endpoint()
    expect(await api.admin.get(f"/v1/endpoints/{made['id']}"), 200)
    expect_problem(await api.admin.patch(f"/v1/endpoints/{made['id']}", json={"url": "ftp://x"}), 422, "/url")

    assert [each["action"] for each in expect(await api.admin.get("/v1/audit"), 200)["items"]] == ["createEndpoint"]


async def test_entries_of_other_clients_and_of_keys_are_out_of_reach(api: Api) -> None:
    await api.endpoint(client_id=2)
    reader, _ = await api.key("read", 1)

    assert expect(await reader.get("/v1/audit"), 200)["items"] == []
    expect_problem(await reader.get("/v1/audit", params={"client_id": 2}), 403)
    actions = [each["action"] for each in expect(await api.admin.get("/v1/audit"), 200)["items"]]
    assert actions == ["createKey", "createEndpoint"]


async def test_a_change_whose_entry_cannot_be_stored_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(SqliteAuditLog, "add", full)
    made = await api.endpoint()

    expect(await api.admin.get(f"/v1/endpoints/{made['id']}"), 200)


async def newest(api: Api, target: str) -> Json:
    entries: list[Json] = expect(await api.admin.get("/v1/audit", params={"target": target}), 200)["items"]
    return entries[0]


async def test_entry_has_the_values_before_and_after_with_secrets_masked(api: Api) -> None:
    made = await api.endpoint(description="ERP", headers={"X-Token": "canary-1"})
    path = f"/v1/endpoints/{made['id']}"
    expect(await api.admin.patch(path, json={"headers": {"X-Token": "canary-2"}, "timeout_s": 7}), 200)
    changed = await newest(api, made["id"])
    expect(await api.admin.post(f"{path}/rotate-secret"), 200)
    rotated = await newest(api, made["id"])

    assert {each["field"]: (each["before"], each["after"]) for each in changed["changes"]} == {
        "timeout_s": (None, 7),
        "headers.X-Token": ("***", "***"),
    }
    assert (changed["name"], changed["automatic"]) == ("ERP", False)
    assert rotated["changes"] == [{"field": "secret", "before": "***", "after": "***"}]
    assert (await api.admin.get(f"/v1/audit/{changed['id']}")).json() == changed
    text = (await api.admin.get("/v1/audit")).text
    assert "canary" not in text
    assert "whsec_" not in text


async def test_restore_puts_the_values_of_an_endpoint_back_and_is_an_entry(api: Api) -> None:
    made = await api.endpoint(description="ERP", headers={"X-Token": "kept"}, event_types=["*"])
    path = f"/v1/endpoints/{made['id']}"
    change = {"event_types": ["Order"], "timeout_s": 7, "paused": True, "headers": {"X-Token": "new"}}
    expect(await api.admin.patch(path, json=change), 200)
    entry = await newest(api, made["id"])
    assert entry["restorable"]

    restored = expect(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 200)

    assert (set(restored["restored"]), restored["left_out"]) == (
        {"event_types", "timeout_s", "paused"},
        ["headers.X-Token"],
    )
    now = expect(await api.admin.get(path), 200)
    assert (now["event_types"], now["timeout_s"], now["paused"]) == (["*"], None, False)
    own = await newest(api, made["id"])
    assert own["action"] == "restoreAuditEntry"
    assert {each["field"] for each in own["changes"]} == {"event_types", "timeout_s", "paused"}
    expect(await api.admin.post(f"/v1/audit/{own['id']}/restore"), 200)  # and back again
    assert expect(await api.admin.get(path), 200)["paused"] is True


async def test_restore_of_a_field_that_was_changed_again_is_refused(api: Api) -> None:
    made = await api.endpoint()
    path = f"/v1/endpoints/{made['id']}"
    expect(await api.admin.patch(path, json={"timeout_s": 7}), 200)
    entry = await newest(api, made["id"])
    expect(await api.admin.patch(path, json={"timeout_s": 8}), 200)

    problem = expect_problem(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 409)

    assert problem["detail"] == "Changed again since then: timeout_s. Change it by hand."
    assert expect(await api.admin.get(path), 200)["timeout_s"] == 8


async def test_restore_of_what_the_log_does_not_keep_is_refused(api: Api) -> None:
    made = await api.endpoint()
    path = f"/v1/endpoints/{made['id']}"
    created = await newest(api, made["id"])
    expect(await api.admin.patch(path, json={"headers": {"X-Token": "new"}}), 200)
    masked = await newest(api, made["id"])
    expect(await api.admin.patch(path, json={"timeout_s": 7}), 200)
    changed = await newest(api, made["id"])
    expect(await api.admin.delete(path), 204)

    for entry in (created, masked, changed):
        expect_problem(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 409)
    assert [each["restorable"] for each in (created, masked, changed)] == [False, False, True]
    expect_problem(await api.admin.post("/v1/audit/aud_7zzzzzzzzzzzz/restore"), 404)
    reader, _ = await api.key("read", 1)
    expect_problem(await reader.post(f"/v1/audit/{changed['id']}/restore"), 403)


async def test_restore_puts_an_event_setting_back(api: Api) -> None:
    wanted = {"client_id": 1, "event_type": "CustomerChangedNotification", "entity": "tClientCustomer"}
    made = expect(await api.admin.post("/v1/event-settings", json=wanted), 201)
    path = f"/v1/event-settings/{made['id']}"
    expect(await api.admin.patch(path, json={"enabled": False, "coalesce_s": 60}), 200)
    entry = await newest(api, made["id"])

    restored = expect(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 200)

    assert restored["event_setting"]["enabled"] is True
    now = expect(await api.admin.get(path), 200)
    assert (now["enabled"], now["coalesce_s"]) == (True, 0)
    assert (await newest(api, made["id"]))["action"] == "restoreAuditEntry"


async def test_switch_off_after_410_is_an_automatic_entry_that_can_be_put_back(api: Api) -> None:
    made = await api.endpoint(description="ERP")
    api.receiver.status = 410
    await api.publish()
    await api.until_state("dead")
    async with asyncio.timeout(60):
        while (entry := await newest(api, made["id"]))["action"] == "createEndpoint":
            await asyncio.sleep(0.005)

    assert (entry["automatic"], entry["key_id"]) == (True, None)
    assert entry["sentence"] == "Switched off ERP (the receiver answered 410 Gone)"
    restored = expect(await api.admin.post(f"/v1/audit/{entry['id']}/restore"), 200)
    assert (restored["endpoint"]["enabled"], restored["endpoint"]["disabled_reason"]) == (True, None)
