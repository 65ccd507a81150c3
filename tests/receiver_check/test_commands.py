"""Counts of effects and restarts that the user gives."""

import shlex
import sys

import pytest
import wrong_receivers

from commerce_event.receiver_check.commands import (
    EffectsError,
    RestartError,
    count_by_command,
    count_by_url,
    number_in,
    restart_by_command,
)


@pytest.mark.parametrize(
    ("output", "number"),
    [(b"12\n", 12), (b'{"effects": 3}', 3), (b'{"count": 0, "since": 2024}', 0), (b"mails sent: 7", 7)],
)
def test_number_of_effects_is_read(output: bytes, number: int) -> None:
    assert number_in(output) == number


@pytest.mark.parametrize("output", [b"", b"none", b"3 of 4", b'{"effects": "many"}', b"true", b"total: " + b"9" * 50])
def test_output_without_a_single_number_is_refused(output: bytes) -> None:
    with pytest.raises(EffectsError, match="no single number"):
        number_in(output)


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


async def test_command_counts_effects() -> None:
    assert await count_by_command(python("print('mails: 4')"))() == 4


async def test_command_that_writes_its_number_in_two_pieces_is_read_to_the_end() -> None:
    program = "import time; print(1, end='', flush=True); time.sleep(0.3); print(2)"
    assert await count_by_command(python(program))() == 12


async def test_command_that_writes_without_an_end_is_stopped() -> None:
    with pytest.raises(EffectsError, match="more than 65536 bytes"):
        await count_by_command(python("while True: print('x' * 10_000)"))()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "cannot be run: No such file or directory"),
        (python("raise SystemExit(3)"), "ended with exit code 3"),
        (python("print('none')"), "no single number"),
    ],
)
async def test_command_that_does_not_count_says_why(command: str, reason: str) -> None:
    with pytest.raises(EffectsError, match=reason):
        await count_by_command(command)()


@pytest.mark.parametrize("answer", ["7", '{"effects": 7}'])
async def test_url_counts_effects(answer: str) -> None:
    class Counter(wrong_receivers.ReadyReceiver):
        def get(self) -> str:
            return answer

    with Counter().running() as receiver:
        assert await count_by_url(receiver.url, {"trust_env": False})() == 7


async def test_url_that_does_not_count_says_why() -> None:
    with wrong_receivers.ReadyReceiver().running() as receiver, pytest.raises(EffectsError, match="answered 405"):
        await count_by_url(receiver.url, {"trust_env": False})()
    with pytest.raises(EffectsError, match="gave no answer"):
        await count_by_url(receiver.url, {"trust_env": False})()


async def test_command_restarts_or_says_why_not() -> None:
    assert await restart_by_command(python("pass"))() is None
    with pytest.raises(RestartError, match="ended with exit code 3"):
        await restart_by_command(python("raise SystemExit(3)"))()
    with pytest.raises(RestartError, match="cannot be run"):
        await restart_by_command("/no/such/program")()
