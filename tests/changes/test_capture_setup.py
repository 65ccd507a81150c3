"""Setup creates what a capture needs, once; errors say what to correct."""

from typing import Final

import pytest
from change_receiver import ChangeReceiver
from followed_database import Followed, start_logical_server
from running_capture import NAME, Capture

from commerce_event.changes.capture.errors import CaptureError, NeedsPersonError
from commerce_event.changes.capture.setup import inspect, tear_down

CUSTOMER: Final = "CREATE TABLE customer (id int PRIMARY KEY, name text)"
SLOTS: Final = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
PUBLISHED: Final = "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables"


async def remove(capture: Capture) -> list[str]:
    said: list[str] = []
    database = capture.database()
    try:
        await tear_down(database, said.append)
    finally:
        await database.close()
    return said


async def test_setup_twice_changes_nothing(followed: Followed, capture: Capture) -> None:
    await followed.run(CUSTOMER)

    await capture.set_up("public.customer")
    first = list(capture.said)
    await capture.set_up()
    second = capture.said[len(first) :]

    assert any("Created the publication" in each for each in first)
    assert any("Created the slot" in each for each in first)
    assert any("max_slot_wal_keep_size sets no limit" in each for each in first)
    assert not [each for each in second if each.startswith(("Made", "Making", "Added"))]
    assert await followed.value(SLOTS) == 1


async def test_setup_adds_a_table_that_the_source_has_gained(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER, 'CREATE TABLE "Odd ""name" (id int PRIMARY KEY)')
    await capture.set_up("public.customer")
    receiver.map_table('public.Odd "name')

    sentence = await capture.run_to_error()
    await capture.set_up()

    assert "--setup" in sentence
    assert await followed.value(PUBLISHED) in {'Odd "name,customer', 'customer,Odd "name'}


async def test_setup_says_that_values_before_are_missing(followed: Followed, capture: Capture) -> None:
    await followed.run(CUSTOMER, "CREATE TABLE part (id int PRIMARY KEY)", "ALTER TABLE part REPLICA IDENTITY FULL")

    await capture.set_up("public.customer", "public.part")

    told = [each.partition(":")[0] for each in capture.said if "without the values before" in each]
    assert told == ["public.customer"]


