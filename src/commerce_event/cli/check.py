"""`commerce-event check`: is a receiver ready?"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import AsJson, complete_types, no_such_type
from commerce_event.cli.output import clean, console, print_json
from commerce_event.cli.proxies import connection_options
from commerce_event.cli.receiver_options import Header, Secret, check_secret, checked_headers, checked_url

if TYPE_CHECKING:
    from rich.status import Status

    from commerce_event.receiver_check.commands import Count, Restarter
    from commerce_event.receiver_check.http_client import HttpClient
    from commerce_event.receiver_check.model import Limits, Result, Rule
    from commerce_event.receiver_check.requests import RequestMaker

_STYLES = {"passed": "green", "warned": "yellow", "failed": "red", "skipped": "dim"}


def _complete_rules(incomplete: str) -> list[str]:
    from commerce_event.receiver_check.rules import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def check(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the receiver takes events.")],
    secret: Secret = None,
    header: Header = None,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Event type to send (default OrderConfirmedEvent); may be repeated.",
            autocompletion=complete_types,
        ),
    ] = None,
    client_id: Annotated[int, typer.Option("--client", help="ClientId of the events.")] = 1,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, max=60, help="How long the sender waits for an answer, in seconds.")
    ] = 5.0,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Check only this rule; may be repeated.", autocompletion=_complete_rules),
    ] = None,
    effects_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A GET returns how many times the receiver has done its work so far."),
    ] = None,
    effects_command: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="A command that prints how many times the receiver has done its work so far."),
    ] = None,
    restart_command: Annotated[
        str | None, typer.Option(metavar="CMD", help="A command that restarts the receiver, for the rule restart.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JUnit XML too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a receiver is ready: send what receivers often fail at, and say what to fix for each failed rule.

    No server is needed. The receiver does real work for the events: check a test installation. Exit code 1 when a rule
    failed, 2 when nothing answers at the URL.

    Example: commerce-event check http://localhost:3000/hook --secret whsec_…
    """
    from commerce_event.receiver_check.http_client import HttpClient
    from commerce_event.receiver_check.runner import Runner

    url = checked_url(url, "URL")
    options, _ = connection_options(url)
    rules = _wanted_rules(only)
    maker = _request_maker(secret, header, type_ or [], client_id, _limits(timeout_s))
    count = _count(effects_url, effects_command)
    progress = _Progress(as_json=as_json)
    restart = _restart(restart_command, progress)
    if junit is not None and not junit.parent.is_dir():
        raise UsageError(f"{junit} cannot be written: there is no folder {junit.parent}")

    async def run() -> list["Result"]:
        async with HttpClient(url, timeout_s, options) as client:
            await _check_reachable(client, url, count)
            runner = Runner(client, maker, count=count, restart=restart, on_start=progress.start)
            results = []
            async for result in runner.run(rules):
                progress.end(result)
                results.append(result)
            return results

    with progress:
        progress.head(url, maker)
        results = asyncio.run(run())
    _finish(url, maker, results, junit, has_count=count is not None, as_json=as_json)


async def _check_reachable(client: "HttpClient", url: str, count: "Count | None") -> None:
    """Raise UsageError when nothing can be checked."""
    from commerce_event.receiver_check.commands import EffectsError
    from commerce_event.receiver_check.http_client import UnreachableError
    from commerce_event.receiver_check.report import shown_url

    try:
        await client.probe()
        if count is not None:
            await count()
    except UnreachableError as error:
        raise UsageError(
            f"Nothing can be sent to {shown_url(url)} ({error}); start the receiver, or correct the URL"
        ) from None
    except EffectsError as error:
        raise UsageError(f"Effects cannot be counted: {error}") from None


def _finish(
    url: str, maker: "RequestMaker", results: Sequence["Result"], junit: Path | None, *, has_count: bool, as_json: bool
) -> None:
    """Write the reports. Raises WorkFailedError when a rule failed."""
    from commerce_event.receiver_check import report

    done = report.Report(url=url, types=[each.name for each in maker.types], counts_effects=has_count, results=results)
    if as_json:
        print_json(report.as_data(done))
    else:
        for note in done.notes():
            print(f"\nNote: {clean(note)}")
        print(f"\n{report.summary(done)}")
    if junit is not None:
        junit.write_bytes(report.as_junit(done))
    if done.has_failed:
        failed = [result.rule.name for result in results if result.verdict.state == "failed"]
        raise WorkFailedError(f"the receiver is not ready: {', '.join(failed)} failed")


