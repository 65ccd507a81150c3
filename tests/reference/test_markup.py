"""Code on the page is the code itself, and the request that it shows is truly signed."""

import base64
import hashlib
import hmac
import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.retry import DEFAULT_SCHEDULE_S, parse_duration
from commerce_event.reference import receiving
from commerce_event.reference.markup import code, prose
from commerce_event.reference.samples import SAMPLES, Sample
from commerce_event.web.pages import breakable

LANGUAGES = ("python", "javascript", "csharp", "java", "php", "go", "shell", "cobol")


def plain(markup: str) -> str:
    """Return what a reader sees of it; only our own tags may be in it."""
    return html.unescape(re.sub(r'<span class="(?:comment|string|value|keyword)">|</span>|<wbr>', "", markup))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_sample_is_shown_letter_by_letter(sample: Sample) -> None:
    shown = code(sample.text, sample.syntax)

    assert plain(shown) == sample.text
    assert '<span class="comment">' in shown
    assert '<span class="string">' in shown


@given(st.text(alphabet=st.sampled_from("ab <>&\"'`#/\\\n19._"), max_size=60), st.sampled_from(LANGUAGES))
def test_no_text_becomes_markup(text: str, language: str) -> None:
    shown = code(text, language)

    assert "<" not in re.sub(r'<span class="(?:comment|string|value|keyword)">|</span>', "", shown)
    assert plain(shown) == text


def test_hash_inside_a_word_begins_no_comment() -> None:
    assert "comment" not in code("${WEBHOOK_SECRET#whsec_}", "shell")
    assert code("x # y", "python") == 'x <span class="comment"># y</span>'


def test_what_stands_between_backticks_is_code() -> None:
    assert prose("`a<b` or `*`.") == "<code>a&lt;b</code> or <code>*</code>."
    assert prose("no <b>code</b>") == "no &lt;b&gt;code&lt;/b&gt;"


def test_names_break_between_words_only() -> None:
    assert breakable("OrderConfirmedEvent") == "Order<wbr>Confirmed<wbr>Event"
    assert breakable("Made_EventView_") == "Made_<wbr>Event<wbr>View_"
    assert breakable("<b>") == "&lt;b&gt;"


def test_request_on_the_page_has_the_signature_that_its_secret_gives() -> None:
    head, body = receiving.arriving().split("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    key = base64.b64decode(receiving.SECRET.removeprefix("whsec_"))

    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    assert int(headers["content-length"]) == len(body.encode())


def test_waits_on_the_page_are_those_of_the_schedule() -> None:
    said = [parse_duration(each.replace("min", "m")) for each in receiving.delays()]

    assert tuple(said) == DEFAULT_SCHEDULE_S
    assert receiving.hours_of_retries() == 22


def test_samples_have_a_language_and_a_file_each() -> None:
    assert len({sample.language for sample in SAMPLES}) == len(SAMPLES)
    assert len({sample.filename for sample in SAMPLES}) == len(SAMPLES)
    assert all(sample.text.endswith("\n") for sample in SAMPLES)
