"""`commerce-event clients` and `portal-link`: names of clients, and links to the screens of one of them."""

from typing import Annotated, Literal

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Limit, Url
from commerce_event.cli.output import Columns, print_items, print_thing

app = typer.Typer(no_args_is_help=True, help="Name clients.")
links = typer.Typer(no_args_is_help=True, help="Links that open the screens for one client, for a limited time.")

_COLUMNS: Columns = {"client": "client_id", "name": "name", "endpoints": "endpoints"}


@app.command("list")
def list_(limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List clients by number, with what people call them."""
    with Api(url, key) as api:
        empty = "No clients yet: a client is listed once it has an endpoint or a name."
        print_items(api.items("/v1/clients", limit), _COLUMNS, as_json=as_json, empty=empty)


@app.command()
def name(
    client_id: Annotated[int, typer.Argument(metavar="CLIENT", help="The number of the client (ClientId).")],
    name_: Annotated[str | None, typer.Argument(metavar="[NAME]", help="What people call it.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove its name.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Name a client; the name is shown next to its number on screens.

    Example: commerce-event clients name 7 Acme
    """
    if (name_ is None) is not remove:
        raise UsageError("Give the name, or --remove to remove it")
    with Api(url, key) as api:
        print_thing(api.put(at("clients", str(client_id)), {"name": name_}), as_json=as_json)


@links.command("create")
def create_link(
    client_id: Annotated[int, typer.Option("--client", help="The only client that the link shows (ClientId).")],
    role: Annotated[
        Literal["read", "manage"], typer.Option(help="read: see everything of the client; manage: also make changes.")
    ] = "read",
    expires: Annotated[str, typer.Option(help="How long it works, from 1m to 30d.")] = "7d",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a link that opens the screens for one client; it is shown only once. `keys revoke` ends it.

    Example: commerce-event portal-link create --client 7 --expires 7d
    """
    from commerce_event.core.retry import InvalidDurationError, parse_duration

    try:
        expires_in_s = round(parse_duration(expires))
    except InvalidDurationError as error:
        raise UsageError(f"--expires: {error}") from None
    body = {"client_id": client_id, "role": role, "expires_in_s": expires_in_s}
    with Api(url, key) as api:
        print_thing(api.post("/v1/portal-links", body), as_json=as_json)
