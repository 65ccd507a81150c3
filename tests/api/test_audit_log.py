"""Who changed what: every change through the API or the screens leaves an entry, and nobody else's is shown."""

import pytest
from api_server import Api, expect, expect_problem
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
