"""Options that several commands share."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from commerce_event.cli.errors import UsageError

Url = Annotated[str, typer.Option(envvar="COMMERCE_EVENT_URL", help="URL of the server.", show_default=True)]
Key = Annotated[
    str | None,
    typer.Option(envvar="COMMERCE_EVENT_KEY", help="API key; safer in COMMERCE_EVENT_KEY than on the command line."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries.")]
SINCE_HELP = "From this time on: 2026-01-31T00:00:00Z, a date (UTC), or a time span before now, such as 1h."
ClientId = Annotated[int | None, typer.Option("--client", help="Only this client (ClientId).")]

DEFAULT_URL = "http://127.0.0.1:8080"

Since = Annotated[str | None, typer.Option(help=SINCE_HELP)]
Until = Annotated[str | None, typer.Option(help="Up to this time, written like --since.")]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def moment(text: str | None, option: str = "--since") -> str | None:
    """Return a time for the API, from an RFC 3339 time, a date (UTC) or a time span before now (``1h``)."""
    from commerce_event.core.retry import InvalidDurationError, parse_duration

    if text is None or "T" in text:
        return text
    if _DATE.fullmatch(text):
        return f"{text}T00:00:00Z"
    try:
        then = datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except (InvalidDurationError, OverflowError):
        raise UsageError(
            f"{option} must be a time such as 2026-01-31T00:00:00Z, a date, or a time span such as 1h"
        ) from None
    return f"{then:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def complete_types(incomplete: str) -> list[str]:
    """Return the event types that begin with the text."""
    from commerce_event.contract.catalogue import EVENT_TYPES

    return [name for name in EVENT_TYPES if name.startswith(incomplete)]


def no_such_type(name: str) -> str:
    """Return the error for an unknown event type, with the nearest name."""
    from commerce_event.contract.catalogue import EVENT_TYPES
    from commerce_event.contract.near_names import nearest_name

    near = nearest_name(name, EVENT_TYPES)
    hint = f"did you mean {near}?" if near else "`commerce-event types` lists them"
    return f"There is no event type {name!r}; {hint}"


def complete_wanted(incomplete: str) -> list[str]:
    """Return the event types, categories and `*` that begin with the text."""
    from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES

    return [name for name in ("*", *CATEGORIES, *EVENT_TYPES) if name.startswith(incomplete)]


def static_headers(lines: list[str] | None) -> dict[str, str] | None:
    """Return the headers of lines such as ``Name: value``; None for no lines."""
    if not lines:
        return None
    parts = [line.partition(":") for line in lines]
    if any(not separator for _, separator, _ in parts):
        raise UsageError("Write a header as 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in parts}
