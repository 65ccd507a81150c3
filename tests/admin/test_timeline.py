"""The timeline of a delivery: what was given up stays in it after the delivery was sent again."""

from typing import Any

import msgspec

from commerce_event.admin.timeline import TimelineEntry, attempts_before_restart, timeline
from commerce_event.api.response_models import AttemptView, DeliveryView
from commerce_event.core.causes import cause
from commerce_event.core.clock import rfc3339

BORN_MS = 1_800_000_000_000


def attempts(*answers: int | str) -> list[AttemptView]:
    return [
        AttemptView(
            number=number,
            started_at=rfc3339(BORN_MS + number * 1_000),
            duration_ms=5,
            status=answer if isinstance(answer, int) else None,
            error=None if isinstance(answer, int) else answer,
            cause=cause(answer, None) if isinstance(answer, int) else cause(None, answer),
            phase=None,
            address=None,
            redirects=(),
            certificate=None,
            response_headers=[],
            response_body="",
        )
        for number, answer in enumerate(answers, 1)
    ]


def delivery(state: str = "dead", tries: int = 0, failures: int = 0, **fields: Any) -> DeliveryView:
    given: dict[str, Any] = {
        "id": "dlv_5", "event_id": "evt_4", "endpoint_id": "end_7", "client_id": 1, "state": state, "attempt_count": tries,
        "failure_count": failures, "next_attempt_at": None, "sending": False, "replay_id": None, "reason": None,
        "created_at": rfc3339(BORN_MS), "finished_at": None if state == "pending" else rfc3339(BORN_MS + 60_000),
        "attempts_max": None, "gives_up_at": None,
    }  # fmt: skip
    return DeliveryView(**(given | fields))


def titles(entries: list[TimelineEntry]) -> list[str]:
    return [entry.title for entry in entries]


def entries_of(
    one: DeliveryView, tries: list[AttemptView], held: str | None = None, *, accepted: bool = True
) -> list[TimelineEntry]:
    full = msgspec.structs.replace(one, attempts=tries)
    return timeline(
        full, url="https://erp.example/", retries=1, accepted_with_event=accepted, now_ms=BORN_MS + 70_000, held=held
    )


def test_timeline_dead_delivery_ends_with_given_up() -> None:
    entries = entries_of(delivery(tries=2, failures=2, reason="attempts_exhausted"), attempts(404, "connect_refused"))

    assert titles(entries) == ["Accepted", "Attempt 1", "Attempt 2", "Given up after 2 attempts"]
    assert entries[1].text == "nothing is at this path: check the URL"
    assert entries[2].text == "connection refused: nothing listens at this address"
    assert entries[2].answer is None
    assert entries[3].text == "every retry was used"


def test_timeline_retried_delivery_keeps_what_was_given_up() -> None:
    entries = entries_of(delivery("delivered", tries=3, failures=0), attempts(404, 404, 200))

    assert titles(entries)[3:] == ["Given up after 2 attempts", "Sent again with a new retry budget", "Attempt 3"]


def test_timeline_names_the_replay_that_sent_again() -> None:
    entries = entries_of(
        delivery("pending", tries=2, failures=0, replay_id="rpl_9", next_attempt_at=rfc3339(BORN_MS)),
        attempts(404, 404),
        "held",
    )

    assert titles(entries)[3:] == ["Given up after 2 attempts", "Sent again by a replay", "Due since"]
    assert entries[4].replay_id is not None
    assert entries[5].text == "held"


def test_timeline_of_a_replays_delivery_begins_with_the_replay() -> None:
    entries = entries_of(delivery("delivered", tries=1, replay_id="rpl_9"), attempts(200), accepted=False)

    assert titles(entries) == ["Queued by a replay", "Attempt 1"]


def test_attempts_before_restart_follow_from_counted_failures() -> None:
    assert attempts_before_restart(delivery(tries=2, failures=2), attempts(404, 500)) == 0
    assert attempts_before_restart(delivery(tries=3, failures=2), attempts(404, "interrupted", 500)) == 0
    assert attempts_before_restart(delivery(tries=3, failures=2), attempts(404, "connection_stale", 500)) == 0
    assert attempts_before_restart(delivery("pending", tries=3, failures=1), attempts(404, 404, 500)) == 2
    assert attempts_before_restart(delivery("pending", tries=2, failures=0), attempts(404, 404)) == 2


def test_timeline_of_pending_delivery_tells_the_place_and_end_of_the_next_attempt() -> None:
    ends = rfc3339(BORN_MS + 900_000)
    waiting = delivery(
        "pending", tries=2, failures=2, next_attempt_at=rfc3339(BORN_MS + 90_000), attempts_max=17, gives_up_at=ends
    )

    next_one = entries_of(waiting, attempts(404, 404))[-1]

    assert (next_one.title, next_one.place, next_one.gives_up_at) == ("Next attempt", "attempt 3 of 17", ends)


def test_timeline_of_delivery_being_sent_tells_the_place_of_the_attempt_under_way() -> None:
    entries = entries_of(delivery("pending", tries=3, failures=2, sending=True, attempts_max=17), attempts(404, 404))

    assert (entries[-1].title, entries[-1].place) == ("Sending now", "attempt 3 of 17")


def test_timeline_opens_the_newest_failure_only() -> None:
    entries = entries_of(delivery(tries=2, failures=2), attempts(404, 500))

    assert [entry.is_open for entry in entries] == [False, False, True, False]


def test_timeline_opens_the_newest_failure_after_it_is_sent_again_too() -> None:
    again = delivery("pending", tries=2, failures=0, next_attempt_at=rfc3339(BORN_MS))

    assert [
        entry.attempt.number for entry in entries_of(again, attempts(404, 500)) if entry.attempt and entry.is_open
    ] == [2]


def test_timeline_of_delivered_delivery_opens_nothing() -> None:
    assert not any(entry.is_open for entry in entries_of(delivery("delivered", tries=2), attempts(404, 200)))
