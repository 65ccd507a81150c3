"""`commerce-event validation`: what happens to events that break the contract."""

from typing import Annotated

import typer

from commerce_event.cli.api import Api
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url, complete_wanted
from commerce_event.cli.output import Columns, print_done, print_items, print_thing
from commerce_event.core.model import ValidationMode

app = typer.Typer(no_args_is_help=True, help="Set what happens to events that break the contract.")

Client = Annotated[int, typer.Option("--client", help="The client (ClientId).")]
EventType = Annotated[
    str,
    typer.Argument(metavar="TYPE", help="Event type, category, or * for all.", autocompletion=complete_wanted),
]

_COLUMNS: Columns = {"client": "client_id", "type": "event_type", "mode": "mode", "changed": "updated_at"}


@app.command("list")
def list_(
    client_id: ClientId = None, limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """List validation modes, the last change first. For an event, its type counts before its category and *."""
    with Api(url, key) as api:
        found = api.items("/v1/validation", limit, client_id=client_id)
        print_items(found, _COLUMNS, as_json=as_json, empty="None: every event that breaks the contract is refused.")


@app.command("set")
def set_(
    event_type: EventType,
    mode: Annotated[
        ValidationMode,
        typer.Argument(help="reject: refuse; warn: accept, mark and count; off: accept."),
    ],
    client: Client,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Set the mode of a client's events of a type, of a category, or of all.

    Example: commerce-event validation set Order warn --client 1
    """
    with Api(url, key) as api:
        body = {"client_id": client, "event_type": event_type, "mode": mode}
        print_thing(api.put("/v1/validation", body), as_json=as_json)


@app.command()
def remove(
    event_type: EventType,
    client: Client,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Remove a mode; the client's next wider mode counts then."""
    with Api(url, key) as api:
        api.delete("/v1/validation", client_id=client, event_type=event_type)
    done = {"client_id": client, "event_type": event_type, "removed": True}
    print_done(done, f"The mode of {event_type} is removed for client {client}.", as_json=as_json)
