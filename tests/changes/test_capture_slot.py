"""A lost slot is reported, with what may be missing, and never ignored."""

import re
from typing import Final

import pytest
from change_receiver import ChangeReceiver
from followed_database import Followed
from running_capture import NAME, Capture

from commerce_event.changes.capture import follow
from commerce_event.changes.capture.position import Position

CUSTOMER: Final = "CREATE TABLE customer (id int PRIMARY KEY, name text)"
MAY_BE_MISSING: Final = re.compile(r"Changes from [0-9A-F]+/[0-9A-F]+ (to [0-9A-F]+/[0-9A-F]+|on) may be missing")


async def capture_one(followed: Followed, receiver: ChangeReceiver, capture: Capture) -> None:
    """Capture the row 1, and end."""
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    async with capture.running():
        await followed.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)


async def test_slot_dropped_while_stopped_ends_the_capture(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    await followed.run(f"SELECT pg_drop_replication_slot('{capture.slot}')")

    sentence = await capture.run_to_error()

    assert MAY_BE_MISSING.search(sentence)
    assert "--setup" in sentence
    assert receiver.reports[-1]["state"] == "slot_lost"
    assert receiver.reports[-1]["message"] == sentence


async def test_slot_created_again_ends_the_capture_until_the_gap_is_accepted(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    await followed.run(f"SELECT pg_drop_replication_slot('{capture.slot}')", "INSERT INTO customer VALUES (2)")
    await capture.set_up()
    await followed.run("INSERT INTO customer VALUES (3)")

    first, second = await capture.run_to_error(), await capture.run_to_error()
    async with capture.running(accept_gap=True):
        await receiver.until_rows(2)

    assert first == second
    assert MAY_BE_MISSING.search(first)
    assert any("continue with --accept-gap" in each for each in capture.said)
    assert any(MAY_BE_MISSING.search(each) for each in capture.warnings)
    assert receiver.values() == [1, 3]


@pytest.mark.parametrize("made_again", [False, True])
async def test_slot_dropped_while_running_ends_the_capture(
    made_again: bool, followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.ending() as ended:
        await followed.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)
        await followed.drop_slot(capture.slot)
        await followed.run("INSERT INTO customer VALUES (2)")
        if made_again:
            await followed.run(f"SELECT pg_create_logical_replication_slot('{capture.slot}', 'pgoutput')")
            await followed.run("INSERT INTO customer VALUES (3)")

    assert MAY_BE_MISSING.search(ended[0])
    assert receiver.values() == [1]


async def test_slot_that_another_program_read_from_ends_the_capture(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    await followed.run(
        "INSERT INTO customer VALUES (2)",
        f"SELECT count(*) FROM pg_logical_slot_get_binary_changes('{capture.slot}', NULL, NULL, 'proto_version', '1', "
        f"'publication_names', '{NAME}')",
    )

    assert MAY_BE_MISSING.search(await capture.run_to_error())


async def test_slot_invalidated_ends_the_capture_and_setup_creates_it_again(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    try:
        await followed.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
        for number in range(4):
            await followed.run(
                "SELECT pg_switch_wal()", f"INSERT INTO customer VALUES ({100_000 + number})", "CHECKPOINT"
            )

        sentence = await capture.run_to_error()
        await capture.set_up()
        again = await capture.run_to_error()
    finally:
        await followed.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")

    assert "was invalidated" in sentence
    assert MAY_BE_MISSING.search(sentence)
    assert any("Dropped the slot" in each for each in capture.said)
    assert MAY_BE_MISSING.search(again)


async def test_slot_without_position_starts_where_the_slot_begins(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    await followed.run("INSERT INTO customer VALUES (1)")

    async with capture.running():
        await receiver.until_rows(1)

    assert receiver.positions[0] < receiver.positions[1]
    assert receiver.requests[0] == 0


async def test_slot_position_of_another_cluster_ends_the_capture(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    position = Position.parse(str(receiver.position))
    receiver.position = str(position._replace(system_id=position.system_id + 1))

    sentence = await capture.run_to_error()

    assert "is another database cluster than before" in sentence


async def test_slot_position_of_another_program_ends_the_capture(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await capture_one(followed, receiver, capture)
    receiver.position = "mysql-bin.000003:154"

    assert "capture needs a source of its own" in await capture.run_to_error()


async def test_slot_that_keeps_much_log_is_warned_of(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_CHECK_S", 0.0)
    monkeypatch.setattr(follow, "_REPORT_S", 0.0)  # it reports without a pause
    monkeypatch.setattr(follow, "_RETAINED_WARNING_BYTES", 0)
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await receiver.until(lambda: bool(receiver.reports and receiver.reports[-1]["message"]))

    assert "max_slot_wal_keep_size sets no limit" in capture.warnings[0]
    assert receiver.reports[-2]["message"] == capture.warnings[0]
