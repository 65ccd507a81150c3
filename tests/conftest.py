"""Fixtures that tests of several packages share, and the mark of the tests that `make test-unit` leaves out."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
from api_server import Api, running_api
from hostile_receiver import HostileServer
from hypothesis import settings as hypothesis_settings
from local_node import SECRET_KEY, Bench
from stores import Engine, PostgresEngine, SqliteEngine

from commerce_event.accept import commit_batcher
from commerce_event.server import Node
from commerce_event.settings import Settings
from commerce_event.store.port import Store

# A busy machine is no fault of the code: no example has a deadline.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")

ENGINES: Final[dict[str, Callable[[Path], Engine]]] = {"postgres": PostgresEngine, "sqlite": SqliteEngine}

# A test is marked `integration` if it lies in one of these folders or uses one of these fixtures.
INTEGRATION_FOLDERS: Final = frozenset(
    {"store", "registry", "maintenance", "deliver", "end_to_end", "browser", "oracle", "seeded_bugs", "simulation"}
)
INTEGRATION_FIXTURES: Final = frozenset({"api", "bench", "engine_maker", "followed", "pair", "server"})

TESTS: Final = Path(__file__).parent


def pytest_configure() -> None:
    """Let the commands that tests start be interrupted: they would inherit signals that nohup or a shell ignores."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the folders whose tests would all be deselected."""
    quick = config.option.markexpr == "not integration"
    return True if quick and collection_path.parent == TESTS and collection_path.name in INTEGRATION_FOLDERS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start servers, open stores or take seconds."""
    for item in items:
        if not item.path.is_relative_to(TESTS):  # the SDK marks its own
            continue
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in INTEGRATION_FOLDERS or INTEGRATION_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Return the API on a real socket, on a store of the test's own."""
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture(params=sorted(ENGINES))
def engine_maker(request: pytest.FixtureRequest) -> Callable[[Path], Engine]:
    """Return a way to make engines, each with data of its own in a folder of its own."""
    return ENGINES[request.param]


@pytest.fixture
async def engine(engine_maker: Callable[[Path], Engine], tmp_path: Path) -> AsyncIterator[Engine]:
    """Return an engine: a way to open the same data again and again. The test runs once on each."""
    made = engine_maker(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


@pytest.fixture
def max_in_flight() -> int:
    return Settings().max_in_flight


@pytest.fixture
async def bench(tmp_path: Path, max_in_flight: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Return a whole node in this process, with a receiver that can behave badly."""
    monkeypatch.setattr(commit_batcher, "ANSWER_S", 60.0)  # a busy disk may take its time
    settings = Settings(
        store=f"sqlite:///{tmp_path / 'x.db'}",
        allow_networks=("127.0.0.0/8",),
        admin_key="k" * 20,
        secret_key=SECRET_KEY,
        max_in_flight=max_in_flight,
    )
    node = Node(settings)
    async with HostileServer() as hostile:
        await node.start()
        yield Bench(node, hostile)
        await node.stop()
        assert node.dispatcher.in_flight == 0
        assert node.dispatcher.unsettled == 0
