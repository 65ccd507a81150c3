"""Compare a configuration file with the server, show the difference, and apply it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from commerce_event.cli.errors import CommandError
from commerce_event.cli.output import as_json_text, clean, console, print_json
from commerce_event.cli.yaml_file import YamlFile
from commerce_event.core.problems import Problem

ALL: Final = 100_000  # more entries than a server may have
Values = Mapping[str, Any]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference and change nothing.")]
_STYLES = {"+": "green", "-": "red", "~": "yellow"}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One setting or source: as it is on the server, and as it is in the file."""

    name: str
    before: Values | None  # None: it is new
    after: Values | None  # None: it is not in the file
    pointer: str = ""  # in the file

    @property
    def sign(self) -> str:
        if self.before is None:
            return "+"
        return "-" if self.after is None else "~"

    @property
    def is_same(self) -> bool:
        return self.before == self.after

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield a sign and a text for each value that differs."""
        old, new = dict(_flat(self.before or {}, "")), dict(_flat(self.after or {}, ""))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                if name in old:
                    yield "-", f"{name}: {old[name]}"
                if name in new:
                    yield "+", f"{name}: {new[name]}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The changes that make the server match the file."""

    entries: Sequence[Entry]  # that differ
    same: int  # entries that do not
    left: int  # entries that are not in the file and are kept

    def of(self, sign: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.sign == sign]


def make_plan(entries: Sequence[Entry], *, prune: bool) -> Plan:
    """Return what has to be done; without ``prune`` nothing is removed."""
    differing = [entry for entry in entries if not entry.is_same]
    lacking = [entry for entry in differing if entry.after is None]
    wanted = differing if prune else [entry for entry in differing if entry.after is not None]
    return Plan(entries=wanted, same=len(entries) - len(differing), left=0 if prune else len(lacking))


def print_plan(plan: Plan, *, what: str, dry_run: bool, as_json: bool) -> None:
    """Print a plan: what it adds, changes and removes, value by value."""
    added, changed, removed = (plan.of(sign) for sign in "+~-")
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "added": [{"name": each.name, "after": each.after} for each in added],
                "changed": [{"name": each.name, "before": each.before, "after": each.after} for each in changed],
                "removed": [{"name": each.name, "before": each.before} for each in removed],
                "same": plan.same,
                "left": plan.left,
            }
        )
        return
    out = console()
    for entry in (*added, *changed, *removed):
        out.print(Text(f"{entry.sign} {clean(entry.name)}", style=f"bold {_STYLES[entry.sign]}"))
        for sign, line in entry.lines():
            out.print(Text(f"    {sign} {clean(line)}", style=_STYLES[sign]))
    would = "would be " if dry_run else ""
    counts = f"{len(added)} {would}added, {len(changed)} {would}changed, {len(removed)} {would}removed"
    out.print(Text(f"{what}: {counts}, {plan.same} as in the file."))
    if plan.left:
        out.print(
            Text(f"Kept although not in the file: {plan.left}; --prune removes {'it' if plan.left == 1 else 'them'}.")
        )


@contextmanager
def faults_at(file: YamlFile, pointer: str, inside: str = "") -> Iterator[None]:
    """Name the line of the file in errors about a value of it.

    ``pointer`` is the place of the value in the file, ``inside`` its place in what the server gets.
    """
    try:
        yield
    except Problem as problem:
        faults = [(fault.pointer, fault.message) for fault in problem.faults]
        raise _placed(file, pointer, faults or [("", problem.detail)], inside) from None
    except CommandError as error:
        if not error.faults and error.status in {None, 401}:
            raise
        raise _placed(file, pointer, error.faults or [("", str(error))], inside) from None


def _placed(file: YamlFile, pointer: str, faults: Sequence[tuple[str, str]], inside: str) -> CommandError:
    place, message = faults[0]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return file.fault(f"{pointer}{place.removeprefix(inside)}", f"{message}{more}")


def _flat(values: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield each value that is not an object, with its path."""
    if isinstance(values, Mapping) and (values or not name):
        for each, inner in values.items():
            yield from _flat(inner, f"{name}.{each}" if name else str(each))
    elif values is not None:
        yield name, values if isinstance(values, str) else as_json_text(values)
