"""The condition of a change source's reader, by its last report."""

from typing import Any

import pytest

from commerce_event.admin.source_condition import SILENT_MS, source_condition
from commerce_event.api.change_sources import ReaderView
from commerce_event.core.clock import rfc3339

NOW_MS = 1_800_000_000_000


def reader(state: Any, *, silent_ms: int = 0) -> ReaderView:
    return ReaderView(
        state=state, message=None, lag_bytes=None, lag_ms=None, retained_bytes=None, reported_by=None,
        reported_at=rfc3339(NOW_MS - silent_ms),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "silent_ms", "word", "tone", "needs_attention"),
    [
        ("running", 0, "running", "good", False),
        ("running", SILENT_MS, "running", "good", False),
        ("running", SILENT_MS + 1, "silent", "bad", True),
        ("waiting", 0, "waiting", "wait", False),
        ("waiting", SILENT_MS + 1, "silent", "bad", True),
        ("failing", SILENT_MS + 1, "failing", "bad", True),
        ("slot_lost", SILENT_MS + 1, "slot lost", "bad", True),
        ("stopped", SILENT_MS + 1, "stopped", "", False),
    ],
)
def test_source_condition_is_that_of_the_last_report(
    state: Any, silent_ms: int, word: str, tone: str, needs_attention: bool
) -> None:
    found = source_condition("crm", reader(state, silent_ms=silent_ms), NOW_MS)

    assert (found.word, found.tone, found.needs_attention) == (word, tone, needs_attention)


def test_source_condition_without_a_report_needs_no_attention() -> None:
    found = source_condition("crm", None, NOW_MS)

    assert (found.word, found.needs_attention) == ("no reader", False)


def test_source_condition_of_a_lost_slot_says_every_command() -> None:
    commands = [command for _, command in source_condition("crm", reader("slot_lost"), NOW_MS).commands]

    assert [command.split("--source crm ")[1] for command in commands] == [
        "--setup",
        "--accept-gap",
        "--backfill TABLE",
    ]
