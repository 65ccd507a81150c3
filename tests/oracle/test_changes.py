"""The judge of changes names every invariant that is violated, and none that is not."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import judge_changes as judged
import pytest
from change_run import ChangePlan, run
from clean_changes import clean
from judge_changes import ChangeRecord, judge


def explained_notification(record: ChangeRecord, *, has_window: bool) -> dict[str, Any]:
    """Return what an explanation says of a notification; of one of several that were merged when it has a window."""
    windows = {wish.id for wish in record.wishes if wish.window_s}
    return next(
        notification
        for explanation in record.explanations.values()
        for setting in explanation["settings"]
        for notification in setting["notifications"]
        if (setting["setting_id"] in windows) == has_window and (notification["merged"] > 1) == has_window
    )


def lose_change(record: ChangeRecord) -> None:
    record.stored_ids.pop()


def store_change_twice(record: ChangeRecord) -> None:
    record.stored_ids.append(record.stored_ids[0])


def alter_change(record: ChangeRecord) -> None:
    record.explanations[record.sent[3].id]["change"]["operation"] = "truncate"


def answer_repeat_wrongly(record: ChangeRecord) -> None:
    record.wrong_repeats.append("another id")


def compare_with_other_values(record: ChangeRecord) -> None:
    known = next(each["change"] for each in record.explanations.values() if each["change"]["known"])
    known["known"] = {**known["known"], "Serial": 0}


def say_another_origin(record: ChangeRecord) -> None:
    known = next(each["change"] for each in record.explanations.values() if each["change"]["previous"] == "last known")
    known["previous"] = "none"


def lose_event(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=False)["event_id"]
    record.events = [event for event in record.events if event.id != event_id]


def lose_merged_event(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=True)["event_id"]
    record.events = [event for event in record.events if event.id != event_id]


def raise_again(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=False)["event_id"]
    again = next(event for event in record.events if event.id == event_id)
    record.events.append(dataclasses.replace(again, id="evt_again"))
    record.arrivals["evt_again"] = {again.text}


def raise_merged_again(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=True)["event_id"]
    again = next(event for event in record.events if event.id == event_id)
    record.events.append(dataclasses.replace(again, id="evt_again"))
    record.arrivals["evt_again"] = {again.text}


def miscount_merged(record: ChangeRecord) -> None:
    explained_notification(record, has_window=True)["merged"] += 1


def raise_older_values(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=True)["event_id"]
    old = next(event for event in record.events if event.id == event_id)
    record.events[record.events.index(old)] = dataclasses.replace(old, body={**old.body, "ClientId": 9})


def raise_early(record: ChangeRecord) -> None:
    event_id = explained_notification(record, has_window=True)["event_id"]
    event = next(event for event in record.events if event.id == event_id)
    record.events[record.events.index(event)] = dataclasses.replace(event, accepted_ms=event.accepted_ms - 50)


def explain_what_did_not_fire(record: ChangeRecord) -> None:
    settings = [each for explanation in record.explanations.values() for each in explanation["settings"]]
    next(each for each in settings if not each["fired"])["fired"] = True


def explain_other_deliveries(record: ChangeRecord) -> None:
    explained_notification(record, has_window=False)["deliveries"] = {"dead": 1}


def lose_arrival(record: ChangeRecord) -> None:
    record.arrivals.popitem()


def answer_strangely(record: ChangeRecord) -> None:
    record.wrong_answers.append("500")


def end_by_itself(record: ChangeRecord) -> None:
    record.ended_by_itself.append("only")


def kill_nothing(record: ChangeRecord) -> None:
    record.kills = 0


VIOLATIONS: dict[str, tuple[Callable[[ChangeRecord], None], ...]] = {
    judged.STORED: (lose_change, store_change_twice, alter_change),
    judged.ONE_ID: (answer_repeat_wrongly,),
    judged.COMPARED: (compare_with_other_values, say_another_origin),
    judged.MISSING: (lose_event, lose_merged_event),
    judged.TOO_MANY: (raise_again, raise_merged_again),
    judged.MERGED: (miscount_merged, raise_older_values),
    judged.EARLY: (raise_early,),
    judged.EXPLAINED: (explain_what_did_not_fire, explain_other_deliveries),
    judged.ARRIVED: (lose_arrival,),
    judged.ANSWERED: (answer_strangely,),
    judged.ENDED: (end_by_itself,),
    judged.ENOUGH: (kill_nothing,),
}


def test_judge_of_clean_changes_finds_nothing() -> None:
    assert [(finding.invariant, finding.broken[:3]) for finding in judge(clean()) if finding.broken] == []


def test_every_invariant_of_changes_has_a_violation() -> None:
    assert [finding.invariant for finding in judge(clean())] == list(VIOLATIONS)


@pytest.mark.parametrize(
    ("change", "invariant"), [(change, name) for name, changes in VIOLATIONS.items() for change in changes]
)
def test_judge_of_violated_changes_names_the_invariant(change: Callable[[ChangeRecord], None], invariant: str) -> None:
    record = clean()
    change(record)

    assert invariant in {finding.invariant for finding in judge(record) if finding.broken}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_oracle_of_changes_with_kills_finds_nothing(engine: str) -> None:
    # not in pytest's folder: only its owner may read that, and PostgreSQL runs as another user
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _, findings = run(ChangePlan(engine, cycles=2, seed=7), Path(folder))

    assert [(finding.invariant, finding.broken[:3]) for finding in findings if finding.broken] == []
