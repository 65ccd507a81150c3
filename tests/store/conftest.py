"""Every test here runs on every engine; an engine is a way to open the same data again and again."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
from stores import Engine, PostgresEngine, SqliteEngine

from commerce_event.store import conditions
from commerce_event.store.port import Store

ENGINES: Final[dict[str, Callable[[Path], Engine]]] = {"postgres": PostgresEngine, "sqlite": SqliteEngine}


@pytest.fixture(params=sorted(ENGINES))
def engine_maker(request: pytest.FixtureRequest) -> Callable[[Path], Engine]:
    """A way to make engines, each with data of its own in a folder of its own."""
    return ENGINES[request.param]


@pytest.fixture
async def engine(engine_maker: Callable[[Path], Engine], tmp_path: Path) -> AsyncIterator[Engine]:
    made = engine_maker(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


@pytest.fixture(params=[conditions.NEWEST_SCANNED, 1], ids=["near", "far"])
def looking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a listing find what it looks for among the newest, or let it take the way for what lies far behind."""
    monkeypatch.setattr(conditions, "NEWEST_SCANNED", request.param)
