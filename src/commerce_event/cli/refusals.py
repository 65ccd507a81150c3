"""`commerce-event refusals`: list, show, accept and discard refused events."""

import json
from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import (
    DEFAULT_URL,
    AsJson,
    ClientId,
    Key,
    Limit,
    Since,
    Until,
    Url,
    complete_types,
    moment,
)
from commerce_event.cli.output import Columns, as_json_text, clean, print_done, print_items, print_json, print_thing
from commerce_event.cli.publish import fault_of_json, read_file
from commerce_event.core.model import RefusalState

app = typer.Typer(no_args_is_help=True, help="Find events that were refused; accept or discard them.")

RefusalId = Annotated[str, typer.Argument(metavar="ID", help="Refused event, rfs_…")]

_JSON = {"Content-Type": "application/json"}


def _faults(refusal: Any) -> str:
    """Return what is wrong in one line, such as ``/OrderId is required; /Source is required``."""
    faults = [f"{each.get('pointer', '') or 'the body'} {each['message']}" for each in refusal["errors"]]
    return "; ".join(faults) or str(refusal["detail"])


_COLUMNS: Columns = {
    "id": "id", "refused": "at", "client": "client_id", "type": "type", "about": "label",
    "key": lambda item: item["key_name"] or item["key_id"], "state": "state", "why": _faults,
}  # fmt: skip
_FAULTS: Columns = {"place": lambda fault: fault.get("pointer") or "the body", "what is wrong": "message"}


@app.command("list")
def list_refusals(
    client_id: ClientId = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only this type, as it was sent.", autocompletion=complete_types)
    ] = None,
    state: Annotated[RefusalState | None, typer.Option(help="Only refused events in this state.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List refused events and why they were refused, newest first."""
    with Api(url, key) as api:
        found = api.items(
            "/v1/refusals",
            limit,
            client_id=client_id,
            type=event_type,
            state=state,
            since=moment(since),
            until=moment(until, "--until"),
        )
        print_items(found, _COLUMNS, as_json=as_json, empty="No refused events.")


@app.command("show")
def show_refusal(id_: RefusalId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a refused event: what is wrong, and its body."""
    with Api(url, key) as api:
        refusal = api.get(at("refusals", id_))
    if as_json:
        print_json(refusal)
        return
    body, faults = refusal.pop("body"), refusal.pop("errors")
    print_thing(refusal, as_json=False)
    print()
    if faults:
        print_items(faults, _FAULTS, as_json=False, empty="")
        print()
    print(clean(body) if isinstance(body, str) else as_json_text(body, indent=2))


@app.command("accept")
def accept_refusal(
    id_: RefusalId,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE or -]",
            help="A JSON file with the corrected event; - reads standard input. Left out: accept it as it is.",
            show_default=False,
        ),
    ] = None,
    event_type: Annotated[
        str | None,
        typer.Option("--type", help="Publish it as this event type.", autocompletion=complete_types),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Accept a refused event: as it is, or corrected. A corrected event must keep the contract."""
    members = [] if event_type is None else [b'"type":' + json.dumps(event_type).encode()]
    if file is not None:
        content = read_file(file)
        fault = fault_of_json(content)
        if fault is not None:
            raise UsageError(fault)
        members.append(b'"data":' + content)
    with Api(url, key) as api:
        path = at("refusals", id_, "accept")
        accepted = api.post_raw(path, b"{" + b",".join(members) + b"}", _JSON)
    print_done(accepted, f"{id_} was accepted as {accepted['event_id']}.", as_json=as_json)


@app.command("discard")
def discard_refusal(
    id_: RefusalId,
    reason: Annotated[str | None, typer.Option(help="Why, for people who look at it later.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Discard a refused event: it needs no attention. It stays in the list until it expires."""
    with Api(url, key) as api:
        discarded = api.post(at("refusals", id_, "discard"), {} if reason is None else {"reason": reason})
    print_done(discarded, f"{id_} was discarded.", as_json=as_json)
