"""Related data of rows: expand, counts and totals, and the statistics of all endpoints in one call."""

from api_server import Api, Json, expect, expect_problem

from commerce_event.api.response_models import MASK


async def failed_and_delivered(api: Api) -> tuple[str, str]:
    """Publish one event to an endpoint that fails and to one that accepts; return both endpoint ids."""
    api.receiver.statuses["/bad"] = 500
    bad = await api.endpoint(url=f"{api.receiver.url}/bad", description="bad", retry_schedule=[])
    good = await api.endpoint(url=f"{api.receiver.url}/good", description="good")
    await api.publish()
    await api.until_finished(2)
    return bad["id"], good["id"]


async def test_list_events_expanded_counts_states(api: Api) -> None:
    await failed_and_delivered(api)

    (plain,) = expect(await api.admin.get("/v1/events"), 200)["items"]
    (expanded,) = expect(await api.admin.get("/v1/events?expand=true"), 200)["items"]

    assert "delivery_states" not in plain
    assert expanded == {**plain, "delivery_states": {"dead": 1, "delivered": 1}}
    expect_problem(await api.admin.get("/v1/events?client_id=1&after=0&expand=true"), 422, "?after")


async def test_list_deliveries_expanded_has_event_endpoint_and_last_attempt(api: Api) -> None:
    bad, _ = await failed_and_delivered(api)

    (plain,) = expect(await api.admin.get("/v1/deliveries?state=dead"), 200)["items"]
    (expanded,) = expect(await api.admin.get("/v1/deliveries?state=dead&expand=true"), 200)["items"]

    assert {name: expanded[name] for name in plain} == plain
    assert expanded["event"]["id"] == plain["event_id"]
    assert (expanded["endpoint"]["id"], expanded["endpoint"]["description"]) == (bad, "bad")
    assert (expanded["last_attempt"]["status"], expanded["last_attempt"]["error"]) == (500, "http_500")
    expect(await api.admin.delete(f"/v1/endpoints/{bad}"), 204)
    (orphan,) = expect(await api.admin.get("/v1/deliveries?state=dead&expand=true"), 200)["items"]
    assert orphan["endpoint"] is None


async def test_explain_expanded_has_attempts_and_request_without_signature_for_readers(api: Api) -> None:
    await failed_and_delivered(api)
    (event,) = expect(await api.admin.get("/v1/events"), 200)["items"]
    reader, _ = await api.key("read", 1)
    path = f"/v1/events/{event['id']}/explain"

    plain = expect(await api.admin.get(path), 200)["endpoints"]
    full = expect(await api.admin.get(f"{path}?expand=true"), 200)["endpoints"]
    read = expect(await reader.get(f"{path}?expand=true"), 200)["endpoints"]

    assert all("request" not in each and "attempts" not in each["deliveries"][0] for each in plain)
    assert {each["description"]: each["retries"] for each in full}["bad"] == 0
    for reason, masked in zip(full, read, strict=True):
        (delivery,) = reason["deliveries"]
        assert [each["number"] for each in delivery["attempts"]] == [1]
        headers = dict(reason["request"]["headers"])
        assert headers["webhook-id"] == event["id"]
        assert headers["webhook-signature"].startswith("v1,")
        assert dict(masked["request"]["headers"])["webhook-signature"] == MASK


async def test_list_replays_without_counts_still_says_what_is_left(api: Api) -> None:
    bad, _ = await failed_and_delivered(api)
    expect(await api.admin.post("/v1/replays", json={"endpoint_id": bad, "since": "2020-01-01T00:00:00Z"}), 202)
    replays: list[Json] = []
    while not replays or replays[0]["has_pending"] or replays[0]["state"] == "running":
        replays = expect(await api.admin.get("/v1/replays?counts=false"), 200)["items"]

    (replay,) = replays
    assert (replay["deliveries"], replay["has_dead"], replay["endpoint"]["id"]) == ({}, True, bad)
    (counted,) = expect(await api.admin.get("/v1/replays"), 200)["items"]
    assert (counted["deliveries"], counted["has_dead"], counted["has_pending"]) == ({"dead": 1}, True, False)


async def test_endpoint_stats_list_counts_health_and_last_hour(api: Api) -> None:
    bad, good = await failed_and_delivered(api)
    await api.node.maintenance.write_activity()

    found = expect(await api.admin.get("/v1/endpoint-stats"), 200)

    assert [each["endpoint"]["id"] for each in found["items"]] == [good, bad]
    of_good, of_bad = found["items"]
    assert (of_good["delivered"], of_good["dead"], of_good["consecutive_failures"]) == (1, 0, 0)
    assert (of_bad["delivered"], of_bad["dead"], of_bad["consecutive_failures"]) == (0, 1, 1)
    assert (of_bad["last_hour"]["delivered"], of_bad["last_hour"]["failed"]) == (0, 1)
    assert found["totals"] == {"matched": 2, "delivered": 1, "dead": 1, "cancelled": 0, "pending": 0}
    by_name = expect(await api.admin.get("/v1/endpoint-stats?q=BAD&last_hour=false"), 200)["items"]
    assert [(each["endpoint"]["id"], each["last_hour"]) for each in by_name] == [(bad, None)]


async def test_recent_attempts_are_the_newest_results_of_the_endpoint(api: Api) -> None:
    bad, _ = await failed_and_delivered(api)

    (attempt,) = expect(await api.admin.get(f"/v1/endpoints/{bad}/recent-attempts?limit=1"), 200)["items"]

    assert (attempt["number"], attempt["status"]) == (1, 500)


async def test_read_books_recounted_has_totals_without_reading_the_store(api: Api) -> None:
    bad, good = await failed_and_delivered(api)
    await api.node.maintenance.counts.verify()
    live = expect(await api.admin.get("/v1/books"), 200)

    recounted = expect(await api.admin.get("/v1/books?recounted=true"), 200)
    totals_only = expect(await api.admin.get("/v1/books?recounted=true&items=false"), 200)

    assert {each["endpoint"]["id"] for each in live["items"]} == {bad, good}
    assert (recounted["items"], recounted["totals"]) == (live["items"], live["totals"])
    assert (totals_only["items"], totals_only["totals"]) == ([], live["totals"])


async def test_read_node_hides_settings_of_every_client_from_limited_keys(api: Api) -> None:
    reader, _ = await api.key("read", 1)

    own, limited = [expect(await each.get("/v1/node"), 200) for each in (api.admin, reader)]

    assert (own["running"], own["held"], own["nodes"]) == (True, False, 1)
    assert own["max_body_bytes"] > 0
    assert (limited["allowed_hosts"], limited["allow_networks"], limited["max_body_bytes"]) == (None, None, None)
    expect_problem(await reader.get("/v1/store"), 403)
    assert expect(await api.admin.get("/v1/store"), 200)["engine"] == "sqlite"
