"""Options that many commands share, described once."""

import difflib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from commerce_event.cli.errors import UsageError

Url = Annotated[str, typer.Option(envvar="COMMERCE_EVENT_URL", help="Where the server answers.", show_default=True)]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="COMMERCE_EVENT_KEY", help="API key; better given as COMMERCE_EVENT_KEY than on the command line."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
SINCE_HELP = "From this time on: 2026-01-31T00:00:00Z, a date (UTC), or how long ago, such as 1h."
ClientId = Annotated[int | None, typer.Option("--client", help="Only this client (ClientId).")]

DEFAULT_URL = "http://127.0.0.1:8080"

Since = Annotated[str | None, typer.Option(help=SINCE_HELP)]
Until = Annotated[str | None, typer.Option(help="Up to this time, written like --since.")]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def moment(text: str | None, option: str = "--since") -> str | None:
    """Return a time as the API takes it, from one that is written so, a date (UTC), or how long ago it was (``1h``)."""
    from commerce_event.core.retry import InvalidDurationError, parse_duration

    if text is None or "T" in text:
        return text
    if _DATE.fullmatch(text):
        return f"{text}T00:00:00Z"
    try:
        then = datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except (InvalidDurationError, OverflowError):
        raise UsageError(
            f"{option} is a time such as 2026-01-31T00:00:00Z, a date, or how long ago, such as 1h"
        ) from None
    return f"{then:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def complete_types(incomplete: str) -> list[str]:
    """Return the event types that begin so."""
    from commerce_event.contract.catalogue import EVENT_TYPES

    return [name for name in EVENT_TYPES if name.startswith(incomplete)]


def no_such_type(name: str) -> str:
    """Return what is wrong with the name of an event type that the contract does not have."""
    from commerce_event.contract.catalogue import EVENT_TYPES

    near = difflib.get_close_matches(name, EVENT_TYPES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "`commerce-event types` lists them"
    return f"There is no event type {name!r}; {hint}"


def complete_wanted(incomplete: str) -> list[str]:
    """Return what an endpoint may ask for that begins so: types, categories, everything."""
    from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES

    return [name for name in ("*", *CATEGORIES, *EVENT_TYPES) if name.startswith(incomplete)]
