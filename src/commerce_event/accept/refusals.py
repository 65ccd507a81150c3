"""Record refused events in the background. An unavailable store or a full queue never changes or delays an answer."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Container, Sequence
from typing import Any, Final

import msgspec
import structlog

from commerce_event.contract.labels import EventLabel, label_from, label_of
from commerce_event.contract.properties import INT32_MAX, INT32_MIN
from commerce_event.core import ids
from commerce_event.core.clock import Clock
from commerce_event.core.fair_budget import FairBudget
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Key, Refusal, client_owner
from commerce_event.core.problems import Fault, Problem
from commerce_event.store.port import RefusalStore, StoreUnavailableError

_KEPT: Final = frozenset({404, 422})  # unknown type; the event breaks the contract or is wrapped wrongly
_QUEUE_BYTES_MAX: Final = 16 * 1024**2  # beyond it, each owner has an equal share
_ENTRY_BYTES: Final = 1_024  # counted for an entry besides its body and faults
_STEP_MAX: Final = 256  # refusals in one commit
_STEP_BYTES_MAX: Final = 1024**2
_LARGE_BYTES: Final = 16 * 1024  # of a body: reading its ClientId takes long enough to let others run in between
_PAUSE_S: Final = 0.05  # between two commits, at least
_BACKOFF_FACTOR: Final = 3.0  # pause as a multiple of the time of the commit: accepting goes first
_RETRY_S: Final = 1.0  # while the store is away
_TYPE_MAX: Final = 100  # characters
_LABEL_MAX: Final = 100

UNKNOWN_TYPE: Final = "unknown"  # in logs and metrics, for every type that is not in the catalogue

log = structlog.get_logger(__name__)


class _QueuedRefusal(msgspec.Struct, frozen=True):
    """A refused event that waits to be written."""

    id: int
    at_ms: int
    key: Key
    type: str | None
    body: bytes
    status: int
    detail: str
    faults: tuple[Fault, ...]
    size: int  # of its share of the queue


class _Body(msgspec.Struct):
    ClientId: Any = None


class _Envelope(msgspec.Struct):
    type: Any = None
    data: Any = None


_BODY: Final = msgspec.json.Decoder(_Body)
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class RefusalRecorder:
    """Writes refused events to the store, many in one commit. What the queue cannot take is dropped and counted."""

    def __init__(
        self,
        store: RefusalStore,
        id_maker: IdMaker,
        clock: Clock,
        known_types: Callable[[], Container[str]],
        on_dropped: Callable[[int], object],
        *,
        body_max: int,
    ) -> None:
        """``known_types`` returns the event types that logs may name.

        ``on_dropped`` is called with the number of refused events that are not kept.

        ``body_max`` is the size of the largest event in bytes; a longer item of a batch is cut.
        """
        self._store = store
        self._ids = id_maker
        self._clock = clock
        self._known_types = known_types
        self._on_dropped = on_dropped
        self._body_max = body_max
        self._queue: deque[_QueuedRefusal] = deque()
        self._queued_bytes = FairBudget(_QUEUE_BYTES_MAX)
        self._running: asyncio.Task[None] | None = None
        self._not_before_s = 0.0  # loop time of the next commit
        self._is_away = False

    def record(self, key: Key, event_type: str | None, body: bytes, problem: Problem) -> None:
        """Queue an event that the key's caller sent and that was refused with 404 or 422; other problems do nothing.

        ``event_type`` is None for an item of a batch with an invalid envelope; then ``body`` is the whole item.
        """
        if problem.status not in _KEPT:
            return
        body = body[: self._body_max]
        size = len(body) + _faults_size(problem.faults) + _ENTRY_BYTES
        if not self._queued_bytes.take(key.owner, size):
            self._on_dropped(1)
            return
        now_ms = self._clock.now_ms()
        made = _QueuedRefusal(
            self._ids.next(now_ms), now_ms, key, event_type, body, problem.status, problem.detail, problem.faults, size
        )
        self._queue.append(made)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def wait_until_written(self, within_s: float) -> None:
        """Wait until the queue is written, at most ``within_s`` seconds."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=within_s)

    async def close(self, within_s: float) -> None:
        """Write the queue, as far as the store can within ``within_s`` seconds; drop the rest."""
        await self.wait_until_written(within_s)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._queue:
                await asyncio.sleep(max(0.0, self._not_before_s - now()))
                pause_s = await self._write_step()
                self._not_before_s = now() + pause_s
        except asyncio.CancelledError:
            self._on_dropped(len(self._queue))
            raise
        finally:
            self._running = None

    async def _write_step(self) -> float:
        """Write the next refused events, or queue them again while the store is away; return how long to wait then."""
        now = asyncio.get_running_loop().time
        step, begin_s = self._take_step(), now()
        try:
            refusals = []
            for each in step:
                refusals.append(_refusal(each))
                if len(each.body) > _LARGE_BYTES:
                    await asyncio.sleep(0)
            begin_s = now()
            await self._store.add(refusals)
        except StoreUnavailableError as error:
            self._queue.extendleft(reversed(step))
            if not self._is_away:
                log.warning("refused events wait for the store", error=str(error))
            self._is_away = True
            return _RETRY_S
        except asyncio.CancelledError:
            self._queue.extendleft(reversed(step))
            raise
        except Exception:
            log.exception("refused events could not be stored", count=len(step))
            self._on_dropped(len(step))
        else:
            _log_refusals(refusals, self._known_types())
        self._is_away = False
        for each in step:
            self._queued_bytes.give_back(each.key.owner, each.size)
        return max(_PAUSE_S, _BACKOFF_FACTOR * (now() - begin_s))

    def _take_step(self) -> list[_QueuedRefusal]:
        step: list[_QueuedRefusal] = []
        size = 0
        while self._queue and len(step) < _STEP_MAX and size < _STEP_BYTES_MAX:
            step.append(self._queue.popleft())
            size += step[-1].size
        return step


