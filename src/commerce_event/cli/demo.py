"""`commerce-event demo`: the main job, on one screen."""

import logging
import sys
from typing import Annotated

import typer

from commerce_event.cli.errors import WorkFailedError
from commerce_event.cli.output import console, print_json
from commerce_event.cli.signals import interrupted

_ONCE_COUNT = 300
_ONCE_RATE = 1_000.0


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="A bounded round: publish, check that all arrived, exit.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, max=5_000, help="Events a second.")] = 20.0,
    count: Annotated[int | None, typer.Option(min=1, max=100_000, help="Stop after so many events.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shop life.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Watch the main job: events leave a simulated shop, become durable and reach receivers on this machine.

    Everything runs in a temporary folder and on 127.0.0.1. Now and then a receiver answers 503, so that retries can
    be seen. The exit code is 0 when every event reached every endpoint that wants it, 1 when not; after
    Ctrl-C it is 130, for then it was not checked.
    """
    import uvloop

    from commerce_event import logs
    from commerce_event.cli import demo_runner

    logs.configure("text", least=logging.WARNING)  # its screen tells the rest
    total = count if count is not None else (_ONCE_COUNT if once else None)
    show: demo_runner.Show = "nothing" if as_json else "screen" if sys.stdout.isatty() else "lines"
    summary = uvloop.run(demo_runner.run(total=total, rate=_ONCE_RATE if once else rate, seed=seed, show=show))
    if as_json:
        print_json(summary)
    else:
        console().print(demo_runner.summary_table(summary))
    if not summary["checked"]:
        raise interrupted(
            f"{summary['events']} events published, {summary['arrived']} deliveries arrived; the rest is not checked"
        )
    if summary["missing"] or summary["forged"]:
        raise WorkFailedError(f"{summary['missing']} deliveries are missing, {summary['forged']} had a bad signature")
