"""Random histories of the queue, compared with a model: what is claimed, in which order, and that nothing is left."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from commerce_event_sdk import DeadLetter, RetryLater
from commerce_event_sdk.inbox import messages
from commerce_event_sdk.inbox.messages import Claimed
from commerce_event_sdk.inbox.rules import Dead, InboxUnavailableError, after_failure
from inboxes import Clock, PostgresInboxes, SharedDatabase, SqliteInboxes, delivery

pytestmark = pytest.mark.integration
MAX_ATTEMPTS = 2
CLAIM_S = 60.0
ERRORS = [ValueError("no stock"), RetryLater(50), DeadLetter("no article"), InboxUnavailableError("locked")]
MEMORY_DISK = Path("/dev/shm")


@dataclass
class Model:
    """What a message should be. ``due`` is when it may be claimed, if it is the oldest pending one of its key."""

    key: str | None
    due: float
    state: str = "pending"
    attempts: int = 0
    claim: Claimed | None = None


class Queue(RuleBasedStateMachine):
    make_database: Callable[[], SharedDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.database = type(self).make_database()
        self.clock: Clock = self.database.clock
        self.inbox = self.database.inbox(retention_s=1e9)
        self.session = self.inbox.database.open()
        self.models: dict[str, Model] = {}
        self.lost: list[Claimed] = []  # claims that expired, were discarded or taken over

    def teardown(self) -> None:
        self.session.close()
        self.database.close()

    def heads(self) -> list[str]:
        """Return the messages that may be claimed now."""
        seen: set[str] = set()
        found = []
        for name, each in self.models.items():  # in the order of arrival
            if each.state != "pending" or (each.key is not None and each.key in seen):
                continue
            if each.key is not None:
                seen.add(each.key)
            if each.due <= self.clock.now:
                found.append(name)
        return found

    def claim(self, limit: int) -> list[Claimed]:
        claimed = messages.claim(
            self.session, limit=limit, max_attempts=MAX_ATTEMPTS, now=self.clock.now, claim_s=CLAIM_S
        )
        assert len(claimed) <= limit
        states = {each.id: each.state for each in messages.newest(self.session, None, limit=1000, before=None)}
        for name in self.heads() * 20:  # one that died lets the next of its key be met
            model = self.models[name]
            if states[name] == "dead" and model.state == "pending":
                assert model.claim is not None
                assert model.attempts >= MAX_ATTEMPTS
                self.lost.append(model.claim)
                model.state, model.claim = "dead", None
        for each in claimed:
            model = self.models[each.id]
            assert each.id in self.heads()
            assert each.attempt_count == model.attempts + 1
            self.lost += [model.claim] if model.claim else []
            model.claim, model.due, model.attempts = each, self.clock.now + CLAIM_S, model.attempts + 1
        return claimed

    def held(self) -> list[str]:
        return [name for name, each in self.models.items() if each.claim is not None]

    @rule(key=st.sampled_from(["a", "b", None]))
    def put(self, key: str | None) -> None:
        name = f"m{len(self.models)}"
        assert self.inbox.put(delivery(name), key) is True
        assert self.inbox.put(delivery(name), key) is False
        self.models[name] = Model(key, self.clock.now)

    @rule(limit=st.integers(1, 3))
    def claim_some(self, limit: int) -> None:
        self.claim(limit)

    @rule()
    def claim_all(self) -> None:
        while self.claim(3):
            pass
        assert self.heads() == []

    @rule(seconds=st.sampled_from([1.0, 59.0, 61.0, 700.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        model = self.models[data.draw(st.sampled_from(self.held()))]
        assert model.claim is not None
        with messages.transaction(self.session):
            assert messages.finish(self.session, model.claim, now=self.clock.now, keep_body=False)
        model.state, model.claim = "done", None

    @precondition(lambda self: self.held())
    @rule(data=st.data(), delay=st.sampled_from([0.0, 5.0, 5000.0]), error=st.sampled_from(ERRORS))
    def fail(self, data: Any, delay: float, error: Exception) -> None:
        model = self.models[data.draw(st.sampled_from(self.held()))]
        assert model.claim is not None
        outcome = after_failure(
            error,
            attempt_count=model.attempts,
            now=self.clock.now,
            retry_schedule=(delay,),
            max_attempts=MAX_ATTEMPTS,
            rng=random.Random(0),
        )
        assert messages.fail(self.session, model.claim, outcome, now=self.clock.now)
        model.claim, model.attempts = None, outcome.attempt_count
        if isinstance(outcome, Dead):
            assert isinstance(error, DeadLetter) or model.attempts == MAX_ATTEMPTS
            model.state = "dead"
        else:
            model.due = outcome.at

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def renew(self, data: Any) -> None:
        model = self.models[data.draw(st.sampled_from(self.held()))]
        assert model.claim is not None
        messages.renew(self.session, [model.claim], until=self.clock.now + CLAIM_S)
        model.due = self.clock.now + CLAIM_S

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        model = self.models[data.draw(st.sampled_from(self.held()))]
        assert model.claim is not None
        messages.release(self.session, model.claim, now=self.clock.now)
        model.claim, model.due, model.attempts = None, self.clock.now, model.attempts - 1

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        name = data.draw(st.sampled_from(list(self.models)))
        model = self.models[name]
        may = model.state == "dead" or (model.state == "pending" and model.claim is None)
        assert self.inbox.retry(name) == int(may)
        if may:
            model.state, model.due, model.attempts = "pending", self.clock.now, 0

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def discard(self, data: Any) -> None:
        name = data.draw(st.sampled_from(list(self.models)))
        model = self.models[name]
        assert self.inbox.discard(name) == int(model.state != "done")
        self.lost += [model.claim] if model.claim else []
        model.state, model.claim = "done", None

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def finish_with_a_lost_claim(self, data: Any) -> None:
        claim = data.draw(st.sampled_from(self.lost))
        with messages.transaction(self.session):
            assert not messages.finish(self.session, claim, now=self.clock.now, keep_body=False)
        assert not messages.fail(self.session, claim, Dead(9, "error"), now=self.clock.now)
        messages.renew(self.session, [claim], until=self.clock.now + 1e6)
        messages.release(self.session, claim, now=self.clock.now)

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        found = {each.id: each for each in messages.newest(self.session, None, limit=1000, before=None)}
        assert {name: each.state for name, each in found.items()} == {
            name: each.state for name, each in self.models.items()
        }
        for name, each in self.models.items():
            assert found[name].is_claimed == (each.claim is not None)
            assert found[name].attempt_count == each.attempts
            assert each.attempts <= MAX_ATTEMPTS
        for name in self.heads():  # nothing that may be claimed is put aside
            due = found[name].next_attempt_at
            assert due is not None
            assert due <= self.clock.now


def run_machine(make: Callable[[], SharedDatabase], examples: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("QueueOf", (Queue,), {"make_database": staticmethod(make)})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))


def test_random_histories_on_sqlite_follow_the_model(tmp_path: Path) -> None:
    folder = MEMORY_DISK if MEMORY_DISK.is_dir() else tmp_path
    with tempfile.TemporaryDirectory(dir=folder) as base:
        run_machine(lambda: SqliteInboxes(Path(tempfile.mkdtemp(dir=base))), examples=60)


def test_random_histories_on_postgres_follow_the_model() -> None:
    run_machine(PostgresInboxes, examples=8)
