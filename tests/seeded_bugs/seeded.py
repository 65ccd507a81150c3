"""Seeded bugs: faults put into the product, one at a time, each with the invariant of the oracle that must be broken.

None of this is in the product: a bug replaces a function of it in the server's own process. The bugs here show in a
short run with one kill; those in `seeded_for_chaos` need other faults, or more of them.
"""

import asyncio
import itertools
import json
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, NamedTuple

import msgspec

from commerce_event.accept.intake import Intake
from commerce_event.api.metrics import Metrics
from commerce_event.contract.catalogue import EventType
from commerce_event.core import routing
from commerce_event.core.capacity import EndpointLimits
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint
from commerce_event.core.signatures import Signer
from commerce_event.deliver import dispatcher, sender
from commerce_event.deliver.claim_loop import ClaimLoop
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.endpoint_state import EndpointState
from commerce_event.deliver.leases import Leases
from commerce_event.deliver.sender import Sender
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted
from commerce_event.store.sqlite import history as sqlite_history
from commerce_event.store.sqlite import queue as sqlite_queue
from commerce_event.store.sqlite.history import SqliteHistory
from commerce_event.store.sqlite.journal import SqliteJournal
from commerce_event.store.sqlite.queue import SqliteQueue

replace = msgspec.structs.replace


class Bug(NamedTuple):
    """A bug, the invariant that it must break, and the run in which it does."""

    put_in: Callable[[], None]
    told_by: str
    engine: str = "sqlite"
    faults: tuple[str, ...] = ("kill",)


BUGS: dict[str, Bug] = {}


