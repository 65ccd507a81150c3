"""Follow the quick starts literally: their files, their commands, real servers and signed events over sockets."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ports import free_port
from postgres import in_database, server_url

from function_hosts import Shape, azure_host, binary_rest_api, function_url, http_api, lambda_runtime, rest_api
from quick_start import PAGES, QuickStart, following
from signed_requests import ORDER_BODY, signed_headers

Follow = Callable[[str], QuickStart]
_LINES = re.MULTILINE | re.DOTALL
EXPORT = "export COMMERCE_EVENT_SECRET=whsec_$(openssl rand -base64 32)"


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Return what opens a page; its servers end with the test."""
    opened: list[Any] = []

    def open_page(page: str) -> QuickStart:
        opened.append(following(page, tmp_path, free_port()))
        start: QuickStart = opened[-1].__enter__()
        return start

    yield open_page
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture
def database() -> Iterator[str]:
    """Return the URL of a PostgreSQL database with the table of the shop."""
    name = f"shop_{free_port()}"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = in_database(server_url(), name)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE shop_order (number text)")
    yield url
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def orders_in(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM shop_order")]


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("receive-with-fastapi.md", "Receive an event"),
        ("receive-with-fastapi.md", "Starlette"),
        ("receive-with-litestar.md", "Receive an event"),
        ("receive-with-django.md", "Receive an event"),
        ("receive-with-flask.md", "Receive an event"),
        ("receive-with-asgi-and-wsgi.md", "ASGI"),
    ],
)
def test_quick_start_with_a_handler_prints_the_order(follow: Follow, page: str, heading: str) -> None:
    start = follow(page)
    start.run(EXPORT)
    assert "204" in start.follow(heading)
    start.wait_until_printed("confirmed SO-1")
    assert start.send("evt_1", ORDER_BODY) == 204
    start.wait_until_printed("confirmed 884211")
    assert start.send("evt_2", b"{}") == 400


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("receive-with-fastapi.md", "Answer first, and work later"),
        ("receive-with-litestar.md", "Answer first, and work later"),
        ("receive-with-flask.md", "Answer first, and work later"),
        ("receive-with-asgi-and-wsgi.md", "WSGI"),
    ],
)
def test_quick_start_with_an_inbox_handles_an_event_once(follow: Follow, page: str, heading: str) -> None:
    start = follow(page)
    start.run(EXPORT)
    assert "202" in start.follow(heading)
    start.wait_until_printed("confirmed SO-1")
    assert [start.send("evt_1", ORDER_BODY) for _ in range(3)] == [202] * 3
    start.send("evt_2", ORDER_BODY.replace(b"884211", b"884212"))
    start.wait_until_printed("confirmed 884211")
    start.wait_until_printed("confirmed 884212")
    start.stop_servers()
    assert start.log.read_text("utf-8").count("confirmed 884211") == 1


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("receive-with-fastapi.md", "Use the session of your application"),
        ("receive-with-flask.md", "Book an order once"),
    ],
)
def test_quick_start_with_a_transaction_books_an_order_once(follow: Follow, page: str, heading: str) -> None:
    start = follow(page)
    start.run(EXPORT)
    assert start.follow(heading).rstrip().endswith('["SO-1"]')
    assert [start.send("evt_1", ORDER_BODY) for _ in range(3)] == [204] * 3
    assert json.loads(start.run(start.commands_run[-1])) == ["SO-1", "884211"]


def test_quick_start_with_django_books_an_order_once_in_every_way(follow: Follow) -> None:
    start = follow("receive-with-django.md")
    start.follow("Receive an event")
    start.stop_servers()
    assert "['SO-1']" in start.follow("Book an order once")
    assert [start.send("evt_1", ORDER_BODY) for _ in range(2)] == [204] * 2
    start.stop_servers()
    assert "202" in start.follow("Answer first, and work later")
    show = start.commands_run[-1]
    assert [start.send(name, ORDER_BODY) for name in ("evt_1", "evt_2", "evt_2")] == [202] * 3
    start._wait(lambda: "['SO-1', '884211', 'SO-2', '884211']" in start.run(show), "the worker has not booked")
    start.stop_servers()
    assert "202" in start.follow("Under ASGI")


