"""What rules are made of: requests and answers, the steps a rule asks for, and its result.

A rule is a generator: it yields steps, gets what came of each, and returns a verdict. So it needs no socket itself.
"""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from commerce_event.receiver_check.requests import RequestMaker

State = Literal["passed", "warned", "failed", "skipped"]
Needs = Literal["nothing", "secret", "static_header"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, and counts, that the rules use."""

    answer_s: float = 5.0  # the sender waits this long for an answer
    slow_body_s: float = 3.0  # how long the slow body takes
    at_once: int = 50
    repeats_at_once: int = 10
    settle_s: float = 1.0  # the number of effects must stay the same for this long
    effects_s: float = 10.0  # an effect must be counted within this time
    restart_s: float = 60.0  # a restarted receiver must accept connections within this time

    @property
    def fast_s(self) -> float:
        """What an answer may take, so that a busy hour does not exceed the limit."""
        return self.answer_s / 2


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. Its body is sent in small pieces over ``send_s`` seconds; 0: at once."""

    method: str = "POST"
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    send_s: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: a status, or ``error`` without an answer. ``reason`` is what the body says, on one line."""

    status: int | None = None
    duration_s: float
    reason: str = ""
    error: str = ""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def is_client_error(self) -> bool:
        return self.status is not None and 400 <= self.status <= 499

    def __str__(self) -> str:
        if self.status is None:
            return f"got no answer: {self.error}"
        reason = f" ({self.reason})" if self.reason else ""
        return f"was answered {self.status}{reason} after {self.duration_s * 1000:.0f} ms"


class Send(msgspec.Struct, frozen=True):
    """Send these requests, all at once. The result is a list of answers in the same order."""

    requests: tuple[Request, ...]


class CountEffects(msgspec.Struct, frozen=True):
    """Count the effects of events, once the number stays the same. With ``more_than``, wait for a larger number first.

    The result is the number, or None when effects cannot be counted.
    """

    more_than: int | None = None


class Restart(msgspec.Struct, frozen=True):
    """Restart the receiver and wait until it accepts connections. The result is None, or why it was not restarted."""


Step: TypeAlias = Send | CountEffects | Restart


class Verdict(msgspec.Struct, frozen=True):
    """How a rule ended, and why."""

    state: State
    reason: str = ""


Plan: TypeAlias = Generator[Step, Any, Verdict]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, what must be true, and how to repair it. ``needs`` is what the sender must have for the rule."""

    name: str
    sends: str
    requires: str
    fix: str
    plan: "Callable[[RequestMaker], Plan]"
    needs: Needs = "nothing"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule ended."""

    rule: Rule
    verdict: Verdict
    duration_s: float
    answers: Sequence[Answer] = ()


def send(request: Request) -> Generator[Step, Any, Answer]:
    """Send one request from a plan."""
    answers: list[Answer] = yield Send((request,))
    return answers[0]


def send_all(requests: Sequence[Request]) -> Generator[Step, Any, list[Answer]]:
    """Send requests at once from a plan."""
    answers: list[Answer] = yield Send(tuple(requests))
    return answers


def count_effects(more_than: int | None = None) -> Generator[Step, Any, int | None]:
    """Count effects from a plan."""
    number: int | None = yield CountEffects(more_than)
    return number


PASSED: Final = Verdict("passed")


def failed(reason: str) -> Verdict:
    return Verdict("failed", reason)


def warned(reason: str) -> Verdict:
    return Verdict("warned", reason)


def skipped(reason: str) -> Verdict:
    return Verdict("skipped", reason)
