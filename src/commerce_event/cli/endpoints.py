"""`commerce-event endpoints`: manage where events are sent."""

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.history import error_text
from commerce_event.cli.options import (
    DEFAULT_URL,
    AsJson,
    ClientId,
    Key,
    Limit,
    Url,
    complete_types,
    complete_wanted,
    static_headers,
)
from commerce_event.cli.output import Columns, clean, console, print_done, print_items, print_json, print_thing
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT, Ordering, Signing
from commerce_event.core.type_selection import describe_types

app = typer.Typer(no_args_is_help=True, help="Manage endpoints: where events are sent.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Endpoint, end_…")]
To = Annotated[str | None, typer.Option("--to", help="URL to deliver to.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Event type, category or *; may be repeated.", autocompletion=complete_wanted),
]
Exceptions = Annotated[
    list[str] | None,
    typer.Option(
        "--except", help="Event type or category to leave out; may be repeated.", autocompletion=complete_wanted
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Application = Annotated[int | None, typer.Option(help="Only events of this ApplicationId.")]
Description = Annotated[str | None, typer.Option(help="A description for people.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="Static header 'Name: value'; may be repeated.")]
Filter = Annotated[str | None, typer.Option("--filter", help='JSON, such as {"Source": "WEB"}.')]
Properties = Annotated[
    str | None,
    typer.Option(
        "--properties",
        help="Send only these properties and the required ones, such as Email,PaymentRef,$.Campaign; '' for none but "
        "the required ones.",
    ),
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Time limit of an attempt, in seconds.")]
Schedule = Annotated[str | None, typer.Option("--retry-schedule", help="Delays before each retry, such as 5s,1m,1h.")]
InFlight = Annotated[int | None, typer.Option("--max-in-flight", help="Maximum number of requests at the same time.")]
Rate = Annotated[float | None, typer.Option("--rate-limit", help="Maximum number of requests per second.")]
Order = Annotated[
    Ordering | None, typer.Option("--ordering", help="key: events of one order, part or customer in order.")
]
Jitter = Annotated[float | None, typer.Option(help="Random extra delay, as a share of each retry delay (0 to 1).")]
Follow = Annotated[bool | None, typer.Option("--follow-redirects/--no-follow-redirects", help="Follow redirects.")]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="Enable or disable the endpoint.")]


class Field(StrEnum):
    """Fields that --unset can reset."""

    APPLICATION = "application"
    DESCRIPTION = "description"
    EXCEPT = "except"
    FILTER = "filter"
    HEADER = "header"
    JITTER = "jitter"
    MAX_IN_FLIGHT = "max-in-flight"
    ORDERING = "ordering"
    PROPERTIES = "properties"
    RATE_LIMIT = "rate-limit"
    RETRY_SCHEDULE = "retry-schedule"
    TIMEOUT = "timeout"


_DEFAULTS: Final[dict[Field, dict[str, Any]]] = {
    Field.APPLICATION: {"application_id": None},
    Field.DESCRIPTION: {"description": ""},
    Field.EXCEPT: {"except": []},
    Field.FILTER: {"filter": None},
    Field.HEADER: {"headers": {}},
    Field.JITTER: {"jitter": 0.0},
    Field.MAX_IN_FLIGHT: {"max_in_flight": DEFAULT_MAX_IN_FLIGHT},
    Field.ORDERING: {"ordering": "none"},
    Field.PROPERTIES: {"properties": None},
    Field.RATE_LIMIT: {"rate_limit": None},
    Field.RETRY_SCHEDULE: {"retry_schedule": None},
    Field.TIMEOUT: {"timeout_s": None},
}

Unset = Annotated[list[Field] | None, typer.Option(help="Reset this field to its default; may be repeated.")]
UnsetHeader = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Remove this header; may be repeated.")]


def _health_since(item: dict[str, Any]) -> str:
    """Return since when an endpoint has been failing, paused or off; empty otherwise."""
    if item["health"] in {"paused", "off"}:
        return str(item["state_since"])
    return str(item["failing_since"] or "") if item["health"] == "failing" else ""


_COLUMNS: Columns = {
    "id": "id",
    "client": "client_id",
    "health": "health",
    "since": _health_since,
    "last success": lambda item: item["last_success_at"] or "never",
    "cause": "cause",
    "pending": "pending",
    "dead": "dead",
    "types": lambda item: describe_types(item["event_types"], item["except"]),
    "url": "url",
    "description": "description",
}
_MISSED: Final = "To send what it missed: commerce-event replays start --endpoint {id} --only missed --since {since}"
_SAMPLES: Columns = {
    "event": "event_id", "type": "type", "label": "label", "sent": lambda item: "yes" if item["matched"] else "no",
    "why not": lambda item: item["why"] or "",
}  # fmt: skip


@app.command("list")
def list_(
    client_id: ClientId = None, limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """List endpoints with their health, newest first."""
    with Api(url, key) as api:
        stats = api.get("/v1/endpoint-stats", client_id=client_id, last_hour="false")["items"]
        by_id = {each["endpoint"]["id"]: each for each in stats}
        endpoints = api.items("/v1/endpoints", limit, client_id=client_id)
        found = [_with_health(each, by_id[each["id"]]) for each in endpoints if each["id"] in by_id]
        print_items(
            found, _COLUMNS, as_json=as_json, empty="No endpoints yet; create one with: commerce-event endpoints create"
        )


@app.command()
def get(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an endpoint with its health."""
    with Api(url, key) as api:
        found = api.get(at("endpoints", id_))
        print_thing(_with_health(found, api.get(at("endpoints", id_, "stats"))), as_json=as_json)


@app.command()
def create(
    client_id: Annotated[int, typer.Option("--client", help="The client whose events are sent (ClientId).")],
    to: Annotated[str, typer.Option("--to", help="URL to deliver to.")],
    types: Types = None,
    exceptions: Exceptions = None,
    application: Application = None,
    description: Description = None,
    header: Headers = None,
    filter_: Filter = None,
    properties: Properties = None,
    timeout: Timeout = None,
    retry_schedule: Schedule = None,
    max_in_flight: InFlight = None,
    rate_limit: Rate = None,
    ordering: Order = None,
    jitter: Jitter = None,
    follow_redirects: Follow = None,
    enabled: Enabled = None,
    signing: Annotated[Signing | None, typer.Option(help="How to sign requests.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint; its secret is shown only once.

    Example: commerce-event endpoints create --client 1 --to https://erp.example.com/hook --type Order
    """
    body = _fields(
        url=to,
        event_types=types or ["*"],
        **{"except": exceptions},
        application_id=application,
        description=description,
        headers=static_headers(header),
        filter=_json(filter_),
        properties=_list(properties),
        timeout_s=timeout,
        retry_schedule=_list(retry_schedule),
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
    exceptions: Exceptions = None,
    application: Application = None,
    description: Description = None,
    header: Headers = None,
    filter_: Filter = None,
    properties: Properties = None,
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
    """Change an endpoint; fields and headers that are not given stay."""
    given = _fields(
        url=to,
        event_types=types,
        **{"except": exceptions},
        application_id=application,
        description=description,
        headers=static_headers(header),
        filter=_json(filter_),
        properties=_list(properties),
        timeout_s=timeout,
        retry_schedule=_list(retry_schedule),
        max_in_flight=max_in_flight,
        rate_limit=rate_limit,
        ordering=ordering,
        jitter=jitter,
        follow_redirects=follow_redirects,
        enabled=enabled,
    )
    body = given | _reset(unset or [], given)
    if not body and not unset_header:
        raise UsageError("Give at least one option to change; see: commerce-event endpoints update --help")
    with Api(url, key) as api:
        if unset_header or (given.get("headers") and Field.HEADER not in (unset or [])):
            kept = api.get(at("endpoints", id_))["headers"]  # masked; the server keeps the value of a masked header
            body["headers"] = _changed_headers(kept, given.get("headers") or {}, unset_header or [])
        print_thing(api.patch(at("endpoints", id_), body), as_json=as_json)


@app.command()
def preview(
    client_id: Annotated[int, typer.Option("--client", help="The client whose newest events are evaluated.")],
    types: Types = None,
    except_: Annotated[
        list[str] | None, typer.Option("--except", help="Event type or category to leave out; may be repeated.")
    ] = None,
    application: Application = None,
    filter_: Filter = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show which of a client's newest events an endpoint would get, and why not the others. Nothing is saved.

    Example: commerce-event endpoints preview --client 1 --type Order --filter '{"Source": "WEB"}'
    """
    body = _fields(
        client_id=client_id,
        event_types=types or ["*"],
        application_id=application,
        filter=_json(filter_),
        **{"except": except_},
    )
    with Api(url, key) as api:
        seen = api.post(at("endpoints", "preview"), body)
    if as_json:
        print_json(seen)
        return
    more = " They are large, so older ones were left out." if seen["truncated"] else ""
    print(f"{seen['matched']} of the {seen['checked']} newest events would be sent.{more}")
    if seen["samples"]:
        print_items(seen["samples"], _SAMPLES, as_json=False, empty="")


@app.command()
def pause(id_: Id, yes: Yes = False, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Pause an endpoint: deliveries are held, and nothing is lost."""
    with Api(url, key) as api:
        _confirm(api.get(at("endpoints", id_, "impact"))["pause"], yes=yes)
        print_thing(api.patch(at("endpoints", id_), {"paused": True}), as_json=as_json)


@app.command()
def resume(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Resume a paused endpoint; held deliveries are sent."""
    with Api(url, key) as api:
        print_thing(api.patch(at("endpoints", id_), {"paused": False}), as_json=as_json)


@app.command()
def off(id_: Id, yes: Yes = False, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch an endpoint off; new events are not tracked for it. To lose nothing, pause it instead."""
    with Api(url, key) as api:
        _confirm(api.get(at("endpoints", id_, "impact"))["off"], yes=yes)
        print_thing(api.patch(at("endpoints", id_), {"enabled": False}), as_json=as_json)


@app.command()
def on(id_: Id, yes: Yes = False, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch an endpoint on; held deliveries are sent, and it says how to send what was missed."""
    with Api(url, key) as api:
        impact = api.get(at("endpoints", id_, "impact"))
        _confirm(impact["resume"], yes=yes)
        print_thing(api.patch(at("endpoints", id_), {"enabled": True}), as_json=as_json)
    if impact["off_since"]:
        console(stderr=True).print(_MISSED.format(id=clean(id_), since=impact["off_since"]))


@app.command()
def delete(id_: Id, yes: Yes = False, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Delete an endpoint and cancel its pending deliveries."""
    with Api(url, key) as api:
        _confirm(api.get(at("endpoints", id_, "impact"))["delete"], yes=yes)
        api.delete(at("endpoints", id_))
    print_done({"id": id_, "deleted": True}, f"Endpoint {id_} is deleted.", as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    id_: Id,
    overlap: Annotated[str, typer.Option(help="How long requests are signed with the old secret as well.")] = "24h",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a new secret, shown only once."""
    with Api(url, key) as api:
        print_thing(api.post(at("endpoints", id_, "rotate-secret"), {"overlap": overlap}), as_json=as_json)


@app.command("test")
def send_test(
    id_: Id,
    event_type: Annotated[
        str | None, typer.Option("--type", help="The event type to send.", autocompletion=complete_types)
    ] = None,
    wrong_signature: Annotated[
        bool, typer.Option("--wrong-signature", help="Sign it wrongly; a receiver that checks signatures refuses it.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send an example event now; show the request and the answer. Exit 1 when it is not delivered.

    With --wrong-signature: exit 1 unless the receiver refuses it with 401 or 403.
    """
    with Api(url, key) as api:
        body = _fields(type=event_type, signature="wrong" if wrong_signature else None)
        tested = api.post(at("endpoints", id_, "test"), body)
    attempt = tested["attempt"]
    if as_json:
        print_json(tested)
    else:
        _print_message(f"POST {tested['url']}", tested["request_headers"], tested["request_body"])
        answered = f"Answered {attempt['status']}" if attempt["status"] is not None else "Not answered"
        error = f": {attempt['cause']}" if attempt["cause"] else ""
        for redirect in attempt["redirects"]:
            print(clean(f"Redirected ({redirect['status']}) to {redirect['location']}"))
        if attempt["phase"]:
            print(clean(" ".join(["Failed at:", attempt["phase"], attempt["address"] or ""]).strip()))
        _print_message(
            f"{answered} after {attempt['duration_ms']:.0f} ms{error}",
            attempt["response_headers"],
            attempt["response_body"],
        )
    if wrong_signature:
        if not tested["signature_checked"]:
            raise WorkFailedError("The receiver did not refuse the wrong signature: it must answer 401 or 403.")
    elif not tested["delivered"]:
        raise WorkFailedError(f"The example was not delivered: {error_text(attempt['status'], attempt['cause'])}")


@app.command()
def stats(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show statistics of an endpoint."""
    with Api(url, key) as api:
        print_thing(api.get(at("endpoints", id_, "stats")), as_json=as_json)


def _confirm(sentence: str, *, yes: bool) -> None:
    """Say what would happen and ask for it. Raises UsageError without a terminal, WorkFailedError on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{sentence} Add --yes to do it.")
    if not typer.confirm(clean(f"{sentence} Do it?"), err=True):
        raise WorkFailedError("Nothing was changed.")


def _with_health(endpoint: dict[str, Any], stats: dict[str, Any]) -> dict[str, Any]:
    """Return an endpoint with how it is doing."""
    names = ("health", "state_since", "failing_since", "last_success_at", "cause", "consecutive_failures")
    return {**endpoint, **{name: stats[name] for name in (*names, "pending", "dead")}}


def _print_message(title: str, headers: Iterable[tuple[str, str]], body: str) -> None:
    """Print a request or an answer, indented, so that it cannot be mistaken for our own output."""
    print(clean(title))
    for name, value in headers:
        print(f"    {clean(name)}: {clean(value)}")
    print()
    for line in body.splitlines():
        print(f"    {clean(line)}")
    if body:
        print()


def _reset(names: list[Field], given: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults of these fields. Raises UsageError for a field that is also given."""
    body: dict[str, Any] = {}
    for name in names:
        if given.keys() & _DEFAULTS[name].keys():
            raise UsageError(f"--{name.value} and --unset {name.value} exclude each other")
        body |= _DEFAULTS[name]
    return body


def _changed_headers(kept: dict[str, str], given: dict[str, str], unset: list[str]) -> dict[str, str]:
    """Return the present headers, changed to those given, without those to unset."""
    gone = {name.lower() for name in unset}
    unknown = gone - {name.lower() for name in kept}
    if unknown:
        raise UsageError(f"The endpoint has no header {', '.join(sorted(unknown))}")
    gone |= {name.lower() for name in given}
    return {**{name: value for name, value in kept.items() if name.lower() not in gone}, **given}


def _fields(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        raise UsageError('The filter is not JSON; quote it, as in --filter \'{"Source": "WEB"}\'') from None


def _list(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
