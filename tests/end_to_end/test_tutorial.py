"""Run the tutorial and the README's first event as a reader does: same code and commands, with other ports."""

import json
import re
import shlex
from pathlib import Path
from typing import Final

from command_line import Shell
from ports import free_port
from processes import ServerProcess
from receiver_program import receiving, until_it_says

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/tutorial/first-event.md").read_text("utf-8")
README: Final = (ROOT / "README.md").read_text("utf-8")


def code_of(step: str) -> str:
    """Return what is indented in a step, without the indentation."""
    section = PAGE.partition(f"\n## {step}")[2].partition("\n## ")[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ") or not line)


def served(code: str, port: int) -> str:
    """Return a program that does what ``uvicorn receiver:app`` does with the code."""
    return f"{code}\nimport uvicorn\nuvicorn.run(app, port={port})\n"


async def test_tutorial_receiver_prints_the_event_and_rejects_another_secret(
    server: ServerProcess, tmp_path: Path
) -> None:
    await server.start()
    shell, port = Shell(server), free_port()
    made = await shell.json("endpoints", "create", "--client", "1", "--to", f"http://127.0.0.1:{port}/webhooks")
    body = re.findall(r"echo '(\{.*\})'", code_of("5."))[0]
    compact = json.dumps(json.loads(body), separators=(",", ":"))
    publish = ("publish", "OrderConfirmedEvent", "--id", "order-1-confirmed")
    receiver = served(code_of("4."), port)

    with receiving(tmp_path, receiver.replace("whsec_…", made["secret"])) as printed:
        answer = (await shell(*publish, stdin=body)).out
        assert [line.split()[0] for line in answer.splitlines()] == ["id", "duplicate", "deliveries"]
        event_id = re.findall(r"evt_\w+", answer)[0]
        await until_it_says(printed, f"{event_id} OrderConfirmedEvent {compact}")
        assert (await shell.json(*publish, stdin=body))["duplicate"] is True

    await shell("endpoints", "rotate-secret", made["id"], "--overlap", "0s")
    with receiving(tmp_path, receiver.replace("whsec_…", made["secret"])) as printed:
        await shell.json("publish", "OrderConfirmedEvent", stdin=body)
        await until_it_says(printed, "answered 401: ")


async def test_readme_receiver_handles_the_event_once(server: ServerProcess, tmp_path: Path) -> None:
    await server.start()
    shell, port = Shell(server), free_port()
    section = README.partition("\n## Receive")[2].partition("\n## ")[0]
    [receiver] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    made = await shell.json("endpoints", "create", "--client", "1", "--to", f"http://127.0.0.1:{port}/")
    code = served(receiver, port).replace("whsec_…", made["secret"])

    with receiving(tmp_path, code.replace("inbox.db", str(tmp_path / "inbox.db"))) as printed:
        example = await shell.json("types", "OrderConfirmedEvent")
        event = json.dumps({**example["example"], "ClientId": 1, "OrderNo": "SO-1"})
        await shell.json("publish", "OrderConfirmedEvent", stdin=event)
        await until_it_says(printed, "send a mail for order SO-1")
        await shell.json("replays", "start", "--endpoint", made["id"], "--since", "1h", "--only", "all", "--wait")
        event = event.replace("SO-1", "SO-2")
        await shell.json("publish", "OrderConfirmedEvent", stdin=event)
        await until_it_says(printed, "send a mail for order SO-2")
        assert printed.read_text("utf-8").count("SO-1") == 1


async def test_readme_first_event_arrives_and_can_be_found_and_explained(server: ServerProcess, tmp_path: Path) -> None:
    await server.start()
    shell, port = Shell(server), str(free_port())
    section = README.partition("\n## Send a first event")[2].partition("\n## ")[0].replace("9000", port)
    receiver = re.findall(r"<<'EOF'\n(.*?)EOF\n", section, re.DOTALL)[0]
    body = re.findall(r"echo '(\{.*\})'", section)[0]
    create, publish, search, explain = (
        shlex.split(line, comments=True)
        for line in re.findall(r"\bcommerce-event ((?:endpoints|publish|events) .*)", section)
    )

    with receiving(tmp_path, receiver) as printed:
        await shell(*create)
        event_id = (await shell.json(*publish, stdin=body))["id"]
        await until_it_says(printed, f"{event_id} {body}")

    assert event_id in (await shell(*search)).out
    assert "http://127.0.0.1:" in (await shell(*(event_id if word == "evt_…" else word for word in explain))).out
