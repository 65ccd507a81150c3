"""The sample handlers of the reference page, run as real programs and sent real requests."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from ports import free_port

from commerce_event.core.signatures import Signer, new_secret
from commerce_event.reference.samples import SAMPLES, Sample

DEADLINE_S: Final = 300.0  # go and java compile first, on a new machine everything
BODY: Final = '{"ClientId":1,"OrderNo":"SO-1","FirstName":"Åsa"}'.encode()
COMMANDS: Final = {
    "python": ["python3"],
    "javascript": ["node"],
    "java": ["java"],
    "php": ["php"],
    "go": ["go", "run"],
}
BY_LANGUAGE: Final = {sample.language: sample for sample in SAMPLES}


def command_of(sample: Sample, folder: Path, port: int) -> list[str]:
    path = folder / sample.filename
    path.write_text(sample.text, "utf-8")
    if sample.language == "php":
        return ["php", "-S", f"127.0.0.1:{port}", str(path)]
    return [*COMMANDS[sample.language], str(path)]


@asynccontextmanager
async def running(sample: Sample, folder: Path, secret: str) -> AsyncIterator[tuple[str, Path]]:
    """Run a handler; return its address and the file that it prints into."""
    port = free_port()
    environment = {
        **os.environ,
        "WEBHOOK_SECRET": secret,
        "PORT": str(port),
        "TMPDIR": str(folder),
        "GO111MODULE": "off",
    }
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            command_of(sample, folder, port), env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            await until_it_listens(process, port, printed)
            yield f"http://127.0.0.1:{port}/webhooks", printed
        finally:
            os.killpg(process.pid, 9)
            process.wait()


async def until_it_listens(process: subprocess.Popen[bytes], port: int, printed: Path) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            assert process.poll() is None, printed.read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def headers(secret: str, event_id: str = "evt_1", *, age_s: int = 0, body: bytes = BODY) -> dict[str, str]:
    sent_at = int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": Signer([secret]).header(event_id, sent_at, body),
        "commerce-event-type": "OrderConfirmedEvent",
    }


@pytest.mark.parametrize("language", COMMANDS)
async def test_sample_handler_accepts_signed_events_once_and_rejects_others(language: str, tmp_path: Path) -> None:
    if shutil.which(COMMANDS[language][0]) is None:
        pytest.skip(f"{COMMANDS[language][0]} is not installed here")
    secret, other = new_secret("hmac"), new_secret("hmac")
    async with running(BY_LANGUAGE[language], tmp_path, secret) as (url, printed), httpx.AsyncClient() as client:

        async def status(sent: dict[str, str], body: bytes = BODY) -> int:
            return (await client.post(url, headers=sent, content=body, timeout=DEADLINE_S)).status_code

        assert await status(headers(secret)) == 204
        assert await status(headers(secret)) == 204, "a repeat is fine"
        assert await status(headers(other)) == 401, "another secret"
        assert await status(headers(secret), BODY + b" ") == 401, "another body"
        assert await status(headers(secret, age_s=3600)) == 401, "too old"
        assert await status({"content-type": "application/json"}) == 401, "no signature"
        both = headers(secret, "evt_2")
        both["webhook-signature"] = f"v1a,AAAA {headers(other)['webhook-signature']} {both['webhook-signature']}"
        assert await status(both) == 204, "one of several signatures, as during a rotation"

        received = [line for line in printed.read_text().splitlines() if "received evt_" in line]
        assert [line.split("received ")[1].split()[:2] for line in received] == [
            ["evt_1", "OrderConfirmedEvent"],
            ["evt_2", "OrderConfirmedEvent"],
        ]


async def test_shell_sample_signature_is_accepted_by_handlers(tmp_path: Path) -> None:
    if shutil.which("openssl") is None or shutil.which("curl") is None:
        pytest.skip("openssl or curl is not installed here")
    secret = new_secret("hmac")
    script = tmp_path / "signed.sh"
    script.write_text(BY_LANGUAGE["curl"].text)
    async with running(BY_LANGUAGE["python"], tmp_path, secret) as (url, _):
        for given, wanted in ((secret, "204"), (new_secret("hmac"), "401")):
            environment = {**os.environ, "WEBHOOK_SECRET": given, "TARGET": url}
            run = await asyncio.to_thread(
                subprocess.run, ["sh", str(script)], env=environment, capture_output=True, text=True, check=True
            )
            assert run.stdout.strip() == wanted, run.stderr
