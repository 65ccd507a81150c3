"""`commerce-event replays` and `dead`: dead letters, and sending past events again."""

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.history import DELIVERIES, Endpoint, error_text
from commerce_event.cli.options import (
    DEFAULT_URL,
    SINCE_HELP,
    AsJson,
    ClientId,
    Key,
    Limit,
    Since,
    Until,
    Url,
    complete_wanted,
    moment,
)
from commerce_event.cli.output import Columns, console, print_items, print_json, print_thing
from commerce_event.cli.signals import report_interrupt
from commerce_event.core.causes import cause_of_code, reason_in_words
from commerce_event.core.model import ReplayOf

dead = typer.Typer(no_args_is_help=True, help="Read and retry dead letters: deliveries that failed for good.")
replays = typer.Typer(no_args_is_help=True, help="Send past events again.")

Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait until everything is delivered or dead, or do not wait. Default: wait until everything is queued.",
        show_default=False,
    ),
]

_POLL_S = 0.3
_BEGINNING = "2020-01-01T00:00:00Z"

_DEAD: Columns = {
    "id": "id", "event": "event_id", "type": "type", "endpoint": "endpoint_id", "reason": "reason",
    "attempts": "attempt_count", "last answer": "last", "dead since": "finished_at",
}  # fmt: skip
_GROUPS: Columns = {
    "dead": "count", "endpoint": "endpoint_id", "reason": lambda group: _in_words(group)[0],
    "last error": lambda group: _in_words(group)[1], "oldest": "oldest_at", "newest": "newest_at",
}  # fmt: skip
_REPLAYS: Columns = {
    "id": "id", "endpoint": "endpoint_id", "only": "only", "progress": lambda item: _progress_text(item),  # noqa: PLW0108 - it stands below
    "created": "created_at",
}  # fmt: skip


@dead.command("list")
def list_dead(
    client_id: ClientId = None,
    endpoint: Endpoint = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters with type, last answer and time, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/deliveries", limit, client_id=client_id, endpoint_id=endpoint, state="dead")
        print_items(found if as_json else _described(api, found), _DEAD, as_json=as_json, empty="No dead letters.")


@dead.command("groups")
def list_groups(
    client_id: ClientId = None,
    endpoint: Endpoint = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Group dead letters by endpoint, reason and last error, the largest group first."""
    with Api(url, key) as api:
        found = api.get("/v1/dead-letters", client_id=client_id, endpoint_id=endpoint)["items"]
        print_items(found, _GROUPS, as_json=as_json, empty="No dead letters.")


@dead.command("retry")
def retry_dead(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries, dlv_…")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="All dead letters of this endpoint.")] = None,
    since: Since = None,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Retry dead letters: some by id, or all of an endpoint; they get all their retries again."""
    if bool(ids) == (endpoint is not None):
        raise UsageError("Give delivery ids, or an endpoint with --endpoint")
    if ids and (since is not None or wait is not None):
        raise UsageError("--since and --wait need --endpoint")
    with Api(url, key) as api:
        if endpoint is not None:
            body = {"endpoint_id": endpoint, "since": moment(since) or _BEGINNING, "only": "failed"}
            _run(api, body, wait, as_json=as_json)
            return
        retried = [api.post(at("deliveries", id_, "retry")) for id_ in ids or []]
        print_items(retried, DELIVERIES, as_json=as_json, empty="")


@replays.command("start")
def start_replay(
    endpoint: Annotated[str, typer.Option("--endpoint", help="The endpoint to send to.")],
    since: Annotated[str, typer.Option(help=SINCE_HELP)],
    until: Until = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only this type or category; may be repeated.", autocompletion=complete_wanted),
    ] = None,
    only: Annotated[
        ReplayOf,
        typer.Option(
            help="failed: dead deliveries; waiting: those that wait for a retry; all: every event that matches."
        ),
    ] = "failed",
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send past events again. Exit 1 when --wait is given and a delivery fails for good."""
    body = {"endpoint_id": endpoint, "since": moment(since), "types": event_type or [], "only": only}
    with Api(url, key) as api:
        _run(api, body if until is None else {**body, "until": moment(until, "--until")}, wait, as_json=as_json)


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
        replay = api.get(at("replays", id_))
        print_thing(replay if as_json else {**replay, "progress": _progress_text(replay)}, as_json=as_json)


def _run(api: Api, body: dict[str, Any], wait: bool | None, *, as_json: bool) -> None:
    """Start a replay, wait as asked, and print its progress."""
    replay = api.post("/v1/replays", body)
    id_ = replay["id"]
    print(f"Replay {id_} is started.", file=sys.stderr, flush=True)
    with report_interrupt(lambda: f"replay {id_} continues on the server; see: commerce-event replays get {id_}"):
        if wait is not False:
            replay = _followed(api, id_, until_delivered=bool(wait))
    if as_json:
        print_json(replay)
    else:
        console().print(f"Replay {id_}: {_progress_text(replay)}.")
    if replay["state"] == "cancelled":
        raise WorkFailedError("The replay was cancelled because its endpoint was deleted")
    dead_now = replay["deliveries"].get("dead", 0)
    if wait and dead_now:
        raise WorkFailedError(
            f"{dead_now} of {replay['queued']} could not be delivered; see: commerce-event dead list "
            f"--endpoint {replay['endpoint_id']}"
        )


def _followed(api: Api, id_: str, *, until_delivered: bool) -> Any:
    """Return the replay once everything is queued, or once nothing is pending."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=1)
        while True:
            replay = api.get(at("replays", id_))
            waiting = replay["deliveries"].get("pending", 0)
            progress.update(task, total=max(1, replay["queued"]), completed=replay["queued"] - waiting)
            if replay["state"] != "running" and not (waiting and until_delivered):
                return replay
            time.sleep(_POLL_S)


def _progress_text(replay: dict[str, Any]) -> str:
    """Return the progress of a replay as text: its state `done` means queued, not delivered."""
    counts = replay["deliveries"]
    by_state = [
        f"{counts[state]} {state}" for state in ("delivered", "pending", "dead", "cancelled") if counts.get(state)
    ]
    queued = {"running": "queued {} so far", "done": "queued all {}", "cancelled": "cancelled when {} were queued"}
    return "; ".join([queued[replay["state"]].format(replay["queued"]), *filter(None, [", ".join(by_state)])])


def _in_words(group: Any) -> tuple[str, str]:
    """Return the reason and the last error of a group of dead letters."""
    return reason_in_words(group["reason"]), cause_of_code(group["error"])


def _described(api: Api, deliveries: Iterator[Any]) -> Iterator[Any]:
    """Yield dead deliveries with the event type, the reason and the last answer in words."""
    types: dict[str, str] = {}
    for each in deliveries:
        event_id = each["event_id"]
        if event_id not in types:
            types[event_id] = api.get(at("events", event_id))["type"]
        attempts = api.get(at("deliveries", each["id"]))["attempts"]
        last = error_text(attempts[-1]["status"], attempts[-1]["cause"]) if attempts else None
        yield {**each, "type": types[event_id], "last": last, "reason": reason_in_words(each["reason"])}
