"""Texts of the core become sentences on the screens."""

from typing import Any

import pytest
from jinja2 import Environment, PackageLoader


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("the host name has no address: is it spelled right?", "The host name has no address: is it spelled right?"),
     ("the body of the answer is incomplete", "The body of the answer is incomplete.")],
)  # fmt: skip
def test_full_sentence_text_ends_with_one_mark(text: str, sentence: str) -> None:
    parts: Any = Environment(loader=PackageLoader("commerce_event.admin"), autoescape=True).get_template(
        "admin/parts.html"
    )

    assert str(parts.module.full_sentence(text)) == sentence
