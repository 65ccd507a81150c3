"""Words of a search: what is equal, where a word begins and ends, and where a text was found."""

import sys
import unicodedata
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commerce_event.core import search_words
from commerce_event.core.search_words import entry, find_span, fold, no_result_message, wanted, words

LETTERS = [chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000]
TEXT = st.text(st.sampled_from("aZ09 -'_.™®ßıİøłÅé北京市กรุงเทพ한국がーﬁ½٣Ⅳ\u0301\u00ad\u200b😀ŉ")) | st.text()


def is_found(query: str, text: str) -> bool:
    return bool(wanted(query)) and wanted(query) in entry(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SO10023", ["so", "10023"]),
        ("SO-10023", ["so", "10023"]),
        ("so 10023", ["so", "10023"]),
        ("A1b2_C3", ["a", "1", "b", "2", "c", "3"]),
        ("12.50", ["12", "50"]),
        ("Yıldız İŞ", ["yildiz", "is"]),
        (
            "Sørensen Łukasz Đuro Ærø Þór Œuvre Straße",
            ["sorensen", "lukasz", "duro", "aero", "thor", "oeuvre", "strasse"],
        ),
        ("Acme™ Shoes®", ["acme", "shoes"]),
        ("O'Brien O’Brien Oʼzbek", ["o", "brien", "o", "brien", "o", "zbek"]),
        ("ＳＯ１００２３ ٣", ["so", "10023", "3"]),
        ("Wunder\u00adbar", ["wunderbar"]),
        ("Ångström A\u030angstro\u0308m", ["angstrom", "angstrom"]),
        ("北京市A1", ["北京", "京市", "市", "a", "1"]),
        ("北京・上海", ["北京", "京", "上海", "海"]),
        ("東京タワーに", ["東京", "京タ", "タワ", "ワー", "ーに", "に"]),
        ("กทม", ["กท", "ทม", "ม"]),
        ("ab北cd", ["ab", "北", "cd"]),
        ("x\U000109bc2 ፩ Ⅳ ½", ["x\U000109bc", "2", "፩", "iv", "1", "2"]),
        ("-–_™ 😀", []),
        ("", []),
    ],
)
def test_words_of_a_text_are_folded_and_part_letters_from_digits(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("10023", "SO10023"), ("SO-10023", "SO10023"), ("SO 10023", "SO10023"), ("SO10023", "SO-10023"),
        ("SO10023", "SO 10023"), ("SO100", "SO10023"), ("so1", "SO-10023"), ("YILDIZ", "Yıldız"), ("yıldız", "YILDIZ"),
        ("Sorensen", "Sørensen"), ("Sørensen", "SORENSEN"), ("Lukasz", "Łukasz"), ("acme shoes", "Acme™ Shoes"),
        ("Acme™ Shoes", "acme shoes"), ("京市", "北京市"), ("市", "北京市"), ("北京", "北京市"), ("北京市", "北京市"),
        ("京市東", "北京市東城区"), ("x\U000109bc", "X\U000109bc 2"), ("STRASSE", "Straße"), ("straß", "STRASSE"), ("한", "한국"),
    ],
)  # fmt: skip
def test_query_finds_the_same_words_written_differently(query: str, text: str) -> None:
    assert is_found(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SO 10023", "SO 1 and 10023"), ("SO 10023", "10023 SO"), ("SO10023", "SO1002"), ("0023", "SO10023"),
        ("O10023", "SO10023"), ("北市", "北京市"), ("京北", "北京"), ("acme tm", "Acme™"), ("---", "---"),
    ],
)  # fmt: skip
def test_query_does_not_find_other_words(query: str, text: str) -> None:
    assert not is_found(query, text)


def test_fold_of_every_letter_is_final_and_its_case_and_marks_do_not_matter() -> None:
    folded = {letter: fold(letter) for letter in LETTERS}
    assert [letter for letter, text in folded.items() if fold(text) != text] == []
    assert [letter for letter, text in folded.items() if fold(letter.casefold()) != text] == []
    assert [
        letter for letter, text in folded.items() if any(unicodedata.category(each)[0] == "M" for each in text)
    ] == []


@given(TEXT)
@example("ΐŉ½\u0345")
def test_fold_is_idempotent_and_goes_letter_by_letter(text: str) -> None:
    assert fold(fold(text)) == fold(text) == "".join(map(fold, text))
    assert words(fold(text)) == words(text)


@given(TEXT)
@example("a\U000109bc ፩1")
def test_words_are_letters_or_digits_without_spaces(text: str) -> None:
    for word in words(text):
        assert word.isalnum()
        assert word.isdecimal() or not any(letter.isdecimal() for letter in word), word
        assert word == fold(word)


@given(TEXT, st.data())
def test_text_is_found_by_any_of_its_words_and_any_row_of_them(text: str, data: st.DataObject) -> None:
    found = words(text)
    assert [word for word in found if not is_found(word, text)] == []
    if found:
        start = data.draw(st.integers(0, len(text) - 1))
        assert is_found(text, text)
        assert is_found(text, f"x {text} y") or not wanted(text)
        assert words(text[start:]) == [] or is_found(text[start:], text) or not text[start - 1 : start].isspace()


@given(st.text(st.sampled_from("北京市東城区タワー"), min_size=1), st.data())
def test_any_part_of_a_text_without_spaces_finds_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    assert is_found(text[start : data.draw(st.integers(start + 1, len(text)))], text)


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("SO10023", "10023", "10023"), ("see SO-10023.", "so10023", "SO-10023"), ("Hr Yıldız", "YIL", "Yıl"),
        ("Åsa\u030a Lind", "asa lind", "Åsa\u030a Lind"), ("北京市", "京市", "京市"), ("Berlin Lind", "lin", "Lin"),
        ("X110023 10023", "10023", "10023"), ("Straße", "strass", "Straß"), ("plain", "none", None), ("plain", "-", None),
    ],
)  # fmt: skip
def test_find_span_returns_the_place_in_the_text_as_it_was_written(text: str, query: str, expected: str | None) -> None:
    span = find_span(text, query)
    assert (None if span is None else text[slice(*span)]) == expected


@given(TEXT, TEXT)
def test_find_span_is_within_the_text(text: str, query: str) -> None:
    start, end = find_span(text, query) or (0, len(text))
    assert 0 <= start <= end <= len(text)


def test_no_result_message_says_what_was_searched_and_what_to_try() -> None:
    plain, filtered = (no_result_message("SO-1", is_filtered=is_filtered) for is_filtered in (False, True))
    assert "“SO-1”" in plain
    assert "filters" not in plain
    assert "remove filters" in filtered
    assert "accepted" not in plain + filtered


def test_fold_decomposes_letter_by_letter() -> None:
    """Unicode sorts the marks of a letter: with 100,000 of two kinds, that took a minute in which nothing else ran."""
    text = "e" + "\u0301\u0323" * 60_000
    with patch.object(unicodedata, "normalize", wraps=unicodedata.normalize) as normalize:
        assert fold(text) == "e"
        assert fold("é" + chr(0x1D400) * 3) == "eaaa"
    assert max((len(call.args[1]) for call in normalize.call_args_list), default=0) <= 1


def test_fold_keeps_the_folded_forms_of_common_letters_only() -> None:
    for letter in LETTERS[0x10000 - 2048 :: 97]:
        fold(letter)
    assert max(search_words._FOLDED) <= 0xFFFF
