"""Programs of users under mypy --strict and pyright, against the wheel as it is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from interpreters import build_wheel, new_environment, python_of

PROGRAMS = Path(__file__).with_name("programs")
NAMES = sorted(path.name for path in PROGRAMS.glob("*.py"))
Errors = dict[str, set[int]]  # lines by the name of the file


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that has only the wheel, as a user's."""
    folder = tmp_path_factory.mktemp("types") / "environment"
    new_environment(Path(sys.executable), folder)
    (packages,) = [*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")]
    zipfile.ZipFile(build_wheel(folder)).extractall(packages)
    return folder


@pytest.fixture(scope="module")
def mypy_errors(environment: Path) -> Errors:
    options = ["--strict", "--config-file=", "--no-error-summary", "--no-incremental", "--python-version=3.10"]
    command = [sys.executable, "-m", "mypy", *options, "--python-executable", str(python_of(environment))]
    done = subprocess.run([*command, *NAMES], cwd=PROGRAMS, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: Errors = {}
    for name, line in re.findall(r"^([^:\n]+):(\d+): error:", done.stdout, re.MULTILINE):
        found.setdefault(name, set()).add(int(line))
    return found


@pytest.fixture(scope="module")
def pyright_errors(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Errors:
    if shutil.which("node") is None:
        pytest.skip("pyright needs Node.js, which is not on this machine")
    project = shutil.copytree(PROGRAMS, tmp_path_factory.mktemp("pyright") / "programs")
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.10"}
    (project / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(project), "--pythonpath"]
    variables = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(
        [*command, str(python_of(environment))], capture_output=True, text=True, check=False, env=variables
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(NAMES)
    found: Errors = {}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            found.setdefault(Path(each["file"]).name, set()).add(each["range"]["start"]["line"] + 1)
    return found


def test_programs_include_right_and_wrong_ones() -> None:
    assert any(_wrong_lines(name) for name in NAMES)
    assert any(not _wrong_lines(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_mypy_reports_exactly_the_wrong_lines(name: str, mypy_errors: Errors) -> None:
    assert mypy_errors.get(name, set()) == _wrong_lines(name)


@pytest.mark.parametrize("name", NAMES)
def test_pyright_reports_exactly_the_wrong_lines(name: str, pyright_errors: Errors) -> None:
    assert pyright_errors.get(name, set()) == _wrong_lines(name)


def _wrong_lines(name: str) -> set[int]:
    lines = (PROGRAMS / name).read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
