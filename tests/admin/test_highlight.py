"""JSON on the screens: indented and highlighted, unless that would take long."""

import msgspec

from commerce_event.web.highlight import highlight_json, json_text


def test_json_of_usual_size_is_indented_and_highlighted() -> None:
    assert json_text(b'{"A":[1]}') == '{\n  "A": [\n    1\n  ]\n}'
    assert "<span" in highlight_json('{"A": 1}')


def test_json_that_indenting_makes_many_times_longer_stays_as_it_is() -> None:
    deep = b"[" * 60 + b",".join([b"1"] * 100_000) + b"]" * 60
    assert json_text(deep) == deep.decode()


def test_long_json_is_escaped_without_colours() -> None:
    text = json_text(msgspec.json.encode(["<b>"] * 40_000))
    assert highlight_json(text) == text.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