def _limits(timeout_s: float) -> "Limits":
    from commerce_event.receiver_check.model import Limits

    limits = Limits()
    return Limits(answer_s=timeout_s, slow_body_s=limits.slow_body_s * min(1.0, timeout_s / limits.answer_s))


def _wanted_rules(names: list[str] | None) -> Sequence["Rule"]:
    from commerce_event.contract.near_names import nearest_name
    from commerce_event.receiver_check.rules import NAMES, RULES

    for name in names or []:
        if name not in NAMES:
            near = nearest_name(name, NAMES)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(NAMES)}"
            raise UsageError(f"There is no rule {name!r}; {hint}")
    return [rule for rule in RULES if not names or rule.name in names]


def _request_maker(
    secret: str | None, header: list[str] | None, types: list[str], client_id: int, limits: "Limits"
) -> "RequestMaker":
    from commerce_event.contract.catalogue import EVENT_TYPES
    from commerce_event.receiver_check.requests import RequestMaker, known_types
    from commerce_event.simulate.sample_event import SampleEvents

    headers = checked_headers(header)
    if secret is not None:
        check_secret(secret)
    elif not headers:
        raise UsageError(
            "Give the receiver's secret with --secret whsec_…; for a sender without signatures, --header 'Name: value'"
        )
    for name in types:
        if name not in EVENT_TYPES:
            raise UsageError(no_such_type(name))
    return RequestMaker(
        secret=secret,
        headers=headers,
        types=known_types(types),
        sample=SampleEvents(secrets.randbits(32), client_id).next,
        random_bytes=os.urandom,
        now_ms=lambda: time.time_ns() // 1_000_000,
        limits=limits,
    )


def _count(url: str | None, command: str | None) -> "Count | None":
    from commerce_event.receiver_check.commands import count_by_command, count_by_url

    if url is not None and command is not None:
        raise UsageError("--effects-url and --effects-command exclude each other")
    if url is not None:
        url = checked_url(url, "--effects-url")
        options, _ = connection_options(url)
        return count_by_url(url, options)
    if command is not None:
        try:
            return count_by_command(command)
        except ValueError as error:
            raise UsageError(f"--effects-command cannot be read: {error}") from None
    return None


def _restart(command: str | None, progress: "_Progress") -> "Restarter | None":
    from commerce_event.receiver_check.commands import restart_by_command

    if command is not None:
        try:
            return restart_by_command(command)
        except ValueError as error:
            raise UsageError(f"--restart-command cannot be read: {error}") from None
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    async def ask() -> str | None:
        return await progress.ask("Restart the receiver now, then press Enter; or enter s to skip this rule: ")

    return ask


class _Progress:
    """Shows which rule runs, on a terminal, and prints each rule when it has ended, unless JSON is wanted."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = console()
        shown = console(stderr=True) if as_json or not self._out.is_terminal else self._out
        self._status: Status | None = shown.status("connecting") if shown.is_terminal else None

    def __enter__(self) -> None:
        if self._status is not None:
            self._status.start()

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def head(self, url: str, maker: "RequestMaker") -> None:
        from rich.text import Text

        from commerce_event.receiver_check.report import shown_url

        if not self._as_json:
            types = ", ".join(each.name for each in maker.types)
            self._out.print(Text(clean(f"Checking {shown_url(url)} with {types}")), end="\n\n")

    def start(self, rule: "Rule") -> None:
        if self._status is not None:
            self._status.update(f"checking {rule.name}")

    def end(self, result: "Result") -> None:
        from rich.text import Text

        from commerce_event.receiver_check.report import text_of

        if self._as_json:
            return
        first, *others = map(clean, text_of(result))
        self._out.print(Text(first, style=_STYLES[result.verdict.state]))
        for line in others:
            self._out.print(Text(line))

    async def ask(self, question: str) -> str | None:
        """Wait for the user. Return why the rule is skipped, if so."""
        if self._status is not None:
            self._status.stop()
        print(question, end="", file=sys.stderr, flush=True)
        await _line_to_read()
        answer = sys.stdin.readline()
        if self._status is not None:
            self._status.start()
        return "skipped by the user" if not answer or answer.strip().lower().startswith("s") else None


async def _line_to_read() -> None:
    """Wait until a line was entered. Reading at once would block the loop, and with it the end by Ctrl-C."""
    loop = asyncio.get_running_loop()
    entered = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), entered.set)
    try:
        await entered.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
