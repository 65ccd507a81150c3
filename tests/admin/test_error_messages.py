"""Every documented error of an attempt has a message that says what to check."""

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader

from commerce_event.admin.error_messages import error_code_message, error_message, reason_message

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
TABLE = PAGE[PAGE.index("| error |") :].partition("\n\n")[0]
CODES = [code for row in re.findall(r"^\| (`.*?) \|", TABLE, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize("code", CODES)
def test_error_code_message_documented_code_has_its_own_text(code: str) -> None:
    assert len(CODES) > 20
    assert error_code_message(code) != code.replace("_", " ")


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (200, None, ""),
        (200, "truncated", "the body of the answer is incomplete"),
        (404, "http_404", "nothing is at this path: check the URL"),
        (418, "http_418", "the receiver rejected it"),
        (599, "http_599", "the receiver had an internal error"),
        (None, "a_new_one", "a new one"),
        (None, None, "no answer"),
    ],
)
def test_error_message_status_and_error_give_text(status: int | None, error: str | None, message: str) -> None:
    assert error_message(status, error) == message


@pytest.mark.parametrize(
    ("message", "sentence"),
    [("the host name has no address: is it spelled right?", "The host name has no address: is it spelled right?"),
     ("the body of the answer is incomplete", "The body of the answer is incomplete.")],
)  # fmt: skip
def test_full_sentence_message_ends_with_one_mark(message: str, sentence: str) -> None:
    parts: Any = Environment(loader=PackageLoader("commerce_event.admin"), autoescape=True).get_template(
        "admin/parts.html"
    )

    assert str(parts.module.full_sentence(message)) == sentence


def test_reason_message_known_and_missing_reason() -> None:
    assert reason_message("attempts_exhausted") == "every retry was used"
    assert reason_message(None) == ""
