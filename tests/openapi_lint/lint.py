"""Check the OpenAPI document with tools that users run on it: Redocly, Spectral, and a generator of Python clients.

Exits 1 if one of them finds an error. A tool that cannot be installed or does not run here is skipped with a message: a
slow package registry is no fault of the document. All of it takes half a minute, and at most five.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from commerce_event.api.openapi import document

HERE: Final = Path(__file__).parent
WORK: Final = HERE.parent.parent / "build" / "openapi_lint"
INSTALL_S: Final = 90
RUN_S: Final = 60
QUIET: Final = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


Output = subprocess.CompletedProcess[str]


class SkippedError(Exception):
    """A tool cannot be used here."""


def run(*command: str | Path, seconds: float = RUN_S, installs: bool = False) -> Output:
    """Run a command in the work folder. Raises SkippedError if it is missing, too slow, or fails to install."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=WORK, env=os.environ | QUIET, capture_output=True, text=True, check=installs, timeout=seconds
        )
    except FileNotFoundError:
        raise SkippedError(f"{name} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise SkippedError(f"{name} took longer than {seconds:g} s") from None
    except subprocess.CalledProcessError as error:
        raise SkippedError(f"{name} failed: {error.stderr.strip()[-300:]}") from None
    return done


def answer_of(done: Output) -> object:
    """Return what a linter wrote as JSON, without what it wrote around it. Raises SkippedError if it broke off."""
    output = done.stdout
    starts = [output.find(sign) for sign in "[{" if sign in output]
    try:
        return json.JSONDecoder().raw_decode(output, min(starts, default=0))[0]
    except ValueError:
        raise SkippedError("the linter broke off") from None


def install_linters() -> Path:
    """Install both linters once; return the folder of their commands."""
    folder = WORK / "node_modules" / ".bin"
    lock = WORK / "package-lock.json"
    if not (folder / "spectral").exists() or lock.read_bytes() != (HERE / "package-lock.json").read_bytes():
        for name in ("package.json", "package-lock.json", ".npmrc", ".spectral.yaml"):
            shutil.copy(HERE / name, WORK)
        try:
            run("npm", "ci", seconds=INSTALL_S, installs=True)
        except SkippedError:
            lock.unlink()
            raise
    return folder


def redocly() -> Iterator[str]:
    """Yield the errors that Redocly finds."""
    found = answer_of(run(install_linters() / "redocly", "lint", "--format=json", "openapi.json"))
    assert isinstance(found, dict)
    for each in found["problems"]:
        if each["severity"] == "error":
            yield f"{each['location'][0].get('pointer')}: {each['message']}"


def spectral() -> Iterator[str]:
    """Yield the errors that Spectral finds."""
    found = answer_of(run(install_linters() / "spectral", "lint", "-f", "json", "openapi.json"))
    assert isinstance(found, list)
    for each in found:
        if each["severity"] == 0:
            yield f"{'/'.join(map(str, each['path']))}: {each['message']}"


def openapi_python_client() -> Iterator[str]:
    """Yield the operations that a generated Python client lacks, and its modules that cannot be imported."""
    venv = WORK / "venv"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "-q", "--clear", "--python", sys.executable, venv, seconds=INSTALL_S, installs=True)
    wanted = ("-r", HERE / "requirements.txt")
    run(uv, "pip", "install", "-q", "--python", venv, *wanted, seconds=INSTALL_S, installs=True)
    client = WORK / "client"
    shutil.rmtree(client, ignore_errors=True)
    generator = venv / "bin" / "openapi-python-client"
    said = run(generator, "generate", "--path", "openapi.json", "--meta=none", "--output-path", client)
    if "was not created" in said.stderr:
        yield said.stderr
        return
    if not client.exists():
        raise SkippedError("the generator broke off")
    made = {path.stem.replace("_", "") for path in client.glob("api/*/*.py")}
    for path, calls in document()["paths"].items():
        for method, call in calls.items():
            if call["operationId"].lower() not in made:
                yield f"no operation {method.upper()} {path}"
    modules = [".".join(path.relative_to(WORK).with_suffix("").parts) for path in client.rglob("*.py")]
    script = "\n".join(["import importlib", f"for each in {modules!r}: importlib.import_module(each)", "print('done')"])
    if "done" not in run(venv / "bin" / "python", "-c", script).stdout:
        yield "a module cannot be imported"


TOOLS: Final[tuple[Callable[[], Iterator[str]], ...]] = (redocly, spectral, openapi_python_client)


def main() -> int:
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "openapi.json").write_text(json.dumps(document()), encoding="utf-8")
    failed = False
    for tool in TOOLS:
        try:
            errors = list(tool())
        except SkippedError as reason:
            print(f"{tool.__name__}: skipped, {reason}", file=sys.stderr)
            continue
        for error in errors:
            print(f"{tool.__name__}: {error}", file=sys.stderr)
        print(f"{tool.__name__}: {len(errors)} errors")
        failed = failed or bool(errors)
    return failed


if __name__ == "__main__":
    sys.exit(main())
