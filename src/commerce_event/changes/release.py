"""Raise waiting notifications when their time has come: each becomes an event, and stops waiting, in one commit.

On several nodes, the first commit raises a notification; the other nodes find that it no longer waits.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from commerce_event.accept.commit_batcher import PendingEvent
from commerce_event.accept.intake import Commit, Intake
from commerce_event.accept.turns import Steps
from commerce_event.changes.evaluation import pending_event
from commerce_event.core.clock import Clock
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, ChangeBatch, NewEvent, RaisedEvent, WaitingNotification
from commerce_event.store.port import ChangesOutdatedError, ConfigChangedError, Store, StoreError

_BATCH_MAX: Final = 100  # notifications in one commit
_DELIVERIES_MAX: Final = 1_000
_POLL_S: Final = 2.0  # between two reads of notifications that other nodes let wait
_RETRY_S: Final = 1.0  # after the store has failed
_OWNER: Final = "waiting notifications"

log = structlog.get_logger(__name__)


class NotificationRelease:
    """Raises waiting notifications."""

    def __init__(self, store: Store, registry: Registry, intake: Intake, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._intake = intake
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def notice(self) -> None:
        """Note that a notification waits."""
        self._wake.set()

    async def release(self, waiting: Sequence[WaitingNotification]) -> None:
        """Raise these notifications, in their order, unless the store cannot do it now; then they are raised later."""
        for start in range(0, len(waiting), _BATCH_MAX):
            pairs = [(each.setting_id, each.subject) for each in waiting[start : start + _BATCH_MAX]]
            try:
                while due := await self._store.changes.waiting(pairs):
                    await self._release_first([due[pair] for pair in pairs if pair in due])
            except StoreError:
                return

    async def _run(self) -> None:
        while True:
            try:
                while due := await self._store.changes.due(now_ms=self._clock.now_ms(), limit=_BATCH_MAX):
                    await self._release_first(due)
                next_ms = await self._store.changes.next_due_ms()
                wait_s = _POLL_S if next_ms is None else (next_ms - self._clock.now_ms()) / 1000
            except StoreError as error:
                log.warning("waiting notifications are raised later", error=str(error))
                wait_s = _RETRY_S
            except Exception:
                log.exception("waiting notifications could not be raised")
                wait_s = _RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait_s, 0.01), _POLL_S)):
                    await self._wake.wait()
            self._wake.clear()

    async def _release_first(self, due: Sequence[WaitingNotification]) -> None:
        """Raise the first of these notifications in one commit: none when they, or the registry, have changed."""
        version = self._registry.version
        events = await self._intake.turns.run(_OWNER, self._match_steps(due), bulk=True)
        if self._registry.version != version:
            return
        released = due[: len(events)]
        with suppress(ConfigChangedError, ChangesOutdatedError):
            await self._intake.store_with(events, self._commit_of(released))

    def _commit_of(self, released: Sequence[WaitingNotification]) -> Commit:
        async def commit(events: Sequence[NewEvent], config_version: int) -> list[Accepted]:
            batch = ChangeBatch(released=released, raised=_raised(released, events))
            return await self._store.changes.accept(batch, events, config_version=config_version)

        return commit

    def _match_steps(self, due: Sequence[WaitingNotification]) -> Steps[list[PendingEvent]]:
        """Return the events of the first notifications: as many as one commit may have deliveries."""
        events: list[PendingEvent] = []
        deliveries = 0
        for each in due:
            event = pending_event(each.event_type, each.client_id, each.application_id, each.body)
            yield from self._intake.match_steps(event)
            yield
            deliveries += event.delivery_count
            if events and deliveries > _DELIVERIES_MAX:
                break
            events.append(event)
        return events


def _raised(released: Sequence[WaitingNotification], events: Sequence[NewEvent]) -> list[RaisedEvent]:
    return [
        RaisedEvent(
            event_id=event.id,
            client_id=each.client_id,
            setting_id=each.setting_id,
            subject=each.subject,
            first_change_id=each.first_change_id,
            change_id=each.change_id,
            merged=each.merged,
        )
        for each, event in zip(released, events, strict=True)
    ]
