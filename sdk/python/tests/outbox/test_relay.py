"""The relay against a server whose answers the test chooses, on both databases."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from commerce_event_sdk import Client, Outbox
from commerce_event_sdk.outbox.postgres_store import PostgresOutboxStore
from commerce_event_sdk.outbox.relay import Relay
from commerce_event_sdk.outbox.sqlite_store import SqliteOutboxStore
from commerce_event_sdk.outbox.store import OutboxError, open_store
from scripted_server import DEADLINE_S, KEY, ScriptedServer, problem, scripted_server, until
from shop_databases import SHOPS, Shop

pytestmark = pytest.mark.integration

OUTBOX = Outbox()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@contextmanager
def relay_of(shop: Shop, server: ScriptedServer, **options: Any) -> Iterator[Relay]:
    with Client(server.url, KEY) as client:
        relay = Relay(shop.url, client, **options)
        yield relay
        relay.stop(DEADLINE_S)


def add(shop: Shop, *numbers: int, event_type: str = "Own", key: str | None = None) -> list[str]:
    """Commit events in one transaction."""
    with closing(shop.connect()) as connection:
        ids = [OUTBOX.add(connection, event_type, {"Number": number}, key=key) for number in numbers]
        connection.commit()
    return ids


def numbers(server: ScriptedServer) -> list[int]:
    return [each["data"]["Number"] for each in server.accepted.values()]


def test_relay_publishes_in_order_and_empties_the_table(shop: Shop, server: ScriptedServer) -> None:
    ids = add(shop, *range(25))
    with relay_of(shop, server, batch_events=10) as relay:
        relay.run_until_idle()
    assert numbers(server) == list(range(25))
    assert list(server.accepted) == ids
    assert [len(each) for each in server.requests] == [10, 10, 5]
    assert shop.rows() == []


def test_relay_sends_the_bytes_that_were_added(shop: Shop, server: ScriptedServer) -> None:
    data = {"Text": 'Åsa "x"\n%', "Number": 9007199254740993}
    with closing(shop.connect()) as connection:
        OUTBOX.add(connection, "Own", data)
        connection.commit()
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert [(each["type"], each["data"]) for each in server.accepted.values()] == [("Own", data)]


def test_relay_started_publishes_what_commits_later(shop: Shop, server: ScriptedServer) -> None:
    with relay_of(shop, server) as relay:
        relay.start()
        add(shop, 1)
        until(lambda: numbers(server) == [1])
        add(shop, 2)
        until(lambda: numbers(server) == [1, 2])
    assert not relay.is_running


def test_relay_transaction_that_commits_late_is_not_missed(tmp_path: Path, server: ScriptedServer) -> None:
    with SHOPS["postgres"](tmp_path) as shop, closing(shop.connect()) as slow:
        OUTBOX.add(slow, "Own", {"Number": 1})
        add(shop, 2)
        with relay_of(shop, server) as relay:
            relay.run_until_idle()
            assert numbers(server) == [2]
            slow.commit()
            relay.run_until_idle()
        assert numbers(server) == [2, 1]


def test_relay_rolled_back_transaction_is_never_sent(shop: Shop, server: ScriptedServer) -> None:
    with closing(shop.connect()) as connection, relay_of(shop, server) as relay:
        relay.start()
        OUTBOX.add(connection, "Own", {"Number": 1})
        connection.rollback()
        add(shop, 2)
        until(lambda: numbers(server) == [2])
    assert shop.rows() == []


def test_relay_refused_event_becomes_dead_and_the_others_go_on(
    shop: Shop, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refused_types = {"Broken"}
    add(shop, 1, key="a")
    [broken] = add(shop, 2, event_type="Broken", key="a")
    add(shop, 3, key="a")
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert numbers(server) == [1, 3]
    with closing(open_store(shop.url)) as store:
        status = store.status()
    assert (status.pending, status.dead, status.oldest_pending_at) == (0, 1, None)
    [dead] = status.dead_messages
    assert (dead.id, dead.event_type, dead.business_key) == (broken, "Broken", "a")
    assert "/OrderId is required" in dead.reason
    assert dead.created_at.endswith("Z")
    assert dead.dead_at.endswith("Z")
    assert f"Broken {broken} is dead" in caplog.text


def test_relay_dead_message_retried_is_published_under_its_id(shop: Shop, server: ScriptedServer) -> None:
    server.refused_types = {"Broken"}
    [broken] = add(shop, 2, event_type="Broken")
    with relay_of(shop, server) as relay, closing(open_store(shop.url)) as store:
        relay.run_until_idle()
        assert store.retry("unknown") == 0
        server.refused_types = set()
        assert store.retry(broken) == 1
        relay.run_until_idle()
    assert list(server.accepted) == [broken]
    assert shop.rows() == []


def test_store_discard_deletes_one_message_or_all_dead_ones(shop: Shop, server: ScriptedServer) -> None:
    server.refused_types = {"Broken"}
    first, *_ = add(shop, 1, 2, 3, event_type="Broken")
    with relay_of(shop, server) as relay, closing(open_store(shop.url)) as store:
        relay.run_until_idle()
        [pending, kept] = add(shop, 4, 5)
        assert store.discard(first) == 1
        assert store.discard(first) == 0
        assert store.discard(None) == 2
        assert store.discard(pending) == 1
    assert [row[0] for row in shop.rows()] == [kept]


def test_relay_batch_stored_in_part_keeps_the_order(shop: Shop, server: ScriptedServer) -> None:
    server.then(server.store_first(2), problem(503), server.store_first(1), server.cut, server.drop)
    add(shop, *range(10), key="one")
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert numbers(server) == list(range(10))
    assert shop.rows() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_relay_refused_request_keeps_the_messages(
    shop: Shop, server: ScriptedServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.then(*[problem(status, f"The key {KEY} is wrong.")] * 3)
    add(shop, 1, 2)
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert numbers(server) == [1, 2]
    assert "the server refuses every request" in caplog.text
    assert KEY not in caplog.text


def test_relay_event_that_the_request_limit_refuses_becomes_dead(shop: Shop, server: ScriptedServer) -> None:
    def refuse_the_second(handler: Any, items: list[dict[str, Any]]) -> None:
        if any(each["data"]["Number"] == 2 for each in items):
            problem(413, "It is too large.")(handler, items)
        else:
            handler.json(200, {"items": server.store(items)})

    server.answer = refuse_the_second  # type: ignore[method-assign]
    add(shop, 1, 2, 3)
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert numbers(server) == [1, 3]
    assert [(json.loads(row[3]), row[4]) for row in shop.rows()] == [({"Number": 2}, "dead")]


def test_relay_event_that_the_server_fails_at_does_not_hold_back_those_before(
    shop: Shop, server: ScriptedServer
) -> None:
    fails = True

    def fail_at_the_third(handler: Any, items: list[dict[str, Any]]) -> None:
        if fails and any(each["data"]["Number"] == 3 for each in items):
            problem(500)(handler, items)
        else:
            handler.json(200, {"items": server.store(items)})

    server.answer = fail_at_the_third  # type: ignore[method-assign]
    add(shop, 1, 2, 3, 4)
    with relay_of(shop, server, batch_events=4) as relay:
        relay.start()
        until(lambda: numbers(server) == [1, 2])
        fails = False
        until(lambda: numbers(server) == [1, 2, 3, 4])


def test_relay_request_has_bounded_bytes(shop: Shop, server: ScriptedServer) -> None:
    with closing(shop.connect()) as connection:
        for number in range(6):
            OUTBOX.add(connection, "Own", {"Number": number, "Text": "x" * 200_000})
        connection.commit()
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert [len(each) for each in server.requests] == [2, 2, 2]
    assert numbers(server) == list(range(6))


def test_relay_second_one_waits_and_takes_over(
    shop: Shop, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with relay_of(shop, server) as first, relay_of(shop, server) as second, closing(open_store(shop.url)) as store:
        assert not store.status().relay_is_active
        first.start()
        until(lambda: store.status().relay_is_active)
        second.start()
        until(lambda: "this one waits" in caplog.text)
        add(shop, 1)
        until(lambda: numbers(server) == [1])
        assert caplog.text.count("active: publishing") == 1
        first.stop()
        add(shop, 2)
        until(lambda: numbers(server) == [1, 2])
    assert caplog.text.count("active: publishing") == 2


def test_two_relays_without_the_lock_still_keep_the_order(
    shop: Shop, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (SqliteOutboxStore, PostgresOutboxStore):
        monkeypatch.setattr(store, "acquire", lambda _self: True)
    with ExitStack() as relays:
        for _ in range(2):
            relays.enter_context(relay_of(shop, server, batch_events=7)).start()
        for start in range(0, 200, 10):
            add(shop, *range(start, start + 10), key="one")
        until(lambda: shop.rows() == [])
    assert numbers(server) == list(range(200))


@pytest.mark.parametrize("requests_before", [0, 1])
def test_relay_stop_cuts_a_request_that_hangs(shop: Shop, server: ScriptedServer, requests_before: int) -> None:
    with relay_of(shop, server) as relay:
        relay.start()
        add(shop, *range(requests_before))
        until(lambda: len(server.requests) == requests_before)
        server.then(server.hang)
        add(shop, 9)
        assert server.hanging.wait(DEADLINE_S)
        relay.stop(0.05)
        assert not relay.is_running
    assert len(server.requests) == requests_before + 1
    assert [row[4] for row in shop.rows()] == ["pending"]
    with pytest.raises(RuntimeError, match="make another one"):
        relay.start()


@pytest.mark.parametrize("kind", sorted(SHOPS))
def test_relay_waits_for_the_table(
    tmp_path: Path, server: ScriptedServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with SHOPS[kind](tmp_path, with_table=False) as shop, relay_of(shop, server) as relay:
        relay.start()
        until(lambda: "no table commerce_event_outbox; run Outbox().create_tables" in caplog.text)
        with closing(shop.connect()) as connection:
            OUTBOX.create_tables(connection)
            OUTBOX.add(connection, "Own", {"Number": 1})
            connection.commit()
        until(lambda: numbers(server) == [1])


def test_relay_lost_database_connection_is_opened_again(tmp_path: Path, server: ScriptedServer) -> None:
    with SHOPS["postgres"](tmp_path) as shop, relay_of(shop, server) as relay:
        relay.start()
        add(shop, 1)
        until(lambda: numbers(server) == [1])
        shop.commit(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'commerce-event-relay'"
        )
        add(shop, 2)
        until(lambda: numbers(server) == [1, 2])


def test_relay_delete_that_fails_publishes_again_under_the_same_id(
    shop: Shop, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (SqliteOutboxStore, PostgresOutboxStore):
        monkeypatch.setattr(store, "settle", _fail_once(store.settle))
    add(shop, 1, 2)
    with relay_of(shop, server) as relay:
        relay.run_until_idle()
    assert len(server.requests) == 2
    assert server.requests[0] == server.requests[1]
    assert numbers(server) == [1, 2]
    assert shop.rows() == []


def _fail_once(settle: Callable[..., None]) -> Callable[..., None]:
    failures = iter([OutboxError("the disk is full")])

    def call(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        settle(*arguments)

    return call


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("/nowhere/shop.db", "there is no SQLite database /nowhere/shop.db"),
        ("sqlite:////nowhere/shop.db", "there is no SQLite database /nowhere/shop.db"),
        ("sqlite://", r"there is no SQLite database \(no path\)"),
        ("mysql://x", "mysql:// is not supported"),
        ("postgresql://127.0.0.1:1/x", "the database of the outbox: connection"),
        ("postgresql+psycopg://127.0.0.1:1/x", "the database of the outbox: connection"),
    ],
)
def test_open_store_wrong_database_says_what_to_do(database: str, message: str) -> None:
    with pytest.raises(OutboxError, match=message):
        open_store(database)
