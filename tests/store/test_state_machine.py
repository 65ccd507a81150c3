"""A store's whole life at random, compared with a model in plain Python that says what must hold after every step.

The model keeps only what the port promises. Where the port leaves a choice open (which deliveries a bounded step
takes), the model checks that the choice was an allowed one and adopts it.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stores import Engine, accept_events, attempts_of, new_event, new_replay, result

from commerce_event.core.model import Delivery, DeliveryKind, DeliveryState, Replay, Scope
from commerce_event.store.model import Claimed, ClaimRequest, DeliveryQuery, NewDelivery, NewEvent, Page, Settlement
from commerce_event.store.port import Store

T = TypeVar("T")

EVERYONE = Scope.everyone()
CLIENT_OF = {7: 1, 8: 1, 9: 2}  # endpoint: its client
FINISHED: tuple[DeliveryState, ...] = ("delivered", "dead", "cancelled")
LEASE_MS = 1_000
MEMORY_DISK = Path("/dev/shm")  # the files are real, only their disk is quick

EngineMaker = Callable[[Path], Engine]


class Sent(msgspec.Struct):
    """The model of a delivery."""

    id: int
    event_id: int
    endpoint: int
    order_key: str | None
    bulk: bool
    due_ms: int | None  # None: behind an earlier one of its key, or finished
    state: DeliveryState = "pending"
    handed_out: int = 0
    failures: int = 0
    lease_until_ms: int | None = None  # set while the last number handed out is not answered
    replay_id: int | None = None
    reason: str | None = None
    attempts: list[tuple[int, str | None]] = []

    @property
    def line(self) -> tuple[int, str] | None:
        return None if self.order_key is None else (self.endpoint, self.order_key)

    @property
    def kind(self) -> DeliveryKind:
        return DeliveryKind.of(self.handed_out + 1, bulk=self.bulk)

    def take_back(self) -> None:
        """An attempt that nobody answered stays on record, and costs nothing."""
        if self.lease_until_ms is not None:
            self.attempts.append((self.handed_out, "interrupted"))
        self.lease_until_ms = None

    def end(self, state: DeliveryState, reason: str | None) -> None:
        self.state, self.reason, self.due_ms = state, reason, None

    def start_again(self, due_ms: int) -> None:
        self.state, self.reason, self.due_ms, self.failures = "pending", None, due_ms, 0


class Taken(msgspec.Struct):
    """The model of an accepted event."""

    new: NewEvent
    sequence: int
    sent: list[int]  # ids of its deliveries, replays included


class Life(RuleBasedStateMachine):
    make_engine: EngineMaker

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        place = MEMORY_DISK if MEMORY_DISK.is_dir() else None
        self.folder = tempfile.TemporaryDirectory(dir=place)
        self.engine = type(self).make_engine(Path(self.folder.name))
        self.store: Store = self.do(self.engine.open())
        self.events: dict[int, Taken] = {}
        self.sent: dict[int, Sent] = {}
        self.head: dict[tuple[int, str], int] = {}  # whose turn it is in each line
        self.held: list[Claimed] = []  # every claim ever given, fenced off or not
        self.keys: dict[tuple[int, str], int] = {}  # (client, idempotency key): event
        self.sequences: Counter[int] = Counter()
        self.closed_books: Counter[tuple[int, str]] = Counter()  # finished, and expired since
        self.last_id = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now_ms(self) -> int:
        return self.engine.clock.ms

    # -- accepting

    @rule(
        specs=st.lists(
            st.tuples(
                st.sampled_from([1, 2]),
                st.sets(st.sampled_from([7, 8, 9])),
                st.sampled_from([None, "a", "b"]),
                st.sampled_from([None, None, "k", "l"]),
                st.sampled_from([b'{"n":1}', b'{"n":2}']),
                st.booleans(),
                st.booleans(),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def accept(self, specs: list[tuple[int, set[int], str | None, str | None, bytes, bool, bool]]) -> None:
        batch = [
            new_event(
                *sorted(each for each in endpoints if CLIENT_OF[each] == client),
                client=client,
                key=key,
                body=body,
                order_key=order_key,
                lease_until_ms=self.now_ms + LEASE_MS if at_once and order_key is None else None,
                at_ms=self.now_ms,
                bulk=bulk,
            )
            for client, endpoints, order_key, key, body, at_once, bulk in specs
        ]
        for event, answer in zip(batch, self.do(accept_events(self.store, batch)), strict=True):
            first = self.events.get(self.keys.get((event.client_id, event.idempotency_key or ""), 0))
            if event.idempotency_key is not None and first is not None:
                wanted = "duplicate" if first.new.body == event.body else "conflict"
                born = len(first.new.deliveries)
                assert (answer.outcome, answer.id, answer.sequence) == (wanted, first.new.id, first.sequence)
                assert answer.deliveries == born
            else:
                self.note_event(event)
                assert (answer.outcome, answer.id) == ("new", event.id)
                assert answer.sequence == self.sequences[event.client_id]

    def note_event(self, event: NewEvent) -> None:
        self.sequences[event.client_id] += 1
        taken = self.events[event.id] = Taken(event, self.sequences[event.client_id], [])
        if event.idempotency_key is not None:
            self.keys[event.client_id, event.idempotency_key] = event.id
        for new in event.deliveries:
            sent = self.note_delivery(new, taken)
            if new.lease_until_ms is not None:
                self.held.append(self.run_id(sent, new.lease_until_ms))

    def note_delivery(self, new: NewDelivery, event: Taken) -> Sent:
        sent = Sent(new.id, event.new.id, new.endpoint_id, new.order_key, new.bulk, self.now_ms)
        self.sent[new.id] = sent
        event.sent.append(new.id)
        if sent.line is not None and self.head.setdefault(sent.line, sent.id) != sent.id:
            sent.due_ms = None
        return sent

    def run_id(self, sent: Sent, until_ms: int) -> Claimed:
        """Note attempt number N as handed out; return the claim that its sender holds."""
        sent.take_back()
        sent.handed_out += 1
        sent.lease_until_ms = until_ms
        event = self.events[sent.event_id]
        return Claimed(
            delivery_id=sent.id,
            endpoint_id=sent.endpoint,
            number=sent.handed_out,
            failure_count=sent.failures,
            run_id=self.store.run_id,
            lease_until_ms=until_ms,
            replay_id=sent.replay_id,
            event_id=event.new.id,
            client_id=event.new.client_id,
            sequence=event.sequence,
            type=event.new.type,
            traceparent=event.new.traceparent,
            body=event.new.body,
            has_order_key=sent.order_key is not None,
            bulk=sent.bulk,
        )

    # -- claiming and settling

    @precondition(lambda self: self.pending())
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        kinds = sorted({(sent.endpoint, sent.kind) for sent in self.pending()})
        chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=1, unique=True), label="kinds")
        self.check_claim([ClaimRequest(*kind, data.draw(st.integers(1, 5), label="limit")) for kind in chosen])

    @precondition(lambda self: self.pending())
    @rule(by_ms=st.sampled_from([0, 1, 400, LEASE_MS, LEASE_MS]))
    def claim_whatever_is_due_then(self, by_ms: int) -> None:
        self.engine.clock.ms += by_ms
        self.check_claim([ClaimRequest(endpoint, kind, 10) for endpoint in CLIENT_OF for kind in DeliveryKind])

    def check_claim(self, wants: list[ClaimRequest]) -> list[Claimed]:
        due = {want: self.due(want) for want in wants}
        until_ms = self.now_ms + LEASE_MS
        claimed = self.do(self.store.queue.claim(wants, now_ms=self.now_ms, lease_until_ms=until_ms))
        assert len({each.delivery_id for each in claimed}) == len(claimed), "a delivery was claimed twice at once"
        for want, choice in due.items():
            ids = [each.delivery_id for each in claimed if each.delivery_id in choice]
            assert len(ids) == min(want.limit, len(choice)), f"{want} of {choice} gave {ids}"
            times = [choice[each] for each in ids]
            assert times == sorted(times), "not oldest due first"
            assert times == sorted(choice.values())[: want.limit], "an older one was passed over"
        assert len(claimed) == sum(min(want.limit, len(choice)) for want, choice in due.items())
        for each in claimed:
            expected = self.run_id(self.sent[each.delivery_id], until_ms)
            assert each == expected
        self.held += claimed
        return claimed

    def due(self, want: ClaimRequest) -> dict[int, int]:
        """Return what that want may be given: delivery and due time."""
        found = {}
        for sent in self.pending():
            time = sent.due_ms if sent.lease_until_ms is None else sent.lease_until_ms
            fits = (sent.endpoint, sent.kind) == (want.endpoint_id, want.kind)
            if fits and time is not None and time <= self.now_ms:
                found[sent.id] = time
        return found

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        held = self.some_held(data, 6)
        batch = [self.outcome(data, each) for each in held]
        ours = [self.is_ours(each) for each in held]
        assert self.do(self.store.queue.settle(batch)) == ours
        for settlement, mine in zip(batch, ours, strict=True):
            if mine:
                self.note_settlement(settlement)

    def some_held(self, data: st.DataObject, max_size: int) -> list[Claimed]:
        """Claims that are ours still, and now and then any that ever was."""
        ours = [each for each in self.held if self.is_ours(each)]
        fenced_off = data.draw(st.lists(st.sampled_from(self.held), max_size=2, unique_by=id), label="any")
        chosen = (
            data.draw(st.lists(st.sampled_from(ours), max_size=max_size, unique_by=id), label="ours") if ours else []
        )
        return [*fenced_off, *(each for each in chosen if each not in fenced_off)]

    def outcome(self, data: st.DataObject, claimed: Claimed) -> Settlement:
        state = data.draw(st.sampled_from(["delivered", "pending", "pending", "dead", "cancelled"]), label="state")
        wait_ms = data.draw(st.sampled_from([0, 700, 5_000]), label="wait")
        return result(
            claimed,
            cast("DeliveryState", state),
            due_ms=self.now_ms + wait_ms if state == "pending" else None,
            reason=state if state in {"dead", "cancelled"} else None,
            started_ms=self.now_ms - 3,
            error=None if state == "delivered" else f"error {claimed.number}",
        )

    def is_ours(self, claimed: Claimed) -> bool:
        sent = self.sent.get(claimed.delivery_id)
        return (
            sent is not None
            and sent.lease_until_ms is not None
            and (claimed.run_id, claimed.number) == (self.store.run_id, sent.handed_out)
        )

    def note_settlement(self, settlement: Settlement) -> None:
        sent = self.sent[settlement.delivery_id]
        sent.lease_until_ms = None
        sent.attempts.append((settlement.attempt.number, settlement.attempt.error))
        sent.failures = settlement.failure_count
        if settlement.state == "pending":
            sent.due_ms = settlement.due_ms
        else:
            sent.end(settlement.state, settlement.reason)
            self.release([sent])

    def release(self, ended: Iterable[Sent]) -> None:
        """The next in each line has its turn: the first accepted of those that wait."""
        for line in {sent.line for sent in ended if sent.line is not None}:
            if self.sent[self.head[line]].state == "pending":
                continue
            waiting = min((each.id for each in self.pending() if each.line == line), default=None)
            if waiting is None:
                del self.head[line]
            else:
                self.head[line] = waiting
                self.sent[waiting].due_ms = self.due_of_released(waiting)

    def due_of_released(self, delivery_id: int) -> int:
        """Due from now on or from the moment the one before it ended: the engine's choice, never in the future."""
        found = self.do(self.store.history.delivery(delivery_id, EVERYONE))
        assert found is not None
        assert found.due_ms is not None, "its turn has come, but it still waits"
        assert found.due_ms <= self.now_ms
        return found.due_ms

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release_claims(self, data: st.DataObject) -> None:
        held = self.some_held(data, 3)
        self.do(self.store.queue.release_claims(held, now_ms=self.now_ms))
        for claimed in held:
            if self.is_ours(claimed):
                sent = self.sent[claimed.delivery_id]
                sent.lease_until_ms, sent.due_ms = None, self.now_ms
                sent.handed_out -= 1
                # Its number will be handed out again: the old claim must be gone, or it would fit once more.
                self.held = [each for each in self.held if not same_claim(each, claimed)]

    # -- what people do

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        some = self.some(data)
        pending = [sent for sent in some if sent.state == "pending"]
        ids = [sent.id for sent in some]
        assert self.do(self.store.queue.cancel(ids, reason="by hand", now_ms=self.now_ms)) == len(pending)
        for sent in pending:
            sent.take_back()
            sent.end("cancelled", "by hand")
        self.release(pending)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        some = [sent for sent in self.some(data) if sent.lease_until_ms is None and not self.is_blocked(sent)]
        wanted = [sent for sent in some if sent.state != "delivered"]
        ids = [sent.id for sent in some]
        assert self.do(self.store.queue.requeue(ids, now_ms=self.now_ms)) == len(wanted)
        for sent in sorted(wanted, key=lambda each: each.id):
            self.note_requeued(sent)

    @precondition(lambda self: any(sent.state in {"dead", "cancelled"} for sent in self.sent.values()))
    @rule(data=st.data())
    def replay_failed(self, data: st.DataObject) -> None:
        wanted = [sent for sent in self.some(data) if sent.state in {"dead", "cancelled"}]
        replay_id = new_event().id
        ids = [sent.id for sent in wanted]
        assert self.do(self.store.queue.requeue(ids, now_ms=self.now_ms, replay=new_replay(replay_id))) == len(wanted)
        for sent in sorted(wanted, key=lambda each: each.id):
            self.note_requeued(sent)
            sent.replay_id = replay_id
        assert self.do(self.store.history.replay_states(replay_id)) == ({"pending": len(wanted)} if wanted else {})

    def note_requeued(self, sent: Sent) -> None:
        sent.take_back()
        sent.start_again(self.now_ms)
        if sent.line is not None and self.head.setdefault(sent.line, sent.id) != sent.id:
            sent.due_ms = None

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def replay_all(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from([7, 9]), label="endpoint")
        known = [each for each in self.events.values() if each.new.client_id == CLIENT_OF[endpoint]]
        events = data.draw(st.lists(st.sampled_from(known), max_size=3), label="events") if known else []
        order_key = data.draw(st.sampled_from([None, "a"]), label="order key")
        replay = Replay(
            id=new_event().id, client_id=CLIENT_OF[endpoint], endpoint_id=endpoint, since_ms=0, until_ms=self.now_ms,
            types=(), only="all", state="done", cursor=0, looked_at=len(events), queued=len(events),
            created_ms=self.now_ms, finished_ms=self.now_ms,
        )  # fmt: skip
        bulk = data.draw(st.booleans(), label="bulk")
        born = [NewDelivery(new_event().id, endpoint, order_key, bulk=bulk) for _ in events]
        event_ids = [each.new.id for each in events]
        self.do(self.store.queue.add_deliveries(born, event_ids, replay=replay, now_ms=self.now_ms))
        for new, event in zip(born, events, strict=True):
            self.note_delivery(new, event).replay_id = replay.id
        assert self.do(self.store.history.replay(replay.id)) == replay
        assert self.do(self.store.history.replay_states(replay.id)) == ({"pending": len(events)} if events else {})

    @precondition(lambda self: self.pending())
    @rule(
        endpoint=st.sampled_from([7, 8, 9]),
        state=st.sampled_from(["dead", "cancelled"]),
        limit=st.integers(1, 4),
    )
    def finish_pending(self, endpoint: int, state: DeliveryState, limit: int) -> None:
        free = [sent for sent in self.pending() if sent.endpoint == endpoint and not self.is_leased(sent)]
        count = self.do(
            self.store.queue.finish_pending(endpoint, state=state, reason="swept", now_ms=self.now_ms, limit=limit)
        )
        stored = self.stored()
        ended = [sent for sent in self.pending() if stored[sent.id].state == state]
        assert {sent.id for sent in ended} <= {sent.id for sent in free}
        assert count == len(ended) <= limit
        assert count or not free, "callers repeat until 0, so 0 must mean that nothing is left"
        for sent in ended:
            sent.take_back()
            sent.end(state, "swept")
        self.release(ended)

    # -- time, restarts, upkeep

    @rule(by_ms=st.sampled_from([1, 400, 1_000, 6_000]))
    def wait(self, by_ms: int) -> None:
        self.engine.clock.ms += by_ms

    @rule(by_ms=st.sampled_from([-3_000, -1, 1, 3_000]))
    def set_the_clock(self, by_ms: int) -> None:
        self.do(self.store.maintenance.shift_due(by_ms))
        for sent in self.pending():
            sent.due_ms = None if sent.due_ms is None else sent.due_ms + by_ms
            sent.lease_until_ms = None if sent.lease_until_ms is None else sent.lease_until_ms + by_ms

    @precondition(lambda self: self.held)
    @rule()
    def restart(self) -> None:
        former = self.store.run_id
        self.do(self.store.close())
        self.store = self.do(self.engine.open())
        assert self.store.run_id != former
        for sent in self.pending():
            if sent.lease_until_ms is not None:
                sent.take_back()
                sent.due_ms = self.due_of_released(sent.id)

    @precondition(lambda self: self.events)
    @rule(age_ms=st.sampled_from([0, 500, 5_000]), limit=st.integers(1, 6))
    def expire(self, age_ms: int, limit: int) -> None:
        before_ms = self.now_ms - age_ms
        may = {id_ for id_, event in self.events.items() if event.new.accepted_ms < before_ms and self.is_done(event)}
        count = self.do(self.store.maintenance.expire(before_ms=before_ms, limit=limit))
        left = {event.id for client in (1, 2) for event in self.do(self.store.history.events_after(client, 0, 10_000))}
        gone = set(self.events) - left
        assert gone <= may
        assert count == len(gone) == min(limit, len(may))
        for event_id in gone:
            self.forget(event_id)

    def forget(self, event_id: int) -> None:
        event = self.events.pop(event_id)
        for delivery_id in event.sent:
            sent = self.sent.pop(delivery_id)
            self.closed_books[sent.endpoint, sent.state] += 1
            assert self.do(self.store.history.delivery(delivery_id, EVERYONE)) is None
        assert self.do(self.store.history.event(event_id, EVERYONE)) is None
        self.keys = {key: first for key, first in self.keys.items() if first != event_id}

    # -- looking at the model

    def pending(self) -> list[Sent]:
        return [sent for sent in self.sent.values() if sent.state == "pending"]

    def is_leased(self, sent: Sent) -> bool:
        return sent.lease_until_ms is not None and sent.lease_until_ms > self.now_ms

    def is_blocked(self, sent: Sent) -> bool:
        return sent.state == "pending" and sent.due_ms is None

    def is_done(self, event: Taken) -> bool:
        return all(self.sent[each].state != "pending" for each in event.sent)

    def some(self, data: st.DataObject) -> list[Sent]:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.sent)), min_size=1, max_size=4, unique=True), label="ids")
        return [self.sent[each] for each in ids]

    def stored(self) -> dict[int, Delivery]:
        found = self.do(self.store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(10_000)))
        return {each.id: each for each in found}

    # -- what must hold after every step

    @invariant()
    def every_delivery_is_as_the_model_says(self) -> None:
        stored = self.stored()
        assert set(stored) == set(self.sent)
        for sent in self.sent.values():
            found = stored[sent.id]
            assert (found.event_id, found.endpoint_id, found.order_key) == (
                sent.event_id,
                sent.endpoint,
                sent.order_key,
            )
            assert found.client_id == CLIENT_OF[sent.endpoint]
            assert (found.state, found.reason, found.replay_id) == (sent.state, sent.reason, sent.replay_id)
            assert (found.attempt_count, found.failure_count) == (sent.handed_out, sent.failures)
            assert (found.finished_ms is None) == (sent.state == "pending")
            if sent.lease_until_ms is None:
                assert (found.due_ms, found.leased) == (sent.due_ms, False)
            elif self.is_leased(sent):
                assert found.leased

    @invariant()
    def books_balance(self) -> None:
        counts = self.closed_books + Counter((sent.endpoint, sent.state) for sent in self.sent.values())
        for recount in (False, True):
            books = {
                book.endpoint_id: book
                for book in self.do(self.store.history.delivery_counts(EVERYONE, recount=recount))
            }
            for endpoint, client in CLIENT_OF.items():
                wanted = {state: counts[endpoint, state] for state in (*FINISHED, "pending")}
                book = books.pop(endpoint, None)
                if book is None:
                    assert not any(wanted.values())
                    continue
                assert {state: getattr(book, state) for state in wanted} == wanted
                assert (book.client_id, book.difference) == (client, 0)
                assert book.matched == sum(wanted.values())
            assert books == {}

    @invariant()
    def recount_of_events_finds_no_fault(self) -> None:
        audit = self.do(self.store.maintenance.verify_counts(after_id=0, limit=10_000))
        assert (audit.checked, audit.wrong, audit.cursor) == (len(self.events), (), 0)

    @invariant()
    def waiting_shows_when_there_is_work(self) -> None:
        shown = {(each.endpoint_id, each.kind): each.due_ms for each in self.do(self.store.queue.backlog())}
        free: dict[tuple[int, DeliveryKind], int] = {}
        for sent in self.pending():
            time = sent.due_ms if sent.lease_until_ms is None else sent.lease_until_ms
            if time is not None:
                kind = (sent.endpoint, sent.kind)
                free[kind] = min(time, free.get(kind, time))
        assert shown == free

    @invariant()
    def last_id_only_grows(self) -> None:
        last = self.do(self.store.last_id())
        assert last >= self.last_id
        assert last >= max((*self.events, *self.sent), default=0)
        self.last_id = last

    # -- the end

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            self.do(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    def check_the_end(self) -> None:
        """Nothing is stuck: once receivers answer, every delivery ends, in a bounded number of rounds."""
        for _ in range(len(self.sent) + 1):
            self.engine.clock.ms += 10_000
            wants = [ClaimRequest(endpoint, kind, 1_000) for endpoint in CLIENT_OF for kind in DeliveryKind]
            claimed = self.check_claim(wants)
            assert self.do(self.store.queue.settle([result(each) for each in claimed])) == [True] * len(claimed)
            for each in claimed:
                self.note_settlement(result(each))
        assert self.pending() == []
        assert self.do(self.store.queue.backlog()) == []
        self.every_delivery_is_as_the_model_says()
        self.books_balance()
        self.check_attempts()
        self.check_events()

    def check_attempts(self) -> None:
        for sent in self.sent.values():
            attempts = self.do(attempts_of(self.store, sent.id))
            assert [(each.number, each.error) for each in attempts] == sent.attempts
            assert [number for number, _ in sent.attempts] == list(range(1, sent.handed_out + 1))

    def check_events(self) -> None:
        for client in (1, 2):
            events = self.do(self.store.history.events_after(client, 0, 10_000))
            wanted = [event for event in self.events.values() if event.new.client_id == client]
            assert [(each.id, each.sequence, each.body) for each in events] == [
                (each.new.id, each.sequence, each.new.body) for each in wanted
            ]


def same_claim(one: Claimed, other: Claimed) -> bool:
    return (one.delivery_id, one.run_id, one.number) == (other.delivery_id, other.run_id, other.number)


def test_counts_balance_and_nothing_is_lost_or_stuck_after_any_steps(
    engine_maker: EngineMaker,
) -> None:
    machine = type("Life", (Life,), {"make_engine": staticmethod(engine_maker)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            derandomize=True,  # the same lives every time
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
