"""The verdict on a trial: invariants, each checked on what those outside saw. Shares no code with the product."""

import base64
import hashlib
import hmac
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from trial import SCHEDULE_S, STATIC, WANTING, Arrival, Record

Breach = tuple[str, str]

_LATE_S = 2.0  # a loaded machine; no fault explains more
_EARLY_S = 0.004  # times are kept in milliseconds
_NOTED_S = 0.2  # after a kill, what was under way then may still be noted so late; a start takes longer
_ENOUGH = 25


def breaches(record: Record) -> list[Breach]:
    """Return what is wrong, each with the invariant that it breaks; nothing when all is well."""
    return [(name, sentence) for name, check in _INVARIANTS.items() for sentence in check(record)]


def _by_delivery(record: Record) -> dict[tuple[str, str], list[Arrival]]:
    """Arrivals by path and event, those of the replay apart."""
    found: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in record.arrivals:
        if "commerce-event-replay" not in arrival.headers:
            found[arrival.path, arrival.event_id].append(arrival)
    return found


def _killed_between(record: Record, earlier: Arrival, later: Arrival) -> bool:
    return earlier.begun <= record.killed_at + _NOTED_S and record.killed_at <= later.begun


def _durability(record: Record) -> Iterator[str]:
    known = {event["id"] for event in record.events}
    for event_id in record.bodies.keys() - known:
        yield f"{event_id} was acknowledged and is not there"


def _completeness(record: Record) -> Iterator[str]:
    pairs = Counter((each["path"], each["event_id"]) for each in record.deliveries if each["replay_id"] is None)
    for event_id in record.bodies:
        for path in WANTING:
            gone = path == "gone" and record.arrivals and not pairs[path, event_id]
            if pairs[path, event_id] != 1 and not gone:
                yield f"{event_id} has {pairs[path, event_id]} deliveries to {path}"


def _arrival(record: Record) -> Iterator[str]:
    taken = {(a.path, a.event_id) for a in record.arrivals if 200 <= a.status < 300}
    for event_id in record.bodies:
        for path in set(WANTING) - {"broken", "gone", "cancelled", "deleted"}:
            if (path, event_id) not in taken:
                yield f"{event_id} never reached {path}"


def _terminality(record: Record) -> Iterator[str]:
    if record.left:
        yield record.left
    wanted = {"broken": "dead", "gone": "dead", "cancelled": "cancelled", "deleted": "cancelled"}
    for each in record.deliveries:
        if each["event_id"] in record.bodies and each["state"] != wanted.get(each["path"], "delivered"):
            yield f"{each['id']} to {each['path']} ended {each['state']}"


def _no_phantom_success(record: Record) -> Iterator[str]:
    taken = {(a.path, a.event_id) for a in record.arrivals if 200 <= a.status < 300}
    for each in record.deliveries:
        if each["state"] == "delivered" and (each["path"], each["event_id"]) not in taken:
            yield f"{each['id']} to {each['path']} is recorded as delivered, and no receiver said so"


def _attempts_on_record(record: Record) -> Iterator[str]:
    arrived = {(a.path, a.event_id, "commerce-event-replay" in a.headers, a.number) for a in record.arrivals}
    for each in record.deliveries:
        place = (each["path"], each["event_id"], each["replay_id"] is not None)
        rows = {row["number"]: row for row in each["attempts"]}
        for number in {found[3] for found in arrived if found[:3] == place} - rows.keys():
            yield f"attempt {number} of {each['id']} was made and is not on record"
        for number, row in rows.items():
            if (*place, number) not in arrived and row["error"] != "interrupted":
                yield f"attempt {number} of {each['id']} is on record and was never made"


def _bound(record: Record) -> Iterator[str]:
    for each in record.deliveries:
        failed = [row for row in each["attempts"] if row["error"] not in {None, "interrupted"}]
        if each["path"] == "broken" and len(failed) != len(SCHEDULE_S) + 1:
            yield f"{each['id']} is dead after {len(failed)} failures"
        if each["path"] == "gone" and len(failed) > 1:
            yield f"{each['id']} was tried {len(failed)} times though the receiver is gone"


