"""Keys, the catalogue, health, metrics, and what is the same for every call."""

import asyncio
import re
from pathlib import Path

import apsw
import httpx
import pytest
from api_server import ADMIN_KEY, Api, Json, example, expect, expect_problem, running_api

from commerce_event.api import readiness
from commerce_event.api.openapi import OPERATIONS
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.store.port import StoreUnavailableError

ROOT = Path(__file__).parents[2]
PLAIN = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/openapi.yaml"]
PATHS = sorted({operation.path for operation in OPERATIONS})


async def test_a_key_is_shown_once(api: Api) -> None:
    made = expect(await api.admin.post("/v1/keys", json={"role": "read", "client_ids": [1, 2, 1], "name": "erp"}), 201)
    assert set(made) == {
        "id", "role", "client_ids", "name", "created_at", "revoked_at", "expires_at", "last_used_at", "state", "warning",
        "key",
    }  # fmt: skip
    assert made["client_ids"] == [1, 2]
    response = await api.admin.get("/v1/keys")
    assert made["key"] not in response.text
    del made["key"]
    assert expect(response, 200)["items"] == [made]


async def test_a_revoked_key_stops_working_at_once_for_every_call(api: Api) -> None:
    caller, made = await api.key("manage", 1)
    publisher, published = await api.key("publish", 1)
    expect(await caller.get("/v1/events"), 200)
    expect(await publisher.post("/v1/events/OrderConfirmedEvent", json=example()), 202)
    for key in (made, published):
        expect(await api.admin.delete(f"/v1/keys/{key['id']}"), 204)
        expect(await api.admin.delete(f"/v1/keys/{key['id']}"), 204)
    expect_problem(await caller.get("/v1/events"), 401)
    expect_problem(await publisher.post("/v1/events/OrderConfirmedEvent", json=example()), 401)
    expect_problem(await publisher.post("/v1/events", json=[]), 401)
    revoked = expect(await api.admin.get("/v1/keys"), 200)["items"]
    assert all(key["revoked_at"] for key in revoked)


