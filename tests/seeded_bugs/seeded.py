"""Bugs to be put into the product, one at a time, each with the invariant that must tell.

None of this is in the product: a bug is put in by replacing a function of it in the server's own process.
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
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint
from commerce_event.core.signatures import Signer
from commerce_event.deliver import scheduler, sender
from commerce_event.deliver.concurrency import Slots
from commerce_event.deliver.scheduler import Scheduler
from commerce_event.deliver.sender import Sender
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted
from commerce_event.store.sqlite import queue as sqlite_queue
from commerce_event.store.sqlite.history import SqliteHistory
from commerce_event.store.sqlite.journal import SqliteJournal
from commerce_event.store.sqlite.queue import SqliteQueue

replace = msgspec.structs.replace


class Bug(NamedTuple):
    put_in: Callable[[], None]
    told_by: str


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


@_bug("durability")
def answered_before_the_commit() -> None:
    tasks = []

    async def accept(before: Any, journal: SqliteJournal, events: Any, **version: Any) -> list[Accepted]:
        async def later() -> None:
            await asyncio.sleep(0.5)
            await before(journal, events, **version)

        tasks.append(asyncio.ensure_future(later()))
        return [Accepted("new", event.id, 0, len(event.deliveries)) for event in events]

    _wrap(SqliteJournal, "accept", accept)


@_bug("completeness")
def some_events_have_no_deliveries() -> None:
    now = _every(7)
    _wrap(Intake, "_event", lambda before, *v: replace(e, deliveries=()) if (e := before(*v)) and now() else e)


@_bug("idempotency")
def key_ignored() -> None:
    _wrap(Intake, "_event", lambda before, intake, draft, *v: before(intake, replace(draft, idempotency_key=None), *v))


@_bug("idempotency")
def other_body_under_the_same_key_accepted() -> None:
    async def accept(before: Any, journal: SqliteJournal, events: Any, **version: Any) -> list[Accepted]:
        answers = await before(journal, events, **version)
        return [replace(each, outcome="duplicate") if each.outcome == "conflict" else each for each in answers]

    _wrap(SqliteJournal, "accept", accept)


@_bug("integrity")
def batch_loses_its_last_event() -> None:
    async def submit(before: Any, intake: Intake, drafts: Any) -> list[Accepted]:
        if len(drafts) == 1:
            return list(await before(intake, drafts))
        answers = await before(intake, drafts[:-1])
        return [*answers, answers[-1]]

    _wrap(Intake, "submit", submit)


@_bug("only who wants")
def other_clients_get_events_too() -> None:
    def match(before: Any, table: Any, _client_id: int, *event: Any) -> tuple[Any, ...]:
        return tuple(endpoint for client in table._endpoints for endpoint in before(table, client, *event))

    _wrap(routing.RouteTable, "match", match)


@_bug("only who wants")
def type_ignored() -> None:
    _wrap(routing, "_takes_type", lambda *_: True)


@_bug("only who wants")
def application_ignored() -> None:
    _wrap(routing, "_takes_application", lambda *_: True)


@_bug("only who wants")
def filter_ignored() -> None:
    _wrap(routing._ClientRoutes, "_predicate", lambda *_: lambda _data: True)


@_bug("only who wants")
def switched_off_endpoint_gets_events() -> None:
    Endpoint.live = property(lambda endpoint: endpoint.deleted_ms is None)  # type: ignore[assignment, method-assign]


# Deciding


def _decide(changed: Callable[[Any, Any], Any]) -> None:
    """Change what follows from an attempt."""
    _wrap(scheduler, "decide", lambda before, outcome, **named: changed(outcome, before(outcome, **named)))


@_bug("schedule")
def retry_too_early() -> None:
    _decide(lambda _, decision: replace(decision, due_ms=decision.due_ms - 100) if decision.due_ms else decision)


@_bug("schedule")
def retry_too_late() -> None:
    _decide(lambda _, decision: replace(decision, due_ms=decision.due_ms + 2_600) if decision.due_ms else decision)


@_bug("bound")
def one_attempt_too_many() -> None:
    def decide(before: Any, outcome: Any, *, schedule_s: Any, **named: Any) -> Any:
        return before(outcome, schedule_s=(*schedule_s, 0.1), **named)

    _wrap(scheduler, "decide", decide)


@_bug("bound")
def one_attempt_too_few() -> None:
    def decide(before: Any, outcome: Any, *, schedule_s: Any, **named: Any) -> Any:
        return before(outcome, schedule_s=schedule_s[:-1] or schedule_s, **named)

    _wrap(scheduler, "decide", decide)


@_bug("visible death")
def dead_without_a_reason() -> None:
    _decide(lambda _, decision: replace(decision, reason=None))


@_bug("bound")
def gone_ignored() -> None:
    def decide(before: Any, outcome: Any, **named: Any) -> Any:
        return before(replace(outcome, status=500) if outcome.status == 410 else outcome, **named)

    _wrap(scheduler, "decide", decide)


@_bug("repeats explained")
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


@_bug("no phantom success")
def not_modified_is_a_success() -> None:
    _success(lambda outcome: outcome.status == 304)


@_bug("no phantom success")
def server_error_is_a_success() -> None:
    _success(lambda outcome: outcome.status == 500)


@_bug("no phantom success")
def no_answer_is_a_success() -> None:
    _success(lambda outcome: outcome.status is None)


@_bug("schedule")
def retry_after_ignored() -> None:
    _wrap(sender, "_retry_after", lambda *_: None)


# Sending


@_bug("single flight")
def limit_of_an_endpoint_ignored() -> None:
    _wrap(Slots, "share", lambda _, __, endpoint: replace(endpoint, max_in_flight=40))


@_bug("single flight")
def sent_twice_at_once() -> None:
    now = _every(3)

    def launch(before: Any, self: Scheduler, claimed: Any) -> None:
        before(self, claimed)
        if now():
            before(self, claimed)

    _wrap(Scheduler, "launch", launch)


@_bug("order")
def order_ignored() -> None:
    _wrap(EventType, "business_key", lambda *_: None)


def _claimed(changed: Callable[[Any], Any]) -> None:
    """Change what is sent."""
    _wrap(Sender, "send", lambda before, self, endpoint, claimed: before(self, endpoint, changed(claimed)))


@_bug("integrity")
def body_written_anew() -> None:
    _claimed(lambda claimed: replace(claimed, body=json.dumps(json.loads(claimed.body)).encode()))


@_bug("integrity")
def unknown_properties_dropped() -> None:
    def known(body: bytes) -> bytes:
        return body.replace(b',"Extra":' + body.partition(b',"Extra":')[2].rstrip(b"}") + b"}", b"")

    _claimed(lambda claimed: replace(claimed, body=known(claimed.body)))


@_bug("integrity")
def wrong_sequence() -> None:
    _claimed(lambda claimed: replace(claimed, sequence=claimed.sequence + 1))


@_bug("same id")
def id_changes_with_every_attempt() -> None:
    def headers(before: Any, self: Sender, prepared: Any, claimed: Any, now_ms: int) -> Any:
        return before(self, prepared, replace(claimed, event_id=claimed.event_id + claimed.number - 1), now_ms)

    _wrap(Sender, "_headers", headers)


@_bug("signature")
def timestamp_ten_minutes_ago() -> None:
    _wrap(Sender, "_headers", lambda before, self, prepared, claimed, ms: before(self, prepared, claimed, ms - 600_000))


@_bug("signature")
def signature_of_another_time() -> None:
    _wrap(Signer, "header", lambda before, self, name, time_s, body: before(self, name, time_s + 1, body))


@_bug("signature")
def signed_with_the_former_secret() -> None:
    def signer(before: Any, secrets: Any) -> Any:
        return before([each for each in secrets if each.expires_ms is not None] or secrets)

    _wrap(sender, "_signer", signer)


@_bug("integrity")
def static_headers_lost() -> None:
    _wrap(Sender, "_prepare", lambda before, self, endpoint, ms: before(self, replace(endpoint, headers={}), ms))


@_bug("integrity")
def wrong_content_type() -> None:
    sender._FIXED = sender._FIXED.replace(b"application/json", b"text/plain")  # type: ignore[misc]


# Keeping account


@_bug("terminality")
def work_of_a_killed_server_forgotten() -> None:
    _wrap(sqlite_queue, "release_former_claims", lambda *_: None)


@_bug("attempts on record")
def newest_attempt_not_shown() -> None:
    async def attempts(before: Any, *values: Any) -> Any:
        return (await before(*values))[:-1]

    _wrap(SqliteHistory, "attempts", attempts)


@_bug("attempts on record")
def attempt_invented() -> None:
    async def attempts(before: Any, *values: Any) -> Any:
        found = await before(*values)
        return [*found, replace(found[-1], number=found[-1].number + 1)] if found else found

    _wrap(SqliteHistory, "attempts", attempts)


@_bug("sequence")
def reconciliation_with_a_hole() -> None:
    async def events_after(before: Any, *values: Any) -> Any:
        found = await before(*values)
        return found[:5] + found[6:]

    _wrap(SqliteHistory, "events_after", events_after)


@_bug("visible death")
def dead_letter_hidden() -> None:
    async def deliveries(before: Any, self: SqliteHistory, query: Any, page: Any) -> Any:
        found = await before(self, query, page)
        return found[1:] if query.state == "dead" else found

    _wrap(SqliteHistory, "deliveries", deliveries)


@_bug("terminality")
def cancelling_does_nothing() -> None:
    async def cancel(_: Any, __: SqliteQueue, delivery_ids: Any, **___: Any) -> int:
        return len(delivery_ids)

    _wrap(SqliteQueue, "cancel", cancel)


@_bug("terminality")
def deliveries_of_a_deleted_endpoint_stay() -> None:
    _wrap(Scheduler, "_start_sweep", lambda *_: None)


@_bug("books")
def books_off_by_one() -> None:
    async def counts(before: Any, *values: Any, **named: Any) -> Any:
        first, *rest = await before(*values, **named)
        return [replace(first, delivered=first.delivered + 1), *rest]

    _wrap(SqliteHistory, "delivery_counts", counts)


@_bug("metrics")
def attempts_counted_twice() -> None:
    def attempt(before: Any, *values: Any) -> None:
        before(*values)
        before(*values)

    _wrap(Metrics, "attempt", attempt)


@_bug("replays")
def replay_sends_nothing() -> None:
    async def add_deliveries(_: Any, queue: SqliteQueue, *__: Any, replay: Any, **___: Any) -> None:
        await queue.put_replay(replay)

    _wrap(SqliteQueue, "add_deliveries", add_deliveries)


@_bug("replays")
def replay_sends_twice() -> None:
    async def add_deliveries(before: Any, queue: SqliteQueue, deliveries: Any, event_ids: Any, **named: Any) -> None:
        again = [replace(each, id=each.id + 1_000_003) for each in deliveries]
        await before(queue, [*deliveries, *again], [*event_ids, *event_ids], **named)

    _wrap(SqliteQueue, "add_deliveries", add_deliveries)


@_bug("secrets unseen")
def secret_shown_in_a_list() -> None:
    def endpoints(before: Any, *values: Any) -> Any:
        return [replace(each, description=each.secrets[0].value) for each in before(*values)]

    _wrap(Registry, "endpoints", endpoints)