@pytest.mark.parametrize("shape", [rest_api, binary_rest_api, http_api, function_url])
def test_quick_start_with_lambda_runs_under_the_runtime_client_of_aws(follow: Follow, shape: Shape) -> None:
    with running_on_lambda(follow("receive-with-aws-lambda.md"), "Receive an event", shape) as start:
        assert start.send("evt_1", ORDER_BODY) == 204
        assert start.send("evt_1", b"{}") == 400
        start.wait_until_printed("confirmed 884211")


def test_quick_start_with_lambda_and_a_database_books_an_order_once(follow: Follow, database: str) -> None:
    start = follow("receive-with-aws-lambda.md")
    start.environment["DATABASE"] = database
    with running_on_lambda(start, "Book an order once", http_api):
        assert [start.send("evt_1", ORDER_BODY) for _ in range(3)] == [204] * 3
    assert orders_in(database) == ["884211"]


class running_on_lambda:  # noqa: N801 - reads like a function
    """Run the function of a page in a process with the runtime client of AWS, behind a gateway."""

    def __init__(self, start: QuickStart, heading: str, shape: Shape) -> None:
        self._start = start
        self._heading = heading
        self._gateway = lambda_runtime(shape)

    def __enter__(self) -> QuickStart:
        start = self._start
        start.run(EXPORT)
        start.follow(self._heading)
        start.port, api = self._gateway.__enter__()
        environment = {**start.environment, "AWS_LAMBDA_RUNTIME_API": api, "LAMBDA_TASK_ROOT": str(start.folder)}
        with start.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", "shop.lambda_handler"],
                cwd=start.folder,
                env=environment,
                stdout=output,
                stderr=output,
            )
        return start

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._gateway.__exit__(None, None, None)


def test_quick_start_with_azure_functions_prints_the_order(
    follow: Follow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = follow("receive-with-azure-functions.md")
    start.run(EXPORT)
    start.follow("Receive an event")
    monkeypatch.setenv("COMMERCE_EVENT_SECRET", start.secret)
    with azure_host(runpy.run_path(str(start.folder / "function_app.py"))["app"]) as start.port:
        assert start.send("evt_1", ORDER_BODY) == 204
        assert start.send("evt_1", b"{}") == 400
    assert "confirmed 884211" in capsys.readouterr().out


def test_quick_start_with_azure_functions_and_a_database_books_an_order_once(
    follow: Follow, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    start = follow("receive-with-azure-functions.md")
    start.run(EXPORT)
    start.follow("Book an order once")
    monkeypatch.setenv("COMMERCE_EVENT_SECRET", start.secret)
    monkeypatch.setenv("DATABASE", database)
    with azure_host(runpy.run_path(str(start.folder / "function_app.py"))["app"]) as start.port:
        assert [start.send("evt_1", ORDER_BODY) for _ in range(3)] == [204] * 3
    assert orders_in(database) == ["884211"]


def test_programs_of_the_quick_starts_are_clean_under_strict_mypy(tmp_path: Path) -> None:
    """Those of Django are left out, because Django itself has no types."""
    for page in PAGES.glob("receive-with-*.md"):
        programs = re.findall(r"^```python\n(# (?:shop|function_app)\.py\n.*?)^```$", page.read_text("utf-8"), _LINES)
        for number, program in enumerate(programs):
            (tmp_path / f"{page.stem.replace('-', '_')}_{number}.py").write_text(program, "utf-8")
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    assert len(files) > 10
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_overview_shows_a_receiver_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (PAGES / "index.md").read_text("utf-8"), _LINES)
    made: dict[str, Any] = {}
    exec(code, made)
    (secret,) = re.findall(r'"(whsec_.*?)"', code)
    assert made["receiver"].handle(signed_headers(secret=secret), ORDER_BODY).status == 204
    assert capsys.readouterr().out == "confirmed 884211\n"


def test_every_section_with_code_is_followed() -> None:
    followed = Path(__file__).read_text("utf-8")
    for page in PAGES.glob("receive-with-*.md"):
        for section in page.read_text("utf-8").split("\n## ")[1:]:
            if "```python" in section:
                assert f'"{section.splitlines()[0]}"' in followed, f"{page.name}: {section.splitlines()[0]}"
