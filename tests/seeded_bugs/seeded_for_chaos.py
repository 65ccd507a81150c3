"""Bugs for the judge of `tests/oracle`: most of them show only when servers are killed, paused or lose their power.

Each names the engine and the faults of a run that has to tell of it, and the invariant that must tell.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Generator
from typing import Any

import msgspec
from seeded import Bug, _every, _wrap

from commerce_event.accept import parse, publish
from commerce_event.accept.errors import InvalidEventError
from commerce_event.accept.intake import Intake
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.delivery import Outcome
from commerce_event.core.urls import Target
from commerce_event.deliver import dispatcher, replays
from commerce_event.deliver.leases import Leases
from commerce_event.deliver.replays import Replays
from commerce_event.deliver.sender import Sender
from commerce_event.registry.registry import Registry
from commerce_event.store import row_mapping
from commerce_event.store.model import Accepted
from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite import files
from commerce_event.store.sqlite import queue as sqlite_queue
from commerce_event.store.sqlite import sql as sqlite_sql
from commerce_event.store.sqlite.journal import SqliteJournal

replace = msgspec.structs.replace


CHAOS_BUGS: dict[str, Bug] = {}
_KILLS = ("kill", "kill", "kill")
_CUTS = ("power-cut",) * 4  # one may find everything flushed


def _bug(
    told_by: str, engine: str = "sqlite", faults: tuple[str, ...] = ("kill",)
) -> Callable[..., Callable[[], None]]:
    def remember(put_in: Callable[[], None]) -> Callable[[], None]:
        CHAOS_BUGS[put_in.__name__] = Bug(put_in, told_by, engine, faults)
        return put_in

    return remember


# Accepting


@_bug("every acknowledged event is stored, byte for byte", faults=_CUTS)
def accepted_before_it_is_flushed() -> None:
    """Commits are quick, and gone when the power is."""

    def open_writer(before: Any, *values: Any, **named: Any) -> Any:
        connection = before(*values, **named)
        connection.execute("PRAGMA synchronous = NORMAL")  # OFF could leave a file that nobody can open
        return connection

    _wrap(files, "open_writer", open_writer)


@_bug("nothing is stored or sent that was not acknowledged")
def refused_event_stored() -> None:
    async def later(intake: Intake, pending_event: Any) -> None:
        await intake.submit([pending_event])

    def pending_event(before: Any, publisher: Any, event_type: str, body: bytes, headers: Any, key: Any) -> Any:
        try:
            return before(publisher, event_type, body, headers, key)
        except InvalidEventError:
            check, parse._contract_faults = parse._contract_faults, lambda *_: ()
            try:
                accepted = before(publisher, event_type, body, headers, key)
            finally:
                parse._contract_faults = check
            _TASKS.append(asyncio.ensure_future(later(publisher._intake, accepted)))
            raise

    _wrap(publish.Publisher, "_pending_event", pending_event)


_TASKS: list[Any] = []


@_bug("every answer is a documented one")
def keys_shared_by_clients() -> None:
    seen: dict[Any, int] = {}

    def event(before: Any, intake: Intake, pending_event: Any, *values: Any) -> Any:
        client = seen.setdefault(pending_event.idempotency_key, pending_event.client_id)
        return before(
            intake,
            pending_event if client == pending_event.client_id else replace(pending_event, client_id=client),
            *values,
        )

    _wrap(Intake, "_match", event)


@_bug("each matching endpoint has exactly one delivery of an event")
def lost_one_delivery_in_200() -> None:
    now = _every(200)
    _wrap(
        Intake,
        "_match",
        lambda before, *v: replace(e, deliveries=e.deliveries[1:]) if (e := before(*v)) and now() else e,
    )


@_bug("each matching endpoint has exactly one delivery of an event")
def two_deliveries_for_one() -> None:
    now = _every(50)

    def event(before: Any, intake: Intake, pending_event: Any, *values: Any) -> Any:
        made = before(intake, pending_event, *values)
        if not now() or not made.deliveries:
            return made
        twin = replace(made.deliveries[0], id=intake._ids.next(made.accepted_ms), lease_until_ms=None)
        return replace(made, deliveries=(*made.deliveries, twin))

    _wrap(Intake, "_match", event)


@_bug("no event reached an endpoint that does not match")
def wrong_client_once() -> None:
    now = _every(100)

    def match(before: Any, registry: Registry, client_id: int, *values: Any) -> Any:
        return before(registry, 3 - client_id if now() else client_id, *values)

    _wrap(Registry, "match", match)


@_bug("an API key gives access to its clients, and to nothing once revoked")
def revoked_key_honoured() -> None:
    async def revoke(*_: Any) -> None:
        return

    _wrap(Registry, "revoke_key", revoke)


@_bug("an API key gives access to its clients, and to nothing once revoked", "postgres")
def revoked_key_honoured_by_the_other_node() -> None:
    """A node remembers tokens, and does not forget those of keys that another node revoked."""
    known: dict[str, Any] = {}

    def authenticate(before: Any, registry: Registry, token: str) -> Any:
        key = before(registry, token)
        return known.setdefault(token, key) if key is not None else known.get(token)

    _wrap(Registry, "authenticate", authenticate)


# Queue and leases


@_bug("every request is one recorded attempt", faults=_KILLS)
def attempt_not_on_record_before_it_is_sent() -> None:
    """A kill leaves no trace of what was on its way."""
    sqlite_sql._STATEMENTS["release_former_claims"] = sqlite_sql._STATEMENTS["release_former_claims"].replace(
        "SET ", "SET attempt_count = attempt_count - 1, "
    )
    sqlite_sql._STATEMENTS["record_interrupted"] = "SELECT ?, ?"


@_bug("every delivery ended", faults=_KILLS)
def work_of_a_killed_node_never_taken_over() -> None:
    now = _every(2)
    _wrap(sqlite_queue, "release_former_claims", lambda *_: None)
    _wrap(Leases, "until_ms", lambda before, *v: before(*v) + (3_600_000 if now() else 0))


@_bug("repeats only where a fault explains them", "postgres", ("pause",))
def lease_of_a_living_node_ignored() -> None:
    """Leases end before their requests do: both nodes send, and each takes the other's result for its own."""
    _wrap(Leases, "until_ms", lambda before, *v: before(*v) - 9_000)
    _wrap(Leases, "is_too_short", lambda *_: False)


