"""A record of changes in which nothing is wrong: what a perfect server would have done."""

import json
from collections import Counter, defaultdict
from typing import Any

from change_model import Notice, Prediction, SentChange, Values, predict
from change_run import wishes
from change_stream import Changes
from judge_changes import ChangeRecord, RaisedEvent

_COUNT = 400
_MERGED = 2  # changes in a notification that has a window
_SHOWN_MAX = 100  # notifications of a setting in an explanation
_SWITCHED_OFF = 4  # settings, in the second epoch of three


def clean() -> ChangeRecord:
    """Return a record with some of everything."""
    record = ChangeRecord(wishes(), epochs=2, kills=1, repeated=9, conflicts=9)
    for number, wish in enumerate(record.wishes):
        wish.id = f"set_{number:02}"
        wish.on_in = {0, 2} if number < _SWITCHED_OFF else {0, 1, 2}
    changes = Changes(seed=1)
    record.sent = [SentChange(f"chg_{n:04}", changes.next(), epoch=n * 3 // _COUNT) for n in range(_COUNT)]
    record.stored_ids = [change.id for change in record.sent]
    predictions = predict(record.sent, record.wishes)
    event_ids = _raise(record, predictions)
    merged = Counter(event_ids.values())
    for prediction in predictions:
        record.explanations[prediction.change.id] = _explanation(prediction, event_ids, merged)
    record.arrivals = {event.id: {event.text} for event in record.events}
    return record


def _raise(record: ChangeRecord, predictions: list[Prediction]) -> dict[int, str]:
    """Raise every notification; return the event of each, by the identity of the notification."""
    event_ids: dict[int, str] = {}
    begun: dict[Any, list[Notice]] = defaultdict(list)
    for notice in [notice for prediction in predictions for notice in prediction.notices]:
        group = [notice]
        if notice.wish.window_s:
            group = begun[notice.wish.id, notice.subject]
            group.append(notice)
            if len(group) < _MERGED:
                continue
            del begun[notice.wish.id, notice.subject]
        _raise_one(record, group, event_ids)
    for group in begun.values():
        _raise_one(record, group, event_ids)
    return event_ids


def _raise_one(record: ChangeRecord, group: list[Notice], event_ids: dict[int, str]) -> None:
    wish, number = group[-1].wish, len(record.events)
    event_id = f"evt_{number:04}"
    raised_ms = _accepted_ms(group[0].change_id) + wish.window_s * 1000
    record.events.append(RaisedEvent(event_id, number, wish.event_type, json.loads(group[-1].body), raised_ms))
    event_ids |= {id(notice): event_id for notice in group}


def _accepted_ms(change_id: str) -> float:
    return 1_000_000.0 + int(change_id.removeprefix("chg_"))


def _explanation(prediction: Prediction, event_ids: dict[int, str], merged: Counter[str]) -> Values:
    change = prediction.change
    settings = []
    for setting_id, fired in prediction.fired.items():
        notices = [notice for notice in prediction.notices if notice.wish.id == setting_id]
        shown = [
            {
                "body": json.loads(notice.body),
                "event_id": event_ids[id(notice)],
                "merged": merged[event_ids[id(notice)]],
                "deliveries": {"delivered": 1},
                "waits_until": None,
            }
            for notice in notices[:_SHOWN_MAX]
        ]
        left_out = len(notices) - len(shown)
        settings.append({"setting_id": setting_id, "fired": fired, "notifications": shown, "left_out": left_out})
    names = ("client_id", "application_id", "entity", "operation", "key", "before", "after")
    said: Values = {name: change.body.get(name) for name in names}
    said |= {"id": change.id, "known": prediction.known, "previous": prediction.previous_from}
    return {"change": said | {"accepted_ms": _accepted_ms(change.id)}, "settings": settings}
