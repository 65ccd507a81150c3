"""Changes stored at random, compared with a model in plain Python after every step."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from change_batches import accept, found, new_change, raised, row, row_key, waiting
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from stores import START_MS, Engine, accept_events, new_event

from commerce_event.store.change_rows import index_key
from commerce_event.store.model import Accepted, NewChange, PositionWrite, WaitingNotification
from commerce_event.store.port import ChangesOutdatedError, PositionChangedError, Store

T = TypeVar("T")
EngineMaker = Callable[[Path], Engine]

MEMORY_DISK = Path("/dev/shm")  # the files are real, only their disk is quick
ROWS = range(4)
SUBJECTS = ("s", "t", "x" * 600)
KEYS = (None, None, "k", "l", "m")


class Changes(RuleBasedStateMachine):
    make_engine: EngineMaker

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        self.engine = type(self).make_engine(Path(self.folder.name))
        self.store: Store = self.do(self.engine.open())
        self.changes: list[int] = []
        self.rows: dict[int, tuple[int, dict[str, Any]]] = {}  # number: last change, values
        self.waiting: dict[str, WaitingNotification] = {}
        self.former: list[WaitingNotification] = []  # as they were read at any time
        self.keys: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.position: str | None = None
        self.sequences = 0
        self.last_id = 1_000  # the same ids in every run of an example

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def new_change(self, key: str | None) -> NewChange:
        self.last_id += 1
        return msgspec.structs.replace(new_change(idempotency_key=key), id=self.last_id)

    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3), label="keys")
        made = [self.new_change(key) for key in keys]
        last = made[-1].id
        numbers = data.draw(st.lists(st.sampled_from(ROWS), unique=True), label="rows")
        rows, rows_fit = [], True
        for number in numbers:
            present = self.rows.get(number, (None, None))[0]
            expected = present if data.draw(st.integers(0, 9)) else data.draw(st.sampled_from([None, 1, last]))
            rows_fit &= expected == present
            values = data.draw(st.sampled_from([None, {"n": last}, {}]), label="values")
            rows.append(row(number, last, expected, values=values))
        subjects = data.draw(st.lists(st.sampled_from(SUBJECTS), max_size=3), label="subjects")
        held = [waiting(subject, last, due_ms=START_MS + last % 5) for subject in subjects]
        events = [new_event(7) for _ in range(data.draw(st.integers(0, 2), label="events"))]
        expected_position = self.position if data.draw(st.integers(0, 9)) else "other"
        position = PositionWrite(source="erp", position=str(last), expected=expected_position)
        given = [key for key in keys if key is not None]
        keys_fit = len(given) == len(set(given)) and not set(given) & self.keys.keys()
        refused: Exception | None = None
        answers: list[Accepted] = []
        try:
            answers = self.do(
                accept(
                    self.store, *events, changes=made, rows=rows, waiting=held, positions=[position],
                    raised=[raised(each, last, last) for each in events],
                )
            )  # fmt: skip
        except (ChangesOutdatedError, PositionChangedError) as error:
            refused = error
        if isinstance(refused, PositionChangedError):
            assert (refused.position, expected_position) == (self.position, "other")
        else:
            assert (refused is None) == (rows_fit and keys_fit)
            assert expected_position == self.position
        if refused is None:
            self.note(made, rows, held, str(last))
            self.sequences += len(events)
            assert [each.sequence for each in answers] == list(
                range(self.sequences - len(events) + 1, self.sequences + 1)
            )
            for new in made:
                if new.change.idempotency_key is not None:
                    ids = tuple(each.id for each in events) if new.id == last else ()
                    self.keys[new.change.idempotency_key] = (new.id, ids)

    def note(self, made: Any, rows: Any, held: list[WaitingNotification], position: str) -> None:
        self.changes += [each.id for each in made]
        self.position = position
        for write in rows:
            number = msgspec.json.decode(write.key)[2]["SkuId"]
            self.rows.pop(number, None)
            if write.values is not None:
                self.rows[number] = (write.change_id, write.values)
        for each in held:
            first = self.waiting.get(each.subject, msgspec.structs.replace(each, merged=0))
            self.waiting[each.subject] = msgspec.structs.replace(
                each, due_ms=first.due_ms, first_change_id=first.first_change_id, merged=first.merged + 1
            )

    @rule(data=st.data(), now=st.integers(0, 4))
    def release(self, data: st.DataObject, now: int) -> None:
        due = self.do(self.store.changes.due(now_ms=START_MS + now, limit=9))
        assert [each.due_ms for each in due] == sorted(
            each.due_ms for each in self.waiting.values() if each.due_ms <= START_MS + now
        )
        self.former += due
        if not self.former:
            return
        chosen = data.draw(st.lists(st.sampled_from(self.former), max_size=2, unique_by=lambda each: each.subject))
        present = {index_key(each.subject): each.change_id for each in self.waiting.values()}
        fits = all(present.get(each.subject) == each.change_id for each in chosen)
        event = new_event(7)
        try:
            [answer] = self.do(accept(self.store, event, released=chosen))
        except ChangesOutdatedError:
            assert not fits
        else:
            assert fits
            self.sequences += 1
            assert answer.sequence == self.sequences
            gone = {each.subject for each in chosen}
            self.waiting = {name: each for name, each in self.waiting.items() if index_key(name) not in gone}

    @rule(reopened=st.integers(0, 9))
    def accept_event(self, reopened: int) -> None:
        if reopened == 1:  # rarely, because it takes long
            self.do(self.store.close())
            self.store = self.do(self.engine.open())
        [answer] = self.do(accept_events(self.store, [new_event(7)]))
        self.sequences += 1
        assert answer.sequence == self.sequences

    @invariant()
    def all_is_as_it_was_accepted(self) -> None:
        assert self.do(found(self.store)) == sorted(self.changes, reverse=True)
        known = self.do(self.store.changes.known_rows([(1, row_key(number)) for number in ROWS]))
        present = {number: known[1, row_key(number)] for number in ROWS if (1, row_key(number)) in known}
        assert {number: (each.change_id, each.values) for number, each in present.items()} == self.rows
        held = self.do(self.store.changes.waiting([(5, subject) for subject in SUBJECTS]))
        assert {
            subject: msgspec.structs.replace(each, subject=subject) for (_, subject), each in held.items()
        } == self.waiting
        next_ms = min((each.due_ms for each in self.waiting.values()), default=None)
        assert self.do(self.store.changes.next_due_ms()) == next_ms
        first = self.do(self.store.changes.first_changes([(1, key) for key in KEYS if key is not None]))
        assert {key: (each.id, each.event_ids) for (_, key), each in first.items()} == self.keys

    def teardown(self) -> None:
        self.do(self.engine.close_all())
        self.runner.close()
        self.folder.cleanup()


def test_changes_are_stored_whole_or_not_at_all_after_any_steps(engine_maker: EngineMaker) -> None:
    machine = type("Changes", (Changes,), {"make_engine": staticmethod(engine_maker)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            report_multiple_bugs=False,
            derandomize=True,  # the same lives every time
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
