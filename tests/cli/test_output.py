"""What commands print."""

import json

import pytest

from commerce_event.cli.output import clean, print_items, print_json, print_thing

ITEM = {"id": "evt_0sap9cykr0g00", "type": "SupplierSkuOnHandChangedNotification", "text": "x" * 60}


def test_no_cell_is_cut_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    print_items([ITEM], {"id": "id", "type": "type", "text": "text"}, as_json=False, empty="")

    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "type", "text"]
    assert line.split() == list(ITEM.values())


def test_what_would_steer_the_terminal_is_shown_as_a_sign(capsys: pytest.CaptureFixture[str]) -> None:
    print_items([{"text": "a\x1b[31mred\u202e"}], {"text": "text"}, as_json=False, empty="")

    assert "\x1b" not in capsys.readouterr().out


def test_nothing_from_outside_makes_a_row_or_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_items([{"text": "a\nevt_forged\tdelivered\u2028b"}], {"text": "text"}, as_json=False, empty="")
    print_thing({"url": "https://a.example/\nsecret  whsec_forged"}, as_json=False)

    assert len(capsys.readouterr().out.splitlines()) == 3


def test_json_holds_no_sign_that_steers_a_terminal_and_still_says_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {"text": "a\x1b[31m\x9b31m\u202egnp.exe\u2066\x7f\ud800 å€"}

    print_json(said)

    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\x9b\u202e\u2066\x7f\ud800")
    assert "å€" in out
    assert json.loads(out) == said


def test_sentence_of_an_error_is_one_line_without_steering() -> None:
    assert clean("no \x1b]0;title\x07 \n commerce-event: done") == "no �]0;title� � commerce-event: done"
