"""Read single key presses from a terminal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_READ_MAX: Final = 64  # bytes at once; more are pasted text


def has_keyboard() -> bool:
    """Tell whether a person at a terminal can press keys and see what they do; not for a command in the background."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def key_presses(on_key: Callable[[str], None]) -> Iterator[None]:
    """Call ``on_key`` on the running loop with each character that is typed in the block.

    Typed characters are not shown. Ctrl-C is still a signal. At the end the terminal is as it was before.
    """
    import termios
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    loop = asyncio.get_running_loop()

    def begin() -> None:
        tty.setcbreak(file, termios.TCSANOW)

    def read() -> None:
        try:
            typed = os.read(file, _READ_MAX)
        except OSError:  # the terminal has gone
            typed = b""
        if not typed:
            loop.remove_reader(file)
        for character in typed.decode(errors="ignore"):
            on_key(character)

    begin()
    loop.add_reader(file, read)
    loop.add_signal_handler(signal.SIGCONT, begin)  # a shell sets its own mode while the command is stopped
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(file)
        with suppress(termios.error):
            termios.tcsetattr(file, termios.TCSADRAIN, before)
