"""Masking of an endpoint's secrets in answers, however many words its headers have and whatever the answer is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core.model import Endpoint
from commerce_event.deliver.connection import BODY_KEPT, VALUE_KEPT
from commerce_event.deliver.redaction import MASK, Redactor


def redactor(**headers: str) -> Redactor:
    return Redactor(
        Endpoint(id=1, client_id=1, url="https://a.example/", event_types=("*",), secrets=(), headers=headers)
    )


def words(count: int, beginning: str = "") -> list[str]:
    return [f"{beginning}{number:07d}-word" for number in range(count)]


def test_redactor_with_thousands_of_words_masks_those_that_occur() -> None:
    many = redactor(a=" ".join(words(900)), b=" ".join(words(900, "b")))

    assert many.headers((("x", "no words"), ("y", "b0000899-word!"))) == (("x", "no words"), ("y", "***!"))
    assert many.body(b'{"token":"0000017-word"}') == b'{"token":"***"}'
    assert many.body(b"0000017-wor") == b"0000017-wor"


def test_redactor_with_words_that_begin_alike_masks_the_longest() -> None:
    many = redactor(a=" ".join([*words(100), "beginning", "beginning-1", "beginning-12"]))

    assert many.body(b"beginning-12 beginning-1 beginning beginnin") == b"*** *** *** beginnin"


def test_redactor_with_very_many_words_in_one_answer_shows_nothing_of_it() -> None:
    many = redactor(a=" ".join(words(300)))
    echoed = " ".join(words(300))[1:]  # not the whole value, which would be one mask

    assert many.headers((("x", echoed), ("y", "public"))) == ((MASK, MASK),)
    alike = redactor(a=" ".join(f"beginning{number}" for number in range(300)))
    assert alike.body(b"beginning") == MASK.encode()


def test_redactor_with_cut_text_of_many_beginnings_masks_from_the_last_place_tried() -> None:
    one = redactor(a="a" * VALUE_KEPT + "b" * 4)

    [(_, shown)] = one.headers((("x", "a" * VALUE_KEPT),))
    assert shown == MASK
    [(_, shown)] = one.headers((("x", "a" * (VALUE_KEPT - 1) + "c"),))
    assert len(shown) < 300
    assert shown.endswith(MASK)


def test_redactor_with_line_end_in_a_query_value_keeps_headers_apart() -> None:
    endpoint = Endpoint(
        id=1, client_id=1, url="https://a.example/?q=first%0Asecond", event_types=("*",), secrets=(), headers={}
    )

    answered = (("x-first", "first"), ("second", "third"))
    assert Redactor(endpoint).headers(answered) == answered
    assert Redactor(endpoint).body(b"first\nsecond") == MASK.encode()


@given(
    values=st.lists(st.text("ab", min_size=8, max_size=12), min_size=1, max_size=100),
    text=st.text("ab ", max_size=200),
    padding=st.booleans(),
)
@settings(deadline=None)
def test_redactor_leaves_no_value_whatever_the_number_of_words(values: list[str], text: str, padding: bool) -> None:
    more = words(100) if padding else []
    shown = redactor(a=" ".join([*values, *more])).body(text.encode()).decode()

    assert not any(value in shown for value in values)
    assert shown == text or MASK in shown
    assert len(shown) <= BODY_KEPT
