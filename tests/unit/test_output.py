"""What commands print."""

import pytest

from commerce_event.cli.output import print_items

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
