"""Judge a run with changes: what was sent and predicted against what the servers stored, explained and delivered."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from change_model import FORMS, Notice, Prediction, SentChange, Values, Wish, canonical, predict
from ledger_index import Finding

STORED = "every acknowledged change is stored once"
ONE_ID = "an id of a change means one change of its client"
COMPARED = "every change is compared with what the last one has left"
MISSING = "every notification that a change asks for is raised"
TOO_MANY = "no notification is raised that no change asks for"
MERGED = "every change is in exactly one notification, which has the newest values and their number"
EARLY = "no notification is raised before its window has passed"
EXPLAINED = "an explanation says what happened"
ARRIVED = "every notification arrives, with the body that was raised"
ANSWERED = "every answer to a change is a documented one"
ENDED = "no server ended by itself while changes were sent"
ENOUGH = "enough happened to judge changes by"

_LEAST = {
    "left out of an explanation": 1,
    "raised at once": 20,
    "merged": 5,
    "raised nothing": 10,
    "last known": 10,
    "before": 10,
}


@dataclass(frozen=True)
class RaisedEvent:
    """An event as a server lists it."""

    id: str
    sequence: int
    event_type: str
    body: Values
    accepted_ms: float

    @property
    def text(self) -> str:
        return canonical(self.body)


@dataclass
class ChangeRecord:
    """What a run observed: what was sent, and what the servers say in the end."""

    wishes: list[Wish]
    sent: list[SentChange] = field(default_factory=list)
    epochs: int = 0
    kills: int = 0
    repeated: int = 0
    conflicts: int = 0
    wrong_answers: list[str] = field(default_factory=list)
    wrong_repeats: list[str] = field(default_factory=list)
    ended_by_itself: list[str] = field(default_factory=list)
    stored_ids: list[str] = field(default_factory=list)
    explanations: dict[str, dict[str, Any]] = field(default_factory=dict)  # by change
    events: list[RaisedEvent] = field(default_factory=list)
    arrivals: dict[str, set[str]] = field(default_factory=dict)  # bodies by event id
    pending: int = 0


class _Case:
    """What there is to judge."""

    def __init__(self, record: ChangeRecord) -> None:
        self.record = record
        self.events = {event.id: event for event in record.events}

    @cached_property
    def predictions(self) -> list[Prediction]:
        """By row, in the order in which the changes were stored."""
        return predict(_in_order(self.record), self.record.wishes)

    @cached_property
    def notices(self) -> list[Notice]:
        return [notice for prediction in self.predictions for notice in prediction.notices]

    @cached_property
    def found(self) -> list[tuple[Notice, dict[str, Any] | None]]:
        """Every predicted notification with what its explanation says of it."""
        return [(notice, self._said(notice)) for notice in self.notices]

    def decisions(self, change_id: str) -> dict[str, dict[str, Any]]:
        """Return what an explanation says of each setting."""
        explanation = self.record.explanations.get(change_id, {"settings": []})
        return {each["setting_id"]: each for each in explanation["settings"]}

    def _said(self, notice: Notice) -> dict[str, Any] | None:
        return self._explained.get((notice.change_id, notice.wish.id, notice.body))

    @cached_property
    def _explained(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Every notification of the explanations by change, setting and body."""
        return {
            (change_id, setting["setting_id"], canonical(notification["body"])): notification
            for change_id, explanation in self.record.explanations.items()
            for setting in explanation["settings"]
            for notification in setting["notifications"]
        }

    @cached_property
    def unexplained(self) -> set[tuple[str, str]]:
        """Type and body of the notifications that an explanation left out because there are too many."""
        return {
            (notice.wish.event_type, notice.body)
            for notice, said in self.found
            if said is None and self.decisions(notice.change_id).get(notice.wish.id, {}).get("left_out")
        }

    @cached_property
    def groups(self) -> dict[str, list[Notice]]:
        """The notifications that an explanation says went into each event, oldest change first."""
        groups: dict[str, list[Notice]] = defaultdict(list)
        for notice, said in self.found:
            if said is not None and said["event_id"] is not None:
                groups[said["event_id"]].append(notice)
        return groups


