"""The oracle is only worth something if it notices: each invariant is broken once, and must be named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import run
from disk import can_mount
from faults import possible
from ledger import Arrival, Fault, Ledger, judge

EVENTS = 40


def clean() -> Ledger:
    """A record in which nothing is wrong: one fault, and a repeat that it explains."""
    ledger = Ledger(
        wanted_paths=("/a", "/b"),
        application_paths=("/first", "/second"),
        forbidden_paths=("/no",),
        faults=[Fault("kill", 50.0, 50.0)],
        faults_wanted=("kill",),
        first_delay_s=0.1,
    )
    for number in range(1, EVENTS + 1):
        event_id = f"evt_{number}"
        ledger.acknowledged[number] = event_id
        ledger.sequences.append(number)
        for path in ("/a", "/b", "/first" if number % 2 == 0 else "/second"):
            ledger.arrivals.append(
                Arrival(float(number), path, event_id, number, True, 503 if number % 7 == 0 else 200)
            )
            if number % 7 == 0:
                ledger.arrivals.append(Arrival(number + 0.5, path, event_id, number, True, 200))
            ledger.states[event_id, path] = "delivered"
    ledger.arrivals += [Arrival(49.9, "/a", "evt_40", 40, True, 200), Arrival(51.0, "/a", "evt_40", 40, True, 200)]
    ledger.arrivals = [a for a in ledger.arrivals if not (a.event_id == "evt_40" and a.path == "/a" and a.at == 40.0)]
    return ledger


def broken_by(change: Callable[[Ledger], None]) -> set[str]:
    ledger = clean()
    change(ledger)
    return {finding.invariant for finding in judge(ledger, repeat_window_s=2.0) if finding.broken}


def lose(ledger: Ledger) -> None:
    ledger.arrivals = [a for a in ledger.arrivals if (a.event_id, a.path) != ("evt_5", "/b")]
    ledger.states["evt_5", "/b"] = "cancelled"


def misroute(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(1.0, "/no", "evt_1", 1, True, 404))


def invent(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(1.0, "/a", "evt_9000", 9000, True, 404))


def rename(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(1.0, "/a", "evt_other", 1, True, 503))


def merge(ledger: Ledger) -> None:
    ledger.acknowledged[2] = "evt_1"


def unsign(ledger: Ledger) -> None:
    ledger.arrivals[0] = replace(ledger.arrivals[0], signed=False)


def insist(ledger: Ledger) -> None:
    ledger.arrivals += [Arrival(3.0, "/a", "evt_3", 3, True, 503)] * 18


def boast(ledger: Ledger) -> None:
    ledger.arrivals = [replace(a, status=500) if a.event_id == "evt_4" else a for a in ledger.arrivals]


def double(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(9.0, "/a", "evt_8", 8, True, 200))


def skip(ledger: Ledger) -> None:
    ledger.sequences[10:] = [number + 1 for number in ledger.sequences[10:]]


def forget(ledger: Ledger) -> None:
    ledger.sequences.pop()


def misdirect(ledger: Ledger) -> None:
    ledger.arrivals.append(Arrival(1.0, "/first", "evt_1", 1, True, 404))


def hurry(ledger: Ledger) -> None:
    ledger.arrivals += [Arrival(at, "/a", "evt_3", 3, True, 503) for at in (3.0, 3.05)]


def give_up(ledger: Ledger) -> None:
    ledger.ended_by_itself.append("only after kill")


def spare(ledger: Ledger) -> None:
    ledger.faults_wanted = ("kill", "pause")


def miscount(ledger: Ledger) -> None:
    ledger.balanced = False


def dawdle(ledger: Ledger) -> None:
    ledger.pending = 3


def idle(ledger: Ledger) -> None:
    ledger.faults = ledger.faults * 10


def test_clean_record_raises_no_alarm() -> None:
    assert broken_by(lambda _: None) == set()


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        (lose, "every acknowledged event arrived, or is visibly dead"),
        (misroute, "no event reached an endpoint that did not want it"),
        (invent, "nothing arrived that was not published"),
        (rename, "an event keeps the id that it was acknowledged with"),
        (merge, "an event keeps the id that it was acknowledged with"),
        (unsign, "every request is signed"),
        (insist, "no more attempts than the policy has"),
        (misdirect, "no event reached an endpoint that did not want it"),
        (hurry, "no retry came before its time"),
        (give_up, "no server ended by itself"),
        (spare, "enough happened to judge by"),
        (boast, "what is recorded as delivered was answered with 2xx"),
        (double, "repeats only where a fault explains them"),
        (skip, "the client's sequence has no gap"),
        (forget, "the client's sequence has no gap"),
        (miscount, "the books balance and nothing is pending"),
        (dawdle, "the books balance and nothing is pending"),
        (idle, "enough happened to judge by"),
    ],
)
def test_each_breach_is_noticed_and_named(change: Callable[[Ledger], None], invariant: str) -> None:
    assert invariant in broken_by(change)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_one_fault_of_each_kind_breaks_nothing_on_either_engine(engine: str, tmp_path: Path) -> None:
    faults = possible(with_database=engine == "postgres", with_disk=can_mount())

    _, findings = run(engine, faults, len(faults), 40, 7, tmp_path)

    assert [(finding.invariant, finding.broken[:3]) for finding in findings if finding.broken] == []
