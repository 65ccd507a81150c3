"""The rules that decided what a change raised, as rows for people."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Row = dict[str, str]


def rule_rows(rule: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for a rule of an explanation; of a filter, one for each condition as well."""
    name = rule["name"]
    wanted, found = _WORDS.get(name, _as_json)(rule["wanted"], rule["found"])
    yield _row(name, rule["passed"], wanted, found)
    if name == "filter":
        for each in rule["found"]:
            if isinstance(each, dict):  # the last one may be a note of how many there are
                wanted = f"{each['operator']} {json.dumps(each['wanted'], ensure_ascii=False)}"
                yield _row(f"  {each['path']}", each["passed"], wanted, _value(each.get("found")))


def _row(name: str, passed: bool, wanted: str, found: str) -> Row:
    return {"rule": name, "result": f"{'passed' if passed else 'failed'}: wanted {wanted}, found {found}"}


def _of_lists(wanted: Any, found: Any) -> tuple[str, str]:
    return _listed(wanted, "or"), _listed(found, "and")


def _of_value(wanted: Any, found: Any) -> tuple[str, str]:
    before, after = found
    return f"another {wanted}", f"{_value(before)} before, {_value(after)} after"


def _of_break_point(wanted: Any, found: Any) -> tuple[str, str]:
    texts = []
    for moment in ("before", "after"):
        on_hand, minimum = found[moment]
        texts.append(f"{_value(on_hand)} (minimum {_value(minimum)}) {moment}")
    return str(wanted), ", ".join(texts)


def _of_properties(wanted: Any, found: Any) -> tuple[str, str]:
    missing = found["missing"]
    return _listed(wanted, "and"), f"no {_listed(missing, 'and no')}" if missing else "all"


def _of_filter(_wanted: Any, found: Any) -> tuple[str, str]:
    failed = sum(1 for each in found if isinstance(each, dict) and not each["passed"])
    return "each condition below", "all true" if not failed else f"{failed} not true"


def _as_json(wanted: Any, found: Any) -> tuple[str, str]:
    return _value(wanted), _value(found)


_WORDS: Final[Mapping[str, Callable[[Any, Any], tuple[str, str]]]] = {
    "enabled": lambda wanted, found: (str(wanted), str(found)),
    "operation": _of_lists,
    "fields": _of_lists,
    "value": _of_value,
    "break_point": _of_break_point,
    "properties": _of_properties,
    "filter": _of_filter,
}


def _listed(names: Any, last: str) -> str:
    if isinstance(names, str):
        return names
    if len(names) < 2:
        return str(names[0]) if names else "none"
    return f"{', '.join(map(str, names[:-1]))} {last} {names[-1]}"


def _value(value: Any) -> str:
    return "not known" if value is None else json.dumps(value, ensure_ascii=False)
