"""Set properties of an event from the command line: `OrderId=9007199254740993`, typed by the schema."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from commerce_event.cli.errors import UsageError

_INTEGER: Final = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_WORDS: Final = {
    "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "a JSON object",
    "array": "a JSON list", "string": "a text",
}  # fmt: skip
_INDEX_MAX: Final = 1_000


def assign(event: dict[str, Any], schema: dict[str, Any], assignment: str) -> Iterator[str]:
    """Set one property of ``Path=value`` in the event. ``null`` removes it; ``"…"`` is always a text.

    A path leads into objects and lists: ``Lines.0.PartNo``. Yields notes for people. Raises UsageError.
    """
    path, separator, text = assignment.partition("=")
    if not path or not separator:
        raise UsageError(f"--set must be Path=value, such as OrderNo=SO-1, not {assignment!r}")
    names = [path] if path in schema.get("properties", {}) else path.split(".")
    container: Any = event
    for name in names[:-1]:
        container, schema = _inside(container, schema, name, path)
    last = names[-1]
    about = _about(schema, last)
    if isinstance(container, dict):
        yield from _notes_of_name(schema, last, path)
    if text == "null":
        if last in schema.get("required", []):
            yield f"{path} is required; the event breaks the contract without it"
        _remove(container, last, path)
        return
    value = _value(about, path, text)
    if about.get("enum") and value not in about["enum"]:
        known = ", ".join(str(each) for each in about["enum"] if each is not None)
        yield f"{value} is no value of {path} in the contract, which has {known}"
    _put(container, last, value, path)


def _inside(container: Any, schema: dict[str, Any], name: str, path: str) -> tuple[Any, dict[str, Any]]:
    """Return what a name of a path leads to, and its schema. An object that is absent is made."""
    found = container.setdefault(name, {}) if isinstance(container, dict) else container[_index(container, name, path)]
    if not isinstance(found, dict | list):
        raise UsageError(f"--set {path}: {name} is neither an object nor a list")
    return found, _about(schema, name)


def _about(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found = schema.get("items") if name.isdigit() else schema.get("properties", {}).get(name)
    return found if isinstance(found, dict) else {}


def _notes_of_name(schema: dict[str, Any], name: str, path: str) -> Iterator[str]:
    from commerce_event.contract.near_names import nearest_name

    known = schema.get("properties", {})
    if known and name not in known:
        near = nearest_name(name, known)
        yield f"{path} is not a property of this event type; it is kept" + (f". Did you mean {near}?" if near else "")


def _value(about: dict[str, Any], path: str, text: str) -> Any:
    kinds = about.get("type", [])
    wanted = [each for each in (kinds if isinstance(kinds, list) else [kinds]) if each != "null"]
    read = _json(text)
    if text.startswith('"') and isinstance(read, str):
        return read
    if not wanted:
        return text if read is None else read
    for kind in wanted:
        if kind == "string":
            return text
        if _fits(kind, read) and (kind != "integer" or _INTEGER.fullmatch(text)):
            return read
    words = " or ".join(_WORDS.get(each, each) for each in wanted)
    raise UsageError(f"--set {path} must be {words}, not {text!r}; to send a text all the same, write '{path}=\"…\"'")


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
    return False


def _json(text: str) -> Any:
    """Return the JSON value of a text; None when it is no JSON."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> float:
    raise ValueError(name)


def _remove(container: Any, name: str, path: str) -> None:
    if isinstance(container, dict):
        container.pop(name, None)
    else:
        del container[_index(container, name, path)]


def _put(container: Any, name: str, value: Any, path: str) -> None:
    if isinstance(container, dict):
        container[name] = value
    elif name.isdigit() and int(name) == len(container) < _INDEX_MAX:
        container.append(value)
    else:
        container[_index(container, name, path)] = value


def _index(items: list[Any], name: str, path: str) -> int:
    if not name.isdigit() or len(name) > 9 or int(name) >= len(items):
        raise UsageError(f"--set {path}: there is no entry {name}; the list has {len(items)} entries, numbered from 0")
    return int(name)
