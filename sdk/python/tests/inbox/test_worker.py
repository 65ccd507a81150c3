"""What the worker makes of a message, on both databases."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing, suppress
from typing import Any

import pytest

from commerce_event_sdk import DeadLetter, Delivery, Gone, RetryLater
from commerce_event_sdk.inbox import Inbox
from inboxes import T0, PostgresInboxes, SharedDatabase, delivery, worker

pytestmark = pytest.mark.integration
WAIT_S = 20.0


@pytest.fixture
def effects(database: SharedDatabase, inbox: Inbox) -> list[tuple[Any, ...]]:
    """Make the application's table; tests ask the database for its rows."""
    database.run("CREATE TABLE effects (id text)")
    return []


def write_effect(delivery: Delivery) -> None:
    kind = type(delivery.connection).__module__
    mark = "?" if kind == "sqlite3" else "%s"
    delivery.connection.execute(f"INSERT INTO effects (id) VALUES ({mark})", (delivery.webhook_id,))


def effects_in(database: SharedDatabase) -> list[str]:
    return [row[0] for row in database.run("SELECT id FROM effects ORDER BY id")]


def test_worker_gets_what_was_put(inbox: Inbox) -> None:
    seen = []
    headers = {"commerce-event-replay": "2", "x-secret": "static-value"}
    inbox.put(delivery("a", sequence=17, headers=headers), "order:1")
    worker(inbox, lambda event, got: seen.append((event, got))).run_until_idle()
    [(event, got)] = seen
    assert (event.event_type, event.data) == ("PickingStarted", {"ClientId": 7, "Number": "a"})
    assert (got.webhook_id, got.attempt, got.sequence, got.is_replay) == ("a", 1, 17, True)
    assert got.headers == {"commerce-event-replay": "2"}