def _schedule(record: Record) -> Iterator[str]:
    for (path, event_id), arrivals in _by_delivery(record).items():
        if path in {"narrow", "ordered", "cancelled", "deleted"}:
            continue  # wait for a slot, for each other, for an hour
        for earlier, later in pairwise(arrivals):
            if _killed_between(record, earlier, later) or earlier.status == 200:
                continue
            wait_s = 1.0 if earlier.status == 429 else SCHEDULE_S[0]
            gap_s = later.begun - earlier.ended
            if gap_s < wait_s - _EARLY_S - (0.3 if path == "hung" else 0.0):
                yield f"{event_id} came to {path} {gap_s:.3f} s after a failure, not {wait_s} s"
            if gap_s > wait_s + _LATE_S and path != "limited":
                yield f"{event_id} came to {path} only {gap_s:.3f} s after a failure"


def _single_flight(record: Record) -> Iterator[str]:
    for (path, event_id), arrivals in _by_delivery(record).items():
        for earlier, later in pairwise(arrivals):
            if later.begun < earlier.ended - _EARLY_S and not _killed_between(record, earlier, later):
                yield f"{event_id} was sent to {path} twice at once"
    narrow = [a for a in record.arrivals if a.path == "narrow"]
    for earlier, later in pairwise(narrow):
        if later.begun < earlier.ended - _EARLY_S and not _killed_between(record, earlier, later):
            yield "narrow has max_in_flight 1 and got two requests at once"


def _only_who_wants(record: Record) -> Iterator[str]:
    for arrival in record.arrivals:
        if arrival.path not in WANTING:
            yield f"{arrival.event_id} reached {arrival.path}, which did not want it"
        dropped_at = record.dropped_at.get(arrival.path, float("inf"))
        if arrival.begun > dropped_at + 0.5:
            yield f"{arrival.event_id} reached {arrival.path} after that was deleted or cancelled"


def _integrity(record: Record) -> Iterator[str]:
    for arrival in record.arrivals:
        body = record.bodies.get(arrival.event_id)
        if body is not None and arrival.body != body:
            yield f"{arrival.event_id} came to {arrival.path} with other bytes than were published"
        if arrival.headers.get("content-type") != "application/json":
            yield f"{arrival.event_id} came to {arrival.path} as {arrival.headers.get('content-type')}"
        if arrival.path == "headers" and arrival.headers.get(STATIC[0]) != STATIC[1]:
            yield f"{arrival.event_id} came without its static header"
    for event in record.events:
        for arrival in record.arrivals:
            if arrival.event_id == event["id"] and arrival.headers.get("commerce-event-sequence") != str(
                event["sequence"]
            ):
                yield f"{event['id']} says sequence {arrival.headers.get('commerce-event-sequence')}"


def _signature(record: Record) -> Iterator[str]:
    for arrival in record.arrivals:
        secrets = record.secrets.get(arrival.path, [])
        newest = secrets if arrival.event_id in record.before_rotation else secrets[-1:]
        stamp = arrival.headers.get("webhook-timestamp", "0")
        if not any(_signed(arrival, secret) for secret in newest):
            yield f"{arrival.event_id} came to {arrival.path} with a wrong signature"
        if abs(int(stamp) - arrival.wall) > 5:
            yield f"{arrival.event_id} came to {arrival.path} with a timestamp {int(stamp) - arrival.wall:.0f} s off"


def _signed(arrival: Arrival, secret: str) -> bool:
    content = f"{arrival.event_id}.{arrival.headers.get('webhook-timestamp')}.".encode() + arrival.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return expected in arrival.headers.get("webhook-signature", "").split()


def _same_id(record: Record) -> Iterator[str]:
    known = {event["id"] for event in record.events}
    for arrival in record.arrivals:
        if arrival.event_id not in known:
            yield f"{arrival.path} got {arrival.event_id}, which no event has"


def _repeats_explained(record: Record) -> Iterator[str]:
    for (path, event_id), arrivals in _by_delivery(record).items():
        for earlier, later in pairwise(arrivals):
            if 200 <= earlier.status < 300 and not _killed_between(record, earlier, later):
                yield f"{event_id} was sent to {path} again after a success"


def _idempotency(record: Record) -> Iterator[str]:
    yield from record.wrong_answers
    bodies = Counter(record.bodies.values())
    for body, count in bodies.items():
        if count > 1:
            yield f"{count} events were made of one: {body!r}"


def _refused_is_absent(record: Record) -> Iterator[str]:
    strangers = {event["id"] for event in record.events} - record.bodies.keys()
    if strangers:
        yield f"{len(strangers)} events are there that were refused, or never published"