def type_label(event_type: str | None, known_types: Container[str]) -> str:
    """Return an event type for logs and metrics, where the number of different values must be bounded."""
    return event_type if event_type is not None and event_type in known_types else UNKNOWN_TYPE


def _faults_size(faults: Sequence[Fault]) -> int:
    return sum([len(each.pointer) + len(each.message) for each in faults])


def _refusal(recorded: _QueuedRefusal) -> Refusal:
    key, event_type = recorded.key, recorded.type
    if event_type is None:
        client_id, event_type, label = _read_envelope(recorded.body)
    else:
        client_id, label = _read(event_type, recorded.body)
    client_id = _client_of(key, client_id)
    return Refusal(
        id=recorded.id,
        at_ms=recorded.at_ms,
        client_id=client_id,
        owner=key.owner if client_id is None else client_owner(client_id),
        type=None if event_type is None else event_type[:_TYPE_MAX].replace("\0", "\ufffd"),
        key_id=key.id,
        key_name=key.name,
        status=recorded.status,
        detail=recorded.detail.replace("\0", "\ufffd"),
        faults=recorded.faults,
        body=recorded.body,
        size=len(recorded.body) + _faults_size(recorded.faults),
        label=label.text[:_LABEL_MAX].replace("\0", "\ufffd"),
    )


def _read(event_type: str, body: bytes) -> tuple[Any, EventLabel]:
    """Return the ClientId and the label of an event, as far as they can be read."""
    try:
        return _BODY.decode(body).ClientId, label_of(event_type, body)
    except (ValueError, RecursionError):
        return None, EventLabel()


def _read_envelope(body: bytes) -> tuple[Any, str | None, EventLabel]:
    """Return the ClientId, the type and the label of an event in an envelope, as far as they can be read."""
    try:
        envelope = _ENVELOPE.decode(body)
    except (ValueError, RecursionError):
        return None, None, EventLabel()
    event_type = envelope.type if type(envelope.type) is str else None
    if type(envelope.data) is not dict:
        return None, event_type, EventLabel()
    return envelope.data.get("ClientId"), event_type, label_from(event_type or "", envelope.data)


def _client_of(key: Key, stated: Any) -> int | None:
    """Return the client that the body states if the key may access it, else the key's only client."""
    if type(stated) is int and INT32_MIN <= stated <= INT32_MAX and key.scope.allows(stated):
        return stated
    return key.client_ids[0] if key.client_ids is not None and len(key.client_ids) == 1 else None


def _log_refusals(refusals: Sequence[Refusal], known_types: Container[str]) -> None:
    """Write a line for each kind of refusal, without anything from the bodies."""
    kinds = Counter((type_label(each.type, known_types), each.status, each.client_id, each.key_id) for each in refusals)
    for (event_type, status, client_id, key_id), count in kinds.items():
        key = ids.encode("key", key_id) if key_id else "operator"
        log.info("events were refused", type=event_type, status=status, client_id=client_id, key=key, count=count)
