"""Every error becomes a problem (RFC 9457), and none reveals internals."""

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


def test_problem_of_a_problem_is_the_same() -> None:
    problem = Problem(409, "Twice.")
    assert problem_of(problem) is problem


def test_problem_of_a_rejected_error_keeps_status_title_and_faults() -> None:
    faults = (Fault("/OrderId", "must be a whole number"), Fault("/a~1b", "is required"))
    body = problem_of(InvalidEventError("Breaks it.", faults)).body()
    assert (body.status, body.detail) == (422, "Breaks it.")
    assert [(each.pointer, each.message) for each in body.errors] == [
        ("/OrderId", "must be a whole number"),
        ("/a~1b", "is required"),
    ]


def test_problem_type_differs_for_titles_with_the_same_status() -> None:
    types = {problem_of(error).body().type for error in (NotJsonError("x"), Problem(400, "x"))}
    assert types == {"/problems/not-json", "/problems/bad-request"}


def test_invalid_detail_that_is_a_question_ends_with_its_question_mark() -> None:
    asked = invalid("/type", "there is no event type 'Oder'; did you mean Order?")

    assert asked.detail.endswith("Order?")
    assert together([asked, invalid("/url", "is required")]).detail.endswith("Order? And 1 more fault.")


def test_problem_body_without_faults_has_no_errors() -> None:
    assert b"errors" not in encode(not_found("event").body())
    assert b'"errors":[{"parameter":"limit"' in encode(invalid("?limit", "too many").body())


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("the disk is full"), IntakeFullError("too much"), StoreBrokenError("page 7 is bad")]
)
def test_problem_of_store_unavailable_is_503_with_retry_after(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.status == 503
    assert problem.headers == {"Retry-After": "1"}


def test_problem_of_a_broken_store_hides_its_details() -> None:
    assert "page 7" not in problem_of(StoreBrokenError("page 7 is bad")).detail


def test_problem_of_an_unexpected_error_is_500_and_logs_the_incident() -> None:
    with capture_logs() as logged:
        problem = problem_of(RuntimeError("the inside"))
    assert problem.status == 500
    assert "the inside" not in problem.detail
    (line,) = logged
    assert line["incident"] in problem.detail
    assert str(line["exc_info"]) == "the inside"


def test_titles_differ_by_status() -> None:
    assert len(set(TITLES.values())) == len(TITLES)


def test_problem_types_are_all_explained_by_the_server_and_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
    titles = {*TITLES.values(), *(each.TITLE for each in RejectedError.__subclasses__())}

    assert {each.title for each in problem_types().values()} == titles
    for name, each in problem_types().items():
        assert each.type == f"/problems/{name}"
        assert f"| `{name}` | {each.status} | {each.meaning} | {each.remedy} |" in page


def test_together_joins_the_faults_of_several_problems() -> None:
    body = together([invalid("/url", "it is no URL"), invalid("?limit", "too many"), invalid("/a", "no")]).body()

    assert body.detail == "It is no URL, and 2 more faults."
    assert [(fault.pointer, fault.parameter) for fault in body.errors] == [
        ("/url", UNSET), (UNSET, "limit"), ("/a", UNSET),
    ]  # fmt: skip
