"""`commerce-event replays` and `dead`: dead letters, and sending past events again."""

import sys
import time
from collections.abc import Iterator, Sequence
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
from commerce_event.cli.output import Columns, console, print_done, print_items, print_json, print_thing
from commerce_event.cli.signals import report_interrupt
from commerce_event.core.causes import reason_in_words
from commerce_event.core.model import ReplayOf

dead = typer.Typer(no_args_is_help=True, help="Read, retry and discard dead letters: deliveries that were given up.")
replays = typer.Typer(no_args_is_help=True, help="Send past events again.")

Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait until everything is delivered or dead, or do not wait. Default: wait until everything is queued.",
        show_default=False,
    ),
]

Reason = Annotated[
    str | None, typer.Option("--reason", help="Only those with this reason, such as attempts_exhausted.")
]
Error = Annotated[
    str | None, typer.Option("--error", help="Only those with this error of their last attempt, such as http_500.")
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries, dlv_…")]

_POLL_S = 0.3
_IDS_MAX = 1_000  # of a call
_BEGINNING = "2020-01-01T00:00:00Z"

_DEAD: Columns = {
    "id": "id", "event": "event_id", "type": "type", "endpoint": "endpoint_id", "reason": "reason",
    "attempts": "attempt_count", "last answer": "last", "dead since": "finished_at",
}  # fmt: skip
_GROUPS: Columns = {
    "dead": "count", "endpoint": "endpoint_id", "cause": "cause", "reason": "reason", "error": "error",
    "oldest": "oldest_at", "newest": "newest_at",
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
    ids: Ids = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="All dead letters of this endpoint.")] = None,
    reason: Reason = None,
    error: Error = None,
    since: Since = None,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Retry dead letters: some by id, or all of an endpoint; they get all their retries again."""
    is_group = _is_group(ids, endpoint, reason, error)
    if (ids or is_group) and (since is not None or wait is not None):
        raise UsageError("--since and --wait need --endpoint, without --reason and --error")
    with Api(url, key) as api:
        if endpoint is not None and is_group:
            count = _change_all(api, "retry", _selections(api, None, endpoint, reason, error), "sent again")
            print_done({"count": count}, f"{_letters(count)} sent again.", as_json=as_json)
            return
        if endpoint is not None:
            body = {"endpoint_id": endpoint, "since": moment(since) or _BEGINNING, "only": "failed"}
            _run(api, body, wait, as_json=as_json)
            return
        retried = [api.post(at("deliveries", id_, "retry")) for id_ in ids or []]
        print_items(retried, DELIVERIES, as_json=as_json, empty="")


@dead.command("discard")
def discard_dead(
    note: Annotated[str, typer.Option("--note", help="Why they are discarded; kept with each delivery.")],
    ids: Ids = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="All dead letters of this endpoint.")] = None,
    reason: Reason = None,
    error: Error = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Discard dead letters: some by id, or those of an endpoint. They are cancelled, and their history is kept."""
    _is_group(ids, endpoint, reason, error)
    if not note.strip():
        raise UsageError("--note must say why they are discarded")
    with Api(url, key) as api:
        selections = [{**each, "note": note} for each in _selections(api, ids, endpoint, reason, error)]
        count = _change_all(api, "discard", selections, "discarded")
    print_done({"count": count}, f"{_letters(count)} discarded.", as_json=as_json)


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
            help="failed: dead letters; waiting: pending deliveries; missed: events that match and were "
            "never sent to the endpoint; all: every event that matches."
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


