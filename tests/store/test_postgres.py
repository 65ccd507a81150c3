"""What only the engine of many nodes has to prove: nodes share work and survive each other, and what is refused."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import postgres
import pytest
from stores import START_MS, PostgresEngine, accept_events, attempts_of, claim, new_event, result
from structlog.testing import capture_logs

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.store.model import EndpointRow, EventQuery, NewDelivery, NewEvent, Page
from commerce_event.store.port import StoreRefusedError, StoreUnavailableError
from commerce_event.store.postgres import PostgresStore, connections

EVERYONE = Scope.everyone()
LATER_MS = START_MS + 60_000
DAY_MS = 86_400_000
NODE = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from stores import START_MS, FakeClock, claim
from commerce_event.store.postgres import PostgresStore

async def main():
    store = PostgresStore(sys.argv[1], clock=FakeClock())
    await store.open()
    claimed = await claim(store, 7, lease_ms=10**9)
    print(*[each.delivery_id for each in claimed], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


@contextmanager
def other_node(url: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own that claims what is due for endpoint 7, says so, and never answers for it."""
    command = [sys.executable, "-c", NODE, url, str(Path(__file__).parents[1] / "support")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class Heard:
    """Collects the notices of a store."""

    def __init__(self, store: PostgresStore) -> None:
        self._notices: asyncio.Queue[str] = asyncio.Queue()
        store.on_notice = self._notices.put_nowait

    async def wait_for(self, notice: str) -> None:
        async with asyncio.timeout(60):
            while await self._notices.get() != notice:
                pass

    def nothing(self) -> bool:
        return self._notices.empty()


def at_week(ids: IdMaker, ms: int, *, endpoint: int | None = 7, key: str | None = None) -> NewEvent:
    """An event whose id tells its time, as real ones do."""
    deliveries = () if endpoint is None else (NewDelivery(ids.next(ms), endpoint),)
    return NewEvent(
        id=ids.next(ms), client_id=1, type="OrderConfirmedEvent", application_id=None, accepted_ms=ms,
        config_version=0, idempotency_key=key, traceparent=None, body=b'{"OrderNo":"SO-1"}', deliveries=deliveries,
    )  # fmt: skip


async def test_queue_is_swept_after_many_deliveries(engine: PostgresEngine) -> None:
    store = await engine.open()
    async with asyncio.timeout(120):  # one sweep may find the server's own under way, which is enough for both
        while not await engine.run("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'queue'"):
            await accept_events(store, [new_event(7) for _ in range(500)])
            await store.queue.settle([result(each) for each in await claim(store, 7, limit=500)])


# Sharing work


async def test_two_nodes_claim_everything_once_between_them(engine: PostgresEngine) -> None:
    nodes = [await engine.open(), await engine.open()]
    await accept_events(nodes[0], [new_event(7) for _ in range(300)])

    claims = await asyncio.gather(*(claim(nodes[number % 2], 7, limit=20) for number in range(30)))
    ids = [each.delivery_id for some in claims for each in some]
    assert len(ids) == len(set(ids)) == 300
    assert {each.run_id for some in claims for each in some} == {node.run_id for node in nodes}


async def test_what_a_live_node_is_sending_stays_its_own_when_another_starts(engine: PostgresEngine) -> None:
    first = await engine.open()
    await accept_events(first, [new_event(7)])
    [claimed] = await claim(first, 7)
    second = await engine.open()

    assert second.run_id != first.run_id
    assert await claim(second, 7, retrying=True) == []
    assert await first.queue.settle([result(claimed)]) == [True]


async def test_expired_lease_of_a_live_node_is_taken_over_and_its_late_result_fenced_off(
    engine: PostgresEngine,
) -> None:
    first, second = await engine.open(), await engine.open()
    await accept_events(first, [new_event(7)])
    [lost] = await claim(first, 7)
    [again] = await claim(second, 7, retrying=True, now_ms=LATER_MS)

    assert await first.queue.settle([result(lost)]) == [False]
    assert await second.queue.settle([result(again)]) == [True]
    assert [each.error for each in await attempts_of(first, lost.delivery_id)] == ["interrupted", None]


async def test_work_of_a_killed_node_comes_back_to_a_running_one(engine: PostgresEngine) -> None:
    engine.lost_after_s = 0.1
    store = await engine.open()
    heard = Heard(store)
    await accept_events(store, [new_event(7) for _ in range(3)])
    with other_node(await engine.url()) as node:
        assert node.stdout is not None
        taken = {int(each) for each in (await asyncio.to_thread(node.stdout.readline)).split()}
        assert len(taken) == 3
        node.kill()
        await heard.wait_for("work")

    again = await claim(store, 7, retrying=True)
    assert {each.delivery_id for each in again} == taken
    assert {each.number for each in again} == {2}
    assert [each.error for each in await attempts_of(store, again[0].delivery_id)] == ["interrupted"]


async def test_node_that_starts_after_a_kill_takes_the_work_back_itself(engine: PostgresEngine) -> None:
    engine.lost_after_s = 0.1
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    await store.close()
    with other_node(await engine.url()) as node:
        assert node.stdout is not None
        await asyncio.to_thread(node.stdout.readline)
        node.kill()
    store = await engine.open()
    await Heard(store).wait_for("work")

    [again] = await claim(store, 7, retrying=True)
    assert again.number == 2


async def test_nodes_hear_of_each_others_work_and_changes_but_not_of_their_own(engine: PostgresEngine) -> None:
    first, second = await engine.open(), await engine.open()
    own, others = Heard(first), Heard(second)
    await accept_events(first, [new_event(7)])
    await others.wait_for("work")
    row = EndpointRow(
        id=7, client_id=1, revision=0, created_ms=1, updated_ms=1, deleted_ms=None, config=b"{}", sealed=b""
    )  # fmt: skip
    await first.registry.put_endpoint(row)
    await others.wait_for("config")

    assert own.nothing()


async def test_clock_jump_of_one_of_several_nodes_moves_no_due_times(engine: PostgresEngine) -> None:
    first, second = await engine.open(), await engine.open()
    await accept_events(first, [new_event(7)])
    await first.maintenance.shift_due(5_000)
    assert [each.due_ms for each in await first.queue.backlog()] == [START_MS]

    await second.close()
    await first.maintenance.shift_due(5_000)
    assert [each.due_ms for each in await first.queue.backlog()] == [START_MS + 5_000]


# Accepting on several nodes


async def test_sequences_of_several_nodes_have_no_gap_and_become_visible_in_order(engine: PostgresEngine) -> None:
    nodes = [await engine.open(), await engine.open()]
    batches = [[new_event(client=1 + (number + step) % 3) for step in range(4)] for number in range(40)]
    writing = asyncio.gather(*(accept_events(nodes[number % 2], batch) for number, batch in enumerate(batches)))
    while not writing.done():
        seen = [each.sequence for each in await nodes[0].history.events_after(1, 0, 1_000)]
        assert seen == list(range(1, len(seen) + 1)), "a later event was visible before an earlier one"
    await writing

    for client in (1, 2, 3):
        sequences = [each.sequence for each in await nodes[1].history.events_after(client, 0, 1_000)]
        assert sequences == list(range(1, len(sequences) + 1))
    assert sum([len(await nodes[0].history.events_after(client, 0, 1_000)) for client in (1, 2, 3)]) == 160


async def test_one_key_on_two_nodes_at_once_makes_one_event(engine: PostgresEngine) -> None:
    nodes = [await engine.open(), await engine.open()]
    for number in range(10):
        events = [new_event(7, key=f"k{number}", body=b'{"n":%d}' % (each % 2)) for each in range(6)]
        answers = await asyncio.gather(*(accept_events(nodes[each % 2], [event]) for each, event in enumerate(events)))
        outcomes = sorted(answer.outcome for [answer] in answers)

        assert outcomes == ["conflict"] * 3 + ["duplicate"] * 2 + ["new"]
        assert len({answer.id for [answer] in answers}) == 1
    assert [each.sequence for each in await nodes[0].history.events_after(1, 0, 99)] == list(range(1, 11))


async def test_order_of_a_key_holds_while_nodes_accept_and_settle_at_once(engine: PostgresEngine) -> None:
    nodes = [await engine.open(), await engine.open()]
    sent: list[int] = []

    async def deliver(node: PostgresStore) -> None:
        while len(sent) < 40:
            for each in await claim(node, 7, now_ms=LATER_MS, limit=3):
                sent.append(each.sequence)
                assert await node.queue.settle([result(each)]) == [True]

    async def accept(node: PostgresStore) -> None:
        for _ in range(20):
            await accept_events(node, [new_event(7, order_key="a")])

    async with asyncio.timeout(60):  # one that nobody releases would wait for ever
        await asyncio.gather(*(accept(node) for node in nodes), *(deliver(node) for node in nodes))
    assert sorted(sent) == list(range(1, 41))
    [book] = await nodes[0].history.delivery_counts(EVERYONE, recount=True)
    assert (book.delivered, book.pending, book.difference) == (40, 0, 0)


async def test_counts_balance_after_nodes_change_the_same_deliveries_at_once(
    engine: PostgresEngine,
) -> None:
    nodes = [await engine.open(), await engine.open()]
    await accept_events(nodes[0], [new_event(7, 8, order_key=key) for key in ("a", "b", None) for _ in range(20)])
    ids = [row.id for row in await _all_deliveries(nodes[0])]

    async def live(node: PostgresStore, forward: bool) -> None:
        mine = ids if forward else ids[::-1]
        for start in range(0, len(mine), 15):
            some = mine[start : start + 15]
            await node.queue.cancel(some[:5], reason="test", now_ms=START_MS)
            held = await claim(node, 7) + await claim(node, 8, retrying=True, now_ms=LATER_MS)
            await node.queue.settle([result(each, "dead", reason="test") for each in held])
            await node.queue.requeue(some, now_ms=START_MS)
            await node.queue.finish_pending(8, state="cancelled", reason="test", now_ms=START_MS, limit=3)

    await asyncio.gather(*(live(node, forward) for node in nodes for forward in (True, False)))
    for recount in (False, True):
        assert [book.difference for book in await nodes[0].history.delivery_counts(EVERYONE, recount=recount)] == [0, 0]
    assert (await nodes[0].maintenance.verify_counts(after_id=0, limit=1_000)).wrong == ()


async def _all_deliveries(store: PostgresStore) -> list[NewDelivery]:
    from commerce_event.store.model import DeliveryQuery

    found = await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(10_000))
    return [NewDelivery(each.id, each.endpoint_id) for each in found]


