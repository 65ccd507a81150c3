"""What all tests of the SDK share: which need more than the SDK, and the mark of the slow ones."""

from __future__ import annotations

import ast
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

hypothesis_settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
hypothesis_settings.load_profile("untimed")

TESTS = Path(__file__).parent
SUPPORT = (TESTS / "support", TESTS / "oracle", TESTS.parents[2] / "tests" / "support")
INTEGRATION_FOLDERS = frozenset({"frameworks", "oracle", "packaging", "user_programs", "with_server"})
LEFT_OUT: list[str] = []


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a module that imports what is not installed, such as the server, a framework or a driver.

    Only where the server is not installed: that is how the tests run on Python 3.10.
    """
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_") or find_spec("commerce_event"):
        return None
    missing = missing_imports(collection_path)
    if not missing:
        return None
    LEFT_OUT.append(f"{collection_path.relative_to(TESTS)} needs {', '.join(sorted(missing))}")
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


def _skipping_what_is_missing() -> Generator[None, None, None]:
    """Skip a test that needs a framework or a driver which is not installed, where the server is not either."""
    try:
        yield
    except ModuleNotFoundError as error:
        if find_spec("commerce_event") or (error.name or "").startswith("commerce_event"):
            raise
        pytest.skip(str(error))


def pytest_report_collectionfinish() -> list[str]:
    return [f"left out: {each}" for each in LEFT_OUT]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes, open servers or take seconds."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in INTEGRATION_FOLDERS:
            item.add_marker(pytest.mark.integration)


def missing_imports(module: Path) -> set[str]:
    """Return the packages that a module imports at its top, also through support modules, and that are not there."""
    missing: set[str] = set()
    waiting, seen = [module], {module}
    while waiting:
        for name in imported_names(waiting.pop()):
            support = next((path for folder in SUPPORT if (path := folder / f"{name}.py").is_file()), None)
            if support is None and find_spec(name) is None:
                missing.add(name)
            elif support is not None and support not in seen:
                seen.add(support)
                waiting.append(support)
    return missing


def imported_names(module: Path) -> set[str]:
    """Return the first part of each name that a module imports outside functions and ``if`` blocks."""
    names: set[str] = set()
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            names.add(node.module.partition(".")[0])
    return names