@replays.command("cancel")
def cancel_replay(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Replay, rpl_…")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a replay: nothing more is queued, and its pending deliveries end."""
    with Api(url, key) as api:
        replay = api.post(at("replays", id_, "cancel"))
        while replay["state"] == "cancelling":
            time.sleep(_POLL_S)
            replay = api.get(at("replays", id_))
    print_done(replay, f"Replay {replay['id']}: {_progress_text(replay)}.", as_json=as_json)


def _is_group(ids: list[str] | None, endpoint: str | None, reason: str | None, error: str | None) -> bool:
    """Return whether the options name a group of an endpoint. Raises UsageError when they do not fit together."""
    if bool(ids) == (endpoint is not None):
        raise UsageError("Give delivery ids, or an endpoint with --endpoint")
    is_group = reason is not None or error is not None
    if ids and is_group:
        raise UsageError("--reason and --error need --endpoint")
    return is_group


def _selections(
    api: Api, ids: Sequence[str] | None, endpoint: str | None, reason: str | None, error: str | None
) -> list[dict[str, Any]]:
    """Return the bodies of the calls that select the dead letters."""
    if ids:
        return [{"delivery_ids": list(ids[start : start + _IDS_MAX])} for start in range(0, len(ids), _IDS_MAX)]
    if reason is None and error is None:
        return [{"endpoint_id": endpoint}]
    groups = api.get("/v1/dead-letters", endpoint_id=endpoint)["items"]
    found = [
        {"endpoint_id": endpoint, "reason": each["reason"], "error": each["error"]}
        for each in groups
        if reason in (None, each["reason"]) and error in (None, each["error"])
    ]
    if not found:
        raise WorkFailedError(f"There are no such dead letters; see: commerce-event dead groups --endpoint {endpoint}")
    return found


def _change_all(api: Api, action: str, selections: Sequence[dict[str, Any]], what: str) -> int:
    """Repeat each call until nothing of its selection is left; return how many dead letters were changed."""
    total = 0
    columns = (TextColumn("{task.completed:,.0f} dead letters " + what),)
    with (
        Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as progress,
        report_interrupt(lambda: f"{_letters(total)} {what}; repeat the command for the rest"),
    ):
        task = progress.add_task(what, total=None)
        for selection in selections:
            more = True
            while more:
                changed = api.post(at("dead-letters", action), selection)
                total += changed["count"]
                more = changed["more"] and changed["count"] > 0
                progress.update(task, completed=total)
    return total


def _letters(count: int) -> str:
    return f"{count:,} dead letter{' is' if count == 1 else 's are'}"


def _run(api: Api, body: dict[str, Any], wait: bool | None, *, as_json: bool) -> None:
    """Start a replay, wait as asked, and print its progress."""
    replay = api.post("/v1/replays", body)
    id_ = replay["id"]
    print(f"Replay {id_} is started.", file=sys.stderr, flush=True)
    if replay["warning"]:
        print(f"Warning: {replay['warning']}", file=sys.stderr, flush=True)
    with report_interrupt(lambda: f"replay {id_} continues on the server; see: commerce-event replays get {id_}"):
        if wait is not False:
            replay = _followed(api, id_, until_delivered=bool(wait))
    if as_json:
        print_json(replay)
    else:
        console().print(f"Replay {id_}: {_progress_text(replay)}.")
    if replay["state"] in ("cancelling", "cancelled"):
        raise WorkFailedError("The replay was cancelled, by a person or with its endpoint")
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
            is_queued = replay["state"] != "running" or replay["queued_at"] is not None
            if is_queued and not (waiting and until_delivered):
                return replay
            time.sleep(_POLL_S)


def _progress_text(replay: dict[str, Any]) -> str:
    """Return the state of a replay and its deliveries by state, as text."""
    counts = replay["deliveries"]
    by_state = [
        f"{counts[state]:,} {state}" for state in ("delivered", "pending", "dead", "cancelled") if counts.get(state)
    ]
    is_queueing = replay["state"] == "running" and replay["queued_at"] is None
    queued = f"{replay['queued']:,} queued{' so far' if is_queueing else ''}"
    pace = [f"{replay['pace_per_s']:,.3g} per second"] if replay["pace_per_s"] else []
    return f"{replay['state']}: {', '.join([queued, *by_state, *pace])}"


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