async def test_nodes_share_the_text_index_and_every_event_is_found_all_the_while(engine: PostgresEngine) -> None:
    nodes = [await engine.open(), await engine.open()]
    await accept_events(nodes[0], [new_event(body=b'{"OrderNo":"SO-%d"}' % number) for number in range(300)])
    query = EventQuery(scope=EVERYONE, text="so")
    indexing = asyncio.gather(*(nodes[number % 2].maintenance.index_text(40) for number in range(10)))
    while not indexing.done():
        assert len(await nodes[0].history.events(query, Page(1_000))) == 300

    assert sum(await indexing) == 300
    assert len(await nodes[1].history.events(query, Page(1_000))) == 300


# Losing the connection


async def cut_off(engine: PostgresEngine) -> None:
    await engine.run(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_store_that_was_cut_off_comes_back_by_itself_and_catches_up(engine: PostgresEngine) -> None:
    store = await engine.open()
    heard = Heard(store)
    await accept_events(store, [new_event(7)])
    await cut_off(engine)
    await heard.wait_for("config")
    await heard.wait_for("work")

    for _ in range(20):  # a call may meet a connection that is not known to be broken yet
        try:
            assert [answer.outcome for answer in await accept_events(store, [new_event(7)])] == ["new"]
            break
        except StoreUnavailableError:
            continue
    assert len(await claim(store, 7)) == 2


async def test_call_under_way_when_the_connection_breaks_is_answered_as_unavailable(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(key="k")])
    blocker = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    async with blocker.transaction():
        await blocker.execute("SELECT * FROM client FOR UPDATE")
        waiting = asyncio.create_task(accept_events(store, [new_event(key="other")]))
        while not await blocker.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        ):
            pass
        with pytest.raises(StoreUnavailableError):
            await waiting
    await blocker.close()

    [again] = await accept_events(store, [new_event(key="other")])
    assert (again.outcome, again.sequence) == ("new", 2)


