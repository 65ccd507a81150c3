"""The command line against a real server: arguments, output and exit codes."""

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, Shell, run
from processes import LocalReceiver, ServerProcess

ORDER = {
    "ClientId": 1,
    "ApplicationId": 1,
    "OrderId": 1,
    "OrderNo": "SO-10023",
    "ClientOrderRef": "B-1",
    "Source": "WEB",
}


@pytest.fixture
async def shell(server: ServerProcess) -> Shell:
    await server.start()
    return Shell(server)


async def endpoint(shell: Shell, receiver: LocalReceiver, path: str = "/hook", *more: str) -> Any:
    made = await shell.json("endpoints", "create", "--client", "1", "--to", receiver.url + path, *more)
    receiver.add(path, made["secret"])
    return made


async def test_commands_publish_follow_and_explain_an_order(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--type", "Order", "--header", "X-Shop: 7")
    accepted = await shell.json("publish", "OrderConfirmedEvent", "--id", "o-1", stdin=json.dumps(ORDER))
    again = await shell.json("publish", "OrderConfirmedEvent", "--id", "o-1", stdin=json.dumps(ORDER))
    await receiver.until_taken(1)

    assert (again["id"], again["duplicate"]) == (accepted["id"], True)
    [found] = await shell.json("events", "list", "--search", "SO-10023")
    assert found["id"] == accepted["id"]
    assert "SO-10023" in (await shell("events", "get", accepted["id"])).out
    [delivery] = await shell.json("events", "deliveries", accepted["id"])
    assert delivery["endpoint_id"] == made["id"]
    assert "delivered after 1 attempt" in (await shell("events", "explain", accepted["id"])).out
    assert "attempt" in (await shell("deliveries", "get", delivery["id"])).out
    assert (await shell.json("endpoints", "stats", made["id"]))["delivered"] == 1
    assert (await shell.json("endpoints", "list"))[0]["headers"] == {"X-Shop": "***"}
    assert (await shell.json("endpoints", "test", made["id"]))["delivered"] is True


async def test_search_that_finds_nothing_says_what_was_searched(shell: Shell) -> None:
    await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))

    plain = await shell("events", "list", "--search", "[b]SO-9")
    filtered = await shell("events", "list", "--search", "SO-9", "--client", "2")
    without_words = await shell("events", "list", "--search", "--")

    assert (plain.code, filtered.code) == (0, 0)
    assert "has “[b]SO-9” in its payload. Try a part of it" in plain.out
    assert "matches the other filters" in filtered.out
    assert (without_words.code, without_words.err) == (
        2, "commerce-event: --search: write at least one letter or digit to search for.\n",
    )  # fmt: skip
    assert "SO-10023" in (await shell("events", "list", "--search", "10023")).out


async def test_publish_lines_publishes_each_event(shell: Shell, tmp_path: Path) -> None:
    lines = [json.dumps({**ORDER, "OrderId": number}) for number in range(1_200)]
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(lines))
    summary = await shell.json("publish", "OrderConfirmedEvent", str(file))
    assert (summary["accepted"], summary["refused"]) == (1_200, 0)

    file.write_text("\n".join([lines[0], '{"ClientId": "one"}', "not json"]))
    done = await shell("publish", "OrderConfirmedEvent", str(file), "--json")
    assert done.code == 1
    assert (done.json["accepted"], [each["line"] for each in done.json["refusals"]]) == (1, [2, 3])
    assert "2 refused; the first is line 2" in done.err
    assert "/OrderId is required" in done.err
    assert done.json["refusals"][1]["detail"] == "The line is not JSON at byte 1 (expecting value)"


async def test_publish_multiline_event_with_error_names_line_and_column(shell: Shell) -> None:
    done = await shell("publish", "OrderConfirmedEvent", stdin='{"ClientId": 1,\n "OrderNo": }\n')

    assert (done.code, done.err) == (
        2,
        "commerce-event: The input is not JSON at line 2, column 13 (expecting value).\n",
    )


async def test_publish_endless_input_is_refused_early(shell: Shell) -> None:
    done = await shell("publish", "OrderConfirmedEvent", "/dev/zero")

    assert (done.code, done.err) == (
        2, "commerce-event: /dev/zero is larger than 1 GiB; publish it in parts.\n",
    )  # fmt: skip