@_bug("a delivery is dead only if its receiver refused every attempt", faults=_KILLS)
def own_fault_counts_as_a_failure() -> None:
    """What a kill interrupted uses up the policy."""

    def claimed(before: Any, row: Any, **named: Any) -> Any:
        made = before(row, **named)
        return replace(made, failure_count=made.number - 1)

    _wrap(row_mapping, "claimed", claimed)


@_bug("no retry is early")
def third_retry_too_early() -> None:
    def decide(before: Any, outcome: Any, *, failure_count: int, **named: Any) -> Any:
        decision = before(outcome, failure_count=failure_count, **named)
        early = failure_count == 3 and decision.due_ms is not None
        return replace(decision, due_ms=decision.due_ms - 500) if early else decision

    _wrap(dispatcher, "decide", decide)


@_bug("no attempt is much too late")
def third_retry_too_late() -> None:
    def decide(before: Any, outcome: Any, *, failure_count: int, **named: Any) -> Any:
        decision = before(outcome, failure_count=failure_count, **named)
        late = failure_count == 3 and decision.due_ms is not None
        return replace(decision, due_ms=decision.due_ms + 33_000) if late else decision

    _wrap(dispatcher, "decide", decide)


# Sending


@_bug("what is recorded as delivered was answered with 2xx")
def settled_before_the_answer() -> None:
    now = _every(20)

    async def send(before: Any, sender: Sender, endpoint: Any, claimed: Any) -> Any:
        if not now():
            return await before(sender, endpoint, claimed)
        _TASKS.append(asyncio.ensure_future(before(sender, endpoint, claimed)))
        return Outcome(started_ms=sender._clock.now_ms(), duration_ms=1.0, status=200, error=None)

    _wrap(Sender, "send", send)


@_bug("every request is one recorded attempt")
def sent_twice_now_and_then() -> None:
    now = _every(100)

    async def send(before: Any, sender: Sender, endpoint: Any, claimed: Any) -> Any:
        if now():
            await before(sender, endpoint, claimed)
        return await before(sender, endpoint, claimed)

    _wrap(Sender, "send", send)


@_bug("every request has the headers of its endpoint, and no others")
def static_header_sent_to_another_origin() -> None:
    Target.origin = property(lambda _: ("http", "everywhere", 80))  # type: ignore[assignment, method-assign]


@_bug("nothing is sent to an address that is not allowed")
def blocked_address_dialled() -> None:
    _wrap(AddressPolicy, "refusal", lambda *_: None)


@_bug("what arrives is what was published, byte for byte")
def body_read_and_written_anew() -> None:
    def send(before: Any, sender: Sender, endpoint: Any, claimed: Any) -> Any:
        body = msgspec.json.encode(msgspec.json.decode(claimed.body))
        return before(sender, endpoint, replace(claimed, body=body))

    _wrap(Sender, "send", send)


@_bug("a replay sends its client's events once more, to its endpoint")
def replay_to_another_client() -> None:
    """It takes every endpoint's events for the client's own."""

    def all_of_them(_before: Any, _catalogue: Any, _endpoint: Any, events: Any) -> Generator[None, None, Any]:
        yield
        return list(events)

    _wrap(replays, "_matching_steps", all_of_them)

    async def step(before: Any, self: Replays, replay: Any) -> None:
        await before(self, replace(replay, client_id=1))

    _wrap(Replays, "_step", step)


# Delivery counts and use


@_bug("every list of dead letters is complete")
def metric_off_by_one() -> None:
    from commerce_event.maintenance.counts import CountsVerifier

    async def verify(before: Any, verifier: CountsVerifier) -> None:
        await before(verifier)
        report = verifier.report
        if report is not None and report.counts:
            first, *rest = report.counts
            verifier.report = replace(
                report, counts=(replace(first, dead=first.dead + 1, matched=first.matched + 1), *rest)
            )

    _wrap(CountsVerifier, "verify", verify)


@_bug("no node uses ever more memory, files or threads", faults=("pause",))
def file_leaked_now_and_then() -> None:
    now = _every(4)

    def send(before: Any, *values: Any) -> Any:
        if now():
            os.open(os.devnull, os.O_RDONLY)
        return before(*values)

    _wrap(Sender, "send", send)


@_bug("no secret is shown or logged")
def secret_in_the_log() -> None:
    def prepare(before: Any, sender: Sender, endpoint: Any, now_ms: int) -> Any:
        print("signing with", endpoint.secrets[0].value, file=sys.stderr, flush=True)
        return before(sender, endpoint, now_ms)

    _wrap(Sender, "_prepare", prepare)


@_bug("no server ended by itself", faults=("disk-full",))
def full_disk_ends_it() -> None:
    async def accept(before: Any, journal: SqliteJournal, submissions: Any, **version: Any) -> list[list[Accepted]]:
        try:
            return list(await before(journal, submissions, **version))
        except StoreUnavailableError:
            os._exit(3)

    _wrap(SqliteJournal, "accept", accept)