# Weeks


async def test_finished_week_goes_whole_and_an_unfinished_one_stays(engine: PostgresEngine) -> None:
    store, ids = await engine.open(), IdMaker()
    old = [at_week(ids, START_MS, key=f"k{number}") for number in range(5)]
    await accept_events(store, old)
    await store.maintenance.index_text(2)
    held = await claim(store, 7)
    young = at_week(ids, START_MS + 14 * DAY_MS)
    await accept_events(store, [young])
    engine.clock.ms = START_MS + 60 * DAY_MS
    before_ms = START_MS + 14 * DAY_MS
    parts = "SELECT count(*) FROM pg_class WHERE relname ~ '_20270111$' AND relkind = 'r'"  # the week of START_MS

    await store.queue.settle([result(each) for each in held[:-1]])
    assert (
        await store.maintenance.expire(before_ms=before_ms, limit=100) == 4
    )  # one by one, as one of the week is pending
    assert await engine.run(parts) == 4
    await store.queue.settle([result(held[-1])])
    assert await store.maintenance.expire(before_ms=before_ms, limit=100) == 1
    assert await engine.run(parts) == 0

    assert [each.id for each in await store.history.events(EventQuery(scope=EVERYONE), Page(9))] == [young.id]
    assert await attempts_of(store, held[-1].delivery_id) == []
    assert await store.last_id() >= young.id
    assert [each.outcome for each in await accept_events(store, [at_week(ids, START_MS, key="k4")])] == ["new"]
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.delivered, book.pending, book.difference) == (5, 2, 0)
    assert await store.maintenance.index_text(100) == 2


