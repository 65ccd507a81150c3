"""The intake: every event that passed its checks goes through here into one shared commit.

While one batch is being made durable, later callers gather in the next, so a commit serves many requests.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from commerce_event.contract.catalogue import EventType
from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import VaultError
from commerce_event.store.directory import Directory
from commerce_event.store.port import (
    Accepted,
    Claimed,
    ConfigChangedError,
    NewDelivery,
    NewEvent,
    Store,
    StoreUnavailableError,
)

_BATCH_MAX: Final = 512  # events in one call to the store
_MATCHES_MAX: Final = 20  # tries to match events with endpoints that are being changed
_WAITING_MAX: Final = 20_000  # events that may wait for a commit before callers are turned away
_WAITING_BYTES_MAX: Final = 64 * 1024**2  # likewise, of their bodies

log = structlog.get_logger(__name__)


class IntakeFullError(StoreUnavailableError):
    """More events wait for a commit than should; nothing was stored."""


class Draft(msgspec.Struct, frozen=True):
    """An event that passed its checks and is to be stored."""

    client_id: int
    type: EventType
    application_id: int | None
    data: Mapping[str, Any]
    body: bytes
    idempotency_key: str | None = None
    traceparent: str | None = None


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
    def lease(self) -> int:
        """The fence of this run."""
        ...


OnStored = Callable[[list[Accepted] | BaseException], None]


class _Waiting:
    __slots__ = ("drafts", "on_stored", "size")

    def __init__(self, drafts: Sequence[Draft], on_stored: OnStored) -> None:
        self.drafts = drafts
        self.on_stored = on_stored
        self.size = sum([len(draft.body) for draft in drafts])


class Intake:
    """Gathers drafts, matches them with endpoints and has them stored."""

    def __init__(self, store: Store, directory: Directory, dispatch: Dispatch, id_maker: IdMaker, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._dispatch = dispatch
        self._ids = id_maker
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._waiting_count = 0
        self._waiting_bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self.on_accepted: list[Callable[[int], None]] = []  # told of each new event's client

    async def submit(self, drafts: Sequence[Draft]) -> list[Accepted]:
        """Store drafts together and answer for each once they are durable.

        Raises StoreUnavailableError (IntakeFullError when too much waits already); then none of them is stored.
        """
        future: asyncio.Future[list[Accepted]] = asyncio.get_running_loop().create_future()

        def resolve(stored: list[Accepted] | BaseException) -> None:
            if future.done():  # the caller was cancelled; the events stand
                return
            if isinstance(stored, BaseException):
                future.set_exception(stored)
            else:
                future.set_result(stored)

        self.put(drafts, resolve)
        return await future

    def put(self, drafts: Sequence[Draft], on_stored: OnStored) -> None:
        """Do what ``submit`` does, and call back with its answers or what it would raise later.

        Raises StoreUnavailableError when the drafts are not even taken; then nobody is called.
        """
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")
        waiting = _Waiting(drafts, on_stored)
        count, size = self._waiting_count + len(drafts), self._waiting_bytes + waiting.size
        if count > _WAITING_MAX or (size > _WAITING_BYTES_MAX and self._waiting):
            raise IntakeFullError("more events arrive than can be stored; try again in a moment")
        self._waiting.append(waiting)
        self._waiting_count, self._waiting_bytes = count, size
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def close(self) -> None:
        """Turn new callers away and finish those who wait."""
        self._closed = True
        if self._flushing is not None:
            await self._flushing

    async def _flush(self) -> None:
        await asyncio.sleep(0)  # let whoever arrived in this turn of the loop join the batch
        while self._waiting:
            await self._store_together(self._next_batch())
        self._flushing = None

    async def _store_together(self, batch: Sequence[_Waiting]) -> None:
        try:
            events, answers = await self._match_and_store([draft for waiting in batch for draft in waiting.drafts])
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            _answer(batch, answers)
            self._hand_over(events, answers)

    async def _match_and_store(self, drafts: Sequence[Draft]) -> tuple[list[NewEvent], list[Accepted]]:
        """Store drafts with the deliveries they give rise to, as the endpoints stand at that moment on any node."""
        for _ in range(_MATCHES_MAX):
            events: list[NewEvent] = []
            try:
                events.extend(map(self._event, drafts))
                return events, await self._store.accept(events, config_version=self._directory.version)
            except ConfigChangedError:
                self._give_back(events)
                await self._learn_changes()
            except BaseException:
                self._give_back(events)
                raise
        raise StoreUnavailableError("endpoints are being changed faster than events can be matched with them")

    async def _learn_changes(self) -> None:
        try:
            await self._directory.refresh()
        except VaultError as error:
            log.error("another node's changes cannot be read", error=str(error))
            raise StoreUnavailableError("another node's changes cannot be read") from None

    def _next_batch(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._waiting:
            if count and size + len(waiting.drafts) > _BATCH_MAX:
                break
            size += len(waiting.drafts)
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_count -= size
        self._waiting_bytes -= sum([waiting.size for waiting in batch])
        return batch

    def _event(self, draft: Draft) -> NewEvent:
        now_ms = self._clock.now_ms()
        endpoints = self._directory.match(draft.client_id, draft.type, draft.application_id, draft.data)
        event_id = self._ids.next(now_ms)
        return NewEvent(
            id=event_id,
            client_id=draft.client_id,
            type=draft.type.name,
            application_id=draft.application_id,
            accepted_ms=now_ms,
            config_version=self._directory.version,
            idempotency_key=draft.idempotency_key,
            traceparent=draft.traceparent,
            body=draft.body,
            deliveries=tuple([self._delivery(endpoint, draft, now_ms) for endpoint in endpoints]),
        )

    def _delivery(self, endpoint: Endpoint, draft: Draft, now_ms: int) -> NewDelivery:
        if endpoint.ordering == "key":
            key = draft.type.business_key(draft.data)
            if key is not None:  # whether it must wait is the store's to say
                return NewDelivery(self._ids.next(now_ms), endpoint.id, key)
        return NewDelivery(self._ids.next(now_ms), endpoint.id, None, self._dispatch.reserve(endpoint))

    def _hand_over(self, events: Sequence[NewEvent], answers: Sequence[Accepted]) -> None:
        for event, answer in zip(events, answers, strict=True):
            if answer.outcome != "new":
                self._give_back((event,))
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
            lease=self._dispatch.lease,
            lease_until_ms=lease_until_ms,
            replay_id=None,
            event_id=event.id,
            client_id=event.client_id,
            sequence=sequence,
            type=event.type,
            traceparent=event.traceparent,
            body=event.body,
        )

    def _give_back(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            for delivery in event.deliveries:
                if delivery.lease_until_ms is not None:
                    self._dispatch.release(delivery.endpoint_id)


def _answer(batch: Sequence[_Waiting], answers: Sequence[Accepted]) -> None:
    start = 0
    for waiting in batch:
        end = start + len(waiting.drafts)
        _tell(waiting, list(answers[start:end]))
        start = end


def _fail(batch: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        _tell(waiting, error)


def _tell(waiting: _Waiting, stored: list[Accepted] | BaseException) -> None:
    try:
        waiting.on_stored(stored)
    except Exception:  # the others in the batch are to hear of it all the same
        log.exception("an answer could not be given")
