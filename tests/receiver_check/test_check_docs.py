"""The page about checks has every rule, as it is."""

import re
from pathlib import Path

from commerce_event.receiver_check.rules import RULES

PAGE = Path(__file__).parents[2] / "docs/how-to/check-a-receiver.md"


def test_page_has_every_rule_in_order_with_its_fix() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?): (.+)\. \| .+? \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)

    written = [(name, sends.lower(), requires, fix) for name, sends, requires, fix in rows]
    assert written == [(rule.name, rule.sends.lower(), rule.requires, rule.fix) for rule in RULES]