async def test_dropped_week_remembers_that_its_ids_were_used(engine: PostgresEngine) -> None:
    store, ids = await engine.open(), IdMaker()
    event = at_week(ids, START_MS, endpoint=None)
    await accept_events(store, [event])
    engine.clock.ms = START_MS + 60 * DAY_MS

    assert await store.maintenance.expire(before_ms=START_MS + 14 * DAY_MS, limit=1) == 1
    assert await engine.run("SELECT count(*) FROM event") == 0
    assert await store.last_id() == event.id


async def test_short_retention_does_not_wait_for_the_end_of_the_week(engine: PostgresEngine) -> None:
    store, ids = await engine.open(), IdMaker()
    await accept_events(store, [at_week(ids, START_MS, endpoint=None)])
    engine.clock.ms = START_MS + 2_000

    assert await store.maintenance.expire(before_ms=START_MS + 1_000, limit=10) == 1


async def test_long_retention_leaves_the_running_week_to_be_dropped_whole(engine: PostgresEngine) -> None:
    store, ids = await engine.open(), IdMaker()
    await accept_events(store, [at_week(ids, START_MS, endpoint=None)])
    engine.clock.ms = START_MS + 30 * DAY_MS

    assert await store.maintenance.expire(before_ms=START_MS + 1_000, limit=10) == 0
    assert await store.maintenance.expire(before_ms=START_MS + 7 * DAY_MS, limit=10) == 1


async def test_event_of_a_week_without_partition_is_stored(engine: PostgresEngine) -> None:
    store, ids = await engine.open(), IdMaker()
    far = at_week(ids, START_MS + 700 * DAY_MS)
    await accept_events(store, [far])
    engine.clock.ms = START_MS + 700 * DAY_MS
    await store.close()
    store = await engine.open()  # makes the weeks that it can

    [claimed] = await claim(store, 7, now_ms=START_MS + 701 * DAY_MS)
    assert await store.queue.settle([result(claimed)]) == [True]
    assert (await store.history.events_after(1, 0, 9))[0].id == far.id


# Opening


async def test_nodes_that_start_together_on_an_empty_database_migrate_it_once() -> None:
    name = await postgres.empty_database()
    stores = [PostgresStore(postgres.in_database(postgres.server_url(), name)) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))

    assert len({store.run_id for store in stores}) == 4
    assert [[each.outcome for each in await accept_events(store, [new_event(7)])] for store in stores] == [["new"]] * 4
    for store in stores:
        await store.close()
    await postgres.drop(name)


async def refusal(url: str) -> str:
    with pytest.raises(StoreRefusedError) as refused:
        await PostgresStore(url).open()
    assert "secret" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///x.db",
        "postgresql://u:secret@host:port/db",
        "postgresql://u:secret@[::1/db",
        "",
        "mysql://u:secret@h/db",
    ],
)
async def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    assert "postgresql://user:password@host:5432/database" in await refusal(url)


async def test_server_that_does_not_answer_is_named() -> None:
    assert await refusal("postgresql://u:secret@127.0.0.1:9/db") == (
        "127.0.0.1:9 cannot be reached; start PostgreSQL there, or check host and port in --store"
    )


