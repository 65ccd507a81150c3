"""`commerce-event openapi` and `types`: print the contract, without a server."""

import json
from typing import Annotated

import typer

from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import AsJson, complete_types, no_such_type
from commerce_event.cli.output import Columns, print_items, print_json, print_thing


def openapi(
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As YAML.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON (the default).")] = False,
) -> None:
    """Print the OpenAPI 3.1 document of all webhooks and API calls."""
    from commerce_event.api.openapi import document, document_yaml

    if as_yaml and as_json:
        raise UsageError("--yaml and --json exclude each other")
    if as_yaml:
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
) -> None:
    """List the event types, or show one."""
    from commerce_event.contract.catalogue import EVENT_TYPES

    if name is None:
        rows = [
            {"name": each.name, "category": each.category, "kind": each.kind, "description": each.description}
            for each in EVENT_TYPES.values()
        ]
        columns: Columns = {"category": "category", "name": "name", "description": "description"}
        print_items(rows, columns, as_json=as_json, empty="")
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
