"""The built wheel, installed without an index into an empty environment of each Python at hand."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from interpreters import (
    PROJECT,
    VERSIONS,
    build_wheel,
    command_of,
    find_interpreter,
    install_wheel,
    new_environment,
    run_python,
)

SMOKE = Path(__file__).with_name("smoke.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_its_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(path.relative_to(PROJECT / "src").as_posix()) for path in (PROJECT / "src").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert "commerce_event_sdk/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith(("commerce_event_sdk/", "commerce_event_sdk-0")) or name in sources for name in names)


def test_wheel_requires_nothing_without_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    required = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist:")]
    assert required
    assert all("extra ==" in line for line in required)


@pytest.mark.parametrize("version", VERSIONS)
def test_wheel_works_alone_in_an_empty_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    program = find_interpreter(version)
    if program is None:
        pytest.skip(f"this machine has no Python {version}")
    environment = tmp_path / "environment"
    python = new_environment(program, environment)
    install_wheel(program, environment, wheel)
    smoke = run_python(python, "-I", "-W", "error", str(SMOKE), version, cwd=tmp_path)
    assert (smoke.returncode, smoke.stderr) == (0, ""), smoke.stdout + smoke.stderr
    assert smoke.stdout.splitlines()[-1] == "all well"
    inbox = run_python(
        python, "-I", "-m", "commerce_event_sdk", "inbox", "status", "--database", "sqlite:///inbox.db", cwd=tmp_path
    )
    assert (inbox.returncode, inbox.stderr) == (0, "")
    assert inbox.stdout.split()[2:4] == ["done", "2"]
    help_of_relay = run_python(command_of(environment, "commerce-event-relay"), "--help")
    assert (help_of_relay.returncode, help_of_relay.stderr) == (0, "")
