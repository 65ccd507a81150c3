"""Show forwarded events and their answers: a line each, in colours on a terminal, or JSON Lines."""

import json
import sys
import time
from typing import Any, Final

import msgspec
from rich.text import Text

from commerce_event.cli.event_stream import FollowedEvent
from commerce_event.cli.output import as_json_text, clean, console, print_line
from commerce_event.contract.labels import label_of
from commerce_event.core.clock import rfc3339
from commerce_event.core.delivery import Outcome
from commerce_event.receiver_check.reasons import reason_of

_TYPE_WIDTH: Final = 36
_SUBJECT_WIDTH: Final = 24


class Result(msgspec.Struct, frozen=True):
    """How the local program answered an event: the attempt, and the cause in words unless it succeeded."""

    attempt: int
    outcome: Outcome
    cause: str | None


class Display:
    """Writes events to standard output, and sentences to standard error."""

    def __init__(self, *, as_json: bool, with_bodies: bool) -> None:
        self._as_json = as_json
        self._with_bodies = with_bodies
        self._out = console()

    def say(self, sentence: str) -> None:
        line = clean(sentence)
        print(f"{line}{'' if line.endswith(('.', '?', '…')) else '.'}", file=sys.stderr, flush=True)

    def secret(self, secret: str) -> None:
        """Show a secret that was made for this session: on a line that can be copied."""
        print(f"Signing secret of this session: {secret}", file=sys.stderr)
        self.say("Set it in your program, or sign with the program's own: --secret, or COMMERCE_EVENT_SECRET")

    def typed(self, text: str) -> None:
        """Show what a person has typed."""
        print(text, end="", file=sys.stderr, flush=True)

    def event(self, number: int, event: FollowedEvent, result: Result | None) -> None:
        """Show an event with its number in this session, and what became of it; None: it was not sent."""
        if self._as_json:
            print_line(self._as_object(number, event, result))
            return
        line = Text(time.strftime("%H:%M:%S "))
        line.append(f"{f'#{number}':>5}  ", "dim")
        line.append(f"{clean(event.type):<{_TYPE_WIDTH}}", "bold")
        line.append(f"  {clean(_subject(event)):<{_SUBJECT_WIDTH}}")
        if result is not None:
            _append_result(line, result)
        line.rstrip()
        self._out.print(line)
        if self._with_bodies:
            self._out.print(Text(as_json_text(_decoded(event.data), indent=2)))

    def _as_object(self, number: int, event: FollowedEvent, result: Result | None) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "number": number,
            "id": event.id,
            "sequence": event.sequence,
            "type": event.type,
            "client_id": event.client_id,
            "subject": _subject(event),
            "accepted_at": event.accepted_at,
        }
        if result is not None:
            shown |= {
                "attempt": result.attempt,
                "sent_at": rfc3339(result.outcome.started_ms),
                "status": result.outcome.status,
                "duration_ms": round(result.outcome.duration_ms, 1),
                "error": result.outcome.error,
                "cause": result.cause,
                "answer": None if result.outcome.delivered else reason_of(result.outcome.response_body),
            }
        return {**shown, "data": _decoded(event.data)} if self._with_bodies else shown


def _append_result(line: Text, result: Result) -> None:
    outcome = result.outcome
    colour = (
        "green" if outcome.delivered else "yellow" if outcome.status is not None and outcome.status < 500 else "red"
    )
    line.append(f"  {'no answer' if outcome.status is None else outcome.status}", f"bold {colour}")
    line.append(f"  {outcome.duration_ms:,.0f} ms")
    if result.attempt > 1:
        line.append(f"  attempt {result.attempt}", "dim")
    if result.cause is not None:
        line.append(f"  {clean(result.cause)}", colour)
        answer = clean(reason_of(outcome.response_body))
        if answer:
            line.append(f"; it says: {answer}", colour)


def _subject(event: FollowedEvent) -> str:
    """Return what people call the subject of an event, such as ``Order SO-10023``."""
    return label_of(event.type, bytes(event.data)).text


def _decoded(data: msgspec.Raw) -> Any:
    """Return a body as JSON, or as text when it cannot be read."""
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError):
        return bytes(data).decode(errors="replace")
