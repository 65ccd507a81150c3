"""`commerce-event incidents` and `status`: what fails now, since when, why, and what waits."""

from typing import Annotated, Any, Literal

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Url
from commerce_event.cli.output import Columns, print_items, print_json, print_thing

app = typer.Typer(no_args_is_help=True, help="See which endpoints fail, since when and why.")

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="Endpoint, end_…")]
_NOTHING = "No endpoint fails."


def _endpoint(incident: Any) -> str:
    others = len(incident["endpoints"]) - 1
    name = incident["endpoint"]["description"] or incident["endpoint"]["url"]
    return f"{name} and {others} more" if others > 0 else str(name)


def _cause(incident: Any) -> str:
    status = incident["last_status"]
    words = incident["cause"] or "no answer"
    return words if status is None else f"HTTP {status}: {words}"


_INCIDENTS: Columns = {
    "id": "endpoint_id", "endpoint": _endpoint, "since": "since", "until": "until", "cause": _cause,
    "waiting": "pending", "dead": "dead", "first dies at": "first_dies_at",
}  # fmt: skip
_CHANGES: Columns = {"at": "at", "who": "key_name", "what": "sentence"}
_STEPS: Columns = {"step": "name", "": lambda step: "done" if step["done"] else "not done", "at": "at"}


@app.command("list")
def list_incidents(
    client_id: ClientId = None,
    state: Annotated[Literal["open", "ended"], typer.Option(help="Open incidents, or the last ended ones.")] = "open",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List incidents: endpoints that fail, those with the same host and cause together."""
    with Api(url, key) as api:
        found = api.get("/v1/incidents", client_id=client_id, state=state)
    print_items(found["items"], _INCIDENTS, as_json=as_json, empty=_NOTHING if state == "open" else "No incidents.")


@app.command("show")
def show_incident(id_: EndpointId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show the incident of an endpoint: its cause, what waits, what was changed before, and the steps to its end."""
    with Api(url, key) as api:
        found = api.get(at("incidents", id_))
    if as_json:
        print_json(found)
        return
    shown = {
        "endpoint": f"{_endpoint(found)} ({found['endpoint_id']})", "state": found["state"], "since": found["since"],
        "until": found["until"], "cause": _cause(found), "failures in a row": found["failures"],
        "last success": found["last_success_at"] or "never", "waiting": found["pending"], "dead": found["dead"],
        "oldest waits since": found["oldest_pending_at"], "first dies at": found["first_dies_at"],
    }  # fmt: skip
    print_thing({name: value for name, value in shown.items() if value is not None}, as_json=False)
    print()
    print_items(
        found["changes_before"], _CHANGES, as_json=False, empty="The endpoint was not changed in the hour before."
    )
    print()
    print_items(found["steps"], _STEPS, as_json=False, empty="")


def status(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show what needs attention. The exit code is 0 when nothing does, else 1."""
    with Api(url, key) as api:
        incidents = api.get("/v1/incidents")["items"]
        totals = api.get("/v1/endpoint-stats", last_hour="false")["totals"]
        refused = api.get("/v1/refusal-counts")
    is_fine = not (incidents or totals["dead"] or refused["open"])
    if as_json:
        print_json({"fine": is_fine, "incidents": incidents, "totals": totals, "refused": refused})
    else:
        print_items(incidents, _INCIDENTS, as_json=False, empty=_NOTHING)
        print(f"pending {totals['pending']:,} · dead letters {totals['dead']:,} · refused events {refused['open']:,}")
        print(_advice(incidents=bool(incidents), dead=totals["dead"], refused=refused["open"]))
    if not is_fine:
        raise typer.Exit(1)


def _advice(*, incidents: bool, dead: int, refused: int) -> str:
    """Return the commands that show what needs attention."""
    commands = {"incidents show ID": incidents, "dead groups": dead, "refusals list": refused}
    wanted = [f"commerce-event {name}" for name, is_wanted in commands.items() if is_wanted]
    return f"See: {', '.join(wanted)}" if wanted else "Nothing needs attention."
