"""Run rules: do the steps that they ask for, one rule after the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from commerce_event.receiver_check.commands import Count, EffectsError, Restarter, RestartError
from commerce_event.receiver_check.http_client import HttpClient, UnreachableError
from commerce_event.receiver_check.model import (
    Answer,
    CountEffects,
    Limits,
    Result,
    Rule,
    Send,
    Step,
    Verdict,
    failed,
    skipped,
)
from commerce_event.receiver_check.requests import RequestMaker
from commerce_event.receiver_check.rules import FIRST

_POLL_S: Final = 0.1


class Runner:
    """Runs rules against one receiver."""

    def __init__(
        self,
        client: HttpClient,
        maker: RequestMaker,
        *,
        count: Count | None = None,
        restart: Restarter | None = None,
        on_start: Callable[[Rule], None] = lambda _: None,
    ) -> None:
        """``count`` returns the number of effects so far. ``on_start`` is called when a rule begins."""
        self._client = client
        self._maker = maker
        self._limits: Limits = maker.limits
        self._count = count
        self._restart = restart
        self._on_start = on_start

    async def run(self, rules: Sequence[Rule]) -> AsyncIterator[Result]:
        """Yield the result of each rule. When the first rule of all fails, the others are skipped."""
        is_refused = False
        for rule in rules:
            self._on_start(rule)
            reason = self._reason_to_skip(rule)
            if reason is None and is_refused:
                reason = f"a plain event is not accepted; see {FIRST.name}"
            result = await self._run(rule) if reason is None else _skip(rule, reason)
            is_refused = is_refused or (rule is FIRST and result.verdict.state == "failed")
            yield result

    def _reason_to_skip(self, rule: Rule) -> str | None:
        if rule.needs == "secret" and not self._maker.is_signed:
            return "the sender has no secret"
        if rule.needs == "static_header" and self._maker.is_signed:
            return "for senders without signatures only"
        return None

    async def _run(self, rule: Rule) -> Result:
        started = time.monotonic()
        answers: list[Answer] = []
        plan = rule.plan(self._maker)
        try:
            step = next(plan)
            while True:
                step = plan.send(await self._do(step, answers))
        except StopIteration as ended:
            verdict: Verdict = ended.value
        except EffectsError as error:
            verdict = failed(f"effects cannot be counted: {error}")
        except RestartError as error:
            verdict = failed(f"the receiver was not restarted: {error}")
        return Result(rule=rule, verdict=verdict, duration_s=time.monotonic() - started, answers=answers)

    async def _do(self, step: Step, answers: list[Answer]) -> list[Answer] | int | str | None:
        if isinstance(step, Send):
            received = await self._client.send_all(step.requests)
            answers += received
            return received
        if isinstance(step, CountEffects):
            return None if self._count is None else await self._settled(self._count, step.more_than)
        return await self._restarted()

    async def _settled(self, count: Count, more_than: int | None) -> int:
        """Return the number of effects when it has stayed the same for a while; the last one when time is up."""
        deadline = time.monotonic() + self._limits.effects_s
        effects, since = await count(), time.monotonic()
        while (now := time.monotonic()) < deadline:
            is_enough = more_than is None or effects > more_than
            if is_enough and now - since >= self._limits.settle_s:
                break
            await asyncio.sleep(_POLL_S)
            latest = await count()
            if latest != effects:
                effects, since = latest, time.monotonic()
        return effects

    async def _restarted(self) -> str | None:
        if self._restart is None:
            return "it needs a restart of the receiver; give --restart-command, or run the check in a terminal"
        reason = await self._restart()
        if reason is not None:
            return reason
        deadline = time.monotonic() + self._limits.restart_s
        while time.monotonic() < deadline:
            try:
                await self._client.probe()
            except UnreachableError:
                await asyncio.sleep(_POLL_S)
            else:
                return None
        raise RestartError(f"it accepts no connections {self._limits.restart_s:g} s after the restart")


def _skip(rule: Rule, reason: str) -> Result:
    return Result(rule=rule, verdict=skipped(reason), duration_s=0.0)
