"""The statements of the queue read few rows, however many messages are done or pending."""

from __future__ import annotations

import pytest

from commerce_event_sdk.inbox import messages
from commerce_event_sdk.inbox.database import Session
from inboxes import PostgresInboxes, SharedDatabase, SqliteInboxes

pytestmark = pytest.mark.integration

STATEMENTS = {
    "candidates": messages.CANDIDATES,
    "is due": messages.IS_DUE,
    "heads": messages.HEADS,
    "claim": messages.CLAIM,
    "postpone": messages.POSTPONE,
    "claimed": messages.CLAIMED,
    "release key": messages.RELEASE_KEY,
    "renew": messages.RENEW,
    "finish": messages.FINISH,
    "purge done": messages.PURGE["done"],
    "purge dead": messages.PURGE["dead"],
    "delete": messages.DELETE,
    "list": messages.LIST,
    "oldest": messages.OLDEST,
}
INDEX_DUE = "USING INDEX commerce_event_inbox_due"
INDEX_DEAD = "USING INDEX commerce_event_inbox_dead"
PARAMETERS = {
    "now": 1e9, "limit": 100, "until": 1e9, "claim": "c", "business_key": "order:7", "position": 5, "keep": 0, "state": "done",
    "before": 1e9,
}  # fmt: skip


def fill(database: SharedDatabase, done: int, pending: int) -> None:
    numbers = (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) "
        if database.kind == "sqlite"
        else "WITH numbers AS (SELECT n FROM generate_series(1, {}) AS n) "
    )
    insert = "INSERT INTO commerce_event_inbox (id, business_key, received_at, state, next_attempt_at, finished_at) "
    with database.inbox().session() as session:
        session.run(insert + numbers.format(done) + DONE, {})
        session.run(insert + numbers.format(pending) + PENDING, {})
        session.run("ANALYZE", {})


DONE = "SELECT 'd' || n, 'order:' || n, n, 'done', NULL, n FROM numbers"
PENDING = "SELECT 'p' || n, 'order:' || (n % 300), n, 'pending', n, NULL FROM numbers"


def plan_of(session: Session, sql: str, explain: str) -> str:
    text = sql.format(positions=session.positions, skip_locked=session.skip_locked)
    if sql == messages.CANDIDATES:
        text += session.skip_locked
    wanted = {name: value for name, value in PARAMETERS.items() if f":{name}" in text}
    wanted["positions"] = session.position_list([1, 2, 3])
    if "DESC" in text:
        wanted["before"] = 10**9
    return "\n".join(str(row[-1]) for row in session.query(f"{explain} {text}", wanted))


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_on_sqlite_searches_an_index(sqlite_database: SqliteInboxes, name: str) -> None:
    with sqlite_database.inbox().session() as session:
        plan = plan_of(session, STATEMENTS[name], "EXPLAIN QUERY PLAN")
    scans = [line for line in plan.splitlines() if line.startswith("SCAN") and "json_each" not in line]
    assert [line for line in scans if not line.endswith((INDEX_DUE, INDEX_DEAD))] == []  # these hold nothing else
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("is_analyzed", [True, False])
def test_statements_on_postgres_scan_no_table(postgres_database: PostgresInboxes, is_analyzed: bool) -> None:
    fill(postgres_database, 20_000, 3000)
    session = postgres_database.inbox().database.open(uses_indexes=True)
    if not is_analyzed:
        session.run("DELETE FROM pg_statistic WHERE starelid = 'commerce_event_inbox'::regclass", {})
    plans = {name: plan_of(session, sql, "EXPLAIN") for name, sql in STATEMENTS.items()}
    session.close()
    for name, plan in plans.items():
        assert "Seq Scan on commerce_event_inbox" not in plan, f"{name}:\n{plan}"
    assert "commerce_event_inbox_due" in plans["candidates"]
    assert "Sort" not in plans["candidates"]


def test_claim_behind_many_blocked_messages_reads_each_once(database: SharedDatabase) -> None:
    """300 heads wait for an hour; 2,700 due messages behind them are put aside by the first claims."""
    fill(database, 10, 3000)
    inbox = database.inbox()
    database.run(
        "UPDATE commerce_event_inbox SET next_attempt_at = 1900000000 WHERE state = 'pending' AND received_at <= 300"
    )
    due = f"SELECT count(*) FROM commerce_event_inbox WHERE state = 'pending' AND next_attempt_at <= {database.clock()}"
    assert database.run(due) == [(2700,)]
    with inbox.session() as session:
        assert messages.claim(session, limit=4, max_attempts=9, now=database.clock(), claim_s=60) == []
    assert database.run(due) == [(0,)]
