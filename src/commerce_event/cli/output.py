"""Print tables for people and JSON for programs. Control characters are removed: text must not control the terminal."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")

_WIDTH_MAX = 10_000

Columns = Mapping[str, str | Callable[[Any], Any]]


def console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def clean(value: Any) -> str:
    """Return text without control characters and line breaks, so that it cannot look like our own output."""
    return "" if value is None else _CONTROL.sub("�", str(value))


def print_json(content: Any) -> None:
    """Print JSON with control characters escaped."""
    print(as_json_text(content, indent=2))


def print_line(content: Any) -> None:
    """Print JSON on one line and flush."""
    print(as_json_text(content), flush=True)


def as_json_text(content: Any, indent: int | None = None) -> str:
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    return _CONTROL_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_done(content: Any, sentence: str, *, as_json: bool) -> None:
    """Print the result of an action: a sentence, or JSON."""
    if as_json:
        print_json(content)
    else:
        print(clean(sentence))


def print_items(items: Iterable[Any], columns: Columns, *, as_json: bool, empty: str) -> None:
    """Print a list: a table whose columns are (title, name or function), or JSON."""
    found = list(items)
    if as_json:
        print_json(found)
    elif not found:
        console().print(empty)
    else:
        _print_unwrapped(table(found, columns))


def _print_unwrapped(shown: Table) -> None:
    """Print a table at its full width, even in a narrow terminal: an id that is cut cannot be copied."""
    out = console()
    needed = out.measure(shown, options=out.options.update(width=_WIDTH_MAX)).maximum
    out.width = max(out.width, needed)
    out.print(shown)


def table(items: Sequence[Any], columns: Columns) -> Table:
    """Return a table; columns of numbers are aligned right."""
    rows = [
        [clean(source(item) if callable(source) else item.get(source)) for source in columns.values()] for item in items
    ]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title, cells in zip(columns, zip(*rows, strict=True), strict=False):
        numbers = all(_NUMBER.fullmatch(cell) for cell in cells)
        shown.add_column(title, no_wrap=True, justify="right" if numbers else "left")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def print_thing(thing: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the fields of one object, one per line, or JSON."""
    if as_json:
        print_json(thing)
        return
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column()
    for name, value in thing.items():
        text = as_json_text(value) if isinstance(value, dict | list | bool) else value
        shown.add_row(name, Text(clean(text)))
    console().print(shown)
