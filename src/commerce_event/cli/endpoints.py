"""`commerce-event endpoints`: who gets what."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url, complete_types, complete_wanted
from commerce_event.cli.output import Columns, clean, print_done, print_items, print_json, print_thing
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT, Ordering, Signing

app = typer.Typer(no_args_is_help=True, help="Endpoints: who gets what, and how.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Endpoint, end_…")]
To = Annotated[str | None, typer.Option("--to", help="URL to deliver to.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Event type, category or *; may be repeated.", autocompletion=complete_wanted),
]
Application = Annotated[int | None, typer.Option(help="Only events of this ApplicationId.")]
Description = Annotated[str | None, typer.Option(help="What it is, in words.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="Static header 'Name: value'; may be repeated.")]
Filter = Annotated[str | None, typer.Option("--filter", help='JSON, such as {"Source": "WEB"}.')]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds for one attempt.")]
Schedule = Annotated[str | None, typer.Option("--retry-schedule", help="Delays such as 5s,1m,1h.")]
InFlight = Annotated[int | None, typer.Option("--max-in-flight", help="Requests under way at once.")]
Rate = Annotated[float | None, typer.Option("--rate-limit", help="Requests a second.")]
Order = Annotated[Ordering | None, typer.Option("--ordering", help="key: one order number after the other.")]
Jitter = Annotated[float | None, typer.Option(help="Up to which share a retry delay is drawn out at random, 0 to 1.")]
Follow = Annotated[bool | None, typer.Option("--follow-redirects/--no-follow-redirects", help="Follow redirects.")]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether events are tracked and sent.")]


class Field(StrEnum):
    """What can be taken away from an endpoint."""

    APPLICATION = "application"
    DESCRIPTION = "description"
    FILTER = "filter"
    HEADER = "header"
    JITTER = "jitter"
    MAX_IN_FLIGHT = "max-in-flight"
    ORDERING = "ordering"
    RATE_LIMIT = "rate-limit"
    RETRY_SCHEDULE = "retry-schedule"
    TIMEOUT = "timeout"


_WITHOUT: Final[dict[Field, dict[str, Any]]] = {
    Field.APPLICATION: {"application_id": None},
    Field.DESCRIPTION: {"description": ""},
    Field.FILTER: {"filter": None},
    Field.HEADER: {"headers": {}},
    Field.JITTER: {"jitter": 0.0},
    Field.MAX_IN_FLIGHT: {"max_in_flight": DEFAULT_MAX_IN_FLIGHT},
    Field.ORDERING: {"ordering": "none"},
    Field.RATE_LIMIT: {"rate_limit": None},
    Field.RETRY_SCHEDULE: {"retry_schedule": None},
    Field.TIMEOUT: {"timeout_s": None},
}

Unset = Annotated[list[Field] | None, typer.Option(help="Give back its default, or take it away; may be repeated.")]
UnsetHeader = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take this header away; may be repeated.")]

_COLUMNS: Columns = {
    "id": "id",
    "client": "client_id",
    "on": lambda item: "on" if item["enabled"] else item["disabled_reason"] or "off",
    "types": lambda item: ", ".join(item["event_types"]),
    "url": "url",
    "description": "description",
}


@app.command("list")
def list_(
    client_id: ClientId = None, limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """List endpoints, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/endpoints", limit, client_id=client_id)
        print_items(
            found, _COLUMNS, as_json=as_json, empty="No endpoints yet; make one with: commerce-event endpoints create"
        )