def test_message_when_handled_is_done_without_body(inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    assert worker(inbox, lambda *_: None).run_until_idle() == 1
    message = inbox.message("a")
    assert message is not None
    assert (message.state, message.body, message.finished_at, message.attempt_count) == ("done", None, T0, 1)
    assert worker(inbox, lambda *_: None).run_until_idle() == 0


def test_message_body_when_kept_stays(database: SharedDatabase) -> None:
    inbox = database.inbox(keep_bodies=True)
    inbox.put(delivery("a"), None)
    worker(inbox, lambda *_: None).run_until_idle()
    message = inbox.message("a")
    assert message is not None
    assert message.body == delivery("a").body


@pytest.mark.usefixtures("effects")
def test_connection_when_handler_returns_is_committed_with_the_message(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    worker(inbox, lambda _, got: write_effect(got)).run_until_idle()
    assert effects_in(database) == ["a"]
    assert inbox.status().done == 1


@pytest.mark.usefixtures("effects")
def test_connection_when_handler_raises_is_rolled_back(database: SharedDatabase, inbox: Inbox) -> None:
    def handler(event: object, got: Delivery) -> None:
        write_effect(got)
        raise ValueError("no stock")

    inbox.put(delivery("a"), None)
    worker(inbox, handler, retry_schedule=(5,)).run_until_idle()
    message = inbox.message("a")
    assert message is not None
    assert effects_in(database) == []
    assert (message.state, message.attempt_count) == ("pending", 1)
    assert message.error is not None
    assert "ValueError: no stock" in message.error
    assert "in handler" in message.error


def test_handler_that_fails_is_retried_by_the_schedule_and_becomes_a_dead_letter(
    database: SharedDatabase, inbox: Inbox
) -> None:
    attempts: list[float] = []

    def handler(event: object, got: Delivery) -> None:
        attempts.append(database.clock.now - T0)
        raise ValueError("always")

    inbox.put(delivery("a"), None)
    made = worker(inbox, handler, retry_schedule=(10, 100))
    for _ in range(30):
        made.run_until_idle()
        database.clock.advance(5)
    first, second, third = attempts
    assert first == 0
    assert 10 <= second <= 15  # up to a tenth more, and the clock moves by five seconds
    assert 100 <= third - second <= 115
    message = inbox.message("a")
    assert message is not None
    assert (message.state, message.attempt_count, message.body) == ("dead", 3, delivery("a").body)


@pytest.mark.parametrize("error", [DeadLetter("the article does not exist"), Gone("no more")])
def test_handler_that_raises_dead_letter_is_not_retried(inbox: Inbox, error: Exception) -> None:
    def handler(event: object, got: Delivery) -> None:
        raise error

    inbox.put(delivery("a"), None)
    worker(inbox, handler).run_until_idle()
    [message] = inbox.messages(state="dead")
    assert message.error is not None
    assert str(error) in message.error


def test_retry_later_waits_and_counts_no_attempt(database: SharedDatabase, inbox: Inbox) -> None:
    def handler(event: object, got: Delivery) -> None:
        if database.clock.now < T0 + 500:
            raise RetryLater(100)

    inbox.put(delivery("a"), None)
    made = worker(inbox, handler, max_attempts=1)
    attempts = 0
    for _ in range(60):
        attempts += made.run_until_idle()
        database.clock.advance(10)
    message = inbox.message("a")
    assert message is not None
    assert (attempts, message.state, message.attempt_count) == (6, "done", 1)


def test_messages_of_a_key_are_handled_in_order_of_arrival(database: SharedDatabase, inbox: Inbox) -> None:
    seen: list[str] = []
    failing = {"a1"}

    def handler(event: object, got: Delivery) -> None:
        seen.append(got.webhook_id)
        if got.webhook_id in failing:
            raise ValueError("not yet")

    for each in ("a1", "a2", "b1", "a3", "n1"):
        inbox.put(delivery(each), None if each == "n1" else f"order:{each[0]}")
    made = worker(inbox, handler, retry_schedule=(50,))
    made.run_until_idle()
    assert sorted(seen) == ["a1", "b1", "n1"]
    failing.clear()
    database.clock.advance(60)
    made.run_until_idle()
    assert seen[3:] == ["a1", "a2", "a3"]


def test_dead_letter_releases_its_key(inbox: Inbox) -> None:
    seen: list[str] = []

    def handler(event: object, got: Delivery) -> None:
        seen.append(got.webhook_id)
        if got.webhook_id == "a1":
            raise DeadLetter("poisoned")

    inbox.put(delivery("a1"), "order:a")
    inbox.put(delivery("a2"), "order:a")
    worker(inbox, handler).run_until_idle()
    assert seen == ["a1", "a2"]


def test_retried_dead_letter_is_handled_before_later_messages_of_its_key(inbox: Inbox) -> None:
    seen: list[str] = []
    poisoned = {"a1"}

    def handler(event: object, got: Delivery) -> None:
        seen.append(got.webhook_id)
        if got.webhook_id in poisoned:
            raise DeadLetter("poisoned")

    inbox.put(delivery("a1"), "order:a")
    made = worker(inbox, handler)
    made.run_until_idle()
    poisoned.clear()
    inbox.put(delivery("a2"), "order:a")
    assert inbox.retry("a1", "unknown") == 1
    made.run_until_idle()
    assert seen == ["a1", "a1", "a2"]
    assert inbox.retry("a1") == 0


def test_discarded_message_is_not_handled_and_its_repeat_is_ignored(inbox: Inbox) -> None:
    inbox.put(delivery("a1"), "order:a")
    inbox.put(delivery("a2"), "order:a")
    assert inbox.discard("a1") == 1
    seen: list[str] = []
    worker(inbox, lambda _, got: seen.append(got.webhook_id)).run_until_idle()
    assert seen == ["a2"]
    assert inbox.put(delivery("a1"), "order:a") is False


def test_claim_of_a_process_that_ended_counts_as_an_attempt(database: SharedDatabase, inbox: Inbox) -> None:
    """A worker that is interrupted in the middle stands for a killed process: nothing is stored after the claim."""
    inbox.put(delivery("a"), None)
    made = worker(inbox, lambda *_: None, max_attempts=2, claim_s=60)
    for _ in range(2):
        with inbox.session() as session:
            [claimed] = made._claim(session, 4)
            assert claimed.id == "a"
            assert made._claim(session, 4) == []
        database.clock.advance(61)
    assert made.run_until_idle() == 0
    [message] = inbox.messages(state="dead")
    assert message.error is not None
    assert "its process ended" in message.error


@pytest.mark.usefixtures("effects")
def test_handler_that_outlives_its_claim_is_rolled_back(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    other = worker(inbox, lambda _, got: write_effect(got))

    def slow(event: object, got: Delivery) -> None:
        database.clock.advance(61)
        assert other.run_until_idle() == 1
        write_effect(got)

    worker(inbox, slow, claim_s=60).run_until_idle()
    assert effects_in(database) == ["a"]
    assert inbox.status().done == 1


def test_handler_that_fails_after_its_claim_expired_changes_nothing(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    other = worker(inbox, lambda *_: None)

    def slow(event: object, got: Delivery) -> None:
        database.clock.advance(61)
        other.run_until_idle()
        raise DeadLetter("too late to say so")

    worker(inbox, slow, claim_s=60).run_until_idle()
    assert inbox.status().done == 1


@pytest.mark.usefixtures("effects")
def test_discard_while_the_handler_runs_rolls_it_back(database: SharedDatabase, inbox: Inbox) -> None:
    def handler(event: object, got: Delivery) -> None:
        inbox.discard("a")
        write_effect(got)

    inbox.put(delivery("a"), None)
    worker(inbox, handler).run_until_idle()
    assert effects_in(database) == []
    assert inbox.status().done == 1


@pytest.mark.usefixtures("effects")
def test_accept_elsewhere_while_the_message_is_claimed_rolls_the_handler_back(
    database: SharedDatabase, inbox: Inbox
) -> None:
    def handler(event: object, got: Delivery) -> None:
        if database.kind == "postgres":
            write_effect(got)
        with closing(database.connect()) as connection:
            assert inbox.accept(connection, got.webhook_id)
            connection.execute("INSERT INTO effects (id) VALUES ('of another program')")
            connection.commit()
        if database.kind == "sqlite":  # has one writer at a time
            write_effect(got)

    inbox.put(delivery("a"), None)
    worker(inbox, handler).run_until_idle()
    assert effects_in(database) == ["of another program"]
    assert inbox.status().done == 1


@pytest.mark.usefixtures("effects")
def test_accept_on_the_connection_of_the_delivery_is_committed_with_the_handler(
    database: SharedDatabase, inbox: Inbox
) -> None:
    def handler(event: object, got: Delivery) -> None:
        write_effect(got)
        assert inbox.accept(got.connection, got.webhook_id)

    inbox.put(delivery("a"), None)
    worker(inbox, handler).run_until_idle()
    assert effects_in(database) == ["a"]
    assert inbox.status().done == 1


def test_accept_in_a_handler_releases_the_key_and_the_body(
    database: SharedDatabase, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(event: object, got: Delivery) -> None:
        with closing(database.connect()) as connection:
            inbox.accept(connection, got.webhook_id)
            connection.commit()

    for each in ("a", "b"):
        inbox.put(delivery(each), "order:1")
    assert worker(inbox, handler).run_until_idle() == 2
    found = inbox.message("a")
    assert found is not None
    assert (found.state, found.body) == ("done", None)
    assert "claim had expired" not in caplog.text


def test_accept_in_a_handler_of_the_worker_ends_the_message_with_its_own_transaction(
    database: SharedDatabase, inbox: Inbox
) -> None:
    accepted: list[bool] = []

    def handler(event: object, got: Delivery) -> None:
        if got.webhook_id == "b":
            return
        connection = database.connect()
        accepted.append(inbox.accept(connection, got.webhook_id))
        accepted.append(inbox.accept(connection, got.webhook_id))
        connection.commit()
        connection.close()
        raise ValueError("after the commit")

    inbox.put(delivery("a"), "order:1")
    inbox.put(delivery("b"), "order:1")
    assert worker(inbox, handler).run_until_idle() == 2
    assert accepted == [True, False]
    assert inbox.status().done == 2
    assert not any(each.is_claimed for each in inbox.messages())


def test_handler_that_commits_itself_is_logged(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    inbox.put(delivery("a"), None)
    with caplog.at_level(logging.ERROR):
        worker(inbox, lambda _, got: got.connection.commit()).run_until_idle()
    assert "ended the transaction of delivery.connection itself" in caplog.text
    assert inbox.status().done == 1


async def _async_handler(event: object, got: Delivery) -> None:
    write_effect(got)


def test_handler_that_interrupts_its_thread_fails_its_attempt(inbox: Inbox) -> None:
    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    inbox.put(delivery("a"), None)
    running = worker(inbox, handler, max_attempts=1).start()
    try:
        deadline = time.monotonic() + WAIT_S
        while inbox.status().dead == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert inbox.status().dead == 1
    finally:
        running.stop()


def test_handler_that_hides_an_error_of_its_transaction_fails_its_attempt(postgres_database: PostgresInboxes) -> None:
    def handler(_: object, got: Delivery) -> None:
        with suppress(Exception):
            got.connection.execute("SELECT 1 / 0")

    inbox = postgres_database.inbox()
    inbox.put(delivery("a"), None)
    worker(inbox, handler, max_attempts=1).run_until_idle()
    message = inbox.message("a")
    assert message is not None
    assert (message.state, message.attempt_count) == ("dead", 1)


def test_handler_that_hides_the_loss_of_its_connection_is_called_again(postgres_database: PostgresInboxes) -> None:
    attempts = []

    def handler(_: object, got: Delivery) -> None:
        write_effect(got)
        attempts.append(got.attempt)
        if len(attempts) == 1:
            postgres_database.on_server(f"SELECT pg_terminate_backend({got.connection.info.backend_pid})")
            with suppress(Exception):
                got.connection.execute("SELECT 1")

    inbox = postgres_database.inbox()
    postgres_database.run("CREATE TABLE effects (id text)")
    inbox.put(delivery("a"), None)
    made = worker(inbox, handler)
    made.run_until_idle()
    postgres_database.clock.advance(5)
    made.run_until_idle()
    assert effects_in(postgres_database) == ["a"]
    assert inbox.status().done == 1


@pytest.mark.usefixtures("effects")
def test_async_handler_runs_to_its_end(database: SharedDatabase, inbox: Inbox) -> None:
    inbox.put(delivery("a"), None)
    worker(inbox, _async_handler).run_until_idle()
    assert effects_in(database) == ["a"]


def test_handler_that_exits_the_thread_fails_its_attempt(inbox: Inbox) -> None:
    def handler(event: object, got: Delivery) -> None:
        raise SystemExit(3)

    inbox.put(delivery("a"), None)
    worker(inbox, handler, max_attempts=1).run_until_idle()
    assert inbox.status().dead == 1


def test_interrupted_attempt_is_given_back(inbox: Inbox) -> None:
    def handler(event: object, got: Delivery) -> None:
        raise KeyboardInterrupt

    inbox.put(delivery("a"), None)
    with pytest.raises(KeyboardInterrupt):
        worker(inbox, handler).run_until_idle()
    message = inbox.message("a")
    assert message is not None
    assert (message.state, message.attempt_count, message.is_claimed) == ("pending", 0, False)


def test_threads_handle_messages_at_the_same_time(inbox: Inbox) -> None:
    meeting = threading.Barrier(3, timeout=WAIT_S)
    done = threading.Semaphore(0)

    def handler(event: object, got: Delivery) -> None:
        meeting.wait()
        done.release()

    made = worker(inbox, handler, concurrency=3).start()
    for each in ("a", "b", "c"):
        inbox.put(delivery(each), None)
    assert all(done.acquire(timeout=WAIT_S) for _ in range(3))
    assert made.stop(WAIT_S)
    assert inbox.status().done == 3


def test_threads_never_handle_two_messages_of_a_key_at_once(database: SharedDatabase, inbox: Inbox) -> None:
    seen: list[str] = []
    running: set[str] = set()
    overlaps: list[str] = []
    done = threading.Semaphore(0)

    def handler(event: object, got: Delivery) -> None:
        key = got.webhook_id[0]
        if key in running:
            overlaps.append(got.webhook_id)
        running.add(key)
        seen.append(got.webhook_id)
        running.discard(key)
        done.release()

    first = worker(inbox, handler, concurrency=4, poll_s=0.05).start()
    second = worker(database.inbox(), handler, concurrency=4, poll_s=0.05).start()
    ids = [f"{key}{number:02}" for number in range(10) for key in "abcde"]
    for each in ids:
        inbox.put(delivery(each), each[0])
    assert all(done.acquire(timeout=WAIT_S) for _ in ids)
    assert first.stop(WAIT_S)
    assert second.stop(WAIT_S)
    assert overlaps == []
    assert {key: [each for each in seen if each[0] == key] for key in "abcde"} == {
        key: sorted(each for each in ids if each[0] == key) for key in "abcde"
    }


def test_heartbeat_keeps_the_claim_of_a_slow_handler(database: SharedDatabase) -> None:
    """The claim lasts 0.4 s of the real clock; the handler waits until it was renewed past its first end."""
    import time

    inbox = database.inbox(clock=time.time)
    started, calls = threading.Event(), []

    def handler(event: object, got: Delivery) -> None:
        calls.append(got.attempt)
        started.set()
        first = inbox.message("a")
        assert first is not None
        assert first.next_attempt_at is not None
        while (now := inbox.message("a")) and (now.next_attempt_at or 0) < first.next_attempt_at + 1.0:
            pass

    inbox.put(delivery("a"), None)
    first = worker(inbox, handler, claim_s=0.8).start()
    second = worker(database.inbox(clock=time.time), handler, poll_s=0.05).start()
    assert started.wait(WAIT_S)
    while inbox.status().done == 0:
        pass
    assert first.stop(WAIT_S)
    assert second.stop(WAIT_S)
    assert calls == [1]


def test_stop_waits_for_the_running_handler_and_leaves_the_rest(inbox: Inbox) -> None:
    started, may_end = threading.Event(), threading.Event()

    def handler(event: object, got: Delivery) -> None:
        started.set()
        assert may_end.wait(WAIT_S)

    for each in ("a", "b"):
        inbox.put(delivery(each), "order:1")
    made = worker(inbox, handler).start()
    assert started.wait(WAIT_S)
    assert made.stop(0.05) is False
    may_end.set()
    assert made.stop(WAIT_S) is True
    assert (inbox.status().done, inbox.status().pending) == (1, 1)


def test_run_blocks_until_stop_is_called(inbox: Inbox) -> None:
    made = worker(inbox, lambda *_: None)
    thread = threading.Thread(target=made.run)
    thread.start()
    inbox.put(delivery("a"), None)
    while inbox.status().done == 0:
        pass
    assert thread.is_alive()
    assert made.stop(WAIT_S)
    thread.join(WAIT_S)
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="started before"):
        made.start()


def test_worker_wakes_when_a_message_is_put(inbox: Inbox) -> None:
    done = threading.Event()
    made = worker(inbox, lambda *_: done.set(), poll_s=3600).start()
    inbox.put(delivery("a"), None)
    assert done.wait(WAIT_S)
    assert made.stop(WAIT_S)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"claim_s": 0},
        {"poll_s": 0},
        {"retry_schedule": ()},
        {"retry_schedule": (-1,)},
        {"max_attempts": 0},
    ],
)
def test_worker_with_a_number_out_of_range_is_refused(inbox: Inbox, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        worker(inbox, lambda *_: None, **options)
