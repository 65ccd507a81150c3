"""Responses to requests that send changes: for one change, and for many."""

from typing import Literal

import msgspec

from commerce_event.changes.evaluation import ChangeAnswer
from commerce_event.core import ids
from commerce_event.core.changes.rules import PreviousFrom
from commerce_event.core.problems import Fault, Problem, ProblemBody


class ChangeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change that is stored durably, with the events it raised.

    ``waiting`` notifications are raised later; ``previous`` says what the change was compared with.
    """

    id: str
    duplicate: bool
    events: list[str]
    waiting: int = 0
    previous: PreviousFrom | None = None
    unmapped: str | None = None


class ChangeItemView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one change of a request with many. ``ignored`` ones change no row, such as a tombstone."""

    index: int
    status: int
    id: str | None = None
    duplicate: bool | None = None
    events: list[str] | None = None
    waiting: int = 0
    previous: PreviousFrom | None = None
    unmapped: str | None = None
    ignored: Literal[True] | None = None
    title: str | None = None
    detail: str | None = None
    errors: tuple[Fault, ...] = ()


class ChangeBatchView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The results of many changes, in their order. ``position`` is how far the source has been read now."""

    items: list[ChangeItemView]
    accepted: int
    duplicates: int
    refused: int
    position: str | None = None


class PositionProblem(ProblemBody, frozen=True, omit_defaults=True, kw_only=True):
    """The source is at another position than the sender expects."""

    position: str | None


def conflict_as_problem(answer: ChangeAnswer | Problem) -> ChangeAnswer | Problem:
    """Return the problem, 409, of an id that was used for another change; any other answer as it is."""
    if isinstance(answer, Problem) or answer.outcome != "conflict":
        return answer
    first = ids.encode("chg", answer.id)
    return Problem(409, f"This id was used for another change, {first}; choose a new id for a new change.")


def change_view(answer: ChangeAnswer | Problem) -> tuple[int, ChangeView]:
    """Return status and body of the answer for one change. Raises it when it is a problem."""
    if isinstance(answer, Problem):
        raise answer
    duplicate = answer.outcome == "duplicate"
    view = ChangeView(
        id=ids.encode("chg", answer.id),
        duplicate=duplicate,
        events=[ids.encode("evt", event_id) for event_id in answer.event_ids],
        waiting=answer.waiting,
        previous=None if duplicate else answer.previous_from,
        unmapped=answer.note,
    )
    return (200 if duplicate else 202), view


def item_view(index: int, answer: ChangeAnswer | Problem | None) -> ChangeItemView:
    """Return the result of one change of many: None for one that changes no row."""
    if answer is None:
        return ChangeItemView(index=index, status=200, ignored=True)
    try:
        status, view = change_view(answer)
    except Problem as problem:
        return ChangeItemView(
            index=index, status=problem.status, title=problem.title, detail=problem.detail, errors=problem.faults
        )
    return ChangeItemView(
        index=index,
        status=status,
        id=view.id,
        duplicate=view.duplicate,
        events=view.events,
        waiting=view.waiting,
        previous=view.previous,
        unmapped=view.unmapped,
    )


def batch_view(answers: list[ChangeAnswer | Problem | None], position: str | None = None) -> ChangeBatchView:
    """Return the results of many changes."""
    items = [item_view(index, answer) for index, answer in enumerate(answers)]
    statuses = [item.status for item in items]
    return ChangeBatchView(
        items=items,
        accepted=statuses.count(202),
        duplicates=sum(1 for item in items if item.duplicate),
        refused=sum(1 for status in statuses if status >= 400),
        position=position,
    )