@app.command()
def get(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an endpoint."""
    with Api(url, key) as api:
        print_thing(api.get(at("endpoints", id_)), as_json=as_json)


@app.command()
def create(
    client_id: Annotated[int, typer.Option("--client", help="Whose events (ClientId).")],
    to: Annotated[str, typer.Option("--to", help="URL to deliver to.")],
    types: Types = None,
    application: Application = None,
    description: Description = None,
    header: Headers = None,
    filter_: Filter = None,
    timeout: Timeout = None,
    retry_schedule: Schedule = None,
    max_in_flight: InFlight = None,
    rate_limit: Rate = None,
    ordering: Order = None,
    jitter: Jitter = None,
    follow_redirects: Follow = None,
    enabled: Enabled = None,
    signing: Annotated[Signing | None, typer.Option(help="How requests are signed.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint; its secret is shown this once.

    Example: commerce-event endpoints create --client 1 --to https://erp.example.com/hook --type Order
    """
    body = _fields(
        url=to,
        event_types=types or ["*"],
        application_id=application,
        description=description,
        headers=_headers(header),
        filter=_json(filter_),
        timeout_s=timeout,
        retry_schedule=_schedule(retry_schedule),
        max_in_flight=max_in_flight,
        rate_limit=rate_limit,
        ordering=ordering,
        jitter=jitter,
        follow_redirects=follow_redirects,
        enabled=enabled,
        signing=signing,
    )
    with Api(url, key) as api:
        print_thing(api.post("/v1/endpoints", {"client_id": client_id, **body}), as_json=as_json)


@app.command()
def update(
    id_: Id,
    to: To = None,
    types: Types = None,
    application: Application = None,
    description: Description = None,
    header: Headers = None,
    filter_: Filter = None,
    timeout: Timeout = None,
    retry_schedule: Schedule = None,
    max_in_flight: InFlight = None,
    rate_limit: Rate = None,
    ordering: Order = None,
    jitter: Jitter = None,
    follow_redirects: Follow = None,
    enabled: Enabled = None,
    unset: Unset = None,
    unset_header: UnsetHeader = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; the rest stays, other headers too."""
    given = _fields(
        url=to,
        event_types=types,
        application_id=application,
        description=description,
        headers=_headers(header),
        filter=_json(filter_),
        timeout_s=timeout,
        retry_schedule=_schedule(retry_schedule),
        max_in_flight=max_in_flight,
        rate_limit=rate_limit,
        ordering=ordering,
        jitter=jitter,
        follow_redirects=follow_redirects,
        enabled=enabled,
    )
    body = given | _without(unset or [], given)
    if not body and not unset_header:
        raise UsageError("Nothing to change was given; see: commerce-event endpoints update --help")
    with Api(url, key) as api:
        if unset_header or (given.get("headers") and Field.HEADER not in (unset or [])):
            kept = api.get(at("endpoints", id_))["headers"]  # masked; the server takes the mask for the value it has
            body["headers"] = _changed_headers(kept, given.get("headers") or {}, unset_header or [])
        print_thing(api.patch(at("endpoints", id_), body), as_json=as_json)


@app.command()
def enable(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch on; what was held goes out."""
    with Api(url, key) as api:
        print_thing(api.patch(at("endpoints", id_), {"enabled": True}), as_json=as_json)


@app.command()
def disable(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch off; new events are not tracked for it."""
    with Api(url, key) as api:
        print_thing(api.patch(at("endpoints", id_), {"enabled": False}), as_json=as_json)


@app.command()
def delete(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Delete; what waits for it is cancelled."""
    with Api(url, key) as api:
        api.delete(at("endpoints", id_))
    print_done({"id": id_, "deleted": True}, f"Endpoint {id_} is deleted.", as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    id_: Id,
    overlap: Annotated[str, typer.Option(help="How long the old secret is used beside the new one.")] = "24h",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a new secret, shown this once."""
    with Api(url, key) as api:
        print_thing(api.post(at("endpoints", id_, "rotate-secret"), {"overlap": overlap}), as_json=as_json)


@app.command()
def test(
    id_: Id,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Which event type's example.", autocompletion=complete_types)
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send an example now; show the request and the answer. Exit 1 when it was not delivered."""
    with Api(url, key) as api:
        body = {} if event_type is None else {"type": event_type}
        tested = api.post(at("endpoints", id_, "test"), body)
    attempt = tested["attempt"]
    if as_json:
        print_json(tested)
    else:
        _print_message(f"POST {tested['url']}", tested["request_headers"], tested["request_body"])
        answered = f"Answered {attempt['status']}" if attempt["status"] is not None else "Not answered"
        error = f": {attempt['error']}" if attempt["error"] else ""
        _print_message(
            f"{answered} after {attempt['duration_ms']:.0f} ms{error}",
            attempt["response_headers"],
            attempt["response_body"],
        )
    if not tested["delivered"]:
        raise WorkFailedError(f"The example was not delivered: {attempt['error'] or attempt['status']}")


@app.command()
def stats(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show how it is doing."""
    with Api(url, key) as api:
        print_thing(api.get(at("endpoints", id_, "stats")), as_json=as_json)


def _print_message(title: str, headers: Iterable[tuple[str, str]], body: str) -> None:
    """Print a request or an answer, all of it set in, so that none of it can be taken for a line of ours."""
    print(clean(title))
    for name, value in headers:
        print(f"    {clean(name)}: {clean(value)}")
    print()
    for line in body.splitlines():
        print(f"    {clean(line)}")
    if body:
        print()


def _without(names: list[Field], given: dict[str, Any]) -> dict[str, Any]:
    """Return what takes these fields away. Raises UsageError for one that is given as well."""
    body: dict[str, Any] = {}
    for name in names:
        if given.keys() & _WITHOUT[name].keys():
            raise UsageError(f"--{name.value} and --unset {name.value} exclude each other")
        body |= _WITHOUT[name]
    return body


def _changed_headers(kept: dict[str, str], given: dict[str, str], unset: list[str]) -> dict[str, str]:
    """Return the headers there are, with those given in place of theirs, without those to be unset."""
    gone = {name.lower() for name in unset}
    unknown = gone - {name.lower() for name in kept}
    if unknown:
        raise UsageError(f"The endpoint has no header {', '.join(sorted(unknown))}")
    gone |= {name.lower() for name in given}
    return {**{name: value for name, value in kept.items() if name.lower() not in gone}, **given}


def _fields(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _headers(lines: list[str] | None) -> dict[str, str] | None:
    if not lines:
        return None
    parts = [line.partition(":") for line in lines]
    if any(not separator for _, separator, _ in parts):
        raise UsageError("Write a header as 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in parts}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        raise UsageError('The filter is no JSON; quote it, as in --filter \'{"Source": "WEB"}\'') from None


def _schedule(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
