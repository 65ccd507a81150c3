"""`commerce-event demo`: the main job, on one screen."""

import contextlib
import json
import sys
from typing import Annotated

import typer

from commerce_event.cli.errors import WorkFailedError
from commerce_event.cli.output import console

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
    be seen. With --once the exit code is 0 when every event reached every endpoint that wants it, else 1.
    """
    import uvloop

    from commerce_event import logs
    from commerce_event.cli import stage

    logs.configure("text")
    total = count if count is not None else (_ONCE_COUNT if once else None)
    quiet = as_json or not sys.stdout.isatty()
    with contextlib.suppress(KeyboardInterrupt):
        summary = uvloop.run(stage.run(total=total, rate=_ONCE_RATE if once else rate, seed=seed, quiet=quiet))
        if as_json:
            print(json.dumps(summary))
        else:
            console().print(stage.summary_table(summary))
        if summary["missing"] or summary["forged"]:
            raise WorkFailedError(
                f"{summary['missing']} deliveries are missing, {summary['forged']} had a bad signature"
            )
