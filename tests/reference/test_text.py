"""Highlighted code is the code itself, and the example request has a valid signature."""

import base64
import hashlib
import hmac
import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.retry import DEFAULT_SCHEDULE_S, parse_duration
from commerce_event.reference.example_request import SECRET, example_request
from commerce_event.reference.prose import prose
from commerce_event.reference.samples import PUBLISH, SIGNED, Sample, handlers
from commerce_event.reference.server_settings import server_settings
from commerce_event.settings import Settings
from commerce_event.web.highlight import highlight_code, highlight_json, json_text
from commerce_event.web.pages import breakable

SAMPLES = (*handlers([*EVENT_TYPES.values()]), SIGNED, PUBLISH)
LANGUAGES = ("python", "javascript", "csharp", "java", "php", "go", "shell", "json", "no-such-language")


def plain(markup: str) -> str:
    """Return what a reader sees of it; only our own tags may be in it."""
    return html.unescape(re.sub(r'<span class="(?:comment|string|value|keyword|key)">|</span>|<wbr>', "", markup))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_highlight_code_keeps_every_character_of_a_sample(sample: Sample) -> None:
    shown = highlight_code(sample.main.text, sample.main.syntax)

    assert plain(shown) == sample.main.text
    assert '<span class="comment">' in shown
    assert '<span class="string">' in shown
    for file in sample.files:
        assert plain(highlight_code(file.text, file.syntax)) == file.text


@given(st.text(alphabet=st.sampled_from("ab <>&\"'`#/\\\n19._"), max_size=60), st.sampled_from(LANGUAGES))
def test_highlight_code_escapes_all_text(text: str, language: str) -> None:
    shown = highlight_code(text, language)

    assert "<" not in re.sub(r'<span class="(?:comment|string|value|keyword|key)">|</span>', "", shown)
    assert plain(shown) == text


def test_highlight_code_hash_inside_a_word_is_not_a_comment() -> None:
    assert "comment" not in highlight_code("${WEBHOOK_SECRET#whsec_}", "shell")
    assert highlight_code("x # y", "python") == 'x <span class="comment"># y</span>'


@pytest.mark.parametrize(
    "text",
    [
        '{"big": 9223372036854775807, "bigger": 123456789012345678901234567890, "exp": 1.50e+10}',
        '{"escaped": "Nystr\\u00f6m \\/ \\\\ \\n", "quote": "<b>&\\""}',
        '["\u0645\u0631\u062d\u0628\u0627", null, true, -0.0]',
    ],
)
def test_highlight_json_keeps_numbers_and_escapes(text: str) -> None:
    shown = json_text(text.encode())

    assert plain(highlight_json(shown)) == shown
    assert "".join(shown.split()) == "".join(text.split())


def test_highlight_json_marks_keys_strings_and_values() -> None:
    assert highlight_json('{"a": ["b", 1, null]}') == (
        '{<span class="key">&#34;a&#34;</span>: [<span class="string">&#34;b&#34;</span>, '
        '<span class="value">1</span>, <span class="value">null</span>]}'
    )


@pytest.mark.parametrize("text", ["true story <b>", "{'a': 1}", '{"a": 1', "null and void"])
def test_highlight_json_text_that_is_not_json_is_escaped(text: str) -> None:
    assert plain(highlight_json(text)) == text


def test_prose_text_between_backticks_is_code() -> None:
    assert prose("`a<b` or `*`.") == "<code>a&lt;b</code> or <code>*</code>."
    assert prose("no <b>code</b>") == "no &lt;b&gt;code&lt;/b&gt;"


def test_breakable_name_breaks_between_words() -> None:
    assert breakable("OrderConfirmedEvent") == "Order<wbr>Confirmed<wbr>Event"
    assert breakable("Made_EventView_") == "Made_<wbr>Event<wbr>View_"
    assert breakable("<b>") == "&lt;b&gt;"


def test_example_request_has_a_valid_signature() -> None:
    head, body = example_request().split("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))

    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    assert int(headers["content-length"]) == len(body.encode())


def test_server_settings_of_defaults_are_the_documented_ones() -> None:
    shown = server_settings(Settings())

    assert (shown.timeout, shown.retries, shown.max_body) == ("5 s", "16 retries over 22 h", "256 KiB")
    assert [parse_duration(each.replace("min", "m")) for each in shown.delays] == list(DEFAULT_SCHEDULE_S)
    assert [each.name for each in shown.table if each.value != each.documented] == []


def test_server_settings_that_differ_stand_beside_the_documented_ones() -> None:
    shown = server_settings(
        Settings(
            timeout_s=1.5, retry_schedule_s=(60, 120), max_body=100_000, retention_s=0.0, circuit_failures=0,
            hold_deliveries=True, allow_networks=("10.0.0.0/8",),
        )
    )  # fmt: skip

    assert {(each.name, each.value, each.documented) for each in shown.table if each.value != each.documented} == {
        ("Time limit of an attempt", "1.5 s", "5 s"),
        ("Retries", "2 retries over 3 min", "16 retries over 22 h"),
        ("Largest event", "100,000 bytes", "256 KiB"),
        ("Events are kept", "for ever", "30 days"),
        ("An endpoint is tried less often", "never", "after 20 failures in a row"),
        ("Deliveries are sent", "no: they are held", "yes"),
    }
    assert "10.0.0.0" not in repr(shown)


@pytest.mark.parametrize(
    ("delays_s", "text"),
    [
        ((), "no retry"),
        ((0.05,), "1 retry over 0.05 s"),
        ((5_400,), "1 retry over 1 h 30 min"),
        ((200_000,), "1 retry over 2 days"),
    ],
)
def test_server_settings_retries_are_counted_with_their_span(delays_s: tuple[float, ...], text: str) -> None:
    assert server_settings(Settings(retry_schedule_s=delays_s)).retries == text


def test_samples_have_unique_languages_and_files_that_end_with_a_line() -> None:
    assert len({sample.language for sample in SAMPLES}) == len(SAMPLES)
    for sample in SAMPLES:
        assert len({file.path for file in sample.files}) == len(sample.files)
        assert all(file.text.endswith("\n") for file in sample.files)
