"""`commerce-event endpoints`: who gets what."""

import json
from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url
from commerce_event.cli.output import Columns, print_items, print_thing

app = typer.Typer(no_args_is_help=True, help="Endpoints: who gets what, and how.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Endpoint, end_…")]
To = Annotated[str | None, typer.Option("--to", help="URL to deliver to.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Event type, category or *; may be repeated.")]
Application = Annotated[int | None, typer.Option(help="Only events of this ApplicationId.")]
Description = Annotated[str | None, typer.Option(help="What it is, in words.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="Static header 'Name: value'; may be repeated.")]
Filter = Annotated[str | None, typer.Option("--filter", help='JSON, such as {"Source": "WEB"}.')]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds for one attempt.")]
Schedule = Annotated[str | None, typer.Option("--retry-schedule", help="Delays such as 5s,1m,1h.")]
InFlight = Annotated[int | None, typer.Option("--max-in-flight", help="Requests under way at once.")]
Rate = Annotated[float | None, typer.Option("--rate-limit", help="Requests a second.")]
Ordering = Annotated[str | None, typer.Option(help="none, or key: one order number after the other.")]
Signing = Annotated[str | None, typer.Option(help="hmac or ed25519.")]

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
        print_items(found, _COLUMNS, as_json=as_json, empty="No endpoints yet; make one with: endpoints create")


@app.command()
def get(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an endpoint."""
    with Api(url, key) as api:
        print_thing(api.get(f"/v1/endpoints/{id_}"), as_json=as_json)


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
    ordering: Ordering = None,
    signing: Signing = None,
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
    ordering: Ordering = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; the rest stays."""
    body = _fields(
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
    )
    if not body:
        raise UsageError("nothing to change was given; see: endpoints update --help")
    with Api(url, key) as api:
        print_thing(api.patch(f"/v1/endpoints/{id_}", body), as_json=as_json)


@app.command()
def enable(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch on; what was held goes out."""
    with Api(url, key) as api:
        print_thing(api.patch(f"/v1/endpoints/{id_}", {"enabled": True}), as_json=as_json)


@app.command()
def disable(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Switch off; new events are not tracked for it."""
    with Api(url, key) as api:
        print_thing(api.patch(f"/v1/endpoints/{id_}", {"enabled": False}), as_json=as_json)


@app.command()
def delete(id_: Id, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Delete; what waits for it is cancelled."""
    with Api(url, key) as api:
        api.delete(f"/v1/endpoints/{id_}")


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
        print_thing(api.post(f"/v1/endpoints/{id_}/rotate-secret", {"overlap": overlap}), as_json=as_json)


@app.command()
def test(
    id_: Id,
    event_type: Annotated[str | None, typer.Option("--type", help="Which event type's example.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send an example now; show the request and the answer."""
    with Api(url, key) as api:
        body = {} if event_type is None else {"type": event_type}
        print_thing(api.post(f"/v1/endpoints/{id_}/test", body), as_json=as_json)


@app.command()
def stats(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show how it is doing."""
    with Api(url, key) as api:
        print_thing(api.get(f"/v1/endpoints/{id_}/stats"), as_json=as_json)


def _fields(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _headers(lines: list[str] | None) -> dict[str, str] | None:
    if not lines:
        return None
    parts = [line.partition(":") for line in lines]
    if any(not separator for _, separator, _ in parts):
        raise UsageError("write a header as 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in parts}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        raise UsageError('the filter is no JSON; quote it, as in --filter \'{"Source": "WEB"}\'') from None


def _schedule(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
