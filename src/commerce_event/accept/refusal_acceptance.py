"""Accept refused events, as they are or corrected. A refused event becomes one event at most."""

from contextlib import suppress

import msgspec

from commerce_event.accept.commit_batcher import OutcomeUnknownError
from commerce_event.accept.errors import UnknownTypeError
from commerce_event.accept.intake import Intake
from commerce_event.accept.parse import ParsedEvent, parse_event
from commerce_event.accept.publish import to_pending
from commerce_event.contract.catalogue import EventType
from commerce_event.core import ids
from commerce_event.core.clock import Clock
from commerce_event.core.model import Key, Refusal, Scope, ValidationMode
from commerce_event.core.problems import Fault, Problem, invalid
from commerce_event.registry.authentication import check_client
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted
from commerce_event.store.port import RefusalStore, StoreError


class Correction(msgspec.Struct, frozen=True):
    """What to publish in place of a refused event: another body, another type, or both; None: as it was refused."""

    body: bytes | None
    type: str | None


class RefusalAcceptance:
    """Publishes refused events.

    The idempotency key of the event is the id of the refusal, and the store holds the client of an acceptance that has
    begun. So acceptances at the same time, on any node, and those that are repeated after a crash make one event.
    """

    def __init__(self, store: RefusalStore, registry: Registry, intake: Intake, clock: Clock, *, body_max: int) -> None:
        """``body_max`` is in bytes."""
        self._store = store
        self._registry = registry
        self._intake = intake
        self._clock = clock
        self._body_max = body_max

    async def accept(self, key: Key, refusal: Refusal, correction: Correction | None) -> Refusal:
        """Publish a refused event and return the refusal, now with its event.

        Without a correction it is published as it is, byte for byte, like in the validation mode ``warn``. A
        correction is checked like any event of its client. A body as it was sent is published only for the client
        that it was refused for: its sender may not choose another one.

        Raises RejectedError, Problem 409 when it was accepted or discarded before, StoreUnavailableError.
        """
        check_open(refusal)
        event = self._parse(key, refusal, correction)
        check_client(key, event.client_id)
        if (correction is None or correction.body is None) and event.client_id != refusal.client_id:
            raise _other_client(event.client_id)
        client_id = await self._store.begin_acceptance(refusal.id, event.client_id)
        if client_id is None:
            raise await self._closed_meanwhile(refusal)
        if client_id != event.client_id:
            raise acceptance_in_progress(client_id)
        accepted = await self._publish(refusal, event)
        now_ms = self._clock.now_ms()
        is_first = await self._store.accept(refusal.id, accepted.id, now_ms=now_ms) or await self._is_gone(refusal)
        if not is_first or accepted.outcome == "conflict":  # conflict: an acceptance with another body was first
            raise _already_accepted(accepted.id)
        return msgspec.structs.replace(
            refusal, state="accepted", accepting_for=client_id, event_id=accepted.id, closed_ms=now_ms
        )

    def _parse(self, key: Key, refusal: Refusal, correction: Correction | None) -> ParsedEvent:
        event_type = (correction.type if correction else None) or refusal.type
        if event_type is None:
            raise invalid("/type", "the refused event has no type; send a corrected event with its type")
        body = refusal.body if correction is None or correction.body is None else correction.body
        mode_of = _always_warn if correction is None else self._registry.modes_for(key.scope)
        try:
            return parse_event(
                event_type, body, max_bytes=self._body_max, catalogue=self._registry.catalogue, mode_of=mode_of
            )
        except UnknownTypeError as error:  # its 404 would mean that there is no such refused event
            raise Problem(422, error.detail, faults=[Fault("/type", error.detail.rstrip("."))]) from None

    async def _publish(self, refusal: Refusal, event: ParsedEvent) -> Accepted:
        pending = to_pending(event, ids.encode("rfs", refusal.id), None)
        try:
            [accepted] = await self._intake.submit((pending,))
        except OutcomeUnknownError:
            raise
        except Exception:  # nothing is stored, so that another client may be chosen next
            with suppress(StoreError):
                await self._store.cancel_acceptance(refusal.id)
            raise
        return accepted

    async def _is_gone(self, refusal: Refusal) -> bool:
        """Tell whether the refused event was deleted meanwhile: too many others came, or it expired."""
        return await self._store.refusal(refusal.id, Scope.everyone()) is None

    async def _closed_meanwhile(self, refusal: Refusal) -> Problem:
        now = await self._store.refusal(refusal.id, Scope.everyone())
        if now is None:
            return Problem(404, "There is no such refused event.")
        check_open(now)
        return Problem(409, "It is being changed; try again.")


def _always_warn(_client_id: int, _event_type: EventType) -> ValidationMode:
    return "warn"


def check_open(refusal: Refusal) -> None:
    """Raise Problem 409 unless the refused event is open."""
    if refusal.event_id is not None:
        raise _already_accepted(refusal.event_id)
    if refusal.state == "discarded":
        raise Problem(409, "This refused event was discarded.")


def _other_client(client_id: int) -> Problem:
    message = f"names client {client_id}, which it was not refused for; send a corrected event"
    return Problem(422, f"The refused event {message}.", faults=[Fault("/ClientId", message)])


def acceptance_in_progress(client_id: int) -> Problem:
    """Return the problem while an acceptance has begun: it is under way, or its result is not known."""
    return Problem(409, f"Accepting it for client {client_id} has begun; to finish that, accept it for this client.")


def _already_accepted(event_id: int) -> Problem:
    return Problem(409, f"This refused event was accepted before, as {ids.encode('evt', event_id)}.")
