"""`commerce-event audit`: list changes and who made them, and put values back."""

from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url
from commerce_event.cli.output import Columns, print_done, print_items, print_json, print_thing
from commerce_event.core.audit_words import label_of_field, value_in_words

audit = typer.Typer(no_args_is_help=True, help="Read who changed what, and put values back.")

EntryId = Annotated[str, typer.Argument(metavar="ID", help="Audit entry, aud_…")]


def _who(entry: Any) -> str:
    return "automatic" if entry["automatic"] else entry["key_name"] or entry["key_id"]


_COLUMNS: Columns = {"id": "id", "at": "at", "who": _who, "client": "client_id", "what": "sentence", "which": "target"}
_CHANGES: Columns = {
    "field": lambda change: label_of_field(change["field"]),
    "before": lambda change: value_in_words(change["before"]),
    "after": lambda change: value_in_words(change["after"]),
}


@audit.command("list")
def list_entries(
    client_id: ClientId = None,
    target: Annotated[
        str | None, typer.Option(help="Only changes of this id or name: end_…, dlv_…, rpl_…, set_…, key_….")
    ] = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List changes made through the API or the screens, and those that the server made by itself, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/audit", limit, client_id=client_id, target=target)
        print_items(found, _COLUMNS, as_json=as_json, empty="No changes in the last 400 days.")


@audit.command("show")
def show_entry(id_: EntryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a change with the values before and after."""
    with Api(url, key) as api:
        entry = api.get(at("audit", id_))
    if as_json:
        print_json(entry)
        return
    changes = entry.pop("changes")
    print_thing(entry, as_json=False)
    if changes:
        print()
        print_items(changes, _CHANGES, as_json=False, empty="")


@audit.command("restore")
def restore_entry(id_: EntryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Put the previous values back, after a change of an endpoint or an event setting."""
    with Api(url, key) as api:
        restored = api.post(at("audit", id_, "restore"))
    text = f"Put back: {', '.join(map(label_of_field, restored['restored']))}."
    if restored["left_out"]:
        text += f" Not kept in the audit log: {', '.join(map(label_of_field, restored['left_out']))}."
    print_done(restored, text, as_json=as_json)
