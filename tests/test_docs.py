"""What the documentation names exists."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from commerce_event.api.openapi import OPERATIONS
from commerce_event.api.operations import Operation
from commerce_event.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
COMMANDS = typer.main.get_command(app)
TEST = re.compile(r"`(test_\w+)`")
PATH = re.compile(r"`((?:src|tests|docs|deploy|requirements|benchmarks)(?:/\w[\w.-]*)+/?)`")
ROOMS = sorted(
    path.name for path in (ROOT / "src/commerce_event").iterdir() if path.is_dir() and path.name != "__pycache__"
)
MODULE = re.compile(rf"`((?:{'|'.join(ROOMS)})/[a-z_0-9/]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TESTS = {
    name
    for file in ROOT.glob("tests/**/test_*.py")
    for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_names_a_test_that_exists(page: Path) -> None:
    assert not set(TEST.findall(page.read_text("utf-8"))) - TESTS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_names_a_path_that_exists(page: Path) -> None:
    for path in PATH.findall(page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_links_to_a_file_that_exists(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def assert_module(name: str) -> None:
    path = ROOT / "src/commerce_event" / name
    assert path.is_dir() or path.with_suffix(".py").is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_names_a_module_that_exists(page: Path) -> None:
    for name in MODULE.findall(page.read_text("utf-8")):
        assert_module(name)


def test_architecture_picture_names_modules_that_exist() -> None:
    picture = tomllib.loads((ROOT / "docs/diagrams/architecture.toml").read_text("utf-8"))
    folders = [box for box in picture["box"] if box["title"].removesuffix("/") in ROOMS and "kind" not in box]

    assert len(folders) > 4
    for box in folders:
        assert_module(box["title"])
        for line in box["text"]:
            if re.fullmatch(r"\w+", line):
                assert_module(box["title"] + line)


def test_pictures_are_drawn_from_their_sources() -> None:
    subprocess.run([sys.executable, str(ROOT / "docs/diagrams/draw.py"), "--check"], check=True)


def test_architecture_page_names_every_folder() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")

    assert not [room for room in ROOMS if f"`{room}/`" not in page]


def test_troubleshooting_quotes_messages_that_exist() -> None:
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text("utf-8")
    source = " ".join(path.read_text("utf-8") for path in ROOT.glob("src/commerce_event/**/*.py")).lower()
    symptoms = re.findall(r"^\| `([^`]* [^`]*)`", page, re.MULTILINE)

    assert len(symptoms) >= 3
    for symptom in symptoms:
        assert symptom.strip("… ").lower() in source, symptom


def documented_commands(page: Path) -> list[str]:
    """Return what a page shows after ``commerce-event``, in blocks and in the text."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^(?: {4,}|.*\$ |sudo .*)?(?:\S+/)?commerce-event (.*)", text, re.MULTILINE)
    return [*blocks, *re.findall(r"`commerce-event ([^`]*)`", text)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_names_commands_and_options_that_exist(page: Path) -> None:
    for shown in documented_commands(page):
        command: Any = COMMANDS
        words = re.sub(r" [|>#].*", "", shown).split()
        while words and not words[0].startswith("-") and hasattr(command, "commands"):
            name = words.pop(0).strip(",.;")
            assert name in command.commands or name == "…", f"{shown}: there is no {name}"
            command = command.commands.get(name, command)
        options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
        options |= {"--install-completion"}
        for word in words:
            if re.match(r"--[a-z]", word):
                assert word.partition("=")[0].strip(",.;)") in options, f"{shown}: there is no {word}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_http_api_page_names_every_call(operation: Operation) -> None:
    page = (ROOT / "docs/reference/http-api.md").read_text("utf-8")
    parts = operation.path.split("/")
    last = next(part for part in reversed(parts) if not part.startswith("{"))

    assert operation.path in page or ("/".join(parts[:3]) in page and f"/{last}" in page)
