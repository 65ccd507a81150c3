"""Adding events to the outbox, in transactions of every kind of connection."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from commerce_event_sdk import InvalidEventError, JobCompletedEvent, Outbox, UnknownEvent
from shop_databases import ASYNC_WAYS, SHOPS, WAYS, Shop

pytestmark = pytest.mark.integration

OUTBOX = Outbox()


def job(**changes: Any) -> dict[str, Any]:
    """Return a valid event."""
    return {"ClientId": 1, "JobId": 7, "StatusId": 2, **changes}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_add_committed_transaction_has_the_event(shop: Shop, way: str) -> None:
    with WAYS[way](shop) as work:
        first = OUTBOX.add(work.connection, JobCompletedEvent(**job(JobId=8)))
        second = OUTBOX.add(work.connection, "JobCompletedEvent", job(), key="job of Anna")
        third = OUTBOX.add(work.connection, "OwnType", {"Text": "100 % Åsa"})
        assert shop.rows() == []
        work.commit()
    rows = shop.rows()
    assert [row[:3] for row in rows] == [
        (first, "JobCompletedEvent", "job:8"),
        (second, "JobCompletedEvent", "job of Anna"),
        (third, "OwnType", None),
    ]
    assert [json.loads(row[3]) for row in rows] == [job(JobId=8), job(), {"Text": "100 % Åsa"}]
    assert {row[4] for row in rows} == {"pending"}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_add_rolled_back_transaction_has_no_event(shop: Shop, way: str) -> None:
    with WAYS[way](shop) as work:
        OUTBOX.add(work.connection, "JobCompletedEvent", job())
        work.rollback()
        kept = OUTBOX.add(work.connection, "JobCompletedEvent", job())
        work.commit()
    assert [row[0] for row in shop.rows()] == [kept]


@pytest.mark.parametrize("way", sorted(ASYNC_WAYS))
@pytest.mark.parametrize("commits", [True, False])
async def test_add_async_event_follows_the_transaction(tmp_path: Path, way: str, commits: bool) -> None:
    with SHOPS["postgres"](tmp_path, with_table=False) as shop:
        async with ASYNC_WAYS[way](shop) as work:
            await OUTBOX.create_tables_async(work.connection)
            await work.commit()
        async with ASYNC_WAYS[way](shop) as work:
            added = await OUTBOX.add_async(work.connection, "JobCompletedEvent", job(), key="a")
            await (work.commit if commits else work.rollback)()
        assert [row[0] for row in shop.rows()] == ([added] if commits else [])


@pytest.mark.parametrize("way", sorted(WAYS))
def test_create_tables_twice_keeps_the_messages(shop: Shop, way: str) -> None:
    with WAYS[way](shop) as work:
        OUTBOX.add(work.connection, "JobCompletedEvent", job())
        OUTBOX.create_tables(work.connection)
        work.commit()
    assert len(shop.rows()) == 1


@pytest.mark.parametrize("kind", sorted(SHOPS))
def test_schema_sql_as_a_migration_makes_the_table(tmp_path: Path, kind: str) -> None:
    with SHOPS[kind](tmp_path, with_table=False) as shop:
        sql = Outbox.schema_sql("sqlite" if kind == "sqlite" else "postgres")
        shop.commit(*sql.rstrip(";\n").split(";\n"))
        assert shop.rows() == []


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        (job(JobId=None), "/JobId is required"),
        (job(JobId="7"), "/JobId must be an integer"),
        (job(JobId=2**40), "/JobId must be from"),
        ({**job(), "jobId": 1}, "/jobId is spelled JobId in the contract"),
        (job(Extra="\0"), "/Extra must not contain the character U.0000"),
        (job(Extra="x" * 300_000), "the body has 3"),
        (job(Extra=object()), "cannot be written as JSON"),
    ],
)
def test_add_invalid_event_raises_in_the_transaction(event: dict[str, Any], pointer: str) -> None:
    given = {name: value for name, value in event.items() if value is not None}
    with closing(sqlite3.connect(":memory:")) as connection:
        OUTBOX.create_tables(connection)
        with pytest.raises(InvalidEventError, match=pointer):
            OUTBOX.add(connection, "JobCompletedEvent", given)
        assert connection.execute("SELECT count(*) FROM commerce_event_outbox").fetchone() == (0,)


def test_add_event_object_with_a_wrong_value_raises() -> None:
    with pytest.raises(InvalidEventError, match="/JobId must be an integer"):
        OUTBOX.add(None, JobCompletedEvent(**job(JobId="7")))


def test_add_unknown_event_is_taken_as_it_is(shop: Shop) -> None:
    with closing(shop.connect()) as connection:
        OUTBOX.add(connection, UnknownEvent("OwnType", {"A": 1}))
        connection.commit()
    assert [(row[1], row[3]) for row in shop.rows()] == [("OwnType", '{"A":1}')]


def test_add_on_an_autocommit_connection_is_refused(shop: Shop) -> None:
    with closing(shop.connect()) as connection:
        if shop.kind == "sqlite":
            connection.isolation_level = None
        else:
            connection.autocommit = True
        with pytest.raises(ValueError, match="autocommit"):
            OUTBOX.add(connection, "JobCompletedEvent", job())
    assert shop.rows() == []


def test_add_unknown_connection_names_those_that_are_known() -> None:
    with pytest.raises(TypeError, match=r"sqlite3, psycopg, SQLAlchemy .* Django"):
        OUTBOX.add(object(), "JobCompletedEvent", job())


def test_add_own_size_limit_is_kept() -> None:
    with pytest.raises(InvalidEventError, match="the limit is 10"):
        Outbox(max_event_bytes=10).add(None, "JobCompletedEvent", job())