def _in_order(record: ChangeRecord) -> list[SentChange]:
    """Return the changes of each row in the order in which they were stored: that of their ids.

    Deleting a row that is not there stores nothing, so it may come before other changes that were sent at the same time.
    """
    rows: dict[Any, list[SentChange]] = defaultdict(list)

    def saw_none(change: SentChange) -> bool:
        return record.explanations.get(change.id, {"change": {"known": 0}})["change"]["known"] is None

    for change in sorted(record.sent, key=lambda each: each.id):
        stored = rows[change.row]
        place = len(stored)
        if change.body["operation"] == "delete" and saw_none(change):
            while place and stored[place - 1].acknowledged_at > change.sent_at:
                place -= 1
                if saw_none(stored[place]):
                    break
            else:
                place = len(stored)
        stored.insert(place, change)
    return [change for stored in rows.values() for change in stored]


def judge(record: ChangeRecord) -> list[Finding]:
    """Return every invariant with what breaks it."""
    case = _Case(record)
    count = len(record.sent)
    repeats = record.repeated + record.conflicts
    return [
        Finding(STORED, count, [*_stored(record)]),
        Finding(ONE_ID, repeats, record.wrong_repeats),
        Finding(COMPARED, count, [*_compared(case)]),
        Finding(MISSING, len(case.notices), [*_missing(case)]),
        Finding(TOO_MANY, len(record.events), [*_too_many(case)]),
        Finding(MERGED, len(case.groups), [*_merged(case)]),
        Finding(EARLY, len(case.groups), [*_early(case)]),
        Finding(EXPLAINED, count, [*_explained(case)]),
        Finding(ARRIVED, len(record.events), [*_arrived(record)]),
        Finding(ANSWERED, count, record.wrong_answers),
        Finding(ENDED, record.kills, record.ended_by_itself),
        Finding(ENOUGH, count, [*_too_little(case)]),
    ]


def _stored(record: ChangeRecord) -> Iterator[str]:
    stored, sent = Counter(record.stored_ids), Counter(change.id for change in record.sent)
    for change_id in stored.keys() | sent.keys():
        if (stored[change_id], sent[change_id]) != (1, 1):
            yield f"{change_id}: acknowledged {sent[change_id]} times, stored {stored[change_id]} times"
    for change in record.sent:
        said = record.explanations.get(change.id, {}).get("change", {})
        for name in ("client_id", "application_id", "entity", "operation", "key", "before", "after"):
            if said.get(name) != change.body.get(name):
                yield f"{change.id}: {name} is {said.get(name)}, sent was {change.body.get(name)}"


def _compared(case: _Case) -> Iterator[str]:
    for prediction in case.predictions:
        said = case.record.explanations.get(prediction.change.id, {}).get("change", {})
        compared = (said.get("known"), said.get("previous"))
        if compared != (prediction.known, prediction.previous_from):
            wanted = (prediction.known, prediction.previous_from)
            yield f"{prediction.change.id} of {prediction.change.row}: compared with {compared}, not with {wanted}"


def _missing(case: _Case) -> Iterator[str]:
    """Notifications without a window by their bodies alone; the others by the event that has them."""
    raised = Counter((event.event_type, event.text) for event in case.record.events)
    wanted = Counter((each.wish.event_type, each.body) for each in case.notices if not each.wish.window_s)
    for kind, count in wanted.items():
        if raised[kind] < count:
            yield f"{kind}: asked for {count} times, raised {raised[kind]} times"
    for notice, said in case.found:
        is_left_out = said is None and (notice.wish.event_type, notice.body) in case.unexplained
        if not is_left_out and (said is None or said["event_id"] not in case.events):
            yield f"{notice.wish.event_type} of {notice.change_id} about {notice.subject}: {said}"


def _too_many(case: _Case) -> Iterator[str]:
    windowed = {(notice.wish.event_type, notice.body) for notice in case.notices if notice.wish.window_s}
    raised = Counter((event.event_type, event.text) for event in case.record.events)
    wanted = Counter((each.wish.event_type, each.body) for each in case.notices if not each.wish.window_s)
    for kind, count in raised.items():
        if kind not in windowed and count > wanted[kind]:
            yield f"{kind}: asked for {wanted[kind]} times, raised {count} times"
    for event in case.record.events:
        if event.id not in case.groups and (event.event_type, event.text) not in case.unexplained:
            yield f"{event.event_type} {event.id}: no change is known to have raised it: {event.text}"


