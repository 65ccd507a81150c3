"""Whatever goes wrong becomes one kind of answer, and none of them tells of the inside."""

from pathlib import Path

import pytest
from msgspec import UNSET
from structlog.testing import capture_logs

from commerce_event.accept.errors import InvalidEventError, NotJsonError
from commerce_event.accept.intake import IntakeFullError
from commerce_event.api.problem_types import problem_types
from commerce_event.core.problems import TITLES, Fault, Problem, RejectedError, invalid, not_found, together
from commerce_event.http.asgi import encode
from commerce_event.http.problems import problem_of
from commerce_event.store.port import StoreBrokenError, StoreUnavailableError


def test_a_problem_stays_what_it_is() -> None:
    problem = Problem(409, "Twice.")
    assert problem_of(problem) is problem


def test_a_rejection_keeps_status_title_and_every_fault() -> None:
    faults = (Fault("/OrderId", "must be a whole number"), Fault("/a~1b", "is required"))
    body = problem_of(InvalidEventError("Breaks it.", faults)).body()
    assert (body.status, body.detail) == (422, "Breaks it.")
    assert [(each.pointer, each.message) for each in body.errors] == [
        ("/OrderId", "must be a whole number"),
        ("/a~1b", "is required"),
    ]


def test_the_type_tells_problems_apart_that_share_a_status() -> None:
    types = {problem_of(error).body().type for error in (NotJsonError("x"), Problem(400, "x"))}
    assert types == {"/problems/not-json", "/problems/bad-request"}


def test_detail_that_asks_ends_with_its_question_mark() -> None:
    asked = invalid("/type", "there is no event type 'Oder'; did you mean Order?")

    assert asked.detail.endswith("Order?")
    assert together([asked, invalid("/url", "is required")]).detail.endswith("Order? And 1 more fault.")


def test_errors_are_left_out_where_there_are_none() -> None:
    assert b"errors" not in encode(not_found("event").body())
    assert b'"errors":[{"parameter":"limit"' in encode(invalid("?limit", "too many").body())


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("the disk is full"), IntakeFullError("too much"), StoreBrokenError("page 7 is bad")]
)
def test_a_store_that_cannot_take_it_is_a_503_that_says_when_to_come_back(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.status == 503
    assert problem.headers == {"Retry-After": "1"}


def test_what_is_broken_inside_the_store_is_not_told() -> None:
    assert "page 7" not in problem_of(StoreBrokenError("page 7 is bad")).detail


def test_what_nobody_foresaw_is_logged_under_the_number_that_is_answered() -> None:
    with capture_logs() as logged:
        problem = problem_of(RuntimeError("the inside"))
    assert problem.status == 500
    assert "the inside" not in problem.detail
    (line,) = logged
    assert line["incident"] in problem.detail
    assert str(line["exc_info"]) == "the inside"


def test_every_status_has_a_title_of_its_own() -> None:
    assert len(set(TITLES.values())) == len(TITLES)


def test_every_problem_that_there_is_is_explained_by_the_server_and_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
    titles = {*TITLES.values(), *(each.TITLE for each in RejectedError.__subclasses__())}

    assert {each.title for each in problem_types().values()} == titles
    for name, each in problem_types().items():
        assert each.type == f"/problems/{name}"
        assert f"| `{name}` | {each.status} | {each.meaning} | {each.remedy} |" in page


def test_faults_of_several_places_are_told_together() -> None:
    body = together([invalid("/url", "it is no URL"), invalid("?limit", "too many"), invalid("/a", "no")]).body()

    assert body.detail == "It is no URL, and 2 more faults."
    assert [(fault.pointer, fault.parameter) for fault in body.errors] == [
        ("/url", UNSET), (UNSET, "limit"), ("/a", UNSET),
    ]  # fmt: skip
