"""Every test of the inbox with the fixture ``database`` runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commerce_event_sdk.inbox import Inbox
from inboxes import PostgresTestDatabase, SqliteTestDatabase, TestDatabase


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestDatabase]:
    made: TestDatabase = SqliteTestDatabase(tmp_path) if request.param == "sqlite" else PostgresTestDatabase()
    yield made
    made.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[SqliteTestDatabase]:
    made = SqliteTestDatabase(tmp_path)
    yield made
    made.close()


@pytest.fixture
def postgres_database() -> Iterator[PostgresTestDatabase]:
    made = PostgresTestDatabase()
    yield made
    made.close()


@pytest.fixture
def inbox(database: TestDatabase) -> Inbox:
    return database.inbox()
