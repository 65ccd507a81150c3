"""Ways to break a clean record, each of which the judge must notice, by the invariant that it must name."""

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
    "every request is one attempt that is on record": [sending.send_off_the_record, sending.send_one_attempt_twice],
    "every attempt on record was made, or interrupted": [sending.claim_an_attempt, sending.interrupt_without_a_fault],
    "no more attempts than the policy has": [sending.insist, sending.insist_off_the_record],
    "only what the receiver did counts as a failure": [sending.blame_receiver, sending.blame_for_no_connection],
    "no retry came before its time": [sending.hurry, sending.hurry_later_step, sending.ignore_asked_wait],
    "no attempt came long after its time": [sending.dawdle, sending.dawdle_after_a_fault, sending.begin_late],
    "no two attempts of a delivery at once": [sending.overlap, sending.overlap_on_record],
    "repeats only where a fault explains them": [sending.double, sending.double_in_the_shadow_of_a_fault],
    "what arrives is what was published, byte for byte": [sending.change_sent_bytes],
    "every request is signed with a secret in force": [sending.unsign, sending.sign_with_former_secret],
    "the timestamp is that of the attempt": [sending.date_back, sending.date_backwards],
    "every request has the headers that it should, and no other's": [sending.lose_header, sending.tell_wrong_sequence],
    "nothing is sent to an address that is not allowed": [sending.dial_forbidden_address],
    "whoever tells of dead letters tells of all": [sending.hide_dead_letter],
    "the books balance, whenever one looks": [sending.miscount_for_a_moment],
    "what is due is soon sent once all faults are over": [sending.fall_behind, sending.fall_behind_for_long],
    "no node uses more and more": [sending.leak_files, sending.leak_memory, sending.leak_threads, sending.never_copy_the_log],
    "no server ended by itself": [sending.give_up],
    "no secret is shown or logged": [sending.tell_secret],
    ENOUGH: [
        sending.spare, sending.idle, sending.interrupt_nothing, sending.time_nothing_out, sending.let_nothing_die, sending.let_nobody_be_gone, sending.never_repeat_a_key,
        sending.take_no_samples,
    ],
}  # fmt: skip