async def test_publish_lines_twice_creates_no_duplicates(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text("\n\n".join(json.dumps({**ORDER, "OrderId": number}) for number in range(5)))
    publish = ("publish", "OrderConfirmedEvent", str(file), "--id-prefix", "may")

    first = await shell.json(*publish, "--skip", "3")
    whole = await shell.json(*publish)

    assert (first["accepted"], first["duplicates"]) == (3, 0)
    assert (whole["accepted"], whole["duplicates"]) == (2, 3)
    keys = {event["idempotency_key"] for event in await shell.json("events", "list")}
    assert keys == {f"may-{line}" for line in (1, 3, 5, 7, 9)}


async def test_truncated_list_says_that_there_is_more(shell: Shell) -> None:
    lines = "\n".join(json.dumps({**ORDER, "OrderId": number}) for number in range(3))
    await shell.json("publish", "OrderConfirmedEvent", stdin=lines)

    cut = await shell("events", "list", "--limit", "2", "--json")
    whole = await shell("events", "list", "--limit", "3", "--json")
    later = await shell("events", "list", "--client", "1", "--after", "1", "--limit", "1", "--json")

    assert (len(cut.json), "There are more" in cut.err) == (2, True)
    assert (len(whole.json), whole.err) == (3, "")
    assert ([event["sequence"] for event in later.json], "There are more" in later.err) == ([2], True)


async def test_simulate_changes_raises_notifications_by_the_settings_of_the_shop(shell: Shell) -> None:
    settings = (await shell("simulate", "--print-settings", "--client", "7")).out
    applied = await shell("event-settings", "apply", "-", stdin=settings)
    arguments = ("simulate", "--changes", "--client", "7", "--rate", "0", "--count", "150", "--seed", "5")
    printed = [json.loads(line) for line in (await shell(*arguments, "--print-only")).out.splitlines()]
    first = await shell.json(*arguments)
    second = await shell.json(*arguments)
    raised = await shell.json("events", "list", "--client", "7", "--limit", "500")

    assert applied.code == 0, applied.err
    assert first == {"accepted": 150, "duplicates": 0, "refused": 0, "refusals": []}
    assert second == {"accepted": 0, "duplicates": 150, "refused": 0, "refusals": []}
    assert [change["client_id"] for change in printed] == [7] * 150
    assert {event["type"] for event in raised} >= {"CustomerChangedNotification", "SkuChangedNotification"}


async def test_simulate_changes_with_events_sends_no_notifications(shell: Shell) -> None:
    printed = await shell("simulate", "--changes", "--with-events", "--count", "200", "--print-only")
    alone = await shell("simulate", "--with-events", "--print-only")

    items = [json.loads(line) for line in printed.out.splitlines()]
    assert {item["type"].endswith("Event") for item in items if "type" in item} == {True}
    assert any("entity" in item for item in items)
    assert (alone.code, "--changes" in alone.err) == (2, True)


async def test_simulate_twice_with_one_seed_creates_no_duplicates(shell: Shell) -> None:
    first = await shell.json("simulate", "--rate", "0", "--count", "200", "--seed", "5")
    second = await shell.json("simulate", "--rate", "0", "--count", "200", "--seed", "5")

    assert (first["accepted"], first["duplicates"]) == (200, 0)
    assert (second["accepted"], second["duplicates"]) == (0, 200)


async def test_dead_letters_can_be_listed_retried_and_replayed(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--retry-schedule", "0.05s")
    secret = receiver.secrets.pop("/hook")  # 404 for a while
    await shell("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
    async with asyncio.timeout(60):
        while not (dead := await shell.json("dead", "list")):
            await asyncio.sleep(0.05)
    assert (dead[0]["reason"], dead[0]["attempt_count"]) == ("attempts_exhausted", 2)

    receiver.secrets["/hook"] = secret
    await shell.json("dead", "retry", "--endpoint", made["id"])
    await receiver.until_taken(1)
    replay = await shell.json(
        "replays", "start", "--endpoint", made["id"], "--since", "2020-01-01T00:00:00Z", "--only", "all"
    )
    await receiver.until_taken(2)
    assert replay["id"] == (await shell.json("replays", "list"))[0]["id"]
    assert await shell.json("dead", "list") == []


async def test_dead_letters_of_an_error_are_sent_again_and_others_discarded(
    shell: Shell, receiver: LocalReceiver
) -> None:
    made = await endpoint(shell, receiver, "/hook", "--retry-schedule", "0.05s")
    secret = receiver.secrets.pop("/hook")  # 404 for a while
    for number in (1, 2):
        await shell("publish", "OrderConfirmedEvent", stdin=json.dumps({**ORDER, "OrderId": number}))
    async with asyncio.timeout(60):
        while len(dead := await shell.json("dead", "list")) < 2:
            await asyncio.sleep(0.05)

    discarded = await shell("dead", "discard", dead[0]["id"], "--note", "a test")
    none = await shell("dead", "retry", "--endpoint", made["id"], "--error", "http_500")
    receiver.secrets["/hook"] = secret
    retried = await shell("dead", "retry", "--endpoint", made["id"], "--error", "http_404")
    await receiver.until_taken(1)
    refused = await shell("dead", "discard", "--endpoint", made["id"], "--note", " ")

    assert (discarded.code, discarded.out) == (0, "1 dead letter is discarded.\n")
    assert (await shell.json("deliveries", "get", dead[0]["id"]))["reason"] == "discarded: a test"
    assert (none.code, "There are no such dead letters" in none.err) == (1, True)
    assert (retried.code, retried.out) == (0, "1 dead letter is sent again.\n")
    assert (refused.code, "--note must say why" in refused.err) == (2, True)
    assert await shell.json("dead", "discard", "--endpoint", made["id"], "--note", "x") == {"count": 0}


async def test_replay_can_be_cancelled_and_a_change_put_back(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--retry-schedule", "1h")
    receiver.secrets.pop("/hook")
    await shell("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
    replay = await shell.json("replays", "start", "--endpoint", made["id"], "--since", "1h", "--only", "all")
    cancelled = await shell("replays", "cancel", replay["id"])
    again = await shell("replays", "cancel", replay["id"])

    assert (cancelled.code, "cancelled: 1 queued, 1 cancelled" in cancelled.out) == (0, True)
    assert (again.code, "This replay is finished" in again.err) == (1, True)

    await shell("endpoints", "update", made["id"], "--timeout", "7")
    [entry, *_] = await shell.json("audit", "list", "--target", made["id"])
    shown = await shell("audit", "show", entry["id"])
    restored = await shell("audit", "restore", entry["id"])

    assert "timeout in seconds" in shown.out
    assert (restored.code, restored.out) == (0, "Put back: timeout in seconds.\n")
    assert (await shell("audit", "restore", entry["id"])).code == 1


async def test_refused_events_can_be_found_accepted_and_discarded(
    shell: Shell, receiver: LocalReceiver, tmp_path: Path
) -> None:
    await endpoint(shell, receiver)
    wrong = json.dumps({**ORDER, "OrderId": "\x1b[2J"})
    for _ in range(3):
        assert (await shell("publish", "OrderConfirmedEvent", stdin=wrong)).code == 2
    assert "refusals list" in (await shell("events", "list", "--search", "SO-10023")).out
    third, second, first = [each["id"] for each in await shell.json("refusals", "list", "--client", "1")]
    assert "/OrderId" in (await shell("refusals", "list")).out

    shown = (await shell("refusals", "show", first)).out
    assert ("SO-10023" in shown, "/OrderId" in shown, "\x1b" in shown) == (True, True, False)
    assert (await shell.json("refusals", "show", first))["body"]["OrderNo"] == "SO-10023"

    accepted = await shell("refusals", "accept", first)
    event_id = (await shell.json("refusals", "show", first))["event_id"]
    assert event_id in accepted.out
    again = await shell("refusals", "accept", first)
    assert (again.code, event_id in again.err) == (1, True)

    file = tmp_path / "order.json"
    file.write_text(wrong)
    bad = await shell("refusals", "accept", second, str(file))
    assert (bad.code, "the event at /OrderId must" in bad.err) == (2, True)
    file.write_text("{")
    assert "not JSON" in (await shell("refusals", "accept", second, str(file))).err
    made = await shell.json("refusals", "accept", second, "-", "--type", "OrderReceivedEvent", stdin=json.dumps(ORDER))
    assert (await shell.json("events", "get", made["event_id"]))["type"] == "OrderReceivedEvent"
    await receiver.until_taken(2)

    assert "discarded" in (await shell("refusals", "discard", third, "--reason", "a test")).out
    assert [each["id"] for each in await shell.json("refusals", "list", "--state", "discarded")] == [third]
    assert (await shell("publish", "Refund", stdin=json.dumps(ORDER))).code == 2
    fourth = (await shell.json("refusals", "list", "--state", "open"))[0]["id"]
    untyped = await shell("refusals", "accept", fourth)
    assert "--type: There is no event type 'Refund'; list them with: commerce-event event-types list." in untyped.err
    unknown = await shell("refusals", "show", "rfs_0000000000000")
    assert (unknown.code, "refusals list" in unknown.err) == (2, True)


async def test_endpoint_update_changes_only_the_given_fields(shell: Shell) -> None:
    to = ("--to", "https://erp.example/hook")
    made = await shell.json(
        "endpoints", "create", "--client", "1", *to, "--header", "X-One: 1", "--header", "X-Two: 2", "--timeout", "9",
        "--jitter", "0.2", "--disabled", "--no-follow-redirects",
    )  # fmt: skip
    assert (made["enabled"], made["follow_redirects"], made["jitter"]) == (False, False, 0.2)
    update = ("endpoints", "update", made["id"])

    added = await shell.json(*update, "--header", "x-two: 22", "--header", "X-Three: 3", "--enabled")
    assert set(added["headers"]) == {"X-One", "x-two", "X-Three"}
    assert (added["timeout_s"], added["enabled"]) == (9, True)
    less = await shell.json(*update, "--unset", "timeout", "--unset", "jitter", "--unset-header", "x-one")
    assert (less["timeout_s"], less["jitter"], set(less["headers"])) == (None, 0, {"x-two", "X-Three"})
    assert (await shell.json(*update, "--unset", "header"))["headers"] == {}
    both = await shell(*update, "--timeout", "5", "--unset", "timeout")
    absent = await shell(*update, "--unset-header", "X-Nine")
    assert (both.code, absent.code) == (2, 2)
    assert "exclude each other" in both.err
    assert "has no header x-nine" in absent.err
    unasked = await shell("endpoints", "delete", made["id"])
    assert (unasked.code, "Add --yes to do it." in unasked.err) == (2, True)
    deleted = await shell("endpoints", "delete", made["id"], "--yes", "--json")
    assert deleted.json == {"id": made["id"], "deleted": True}


async def test_endpoint_is_paused_switched_and_listed_with_its_health(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--except", "Product")
    assert (made["event_types"], made["except"]) == (["*"], ["Product"])
    asked = await shell("endpoints", "pause", made["id"])
    assert (asked.code, "nothing is lost" in asked.err) == (2, True)
    assert (await shell.json("endpoints", "pause", made["id"], "--yes"))["paused"] is True
    await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
    [listed] = await shell.json("endpoints", "list")
    assert (listed["health"], listed["pending"], listed["last_success_at"]) == ("paused", 1, None)
    assert "everything except Product" in (await shell("endpoints", "list")).out

    assert (await shell.json("endpoints", "resume", made["id"]))["paused"] is False
    await receiver.until_taken(1)
    assert (await shell.json("endpoints", "off", made["id"], "--yes"))["enabled"] is False
    on = await shell("endpoints", "on", made["id"], "--yes")
    assert f"commerce-event replays start --endpoint {made['id']} --only missed --since " in on.err
    assert (await shell.json("endpoints", "update", made["id"], "--unset", "except"))["except"] == []


async def test_endpoint_properties_are_selected_emptied_and_unset(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--properties", "FirstName, $.Campaign")
    assert made["properties"] == ["FirstName", "$.Campaign"]
    update = ("endpoints", "update", made["id"])
    assert (await shell.json(*update, "--properties", ""))["properties"] == []

    await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps({**ORDER, "FirstName": "Anna"}))
    await receiver.until_taken(1)

    [delivery] = await shell.json("deliveries", "list")
    assert (await shell.json("deliveries", "get", delivery["id"]))["body_sent"] == ORDER
    assert "body_sent" in (await shell("deliveries", "get", delivery["id"])).out
    tested = await shell("endpoints", "test", made["id"], "--type", "OrderConfirmedEvent")
    assert '"OrderNo"' in tested.out
    assert "FirstName" not in tested.out
    assert (await shell.json(*update, "--unset", "properties"))["properties"] is None


async def test_endpoint_update_keeping_a_header_keeps_its_value(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--header", "X-One: canary")
    await shell("endpoints", "update", made["id"], "--header", "X-Two: 2")
    tested = await shell("endpoints", "test", made["id"])

    assert tested.code == 0
    assert "    x-two: ***" in tested.out.lower()
    assert "    x-one: ***" in tested.out.lower()


async def test_endpoint_test_not_delivered_shows_messages_and_exits_1(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver)
    receiver.secrets.pop("/hook")
    tested = await shell("endpoints", "test", made["id"], "--type", "JobCompletedEvent")

    assert tested.code == 1
    assert tested.out.startswith(f"POST {receiver.url}/hook\n    ")
    assert '"JobId"' in tested.out
    assert "\nAnswered 404 after " in tested.out
    assert "    not now\n" in tested.out
    assert tested.err == "commerce-event: The example was not delivered: 404: nothing is at this path: check the URL.\n"


async def test_explain_shows_every_rule_with_its_value(shell: Shell, receiver: LocalReceiver) -> None:
    await endpoint(shell, receiver, "/hook", "--application", "7", "--filter", '{"Source": "POS"}')
    event = await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
    said = await shell("events", "explain", event["id"])

    rules = {line.split()[1]: line for line in said.out.splitlines() if line.startswith("end_")}
    assert "did not match" in rules["application"]
    assert rules["application"].split()[-2:] == ["7", "1"]
    assert "filter" in rules


async def test_replay_that_fails_again_exits_1(shell: Shell, receiver: LocalReceiver) -> None:
    made = await endpoint(shell, receiver, "/hook", "--retry-schedule", "0.05s")
    receiver.secrets.pop("/hook")
    event = await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
    async with asyncio.timeout(60):
        while not (groups := await shell.json("dead", "groups")):
            pass
    listed = await shell("dead", "list")
    waited = await shell("replays", "start", "--endpoint", made["id"], "--since", "1h", "--wait")
    queued = await shell("dead", "retry", "--endpoint", made["id"])
    [delivery] = await shell.json("deliveries", "list", "--event", event["id"])

    assert (groups[0]["count"], groups[0]["error"]) == (1, "http_404")
    assert "OrderConfirmedEvent" in listed.out
    assert "nothing is at this path" in listed.out
    assert waited.code == 1
    assert waited.err.startswith("Replay rpl_")
    assert "1 of 1 could not be delivered; see: commerce-event dead list --endpoint" in waited.err
    assert "done: 1 queued, 1 dead" in waited.out
    assert (queued.code, "1 queued, 1 " in queued.out) == (0, True)
    assert delivery["endpoint_id"] == made["id"]


async def test_keys_can_be_created_used_and_revoked(shell: Shell, server: ServerProcess) -> None:
    made = await shell.json("keys", "create", "--role", "publish", "--client", "1", "--name", "shop")
    as_shop = {"COMMERCE_EVENT_URL": server.url, "COMMERCE_EVENT_KEY": made["key"]}
    body = json.dumps(ORDER)
    assert (await run("publish", "OrderConfirmedEvent", stdin=body, environment=as_shop)).code == 0
    foreign = await run(
        "publish", "OrderConfirmedEvent", stdin=body.replace('"ClientId": 1', '"ClientId": 2'), environment=as_shop
    )
    assert (foreign.code, foreign.err.count("\n")) == (2, 1)
    assert "may not act for client 2" in foreign.err

    await shell("keys", "revoke", made["id"])
    assert "unknown or revoked" in (await run("publish", "OrderConfirmedEvent", stdin=body, environment=as_shop)).err
    assert made["key"] not in (await shell("keys", "list")).out
    of_key = await shell.json("audit", "list", "--target", made["id"])
    assert [entry["action"] for entry in of_key] == ["revokeKey", "createKey"]

    own = await shell.json("keys", "create", "--role", "admin")
    as_admin = {"COMMERCE_EVENT_URL": server.url, "COMMERCE_EVENT_KEY": own["key"]}
    refused = await run("keys", "revoke", own["id"], environment=as_admin)
    assert (refused.code, "revoke it with --force" in refused.err) == (1, True)
    assert (await run("keys", "revoke", own["id"], "--force", environment=as_admin)).code == 0


async def test_lost_admin_key_can_be_replaced_in_the_store(server: ServerProcess, tmp_path: Path) -> None:
    await server.start()
    assert await server.stop() == 0
    store = f"sqlite:///{tmp_path / 'events.db'}"
    made = await run("keys", "create", "--role", "admin", "--store", store, "--json")
    for_nobody = await run("keys", "create", "--role", "publish", "--store", store)
    nowhere = await run("keys", "create", "--role", "admin", "--store", f"sqlite:///{tmp_path / 'other.db'}")

    assert made.code == 0, made.err
    assert made.json["key"].startswith("key_")
    assert (for_nobody.code, nowhere.code) == (2, 2)
    assert "name the clients that a publish key is for" in for_nobody.err.lower()
    assert f"There is no store {tmp_path / 'other.db'}" in nowhere.err
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("publish", "OrderConfirmedEvent", "/no/such/file"), 2, "cannot be read"),
        (("publish", "Nothing"), 2, "There is no event type"),
        (
            ("events", "get", "evt_nonsense"),
            2,
            "There is no event evt_nonsense; list them with: commerce-event events list",
        ),
        (("publish", "../keys"), 2, "There is no event type '../keys'"),
        (("publish", "OrderConfirmdEvent"), 2, "did you mean OrderConfirmedEvent?"),
        (("publish", "\x1b[31mEvil\nX"), 2, "There is no event type"),
        (("publish", "OrderConfirmedEvent", "--id", "é"), 2, "--id must be 1 to 256 printable ASCII characters"),
        (("publish", "OrderConfirmedEvent", "--id", ""), 2, "--id must be 1 to 256 printable ASCII characters"),
        (("events", "get", "../../healthz?x#y"), 2, "There is no event ../../healthz?x#y"),
        (("events", "list", "--url", "ftp://x"), 2, "--url must begin with http:// or https://"),
        (("events", "list", "--key", "wrong"), 2, "This key is unknown or revoked"),
        (("events", "list", "--since", "yesterday"), 2, "--since must be a time such as"),
        (
            ("endpoints", "create", "--client", "1", "--to", "https://a.example/", "--timeout", "31"),
            2,
            "--timeout must be at most 30",
        ),
        (("keys", "create", "--role", "read"), 2, "--client: name the clients that a read key is for."),
        (("keys", "create", "--role", "king"), 2, "Invalid value for '--role': 'king' is not one of"),
        (("events", "list", "--state", "x"), 2, "Invalid value for '--state': 'x' is not one of 'pending',"),
        (("serve", "--port", "x"), 2, "Invalid value for '--port': 'x' is not a whole number; see:"),
        (("keys", "crate"), 2, "did you mean 'create'? See: commerce-event keys --help."),
        (("events", "list", "--after", "3"), 2, "--client: name the client whose sequence is read."),
        (("events", "list", "--type", "Oder"), 2, "there is no event type 'Oder'; did you mean Order?\n"),
        (("replays", "get", "rpl_x"), 2, "There is no replay rpl_x"),
        (
            ("endpoints", "create", "--client", "1", "--to", "https://a.example/", "--timeout", "31", "--jitter", "2"),
            2,
            "commerce-event: --timeout must be at most 30; --jitter must be at most 1.",
        ),
        (("endpoints", "create", "--client", "1", "--to", "http://10.0.0.1/"), 2, "COMMERCE_EVENT_ALLOW_NETWORKS"),
        (("endpoints", "create", "--client", "1", "--to", "https://a.example/", "--filter", "{"), 2, "is not JSON"),
        (
            ("endpoints", "create", "--client", "1", "--to", "https://a.example/", "--properties", "Emial"),
            2,
            "did you mean Email?",
        ),
        (("backup", "--to", "x.db", "--store", "postgresql://db.example/x"), 2, "pg_dump"),
        (("serve", "--host", "300.1.1.1"), 2, "choose another --host"),
        (("openapi", "--yaml", "--json"), 2, "--yaml and --json exclude each other"),
        (("dead", "retry"), 2, "Give delivery ids, or an endpoint"),
        (("events", "explain", "end_x"), 2, "end_x is the id of an endpoint, not of an event."),
        (("frobnicate",), 2, "No such command"),
    ],
)
async def test_command_that_fails_prints_a_sentence(
    shell: Shell, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = await shell(*arguments, stdin="{}")

    assert done.code == code
    assert sentence.lower() in done.err.lower()
    assert done.err.count("\n") == 1
    assert done.err.endswith((".\n", "?\n"))


async def test_command_with_closed_output_ends_quietly_or_with_a_sentence() -> None:
    def cut(redirect: str) -> tuple[int, str]:
        command = " ".join(COMMAND) + " openapi " + redirect
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stderr.decode()

    assert await asyncio.to_thread(cut, "| true") == (141, "")
    assert await asyncio.to_thread(cut, "> /dev/full") == (
        1, "commerce-event: The output cannot be written: No space left on device.\n",
    )  # fmt: skip


async def test_serve_with_an_unusable_store_names_it(tmp_path: Path) -> None:
    done = await run("serve", "--port", "0", "--store", "sqlite:////proc/x.db", folder=tmp_path)

    assert done.code == 2
    assert "/proc/x.db" in done.err
    assert done.err.count("\n") == 1


async def test_command_without_server_or_key_prints_the_remedy(tmp_path: Path) -> None:
    nobody = await run(
        "events", "list", environment={"COMMERCE_EVENT_URL": "http://127.0.0.1:9", "COMMERCE_EVENT_KEY": "k"}
    )
    keyless = await run("events", "list")

    assert (nobody.code, keyless.code) == (1, 2)
    assert "No server answers at http://127.0.0.1:9 (Connection refused)" in nobody.err
    assert "start one with: commerce-event serve" in nobody.err
    assert "export COMMERCE_EVENT_KEY" in keyless.err


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"COMMERCE_EVENT_STROE": "x"}, "did you mean COMMERCE_EVENT_STORE?"),
        ({"COMMERCE_EVENT_STORE": "mysql://x"}, "must be sqlite:///FILE"),
        ({"COMMERCE_EVENT_STORE": "sqlite:////no/such/folder/x.db"}, "does not exist; create it"),
        ({"COMMERCE_EVENT_TIMEOUT": "0"}, "COMMERCE_EVENT_TIMEOUT"),
    ],
)
async def test_serve_with_an_invalid_setting_exits_2(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    done = await run("serve", "--port", "0", folder=tmp_path, environment=environment)

    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("\n") == 1


async def test_first_start_prints_an_admin_key_that_works(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, COMMERCE_EVENT_ADMIN_KEY="")
    try:
        await server.start()
        [line] = [line for line in server.log().splitlines() if line.startswith("Admin key, shown only once: ")]
        environment = {"COMMERCE_EVENT_URL": server.url, "COMMERCE_EVENT_KEY": line.rpartition(" ")[2]}
        assert (await run("keys", "list", "--json", environment=environment)).code == 0
        assert await server.stop() == 0
        await server.start()
        assert server.log().count("Admin key") == 1
    finally:
        server.kill()


async def test_doctor_checks_everything(shell: Shell, tmp_path: Path) -> None:
    environment = {**shell.environment, "COMMERCE_EVENT_STORE": f"sqlite:///{tmp_path / 'events.db'}"}
    done = await run("doctor", "--json", environment=environment)

    assert done.code == 0, done.err
    assert {row["check"]: row["verdict"] for row in done.json} == {
        "settings": "ok", "clock": "ok", "disk": "ok", "network policy": "ok", "server": "ok", "delivery counts": "ok", "store": "ok",
    }  # fmt: skip
    wrong = await run("doctor", environment={**environment, "COMMERCE_EVENT_KEY": "wrong"})
    keyless = await run("doctor", environment={**environment, "COMMERCE_EVENT_KEY": ""})
    assert (wrong.code, "Not checked: This key is unknown or revoked" in wrong.err) == (1, True)
    assert (keyless.code, "not checked: no key is set" in keyless.out) == (0, True)
    broken = await run("doctor", environment={"COMMERCE_EVENT_STORE": "sqlite:////no/such/folder/x.db"})
    assert broken.code == 1


async def test_doctor_never_changes_a_store(server: ServerProcess, tmp_path: Path) -> None:
    await server.start()
    assert await server.stop() == 0
    kept = {file: file.read_bytes() for file in tmp_path.glob("events.db*")}
    done = await run("doctor", "--store", f"sqlite:///{tmp_path / 'events.db'}", "--url", server.url)
    (tmp_path / "other.db").write_text("no database")
    other = await run("doctor", "--store", f"sqlite:///{tmp_path / 'other.db'}", "--url", server.url)

    assert done.code == 0, done.err
    assert "all pages are intact" in done.out
    assert {file: file.read_bytes() for file in tmp_path.glob("events.db*")} == kept
    assert (other.code, "is not a commerce-event store" in other.err) == (1, True)


async def test_contract_commands_need_no_server() -> None:
    document = await run("openapi")
    as_yaml = await run("openapi", "--yaml")
    types = await run("types", "--json")

    assert len(document.json["webhooks"]) == len(types.json) == 19
    assert as_yaml.out.startswith("openapi: 3.1")
    assert (await run("types", "OrderConfirmedEvent")).out.startswith("name")


async def test_validation_modes_can_be_set_listed_and_removed(shell: Shell) -> None:
    data = json.dumps({"ClientId": 1, "JobId": "x", "StatusId": 2})
    refused = await shell("publish", "JobCompletedEvent", stdin=data)
    made = await shell.json("validation", "set", "System", "warn", "--client", "1")
    accepted = await shell.json("publish", "JobCompletedEvent", stdin=data)
    listed = await shell("validation", "list", "--client", "1")
    shown = await shell("events", "get", accepted["id"])
    removed = await shell("validation", "remove", "System", "--client", "1")

    assert (refused.code, "/JobId" in refused.err) == (2, True)
    assert (made["event_type"], made["mode"]) == ("System", "warn")
    assert [each["pointer"] for each in accepted["warnings"]] == ["/JobId"]
    assert "System" in listed.out
    assert "/JobId" in shown.out
    assert (removed.code, await shell.json("validation", "list")) == (0, [])
    again = await shell("validation", "remove", "System", "--client", "1")
    assert (again.code, "No mode is set for 'System' of client 1" in again.err) == (2, True)


async def test_own_event_types_can_be_created_published_and_deleted(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "type.json"
    wanted = {
        "name": "ExportDelivered", "category": "Export", "description": "An export was delivered.",
        "schema": {"properties": {"ExportId": {"type": "integer"}}, "required": ["ExportId"]},
        "example": {"ClientId": 1, "ExportId": 7},
    }  # fmt: skip
    file.write_text(json.dumps(wanted))
    url = shell.environment["COMMERCE_EVENT_URL"]

    created = await shell("event-types", "create", str(file))
    listed = await shell.json("event-types", "list", "--own")
    types = await shell.json("types", "--url", url)
    document = await shell("openapi", "--url", url)
    shown = await shell("event-types", "show", "ExportDelivered")
    refused = await shell("publish", "ExportDelivered", stdin='{"ClientId":1}')
    changed = await shell.json("event-types", "change", "ExportDelivered", str(file))
    other = await shell("event-types", "change", "ExportMade", str(file))
    deleted = await shell("event-types", "delete", "ExportDelivered")

    assert (other.code, "cannot be changed" in other.err) == (2, True)
    assert created.out == "Event type ExportDelivered in category Export is created.\n", created.err
    assert [each["name"] for each in listed] == ["ExportDelivered"]
    assert len(types) == 20
    assert "ExportDelivered" in document.json["webhooks"]
    assert "ExportId" in shown.out
    assert (refused.code, "/ExportId" in refused.err) == (2, True)
    assert changed["name"] == "ExportDelivered"
    assert deleted.code == 0
    assert (await shell("event-types", "create", str(tmp_path / "none.json"))).code == 2
    assert "is not JSON" in (await shell("event-types", "create", stdin="x")).err


async def test_demo_without_a_terminal_prints_progress_lines() -> None:
    done = await run("demo", "--once", "--count", "40")

    assert done.code == 0, done.err
    assert "Running a shop, a server at http://127.0.0.1:" in done.err
    assert "/admin, key demo-" in done.err
    assert "every event arrived" in done.out


async def test_shell_completion_offers_types_and_choices() -> None:
    async def offered(words: str) -> str:
        shell = {"_COMMERCE_EVENT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return (await run(environment=shell)).out

    assert "OrderConfirmedEvent" in await offered("commerce-event publish Order")
    assert "cancelled" in await offered("commerce-event deliveries list --state ")
    assert "Customer" in await offered("commerce-event endpoints create --type Cust")


async def test_demo_once_delivers_and_exits_0() -> None:
    done = await run("demo", "--once", "--count", "120", "--json")

    assert done.code == 0, done.err
    assert done.json["missing"] == done.json["forged"] == 0
    assert done.json["arrived"] >= done.json["expected"] > 120
    assert done.json["balanced"] is True


async def test_demo_once_raises_the_notifications_of_the_shop() -> None:
    done = await run("demo", "--once", "--count", "200", "--json")

    assert done.code == 0, done.err
    summary = done.json
    assert summary["changes"] > 50
    assert summary["raised"] + summary["merged"] == summary["notifications_expected"] > 20
    assert summary["mismatches"] == 0
    assert "It raised " in summary["explained"]


async def test_help_lists_every_command_without_a_server() -> None:
    done = await run("--help")

    for name in (
        "serve",
        "demo",
        "publish",
        "simulate",
        "endpoints",
        "events",
        "deliveries",
        "dead",
        "refusals",
        "keys",
        "openapi",
        "bench",
        "doctor",
    ):
        assert name in done.out
    flags = (await run("serve", "--help")).out
    for variable in ("COMMERCE_EVENT_HOST", "COMMERCE_EVENT_PORT", "COMMERCE_EVENT_STORE"):
        assert variable in flags
    assert (await run("--version")).out.startswith("commerce-event ")


async def test_commands_ask_a_local_server_directly_whatever_the_proxy_variables_say(shell: Shell) -> None:
    for value in ("socks5://127.0.0.1:9", "http://127.0.0.1:9", "nonsense://"):
        proxies = dict.fromkeys(("ALL_PROXY", "HTTP_PROXY", "http_proxy", "https_proxy"), value)
        for arguments in (("keys", "list"), ("doctor",)):
            done = await run(*arguments, environment=shell.environment | proxies)
            assert done.code == 0, done.err


async def test_commands_say_in_words_what_the_screens_know_of_a_failure(shell: Shell) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        url = f"http://{address}/hook"
        made = await shell.json("endpoints", "create", "--client", "1", "--to", url, "--retry-schedule", "1h")
        event = await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
        async with asyncio.timeout(60):
            while not (await shell.json("deliveries", "list"))[0]["attempt_count"]:
                pass

    listed = (await shell("events", "list")).out
    assert "Order SO-10023" in listed
    assert "1 pending" in listed
    assert (await shell("events", "list", "--client", "1", "--after", "0")).out.rstrip().endswith(" 1")
    explained = (await shell("events", "explain", event["id"])).out
    assert explained.startswith("OrderConfirmedEvent, Order SO-10023")
    assert f"connection refused: nothing listens at {address}" in explained
    checked = (await run("doctor", environment=shell.environment)).out
    assert f"{made['id']} ({url}) failed once since " in checked
    assert f"connection refused: nothing listens at {address}" in checked
    assert "1 wait" in checked

    [delivery] = await shell.json("deliveries", "list")
    await shell("deliveries", "cancel", delivery["id"])
    checked = (await run("doctor", environment=shell.environment)).out
    assert f"connection refused: nothing listens at {address}; it never succeeded; 0 wait" in checked


async def test_clients_are_named_and_get_portal_links(shell: Shell) -> None:
    named = await shell.json("clients", "name", "7", "Acme")
    link = await shell.json("portal-link", "create", "--client", "7", "--expires", "2h")
    [key] = await shell.json("keys", "list")
    too_long = await shell("portal-link", "create", "--client", "7", "--expires", "31d")
    removed = await shell.json("clients", "name", "7", "--remove")

    assert named == {"client_id": 7, "name": "Acme", "endpoints": 0}
    assert "/admin/portal?link=" in link["url"]
    assert (key["id"], key["name"], key["expires_at"]) == (
        link["key_id"],
        "Portal link for Acme (7)",
        link["expires_at"],
    )
    assert (too_long.code, "expires_in_s" in too_long.err) == (2, True)
    assert removed["name"] is None
    assert await shell.json("clients", "list") == []


async def test_preview_and_wrong_signature_of_an_endpoint(shell: Shell, receiver: LocalReceiver) -> None:
    for source in ("WEB", "POS"):
        await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps({**ORDER, "Source": source}))
    seen = await shell("endpoints", "preview", "--client", "1", "--filter", '{"Source": "WEB"}')
    made = await endpoint(shell, receiver)
    wrong = await shell("endpoints", "test", made["id"], "--wrong-signature")

    assert "1 of the 2 newest events would be sent." in seen.out
    assert "Source is WEB: no, it is POS" in seen.out
    assert (wrong.code, "Answered" in wrong.out) in {(0, True), (1, True)}


async def test_key_with_an_end_is_listed_with_it(shell: Shell) -> None:
    made = await shell.json("keys", "create", "--role", "read", "--client", "1", "--expires", "3d")
    dated = await shell.json("keys", "create", "--role", "read", "--client", "1", "--expires", "2035-01-31")

    assert dated["expires_at"] == "2035-01-31T00:00:00.000Z"
    assert made["warning"].startswith("expires in")
    assert "expires in" in (await shell("keys", "list")).out
