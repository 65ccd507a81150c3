"""Violations of the invariants of attempts, requests and delivery counts."""

from dataclasses import replace

from clean_record import WALL_S, deliver, delivery, never_send, request, requests
from ledger import Attempt, Ledger, Sample

# attempts


def send_off_the_record(ledger: Ledger) -> None:
    ledger.arrivals.append(request(ledger.published[3], "/a", 2, 3.5, 503))


def send_one_attempt_twice(ledger: Ledger) -> None:
    ledger.arrivals.append(request(ledger.published[3], "/a", 1, 3.5, 503))


def claim_an_attempt(ledger: Ledger) -> None:
    found = delivery(ledger, 3, "/a")
    found.attempts = [
        Attempt(1, WALL_S, 0.1, 500, "http_500"),
        *(replace(each, number=2) for each in found.attempts or ()),
    ]
    found.attempt_count = 2
    requests(ledger, 3, "/a")[0].attempt = 2


def interrupt_without_a_fault(ledger: Ledger) -> None:
    found = delivery(ledger, 8, "/a")
    assert found.attempts is not None
    found.attempts[1] = replace(found.attempts[1], error="interrupted")


def insist(ledger: Ledger) -> None:
    ledger.deliveries.remove(delivery(ledger, 29, "/a"))
    never_send(ledger, 29, "/a")
    deliver(ledger, ledger.published[29], "/a", [500] * 4, started=29.2)


def insist_off_the_record(ledger: Ledger) -> None:
    ledger.arrivals += [request(ledger.published[3], "/a", number, 3.0 + number, 503) for number in range(2, 9)]


def blame_receiver(ledger: Ledger) -> None:
    requests(ledger, 8, "/a")[0].status = 200


def blame_for_no_connection(ledger: Ledger) -> None:
    found = delivery(ledger, 8, "/a")
    assert found.attempts is not None
    found.attempts[1] = replace(found.attempts[1], error="connect_failed")


def _bring_forward(ledger: Ledger, number: int, attempt: int, by_s: float) -> None:
    for arrival in requests(ledger, number, "/a"):
        if arrival.attempt >= attempt:
            arrival.at -= by_s
            arrival.answered -= by_s
            arrival.ended -= by_s


def hurry(ledger: Ledger) -> None:
    _bring_forward(ledger, 29, 2, 0.05)


def hurry_later_step(ledger: Ledger) -> None:
    _bring_forward(ledger, 29, 3, 0.2)


def ignore_asked_wait(ledger: Ledger) -> None:
    _bring_forward(ledger, 8, 2, 0.5)


def retry_late(ledger: Ledger) -> None:
    _bring_forward(ledger, 8, 3, -17.0)


def retry_late_after_a_fault(ledger: Ledger) -> None:
    _bring_forward(ledger, 92, 3, -47.0)


def begin_late(ledger: Ledger) -> None:
    _bring_forward(ledger, 10, 1, 0.0)
    requests(ledger, 11, "/a")[0].at += 16.0


def come_late_by_half(ledger: Ledger) -> None:
    """Every retry comes a little late, none of them very late."""
    for number in range(1, 120, 7):
        if number % 5:
            _bring_forward(ledger, number, 2, -2.5)
            _bring_forward(ledger, number, 3, -2.5)


def crowd(ledger: Ledger) -> None:
    first = next(each for each in ledger.arrivals if each.path == "/second")
    first.answered = first.ended = first.at + 20.0


def overtake(ledger: Ledger) -> None:
    first, second, *_ = [each for each in ledger.arrivals if each.path == "/first"]
    first.at, second.at = second.at, first.at


def overlap(ledger: Ledger) -> None:
    first = requests(ledger, 8, "/a")[0]
    first.answered = first.ended = first.at + 3.0


def overlap_on_record(ledger: Ledger) -> None:
    found = delivery(ledger, 8, "/a")
    assert found.attempts is not None
    found.attempts[0] = replace(found.attempts[0], duration_s=2.0)


def double(ledger: Ledger) -> None:
    ledger.deliveries.remove(delivery(ledger, 6, "/a"))
    never_send(ledger, 6, "/a")
    deliver(ledger, ledger.published[6], "/a", [200, 200], started=6.2)


