"""The oracle is only worth something if it notices: each invariant is broken once or more, and must be named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import Plan, run
from clean_record import WALL_S, clean, deliver, request
from disk import can_mount
from faults import possible
from judgement import ENOUGH, judge
from ledger import FIRST_REFUSED, Arrival, Attempt, Delivery, Ledger, Sample, Stored


def broken_by(change: Callable[[Ledger], None]) -> set[str]:
    ledger = clean()
    change(ledger)
    return {finding.invariant for finding in judge(ledger) if finding.broken}


def delivery(ledger: Ledger, number: int, path: str) -> Delivery:
    return next(each for each in ledger.deliveries if (each.event_id, each.path) == (f"evt_{number}", path))


def requests(ledger: Ledger, number: int, path: str) -> list[Arrival]:
    return [
        each for each in ledger.arrivals if (each.event_id, each.path, each.replayed) == (f"evt_{number}", path, False)
    ]


def never_send(ledger: Ledger, number: int, path: str) -> None:
    for arrival in requests(ledger, number, path):
        ledger.arrivals.remove(arrival)


# events


def forget_event(ledger: Ledger) -> None:
    ledger.stored.pop()


def change_stored_bytes(ledger: Ledger) -> None:
    ledger.stored[3] = replace(ledger.stored[3], digest="other")


def rename(ledger: Ledger) -> None:
    requests(ledger, 8, "/a")[0].event_id = "evt_other"


def merge(ledger: Ledger) -> None:
    ledger.published[2] = replace(ledger.published[2], event_id="evt_1")


def skip_in_sequence(ledger: Ledger) -> None:
    ledger.stored[10:] = [replace(each, sequence=each.sequence + 1) for each in ledger.stored[10:]]


def store_twice(ledger: Ledger) -> None:
    ledger.stored.append(replace(ledger.stored[-1], event_id="evt_again", sequence=25))


def take_a_key_anew(ledger: Ledger) -> None:
    ledger.wrong_repeats.append("evt_7 once more: 202")


def store_refused(ledger: Ledger) -> None:
    ledger.stored.append(Stored("evt_refused", 1, 97, FIRST_REFUSED + 13, ""))


def send_refused(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(5.0, "/a", "evt_refused", FIRST_REFUSED + 13))


def invent(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(5.0, "/a", "evt_9000", 9000))


def accept_what_breaks_the_contract(ledger: Ledger) -> None:
    ledger.not_turned_away.append("202")


def honour_revoked_key(ledger: Ledger) -> None:
    ledger.keys_honoured.append("only answered 202, not 401")


def answer_oddly(ledger: Ledger) -> None:
    ledger.wrong_answers.append("500")


# deliveries


def duplicate_delivery(ledger: Ledger) -> None:
    ledger.deliveries.append(replace(delivery(ledger, 3, "/a"), id="dlv_twin"))


def lack_delivery(ledger: Ledger) -> None:
    ledger.deliveries.remove(delivery(ledger, 3, "/a"))


def deliver_elsewhere(ledger: Ledger) -> None:
    ledger.deliveries.append(replace(delivery(ledger, 3, "/a"), path="/no"))


def lose(ledger: Ledger) -> None:
    never_send(ledger, 5, "/theirs")
    delivery(ledger, 5, "/theirs").state = "cancelled"


def die_unheard(ledger: Ledger) -> None:
    """Everything is dead, and nothing ever arrived."""
    ledger.arrivals.clear()
    for each in ledger.deliveries:
        each.state, each.reason = "dead", "attempts_exhausted"


def die_too_soon(ledger: Ledger) -> None:
    dead = delivery(ledger, 29, "/a")
    assert dead.attempts is not None
    dead.attempts.pop()
    dead.attempt_count -= 1
    ledger.arrivals.remove(requests(ledger, 29, "/a")[-1])


def die_of_a_kill(ledger: Ledger) -> None:
    """An interrupted attempt is counted as if the receiver had failed."""
    dead = delivery(ledger, 29, "/a")
    assert dead.attempts is not None
    dead.attempts[1] = replace(dead.attempts[1], status=None, error="interrupted")


def die_of_an_own_fault(ledger: Ledger) -> None:
    delivery(ledger, 29, "/a").reason = "internal"


def cancel(ledger: Ledger) -> None:
    delivery(ledger, 3, "/a").state = "cancelled"


def leave_pending(ledger: Ledger) -> None:
    ledger.pending = 3


def switch_off(ledger: Ledger) -> None:
    ledger.switched_off["/a"] = "failing"


def swallow_gone(ledger: Ledger) -> None:
    ledger.switched_off.clear()


def misroute(ledger: Ledger) -> None:
    ledger.arrivals.append(request(ledger.published[1], "/no", 1, 1.0, 404))


def cross_tenants(ledger: Ledger) -> None:
    ledger.arrivals.append(request(ledger.published[1], "/theirs", 1, 1.0, 404))


def cross_tenants_the_other_way(ledger: Ledger) -> None:
    ledger.arrivals.append(request(ledger.published[5], "/a", 1, 5.0, 404))


def boast(ledger: Ledger) -> None:
    requests(ledger, 4, "/a")[0].status = 500


def boast_before_the_answer(ledger: Ledger) -> None:
    requests(ledger, 4, "/a")[0].status = 0


def replay_nothing(ledger: Ledger) -> None:
    ledger.deliveries = [each for each in ledger.deliveries if not each.replayed]


def replay_to_another(ledger: Ledger) -> None:
    next(each for each in ledger.deliveries if each.replayed).path = "/a"


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


def dawdle(ledger: Ledger) -> None:
    _bring_forward(ledger, 8, 3, -17.0)


def dawdle_after_a_fault(ledger: Ledger) -> None:
    _bring_forward(ledger, 92, 3, -47.0)


def begin_late(ledger: Ledger) -> None:
    _bring_forward(ledger, 10, 1, 0.0)
    requests(ledger, 11, "/a")[0].at += 16.0


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


# requests


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
    ledger.trapped.append("somebody connected")


# accounts


def hide_dead_letter(ledger: Ledger) -> None:
    ledger.dead_said["/metrics"] -= 1


def _sample(ledger: Ledger, **changed: object) -> None:
    ledger.samples.append(replace(ledger.samples[-1], **changed))  # type: ignore[arg-type]


def miscount_for_a_moment(ledger: Ledger) -> None:
    ledger.samples.insert(1, Sample(50.0, "only", 80.0, 50, 8, 4.0, 0.5, unbalanced="the sum is wrong"))


def fall_behind(ledger: Ledger) -> None:
    _sample(ledger, oldest_due_s=20.0)


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
    for each in ledger.deliveries:
        each.attempts = [attempt for attempt in each.attempts or () if not attempt.interrupted]


def time_nothing_out(ledger: Ledger) -> None:
    for each in ledger.deliveries:
        each.attempts = [attempt for attempt in each.attempts or () if attempt.error != "timeout"]


def let_nothing_die(ledger: Ledger) -> None:
    ledger.deliveries = [each for each in ledger.deliveries if each.reason != "attempts_exhausted"]


def let_nobody_be_gone(ledger: Ledger) -> None:
    ledger.deliveries = [each for each in ledger.deliveries if each.reason != "gone"]


def never_repeat_a_key(ledger: Ledger) -> None:
    ledger.repeats.clear()


def take_no_samples(ledger: Ledger) -> None:
    ledger.samples.clear()


BREACHES: dict[str, list[Callable[[Ledger], None]]] = {
    "every acknowledged event is there, byte for byte": [forget_event, change_stored_bytes],
    "an event keeps the id that it was acknowledged with": [rename, merge],
    "the sequence of a client has no gap": [skip_in_sequence],
    "a key stands for one event of its client": [store_twice, take_a_key_anew],
    "nothing is stored or sent but what was acknowledged": [
        store_refused, send_refused, invent, accept_what_breaks_the_contract,
    ],
    "a key opens what it is for, and nothing once it is revoked": [honour_revoked_key],
    "every answer was one that is documented": [answer_oddly],
    "there is one delivery for each endpoint that wants an event": [duplicate_delivery, lack_delivery, deliver_elsewhere],
    "every acknowledged event arrived, or is visibly dead": [lose],
    "every delivery came to an end": [cancel, leave_pending],
    "only what the receiver refused to the end is dead": [die_unheard, die_too_soon, die_of_a_kill, die_of_an_own_fault],
    "only a 410 switches an endpoint off": [switch_off, swallow_gone],
    "no event reached an endpoint that did not want it": [misroute, cross_tenants, cross_tenants_the_other_way],
    "what is recorded as delivered was answered with 2xx": [boast, boast_before_the_answer],
    "a replay sends its client's events once more, to its endpoint": [replay_nothing, replay_to_another],
    "every request is one attempt that is on record": [send_off_the_record, send_one_attempt_twice],
    "every attempt on record was made, or interrupted": [claim_an_attempt],
    "no more attempts than the policy has": [insist, insist_off_the_record],
    "only what the receiver did counts as a failure": [blame_receiver, blame_for_no_connection],
    "no retry came before its time": [hurry, hurry_later_step, ignore_asked_wait],
    "no attempt came long after its time": [dawdle, dawdle_after_a_fault, begin_late],
    "no two attempts of a delivery at once": [overlap, overlap_on_record],
    "repeats only where a fault explains them": [double, double_in_the_shadow_of_a_fault],
    "what arrives is what was published, byte for byte": [change_sent_bytes],
    "every request is signed with a secret in force": [unsign, sign_with_former_secret],
    "the timestamp is that of the attempt": [date_back, date_backwards],
    "every request has the headers that it should, and no other's": [lose_header, tell_wrong_sequence],
    "nothing is sent to an address that is not allowed": [dial_forbidden_address],
    "whoever tells of dead letters tells of all": [hide_dead_letter],
    "the books balance, whenever one looks": [miscount_for_a_moment],
    "what is due is soon sent once all faults are over": [fall_behind],
    "no node uses more and more": [leak_files, leak_memory, leak_threads, never_copy_the_log],
    "no server ended by itself": [give_up],
    "no secret is shown or logged": [tell_secret],
    ENOUGH: [
        spare, idle, interrupt_nothing, time_nothing_out, let_nothing_die, let_nobody_be_gone, never_repeat_a_key,
        take_no_samples,
    ],
}  # fmt: skip


def test_clean_record_raises_no_alarm() -> None:
    assert [each for finding in judge(clean()) for each in finding.broken] == []


def test_every_invariant_is_broken_by_a_test() -> None:
    assert {finding.invariant for finding in judge(clean())} == set(BREACHES)


@pytest.mark.parametrize(
    ("change", "invariant"), [(change, name) for name, changes in BREACHES.items() for change in changes]
)
def test_each_breach_is_noticed_and_named(change: Callable[[Ledger], None], invariant: str) -> None:
    assert invariant in broken_by(change)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_one_fault_of_each_kind_breaks_nothing_on_either_engine(engine: str, tmp_path: Path) -> None:
    faults = possible(with_database=engine == "postgres", with_disk=can_mount())

    _, findings = run(Plan(engine, faults, len(faults), between=40, seed=7), tmp_path)

    assert [(finding.invariant, finding.broken[:3]) for finding in findings if finding.broken] == []
