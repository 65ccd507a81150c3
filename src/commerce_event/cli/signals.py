"""Being asked to stop: Ctrl-C, SIGTERM and a terminal that is closed end a command alike, with how far it got."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from commerce_event.cli.errors import CutOffError

_ASKED: Final = [signal.SIGINT]  # by which signal; Python itself turns SIGINT into KeyboardInterrupt


def heed_signals() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does. One that is ignored, as under nohup, stays so."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


@contextmanager
def telling(how_far: Callable[[], str]) -> Iterator[None]:
    """Make an interruption inside an end of the command that says how far it got."""
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted(how_far()) from None


def interrupted(how_far: str = "") -> CutOffError:
    """Return the end of a command that was asked to stop."""
    return CutOffError(f"Interrupted{how_far and ': '}{how_far}", _ASKED[0])


def stop_event() -> asyncio.Event:
    """Return what a signal sets from now on, instead of breaking into the running loop."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        _ASKED[0] = number
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, ask, number)
    return asked


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _ASKED[0] = signal.Signals(number)
    raise KeyboardInterrupt
