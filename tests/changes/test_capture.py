"""A capture sends every change of a real database once, in Debezium's form."""

import json
from typing import Any, Final

import pytest
from change_receiver import SOURCE, ChangeReceiver
from followed_database import Followed
from running_capture import Capture

from commerce_event.changes.capture import database as capture_database
from commerce_event.changes.capture import envelopes, follow
from commerce_event.changes.debezium import UNAVAILABLE

CUSTOMER: Final = "CREATE TABLE customer (id int PRIMARY KEY, name text, note text)"
LONG: Final = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) AS i)"  # is stored apart from the row

# An update as Debezium's connector sends it, from its documentation, without the schema.
DEBEZIUM: Final = json.loads("""
{"before": {"id": 1}, "after": {"id": 1, "first_name": "Anne", "email": "annek@noanswer.org"},
 "source": {"version": "3.0.0.Final", "connector": "postgresql", "name": "PostgreSQL_server", "ts_ms": 1559033904863,
            "ts_us": 1559033904863123, "ts_ns": 1559033904863123000, "snapshot": "false", "db": "postgres",
            "sequence": "[\\"24023119\\",\\"24023128\\"]", "schema": "public", "table": "customers", "txId": 556,
            "lsn": 24023128, "xmin": null},
 "transaction": {"id": "556:24023128", "total_order": 1, "data_collection_order": 1},
 "op": "u", "ts_ms": 1465584025523, "ts_us": 1465584025523000, "ts_ns": 1465584025523000000}
""")


