"""The intake: match checked events with endpoints, store them with their deliveries, and start those deliveries.

Events of many callers share a commit: those that arrive during one commit are stored by the next. Events of a client
whose rows are locked are queued separately, so other clients are not delayed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from commerce_event.accept.commit_batcher import (
    ANSWER_S,
    CommitBatcher,
    Match,
    OutcomeUnknownError,
    PartlyStoredError,
    PendingEvent,
    Result,
    Submission,
    fail_all,
    pieces_of,
)
from commerce_event.accept.turns import Steps, Turns
from commerce_event.core.clock import Clock
from commerce_event.core.fair_budget import FairBudget
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import VaultError
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, Claimed, NewDelivery, NewEvent
from commerce_event.store.port import ConfigChangedError, Store, StoreError, StoreUnavailableError

__all__ = ["Dispatch", "Intake", "IntakeFullError", "PendingEvent"]

_MATCHES_MAX: Final = 20  # attempts to match events while endpoints are being changed
_LIGHT_US: Final = 300  # of matching events, at worst: less is done at once
_WAITING_MAX: Final = 20_000  # events that may wait for a commit; more are refused
_WAITING_BYTES_MAX: Final = 64 * 1024**2  # of their bodies

_CHANGING_TOO_FAST: Final = "endpoints are being changed faster than events can be matched with them"

log = structlog.get_logger(__name__)


class IntakeFullError(StoreUnavailableError):
    """Too many events wait for a commit; nothing was stored."""


# Stores events, with what belongs to them, at a config version.
Commit = Callable[[Sequence[NewEvent], int], Awaitable[list[Accepted]]]


class Dispatch(Protocol):
    """What accepting needs from delivering."""

    def reserve(self, endpoint: Endpoint, *, bulk: bool = False) -> int | None:
        """Reserve a slot for sending right after the commit; return when its lease ends (ms), None without a slot."""
        ...

    def release(self, endpoint_id: int, *, bulk: bool = False) -> None:
        """Release a reserved slot."""
        ...

    def launch(self, claimed: Claimed) -> None:
        """Send a delivery in its reserved slot, now that it is durable."""
        ...

    def notice(self, endpoint_id: int, *, bulk: bool = False) -> None:
        """Note that a first attempt waits in the store."""
        ...

    @property
    def run_id(self) -> int:
        """The fencing token of this run of the node."""
        ...


class Intake:
    """Matches pending events with endpoints and stores them in shared commits."""

    def __init__(self, store: Store, registry: Registry, dispatch: Dispatch, id_maker: IdMaker, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._dispatch = dispatch
        self._ids = id_maker
        self._clock = clock
        self._batcher = CommitBatcher(self._store_together)
        self._late: dict[asyncio.Task[None], Submission] = {}  # submissions whose result the store gives later
        self._stale = False  # whether endpoints have changed since the registry was read
        self._waiting = FairBudget(_WAITING_MAX)  # events that wait for their result
        self._waiting_bytes = FairBudget(_WAITING_BYTES_MAX)  # of their bodies
        self.turns = Turns()  # for the work on events before they are stored
        self._closed = False
        self.on_accepted: list[Callable[[int, int], None]] = []  # called with client and sequence of each new event

    async def submit(self, events: Sequence[PendingEvent]) -> list[Accepted]:
        """Store events together; return an answer for each, in order, once they are durable.

        Raises OutcomeUnknownError when the store does not answer in time, and PartlyStoredError when it fails after
        the first ones. Any other StoreUnavailableError, such as IntakeFullError, means that none of them is stored.
        """
        future: asyncio.Future[list[Accepted]] = asyncio.get_running_loop().create_future()

        def resolve(result: Result) -> None:
            if future.done():  # the caller was cancelled; its events are stored all the same
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.put(events, resolve)
        return await future

    def put(self, events: Sequence[PendingEvent], on_result: Callable[[Result], None]) -> None:
        """Queue events like ``submit``; later, call ``on_result`` with what it would return or raise.

        Raises StoreUnavailableError when the events are not queued; then ``on_result`` is not called.
        """
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")
        self.turns.note_other_work()

        def finish(result: Result) -> None:
            self._give_back(submission)
            on_result(result)

        submission = Submission(events, finish, asyncio.get_running_loop().time())
        self._take_share(submission)
        try:
            if not self._is_matched(submission):
                self._match_in_turns(submission)
            else:
                self._queue(submission)
        except BaseException:
            self._give_back(submission)
            raise

    def match_steps(self, event: PendingEvent) -> Steps[None]:
        """Match an event that is to be submitted. Yields after each condition of a filter."""
        candidates = self._registry.candidates(event.client_id, event.type, event.application_id)
        data = msgspec.json.decode(event.body) if event.data is None else event.data
        if candidates.cost(len(event.body)) <= _LIGHT_US:
            endpoints = self._registry.match(event.client_id, event.type, event.application_id, data)
        else:
            endpoints = yield from candidates.match_steps(data)
        is_ordered = any(endpoint.ordering == "key" for endpoint in endpoints)
        event.match = Match(candidates, endpoints, event.type.business_key(data) if is_ordered else None)
        event.data = None

    async def store_with(self, events: Sequence[PendingEvent], commit: Commit) -> list[NewEvent]:
        """Store matched events by a commit of the caller, start their deliveries, and return them as stored.

        The events were matched since the registry has its version. Raises what the commit raises; after
        ConfigChangedError the registry is up to date, and the caller matches the events again.
        """
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")
        reserved: list[NewDelivery] = []
        try:
            new = [self._match(each, reserved) for each in events]
            answers = await commit(new, self._registry.version)
        except ConfigChangedError:
            self._release(reserved)
            await self._refresh_registry()
            raise
        except BaseException:
            self._release(reserved)
            raise
        self._start_deliveries(new, answers)
        return new

    def _take_share(self, submission: Submission) -> None:
        owner, count, size = submission.owner, len(submission.events), submission.size
        if self._waiting.take(owner, count):
            if self._waiting_bytes.take(owner, size) or not self._waiting_bytes.used:
                return
            self._waiting.give_back(owner, count)
        raise IntakeFullError("more events arrive than can be stored; try again in a moment")

    def _give_back(self, submission: Submission) -> None:
        self._waiting.give_back(submission.owner, len(submission.events))
        self._waiting_bytes.give_back(submission.owner, submission.size)

    def _is_matched(self, submission: Submission) -> bool:
        """Match events that cost little, and return whether all events are matched as the endpoints are now."""
        cost_us = 0
        for event in submission.events:
            candidates = self._registry.candidates(event.client_id, event.type, event.application_id)
            if event.match is None or event.match.candidates is not candidates:
                cost_us += 1 + candidates.cost(len(event.body))
                if cost_us > _LIGHT_US:
                    return False
                for _ in self.match_steps(event):
                    pass
        return True

    def _match_all_steps(self, submission: Submission) -> Steps[None]:
        for event in submission.events:
            candidates = self._registry.candidates(event.client_id, event.type, event.application_id)
            if event.match is None or event.match.candidates is not candidates:
                yield from self.match_steps(event)
                yield

    def _queue(self, submission: Submission) -> None:
        """Queue a matched submission for the commit; one with very many deliveries in pieces, one after the other.

        Each piece is queued when the one before is stored, so other clients have their turns in between.
        """
        pieces = deque(pieces_of(submission.events))
        if len(pieces) == 1:
            self._batcher.add(submission)
            return
        answers: list[Accepted] = []

        def queue_next() -> None:
            self._batcher.add(Submission(pieces.popleft(), stored, asyncio.get_running_loop().time()))

        def stored(result: Result) -> None:
            if isinstance(result, BaseException):
                submission.resolve(PartlyStoredError(answers, result) if answers else result)
                return
            answers.extend(result)
            if not pieces:
                submission.resolve(answers)
                return
            try:
                queue_next()
            except StoreUnavailableError as refusal:
                submission.resolve(PartlyStoredError(answers, refusal))

        queue_next()

    def _match_in_turns(self, submission: Submission) -> None:
        """Match events in turns, then queue them for the commit."""

        def matched(result: BaseException | None) -> None:
            if isinstance(result, BaseException):
                submission.resolve(result)
            if submission.is_resolved:  # also when its commit took too long
                return
            submission.since = asyncio.get_running_loop().time()
            try:
                self._queue(submission)
            except StoreUnavailableError as refusal:
                submission.resolve(refusal)

        self.turns.start(submission.owner, self._match_all_steps(submission), matched)

    async def close(self, within_s: float = ANSWER_S) -> None:
        """Refuse new events and store the waiting ones, as far as the store can in that time; fail the others."""
        self._closed = True
        self.turns.close()
        until = asyncio.get_running_loop().time() + within_s
        while tasks := [*self._late, *([self._batcher.running] if self._batcher.running else [])]:
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await asyncio.wait(tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        self._batcher.reject_waiting()
        for task, submission in self._late.items():
            task.cancel()
            submission.resolve(OutcomeUnknownError())
        if self._late:
            await asyncio.wait(self._late)

    async def _store_together(self, batch: Sequence[Submission]) -> None:
        batch = list(batch)
        try:
            events, results = await self._match_and_store(batch)
        except Exception as error:  # the next batch may succeed
            if not isinstance(error, StoreError):
                log.exception("a batch of events could not be stored")
            fail_all(batch, error)
            return
        for submission, result in zip(batch, results, strict=False):
            if isinstance(result, list):
                submission.resolve(result)
        for submission, matched, result in zip(batch, events, results, strict=True):
            if isinstance(result, list):
                self._start_deliveries(matched, result)
            else:
                for event in matched:
                    self._release(_reserved_for(event))
                task = asyncio.create_task(self._finish_late(submission, matched, result))
                self._late[task] = submission
                task.add_done_callback(self._late.pop)

    async def _finish_late(
        self, submission: Submission, events: Sequence[NewEvent], result: Awaitable[list[Accepted]]
    ) -> None:
        """Wait for a result that the store gives later; resolve the submission or queue it again."""
        try:
            async with asyncio.timeout(2 * ANSWER_S):  # until the store gives up, and for its last commit
                answers = await result
        except ConfigChangedError:
            self._stale = True
            try:
                if asyncio.get_running_loop().time() >= submission.since + ANSWER_S:
                    raise StoreUnavailableError(_CHANGING_TOO_FAST) from None
                self._batcher.add(submission)
            except StoreUnavailableError as error:
                submission.resolve(error)
        except TimeoutError:
            submission.resolve(OutcomeUnknownError())
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("events could not be stored")
            submission.resolve(error)
        else:
            submission.resolve(answers)
            self._start_deliveries([event.without_leases() for event in events], answers)

    async def _match_and_store(
        self, batch: list[Submission]
    ) -> tuple[list[list[NewEvent]], Sequence[list[Accepted] | Awaitable[list[Accepted]]]]:
        """Store events with a delivery for each endpoint that matches at the moment of the commit, on any node.

        Takes submissions out of ``batch`` whose endpoints have changed and that take long to match.
        """
        if self._stale:
            await self._refresh_registry()
        for _ in range(_MATCHES_MAX):
            batch[:] = self._without_stale(batch)
            reserved: list[NewDelivery] = []
            try:
                events = [[self._match(each, reserved) for each in submission.events] for submission in batch]
                if not events:
                    return [], []
                return events, await self._store.journal.accept(events, config_version=self._registry.version)
            except ConfigChangedError:
                self._release(reserved)
                await self._refresh_registry()
            except BaseException:
                self._release(reserved)
                raise
        raise StoreUnavailableError(_CHANGING_TOO_FAST)

    def _without_stale(self, batch: Sequence[Submission]) -> list[Submission]:
        """Match again the events whose endpoints have changed: in turns, without the batch, if that takes long."""
        current: list[Submission] = []
        for submission in batch:
            if self._is_matched(submission):
                current.append(submission)
                continue
            submission.rematches += 1
            try:
                if submission.rematches > _MATCHES_MAX:
                    raise StoreUnavailableError(_CHANGING_TOO_FAST)
                self._match_in_turns(submission)
            except StoreUnavailableError as refusal:
                submission.resolve(refusal)
        return current

    async def _refresh_registry(self) -> None:
        try:
            await self._registry.refresh()
            self._stale = False
        except VaultError as error:
            log.error("another node's changes cannot be read", error=str(error))
            raise StoreUnavailableError("another node's changes cannot be read") from None

    def _match(self, pending: PendingEvent, reserved: list[NewDelivery]) -> NewEvent:
        """Make deliveries for a matched event. Add those for which a slot was reserved to ``reserved``."""
        now_ms = self._clock.now_ms()
        match = pending.match
        if match is None:
            raise RuntimeError("the event was not matched")
        event_id = self._ids.next(now_ms)
        return NewEvent(
            id=event_id,
            client_id=pending.client_id,
            type=pending.type.name,
            application_id=pending.application_id,
            accepted_ms=now_ms,
            config_version=self._registry.version,
            idempotency_key=pending.idempotency_key,
            traceparent=pending.traceparent,
            body=pending.body,
            deliveries=tuple([self._delivery(pending, each, now_ms, reserved) for each in match.endpoints]),
            warnings=pending.warnings,
        )

    def _delivery(
        self, pending: PendingEvent, endpoint: Endpoint, now_ms: int, reserved: list[NewDelivery]
    ) -> NewDelivery:
        delivery_id, bulk = self._ids.next(now_ms), pending.bulk
        if endpoint.ordering == "key" and pending.match is not None and pending.match.order_key is not None:
            # The store decides whether the delivery must wait for others of its key.
            return NewDelivery(delivery_id, endpoint.id, pending.match.order_key, bulk=bulk)
        lease_until_ms = self._dispatch.reserve(endpoint, bulk=bulk)
        delivery = NewDelivery(delivery_id, endpoint.id, None, lease_until_ms, bulk)
        if lease_until_ms is not None:
            reserved.append(delivery)
        return delivery

    def _start_deliveries(self, events: Sequence[NewEvent], answers: Sequence[Accepted]) -> None:
        """Start the deliveries of new events; release the slots that were reserved for duplicates."""
        for event, answer in zip(events, answers, strict=True):
            if answer.outcome != "new":
                self._release(_reserved_for(event))
                continue
            try:
                self._start_deliveries_of(event, answer.sequence)
            except Exception:  # the event is stored, and sent when its lease ends; the other events go on
                log.exception("the deliveries of an event could not be started", event_id=event.id)

    def _start_deliveries_of(self, event: NewEvent, sequence: int) -> None:
        for delivery in event.deliveries:
            if delivery.lease_until_ms is None:
                self._dispatch.notice(delivery.endpoint_id, bulk=delivery.bulk)
                continue
            claimed = Claimed(
                delivery_id=delivery.id,
                endpoint_id=delivery.endpoint_id,
                number=1,
                failure_count=0,
                run_id=self._dispatch.run_id,
                lease_until_ms=delivery.lease_until_ms,
                replay_id=None,
                event_id=event.id,
                client_id=event.client_id,
                sequence=sequence,
                type=event.type,
                traceparent=event.traceparent,
                body=event.body,
                bulk=delivery.bulk,
            )
            self._dispatch.launch(claimed)
        for on_accepted in self.on_accepted:
            on_accepted(event.client_id, sequence)

    def _release(self, reserved: Sequence[NewDelivery]) -> None:
        for delivery in reserved:
            self._dispatch.release(delivery.endpoint_id, bulk=delivery.bulk)


def _reserved_for(event: NewEvent) -> list[NewDelivery]:
    """Return the deliveries of an event for which a slot is reserved."""
    return [delivery for delivery in event.deliveries if delivery.lease_until_ms is not None]
