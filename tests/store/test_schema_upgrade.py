"""A store of an older version: nothing in it is lost on the way up, and a way cut short leaves it as it was."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import postgres
import pytest
from stores import START_MS, PostgresEngine, SqliteEngine, accept_events, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store import conditions
from commerce_event.store.model import DeliveryQuery, EventQuery, Page
from commerce_event.store.port import Store
from commerce_event.store.postgres import schema
from commerce_event.store.postgres.connections import Address
from commerce_event.store.postgres.sql import Connection
from commerce_event.store.sqlite import files

EVERYONE = Scope.everyone()
SQLITE, POSTGRES = files.migrations(), schema.migrations()
OLD_SQLITE = [version for version, _ in SQLITE[:-1]]
OLD_POSTGRES = [version for version, _ in POSTGRES[:-1]]


def up_to(steps: Sequence[tuple[int, str]], version: int) -> list[tuple[int, str]]:
    return [step for step in steps if step[0] <= version]


class OldPostgres(PostgresEngine):
    """A database that no version has opened yet."""

    async def url(self) -> str:
        if self._database is None:
            self._database = await postgres.empty_database()
        return await super().url()


async def ids_of(store: Store, **conditions: Any) -> list[int]:
    query = EventQuery(**({"scope": EVERYONE} | conditions))
    return [event.id for event in await store.history.events(query, Page(100))]


async def told(store: Store) -> dict[str, list[int]]:
    return {
        "all": await ids_of(store),
        "of a client": await ids_of(store, scope=Scope.of(1)),
        "of a time": await ids_of(store, since_ms=START_MS + 1, until_ms=START_MS + 1),
        "pending": await ids_of(store, state="pending"),
        "dead": await ids_of(store, state="dead"),
        "by text": await ids_of(store, text="SO-1"),
        "deliveries": [each.id for each in await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(99))],
        "books": [
            book.matched + book.difference for book in await store.history.delivery_counts(EVERYONE, recount=True)
        ],
    }


@pytest.mark.parametrize("version", OLD_SQLITE)
async def test_embedded_store_of_an_older_version_keeps_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    engine = SqliteEngine(tmp_path)
    with monkeypatch.context() as older:
        older.setattr(files, "migrations", lambda: up_to(SQLITE, version))
        connection = files.open_writer(engine.path)
        files.migrate(connection, engine.path)
        add_rows(connection, version)
        connection.close()
    store = await engine.open()

    assert (await store.info()).schema_version == SQLITE[-1][0]
    await check(store)
    await engine.close_all()


def counts_table(version: int) -> str:
    """Return the name that the table of delivery counts has in that version."""
    return "book" if version < 7 else "delivery_counts"


def add_rows(connection: apsw.Connection, version: int) -> None:
    """What a store holds, as every version writes it: three events of two clients, each in another state."""
    connection.execute("INSERT INTO client VALUES (1, 2), (2, 1)")
    for event_id, client_id, sequence in ((10, 1, 1), (20, 1, 2), (30, 2, 1)):
        connection.execute(
            "INSERT INTO event (id, client_id, sequence, type, accepted_ms, config_version, match_count, body) "
            "VALUES (?, ?, ?, 'OrderConfirmedEvent', ?, 0, 1, ?)",
            (event_id, client_id, sequence, START_MS + event_id, b'{"OrderNo":"SO-1"}'),
        )
    for event_id, client_id, state in ((10, 1, "delivered"), (20, 1, "dead"), (30, 2, "pending")):
        due_ms, finished_ms = (START_MS, None) if state == "pending" else (None, START_MS)
        connection.execute(
            "INSERT INTO delivery (id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, "
            "replayed, created_ms, finished_ms) VALUES (?, ?, 7, ?, ?, 1, 0, ?, 0, ?, ?)",
            (event_id + 1, event_id, client_id, state, due_ms, START_MS, finished_ms),
        )
    connection.execute(f"INSERT INTO {counts_table(version)} VALUES (7, 1, 3, 1, 1, 0, 1)")


async def check(store: Store) -> None:
    assert await told(store) == {
        "all": [30, 20, 10], "of a client": [20, 10], "of a time": [], "pending": [30], "dead": [20],
        "by text": [30, 20, 10], "deliveries": [31, 21, 11], "books": [3],
    }  # fmt: skip
    assert await ids_of(store, since_ms=START_MS + 20, until_ms=START_MS + 20) == [20]
    [again] = await claim(store, 7, retrying=True)
    assert (again.event_id, await store.queue.settle([result(again)])) == (30, [True])
    [answer] = await accept_events(store, [new_event(7)])
    assert answer.sequence == 3


@pytest.mark.parametrize("version", [0, *OLD_SQLITE])
def test_embedded_upgrade_cut_short_anywhere_leaves_a_whole_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "events.db"
    connection = files.open_writer(path)
    whole = {}
    for step in range(version, SQLITE[-1][0] + 1):  # what each version's schema is
        sample = files.open_writer(tmp_path / f"{step}.db")
        for number, sql in up_to(SQLITE, step):
            sample.execute(sql)
            sample.pragma("user_version", number)
        whole[step] = schema_of(sample)
        sample.close()
    for number, sql in up_to(SQLITE, version):
        with connection:
            connection.execute(sql)
            connection.pragma("application_id", files.APPLICATION_ID)
            connection.pragma("user_version", number)

    cuts = 0
    while cut_at(connection, path, cuts):
        assert schema_of(connection) == whole[int(connection.pragma("user_version"))]
        cuts += 1
    assert cuts > 0
    assert schema_of(connection) == whole[SQLITE[-1][0]]
    connection.close()


def schema_of(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return list(connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"))


def cut_at(connection: apsw.Connection, path: Path, number: int) -> bool:
    """Migrate, and let the statement of that number fail; tell whether there was such a one."""
    left = [number]

    def trace(_: object, sql: str, __: object) -> bool:
        if not re.match(r"\s*(CREATE|DROP|INSERT|UPDATE|ALTER|PRAGMA \w+=)", re.sub(r"--.*", "", sql).strip() or ""):
            return True
        left[0] -= 1
        return left[0] >= 0

    connection.set_exec_trace(trace)
    try:
        files.migrate(connection, path)
    except apsw.ExecTraceAbort:
        return True
    finally:
        connection.set_exec_trace(None)
    return False


@pytest.mark.parametrize("version", OLD_POSTGRES)
async def test_database_of_an_older_version_keeps_all_it_holds(tmp_path: Path, version: int) -> None:
    engine = OldPostgres(tmp_path)
    try:
        await make_database(engine, version)
        await add_rows_to_database(engine, version)
        store = await engine.open()

        assert (await store.info()).schema_version == POSTGRES[-1][0]
        await check(store)
    finally:
        await engine.close_all()


async def make_database(engine: PostgresEngine, version: int) -> None:
    """Make the schema as that version did."""
    address = Address(await engine.url())
    connection = await address.connect()
    await migrate_with(connection, address, up_to(POSTGRES, version))
    await connection.close()


async def add_rows_to_database(engine: PostgresEngine, version: int) -> None:
    await engine.run("INSERT INTO client VALUES (1, 2), (2, 1)")
    for event_id, client_id, sequence in ((10, 1, 1), (20, 1, 2), (30, 2, 1)):
        await engine.run(
            "INSERT INTO event VALUES ($1, $2, $3, 'OrderConfirmedEvent', NULL, $4, 0, 1, NULL, NULL, $5)",
            event_id, client_id, sequence, START_MS + event_id, b'{"OrderNo":"SO-1"}',
        )  # fmt: skip
        await engine.run("INSERT INTO text_todo VALUES ($1)", event_id)
    for event_id, state in ((10, "delivered"), (20, "dead")):
        await engine.run(
            "INSERT INTO finished VALUES ($1, $2, 7, 1, $3, 1, 0, NULL, NULL, false, 1, NULL, $4, $4)",
            event_id + 1, event_id, state, START_MS,
        )  # fmt: skip
    await engine.run(
        "INSERT INTO queue (id, event_id, endpoint_id, client_id, attempt_count, failure_count, due_ms, replayed, turn, "
        "created_ms) VALUES (31, 30, 7, 2, 1, 0, $1, false, 1, $1)",
        START_MS,
    )
    await engine.run(f"INSERT INTO {counts_table(version)} VALUES (7, 0, 1, 3, 1, 1, 0, 1)")


@pytest.mark.parametrize("version", [0, *OLD_POSTGRES])
async def test_upgrade_of_a_database_cut_short_anywhere_changes_nothing(version: int) -> None:
    address = postgres.in_database(postgres.server_url(), name := await postgres.empty_database())
    store = Address(address)
    connection = await store.connect()
    try:
        if version:
            await migrate_with(connection, store, up_to(POSTGRES, version))
        before = await shape_of(connection)
        for cut, steps in enumerate(cut_steps(version)):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await migrate_with(connection, store, steps)
            assert await shape_of(connection) == before, f"statement {cut}"
        await migrate_with(connection, store, POSTGRES)
        assert await shape_of(connection) != before
    finally:
        await connection.close()
        await postgres.drop(name)


def cut_steps(version: int) -> list[list[tuple[int, str]]]:
    """The missing migrations, failing before each statement of theirs."""
    found = []
    for number, sql in POSTGRES:
        ends = [0, *(match.end() for match in re.finditer(r"^(?:(?!--).)*;[^\n]*\n", sql, re.MULTILINE))]
        if number > version:
            found += [[*up_to(POSTGRES, number - 1), (number, sql[:end] + "SELECT 1/0;")] for end in ends]
    return found


async def migrate_with(connection: Connection, address: Address, steps: list[tuple[int, str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: steps)
        await schema.migrate(connection, address)


async def shape_of(connection: Connection) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        "SELECT relkind, relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
        "WHERE relnamespace = to_regnamespace('commerce_event') ORDER BY relname, attnum"
    )
    return [tuple(row) for row in rows]


ORDERS = {
    10: b'{"OrderNo":"SO10023","Name":"Y\xc4\xb1ld\xc4\xb1z","Note":"S\xc3\xb6dra"}',
    20: b'{"OrderNo":"SO-10023","Name":"Jane"}',
    30: '{"OrderNo":"SO10024","Name":"北京市"}'.encode(),
}
FOUND_BEFORE = {
    "SO10023": [10],
    "so-10023": [20],
    "SO100": [30, 10],
    "yıld": [10],
    "sodra": [10],
    "jane": [20],
    "北": [30],
}
FOUND_AFTER = {
    "SO10023": [20, 10],
    "SO 100": [30, 20, 10],
    "10023": [20, 10],
    "YILDIZ": [10],
    "京市": [30],
    "jane": [20],
}


@pytest.mark.parametrize("scanned", [conditions.NEWEST_SCANNED, 1])
async def test_embedded_text_index_of_an_older_version_is_made_anew_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    monkeypatch.setattr(conditions, "NEWEST_SCANNED", scanned)
    engine = SqliteEngine(tmp_path)
    with monkeypatch.context() as older:
        older.setattr(files, "migrations", lambda: up_to(SQLITE, 7))
        connection = files.open_writer(engine.path)
        files.migrate(connection, engine.path)
        add_rows(connection, 7)
        for event_id, body in ORDERS.items():
            connection.execute("UPDATE event SET body = ? WHERE id = ?", (body, event_id))
        connection.execute(FORMER_INDEX_TEXT)
        connection.execute("UPDATE meta SET value = 30 WHERE name = 'text_indexed_to'")
        connection.close()
    store = await engine.open()
    await accept_events(store, [new_event(body=b'{"OrderNo":"TX-1"}')])

    assert await store.maintenance.index_text(2) == 2  # the new one, and the newest of the older version
    await store.close()
    store = await engine.open()
    await check_orders(store)
    assert await store.maintenance.index_text(9) == 0
    tables = apsw.Connection(str(engine.path)).execute("SELECT name FROM sqlite_schema WHERE name LIKE '%former%'")
    assert tables.get is None
    await engine.close_all()


# As versions before schema 8 indexed a text.
FORMER_INDEX_TEXT = """
INSERT INTO event_text (rowid, client, value)
SELECT id, client_id, (SELECT group_concat(atom, ' ') FROM json_tree(CAST(body AS TEXT)) WHERE atom IS NOT NULL)
FROM event
"""


@pytest.mark.parametrize("version", [4, 7])
@pytest.mark.parametrize("scanned", [conditions.NEWEST_SCANNED, 1])
async def test_text_index_of_an_older_version_is_made_anew_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanned: int, version: int
) -> None:
    monkeypatch.setattr(conditions, "NEWEST_SCANNED", scanned)
    engine = OldPostgres(tmp_path)
    try:
        await make_database(engine, version)
        await add_rows_to_database(engine, version)
        for event_id, body in ORDERS.items():
            await engine.run("UPDATE event SET body = $2 WHERE id = $1", event_id, body)
            await add_former_text(engine, event_id, 1 + event_id // 30, with_client=version > 4)
        await engine.run("DELETE FROM text_todo")
        store = await engine.open()
        await accept_events(store, [new_event(body=b'{"OrderNo":"TX-1"}')])

        assert await store.maintenance.index_text(2) == 2  # the new one, and the newest of the older version
        await store.close()
        store = await engine.open()
        await check_orders(store)
        await engine.run("DELETE FROM event_text WHERE event_id = 20")
        await add_former_text(engine, 20, 1, with_client=True)  # by a node of the older version that still runs
        assert await ids_of(store, text="jane", scope=Scope.of(1)) == [20]
        assert await store.maintenance.index_text(9) == 1
        assert await engine.run("SELECT count(*) FROM event_text WHERE word_rule = 1") == 0
        assert await store.maintenance.index_text(9) == 0
    finally:
        await engine.close_all()


FORMER_WORDS = {
    10: "so10023 yıldız sodra", 20: "so 10023 jane", 30: "so10024 北京市",
}  # fmt: skip


async def add_former_text(engine: PostgresEngine, event_id: int, client_id: int, *, with_client: bool) -> None:
    words = FORMER_WORDS[event_id].split()
    lexemes = [f"@{client_id}", *words] if with_client else words
    await engine.run(
        "INSERT INTO event_text (event_id, words, folded) VALUES ($1, array_to_tsvector($2::text[]), $3)",
        event_id, lexemes, f" {' '.join(words)} ",
    )  # fmt: skip


async def check_orders(store: Store) -> None:
    """Index the texts of the older version one by one: they are found all the while, in the end by the new rule."""
    for _ in range(4):
        lost = {text: ids for text, ids in FOUND_BEFORE.items() if not set(ids) <= set(await ids_of(store, text=text))}
        assert lost == {}
        assert await ids_of(store, text="jane", scope=Scope.of(1)) == [20]
        assert await ids_of(store, text="jane", scope=Scope.of(2)) == []
        await store.maintenance.index_text(1)
    assert {text: await ids_of(store, text=text) for text in FOUND_AFTER} == FOUND_AFTER
