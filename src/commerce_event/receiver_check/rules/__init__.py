"""The rules, in the order in which they are checked."""

from collections.abc import Sequence
from typing import Final

from commerce_event.receiver_check.model import Rule
from commerce_event.receiver_check.rules import acceptance, bodies, load, refusals, repeats

# The first one is a plain event: a receiver that refuses it would fail, or pass, the others for no reason of theirs.
RULES: Final[Sequence[Rule]] = (
    *acceptance.RULES,
    *refusals.RULES,
    *bodies.RULES,
    *repeats.RULES,
    *load.RULES,  # last: what they leave behind would slow the others
)
FIRST: Final = RULES[0]
NAMES: Final = tuple(rule.name for rule in RULES)
