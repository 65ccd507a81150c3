"""The tutorial as a reader follows it: its receiver, its event and its answers, word for word but for the ports."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from command_line import Shell
from ports import free_port
from processes import ServerProcess

PAGE: Final = (Path(__file__).parents[2] / "docs/tutorial/first-event.md").read_text("utf-8")
DEADLINE_S: Final = 60.0


def code_of(step: str) -> str:
    """Return what is indented in a step, without the indentation."""
    section = PAGE.partition(f"\n## {step}")[2].partition("\n## ")[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ") or not line)


@contextmanager
def receiving(folder: Path, port: int, secret: str) -> Iterator[Path]:
    """Run the tutorial's receiver; yields the file that it prints into."""
    program = folder / "receiver.py"
    program.write_text(code_of("4.").replace("9000", str(port)).replace("whsec_…", secret), "utf-8")
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-u", str(program)], stdout=output, stderr=output)
        try:
            yield printed
        finally:
            process.kill()
            process.wait()


async def until_it_says(printed: Path, text: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while text not in printed.read_text("utf-8"):
            await asyncio.sleep(0.05)


async def test_the_tutorials_receiver_prints_the_tutorials_event_and_refuses_another_secret(
    server: ServerProcess, tmp_path: Path
) -> None:
    await server.start()
    shell, port = Shell(server), free_port()
    made = await shell.json("endpoints", "create", "--client", "1", "--to", f"http://127.0.0.1:{port}/webhooks")
    body = re.findall(r"echo '(\{.*\})'", code_of("5."))[0]
    publish = ("publish", "OrderConfirmedEvent", "--id", "order-1-confirmed")

    with receiving(tmp_path, port, made["secret"]) as printed:
        answer = (await shell(*publish, stdin=body)).out
        assert [line.split()[0] for line in answer.splitlines()] == ["id", "duplicate", "deliveries"]
        event_id = re.findall(r"evt_\w+", answer)[0]
        await until_it_says(printed, f"{event_id} OrderConfirmedEvent {body}")
        assert (await shell.json(*publish, stdin=body))["duplicate"] is True

    await shell("endpoints", "rotate-secret", made["id"], "--overlap", "0s")
    with receiving(tmp_path, port, made["secret"]) as printed:
        await shell.json("publish", "OrderConfirmedEvent", stdin=body)
        await until_it_says(printed, "refused:")
