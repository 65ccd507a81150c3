"""The condition of a change source's reader: a word, a tone, what it means and what to do."""

from typing import Final

import msgspec

from commerce_event.admin.number_format import duration
from commerce_event.api.change_sources import ReaderState, ReaderView
from commerce_event.core.clock import parse_rfc3339

SILENT_MS: Final = 120_000  # without a report from a reader that should run

_START: Final = "Start it:"
_TONES: Final[dict[ReaderState, str]] = {
    "running": "good", "waiting": "wait", "failing": "bad", "slot_lost": "bad", "stopped": "",
}  # fmt: skip
_TEXTS: Final[dict[ReaderState, str]] = {
    "running": "It follows the database.",
    "waiting": "It cannot reach the database or this server, and tries again by itself.",
    "failing": "It cannot continue until you correct what its message says.",
    "slot_lost": "Its replication slot is gone, so changes since the last position may be missing.",
    "stopped": "It was stopped; changes wait in the database until it is started again.",
}


class SourceCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the reader of a source. ``needs_attention``: a person has to do something."""

    word: str
    tone: str
    text: str
    needs_attention: bool
    commands: tuple[tuple[str, str], ...] = ()  # each with what it does


def source_condition(name: str, reader: ReaderView | None, now_ms: int) -> SourceCondition:
    """Return the condition of the source's reader, by its last report."""
    start = f"commerce-event capture postgresql://USER@HOST/DATABASE --source {name}"
    if reader is None:
        text = "No reader has reported. Its changes are sent to it, or its reader was not started yet."
        return SourceCondition(word="no reader", tone="", text=text, needs_attention=False, commands=((_START, start),))
    silent_ms = now_ms - parse_rfc3339(reader.reported_at)
    if reader.state in {"running", "waiting"} and silent_ms > SILENT_MS:
        text = f"It has not reported for {duration(silent_ms / 1000)}. Check that it still runs, or start it again."
        return SourceCondition(word="silent", tone="bad", text=text, needs_attention=True, commands=((_START, start),))
    return SourceCondition(
        word=reader.state.replace("_", " "),
        tone=_TONES[reader.state],
        text=_TEXTS[reader.state],
        needs_attention=reader.state in {"failing", "slot_lost"},
        commands=_commands(reader.state, start),
    )


def _commands(state: ReaderState, start: str) -> tuple[tuple[str, str], ...]:
    """Return the commands that make the reader run again."""
    if state == "slot_lost":
        return (
            ("Make a new slot:", f"{start} --setup"),
            ("Follow from there on:", f"{start} --accept-gap"),
            ("Send the rows of each table again, as last known values:", f"{start} --backfill TABLE"),
        )
    return ((_START, start),) if state in {"failing", "stopped"} else ()