def double_in_the_shadow_of_a_fault(ledger: Ledger) -> None:
    found = delivery(ledger, 60, "/theirs")
    found.attempts = [*(found.attempts or ()), Attempt(2, WALL_S + 62.0, 0.01, 200, None)]
    found.attempt_count = 2
    ledger.arrivals.append(request(ledger.published[60], "/theirs", 2, 62.0, 200))


def send_cancelled(ledger: Ledger) -> None:
    cancelled = next(each for each in ledger.arrivals if each.path == "/dropped")
    ledger.arrivals.append(request(ledger.published[cancelled.number], "/dropped", 2, 150.0, 500))


# requests


def send_whole_event(ledger: Ledger) -> None:
    requests(ledger, 5, "/theirs")[0].digest = ledger.published[5].digest


def change_sent_bytes(ledger: Ledger) -> None:
    requests(ledger, 3, "/a")[0].digest = "other"


def unsign(ledger: Ledger) -> None:
    requests(ledger, 3, "/a")[0].signed_with = ()


def sign_with_former_secret(ledger: Ledger) -> None:
    ledger.rotated_at["/a"] = [2.0]


def date_back(ledger: Ledger) -> None:
    requests(ledger, 3, "/a")[0].timestamp_s -= 600


def date_backwards(ledger: Ledger) -> None:
    requests(ledger, 8, "/a")[2].timestamp_s -= 3


def lose_header(ledger: Ledger) -> None:
    requests(ledger, 3, "/a")[0].flaws = ("traceparent: None",)


def tell_wrong_sequence(ledger: Ledger) -> None:
    requests(ledger, 3, "/a")[0].sequence = 7


def dial_forbidden_address(ledger: Ledger) -> None:
    ledger.trapped.append("a connection")


# delivery counts


def hide_dead_letter(ledger: Ledger) -> None:
    ledger.dead_said["/metrics"] -= 1


def count_twice(ledger: Ledger) -> None:
    ledger.attempts_counted *= 2


def count_too_few(ledger: Ledger) -> None:
    ledger.attempts_counted //= 2


def _sample(ledger: Ledger, **changed: object) -> None:
    ledger.samples.append(replace(ledger.samples[-1], **changed))  # type: ignore[arg-type]


def miscount_for_a_moment(ledger: Ledger) -> None:
    ledger.samples.insert(1, Sample(50.0, "only", 80.0, 50, 8, 4.0, 0.5, unbalanced="the sum is wrong"))


def fall_behind(ledger: Ledger) -> None:
    _sample(ledger, oldest_due_s=20.0)


def fall_behind_for_long(ledger: Ledger) -> None:
    ledger.settled_at += 70.0


def leak_files(ledger: Ledger) -> None:
    _sample(ledger, files=75)


def leak_memory(ledger: Ledger) -> None:
    _sample(ledger, rss_mb=250.0)


def leak_threads(ledger: Ledger) -> None:
    _sample(ledger, threads=20)


def never_copy_the_log(ledger: Ledger) -> None:
    _sample(ledger, log_mb=90.0)


def give_up(ledger: Ledger) -> None:
    ledger.ended_by_itself.append("only after kill")


def tell_secret(ledger: Ledger) -> None:
    ledger.exposed.append("in the log")


# whether enough happened


def spare(ledger: Ledger) -> None:
    ledger.faults_wanted = ("kill", "pause")


def idle(ledger: Ledger) -> None:
    ledger.faults = ledger.faults * 10


def interrupt_nothing(ledger: Ledger) -> None:
    for arrival in ledger.arrivals:
        arrival.ended = arrival.answered


def time_nothing_out(ledger: Ledger) -> None:
    for each in ledger.deliveries:
        each.attempts = [attempt for attempt in each.attempts or () if attempt.error != "timeout"]


def let_nothing_die(ledger: Ledger) -> None:
    ledger.deliveries = [each for each in ledger.deliveries if each.reason != "attempts_exhausted"]


def let_no_endpoint_be_gone(ledger: Ledger) -> None:
    ledger.deliveries = [each for each in ledger.deliveries if each.reason != "gone"]


def never_repeat_a_key(ledger: Ledger) -> None:
    ledger.repeats.clear()


def take_no_samples(ledger: Ledger) -> None:
    ledger.samples.clear()