async def test_capture_sends_insert_update_and_delete(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run(
            "INSERT INTO customer VALUES (1, 'Ann', NULL)",
            "UPDATE customer SET name = 'Ána' WHERE id = 1",
            "DELETE FROM customer WHERE id = 1",
        )
        rows = await receiver.until_rows(3)

    assert [(row["op"], row["before"], row["after"]) for row in rows] == [
        ("c", None, {"id": 1, "name": "Ann", "note": None}),
        ("u", None, {"id": 1, "name": "Ána", "note": None}),
        ("d", {"id": 1}, None),
    ]


async def test_capture_envelope_has_the_shape_of_debezium(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        before_ms = await followed.value("SELECT (extract(epoch FROM now()) * 1000)::bigint")
        await followed.run(
            "BEGIN; INSERT INTO customer VALUES (1, 'Ann'); INSERT INTO customer VALUES (2, 'Ben'); COMMIT"
        )
        first, second = await receiver.until_rows(2)

    def same_shape(ours: Any, theirs: Any) -> None:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            for name in ours:
                same_shape(ours[name], theirs[name])
        elif ours is not None:
            assert type(ours) is type(theirs)

    same_shape({name: value for name, value in first.items() if name != "after"}, DEBEZIUM)
    assert first["source"] == second["source"]
    assert first["source"]["name"] == SOURCE
    assert (first["source"]["schema"], first["source"]["table"]) == ("public", "customer")
    assert before_ms - 1_000 <= first["source"]["ts_ms"] <= first["ts_ms"] + 1_000
    assert [row["transaction"]["total_order"] for row in (first, second)] == [1, 2]
    assert first["transaction"]["id"] == second["transaction"]["id"]


async def test_capture_sends_values_as_exact_json(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(
        "CREATE TYPE colour AS ENUM ('red', 'blue')",
        "CREATE DOMAIN quantity AS int CHECK (VALUE >= 0)",
        "CREATE DOMAIN small_quantity AS quantity",
        """CREATE TABLE everything (
            id bigint PRIMARY KEY, price numeric(30, 6), share float8, odd float8, big_odd numeric, active bool, body jsonb,
            at timestamptz, local timestamp, never timestamptz, day date, image bytea, tags text[], colour colour,
            stock small_quantity, code char(5), nothing text, quoted text)""",
    )
    await capture.set_up("public.everything")

    async with capture.running():
        await followed.run(
            """INSERT INTO everything VALUES (9007199254740993, 12345678901234567890.123450, 1e21, 'NaN', 'Infinity', true,
            '{"a": [1, null]}', '2026-01-31 10:00:00.25+02', '2026-01-31 10:00:00', 'infinity', '2026-01-31',
            '\\xdeadbeef', '{a,"b c"}', 'blue', 7, 'AB', NULL, E'a"b\\\\c\\n\\t\\u2028\\U0001F600')"""
        )
        await receiver.until_rows(1)

    raw = receiver.bodies[-1].decode()
    assert '"id":9007199254740993,"price":12345678901234567890.123450,"share":1e+21,"odd":"NaN"' in raw
    after = receiver.rows[0]["after"]
    assert {name: after[name] for name in list(after)[4:]} == {
        "big_odd": "Infinity",
        "active": True,
        "body": '{"a": [1, null]}',
        "at": "2026-01-31T08:00:00.25Z",
        "local": "2026-01-31T10:00:00Z",
        "never": "infinity",
        "day": "2026-01-31",
        "image": "3q2+7w==",
        "tags": '{a,"b c"}',
        "colour": "blue",
        "stock": 7,
        "code": "AB   ",
        "nothing": None,
        "quoted": 'a"b\\c\n\t\u2028\U0001f600',
    }


async def test_capture_unchanged_long_value_is_unknown(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER, "ALTER TABLE customer ALTER note SET STORAGE EXTERNAL")
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run(
            f"INSERT INTO customer VALUES (1, 'Ann', {LONG})",
            "UPDATE customer SET name = 'Anne'",
            "UPDATE customer SET note = NULL",
        )
        inserted, renamed, emptied = await receiver.until_rows(3)

    assert len(inserted["after"]["note"]) == 12_800
    assert renamed["after"] == {"id": 1, "name": "Anne", "note": UNAVAILABLE}
    assert emptied["after"] == {"id": 1, "name": "Anne", "note": None}


async def test_capture_replica_identity_full_gives_all_values_before(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(
        CUSTOMER, "ALTER TABLE customer ALTER note SET STORAGE EXTERNAL", "ALTER TABLE customer REPLICA IDENTITY FULL"
    )
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run(
            f"INSERT INTO customer VALUES (1, 'Ann', {LONG})",
            "UPDATE customer SET name = 'Anne'",
            "DELETE FROM customer",
        )
        inserted, renamed, deleted = await receiver.until_rows(3)

    assert renamed["before"] == inserted["after"]
    assert renamed["after"] == inserted["after"] | {"name": "Anne"}
    assert deleted["before"] == renamed["after"]


async def test_capture_changed_key_has_the_old_key_before(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run("INSERT INTO customer VALUES (1, 'Ann')", "UPDATE customer SET id = 2")
        _, moved = await receiver.until_rows(2)

    assert (moved["before"], moved["after"]["id"]) == ({"id": 1}, 2)


async def test_capture_partitions_come_under_the_name_of_their_table(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(
        "CREATE TABLE stock (id int, warehouse int, on_hand int, PRIMARY KEY (id, warehouse)) PARTITION BY LIST (warehouse)",
        "CREATE TABLE stock_1 PARTITION OF stock FOR VALUES IN (1)",
    )
    await capture.set_up("public.stock")

    async with capture.running():
        await followed.run(
            "INSERT INTO stock VALUES (7, 1, 10)",
            "CREATE TABLE stock_2 PARTITION OF stock FOR VALUES IN (2)",
            "INSERT INTO stock VALUES (7, 2, 20)",
            "UPDATE stock SET warehouse = 1, id = 8 WHERE warehouse = 2",
        )
        rows = await receiver.until_rows(4)

    assert {row["source"]["table"] for row in rows} == {"stock"}
    assert [row["op"] for row in rows] == ["c", "c", "d", "c"]  # a move to another partition


async def test_capture_truncate_is_sent_for_each_table(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER, "CREATE TABLE part (id int PRIMARY KEY)")
    await capture.set_up("public.customer", "public.part")

    async with capture.running():
        await followed.run("INSERT INTO customer VALUES (1)", "TRUNCATE customer, part", "INSERT INTO part VALUES (3)")
        rows = await receiver.until_rows(4)

    assert [(row["op"], row["source"]["table"]) for row in rows[1:]] == [
        ("t", "customer"),
        ("t", "part"),
        ("c", "part"),
    ]
    assert [(row["before"], row["after"]) for row in rows[1:3]] == [(None, None)] * 2


async def test_capture_columns_may_change_while_it_runs(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    receiver.map_table("public.customer", "name")
    await capture.set_up()

    async with capture.running():
        await followed.run(
            "INSERT INTO customer VALUES (1, 'Ann', 'x')",
            "ALTER TABLE customer ADD COLUMN city text DEFAULT 'Linz'",
            "INSERT INTO customer VALUES (2, 'Ben', 'y', 'Wien')",
            "ALTER TABLE customer DROP COLUMN note",
            "INSERT INTO customer VALUES (3, 'Cem', 'Graz')",
            "ALTER TABLE customer RENAME COLUMN name TO full_name",
            "INSERT INTO customer VALUES (4, 'Dee', 'Enns')",
        )
        rows = await receiver.until_rows(4)

    assert [row["after"] for row in rows] == [
        {"id": 1, "name": "Ann", "note": "x"},
        {"id": 2, "name": "Ben", "note": "y", "city": "Wien"},
        {"id": 3, "name": "Cem", "city": "Graz"},
        {"id": 4, "full_name": "Dee", "city": "Enns"},
    ]
    assert [each for each in capture.warnings if "public.customer has no column name" in each]


async def test_capture_value_that_is_too_long_is_unknown_and_key_stays(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run("INSERT INTO customer VALUES (1, 'Ann', repeat('x', 20000000))")
        (row,) = await receiver.until_rows(1)

    assert row["after"] == {"id": 1, "name": "Ann", "note": UNAVAILABLE}


async def test_capture_large_transaction_is_sent_in_pieces_with_growing_positions(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await followed.run("INSERT INTO customer SELECT i, 'name' FROM generate_series(1, 25000) AS i")
        await receiver.until_rows(25_000)

    assert receiver.values() == list(range(1, 25_001))
    assert max(receiver.requests) == envelopes.ROWS_MAX
    assert receiver.positions == sorted(receiver.positions)


async def test_capture_continues_inside_a_large_transaction(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    async with capture.running():
        await followed.run("INSERT INTO customer SELECT i, 'name' FROM generate_series(1, 5000) AS i")
        await receiver.until_rows(2_000)
    sent = len(receiver.rows)

    async with capture.running():
        await receiver.until_rows(5_000)

    assert sent < 5_000
    assert receiver.values() == list(range(1, 5_001))


async def test_capture_reads_a_backlog_in_steps(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_database, "READ_MAX_ROWS", 50)
    monkeypatch.setattr(follow, "READ_MAX_ROWS", 50)
    monkeypatch.setattr(follow, "READ_MAX_BYTES", 20_000)
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    await followed.run(*(f"INSERT INTO customer VALUES ({i}, 'name')" for i in range(300)))

    async with capture.running():
        await receiver.until_rows(300)

    assert receiver.values() == list(range(300))


async def test_capture_lost_answer_duplicates_nothing(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        receiver.lost_answers = 2
        await followed.run(*(f"INSERT INTO customer VALUES ({i})" for i in range(20)))
        await receiver.until_rows(20)
        await followed.run("INSERT INTO customer VALUES (20)")
        await receiver.until_rows(21)

    assert receiver.values() == list(range(21))


async def test_capture_waits_for_an_overloaded_server(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commerce_event.changes.capture import change_server

    monkeypatch.setattr(change_server, "_RETRY_S", 0.3)  # so that it also starts again from the stored position
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        receiver.failures = [503, 429, 502, 503, 503, 503, 503, 500]
        await followed.run(*(f"INSERT INTO customer VALUES ({i})" for i in range(20)))
        await receiver.until_rows(20)

    assert receiver.values() == list(range(20))
    assert any("answered 503" in each for each in capture.warnings)
    assert "waiting" in {report["state"] for report in receiver.reports}


async def test_capture_connects_again_when_the_database_ends_its_connection(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        for number in range(12):  # each at another moment of a step
            await followed.run(f"INSERT INTO customer VALUES ({number})")
            await receiver.until_rows(number + 1)
            await followed.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'commerce-event capture' AND datname = current_database()"
            )

    assert receiver.values() == list(range(12))


async def test_capture_idle_table_does_not_hold_the_log(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_HEARTBEAT_BYTES", 1024**2)
    monkeypatch.setattr(follow, "_HEARTBEAT_S", 3_600.0)
    await followed.run(CUSTOMER, "CREATE TABLE busy (id int)")
    await capture.set_up("public.customer")
    confirmed = f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{capture.slot}'"

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        first, slot_before = receiver.position, await followed.value(confirmed)
        await followed.run("INSERT INTO busy SELECT generate_series(1, 100000)", "SELECT pg_switch_wal()")
        await receiver.until(lambda: receiver.position != first)

    assert receiver.rows == []
    assert await followed.value(confirmed) > slot_before


async def test_capture_heartbeat_moves_the_position_of_a_quiet_database(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_HEARTBEAT_S", 0.2)
    await followed.run(CUSTOMER, "CREATE TABLE other (id int)")
    await capture.set_up("public.customer")

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        await followed.run("INSERT INTO other VALUES (1)")
        lsn = await followed.value("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
        await receiver.until(lambda: int(str(receiver.position).split("/")[2], 16) >= lsn)

    assert receiver.rows == []


async def test_capture_reports_that_it_runs_and_stops(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await receiver.until(lambda: bool(receiver.reports))

    assert [report["state"] for report in receiver.reports] == ["running", "stopped"]
    assert set(receiver.reports[0]) == {
        "state", "message", "lag_bytes", "lag_ms", "retained_bytes", "reported_by",
    }  # fmt: skip


async def test_capture_second_one_waits_and_takes_over(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    second = Capture(followed, receiver)

    async with capture.running():
        await followed.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)
        async with second.running():
            await receiver.until(lambda: any(report["state"] == "waiting" for report in receiver.reports))
            await followed.run("INSERT INTO customer VALUES (2)")
            await receiver.until_rows(2)
            [pid] = await (await followed.connection()).fetchrow(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'commerce-event capture' "
                "AND datname = current_database() AND query LIKE '%pg_replication_slots%' ORDER BY backend_start"
            ) or [0]
            await followed.run(f"SELECT pg_terminate_backend({pid})", "INSERT INTO customer VALUES (3)")
            await receiver.until_rows(3)

    assert receiver.values() == [1, 2, 3]
    assert any("Another capture follows the slot" in each for each in second.warnings)
