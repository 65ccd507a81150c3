"""`commerce-event demo`: watch a server, a shop and receivers on one screen."""

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
        bool, typer.Option("--once", help="Send 300 events and changes, check what arrives, and exit.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, max=5_000, help="Events and changes per second.")] = 20.0,
    count: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Stop once this many events and changes are sent.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events and changes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Watch events leave a simulated shop, become durable and arrive at receivers on this machine.

    The shop sends its data changes too: stock, prices, customers. Event settings turn them into notifications, and
    these are compared with the notifications that the shop expects.

    Everything runs on 127.0.0.1 and in a temporary folder. Some requests are answered 503, to show retries. The exit
    code is 0 when the changes raised what they must and every event arrived at every endpoint that matches it, 1 when
    not, and 130 after Ctrl-C, because then nothing was checked.
    """
    import uvloop

    from commerce_event import logs
    from commerce_event.cli import demo_runner

    logs.configure("text", least=logging.WARNING)  # the screen shows the rest
    total = count if count is not None else (_ONCE_COUNT if once else None)
    show: demo_runner.Show = "nothing" if as_json else "screen" if sys.stdout.isatty() else "lines"
    summary = uvloop.run(demo_runner.run(total=total, rate=_ONCE_RATE if once else rate, seed=seed, show=show))
    if as_json:
        print_json(summary)
    else:
        console().print(demo_runner.summary_table(summary))
    if not summary["checked"]:
        raise interrupted(
            f"{summary['events']} events published, {summary['changes']} changes sent, {summary['arrived']} deliveries "
            "arrived; the rest was not checked"
        )
    if summary["mismatches"]:
        raise WorkFailedError(f"{summary['mismatches']} notifications are not as expected")
    if summary["missing"] or summary["forged"]:
        raise WorkFailedError(f"{summary['missing']} deliveries are missing, {summary['forged']} had a bad signature")