def _visible_death(record: Record) -> Iterator[str]:
    dead = {each["id"] for each in record.deliveries if each["state"] == "dead"}
    listed = {each["id"] for each in record.dead}
    if dead != listed:
        yield f"{len(dead)} deliveries are dead and {len(listed)} are listed"
    books = sum(book["dead"] for book in record.books)
    if books != len(dead):
        yield f"{len(dead)} deliveries are dead, the books say {books}"
    if any(each["state"] == "dead" and not each["reason"] for each in record.deliveries):
        yield "a dead delivery has no reason"
    switched = [e for e in record.endpoints if e["disabled_reason"] == "gone"]
    if len(switched) != 1:
        yield f"{len(switched)} endpoints are switched off for a 410"


def _books(record: Record) -> Iterator[str]:
    if not record.balanced:
        yield "the books do not balance"
    for state in ("delivered", "cancelled"):
        counted = sum(each["state"] == state for each in record.deliveries)
        said = sum(book[state] for book in record.books)
        if counted != said:
            yield f"{counted} deliveries are {state}, the books say {said}"
    matched = sum(book["matched"] for book in record.books)
    if matched != len(record.deliveries):
        yield f"there are {len(record.deliveries)} deliveries, the books say {matched}"


def _metrics(record: Record) -> Iterator[str]:
    said = sum(
        float(value)
        for value in re.findall(r"^commerce_event_attempts_total\{[^}]*\} (\S+)", record.metrics, re.MULTILINE)
    )
    made = sum(a.begun > record.up_again_at for a in record.arrivals)
    before = sum(record.killed_at < a.begun <= record.up_again_at for a in record.arrivals)
    if not made <= said <= made + before:
        yield f"{made} attempts arrived since the start, the metrics say {said:.0f}"


def _sequence(record: Record) -> Iterator[str]:
    found = [event["sequence"] for event in record.events]
    if found != list(range(1, len(found) + 1)):
        yield f"the sequence is {found}"


def _order(record: Record) -> Iterator[str]:
    newest: dict[bytes, int] = {}
    for arrival in record.arrivals:
        if arrival.path != "ordered" or not 200 <= arrival.status < 300:
            continue
        key = b"".join(re.findall(rb'"OrderId":(\d+)', arrival.body))
        sequence = int(arrival.headers.get("commerce-event-sequence", "0"))
        if sequence < newest.get(key, 0):
            yield f"sequence {sequence} of order {key!r} came after {newest[key]}"
        newest[key] = max(sequence, newest.get(key, 0))


def _replays(record: Record) -> Iterator[str]:
    again = Counter(a.event_id for a in record.arrivals if a.path == "good" and "commerce-event-replay" in a.headers)
    for event_id in record.bodies:
        if again[event_id] != 1:
            yield f"{event_id} was replayed {again[event_id]} times"


def _secrets_unseen(record: Record) -> Iterator[str]:
    told = f"{record.endpoints}{record.deliveries}{record.events}{record.metrics}"
    for path, secrets in record.secrets.items():
        if any(secret.removeprefix("whsec_") in told for secret in secrets):
            yield f"a secret of {path} is shown"


def _enough(record: Record) -> Iterator[str]:
    if len(record.bodies) < _ENOUGH:
        yield f"only {len(record.bodies)} events were accepted"
    if record.killed_at == float("inf"):
        yield "nothing was done to the server"
    statuses = {arrival.status for arrival in record.arrivals}
    if missing := {200, 0, 304, 410, 429, 500, 503} - statuses:
        yield f"no receiver ever answered {sorted(missing)}"


_INVARIANTS: dict[str, Callable[[Record], Iterator[str]]] = {
    "durability": _durability,
    "completeness": _completeness,
    "arrival": _arrival,
    "terminality": _terminality,
    "no phantom success": _no_phantom_success,
    "attempts on record": _attempts_on_record,
    "bound": _bound,
    "schedule": _schedule,
    "single flight": _single_flight,
    "only who wants": _only_who_wants,
    "integrity": _integrity,
    "signature": _signature,
    "same id": _same_id,
    "repeats explained": _repeats_explained,
    "idempotency": _idempotency,
    "refused is absent": _refused_is_absent,
    "visible death": _visible_death,
    "books": _books,
    "metrics": _metrics,
    "sequence": _sequence,
    "order": _order,
    "replays": _replays,
    "secrets unseen": _secrets_unseen,
    "enough happened": _enough,
}