async def test_missing_database_is_refused_with_the_command_that_makes_it() -> None:
    url = postgres.in_database(postgres.server_url(), "commerce_event_none")

    assert "createdb commerce_event_none" in await refusal(url)


async def test_newer_schema_is_refused_as_this_node_is_too_old(engine: PostgresEngine) -> None:
    await engine.run("INSERT INTO schema_version VALUES (9999)")

    assert (await refusal(await engine.url())).startswith("this node is too old: ")


async def test_tables_of_another_program_are_left_alone() -> None:
    name = await postgres.empty_database()
    url = postgres.in_database(postgres.server_url(), name)
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA commerce_event CREATE TABLE queue (id integer)")
    await connection.close()

    assert "another program" in await refusal(url)
    await postgres.drop(name)


async def test_server_that_would_lose_acknowledged_events_is_refused(engine: PostgresEngine) -> None:
    await engine.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$"
    )

    refused = await refusal(await engine.url())
    assert "synchronous_commit = off" in refused
    assert "ALTER SYSTEM SET synchronous_commit = on" in refused


async def test_user_without_rights_is_refused_with_the_grant_that_helps() -> None:
    name = await postgres.empty_database()
    user = f"{name}_guest"
    await postgres.run_on_server(f"CREATE ROLE \"{user}\" LOGIN PASSWORD 'secret'")
    url = postgres.in_database(postgres.server_url(), name).replace("postgres:@", f"{user}:secret@", 1)

    if "COMMERCE_EVENT_TEST_POSTGRES" not in os.environ:
        assert f'GRANT CREATE, CONNECT ON DATABASE "{name}" TO "{user}"' in await refusal(url)
    await postgres.drop(name)
    await postgres.run_on_server(f'DROP ROLE "{user}"')


async def test_wrong_password_is_refused_without_showing_it() -> None:
    server = postgres.start_server()
    url = server.get_uri()
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER ROLE postgres PASSWORD 'right'")
    (server.pgdata / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()

    refused = await refusal(url.replace("postgres:@", "postgres:wrong@", 1))
    assert refused.endswith("did not let postgres in; check user and password in --store")
    assert "wrong" not in refused
    server.cleanup()


async def test_standby_is_refused_and_the_primary_asked_for() -> None:
    server = postgres.start_server()
    server.stop()
    (server.pgdata / "standby.signal").touch()
    server.start()

    assert "is a standby that takes no writes; name the primary in --store" in await refusal(server.get_uri())
    server.cleanup()


async def test_of_several_hosts_the_primary_is_used() -> None:
    primary, standby = postgres.start_server(), postgres.start_server()
    standby.stop()
    (standby.pgdata / "standby.signal").touch()
    standby.start()
    path, other = (parse_qs(urlsplit(each.get_uri()).query)["host"][0] for each in (primary, standby))

    store = PostgresStore(f"postgresql://postgres@/postgres?host=/nowhere,{other},{path}")
    with capture_logs() as logs:
        await store.open()
    assert [line["remedy"] for line in logs] == ["set synchronous_standby_names, and synchronous_commit to on"]
    await accept_events(store, [new_event(7)])
    assert [event.sequence for event in await store.history.events_after(1, 0, 10)] == [1]
    await store.close()

    refused = await refusal(f"postgresql://postgres@/postgres?host={other},{other}")
    assert "is a primary that takes writes" in refused
    primary.cleanup()
    standby.cleanup()


async def test_too_old_server_is_refused_with_the_version_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SINCE", 990_000)

    assert "14 or newer is needed" in await refusal(postgres.server_url())


async def test_other_encoding_is_refused() -> None:
    name = postgres.new_name()
    await postgres.run_on_server(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")

    assert "--encoding=UTF8" in await refusal(postgres.in_database(postgres.server_url(), name))
    await postgres.drop(name)


async def test_location_that_is_shown_has_no_password(engine: PostgresEngine) -> None:
    store = PostgresStore((await engine.url()).replace("postgres:@", "postgres:secret@", 1))
    await store.open()
    info = await store.info()
    await store.close()

    assert "secret" not in info.location
    assert (info.engine, info.durability) == ("postgresql", "fsync=on, full_page_writes=on, synchronous_commit=on")
