"""Imports point downwards only: cli, server → api, admin → accept, deliver → store → core → contract."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import commerce_event

PACKAGE = "commerce_event"
SOURCE = Path(commerce_event.__file__).parent

# The lowest first. A package may import the packages of lower rows and itself, not its neighbours in a row.
# `settings` are values read once, known from the core upwards; `simulate`, `bench` and `receiver_check` stand at the
# edge, next to the commands that start them.
LAYERS = (
    {"contract"},
    {"core", "codegen"},
    {"settings", "logs", "loop_monitor", "daemon_threads", "web"},
    {"store"},
    {"http", "registry"},
    {"accept", "deliver", "maintenance"},
    {"changes"},
    {"api"},
    {"admin", "reference"},
    {"server"},
    {"simulate"},
    {"bench", "receiver_check"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {package: height for height, row in enumerate(LAYERS) for package in row}

# What the pure part must not reach for: sockets, files, processes, other threads, the event loop, a database.
OUTSIDE_WORLD = {
    "aiohttp", "apsw", "asyncio", "http", "httptools", "httpx", "io", "logging", "multiprocessing", "pathlib",
    "random", "shutil", "socket", "sqlite3", "ssl", "starlette", "structlog", "subprocess", "tempfile", "threading",
    "urllib.request", "uvicorn", "uvloop",
}  # fmt: skip


def imported_modules(tree: ast.AST, parent: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, at whatever depth of the code and in whatever form.

    ``parent`` is the package that the module stands in, from which relative imports are counted.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = parent.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def package_of(name: str) -> str | None:
    """Return the package that a full module name lies in; None for what is not ours or is the bare package."""
    parts = name.split(".")
    if parts[0] != PACKAGE or len(parts) == 1:
        return None
    return parts[1] if parts[1] in HEIGHT else None


def upward_imports(source: str, parent: str, package: str) -> list[str]:
    """Return a sentence for each import in a module of ``package`` that does not point downwards."""
    faults = []
    for line, name in imported_modules(ast.parse(source), parent):
        other = package_of(name)
        if other is not None and other != package and HEIGHT[other] >= HEIGHT[package]:
            faults.append(f"line {line}: {package} must not import {name}; arrows point downwards only")
    return faults


def modules() -> list[tuple[Path, str, str]]:
    """Return every module's file, the package it stands in, and its top-level package ("" for the root)."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        parent = ".".join((PACKAGE, *parts[:-1]))
        found.append((path, parent, "" if parts == ("__init__",) else parts[0]))
    return found


def test_every_package_has_its_place() -> None:
    strangers = {package for _, _, package in modules() if package} - set(HEIGHT)

    assert not strangers, f"no row for {sorted(strangers)}: give each a place in LAYERS of {Path(__file__).name}"


def test_imports_point_downwards_only() -> None:
    faults = [
        f"{path.relative_to(SOURCE)} {fault}"
        for path, parent, package in modules()
        if package
        for fault in upward_imports(path.read_text("utf-8"), parent, package)
    ]

    assert not faults, "\n" + "\n".join(faults)


def test_root_package_imports_no_package() -> None:
    imported = list(imported_modules(ast.parse((SOURCE / "__init__.py").read_text("utf-8")), PACKAGE))

    assert [name for _, name in imported if package_of(name)] == []


# The modules of a check that do what its rules ask for.
CHECK_EDGE = {"commands.py", "http_client.py", "runner.py"}


def is_pure(path: Path, package: str) -> bool:
    if package == "receiver_check":
        return path.name not in CHECK_EDGE
    return package in {"contract", "core"}


def test_contract_core_and_rules_of_checks_do_not_touch_the_outside_world() -> None:
    faults = [
        f"{path.relative_to(SOURCE)} line {line}: {package} must not import {name}; have it passed in"
        for path, parent, package in modules()
        if is_pure(path, package)
        for line, name in imported_modules(ast.parse(path.read_text("utf-8")), parent)
        if any(f"{name}.".startswith(f"{banned}.") for banned in OUTSIDE_WORLD)
    ]

    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import commerce_event.api", True),
        ("import commerce_event.deliver.sender as sender", True),
        ("from commerce_event import server", True),
        ("from commerce_event.cli.main import main", True),
        ("from ..api import app", True),
        ("from ... import cli", True),
        ("from ...accept.intake import Intake", True),
        ("def late():\n    from commerce_event.api.app import create_app", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import commerce_event.simulate.shop", True),
        ("from commerce_event.store.port import Store", False),
        ("from ..core import ids", False),
        ("from .. import contract", False),
        ("from . import port", False),
        ("from commerce_event import __version__", False),
        ("import apsw", False),
        ("# import commerce_event.api", False),
    ],
)
def test_upward_import_is_noticed_in_every_form(source: str, caught: bool) -> None:
    package = f"{PACKAGE}.store.sqlite" if source.startswith("from ...") else f"{PACKAGE}.store"

    assert bool(upward_imports(source, package, "store")) is caught


# What a screen must not import: it reads and changes everything through the operations of the API.
BEHIND_THE_OPERATIONS = (
    "accept.intake", "deliver", "maintenance", "registry.registry", "store",
)  # fmt: skip
# The session cookie names a key, and signing in checks one: both come before the person whom an operation runs for.
# The context makes the calls of operations, which take the services.
SIGN_IN = {"admin/portal.py", "admin/sessions.py", "admin/sign_in.py"}
CALLS_OPERATIONS = {"admin/portal.py", "admin/screen_context.py", "admin/sign_in.py"}


def shortcuts(source: str, package: str, *, may_read_keys: bool, may_hold_services: bool) -> list[str]:
    """Return a sentence for each place in a screen's module that goes around the operations."""
    tree = ast.parse(source)
    banned = [f"{PACKAGE}.{name}." for name in BEHIND_THE_OPERATIONS]
    if may_read_keys:
        banned.remove(f"{PACKAGE}.registry.registry.")
    faults = [
        f"line {line}: a screen must not import {name}; call an operation"
        for line, name in imported_modules(tree, package)
        if any(f"{name}.".startswith(each) for each in banned)
    ]
    if not may_hold_services:
        faults += [
            f"line {node.lineno}: a screen must not use .{node.attr}; call an operation"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in {"services", "_factory"}
        ]
    return faults


def test_screens_reach_data_only_through_operations() -> None:
    faults = []
    for path, parent, package in modules():
        name = path.relative_to(SOURCE).as_posix()
        if package == "admin":
            found = shortcuts(
                path.read_text("utf-8"),
                parent,
                may_read_keys=name in SIGN_IN,
                may_hold_services=name in CALLS_OPERATIONS,
            )
            faults += [f"{name} {fault}" for fault in found]

    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("from commerce_event.store.port import Activity", True),
        ("from commerce_event.store import text_search", True),
        ("import commerce_event.deliver.endpoint_state", True),
        ("from commerce_event.registry.registry import Registry", True),
        ("from ..accept.intake import Intake", True),
        ("async def show(context):\n    await context.services.store.history.event(1)", True),
        ("async def show(context):\n    context._factory.sessions.end()", True),
        ("from commerce_event.registry.authentication import check_role", False),
        ("from commerce_event.api.services import Services", False),
        ("async def show(context):\n    await context.call('getEvent')", False),
    ],
)
def test_shortcuts_around_operations_are_found(source: str, caught: bool) -> None:
    found = shortcuts(source, f"{PACKAGE}.admin", may_read_keys=False, may_hold_services=False)

    assert bool(found) is caught
