"""`commerce-event openapi` and `types`: print the contract, without a server, or what a server has."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import AsJson, Key, complete_types, complete_wanted, no_such_type
from commerce_event.cli.output import Columns, as_json_text, print_items, print_json, print_thing

_COLUMNS: Columns = {"category": "category", "name": "name", "description": "description"}


Server = Annotated[
    str | None, typer.Option("--url", help="Ask this server, which also has your own event types.", show_default=False)
]


def openapi(
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As YAML.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON (the default).")] = False,
    url: Server = None,
    key: Key = None,
) -> None:
    """Print the OpenAPI 3.1 document of all webhooks and API calls."""
    from commerce_event.api.openapi import as_yaml_text, document, document_yaml

    if as_yaml and as_json:
        raise UsageError("--yaml and --json exclude each other")
    if url is not None:
        with Api(url, key) as api:
            found = api.get("/openapi.json")
        print(as_yaml_text(found) if as_yaml else as_json_text(found, indent=2))
    elif as_yaml:
        print(document_yaml(), end="")
    else:
        print(json.dumps(document(), ensure_ascii=False, indent=2))


def types(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="TYPE", help="One event type, with its schema and an example.", autocompletion=complete_types
        ),
    ] = None,
    as_json: AsJson = False,
    url: Server = None,
    key: Key = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L",
            help="Write models and a handler for receivers: python, typescript, csharp, java, php or go; several "
            "with commas.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the files of --language.")] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Only this event type or category; several with commas.",
            autocompletion=complete_wanted,
        ),
    ] = None,
    models_only: Annotated[
        bool, typer.Option("--models-only", help="Only the models, without handler and project files.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
) -> None:
    """List the event types, show one, or write models and handlers for receivers."""
    if language is not None:
        _generate(url, key, language, [*(type_ or []), *([name] if name else [])], out, models_only, force)
        return
    if out is not None or type_ or models_only or force:
        raise UsageError("--out, --type, --models-only and --force need --language, such as --language python")
    if url is not None:
        _types_of_server(url, key, name, as_json=as_json)
        return
    from commerce_event.contract.catalogue import EVENT_TYPES

    if name is None:
        rows = [
            {"name": each.name, "category": each.category, "kind": each.kind, "description": each.description}
            for each in EVENT_TYPES.values()
        ]
        print_items(rows, _COLUMNS, as_json=as_json, empty="")
        return
    found = EVENT_TYPES.get(name)
    if found is None:
        raise UsageError(no_such_type(name))
    shown = {
        "name": found.name, "category": found.category, "kind": found.kind, "description": found.description,
        "example": found.example, "schema": found.schema(),
    }  # fmt: skip
    if as_json:
        print_json(shown)
    else:
        print_thing(shown, as_json=False)


def _generate(
    url: str | None,
    key: str | None,
    languages: list[str],
    selection: list[str],
    out: Path | None,
    models_only: bool,
    force: bool,
) -> None:
    from commerce_event.cli.generate import generate

    with ExitStack() as stack:
        server = None if url is None else stack.enter_context(Api(url, key))
        generate(languages, selection, out, server=server, models_only=models_only, force=force)


def _types_of_server(url: str, key: str | None, name: str | None, *, as_json: bool) -> None:
    with Api(url, key) as api:
        if name is None:
            print_items(api.get("/v1/event-types")["items"], _COLUMNS, as_json=as_json, empty="")
        else:
            print_thing(api.get(at("event-types", name)), as_json=as_json)
