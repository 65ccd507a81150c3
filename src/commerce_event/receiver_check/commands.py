"""What the user gives to a check: how to count effects, and how to restart the receiver."""

import asyncio
import json
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from commerce_event.receiver_check.reasons import one_line

Count = Callable[[], Awaitable[int]]
Restarter = Callable[[], Awaitable[str | None]]  # returns why the user skips the restart, if so; raises RestartError

_OUTPUT_MAX: Final = 64 * 1024  # bytes
_COUNT_S: Final = 10.0
_RESTART_S: Final = 120.0
_INTEGER: Final = re.compile(r"\d+")
_NAMES: Final = ("effects", "count", "total", "value")


class EffectsError(Exception):
    """The number of effects could not be read; the message says why."""


class RestartError(Exception):
    """The receiver was not restarted; the message says why."""


def count_by_command(command: str) -> Count:
    """Return a count that runs a command and reads the number in its output. Raises ValueError for a wrong command."""
    words = _split(command)

    async def count() -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise EffectsError(f"{words[0]} cannot be run: {error.strerror}") from None
        try:
            async with asyncio.timeout(_COUNT_S):
                assert process.stdout is not None  # noqa: S101 - tells mypy that there is a pipe
                output = await _read(process.stdout)
                code = await process.wait()
        except TimeoutError:
            raise EffectsError(f"{words[0]} took longer than {_COUNT_S:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise EffectsError(f"{words[0]} ended with exit code {code}")
        return number_in(output)

    return count


async def _read(stream: asyncio.StreamReader) -> bytes:
    """Return everything up to the end. Raises EffectsError for more than a number and a few words need."""
    output = b""
    while piece := await stream.read(_OUTPUT_MAX):
        output += piece
        if len(output) > _OUTPUT_MAX:
            raise EffectsError(f"the output has more than {_OUTPUT_MAX} bytes")
    return output


def count_by_url(url: str, options: Mapping[str, Any]) -> Count:
    """Return a count that reads the number in the answer of a URL. ``options`` are those of httpx."""

    async def count() -> int:
        try:
            async with (
                asyncio.timeout(_COUNT_S),
                httpx.AsyncClient(**options, follow_redirects=False, timeout=_COUNT_S) as client,
                client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
            ):
                body = b""
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) >= _OUTPUT_MAX:
                        break
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise EffectsError(f"the URL of effects gave no answer ({type(error).__name__})") from None
        if not response.is_success:
            raise EffectsError(f"the URL of effects answered {response.status_code}")
        return number_in(body)

    return count


def number_in(output: bytes) -> int:
    """Return the number of effects: JSON (a number, or ``effects``, ``count``, …), or the only number in the text.

    Raises EffectsError.
    """
    text = output.decode("utf-8", "replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        content = next((content[name] for name in _NAMES if name in content), None)
    if isinstance(content, int) and not isinstance(content, bool):
        return content
    numbers = _INTEGER.findall(text)
    if len(numbers) != 1 or len(numbers[0]) > 18:
        raise EffectsError(f"there is no single number of effects in {one_line(text)!r}")
    return int(numbers[0])


def restart_by_command(command: str) -> Restarter:
    """Return a restart that runs a command. Raises ValueError for a wrong command."""
    words = _split(command)

    async def restart() -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise RestartError(f"{words[0]} cannot be run: {error.strerror}") from None
        try:
            async with asyncio.timeout(_RESTART_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise RestartError(f"{words[0]} took longer than {_RESTART_S:g} s") from None
        if code:
            raise RestartError(f"{words[0]} ended with exit code {code}")
        return None

    return restart


def _split(command: str) -> list[str]:
    words = shlex.split(command)
    if not words:
        raise ValueError("the command is empty")
    return words
