"""The rules that decided what a change raised, in words."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from commerce_event.api.explanations import RuleView
from commerce_event.core.filters import Condition
from commerce_event.web.highlight import value_text

_NAMES: Final = {
    "enabled": "switched on",
    "operation": "operation",
    "fields": "changed fields",
    "value": "value",
    "break_point": "break point",
    "properties": "needed properties",
    "filter": "filter",
}


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: what the setting asks for, and what the change has. ``conditions`` are those of a filter."""

    name: str
    passed: bool
    wanted: str
    found: str
    conditions: list["ConditionRow"] = []


class ConditionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of a filter, and the value that the change has for it."""

    passed: bool
    text: str
    found: str


def rule_row(rule: RuleView) -> RuleRow:
    """Return a rule in words."""
    wanted, found = _WORDS[rule.name](rule)
    conditions = [_condition_row(each) for each in rule.found] if rule.name == "filter" else []
    return RuleRow(name=_NAMES[rule.name], passed=rule.passed, wanted=wanted, found=found, conditions=conditions)


def _condition_row(condition: Condition) -> ConditionRow:
    return ConditionRow(
        passed=condition.passed,
        text=f"{condition.path} {condition.operator} {value_text(condition.wanted)}",
        found="not there" if condition.found is UNSET else _value(condition.found),
    )


def _of_operation(rule: RuleView) -> tuple[str, str]:
    return _listed(rule.wanted) or "none", str(rule.found)


def _of_fields(rule: RuleView) -> tuple[str, str]:
    return "any field" if rule.wanted == "any" else _listed(rule.wanted), _listed(rule.found) or "none changed"


def _of_value(rule: RuleView) -> tuple[str, str]:
    before, after = rule.found
    return f"{rule.wanted} changes", f"{_value(before)} → {_value(after)}"


def _of_break_point(rule: RuleView) -> tuple[str, str]:
    before, after = (
        f"{_value(on_hand)} with a minimum of {_value(minimum)}"
        for on_hand, minimum in (rule.found["before"], rule.found["after"])
    )
    return str(rule.wanted), f"before: {before}; after: {after}"


def _of_properties(rule: RuleView) -> tuple[str, str]:
    missing = _listed(rule.found["missing"])
    return _listed(rule.wanted), f"missing: {missing}" if missing else "all there"


_WORDS: Final[dict[str, Callable[[RuleView], tuple[str, str]]]] = {
    "enabled": lambda rule: (str(rule.wanted), str(rule.found)),
    "operation": _of_operation,
    "fields": _of_fields,
    "value": _of_value,
    "break_point": _of_break_point,
    "properties": _of_properties,
    "filter": lambda rule: (value_text(rule.wanted), "each condition is below"),
}


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))


def _value(value: Any) -> str:
    """Return a value as text: null is one that is not known."""
    return "not known" if value is None else value_text(value)
