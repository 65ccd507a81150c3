"""Text that a receiver sent is read as UTF-8 where it is UTF-8."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.receiver_text import receiver_text, without_cut_character


@pytest.mark.parametrize(
    ("raw", "text"), [(b"", ""), ("Malmö 京 😀".encode(), "Malmö 京 😀"), ("Malmö".encode("latin-1"), "Malmö")]
)
def test_receiver_text_is_utf_8_or_else_latin_1(raw: bytes, text: str) -> None:
    assert receiver_text(raw) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 60))
def test_without_cut_character_leaves_whole_characters_and_loses_one_at_most(text: str, length: int) -> None:
    cut = text.encode()[:length]
    kept = without_cut_character(cut)
    assert text.startswith(kept.decode())
    assert cut.startswith(kept)
    assert len(cut) - len(kept) < 4


@given(st.binary(max_size=60))
def test_without_cut_character_takes_any_bytes(raw: bytes) -> None:
    kept = without_cut_character(raw)
    assert raw.startswith(kept)
    assert len(raw) - len(kept) < 4
