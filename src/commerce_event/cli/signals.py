"""Signals: Ctrl-C, SIGTERM and a closed terminal end a command in the same way, and it says how far it got."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from commerce_event.cli.errors import InterruptedCommandError

_RECEIVED: Final = [signal.SIGINT]  # the last signal; Python itself turns SIGINT into KeyboardInterrupt


def handle_signals() -> None:
    """Treat SIGTERM and SIGHUP like Ctrl-C. A signal that is ignored, as under nohup, stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


@contextmanager
def report_interrupt(progress: Callable[[], str]) -> Iterator[None]:
    """End the command when it is interrupted inside the block, with ``progress()`` as the message."""
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted(progress()) from None


def interrupted(progress: str = "") -> InterruptedCommandError:
    """Return the error that ends an interrupted command."""
    return InterruptedCommandError(f"Interrupted{progress and ': '}{progress}", _RECEIVED[0])


def stop_event() -> asyncio.Event:
    """Return an event that signals set from now on, instead of interrupting the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(number: signal.Signals) -> None:
        _RECEIVED[0] = number
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, handle, number)
    return stop


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _RECEIVED[0] = signal.Signals(number)
    raise KeyboardInterrupt
