"""What only the embedded engine has to prove about reading: its planner knows no sizes, so indexes are named to it."""

from pathlib import Path

from stores import START_MS, SqliteEngine
from test_times import event_at

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.store.port import DeliveryQuery, EventQuery, Page
from commerce_event.store.sqlite import files, history


async def test_a_short_time_of_the_past_is_read_without_the_rest_of_the_journal(tmp_path: Path) -> None:
    """Counted in steps of the engine's machine: what is read does not grow with what came after."""
    engine, ids = SqliteEngine(tmp_path), IdMaker()
    store = await engine.open()
    steps = {}
    for size in (2_000, 4_000):
        await store.accept([event_at(ids, START_MS + number * 1_000) for number in range(size - 2_000, size)])
        reader = files.open_reader(engine.path)
        query = EventQuery(scope=Scope.of(1), since_ms=START_MS + 60_000, until_ms=START_MS + 70_000)
        sent = DeliveryQuery(scope=Scope.of(1), endpoint_id=7, since_ms=query.since_ms, until_ms=query.until_ms)
        for name, look in {
            "events": lambda reader=reader: history.events(reader, query, Page(50)),
            "deliveries": lambda reader=reader: history.deliveries(reader, sent, Page(50)),
            "replay": lambda reader=reader: history.events_between(
                reader, 1, after_id=0, until_ms=START_MS + 10_000, types=(), limit=200
            ),
            "client": lambda reader=reader: history.events(reader, EventQuery(scope=Scope.of(1)), Page(50)),
        }.items():
            look()  # prepared once
            counted = [0]

            def count(counted: list[int] = counted) -> bool:
                counted[0] += 1
                return False

            reader.set_progress_handler(count, 20)
            assert 0 < len(look()) <= 50
            reader.set_progress_handler(None)
            steps[name, size] = counted[0]
        reader.close()

    await engine.close_all()
    for name in ("events", "deliveries", "replay", "client"):
        assert steps[name, 4_000] <= steps[name, 2_000] * 1.2 + 5, name
