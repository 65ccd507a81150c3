"""The life of a delivery in entries: what was given up once is told also after it was sent again."""

from typing import Any

from commerce_event.admin.timeline import Entry, fresh_start, timeline
from commerce_event.core.model import Attempt, Delivery

BORN_MS = 1_800_000_000_000


def attempts(*answers: int | str) -> list[Attempt]:
    return [
        Attempt(
            number=number,
            started_ms=BORN_MS + number * 1_000,
            duration_ms=5,
            status=answer if isinstance(answer, int) else None,
            error=None if isinstance(answer, int) else answer,
        )
        for number, answer in enumerate(answers, 1)
    ]


def delivery(state: str = "dead", tries: int = 0, failures: int = 0, **fields: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": 5, "event_id": 4, "endpoint_id": 7, "client_id": 1, "state": state, "attempt_count": tries,
        "failure_count": failures, "due_ms": None, "leased": False, "order_key": None, "replay_id": None,
        "reason": None, "created_ms": BORN_MS, "finished_ms": None if state == "pending" else BORN_MS + 60_000,
    }  # fmt: skip
    return Delivery(**(given | fields))


def titles(entries: list[Entry]) -> list[str]:
    return [entry.title for entry in entries]


def life(one: Delivery, tries: list[Attempt], held: str | None = None, *, born: bool = True) -> list[Entry]:
    return timeline(one, tries, retries=1, born_with_event=born, now_ms=BORN_MS + 70_000, held=held)


def test_dead_delivery_ends_with_being_given_up() -> None:
    entries = life(delivery(tries=2, failures=2, reason="attempts_exhausted"), attempts(404, "connect_refused"))

    assert titles(entries) == ["Accepted", "Attempt 1", "Attempt 2", "Given up after 2 attempts"]
    assert entries[1].words == "nothing is at this path: look at the URL"
    assert entries[2].words == "connection refused: nothing listens at this address"
    assert entries[2].answer is None
    assert entries[3].words == "every retry was used up"


def test_what_was_given_up_stays_told_after_it_was_sent_again() -> None:
    entries = life(delivery("delivered", tries=3, failures=0), attempts(404, 404, 200))

    assert titles(entries)[3:] == ["Given up after 2 attempts", "Sent again with a fresh start", "Attempt 3"]


def test_replay_that_sent_it_again_is_named() -> None:
    entries = life(delivery("pending", tries=2, failures=0, replay_id=9, due_ms=BORN_MS), attempts(404, 404), "held")

    assert titles(entries)[3:] == ["Given up after 2 attempts", "Sent again by a replay", "Due since"]
    assert entries[4].replay_id is not None
    assert entries[5].words == "held"


def test_delivery_born_of_a_replay_was_never_accepted_by_itself() -> None:
    entries = life(delivery("delivered", tries=1, replay_id=9), attempts(200), born=False)

    assert titles(entries) == ["Queued again by a replay", "Attempt 1"]


def test_fresh_start_is_told_from_the_failures_that_count() -> None:
    assert fresh_start(delivery(tries=2, failures=2), attempts(404, 500)) == 0
    assert fresh_start(delivery(tries=3, failures=2), attempts(404, "interrupted", 500)) == 0
    assert fresh_start(delivery(tries=3, failures=2), attempts(404, "connection_stale", 500)) == 0
    assert fresh_start(delivery("pending", tries=3, failures=1), attempts(404, 404, 500)) == 2
    assert fresh_start(delivery("pending", tries=2, failures=0), attempts(404, 404)) == 2
