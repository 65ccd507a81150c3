"""The intake: match checked events with endpoints, store them with their deliveries, and start those deliveries.

Events of many callers share a commit: those that arrive during one commit are stored by the next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from commerce_event.accept.commit_batcher import (
    ANSWER_S,
    CommitBatcher,
    OutcomeUnknownError,
    PendingEvent,
    Result,
    Submission,
    fail_all,
)
from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import VaultError
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, Claimed, NewDelivery, NewEvent
from commerce_event.store.port import ConfigChangedError, Store, StoreError, StoreUnavailableError

__all__ = ["Dispatch", "Intake", "IntakeFullError", "PendingEvent"]

_MATCHES_MAX: Final = 20  # attempts to match events while endpoints are being changed
_WAITING_MAX: Final = 20_000  # events that may wait for a commit; more are refused
_WAITING_BYTES_MAX: Final = 64 * 1024**2  # of their bodies
_CHANGING_TOO_FAST: Final = "endpoints are being changed faster than events can be matched with them"

log = structlog.get_logger(__name__)


class IntakeFullError(StoreUnavailableError):
    """Too many events wait for a commit; nothing was stored."""


class Dispatch(Protocol):
    """What accepting needs from delivering."""

    def reserve(self, endpoint: Endpoint) -> int | None:
        """Reserve a slot for sending right after the commit; return when its lease ends (ms), None without a slot."""
        ...

    def release(self, endpoint_id: int) -> None:
        """Release a reserved slot."""
        ...

    def launch(self, claimed: Claimed) -> None:
        """Send a delivery in its reserved slot, now that it is durable."""
        ...

    def notice(self, endpoint_id: int) -> None:
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
        self._count = 0  # events that wait for their result
        self._bytes = 0  # of their bodies
        self._closed = False
        self.on_accepted: list[Callable[[int], None]] = []  # called with the client of each new event

    async def submit(self, events: Sequence[PendingEvent]) -> list[Accepted]:
        """Store events together; return an answer for each, in order, once they are durable.

        Raises OutcomeUnknownError when the store does not answer in time. Any other StoreUnavailableError, such as
        IntakeFullError, means that none of them is stored.
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

        def finish(result: Result) -> None:
            self._count -= len(events)
            self._bytes -= submission.size
            on_result(result)

        submission = Submission(events, finish, asyncio.get_running_loop().time())
        count, size = self._count + len(events), self._bytes + submission.size
        if count > _WAITING_MAX or (size > _WAITING_BYTES_MAX and self._count):
            raise IntakeFullError("more events arrive than can be stored; try again in a moment")
        self._batcher.add(submission)
        self._count, self._bytes = count, size

    async def close(self, within_s: float = ANSWER_S) -> None:
        """Refuse new events and store the waiting ones, as far as the store can in that time; fail the others."""
        self._closed = True
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
        try:
            events, results = await self._match_and_store([submission.events for submission in batch])
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
        self, submissions: Sequence[Sequence[PendingEvent]]
    ) -> tuple[list[list[NewEvent]], Sequence[list[Accepted] | Awaitable[list[Accepted]]]]:
        """Store events with a delivery for each endpoint that matches at the moment of the commit, on any node."""
        if self._stale:
            await self._refresh_registry()
        for _ in range(_MATCHES_MAX):
            reserved: list[int] = []
            try:
                events = [[self._match(pending, reserved) for pending in submission] for submission in submissions]
                return events, await self._store.journal.accept(events, config_version=self._registry.version)
            except ConfigChangedError:
                self._release(reserved)
                await self._refresh_registry()
            except BaseException:
                self._release(reserved)
                raise
        raise StoreUnavailableError(_CHANGING_TOO_FAST)

    async def _refresh_registry(self) -> None:
        try:
            await self._registry.refresh()
            self._stale = False
        except VaultError as error:
            log.error("another node's changes cannot be read", error=str(error))
            raise StoreUnavailableError("another node's changes cannot be read") from None

    def _match(self, pending: PendingEvent, reserved: list[int]) -> NewEvent:
        """Match an event. Add the endpoints of which a slot was reserved to ``reserved``."""
        now_ms = self._clock.now_ms()
        endpoints = self._registry.match(pending.client_id, pending.type, pending.application_id, pending.data)
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
            deliveries=tuple([self._delivery(endpoint, pending, now_ms, reserved) for endpoint in endpoints]),
        )

    def _delivery(self, endpoint: Endpoint, pending: PendingEvent, now_ms: int, reserved: list[int]) -> NewDelivery:
        if endpoint.ordering == "key":
            key = pending.type.business_key(pending.data)
            if key is not None:  # the store decides whether the delivery must wait for others of its key
                return NewDelivery(self._ids.next(now_ms), endpoint.id, key)
        lease_until_ms = self._dispatch.reserve(endpoint)
        if lease_until_ms is not None:
            reserved.append(endpoint.id)
        return NewDelivery(self._ids.next(now_ms), endpoint.id, None, lease_until_ms)

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
                self._dispatch.notice(delivery.endpoint_id)
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
            )
            self._dispatch.launch(claimed)
        for on_accepted in self.on_accepted:
            on_accepted(event.client_id)

    def _release(self, reserved: Sequence[int]) -> None:
        for endpoint_id in reserved:
            self._dispatch.release(endpoint_id)


def _reserved_for(event: NewEvent) -> list[int]:
    """Return the endpoint of each slot that is reserved for an event."""
    return [delivery.endpoint_id for delivery in event.deliveries if delivery.lease_until_ms is not None]
