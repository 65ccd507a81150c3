"""The tables: the first program creates them once, and a later version upgrades them."""

from __future__ import annotations

import threading

import pytest

from commerce_event_sdk.inbox import Inbox, schema
from commerce_event_sdk.inbox.command import main
from inboxes import PostgresInboxes, SharedDatabase, delivery

pytestmark = pytest.mark.integration


def test_tables_are_made_at_the_first_put(database: SharedDatabase) -> None:
    inbox = database.make()
    assert inbox.database.read_version() is None
    inbox.put(delivery("a"), None)
    assert inbox.database.read_version() == schema.SCHEMA_VERSION
    inbox.close()


def test_create_tables_again_keeps_what_is_stored(database: SharedDatabase) -> None:
    database.inbox().put(delivery("a"), None)
    database.inbox().create_tables()
    assert database.inbox().status().pending == 1


def test_create_tables_by_many_at_once_succeeds(database: SharedDatabase) -> None:
    errors: list[Exception] = []

    def create() -> None:
        try:
            database.make().create_tables()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []


def test_schema_sql_in_a_migration_makes_the_same_tables(database: SharedDatabase) -> None:
    for statement in Inbox.schema_sql("sqlite" if database.kind == "sqlite" else "postgres").split(";\n"):
        if statement.strip():
            database.run(statement)
    inbox = database.make()
    assert inbox.database.read_version() == schema.SCHEMA_VERSION
    assert inbox.put(delivery("a"), None) is True
    inbox.close()


def test_tables_of_an_earlier_version_are_upgraded(database: SharedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    database.inbox().put(delivery("a"), None)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    step = {1: ["ALTER TABLE commerce_event_inbox ADD COLUMN note TEXT"]}
    monkeypatch.setattr(schema, "UPGRADES", {"sqlite": step, "postgres": step})
    inbox = database.inbox()
    assert inbox.database.read_version() == 2
    assert database.run("SELECT id, note FROM commerce_event_inbox") == [("a", None)]
    database.inbox().create_tables()


def test_tables_of_a_later_version_are_refused(database: SharedDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    database.inbox()
    database.run("INSERT INTO commerce_event_inbox_schema (version) VALUES (99)")
    inbox = database.make()
    with pytest.raises(ValueError, match="have version 99; this commerce-event-sdk knows up to 1"):
        inbox.put(delivery("a"), None)
    inbox.close()
    assert main(["status", "--database", database.url]) == 1
    assert "update it in every program" in capsys.readouterr().err


def test_role_that_may_not_create_tables_uses_them(postgres_database: PostgresInboxes) -> None:
    postgres_database.inbox()
    role = f"{postgres_database.name}_app"
    postgres_database.on_server(f'CREATE ROLE "{role}" LOGIN')
    try:
        postgres_database.run(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{role}"')
        from psycopg.conninfo import make_conninfo

        inbox = Inbox.postgres(make_conninfo(postgres_database.address, user=role))
        assert inbox.put(delivery("a"), None) is True
        inbox.close()
    finally:
        postgres_database.run(f'DROP OWNED BY "{role}"')
        postgres_database.on_server(f'DROP ROLE "{role}"')


def test_positions_are_kept_by_source(database: SharedDatabase) -> None:
    inbox = database.inbox()
    assert inbox.read_position("http://server client 1") is None
    inbox.write_position("http://server client 1", 17)
    inbox.write_position("http://server client 1", 18)
    inbox.write_position("http://server client 2", 1)
    assert inbox.read_position("http://server client 1") == 18