async def test_setup_says_which_columns_deletes_lack(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    receiver.client_id = {"column": "shop"}
    await followed.run(
        "CREATE TABLE customer (id int PRIMARY KEY, shop int)",
        "CREATE TABLE part (id int, shop int, PRIMARY KEY (shop, id))",
        "CREATE TABLE stock (id int PRIMARY KEY, shop int)",
        "ALTER TABLE stock REPLICA IDENTITY FULL",
    )

    await capture.set_up("public.customer", "public.part", "public.stock")

    told = [each for each in capture.said if "deletes come without" in each]
    assert len(told) == 1
    assert told[0].startswith("public.customer: deletes come without shop,")
    assert 'ALTER TABLE "public"."customer" REPLICA IDENTITY FULL' in told[0]


@pytest.mark.parametrize(
    ("statement", "table", "expected"),
    [
        ("CREATE TABLE bare (id int)", "public.bare", "REPLICA IDENTITY FULL"),
        ("CREATE TABLE bare (id int PRIMARY KEY); ALTER TABLE bare REPLICA IDENTITY NOTHING", "public.bare", "REPLICA"),
        ("CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)", "public.fast", "unlogged"),
        ("CREATE VIEW seen AS SELECT 1 AS id", "public.seen", "has no table public.seen"),
        ("SELECT 1", "public.nothing", "has no table public.nothing"),
        (
            "CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
            "public.parts",
            "ALTER TABLE parts_1 REPLICA IDENTITY FULL",
        ),
    ],
)
async def test_setup_refuses_a_table_that_cannot_be_captured(
    statement: str, table: str, expected: str, followed: Followed, capture: Capture
) -> None:
    await followed.run(statement)

    with pytest.raises(NeedsPersonError, match=expected):
        await capture.set_up(table)

    assert await followed.value(PUBLISHED) is None
    assert await followed.value(SLOTS) == 0


async def test_teardown_removes_slot_and_publication_once(followed: Followed, capture: Capture) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    first, second = await remove(capture), await remove(capture)

    assert [each.split()[0] for each in first] == ["Dropped", "Dropped"]
    assert [each.split()[0] for each in second] == ["There", "There"]
    assert await followed.value(SLOTS) == 0
    assert await followed.value(PUBLISHED) is None


async def test_teardown_of_a_running_capture_is_refused(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.running():
        await receiver.until(lambda: bool(receiver.reports))
        with pytest.raises(CaptureError, match="stop it first"):
            await remove(capture)

    assert await followed.value(SLOTS) == 1


async def test_inspect_returns_the_state_of_a_capture(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)

    async def found() -> tuple[str, bool, str]:
        database = capture.database()
        async with capture.server() as server:
            inspection = await inspect(database, await server.source())
        await database.close()
        return inspection.state["slot_state"], inspection.state["is_followed"], " ".join(inspection.warnings)

    receiver.map_table("public.customer")
    before = await found()
    await capture.set_up()
    idle = await found()
    async with capture.running():
        await receiver.until(lambda: bool(receiver.reports))
        running = await found()

    assert before[:2] == ("missing", False)
    assert "--setup" in before[2]
    assert idle[:2] == ("ok", False)
    assert "Nothing follows the slot" in idle[2]
    assert running == ("ok", True, "")


async def test_capture_without_slot_says_how_to_create_it(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(
        CUSTOMER, f"CREATE PUBLICATION {NAME} FOR TABLE customer WITH (publish_via_partition_root = true)"
    )
    receiver.map_table("public.customer")

    assert "create it with --setup" in await capture.run_to_error()
    assert receiver.reports[-1]["state"] == "failing"


async def test_capture_without_publication_says_how_to_create_it(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    receiver.map_table("public.customer")

    assert "There is no publication" in await capture.run_to_error()


async def test_capture_publication_dropped_while_running_ends_it(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")

    async with capture.ending() as ended:
        await receiver.until(lambda: bool(receiver.reports))
        await followed.run(f"DROP PUBLICATION {NAME}", "INSERT INTO customer VALUES (1)")

    assert "publication" in ended[0]
    assert receiver.reports[-1]["state"] == "failing"
    assert receiver.rows == []


async def test_capture_of_an_unknown_source_says_so(
    followed: Followed, receiver: ChangeReceiver, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("running_capture.SOURCE", "shoe")

    assert "has no source 'shoe'" in await capture.run_to_error()


async def test_capture_by_a_user_without_replication_says_what_to_grant(followed: Followed, capture: Capture) -> None:
    name = await followed.value("SELECT current_database()")
    await followed.run(f"CREATE ROLE {name} LOGIN")
    capture.followed = followed.as_user(name)
    try:
        sentence = await capture.run_to_error()
    finally:
        await followed.run(f"DROP ROLE {name}")

    assert f'ALTER ROLE "{name}" REPLICATION' in sentence


async def test_capture_by_a_user_with_replication_only_works(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(CUSTOMER)
    await capture.set_up("public.customer")
    name = await followed.value("SELECT current_database()")
    await followed.run(f"CREATE ROLE {name} LOGIN REPLICATION")
    capture.followed = followed.as_user(name)
    try:
        async with capture.running():
            await followed.run("INSERT INTO customer VALUES (1)")
            await receiver.until_rows(1)
    finally:
        await followed.run(f"DROP ROLE {name}")


async def test_capture_without_logical_log_says_what_to_set(receiver: ChangeReceiver) -> None:
    server = start_logical_server(settings=["wal_level = replica"])
    followed = await Followed.create(server)
    try:
        sentence = await Capture(followed, receiver).run_to_error()
    finally:
        await followed.close()
        server.cleanup()

    assert "ALTER SYSTEM SET wal_level = logical" in sentence


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://u@127.0.0.1:5432/x?sslmode=nonsense"])
async def test_capture_of_no_database_url_says_so(url: str, receiver: ChangeReceiver) -> None:
    with pytest.raises(CaptureError, match=r"postgresql://|no address"):
        await Capture(Followed(url), receiver).database().connect()