def _bug(told_by: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def remember(put_in: Callable[[], None]) -> Callable[[], None]:
        BUGS[put_in.__name__] = Bug(put_in, told_by)
        return put_in

    return remember


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by one that is given it first. Raises TypeError for one that does not take its arguments."""
    before = getattr(owner, name)
    taken = signature(before).parameters.values()
    placed = [each for each in taken if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    named = {each.name: None for each in taken if each.kind is Parameter.KEYWORD_ONLY}
    signature(around).bind(before, *placed, **named)
    setattr(owner, name, lambda *values, **named: around(before, *values, **named))


def _every(count: int) -> Callable[[], bool]:
    numbers = itertools.count(1)
    return lambda: next(numbers) % count == 0


# Accepting


@_bug("every acknowledged event is stored, byte for byte")
def answered_before_the_commit() -> None:
    tasks = []

    async def accept(before: Any, journal: SqliteJournal, submissions: Any, **_version: Any) -> list[list[Accepted]]:
        async def later() -> None:
            await asyncio.sleep(0.5)
            await before(journal, submissions)  # not held to a version of the endpoints, which may change meanwhile

        tasks.append(asyncio.ensure_future(later()))
        return [[Accepted("new", event.id, 0, len(event.deliveries)) for event in events] for events in submissions]

    _wrap(SqliteJournal, "accept", accept)


@_bug("each matching endpoint has exactly one delivery of an event")
def some_events_have_no_deliveries() -> None:
    now = _every(7)
    _wrap(Intake, "_match", lambda before, *v: replace(e, deliveries=()) if (e := before(*v)) and now() else e)


@_bug("an idempotency key means one event of its client")
def key_ignored() -> None:
    _wrap(
        Intake,
        "_match",
        lambda before, intake, pending_event, *v: before(intake, replace(pending_event, idempotency_key=None), *v),
    )


@_bug("an idempotency key means one event of its client")
def other_body_under_the_same_key_accepted() -> None:
    async def accept(before: Any, journal: SqliteJournal, submissions: Any, **version: Any) -> list[list[Accepted]]:
        results = await before(journal, submissions, **version)
        return [
            [replace(each, outcome="duplicate") if each.outcome == "conflict" else each for each in answers]
            for answers in results
        ]

    _wrap(SqliteJournal, "accept", accept)


@_bug("every acknowledged event is stored, byte for byte")
def batch_loses_its_last_event() -> None:
    async def submit(before: Any, intake: Intake, pending_events: Any) -> list[Accepted]:
        if len(pending_events) == 1:
            return list(await before(intake, pending_events))
        answers = await before(intake, pending_events[:-1])
        return [*answers, answers[-1]]

    _wrap(Intake, "submit", submit)


@_bug("no event reached an endpoint that does not match")
def other_clients_get_events_too() -> None:
    def match(before: Any, table: Any, _client_id: int, *event: Any) -> tuple[Any, ...]:
        return tuple(endpoint for client in table._endpoints for endpoint in before(table, client, *event))

    _wrap(routing.RouteTable, "match", match)


@_bug("no event reached an endpoint that does not match")
def type_ignored() -> None:
    _wrap(routing, "takes_type", lambda *_: True)


@_bug("no event reached an endpoint that does not match")
def application_ignored() -> None:
    _wrap(routing, "_takes_application", lambda *_: True)


@_bug("no event reached an endpoint that does not match")
def filter_ignored() -> None:
    _wrap(routing._ClientRoutes, "_predicate", lambda *_: lambda _data: True)


@_bug("no event reached an endpoint that does not match")
def switched_off_endpoint_gets_events() -> None:
    Endpoint.live = property(lambda endpoint: endpoint.deleted_ms is None)  # type: ignore[assignment, method-assign]


# Deciding


def _decide(changed: Callable[[Any, Any], Any]) -> None:
    """Change what follows from an attempt."""
    _wrap(dispatcher, "decide", lambda before, outcome, **named: changed(outcome, before(outcome, **named)))


@_bug("no retry is early")
def retry_too_early() -> None:
    _decide(lambda _, decision: replace(decision, due_ms=decision.due_ms - 100) if decision.due_ms else decision)


@_bug("no attempt is much too late")
def retry_too_late() -> None:
    _decide(lambda _, decision: replace(decision, due_ms=decision.due_ms + 2_600) if decision.due_ms else decision)


@_bug("no more attempts than the schedule has")
def one_attempt_too_many() -> None:
    def decide(before: Any, outcome: Any, *, schedule_s: Any, **named: Any) -> Any:
        return before(outcome, schedule_s=(*schedule_s, 0.1), **named)

    _wrap(dispatcher, "decide", decide)


@_bug("a delivery is dead only if its receiver refused every attempt")
def one_attempt_too_few() -> None:
    def decide(before: Any, outcome: Any, *, schedule_s: Any, **named: Any) -> Any:
        return before(outcome, schedule_s=schedule_s[:-1] or schedule_s, **named)

    _wrap(dispatcher, "decide", decide)


@_bug("a delivery is dead only if its receiver refused every attempt")
def dead_without_a_reason() -> None:
    _decide(lambda _, decision: replace(decision, reason=None))


@_bug("only a 410 switches an endpoint off")
def gone_ignored() -> None:
    def decide(before: Any, outcome: Any, **named: Any) -> Any:
        return before(replace(outcome, status=500) if outcome.status == 410 else outcome, **named)

    _wrap(dispatcher, "decide", decide)


@_bug("repeats only where a fault explains them")
def sent_again_after_a_success() -> None:
    now = _every(20)

    def again(_: Any, decision: Any, clock: Any = None) -> Any:
        if decision.state != "delivered" or not now():
            return decision
        return replace(decision, state="pending", due_ms=1)

    _decide(again)


def _success(also: Callable[[Outcome], bool]) -> None:
    before: Any = Outcome.delivered
    Outcome.delivered = property(lambda outcome: before.fget(outcome) or also(outcome))  # type: ignore[assignment, method-assign]


@_bug("what is recorded as delivered was answered with 2xx")
def not_modified_is_a_success() -> None:
    _success(lambda outcome: outcome.status == 304)


@_bug("what is recorded as delivered was answered with 2xx")
def server_error_is_a_success() -> None:
    _success(lambda outcome: outcome.status == 500)


@_bug("what is recorded as delivered was answered with 2xx")
def no_answer_is_a_success() -> None:
    _success(lambda outcome: outcome.status is None)


@_bug("no retry is early")
def retry_after_ignored() -> None:
    _wrap(sender, "_retry_after", lambda *_: None)


# Sending


@_bug("no endpoint gets more requests at the same time than it allows")
def limit_of_an_endpoint_ignored() -> None:
    _wrap(EndpointState, "limits", lambda _, __, endpoint, ___: EndpointLimits(40, endpoint.rate_limit))


@_bug("no two attempts of a delivery at the same time")
def sent_twice_at_once() -> None:
    now = _every(3)

    def launch(before: Any, self: Dispatcher, claimed: Any) -> None:
        before(self, claimed)
        if now():
            before(self, claimed)

    _wrap(Dispatcher, "launch", launch)


@_bug("events of one business key arrive in order")
def order_ignored() -> None:
    _wrap(EventType, "business_key", lambda *_: None)


def _claimed(changed: Callable[[Any], Any]) -> None:
    """Change what is sent."""
    _wrap(Sender, "send", lambda before, self, endpoint, claimed: before(self, endpoint, changed(claimed)))


@_bug("what arrives is what was published, byte for byte")
def body_written_anew() -> None:
    _claimed(lambda claimed: replace(claimed, body=json.dumps(json.loads(claimed.body)).encode()))


@_bug("what arrives is what was published, byte for byte")
def unknown_properties_dropped() -> None:
    def known(body: bytes) -> bytes:
        return body.replace(b',"Extra":' + body.partition(b',"Extra":')[2].rstrip(b"}") + b"}", b"")

    _claimed(lambda claimed: replace(claimed, body=known(claimed.body)))


@_bug("what arrives is what was published, byte for byte")
def selection_forgotten_in_retries() -> None:
    def as_sent(before: Any, self: Sender, endpoint: Any, claimed: Any) -> Any:
        return before(self, endpoint, claimed) if claimed.number == 1 else claimed

    _wrap(Sender, "_as_sent", as_sent)


@_bug("every request has the headers of its endpoint, and no others")
def wrong_sequence() -> None:
    _claimed(lambda claimed: replace(claimed, sequence=claimed.sequence + 1))


@_bug("an event keeps its id")
def id_changes_with_every_attempt() -> None:
    def headers(before: Any, self: Sender, prepared: Any, claimed: Any, now_ms: int) -> Any:
        return before(self, prepared, replace(claimed, event_id=claimed.event_id + claimed.number - 1), now_ms)

    _wrap(Sender, "_headers", headers)


@_bug("the timestamp is the time of the attempt")
def timestamp_ten_minutes_ago() -> None:
    _wrap(Sender, "_headers", lambda before, self, prepared, claimed, ms: before(self, prepared, claimed, ms - 600_000))


@_bug("every request is signed with a valid secret")
def signature_of_another_time() -> None:
    _wrap(Signer, "header", lambda before, self, name, time_s, body: before(self, name, time_s + 1, body))


@_bug("every request is signed with a valid secret")
def signed_with_the_former_secret() -> None:
    def signer(before: Any, secrets: Any) -> Any:
        return before([each for each in secrets if each.expires_ms is not None] or secrets)

    _wrap(sender, "_signer", signer)


@_bug("every request has the headers of its endpoint, and no others")
def static_headers_lost() -> None:
    _wrap(Sender, "_prepare", lambda before, self, endpoint, ms: before(self, replace(endpoint, headers={}), ms))


@_bug("every request has the headers of its endpoint, and no others")
def wrong_content_type() -> None:
    sender._FIXED_HEADERS = sender._FIXED_HEADERS.replace(b"application/json", b"text/plain")  # type: ignore[misc]


# Delivery counts


@_bug("every delivery ended")
def work_of_a_killed_server_forgotten() -> None:
    """Leases are long, so that the run ends before they do."""
    _wrap(sqlite_queue, "release_former_claims", lambda *_: None)
    _wrap(Leases, "until_ms", lambda before, *v: before(*v) + 60_000)


@_bug("every request is one recorded attempt")
def newest_attempt_not_shown() -> None:
    _wrap(sqlite_history, "_attempts", lambda before, *values: before(*values)[:-1])


@_bug("every recorded attempt was made, or interrupted")
def attempt_invented() -> None:
    def attempts(before: Any, *values: Any) -> Any:
        found = before(*values)
        return [*found, replace(found[-1], number=found[-1].number + 1)] if found else found

    _wrap(sqlite_history, "_attempts", attempts)


@_bug("a client's sequence has no gap")
def reconciliation_with_a_hole() -> None:
    async def events_after(before: Any, *values: Any) -> Any:
        found = await before(*values)
        return found[:5] + found[6:]

    _wrap(SqliteHistory, "events_after", events_after)


@_bug("every list of dead letters is complete")
def dead_letter_hidden() -> None:
    async def deliveries(before: Any, self: SqliteHistory, query: Any, page: Any) -> Any:
        found = await before(self, query, page)
        return found[1:] if query.state == "dead" else found

    _wrap(SqliteHistory, "deliveries", deliveries)


@_bug("every delivery ended")
def cancelling_does_nothing() -> None:
    async def cancel(_: Any, __: SqliteQueue, delivery_ids: Any, **___: Any) -> int:
        return len(delivery_ids)

    _wrap(SqliteQueue, "cancel", cancel)


@_bug("every delivery ended")
def deliveries_of_a_deleted_endpoint_stay() -> None:
    _wrap(ClaimLoop, "_start_finishing", lambda *_: None)


@_bug("the delivery counts balance at every moment")
def books_off_by_one() -> None:
    async def counts(before: Any, *values: Any, **named: Any) -> Any:
        first, *rest = await before(*values, **named)
        return [replace(first, delivered=first.delivered + 1), *rest]

    _wrap(SqliteHistory, "delivery_counts", counts)


@_bug("the metrics count every attempt once")
def attempts_counted_twice() -> None:
    def attempt(before: Any, *values: Any) -> None:
        before(*values)
        before(*values)

    _wrap(Metrics, "attempt", attempt)


@_bug("a replay sends its client's events once more, to its endpoint")
def replay_sends_nothing() -> None:
    async def add_deliveries(_: Any, queue: SqliteQueue, *__: Any, replay: Any, **___: Any) -> None:
        await queue.put_replay(replay)

    _wrap(SqliteQueue, "add_deliveries", add_deliveries)


@_bug("a replay sends its client's events once more, to its endpoint")
def replay_sends_twice() -> None:
    async def add_deliveries(before: Any, queue: SqliteQueue, deliveries: Any, event_ids: Any, **named: Any) -> None:
        again = [replace(each, id=each.id + 1_000_003) for each in deliveries]
        await before(queue, [*deliveries, *again], [*event_ids, *event_ids], **named)

    _wrap(SqliteQueue, "add_deliveries", add_deliveries)


@_bug("no secret is shown or logged")
def secret_shown_in_a_list() -> None:
    def endpoints(before: Any, *values: Any) -> Any:
        return [replace(each, description=each.secrets[0].value) for each in before(*values)]

    _wrap(Registry, "endpoints", endpoints)
