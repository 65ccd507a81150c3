"""Every test here runs on every engine; an engine is a way to open the same data again and again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import Engine, SqliteEngine

from commerce_event.store.port import Store


@pytest.fixture(params=["sqlite"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    made = SqliteEngine(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()
