"""Audit entries of what the server changes by itself."""

import structlog

from commerce_event.api.response_models import AUDITED_SECRETS, audited_endpoint, endpoint_name
from commerce_event.core import ids
from commerce_event.core.clock import Clock
from commerce_event.core.field_changes import find_changes
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import AUTOMATIC_ID, AuditEntry, Endpoint
from commerce_event.store.port import Store, StoreError

log = structlog.get_logger(__name__)


class AutomaticChanges:
    """Writes the entries. One that cannot be written is lost, and logged: the change is done."""

    def __init__(self, store: Store, id_maker: IdMaker, clock: Clock) -> None:
        self._store = store
        self._ids = id_maker
        self._clock = clock

    async def record_switch_off(self, before: Endpoint, after: Endpoint, /) -> None:
        """Record that an endpoint was switched off because it answered 410."""
        now_ms = self._clock.now_ms()
        entry = AuditEntry(
            id=self._ids.next(now_ms),
            at_ms=now_ms,
            client_id=after.client_id,
            key_id=AUTOMATIC_ID,
            key_name="",
            action="switchOffEndpoint",
            target=ids.encode("end", after.id),
            detail="the receiver answered 410 Gone",
            name=endpoint_name(after),
            changes=find_changes(audited_endpoint(before), audited_endpoint(after), secret=AUDITED_SECRETS),
        )
        try:
            await self._store.audit_log.add(entry)
        except StoreError as error:
            log.error("an audit log entry is lost", action=entry.action, target=entry.target, error=str(error))
