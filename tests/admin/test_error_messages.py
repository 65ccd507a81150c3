"""Every error of an attempt that the documentation names has words that say where to look."""

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader

from commerce_event.admin.error_messages import error_in_words, in_words, reason_in_words

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
TABLE = PAGE[PAGE.index("| error |") :].partition("\n\n")[0]
CODES = [code for row in re.findall(r"^\| (`.*?) \|", TABLE, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize("code", CODES)
def test_documented_error_has_words_of_its_own(code: str) -> None:
    assert len(CODES) > 20
    assert error_in_words(code) != code.replace("_", " ")


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (200, None, ""),
        (200, "truncated", "its body broke off"),
        (404, "http_404", "nothing is at this path: look at the URL"),
        (418, "http_418", "the receiver did not take it"),
        (599, "http_599", "the receiver failed inside"),
        (None, "a_new_one", "a new one"),
        (None, None, "no answer"),
    ],
)
def test_answer_is_told_in_words(status: int | None, error: str | None, words: str) -> None:
    assert in_words(status, error) == words


@pytest.mark.parametrize(
    ("words", "shown"),
    [("the host name has no address: is it spelled right?", "The host name has no address: is it spelled right?"),
     ("its body broke off", "Its body broke off.")],
)  # fmt: skip
def test_words_are_shown_as_a_sentence_that_ends_once(words: str, shown: str) -> None:
    parts: Any = Environment(loader=PackageLoader("commerce_event.admin"), autoescape=True).get_template(
        "admin/parts.html"
    )

    assert str(parts.module.full_sentence(words)) == shown


def test_reason_of_a_dead_delivery_is_told_in_words() -> None:
    assert reason_in_words("attempts_exhausted") == "every retry was used up"
    assert reason_in_words(None) == ""
