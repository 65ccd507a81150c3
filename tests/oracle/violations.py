"""Violations of the invariants, applied to a clean record; the judge must name each invariant."""

from collections.abc import Callable
from dataclasses import replace

import delivery_violations as sending
from clean_record import delivery, never_send, request, requests
from invariants import ENOUGH
from ledger import FIRST_REFUSED, Arrival, Ledger, Stored

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


def accept_a_used_key(ledger: Ledger) -> None:
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


def deliver_to_a_deleted_endpoint(ledger: Ledger) -> None:
    next(each for each in ledger.deliveries if each.path == "/dropped").state = "pending"


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


VIOLATIONS: dict[str, list[Callable[[Ledger], None]]] = {
    "every acknowledged event is stored, byte for byte": [forget_event, change_stored_bytes],
    "an event keeps its id": [rename, merge],
    "a client's sequence has no gap": [skip_in_sequence],
    "an idempotency key means one event of its client": [store_twice, accept_a_used_key],
    "nothing is stored or sent that was not acknowledged": [
        store_refused, send_refused, invent, accept_what_breaks_the_contract,
    ],
    "an API key gives access to its clients, and to nothing once revoked": [honour_revoked_key],
    "every answer is a documented one": [answer_oddly],
    "each matching endpoint has exactly one delivery of an event": [duplicate_delivery, lack_delivery, deliver_elsewhere],
    "every acknowledged event arrived, or is a dead letter": [lose],
    "every delivery ended": [cancel, leave_pending, deliver_to_a_deleted_endpoint],
    "a delivery is dead only if its receiver refused every attempt": [die_unheard, die_too_soon, die_of_a_kill, die_of_an_own_fault],
    "only a 410 switches an endpoint off": [switch_off, swallow_gone],
    "no event reached an endpoint that does not match": [
        misroute, cross_tenants, cross_tenants_the_other_way, sending.send_cancelled,
    ],
    "what is recorded as delivered was answered with 2xx": [boast, boast_before_the_answer],
    "a replay sends its client's events once more, to its endpoint": [replay_nothing, replay_to_another],
    "every request is one recorded attempt": [sending.send_off_the_record, sending.send_one_attempt_twice],
    "every recorded attempt was made, or interrupted": [sending.claim_an_attempt, sending.interrupt_without_a_fault],
    "no more attempts than the schedule has": [sending.insist, sending.insist_off_the_record],
    "only failures of the receiver count": [sending.blame_receiver, sending.blame_for_no_connection],
    "no retry is early": [sending.hurry, sending.hurry_later_step, sending.ignore_asked_wait],
    "no attempt is much too late": [
        sending.retry_late, sending.retry_late_after_a_fault, sending.begin_late, sending.come_late_by_half,
    ],
    "no two attempts of a delivery at the same time": [sending.overlap, sending.overlap_on_record],
    "no endpoint gets more requests at the same time than it allows": [sending.crowd],
    "events of one business key arrive in order": [sending.overtake],
    "repeats only where a fault explains them": [sending.double, sending.double_in_the_shadow_of_a_fault],
    "what arrives is what was published, byte for byte": [sending.change_sent_bytes, sending.send_whole_event],
    "every request is signed with a valid secret": [sending.unsign, sending.sign_with_former_secret],
    "the timestamp is the time of the attempt": [sending.date_back, sending.date_backwards],
    "every request has the headers of its endpoint, and no others": [sending.lose_header, sending.tell_wrong_sequence],
    "nothing is sent to an address that is not allowed": [sending.dial_forbidden_address],
    "every list of dead letters is complete": [sending.hide_dead_letter],
    "the delivery counts balance at every moment": [sending.miscount_for_a_moment],
    "the metrics count every attempt once": [sending.count_twice, sending.count_too_few],
    "due deliveries are sent soon after the last fault": [sending.fall_behind, sending.fall_behind_for_long],
    "no node uses ever more memory, files or threads": [sending.leak_files, sending.leak_memory, sending.leak_threads, sending.never_copy_the_log],
    "no server ended by itself": [sending.give_up],
    "no secret is shown or logged": [sending.tell_secret],
    ENOUGH: [
        sending.spare, sending.idle, sending.interrupt_nothing, sending.time_nothing_out, sending.let_nothing_die, sending.let_no_endpoint_be_gone, sending.never_repeat_a_key,
        sending.take_no_samples,
    ],
}  # fmt: skip
