"""The intake: every event that passed its checks goes through here into one shared commit.

While one batch is being made durable, later callers gather in the next, so a commit serves many requests. A client
whose rows somebody else holds waits in a line of its own, and keeps no other client waiting.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from commerce_event.accept.commit_batcher import ANSWER_S, CommitBatcher, Stored, Submission, tell_all
from commerce_event.accept.pending_event import PendingEvent
from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import VaultError
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, Claimed, NewDelivery, NewEvent
from commerce_event.store.port import ConfigChangedError, Store, StoreBusyError, StoreError, StoreUnavailableError

__all__ = ["Dispatch", "Intake", "IntakeFullError", "PendingEvent"]

_MATCHES_MAX: Final = 20  # tries to match events with endpoints that are being changed
_WAITING_MAX: Final = 20_000  # events that may wait for a commit before callers are turned away
_WAITING_BYTES_MAX: Final = 64 * 1024**2  # likewise, of their bodies
_APART_MAX: Final = 2  # commits at once of clients whose rows somebody holds: each keeps a connection

log = structlog.get_logger(__name__)


class IntakeFullError(StoreUnavailableError):
    """More events wait for a commit than should; nothing was stored."""


class Dispatch(Protocol):
    """What accepting asks of delivering."""

    def reserve(self, endpoint: Endpoint) -> int | None:
        """Return the end (ms) of a lease for sending right after the commit, or None when there is no free slot."""
        ...

    def release(self, endpoint_id: int) -> None:
        """Give a reservation back."""
        ...

    def launch(self, claimed: Claimed) -> None:
        """Send what was reserved and is now durable."""
        ...

    def notice(self, endpoint_id: int) -> None:
        """Take note that a first try waits in the store."""
        ...

    @property
    def run_id(self) -> int:
        """The fence of this run."""
        ...


class Intake:
    """Gathers drafts, matches them with endpoints and has them stored."""

    def __init__(self, store: Store, registry: Registry, dispatch: Dispatch, id_maker: IdMaker, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._dispatch = dispatch
        self._ids = id_maker
        self._clock = clock
        self._line = CommitBatcher(self._store_together)
        self._apart: dict[frozenset[int], CommitBatcher] = {}  # of those clients whose rows somebody holds
        self._commits_apart = asyncio.Semaphore(_APART_MAX)
        self._count = 0  # of events that wait for their answer
        self._bytes = 0
        self._closed = False
        self.on_accepted: list[Callable[[int], None]] = []  # told of each new event's client

    async def submit(self, drafts: Sequence[PendingEvent]) -> list[Accepted]:
        """Store drafts together and answer for each once they are durable.

        Raises StoreUnavailableError (IntakeFullError when too much waits already); then none of them is stored.
        """
        future: asyncio.Future[list[Accepted]] = asyncio.get_running_loop().create_future()

        def resolve(stored: Stored) -> None:
            if future.done():  # the caller was cancelled; the events stand
                return
            if isinstance(stored, BaseException):
                future.set_exception(stored)
            else:
                future.set_result(stored)

        self.put(drafts, resolve)
        return await future

    def put(self, drafts: Sequence[PendingEvent], on_stored: Callable[[Stored], None]) -> None:
        """Do what ``submit`` does, and call back with its answers or what it would raise later.

        Raises StoreUnavailableError when the drafts are not even taken; then nobody is called.
        """
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")

        def told(stored: Stored) -> None:
            self._count -= len(drafts)
            self._bytes -= waiting.size
            on_stored(stored)

        waiting = Submission(drafts, told, asyncio.get_running_loop().time())
        count, size = self._count + len(drafts), self._bytes + waiting.size
        if count > _WAITING_MAX or (size > _WAITING_BYTES_MAX and self._count):
            raise IntakeFullError("more events arrive than can be stored; try again in a moment")
        self._line_of(waiting).add(waiting)
        self._count, self._bytes = count, size

    async def close(self, within_s: float = ANSWER_S) -> None:
        """Turn new callers away and finish those who wait, as far as the store lets us in that time."""
        self._closed = True
        lines = [self._line, *self._apart.values()]
        running = [line.running for line in lines if line.running is not None]
        if running:
            await asyncio.wait(running, timeout=within_s)
        for line in lines:
            line.turn_away()

    def _line_of(self, waiting: Submission) -> CommitBatcher:
        return self._apart.get(waiting.clients, self._line) if self._apart else self._line

    async def _store_together(self, batch: Sequence[Submission]) -> None:
        try:
            events, answers = await self._match_and_store([draft for waiting in batch for draft in waiting.drafts])
        except StoreBusyError as error:
            self._try_again(batch, error)
        except Exception as error:  # whatever it is, the next batch has its own chance
            if not isinstance(error, StoreError):
                log.exception("a batch of events could not be stored")
            tell_all(batch, error)
        else:
            _answer(batch, answers)
            self._hand_over(events, answers)

    async def _store_apart(self, batch: Sequence[Submission]) -> None:
        async with self._commits_apart:
            await self._store_together(batch)
        clients = batch[0].clients
        if clients in self._apart and not self._apart[clients].waits:  # nobody holds their rows any more
            del self._apart[clients]

    def _try_again(self, batch: Sequence[Submission], error: StoreBusyError) -> None:
        """Let those wait on who have not waited too long: apart from the others where somebody holds their rows."""
        for waiting in batch:
            if not error.clients.isdisjoint(waiting.clients):
                self._apart.setdefault(waiting.clients, CommitBatcher(self._store_apart))
        late = asyncio.get_running_loop().time() - ANSWER_S
        for waiting in (*batch, *self._line.take(lambda each: each.clients in self._apart)):
            try:
                if waiting.since <= late:
                    raise error
                self._line_of(waiting).add(waiting)
            except StoreUnavailableError as refusal:
                waiting.tell(refusal)

    async def _match_and_store(self, drafts: Sequence[PendingEvent]) -> tuple[list[NewEvent], list[Accepted]]:
        """Store drafts with the deliveries they give rise to, as the endpoints stand at that moment on any node."""
        for _ in range(_MATCHES_MAX):
            reserved: list[int] = []
            try:
                events = [self._event(draft, reserved) for draft in drafts]
                return events, await self._store.journal.accept(events, config_version=self._registry.version)
            except ConfigChangedError:
                self._give_back(reserved)
                await self._learn_changes()
            except BaseException:
                self._give_back(reserved)
                raise
        raise StoreUnavailableError("endpoints are being changed faster than events can be matched with them")

    async def _learn_changes(self) -> None:
        try:
            await self._registry.refresh()
        except VaultError as error:
            log.error("another node's changes cannot be read", error=str(error))
            raise StoreUnavailableError("another node's changes cannot be read") from None

    def _event(self, draft: PendingEvent, reserved: list[int]) -> NewEvent:
        """Match a draft; the endpoints that a slot was reserved of are added to ``reserved``."""
        now_ms = self._clock.now_ms()
        endpoints = self._registry.match(draft.client_id, draft.type, draft.application_id, draft.data)
        event_id = self._ids.next(now_ms)
        return NewEvent(
            id=event_id,
            client_id=draft.client_id,
            type=draft.type.name,
            application_id=draft.application_id,
            accepted_ms=now_ms,
            config_version=self._registry.version,
            idempotency_key=draft.idempotency_key,
            traceparent=draft.traceparent,
            body=draft.body,
            deliveries=tuple([self._delivery(endpoint, draft, now_ms, reserved) for endpoint in endpoints]),
        )

    def _delivery(self, endpoint: Endpoint, draft: PendingEvent, now_ms: int, reserved: list[int]) -> NewDelivery:
        if endpoint.ordering == "key":
            key = draft.type.business_key(draft.data)
            if key is not None:  # whether it must wait is the store's to say
                return NewDelivery(self._ids.next(now_ms), endpoint.id, key)
        lease_until_ms = self._dispatch.reserve(endpoint)
        if lease_until_ms is not None:
            reserved.append(endpoint.id)
        return NewDelivery(self._ids.next(now_ms), endpoint.id, None, lease_until_ms)

    def _hand_over(self, events: Sequence[NewEvent], answers: Sequence[Accepted]) -> None:
        for event, answer in zip(events, answers, strict=True):
            if answer.outcome != "new":
                self._give_back([each.endpoint_id for each in event.deliveries if each.lease_until_ms is not None])
                continue
            try:
                self._pass_on(event, answer.sequence)
            except Exception:  # it is stored, and sent when its lease ends; the others must not wait for that
                log.exception("an event could not be handed over", event_id=event.id)

    def _pass_on(self, event: NewEvent, sequence: int) -> None:
        for delivery in event.deliveries:
            if delivery.lease_until_ms is None:
                self._dispatch.notice(delivery.endpoint_id)
            else:
                self._dispatch.launch(self._claimed(event, sequence, delivery, delivery.lease_until_ms))
        for listen in self.on_accepted:
            listen(event.client_id)

    def _claimed(self, event: NewEvent, sequence: int, delivery: NewDelivery, lease_until_ms: int) -> Claimed:
        return Claimed(
            delivery_id=delivery.id,
            endpoint_id=delivery.endpoint_id,
            number=1,
            failure_count=0,
            run_id=self._dispatch.run_id,
            lease_until_ms=lease_until_ms,
            replay_id=None,
            event_id=event.id,
            client_id=event.client_id,
            sequence=sequence,
            type=event.type,
            traceparent=event.traceparent,
            body=event.body,
        )

    def _give_back(self, reserved: Sequence[int]) -> None:
        for endpoint_id in reserved:
            self._dispatch.release(endpoint_id)


def _answer(batch: Sequence[Submission], answers: Sequence[Accepted]) -> None:
    start = 0
    for waiting in batch:
        end = start + len(waiting.drafts)
        waiting.tell(list(answers[start:end]))
        start = end
