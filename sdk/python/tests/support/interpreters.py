"""The Python interpreters of this machine, new environments of them, and the wheel to install there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PROJECT = Path(__file__).parents[2]
_SHOW_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@cache
def find_interpreter(version: str) -> Path | None:
    """Return the program of a version such as ``3.10``, not of an environment; None when this machine has none."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(getattr(sys, "_base_executable", sys.executable))
    name = f"python{version}"
    program = shutil.which(name)
    if program is None or run_python(Path(program), "-c", _SHOW_VERSION).stdout.strip() != version:
        return None
    return Path(program)


def run_python(program: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end without the variables of this environment, and return what it wrote."""
    return subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=_clean_environment(),
    )


def new_environment(program: Path, folder: Path) -> Path:
    """Make a virtual environment that has nothing in it, not even pip; return its interpreter."""
    made = run_python(program, "-m", "venv", "--without-pip", str(folder))
    assert made.returncode == 0, made.stdout + made.stderr
    return python_of(folder)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the SDK in a folder; return the file."""
    built = run_python(Path(sys.executable), "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=PROJECT)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_wheel(program: Path, environment: Path, wheel: Path) -> None:
    """Install a wheel and nothing else into an environment, with the pip of the interpreter that it was made of."""
    options = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    done = run_python(program, "-m", "pip", "--python", str(python_of(environment)), "install", *options, str(wheel))
    assert done.returncode == 0, done.stdout + done.stderr


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def command_of(environment: Path, name: str) -> Path:
    """Return a command that is installed in a virtual environment."""
    return environment / (f"Scripts/{name}.exe" if os.name == "nt" else f"bin/{name}")


@cache
def _clean_environment() -> dict[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))
    }
    if shutil.which("pyenv"):  # its programs for other versions work only when it is told of them
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
        clean["PYENV_VERSION"] = ":".join(listed.stdout.split())
    return clean
