"""The scenarios by name."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from benchmarks.isolation.caller import Caller

Attack = Callable[[], Awaitable[None]]
"""What the caller does; it is cancelled at the end, and may be started again."""
Prepare = Callable[[Caller], Awaitable[Attack]]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One way to cost others something, as far as the limits allow."""

    name: str
    kind: str  # what the caller uses: the module of the scenario
    summary: str
    details: str
    prepare: Prepare
    environment: Mapping[str, str] = {}  # settings of the server
    open_files: int | None = None  # the server's limit; None: as this process has it
    silent_names: bool = False  # needs a name server of its own


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(
    *, environment: Mapping[str, str] | None = None, open_files: int | None = None, silent_names: bool = False
) -> Callable[[Prepare], Prepare]:
    """Register a function: it prepares, and returns the attack. Its docstring says what the caller does."""

    def register(prepare: Prepare) -> Prepare:
        function_name = getattr(prepare, "__name__", "")
        name = function_name.replace("_", "-")
        if name in SCENARIOS:
            raise ValueError(f"there are two scenarios with the name {name}")
        summary, _, details = inspect.cleandoc(prepare.__doc__ or "").partition("\n\n")
        if not summary:
            raise ValueError(f"the scenario {name} needs a docstring")
        SCENARIOS[name] = Scenario(
            name=name,
            kind=prepare.__module__.rpartition(".")[2],
            summary=" ".join(summary.split()),
            details=" ".join(details.split()),
            prepare=prepare,
            environment=environment or {},
            open_files=open_files,
            silent_names=silent_names,
        )
        return prepare

    return register