def _merged(case: _Case) -> Iterator[str]:
    rows = {change.id: change.row for change in case.record.sent}
    said: dict[str, set[int]] = defaultdict(set)
    for _, each in case.found:
        if each is not None:
            said[each["event_id"]].add(each["merged"])
    for event_id, notices in case.groups.items():
        event = case.events.get(event_id)
        if event is None:
            continue
        if not notices[0].wish.window_s and len(notices) != 1:
            yield f"{event_id} has {len(notices)} changes and no window"
        if said[event_id] != {len(notices)}:
            yield f"{event_id} says that it merged {said[event_id]} changes; there are {len(notices)}"
        if len({(notice.wish.id, notice.subject) for notice in notices}) != 1:
            yield f"{event_id} merged what is not about the same thing"
        newest = {rows[notice.change_id]: notice.body for notice in notices}  # the last of each row counts
        if event.text not in newest.values():
            yield f"{event_id} has {event.text}, not the newest of {newest}"
    yield from _interleaved(case, rows)


def _interleaved(case: _Case, rows: dict[str, Any]) -> Iterator[str]:
    """An event that has a change of a row, and a later one, has those between as well."""
    left: dict[Any, set[str]] = defaultdict(set)
    last: dict[Any, str] = {}
    for notice, said in case.found:
        if said is None or said["event_id"] is None or not notice.wish.window_s:
            continue
        about, event_id = (notice.wish.id, notice.subject, rows[notice.change_id]), said["event_id"]
        if event_id in left[about]:
            yield f"{event_id}: a change between two that it has went to another notification"
        if about in last and last[about] != event_id:
            left[about].add(last[about])
        last[about] = event_id


def _early(case: _Case) -> Iterator[str]:
    accepted_ms = {name: each["change"]["accepted_ms"] for name, each in case.record.explanations.items()}
    for event_id, notices in case.groups.items():
        window_s = notices[0].wish.window_s
        first_ms = min(accepted_ms[notice.change_id] for notice in notices)
        if event_id in case.events and case.events[event_id].accepted_ms < first_ms + window_s * 1000 - 2:
            yield f"{event_id} was raised {case.events[event_id].accepted_ms - first_ms:.0f} ms after its first change"


def _explained(case: _Case) -> Iterator[str]:
    for prediction in case.predictions:
        decisions = case.decisions(prediction.change.id)
        said = {setting_id: each["fired"] for setting_id, each in decisions.items()}
        for setting_id, fired in prediction.fired.items():
            if said.get(setting_id) != fired:
                yield f"{prediction.change.id}: {setting_id} fired: {said.get(setting_id)}, should be {fired}"
        for setting_id, fired in said.items():
            if fired and setting_id not in prediction.fired:
                yield f"{prediction.change.id}: {setting_id} was off, and fired"
        if prediction.change.answered_first and not prediction.change.waiting:
            told = {each.wish.id: each for each in prediction.notices}
            events = {n["event_id"] for s in told for n in decisions.get(s, {"notifications": []})["notifications"]}
            left_out = sum(decision.get("left_out", 0) for decision in decisions.values())
            if not left_out and events != set(prediction.change.at_once):
                yield f"{prediction.change.id}: answered with {prediction.change.at_once}, explained with {events}"
    for notice, said_of in case.found:
        if said_of is not None and said_of["event_id"] and said_of["deliveries"] != {"delivered": 1}:
            yield f"{notice.change_id}: {said_of['event_id']} is said to be {said_of['deliveries']}"


def _arrived(record: ChangeRecord) -> Iterator[str]:
    for event in record.events:
        bodies = record.arrivals.get(event.id, set())
        if bodies != {event.text}:
            yield f"{event.id} {event.event_type}: {len(bodies)} bodies arrived: {bodies}"
    if record.pending:
        yield f"{record.pending} deliveries are pending in the end"


def _too_little(case: _Case) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for prediction in case.predictions:
        counts["raised nothing"] += not prediction.notices and bool(prediction.fired)
        counts[prediction.previous_from] += 1
        counts[prediction.change.body["operation"]] += 1
    counts["left out of an explanation"] = len(case.unexplained)
    counts["raised at once"] = sum(not notice.wish.window_s for notice in case.notices)
    counts["merged"] = sum(len(notices) > 1 for notices in case.groups.values())
    for name, least in _LEAST.items():
        if counts[name] < least:
            yield f"{name}: {counts[name]}"
    missing = set(FORMS) - {notice.wish.event_type for notice in case.notices}
    if missing:
        yield f"nothing was predicted of {', '.join(sorted(missing))}"
    if not (case.record.repeated and case.record.conflicts and case.record.kills and case.record.epochs):
        yield "no change was repeated, no server killed, or no setting switched"