async def test_the_operators_key_works_beside_the_stored_ones_and_is_not_listed(api: Api) -> None:
    assert expect(await api.admin.get("/v1/keys"), 200)["items"] == []
    other, _ = await api.key("admin")
    expect(await other.get("/v1/keys"), 200)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "owner"}, "/role"),
        ({}, "/role"),
        ({"role": "read"}, "/client_ids"),
        ({"role": "read", "client_ids": []}, "/client_ids"),
        ({"role": "read", "client_ids": ["1"]}, "/client_ids/0"),
        ({"role": "read", "client_ids": None}, "/client_ids"),
        ({"role": "admin", "client_ids": [1]}, "/client_ids"),
        ({"role": "admin", "name": "x" * 101}, "/name"),
        ({"role": "admin", "key": "mine"}, "/key"),
        ({"role": "read", "client_ids": [2**31]}, "/client_ids/0"),
        ({"role": "read", "client_ids": [2**64]}, "/client_ids/0"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(api: Api, body: Json, pointer: str) -> None:
    expect_problem(await api.admin.post("/v1/keys", json=body), 422, pointer)


async def test_the_catalogue_lists_every_type_and_shows_each(api: Api) -> None:
    reader, _ = await api.key("publish", 1)
    listed = expect(await reader.get("/v1/event-types"), 200)["items"]
    assert [each["name"] for each in listed] == list(EVENT_TYPES)
    for each in listed:
        assert set(each) == {"name", "category", "kind", "description", "schema", "example", "own"}
        assert expect(await reader.get(f"/v1/event-types/{each['name']}"), 200) == each
    problem = expect_problem(await reader.get("/v1/event-types/OrderConfirmdEvent"), 404)
    assert problem["detail"] == "There is no event type 'OrderConfirmdEvent'; did you mean OrderConfirmedEvent?"
    problem = expect_problem(await reader.get(f"/v1/event-types/{'X' * 5_000}"), 404)
    assert problem["detail"].endswith("; GET /v1/event-types lists the names.")


async def test_delivery_counts_balance(api: Api) -> None:
    made = await api.endpoint()
    await api.publish()
    await api.until_state("delivered")
    books = expect(await api.admin.get("/v1/books"), 200)
    assert books["balanced"] is True
    (book,) = books["items"]
    assert (book["endpoint_id"], book["matched"], book["delivered"], book["difference"]) == (made["id"], 1, 1, 0)


async def test_health_needs_no_key(api: Api) -> None:
    stranger = await api.caller(None)
    assert expect(await stranger.get("/healthz"), 200) == {"status": "alive"}
    assert expect(await stranger.get("/readyz"), 200) == {"status": "ready"}


async def test_a_store_that_does_not_answer_makes_it_unready_and_says_when_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_kwargs: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(api.node.store.journal, "check_writable", broken)
    monkeypatch.setattr(api.node.store.journal, "accept", broken)
    response = await api.admin.get("/readyz")
    expect_problem(response, 503)
    response = await api.admin.post("/v1/events/OrderConfirmedEvent", json=example())
    expect_problem(response, 503)
    assert response.headers["retry-after"].isdigit()
    expect_problem(await api.admin.post("/v1/events", json=[{"type": "OrderConfirmedEvent", "data": example()}]), 503)
    expect(await api.admin.get("/healthz"), 200)


async def test_readyz_while_another_program_holds_the_write_lock_is_503(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As publishing would be: that program may be a backup, or a user's shell."""
    monkeypatch.setattr(readiness, "_WAIT_S", 0.05)
    monkeypatch.setattr(readiness, "_KEPT_S", 0.0)
    other = apsw.Connection((await api.node.store.info()).location)
    other.set_busy_timeout(10_000)  # the node may write just now
    other.execute("BEGIN IMMEDIATE")
    refused = expect_problem(await api.admin.get("/readyz"), 503)
    assert "another program" in refused["detail"]
    other.execute("ROLLBACK")
    other.close()
    monkeypatch.setattr(readiness, "_WAIT_S", 60.0)
    expect(await api.admin.get("/readyz"), 200)


async def test_readyz_asked_often_tries_the_store_once_a_second(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def counted() -> None:
        tries.append(1)

    monkeypatch.setattr(api.node.store.journal, "check_writable", counted)
    monkeypatch.setattr(readiness, "_KEPT_S", 0.0)
    expect(await api.admin.get("/readyz"), 200)
    monkeypatch.setattr(readiness, "_KEPT_S", 3_600.0)
    for _ in range(5):
        expect(await api.admin.get("/readyz"), 200)
    assert len(tries) == 1


async def test_deliveries_that_have_stopped_make_it_unready(api: Api) -> None:
    await api.node.dispatcher.close(1)
    expect_problem(await api.admin.get("/readyz"), 503)


async def test_unexpected_error_is_a_500_with_an_incident_number_and_no_internals(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("canary of the inside")

    monkeypatch.setattr(api.node.store.journal, "accept", broken)
    monkeypatch.setattr(api.node.store.history, "events", broken)
    publish = api.admin.post("/v1/events/OrderConfirmedEvent", json=example())
    for response in await asyncio.gather(publish, api.admin.get("/v1/events")):
        assert "incident" in expect_problem(response, 500)["detail"]
        assert "canary" not in response.text


async def test_metrics_count_what_flows(api: Api) -> None:
    made = await api.endpoint()
    await api.publish()
    await api.until_state("delivered")
    await api.admin.post("/v1/events/OrderConfirmedEvent", json={})
    response = await api.admin.get("/metrics")
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    lines = response.text.splitlines()
    assert lines[-1] == "# EOF"
    assert "commerce_event_accepted_events_total 1.0" in lines
    reason = 'reason="the-event-breaks-the-contract",type="OrderConfirmedEvent"'
    assert f"commerce_event_refused_events_total{{{reason}}} 1.0" in lines
    assert 'commerce_event_attempts_total{outcome="delivered"} 1.0' in lines
    assert 'commerce_event_attempt_duration_seconds_bucket{le="+Inf"} 1.0' in lines
    assert 'commerce_event_attempt_duration_seconds_bucket{le="30.0"} 1.0' in lines
    assert "commerce_event_attempt_duration_seconds_count 1.0" in lines
    assert "commerce_event_clock_jumps_total 0.0" in lines
    assert "commerce_event_unclean_starts_total 0.0" in lines
    assert any(line.startswith("commerce_event_disk_free_bytes ") for line in lines)
    assert any(line.startswith("commerce_event_loop_stalls_total ") for line in lines)
    assert made["url"] not in response.text


async def test_the_page_on_metrics_names_each_and_no_other(api: Api) -> None:
    await api.endpoint()
    await api.publish()
    await api.until_state("delivered")
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(commerce_event_\w+)", page, re.MULTILINE))

    shown = re.findall(r"^# TYPE (\w+) (\w+)$", (await api.admin.get("/metrics")).text, re.MULTILINE)

    assert {f"{name}_total" if kind == "counter" else name for name, kind in shown} == documented


async def test_every_item_of_a_batch_is_counted_once(api: Api) -> None:
    item = {"type": "OrderConfirmedEvent", "data": example(), "id": "k"}
    expect(await api.admin.post("/v1/events", json=[item, item, {"type": "Nothing", "data": {}}]), 200)
    lines = (await api.admin.get("/metrics")).text.splitlines()
    refused = 'refused_events_total{reason="unknown-event-type",type="unknown"}'
    for name in ("accepted_events_total", "duplicate_events_total", refused):
        assert f"commerce_event_{name} 1.0" in lines


@pytest.mark.parametrize("path", [*PATHS, *PLAIN])
async def test_a_method_that_is_not_there_is_answered_with_those_that_are(api: Api, path: str) -> None:
    response = await api.admin.request("TRACE", path)
    expect_problem(response, 405)
    there = {operation.method for operation in OPERATIONS if operation.path == path} or {"GET"}
    if path in {"/v1/events", "/v1/events/{id}", "/v1/changes"}:
        there.add("POST")
    allowed = {method.strip() for method in response.headers["allow"].split(",")}
    assert allowed - {"HEAD"} == there


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/nothing", "/v1/events/a/b/c", "/V1/events", "//v1/events", "/v1/events/%2e%2e/keys/x"],
)
async def test_an_address_that_is_not_there_is_a_problem(api: Api, path: str) -> None:
    response = await api.admin.get(httpx.URL(api.url).copy_with(raw_path=path.encode()))
    expect_problem(response, 404)


async def test_a_slash_at_the_end_leads_nowhere_else(api: Api) -> None:
    response = await api.admin.get("/v1/events/", headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "location" not in response.headers


@pytest.mark.parametrize("path", ["/v1/events", "/v1/endpoints", "/v1/event-types", "/healthz", "/readyz", "/metrics"])
async def test_head_is_get_without_a_body(api: Api, path: str) -> None:
    response = await api.admin.head(path)
    got = await api.admin.get(path)
    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["content-type"] == got.headers["content-type"]


async def test_no_answer_is_cached_or_guessed_at(api: Api) -> None:
    for caller in (api.admin, await api.caller(None)):
        for path in (*PATHS, *PLAIN, "/nothing"):
            response = await caller.get(path)
            assert response.headers.get("cache-control") == "no-store", path
            assert response.headers["x-content-type-options"] == "nosniff", path
            assert "server" not in response.headers


async def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    one = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    writer.write(one * 3 + last)
    async with asyncio.timeout(60):
        answered = await reader.read()
    writer.close()
    assert answered.count(b"HTTP/1.1 200 OK") == 3
    assert answered.count(b"HTTP/1.1 404 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/events/X HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/events/X HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"POST /v1/events/X HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events/X HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n12345",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\nY: \x00\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_smuggled_request_is_refused_and_the_connection_closed(api: Api, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head)
    async with asyncio.timeout(60):
        answered = await reader.read()
    writer.close()
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1 ") == 1


async def test_type_of_a_problem_leads_to_what_it_means(api: Api) -> None:
    stranger = await api.caller(None)
    problem = expect_problem(await stranger.get("/v1/events"), 401)

    explained = expect(await stranger.get(problem["type"]), 200)

    assert explained["title"] == problem["title"]
    assert explained["remedy"] == "Send Authorization: Bearer KEY."
    expect_problem(await stranger.get("/problems/none-of-ours"), 404)


async def test_key_without_bearer_before_it_is_told_so(api: Api) -> None:
    stranger = await api.caller(None)
    answer = await stranger.get("/v1/events", headers={"Authorization": ADMIN_KEY})

    assert expect_problem(answer, 401)["detail"] == "Write Bearer before the key: Authorization: Bearer KEY."


async def test_last_admin_key_and_ones_own_are_revoked_only_by_force(tmp_path: Path) -> None:
    async with running_api(tmp_path, admin_key=None) as api:
        admin = await api.caller(api.node.first_key)
        [own] = expect(await admin.get("/v1/keys"), 200)["items"]
        last = expect_problem(await admin.delete(f"/v1/keys/{own['id']}"), 409)
        other = expect(await admin.post("/v1/keys", json={"role": "admin"}), 201)
        still_own = expect_problem(await admin.delete(f"/v1/keys/{own['id']}"), 409)

        assert last["detail"].startswith("This is the last admin key")
        assert still_own["detail"].startswith("This is the key of this request")
        assert (await admin.delete(f"/v1/keys/{other['id']}")).status_code == 204
        assert (await admin.delete(f"/v1/keys/{own['id']}?force=true")).status_code == 204
        expect_problem(await admin.get("/v1/keys"), 401)


async def test_what_is_made_says_where_it_is(api: Api) -> None:
    endpoint = await api.admin.post(
        "/v1/endpoints", json={"client_id": 1, "url": "https://erp.example/", "event_types": ["*"]}
    )
    path = endpoint.headers["location"]
    assert expect(await api.admin.get(path), 200)["id"] == expect(endpoint, 201)["id"]
    body = {"endpoint_id": endpoint.json()["id"], "since": "2020-01-01T00:00:00Z"}
    replay = await api.admin.post("/v1/replays", json=body)
    assert expect(await api.admin.get(replay.headers["location"]), 200)["id"] == expect(replay, 202)["id"]


async def test_server_that_holds_deliveries_sends_no_test_either(tmp_path: Path) -> None:
    async with running_api(tmp_path, hold_deliveries=True) as api:
        made = await api.endpoint()
        problem = expect_problem(await api.admin.post(f"/v1/endpoints/{made['id']}/test"), 409)

        assert "--hold-deliveries" in problem["detail"]
        assert api.receiver.arrived == []


TEXT_TYPE, OPENMETRICS_TYPE = "text/plain", "application/openmetrics-text"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", OPENMETRICS_TYPE),
        ("*/*", OPENMETRICS_TYPE),
        ("text/html,*/*;q=0.8", OPENMETRICS_TYPE),
        ("text/plain", TEXT_TYPE),
        ("text/plain; version=0.0.4", TEXT_TYPE),
        ("TEXT/PLAIN;q=0.5, application/json", TEXT_TYPE),
        ("text/*", TEXT_TYPE),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", TEXT_TYPE),
        ("application/openmetrics-text;q=0, */*", TEXT_TYPE),
        ("text/plain;q=x", OPENMETRICS_TYPE),
    ],
)
async def test_metrics_are_in_the_format_that_accept_prefers(api: Api, accept: str, media_type: str) -> None:
    response = await api.admin.get("/metrics", headers={"Accept": accept})

    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.headers["vary"] == "Accept"
    assert response.text.endswith("# EOF\n") == (media_type == OPENMETRICS_TYPE)
    if media_type == TEXT_TYPE:
        assert "version=0.0.4" in response.headers["content-type"]
    assert "commerce_event_accepted_events_total 0.0" in response.text
