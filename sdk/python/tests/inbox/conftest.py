"""Every test of the inbox with the fixture ``database`` runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commerce_event_sdk.inbox import Inbox
from inboxes import PostgresInboxes, SharedDatabase, SqliteInboxes


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SharedDatabase]:
    made: SharedDatabase = SqliteInboxes(tmp_path) if request.param == "sqlite" else PostgresInboxes()
    yield made
    made.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[SqliteInboxes]:
    made = SqliteInboxes(tmp_path)
    yield made
    made.close()


@pytest.fixture
def postgres_database() -> Iterator[PostgresInboxes]:
    made = PostgresInboxes()
    yield made
    made.close()


@pytest.fixture
def inbox(database: SharedDatabase) -> Inbox:
    return database.inbox()
