"""Keeping the store small and honest: recount, retention, text index."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from commerce_event.core.clock import Clock, SystemClock
from commerce_event.store.port import Audit
from commerce_event.store.sqlite.sql import only, run

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TEXT_STEP: Final = 1024**2  # bytes of bodies in one step: writers wait that long
_WITH_IDS = ("event", "delivery", "endpoint", "api_key", "replay", "audit_entry")


def go_on_with_clock(connection: apsw.Connection, clock: SystemClock) -> None:
    """Let the clock show what the former process's would: the due times are meant by that one.

    Only since the same boot of the machine can the two be compared; after another the wall clock is believed.
    """
    boot = _boot_id()
    if boot and only(run(connection, "meta", ("boot",))) == boot:
        clock.go_on(only(run(connection, "meta", ("clock_ahead_ms",))))
    else:
        run(connection, "put_meta", ("boot", boot))
        run(connection, "put_meta", ("clock_ahead_ms", clock.ahead_ms))


def _boot_id() -> int:
    """Return a number that tells this run of the machine's kernel, and of monotonic time, from others; 0: not known."""
    try:
        text = _BOOT_ID.read_text()
    except OSError:
        return 0
    return int(text.replace("-", "")[:15], 16)


def begin_run(connection: apsw.Connection) -> int:
    """Note that a run has begun; return how many began after one that had not ended properly."""
    unclean = only(run(connection, "meta", ("unclean_starts",))) or 0
    unclean += only(run(connection, "meta", ("running",))) or 0
    run(connection, "put_meta", ("unclean_starts", unclean))
    run(connection, "put_meta", ("running", 1))
    return int(unclean)


def end_run(connection: apsw.Connection) -> None:
    """Note that the run ended properly."""
    run(connection, "put_meta", ("running", 0))


def shift_due(connection: apsw.Connection, by_ms: int, clock: Clock) -> None:
    """Take due times along with a clock that was set, and write down how it stands now."""
    run(connection, "shift_due", (by_ms,))
    if isinstance(clock, SystemClock):
        run(connection, "put_meta", ("clock_ahead_ms", clock.ahead_ms))


def audit(connection: apsw.Connection, *, after_id: int, limit: int) -> Audit:
    rows = list(run(connection, "audit", (after_id, limit)))
    wrong = tuple(event_id for event_id, matched, counted in rows if matched != counted)
    return Audit(len(rows), wrong, rows[-1][0] if len(rows) == limit else 0)


def oldest_ms(connection: apsw.Connection) -> int | None:
    found: int | None = only(run(connection, "oldest"))
    return found


def expired(connection: apsw.Connection, *, after_id: int, before_ms: int, limit: int) -> list[int]:
    """Return the oldest events past their time that no pending delivery needs, at most ``limit``."""
    found: list[int] = []
    for event_id, accepted_ms, pending in run(connection, "oldest_events", (after_id,)):
        if accepted_ms >= before_ms or len(found) == limit:
            break
        if not pending:
            found.append(event_id)
    return found


def delete(connection: apsw.Connection, event_ids: Sequence[int]) -> int:
    """Delete events with their deliveries, attempts and text, remembering that their ids were used."""
    run(connection, "raise_meta", (last_id(connection), "last_id"))
    unneeded = [event_id for event_id in event_ids if only(run(connection, "needed", (event_id,))) is None]
    for event_id in unneeded:
        for step in ("expire_attempts", "expire_deliveries", "expire_text", "expire_event"):
            run(connection, step, (event_id,))
    return len(unneeded)


def last_id(connection: apsw.Connection) -> int:
    newest = [only(connection.execute(f"SELECT max(id) FROM {table}")) or 0 for table in _WITH_IDS]
    return int(max(*newest, only(run(connection, "meta", ("last_id",)))))


def index_text(connection: apsw.Connection, limit: int) -> int:
    start = only(run(connection, "meta", ("text_indexed_to",)))
    window: list[int] = []
    size = 0
    for event_id, length in run(connection, "text_window", (start, limit)):
        window.append(event_id)
        size += length
        if size >= _TEXT_STEP:
            break
    if window:
        run(connection, "index_text", (start, window[-1]))
        run(connection, "raise_meta", (window[-1], "text_indexed_to"))
    return len(window)
