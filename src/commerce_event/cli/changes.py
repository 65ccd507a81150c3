"""`commerce-event changes`: send data changes, list them, and explain what each raised."""

import json
from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.change_rules import rule_rows
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Since, Until, Url, moment
from commerce_event.cli.output import Columns, console, print_items, print_json, print_thing
from commerce_event.cli.publish import progress_bar, read_file

app = typer.Typer(no_args_is_help=True, help="Send data changes, and see which notifications they raised.")

ChangeId = Annotated[str, typer.Argument(metavar="ID", help="Change, chg_…")]

_BATCH = 500  # changes in one request
_LINES = {"Content-Type": "application/x-ndjson"}


def _key(change: Any) -> str:
    from commerce_event.core.changes.words import describe_key

    return describe_key(change["key"])


_COLUMNS: Columns = {
    "id": "id", "accepted": "accepted_at", "client": "client_id", "entity": "entity", "operation": "operation",
    "key": _key, "source": "source", "unmapped": "unmapped",
}  # fmt: skip
_RULES: Columns = {"rule": "rule", "result": "result"}
_EVENTS: Columns = {
    "event": lambda each: each["event_id"] or "waits", "merged": "merged", "waits until": "waits_until",
    "deliveries": lambda each: ", ".join(f"{count} {state}" for state, count in each["deliveries"].items()),
}  # fmt: skip


@app.command("send")
def send_changes(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines, one change a line; - reads standard input.")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send data changes from a file, one JSON object a line. Give each change an `id` so that sending again is safe.

    Example: commerce-event changes send changes.jsonl
    """
    lines = [(number, line) for number, line in enumerate(read_file(file).splitlines(), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{file} has no changes; write one JSON object a line")
    counts = {"accepted": 0, "duplicates": 0, "refused": 0, "notifications": 0, "waiting": 0}
    refused: list[dict[str, Any]] = []
    with Api(url, key) as api, progress_bar() as progress:
        task = progress.add_task("sending", total=len(lines))
        for start in range(0, len(lines), _BATCH):
            piece = lines[start : start + _BATCH]
            answer = api.post_raw("/v1/changes", b"\n".join(line for _, line in piece), _LINES)
            for name in ("accepted", "duplicates", "refused"):
                counts[name] += answer[name]
            for item in answer["items"]:
                counts["notifications"] += 0 if item.get("duplicate") else len(item.get("events") or ())
                counts["waiting"] += item.get("waiting", 0)
                if item["status"] >= 400:
                    refused.append({"line": piece[item["index"]][0], **item})
            progress.advance(task, len(piece))
    if as_json:
        print_json({**counts, "refusals": refused})
    else:
        console().print(
            "{accepted} accepted, {duplicates} accepted before, {refused} refused; "
            "notifications: {notifications} raised, {waiting} waiting".format(**counts)
        )
    if refused:
        first = refused[0]
        faults = [f"{fault['pointer'] or 'the change'} {fault['message']}" for fault in first.get("errors") or []]
        raise WorkFailedError(
            f"{len(refused)} refused; the first is line {first['line']}: {'; '.join(faults) or first['detail']}"
        )


@app.command("list")
def list_changes(
    client_id: ClientId = None,
    entity: Annotated[str | None, typer.Option(help="Only this data table, such as tClientCustomer.")] = None,
    source: Annotated[str | None, typer.Option(help="Only changes of this source.")] = None,
    unmapped: Annotated[
        bool | None, typer.Option("--unmapped/--mapped", help="Only those that no source maps, or only the others.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List data changes, newest first."""
    with Api(url, key) as api:
        found = api.items(
            "/v1/changes",
            limit,
            client_id=client_id,
            entity=entity,
            source=source,
            unmapped=None if unmapped is None else json.dumps(unmapped),
            since=moment(since),
            until=moment(until, "--until"),
        )
        print_items(found, _COLUMNS, as_json=as_json, empty="No changes.")


@app.command("show")
def show_change(id_: ChangeId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a data change with its values."""
    with Api(url, key) as api:
        print_thing(api.get(at("changes", id_)), as_json=as_json)


@app.command("explain")
def explain_change(id_: ChangeId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Explain what a data change raised: every setting, each rule with the value found, and where events went."""
    with Api(url, key) as api:
        explanation = api.get(at("changes", id_, "explain"))
    if as_json:
        print_json(explanation)
        return
    print(explanation["verdict"])
    for setting in explanation["settings"]:
        print(f"\n{setting['setting_id']}  {setting['event_type']}: {setting['verdict']}")
        rows = [row for rule in setting["rules"] for row in rule_rows(rule)]
        print_items(rows, _RULES, as_json=False, empty="")
        if setting["notifications"]:
            print_items(setting["notifications"], _EVENTS, as_json=False, empty="")
    if explanation["without_setting"]:
        print(f"\nNo setting: {', '.join(explanation['without_setting'])}")
