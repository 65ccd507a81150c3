"""`commerce-event event-types`: the event types of a server, own event types included."""

import json
from typing import Annotated, Any, Final

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url, complete_types
from commerce_event.cli.output import Columns, print_done, print_items, print_json, print_thing
from commerce_event.cli.publish import read_file

app = typer.Typer(no_args_is_help=True, help="Manage event types: those of the contract, and your own.")

_FILE_MAX: Final = 256 * 1024  # bytes

Name = Annotated[str, typer.Argument(metavar="NAME", help="Event type.", autocompletion=complete_types)]
File = Annotated[
    str,
    typer.Argument(
        metavar="FILE or -",
        help="JSON with name, category, kind, description, schema and example; - reads standard input.",
    ),
]

_COLUMNS: Columns = {
    "category": "category", "name": "name", "own": lambda each: "own" if each["own"] else "",
    "description": "description",
}  # fmt: skip


@app.command("list")
def list_(
    own: Annotated[bool, typer.Option("--own", help="Only your own types.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the event types of the server."""
    with Api(url, key) as api:
        found = [each for each in api.get("/v1/event-types")["items"] if each["own"] or not own]
    print_items(found, _COLUMNS, as_json=as_json, empty="No event types of your own.")


@app.command()
def show(name: Name, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an event type with its schema and an example."""
    with Api(url, key) as api:
        print_thing(api.get(at("event-types", name)), as_json=as_json)


@app.command()
def create(file: File = "-", url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Create an event type of your own. Its example must fit its JSON Schema.

    Example: commerce-event event-types create export-delivered.json
    """
    wanted = _read(file)
    with Api(url, key) as api:
        made = api.post("/v1/event-types", wanted)
    _print(made, "created", as_json=as_json)


@app.command()
def change(name: Name, file: File = "-", url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Change an event type of your own: everything but its name and category."""
    wanted = _read(file)
    if wanted.pop("name", name) != name:
        raise UsageError(f"{file} has another name than {name}; the name of an event type cannot be changed")
    wanted.pop("category", None)
    with Api(url, key) as api:
        made = api.put(at("event-types", name), wanted)
    _print(made, "changed", as_json=as_json)


@app.command()
def delete(name: Name, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Delete an event type of your own. There must be no events of it, and no endpoint that names it."""
    with Api(url, key) as api:
        api.delete(at("event-types", name))
    print_done({"name": name, "deleted": True}, f"Event type {name} is deleted.", as_json=as_json)


def _print(made: Any, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        print_done(made, f"Event type {made['name']} in category {made['category']} is {done}.", as_json=False)


def _read(file: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raises UsageError."""
    content = read_file(file, _FILE_MAX, f"is larger than {_FILE_MAX // 1024} KiB")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is not JSON; write an object with name, category, schema and example") from None
    if not isinstance(found, dict):
        raise UsageError(f"{file} is not a JSON object; write one with name, category, schema and example")
    return found
