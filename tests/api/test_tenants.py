"""Who may do what: every call, every role, own things and another client's; and secrets that never come out again."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from api_server import ADMIN_KEY, Api, Json, example, expect, expect_problem

from commerce_event import logs
from commerce_event.api.openapi import OPERATIONS
from commerce_event.api.operations import Operation
from commerce_event.core.model import Role

OWN_TYPE: Json = {
    "name": "ExportDelivered", "category": "Export", "schema": {"type": "object"}, "example": {"ClientId": 1},
}  # fmt: skip
SETTING: Json = {"event_type": "CustomerChangedNotification", "entity": "tClientCustomer"}
SOURCE: Json = {"tables": {"public.customer": {"entity": "tClientCustomer", "key": {"CustomerId": "id"}}}}
LONG_AGO = "2020-01-01T00:00:00Z"
OWN, FOREIGN = 1, 2
ALLOWED: dict[str, set[str]] = {
    "any": {"admin", "manage", "publish", "read"},
    "publish": {"admin", "manage", "publish"},
    "read": {"admin", "manage", "read"},
    "manage": {"admin", "manage"},
    "admin": {"admin"},
}
KINDS = {
    "events": "event", "deliveries": "delivery", "endpoints": "endpoint", "replays": "replay", "refusals": "refusal",
    "keys": "key", "event-settings": "setting", "changes": "change", "audit": "audit", "incidents": "endpoint",
}  # fmt: skip
UNKNOWN = {
    "event": "evt_", "delivery": "dlv_", "endpoint": "end_", "replay": "rpl_", "refusal": "rfs_", "key": "key_",
    "setting": "set_", "change": "chg_", "audit": "aud_",
}  # fmt: skip
BY_NAME = {operation.name: operation for operation in OPERATIONS}
WITH_ID = [o.name for o in OPERATIONS if "{id}" in o.path]
PUBLISHING = {"reportChangeSource"}
WITH_SOURCE = [o.name for o in OPERATIONS if o.path.startswith("/v1/change-sources/{name}")]
OWN_TYPES = {"createEventType", "changeEventType", "deleteEventType"}
WITHOUT_IDS = {  # tests of their own
    "readActivity", "readNode", "countRefusals", "countChanges", "listEntityFields", "listValidation",
    "listIncidents", "listClients",
}  # fmt: skip
LISTS = [
    o.name
    for o in OPERATIONS
    if o.method == "GET" and "{" not in o.path and o.needs == "read" and o.name not in WITHOUT_IDS
]


class Things(msgspec.Struct):
    """One of each kind, all of one client."""

    client_id: int
    event: str
    delivery: str
    endpoint: str
    replay: str
    refusal: str
    key: str
    setting: str
    source: str
    change: str
    audit: str  # the entry of a change of the endpoint

    def ids(self) -> set[str]:
        return {
            self.event, self.delivery, self.endpoint, self.replay, self.refusal, self.key, self.setting, self.source,
            self.change, self.audit,
        }  # fmt: skip


async def things_of(api: Api, client_id: int) -> Things:
    """Make one of each for a client; its delivery is dead, so that it can be retried."""
    path = f"/{client_id}"
    api.receiver.statuses[path] = 500
    url = api.receiver.url + path
    endpoint = await api.endpoint(client_id, url=url, retry_schedule=[], description=f"marked-{client_id}")
    for _ in range(3):  # so many that it is an incident
        accepted = await api.publish(client_id, FirstName=f"marked-{client_id}", OrderNo=f"SO-{client_id}")
        (delivery,) = await api.until_state("dead", event_id=accepted["id"])
    wanted = {"endpoint_id": endpoint["id"], "since": LONG_AGO, "until": LONG_AGO}
    replay = expect(await api.admin.post("/v1/replays", json=wanted), 202)
    async with asyncio.timeout(60):
        while expect(await api.admin.get(f"/v1/replays/{replay['id']}"), 200)["state"] == "running":
            await asyncio.sleep(0.005)
    wrong = example(client_id=client_id, OrderId=None, FirstName=f"marked-{client_id}")
    expect_problem(await api.admin.post("/v1/events/OrderConfirmedEvent", json=wrong), 422, "/OrderId")
    refused = expect(await api.admin.get("/v1/refusals", params={"client_id": client_id}), 200)["items"][0]
    _, key = await api.key("read", client_id)
    setting = expect(await api.admin.post("/v1/event-settings", json={**SETTING, "client_id": client_id}), 201)
    source = f"source-of-{client_id}"
    expect(await api.admin.put(f"/v1/change-sources/{source}", json={**SOURCE, "client_id": client_id}), 201)
    moved = {"entity": "tClientCompany", "operation": "insert", "key": {"CompanyId": 7}, "after": {"Name": "marked"}}
    change = expect(await api.admin.post("/v1/changes", json={**moved, "client_id": client_id}), 202)
    expect(await api.admin.patch(f"/v1/endpoints/{endpoint['id']}", json={"timeout_s": 2}), 200)
    [entry, *_] = expect(await api.admin.get("/v1/audit", params={"target": endpoint["id"]}), 200)["items"]
    return Things(
        client_id,
        accepted["id"],
        delivery["id"],
        endpoint["id"],
        replay["id"],
        refused["id"],
        key["id"],
        setting["id"],
        source,
        change["id"],
        entry["id"],
    )


async def call(
    caller: httpx.AsyncClient, operation: Operation, things: Things, id_: str | None = None
) -> httpx.Response:
    """Make a call about these things."""
    part = operation.path.split("/")[2]
    found = id_ or (getattr(things, KINDS[part]) if part in KINDS else "")
    name = things.source if part == "change-sources" else "OrderConfirmedEvent"
    path = operation.path.replace("{id}", found).replace("{name}", name).replace("{kind}", "order")
    path = path.replace("{client_id}", str(things.client_id))
    setting, source = {**SETTING, "client_id": things.client_id}, {**SOURCE, "client_id": things.client_id}
    bodies: dict[str, Json] = {
        "startReplay": {"endpoint_id": things.endpoint, "since": LONG_AGO, "until": LONG_AGO},
        "retryDeadLetters": {"delivery_ids": [things.delivery]},
        "discardDeadLetters": {"endpoint_id": things.endpoint, "note": "a test"},
        "countReplay": {"endpoint_id": things.endpoint, "since": LONG_AGO},
        "createEndpoint": {"client_id": things.client_id, "url": "https://a.example/", "event_types": ["*"]},
        "changeEndpoint": {"description": "changed"},
        "previewEndpoint": {"client_id": things.client_id, "event_types": ["*"]},
        "createKey": {"role": "admin"},
        "nameClient": {"name": f"marked-{things.client_id}"},
        "createPortalLink": {"client_id": things.client_id, "expires_in_s": 60},
        "createEventType": OWN_TYPE,
        "changeEventType": {name: OWN_TYPE[name] for name in ("schema", "example")},
        "createEventSetting": setting,
        "changeEventSetting": {"coalesce_s": 5},
        "previewEventSetting": {"setting": setting},
        "createChangeSource": {"name": "another", **source},
        "putChangeSource": source,
        "reportChangeSource": {"state": "running"},
        "setSourcePosition": {"position": "1"},
        "setValidation": {"client_id": things.client_id, "event_type": "*", "mode": "warn"},
    }
    query: Json | None = (
        {"client_id": things.client_id, "event_type": "*"} if operation.name == "removeValidation" else None
    )
    if query is not None:
        await caller.put(path, json=bodies["setValidation"])
    if operation.name == "readTimeline":
        query = {"value": f"SO-{things.client_id}"}
    if operation.name == "listEntityFields":
        query = {"client_id": things.client_id, "entity": SETTING["entity"]}
    return await caller.request(operation.method, path, params=query, json=bodies.get(operation.name))


@pytest.mark.parametrize("name", BY_NAME)
async def test_call_accepts_exactly_the_roles_that_it_needs(api: Api, name: str) -> None:
    operation = BY_NAME[name]
    things = await things_of(api, OWN)
    roles: list[Role] = ["publish", "read", "manage", "admin"]
    for role in roles:
        caller, _ = await api.key(role, *(() if role == "admin" else (OWN,)))
        if role in ALLOWED[operation.needs]:
            response = await call(caller, operation, things)
            assert response.status_code in {*operation.answers, 409}, response.text  # 409: in no state for it
            break
        expect_problem(await call(caller, operation, things), 403)
    expect_problem(await call(await api.caller(None), operation, things), 401)


def test_calls_need_the_expected_roles() -> None:
    needs = {operation.name: operation.needs for operation in OPERATIONS}
    for operation in OPERATIONS:
        if operation.tag == "Keys" or operation.name in {"readStore", *OWN_TYPES}:
            assert needs.pop(operation.name) == "admin"
        elif operation.name in PUBLISHING:
            assert needs.pop(operation.name) == "publish"
        elif operation.method != "GET":
            assert needs.pop(operation.name) == "manage"
        elif operation.path.startswith("/v1/event-types") or operation.name == "getChangeSource":
            assert needs.pop(operation.name) == "any"
    assert set(needs.values()) == {"read"}


@pytest.mark.parametrize("name", WITH_ID)
async def test_foreign_id_answers_like_an_unknown_id(api: Api, name: str) -> None:
    operation = BY_NAME[name]
    foreign = await things_of(api, FOREIGN)
    before = await snapshot(api)
    prefix = UNKNOWN[KINDS[operation.path.split("/")[2]]]
    for role in ALLOWED[operation.needs] - {"admin"}:
        caller, _ = await api.key(role, OWN)  # type: ignore[arg-type]
        answered = await call(caller, operation, foreign)
        unknown = await call(caller, operation, foreign, f"{prefix}7zzzzzzzzzzzz")
        expect_problem(answered, 404)
        assert answered.content == unknown.content
        drop = {"date"}
        assert {n: v for n, v in answered.headers.items() if n not in drop} == {
            n: v for n, v in unknown.headers.items() if n not in drop
        }
    assert await snapshot(api) == before


async def snapshot(api: Api) -> list[Any]:
    """Return everything that a call might have changed."""
    paths = (
        "/v1/endpoints", "/v1/deliveries", "/v1/replays", "/v1/events", "/v1/refusals", "/v1/event-settings",
        "/v1/change-sources", "/v1/changes",
    )  # fmt: skip
    found = [expect(await api.admin.get(path, params={"limit": 200}), 200)["items"] for path in paths]
    return [[{**each, "endpoint_health": None} for each in items] for items in found]  # the health changes by itself


@pytest.mark.parametrize("name", LISTS)
async def test_lists_show_nothing_of_another_client(api: Api, name: str) -> None:
    operation = BY_NAME[name]
    own, foreign = await things_of(api, OWN), await things_of(api, FOREIGN)
    caller, _ = await api.key("manage", OWN)
    queries: list[Json] = [{}]
    if "limit" in operation.query.__struct_fields__:
        queries.append({"limit": 1})
    if "client_id" in operation.query.__struct_fields__:
        expect_problem(await caller.get(operation.path, params={"client_id": FOREIGN}), 403)
        queries.append({"client_id": OWN})
    queries += [
        {f: getattr(foreign, f[:-3])}
        for f in ("endpoint_id", "event_id", "replay_id")
        if f in operation.query.__struct_fields__
    ]
    if "q" in operation.query.__struct_fields__:
        queries += [{"q": "marked-2"}, {"q": "marked"}]
    if "state" in operation.query.__struct_fields__:
        queries.append({"state": "open" if name == "listRefusals" else "dead"})
    if "expand" in operation.query.__struct_fields__:
        queries.append({"expand": True})
    if "counts" in operation.query.__struct_fields__:
        queries.append({"counts": False})
    if "recounted" in operation.query.__struct_fields__:
        await api.node.maintenance.counts.verify()
        queries.append({"recounted": True})
    for query in queries:
        response = await caller.get(operation.path, params=query)
        expect(response, 200)
        assert not [each for each in foreign.ids() if each in response.text], query
        assert "marked-2" not in response.text
    everything = (await caller.get(operation.path)).text
    assert any(each in everything for each in own.ids())


async def test_cursor_of_another_clients_list_shows_nothing_of_it(api: Api) -> None:
    for client_id in (OWN, FOREIGN, OWN, FOREIGN):
        await api.publish(client_id)
    cursor = expect(await api.admin.get("/v1/events", params={"limit": 1}), 200)["next_cursor"]
    caller, _ = await api.key("read", OWN)
    page = expect(await caller.get("/v1/events", params={"cursor": cursor}), 200)
    assert {event["client_id"] for event in page["items"]} == {OWN}


async def test_reconciliation_of_another_client_is_refused(api: Api) -> None:
    await api.publish(FOREIGN)
    caller, _ = await api.key("read", OWN)
    for wait in ({}, {"wait_s": 30}):
        query = {"client_id": FOREIGN, "after": 0, **wait}
        expect_problem(await caller.get("/v1/events", params=query), 403)


async def test_replay_to_a_foreign_endpoint_answers_like_an_unknown_endpoint(api: Api) -> None:
    foreign = await things_of(api, FOREIGN)
    caller, _ = await api.key("manage", OWN)
    answers = [
        await caller.post("/v1/replays", json={"endpoint_id": each, "since": LONG_AGO})
        for each in (foreign.endpoint, "end_7zzzzzzzzzzzz")
    ]
    expect_problem(answers[0], 404)
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(("call_name", "rest"), [("retry", {}), ("discard", {"note": "a test"})])
async def test_dead_letters_of_another_client_answer_like_unknown_ones(api: Api, call_name: str, rest: Json) -> None:
    foreign = await things_of(api, FOREIGN)
    before = await snapshot(api)
    caller, _ = await api.key("manage", OWN)
    path = f"/v1/dead-letters/{call_name}"
    of_endpoint = [
        await caller.post(path, json={"endpoint_id": each, **rest}) for each in (foreign.endpoint, "end_7zzzzzzzzzzzz")
    ]
    expect_problem(of_endpoint[0], 404)
    assert of_endpoint[0].content == of_endpoint[1].content
    by_id = [
        await caller.post(path, json={"delivery_ids": [each], **rest})
        for each in (foreign.delivery, "dlv_7zzzzzzzzzzzz")
    ]
    expect_problem(by_id[0], 404)
    assert by_id[0].text.replace(foreign.delivery, "") == by_id[1].text.replace("dlv_7zzzzzzzzzzzz", "")
    assert await snapshot(api) == before


@pytest.mark.parametrize("name", WITH_SOURCE)
async def test_source_of_another_client_answers_like_an_unknown_one(api: Api, name: str) -> None:
    operation = BY_NAME[name]
    foreign = await things_of(api, FOREIGN)
    unknown = msgspec.structs.replace(foreign, source="unknown")
    before = await snapshot(api)
    for role in ALLOWED[operation.needs] - {"admin"}:
        caller, _ = await api.key(role, OWN)  # type: ignore[arg-type]
        answered = await call(caller, operation, foreign)
        expect_problem(answered, 403 if name == "putChangeSource" else 404)
        assert answered.content == (await call(caller, operation, unknown)).content
    assert await snapshot(api) == before


async def test_endpoint_for_another_client_is_refused(api: Api) -> None:
    caller, _ = await api.key("manage", OWN)
    wanted = {"client_id": FOREIGN, "url": "https://a.example/", "event_types": ["*"]}
    expect_problem(await caller.post("/v1/endpoints", json=wanted), 403)
    assert expect(await api.admin.get("/v1/endpoints"), 200)["items"] == []


async def test_same_idempotency_key_of_two_clients_is_no_conflict(api: Api) -> None:
    headers = {"Idempotency-Key": "shared"}
    await api.admin.post("/v1/events/OrderConfirmedEvent", json=example(client_id=FOREIGN), headers=headers)
    publisher, _ = await api.key("publish", OWN)
    response = await publisher.post("/v1/events/OrderConfirmedEvent", json=example(client_id=OWN), headers=headers)
    assert expect(response, 202)["duplicate"] is False


@pytest.fixture(params=["text", "json"])
def log_output(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Log as the server does, and return what it wrote."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure(request.param)
    structlog.configure(cache_logger_on_first_use=False)
    yield lambda: "".join(capfd.readouterr())
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


async def test_secrets_are_in_no_answer_log_or_file(
    api: Api, tmp_path: Path, log_output: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "canary-static-header"
    made = await api.endpoint(headers={"X-Token": header}, retry_schedule=[])
    dead = await api.endpoint(headers={"X-Token": header}, url=f"{api.url}/x", retry_schedule=[])
    manager, key = await api.key("manage", OWN)
    rotated = expect(await api.admin.post(f"/v1/endpoints/{made['id']}/rotate-secret"), 200)
    canaries = [header, made["secret"], dead["secret"], rotated["secret"], key["key"], ADMIN_KEY]
    accepted = await api.publish()
    async with asyncio.timeout(60):
        while any(each["state"] == "pending" for each in await api.deliveries()):
            await asyncio.sleep(0.005)
    texts: list[str] = []
    things = Things(
        OWN,
        accepted["id"],
        (await api.deliveries())[0]["id"],
        made["id"],
        "rpl_7zzzzzzzzzzzz",
        "rfs_7zzzzzzzzzzzz",
        key["id"],
        "set_7zzzzzzzzzzzz",
        "source-of-1",
        "chg_7zzzzzzzzzzzz",
        "aud_7zzzzzzzzzzzz",
    )
    once = {"createKey", "createEndpoint", "rotateSecret", "deleteEndpoint", "revokeKey"}
    for operation in OPERATIONS:
        if operation.name not in once:
            for caller in (api.admin, manager):
                response = await call(caller, operation, things)
                texts += [response.text, str(response.headers)]
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/nothing"):
        texts.append((await api.admin.get(path)).text)
    expect(await api.admin.post(f"/v1/endpoints/{dead['id']}/test"), 200)
    wrong = {"client_id": 1, "url": "http://10.0.0.1/", "event_types": ["*"], "headers": {"X-Token": header}}
    texts.append((await api.admin.post("/v1/endpoints", json=wrong)).text)
    texts.append(
        (await api.admin.patch(f"/v1/endpoints/{made['id']}", json={"headers": {"X-Token": f"{header}\n"}})).text
    )

    async def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("no reason")

    monkeypatch.setattr(type(api.node.registry), "_save", broken)
    failed = await api.admin.patch(f"/v1/endpoints/{made['id']}", json={"headers": {"X-Token": header}})
    expect_problem(failed, 500)
    texts.append(failed.text)
    logged = log_output()
    assert "unexpected error" in logged
    texts += [logged, repr(api.node.settings), json.dumps(await api.deliveries())]
    for canary in canaries:
        assert not [text[:2_000] for text in texts if canary in text], canary
        bare = canary.partition("_")[2] or canary
        assert not files_with(tmp_path, bare.encode()), canary


def files_with(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if text in path.read_bytes()]
