"""`commerce-event events`, `deliveries`, `dead`, `replays`: what happened, and doing it again."""

import sys
import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url
from commerce_event.cli.output import Columns, console, print_items, print_json, print_thing

events = typer.Typer(no_args_is_help=True, help="Events: what was accepted.")
deliveries = typer.Typer(no_args_is_help=True, help="Deliveries: what was sent where, and what came back.")
dead = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be delivered.")
replays = typer.Typer(no_args_is_help=True, help="Replays: sending past events again.")

EventId = Annotated[str, typer.Argument(metavar="ID", help="Event, evt_…")]
DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="Delivery, dlv_…")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Only this endpoint.")]
Since = Annotated[str | None, typer.Option(help="From this time on, such as 2026-01-31T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Up to this time.")]
State = Annotated[str | None, typer.Option(help="pending, delivered, dead or cancelled.")]

_POLL_S = 0.3
_BEGINNING = "2020-01-01T00:00:00Z"

_EVENTS: Columns = {
    "id": "id", "client": "client_id", "sequence": "sequence", "type": "type", "accepted": "accepted_at",
    "deliveries": "deliveries",
}  # fmt: skip
_DELIVERIES: Columns = {
    "id": "id", "event": "event_id", "endpoint": "endpoint_id", "state": "state", "attempts": "attempt_count",
    "next attempt": "next_attempt_at", "reason": "reason",
}  # fmt: skip
_REPLAYS: Columns = {
    "id": "id", "endpoint": "endpoint_id", "only": "only", "state": "state", "queued": "queued",
    "created": "created_at",
}  # fmt: skip


@events.command("list")
def list_events(
    client_id: ClientId = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Names, parted by commas.")] = None,
    since: Since = None,
    until: Until = None,
    state: State = None,
    search: Annotated[
        str | None, typer.Option("--search", "-q", help="Text in the payload, such as an order number.")
    ] = None,
    after: Annotated[int | None, typer.Option(help="A client's sequence: what comes behind it, oldest first.")] = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. Example: events list --search SO-10023"""
    with Api(url, key) as api:
        found = api.items(
            "/v1/events",
            limit,
            client_id=client_id,
            type=event_type,
            since=since,
            until=until,
            state=state,
            q=search,
            after=after,
        )
        print_items(found, _EVENTS, as_json=as_json, empty="No events.")


@events.command("get")
def get_event(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an event."""
    with Api(url, key) as api:
        print_thing(api.get(f"/v1/events/{id_}"), as_json=as_json)


@events.command("deliveries")
def event_deliveries(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List an event's deliveries."""
    with Api(url, key) as api:
        found = api.items(f"/v1/events/{id_}/deliveries", 1_000)
        print_items(found, _DELIVERIES, as_json=as_json, empty="No endpoint wanted it; see: events explain")


@events.command("explain")
def explain_event(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Why was it, or was it not, sent to each endpoint?"""
    with Api(url, key) as api:
        explanation = api.get(f"/v1/events/{id_}/explain")
    if as_json:
        print_json(explanation)
        return
    columns: Columns = {"endpoint": "endpoint_id", "url": "url", "verdict": "verdict"}
    print_items(explanation["endpoints"], columns, as_json=False, empty="This client has no endpoints.")


@deliveries.command("list")
def list_deliveries(
    client_id: ClientId = None,
    endpoint: Endpoint = None,
    state: State = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/deliveries", limit, client_id=client_id, endpoint_id=endpoint, state=state)
        print_items(found, _DELIVERIES, as_json=as_json, empty="No deliveries.")


@deliveries.command("get")
def get_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a delivery and every attempt."""
    with Api(url, key) as api:
        delivery = api.get(f"/v1/deliveries/{id_}")
    if as_json:
        print_json(delivery)
        return
    attempts = delivery.pop("attempts")
    print_thing(delivery, as_json=False)
    columns: Columns = {
        "attempt": "number", "started": "started_at", "ms": "duration_ms", "status": "status", "error": "error",
        "answer": lambda attempt: attempt["response_body"][:80],
    }  # fmt: skip
    print_items(attempts, columns, as_json=False, empty="Not tried yet.")


@deliveries.command("retry")
def retry_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Try again now, with a fresh retry budget."""
    with Api(url, key) as api:
        print_thing(api.post(f"/v1/deliveries/{id_}/retry"), as_json=as_json)


@deliveries.command("cancel")
def cancel_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Cancel a pending delivery."""
    with Api(url, key) as api:
        print_thing(api.post(f"/v1/deliveries/{id_}/cancel"), as_json=as_json)


@dead.command("list")
def list_dead(
    client_id: ClientId = None,
    endpoint: Endpoint = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/deliveries", limit, client_id=client_id, endpoint_id=endpoint, state="dead")
        print_items(found, _DELIVERIES, as_json=as_json, empty="No dead letters.")


@dead.command("retry")
def retry_dead(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries, dlv_…")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="All dead letters of this endpoint.")] = None,
    since: Since = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters a fresh start: some by id, or all of an endpoint."""
    if bool(ids) == (endpoint is not None):
        raise UsageError("name deliveries, or an endpoint with --endpoint")
    with Api(url, key) as api:
        if endpoint is not None:
            body = {"endpoint_id": endpoint, "since": since or _BEGINNING, "only": "failed"}
            _follow(api, api.post("/v1/replays", body)["id"], as_json=as_json)
            return
        retried = [api.post(f"/v1/deliveries/{id_}/retry") for id_ in ids or []]
        print_items(retried, _DELIVERIES, as_json=as_json, empty="")


@replays.command("start")
def start_replay(
    endpoint: Annotated[str, typer.Option("--endpoint", help="Where to send.")],
    since: Annotated[str, typer.Option(help="From this time on, such as 2026-01-31T00:00:00Z.")],
    until: Until = None,
    event_type: Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")] = None,
    only: Annotated[
        str, typer.Option(help="failed: what is dead; waiting: what waits for its next try; all: what matches.")
    ] = "failed",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send past events again and follow the progress."""
    body = {"endpoint_id": endpoint, "since": since, "types": event_type or [], "only": only}
    with Api(url, key) as api:
        started = api.post("/v1/replays", body if until is None else {**body, "until": until})
        _follow(api, started["id"], as_json=as_json)


@replays.command("list")
def list_replays(
    client_id: ClientId = None, limit: Limit = 50, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """List replays, newest first."""
    with Api(url, key) as api:
        print_items(
            api.items("/v1/replays", limit, client_id=client_id), _REPLAYS, as_json=as_json, empty="No replays."
        )


@replays.command("get")
def get_replay(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Replay, rpl_…")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show a replay's progress."""
    with Api(url, key) as api:
        print_thing(api.get(f"/v1/replays/{id_}"), as_json=as_json)


def _follow(api: Api, replay_id: str, *, as_json: bool) -> None:
    """Show progress until everything the replay queued has left the queue."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=1)
        while True:
            replay = api.get(f"/v1/replays/{replay_id}")
            waiting = replay["deliveries"].get("pending", 0)
            progress.update(task, total=max(1, replay["queued"]), completed=replay["queued"] - waiting)
            if replay["state"] != "running" and not waiting:
                break
            if replay["state"] != "running" and not sys.stderr.isatty():
                break  # nobody watches: the rest goes on in the server
            time.sleep(_POLL_S)
    print_thing(replay, as_json=as_json)
    if replay["state"] == "cancelled":
        raise WorkFailedError("the replay was cancelled: its endpoint is no more")
