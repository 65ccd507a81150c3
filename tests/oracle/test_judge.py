"""The oracle is only worth something if it notices: each invariant is broken once, and must be named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import own_postgres, run
from ledger import Arrival, Ledger, judge

EVENTS = 40


def clean() -> Ledger:
    """A record in which nothing is wrong: one fault, and a repeat that it explains."""
    ledger = Ledger(wanted_paths=("/a", "/b"), forbidden_paths=("/no",), faults=[50.0])
    for number in range(1, EVENTS + 1):
        event_id = f"evt_{number}"
        ledger.acknowledged[number] = event_id
        ledger.sequences.append(number)
        for path in ledger.wanted_paths:
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
def test_a_short_run_on_each_engine_finds_nothing_broken(engine: str, tmp_path: Path) -> None:
    store = own_postgres(tmp_path) if engine == "postgres" else engine

    ledger, findings = run(store, 3, 40, 7, tmp_path)

    assert [(finding.invariant, finding.broken[:3]) for finding in findings if finding.broken] == []
    assert len(ledger.faults) >= 3
