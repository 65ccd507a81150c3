"""One scenario from start to end, as a process of its own: `trial NAME SECONDS MEMORY_MB` prints its result as JSON.

The server, tenant B and the caller are three processes. The caller has the lowest priority, so that what B sees comes
from the server and not from the work of causing trouble.
"""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from typing import Any, Final

import msgspec
import uvloop

from benchmarks.isolation import names
from benchmarks.isolation.caller import Caller
from benchmarks.isolation.client import Request, call
from benchmarks.isolation.probe import CLIENT_ID as B
from benchmarks.isolation.probe import Samples
from benchmarks.isolation.registry import Attack, Scenario
from benchmarks.isolation.results import Phase, Result, phase_of, refusals
from benchmarks.isolation.scenarios import SCENARIOS
from benchmarks.isolation.server import STOP_S, Server, ServerError

SETUP_S: Final = 15.0
SETTLE_S: Final = 0.5
BEFORE_S: Final = 2.0
AFTER_S: Final = 3.0
AGAIN_S: Final = 1.0  # of the same once more, before SIGTERM
_NICE: Final = 10
_PROBE_S: Final = 15.0  # for what the probe saw
_POLL_S: Final = 0.05


class Trial:
    """A scenario under way."""

    def __init__(self, scenario: Scenario, attack_s: float, memory_max_mb: int) -> None:
        self._scenario = scenario
        self._attack_s = attack_s
        self._memory_max_mb = memory_max_mb
        self._figures: dict[str, Any] = {}
        self._error: str | None = None

    async def run(self) -> Result:
        began = time.monotonic()
        try:
            with Server(self._scenario.environment, self._scenario.open_files) as server:
                await self._on(server)
        except ServerError as error:
            self._error = str(error)
        total_s = round(time.monotonic() - began, 1)
        return Result(scenario=self._scenario.name, error=self._error, total_s=total_s, **self._figures)

    async def _on(self, server: Server) -> None:
        watching = asyncio.create_task(self._watch_memory(server))
        caller = Caller(server.port, server.admin_key, await _new_key(server, 1))
        probe = await _start_probe(server, await _new_key(server, B), by_name=self._scenario.silent_names)
        os.nice(_NICE)
        try:
            attack = await self._prepare(caller)
            if attack is not None:
                self._figures |= await self._phases(probe, attack)
                self._figures["stop_s"] = await self._stop(server, attack)
                self._figures["exit_code"] = None if self._figures["stop_s"] is None else server.exit_code()
        finally:
            if probe.returncode is None:
                probe.kill()
            watching.cancel()
            caller.close()
        self._figures["memory_mb"] = server.peak_memory_mb
        self._figures["caller"] = dict(caller.answers)
        self._figures["receiver_connections"] = caller.receivers.connections

    async def _prepare(self, caller: Caller) -> Attack | None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(SETUP_S):
                return await self._scenario.prepare(caller)
        except Exception as error:
            self._error = f"preparing failed: {str(error) or type(error).__name__}"
            return None
        finally:
            self._figures["setup_s"] = round(time.monotonic() - began, 1)

    async def _phases(self, probe: asyncio.subprocess.Process, attack: Attack) -> dict[str, Any]:
        """Run the attack under B's eyes; return what B saw."""
        await asyncio.sleep(SETTLE_S)
        start = time.monotonic()
        if probe.stdin is None or probe.stdout is None:
            raise RuntimeError("the probe has no pipes")
        probe.stdin.write(b"start\n")
        await asyncio.sleep(BEFORE_S)
        probe.stdin.write(b"attack\n")
        attack_start = time.monotonic()
        await self._attack(attack, self._attack_s)
        attack_end = time.monotonic()
        await asyncio.sleep(AFTER_S)
        probe.stdin.close()
        samples = msgspec.json.decode(await asyncio.wait_for(probe.stdout.read(), _PROBE_S), type=Samples)
        phases: dict[str, Phase] = {
            "before": phase_of(samples, start, attack_start),
            "during": phase_of(samples, attack_start, attack_end),
            "after": phase_of(samples, attack_end, time.monotonic()),
        }
        return {**phases, "refusals": dict(Counter(refusals([*samples.publishes, *samples.others])))}

    async def _attack(self, attack: Attack, seconds: float) -> None:
        """Run the attack, and wait for the rest of the time when it ends early."""
        end = time.monotonic() + seconds
        attacking = asyncio.ensure_future(attack())
        await asyncio.wait([attacking], timeout=seconds)
        if attacking.done() and (failure := attacking.exception()) is not None:
            self._error = f"the attack failed: {failure!r}"
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        await _cancel(attacking)

    async def _stop(self, server: Server, attack: Attack) -> float | None:
        """Send SIGTERM in the middle of the same attack; return how long the server took to end, None when killed."""
        attacking = asyncio.ensure_future(attack())
        await asyncio.wait([attacking], timeout=AGAIN_S)
        if not server.is_running:
            return None
        start = time.monotonic()
        server.terminate()
        while server.is_running and time.monotonic() < start + STOP_S:  # noqa: ASYNC110 - a process
            await asyncio.sleep(_POLL_S)
        took_s = None if server.is_running else round(time.monotonic() - start, 1)
        server.kill()
        await _cancel(attacking)
        return took_s

    async def _watch_memory(self, server: Server) -> None:
        """Keep the peak, and end a server that would take the memory of the machine."""
        while True:
            if server.update_memory() > self._memory_max_mb:
                self._figures["note"] = f"killed at {server.peak_memory_mb} MB to protect the machine"
                server.kill()
                return
            await asyncio.sleep(_POLL_S)


async def _new_key(server: Server, client_id: int) -> str:
    body = {"role": "manage", "client_ids": [client_id], "name": f"client {client_id}"}
    answer = await call(server.port, Request("POST", "/v1/keys", body, server.admin_key))
    return str(answer.json()["key"])


async def _start_probe(server: Server, key: str, *, by_name: bool) -> asyncio.subprocess.Process:
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.isolation.probe", str(server.port), key),
        *(("--by-name",) if by_name else ()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**26,
    )
    if probe.stdout is None or not await probe.stdout.readline():
        raise RuntimeError("the probe did not start")
    return probe


async def _cancel(attacking: "asyncio.Future[None]") -> None:
    attacking.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await attacking


def main(name: str, attack_s: float, memory_max_mb: int) -> None:
    """Run a scenario and print its result."""
    scenario = SCENARIOS[name]
    if scenario.silent_names:
        names.serve_names()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = uvloop.run(Trial(scenario, attack_s, memory_max_mb).run())
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
