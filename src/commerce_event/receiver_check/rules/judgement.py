"""Verdicts that several rules share."""

from collections.abc import Sequence

from commerce_event.receiver_check.model import PASSED, Answer, Verdict, failed, warned


def accepted(what: str, answer: Answer) -> Verdict:
    """Pass when the answer is 2xx."""
    return PASSED if answer.is_success else failed(f"{what} {answer}")


def refused(attempts: Sequence[tuple[str, Answer]], expected: str) -> Verdict:
    """Pass when every answer is 4xx; ``expected`` is the status that says best why. Another refusal is a warning."""
    verdict = PASSED
    for what, answer in attempts:
        if answer.is_success:
            return failed(f"{what} {answer}")
        if not answer.is_client_error:
            verdict = warned(f"{what} {answer}; it is not accepted, but {expected} says why")
    return verdict
