"""`commerce-event event-settings`: which data changes raise a notification for a client."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.apply_file import ALL, DryRun, Entry, faults_at, make_plan, print_plan
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, SINCE_HELP, AsJson, ClientId, Key, Limit, Url, moment
from commerce_event.cli.output import Columns, clean, print_done, print_items, print_json, print_thing
from commerce_event.cli.yaml_file import YamlFile, read_yaml, write_yaml

app = typer.Typer(no_args_is_help=True, help="Manage event settings: which data changes raise a notification.")

_PATH: Final = "/v1/event-settings"
_SECTION: Final = "event_settings"
_NEVER: Final = "2089-01-01T00:00:00Z"  # no change was accepted since then, so a preview only checks
_SUBJECT: Final = ("client_id", "application_id", "event_type", "entity")
_VALUES: Final = ("enabled", "on_insert", "on_update", "on_delete", "fields", "filter", "coalesce_s")


def _complete_types(incomplete: str) -> list[str]:
    from commerce_event.contract.entities import NOTIFICATIONS

    return [name for name in NOTIFICATIONS if name.startswith(incomplete)]


def _complete_entities(incomplete: str) -> list[str]:
    from commerce_event.contract.entities import ENTITIES

    return [name for name in ENTITIES if name.startswith(incomplete)]


Client = Annotated[int, typer.Option("--client", help="The client (ClientId).")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="The notification to raise.", autocompletion=_complete_types)]
Entity = Annotated[
    str,
    typer.Argument(metavar="ENTITY", help="The data table whose changes count.", autocompletion=_complete_entities),
]
Application = Annotated[int | None, typer.Option(help="Only for this application; it replaces the setting of all.")]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether changes are tracked.")]
Insert = Annotated[bool | None, typer.Option("--insert/--no-insert", help="Whether inserted rows count.")]
Update = Annotated[bool | None, typer.Option("--update/--no-update", help="Whether updated rows count.")]
Delete = Annotated[bool | None, typer.Option("--delete/--no-delete", help="Whether deleted rows count.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", help="A field that counts in an update; may be repeated. Write * for any field."),
]
Filter = Annotated[
    str | None,
    typer.Option("--filter", help="""Conditions as JSON, such as '{"after.Country": "SE"}'; {} removes them."""),
]
Coalesce = Annotated[
    str | None, typer.Option(help="Merge changes of the same thing within this time, such as 30s; 0 for none.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the setting (set_…).")]
File = Annotated[str, typer.Argument(metavar="FILE or -", help="YAML with event_settings; - reads standard input.")]
Since = Annotated[str | None, typer.Option(help=SINCE_HELP.replace("From this time on", "Changes from this time on"))]
Prune = Annotated[
    bool, typer.Option("--prune", help="Remove settings that are not in the file, of the clients that it names.")
]

_COLUMNS: Columns = {
    "id": "id",
    "on": lambda each: "on" if each["enabled"] else "off",
    "setting": "sentence",
}
_SAMPLES: Columns = {
    "at": "at", "change": "change_id", "merged": "merged", "body": lambda each: json.dumps(each["body"]),
}  # fmt: skip


@app.command("list")
def list_(
    client_id: ClientId = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only of this notification.", autocompletion=_complete_types)
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="Only of this data table.", autocompletion=_complete_entities)
    ] = None,
    limit: Limit = 100,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List event settings in words, newest first."""
    with Api(url, key) as api:
        found = api.items(_PATH, limit, client_id=client_id, event_type=event_type, entity=entity)
        print_items(
            found,
            _COLUMNS,
            as_json=as_json,
            empty="No event settings; make one with: commerce-event event-settings set",
        )


@app.command()
def show(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an event setting."""
    with Api(url, key) as api:
        print_thing(api.get(at("event-settings", id_)), as_json=as_json)


@app.command("set")
def set_(
    event_type: Type,
    entity: Entity,
    client: Client,
    application: Application = None,
    enabled: Enabled = None,
    insert: Insert = None,
    update: Update = None,
    delete: Delete = None,
    field: Fields = None,
    filter_: Filter = None,
    coalesce: Coalesce = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create the setting of a client, notification and data table, or change what is given of it.

    Example: commerce-event event-settings set CustomerChangedNotification tClientCustomerAddress --client 1006
    --field City --field Zip --no-delete
    """
    subject = _subject(client, application, event_type, entity)
    values = _values(enabled, insert, update, delete, field, filter_, coalesce)
    with Api(url, key) as api:
        found = _find(api, subject)
        if found is None:
            saved = api.post(_PATH, {**subject, **values})
        else:
            saved = api.patch(at("event-settings", found["id"]), values)
    print_done(saved, f"{saved['id']}: {saved['sentence']}", as_json=as_json)


@app.command()
def remove(id_: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Remove an event setting; its changes raise nothing from then on."""
    with Api(url, key) as api:
        api.delete(at("event-settings", id_))
    print_done({"id": id_, "removed": True}, f"Event setting {id_} is removed.", as_json=as_json)


@app.command()
def preview(
    event_type: Type,
    entity: Entity,
    client: Client,
    application: Application = None,
    insert: Insert = None,
    update: Update = None,
    delete: Delete = None,
    field: Fields = None,
    filter_: Filter = None,
    coalesce: Coalesce = None,
    since: Since = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what a setting would have raised over the changes that are kept, before it is saved.

    What is not given is as in the setting that exists.
    """
    subject = _subject(client, application, event_type, entity)
    values = _values(None, insert, update, delete, field, filter_, coalesce)
    with Api(url, key) as api:
        found = _find(api, subject)
        kept = {} if found is None else {name: found[name] for name in _VALUES}
        seen = api.post(f"{_PATH}/preview", {"setting": {**subject, **kept, **values}, "since": moment(since)})
    if as_json:
        print_json(seen)
        return
    more = " A limit ended the preview; choose a later --since." if seen["truncated"] else ""
    print(f"{seen['changes']:,} changes would have raised {seen['notifications']:,} notifications.{more}")
    if seen["samples"]:
        print_items(seen["samples"], _SAMPLES, as_json=False, empty="")


@app.command()
def export(client_id: ClientId = None, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Print event settings as YAML, for `event-settings apply`."""
    with Api(url, key) as api:
        found = sorted(api.items(_PATH, ALL, client_id=client_id), key=lambda each: _order(_key(each)))
    if as_json:
        print_json({_SECTION: [_exported(each) for each in found]})
        return
    print(f"{_SECTION}:" if found else f"{_SECTION}: []")
    for each in found:
        print(f"# {clean(each['sentence'])}")
        print(write_yaml([_exported(each)]), end="")


@app.command("apply")
def apply_(
    file: File,
    dry_run: DryRun = False,
    prune: Prune = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Apply a file of event settings; everything is checked before anything is changed."""
    read = read_yaml(file)
    wanted = _wanted(read)
    with Api(url, key) as api:
        clients = sorted({each["client_id"] for _, each in wanted})
        found = {_key(each): each for client in clients for each in api.items(_PATH, ALL, client_id=client)}
        plan = make_plan(_entries(wanted, found), prune=prune)
        for entry in plan.entries:
            if entry.after is not None:
                body = {"setting": dict(entry.after), "since": _NEVER}
                with faults_at(read, entry.pointer, inside="/setting"):
                    api.post(f"{_PATH}/preview", body)
        if not dry_run:
            for entry in plan.entries:
                with faults_at(read, entry.pointer):
                    _do(api, entry, found)
    print_plan(plan, what="Event settings", dry_run=dry_run, as_json=as_json)


def _do(api: Api, entry: Entry, found: Mapping[tuple[Any, ...], Any]) -> None:
    if entry.after is None:
        api.delete(at("event-settings", found[_key(entry.before or {})]["id"]))
    elif entry.before is None:
        api.post(_PATH, dict(entry.after))
    else:
        changed = {name: entry.after[name] for name in _VALUES if entry.after[name] != entry.before[name]}
        api.patch(at("event-settings", found[_key(entry.after)]["id"]), changed)


def _entries(
    wanted: Sequence[tuple[str, dict[str, Any]]], found: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> list[Entry]:
    present = {subject: {name: each[name] for name in (*_SUBJECT, *_VALUES)} for subject, each in found.items()}
    entries = [
        Entry(name=_name(each), before=present.get(_key(each)), after=each, pointer=pointer) for pointer, each in wanted
    ]
    named = {_key(each) for _, each in wanted}
    lacking = sorted(present.keys() - named, key=_order)
    return entries + [Entry(name=_name(present[each]), before=present[each], after=None) for each in lacking]


def _wanted(file: YamlFile) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings of a file with their places, every value filled in. Raises UsageError."""
    from commerce_event.api.event_setting_fields import NewEventSetting, completed_setting
    from commerce_event.api.validation import convert

    items = file.section(_SECTION, list)
    found: list[tuple[str, dict[str, Any]]] = []
    seen: set[tuple[Any, ...]] = set()
    for index, item in enumerate(items):
        pointer = f"/{_SECTION}/{index}"
        with faults_at(file, pointer):
            setting = completed_setting(convert(item, NewEventSetting, where=""))
        values = {name: setting[name] for name in (*_SUBJECT, *_VALUES)}
        values["fields"] = None if setting["fields"] is None else list(setting["fields"])
        if _key(values) in seen:
            raise file.fault(pointer, "there is a setting of this client, application, type and entity above")
        seen.add(_key(values))
        found.append((pointer, values))
    return found


def _find(api: Api, subject: Mapping[str, Any]) -> Any:
    """Return the setting of a subject, None when there is none."""
    wanted = {name: subject[name] for name in ("client_id", "event_type", "entity")}
    same = [each for each in api.items(_PATH, ALL, **wanted) if _key(each) == _key(subject)]
    return same[0] if same else None


def _subject(client: int, application: int | None, event_type: str, entity: str) -> dict[str, Any]:
    return {"client_id": client, "application_id": application, "event_type": event_type, "entity": entity}


def _values(
    enabled: bool | None,
    insert: bool | None,
    update: bool | None,
    delete: bool | None,
    field: list[str] | None,
    filter_: str | None,
    coalesce: str | None,
) -> dict[str, Any]:
    """Return the values that options give."""
    from commerce_event.core.retry import InvalidDurationError, parse_duration

    given = {"enabled": enabled, "on_insert": insert, "on_update": update, "on_delete": delete}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if field:
        values["fields"] = None if field == ["*"] else field
    if filter_ is not None:
        try:
            values["filter"] = json.loads(filter_) or None
        except ValueError:
            raise UsageError('The filter is not JSON; quote it, as in --filter \'{"after.Country": "SE"}\'') from None
    if coalesce is not None:
        try:
            values["coalesce_s"] = parse_duration(coalesce)
        except InvalidDurationError as error:
            raise UsageError(f"--coalesce: {error}") from None
    return values


def _exported(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file has of a setting: what is not needed to make it again is left out."""
    kept = {name: setting[name] for name in (*_SUBJECT, *_VALUES)}
    absent = {"application_id": None, "enabled": True, "fields": None, "filter": None, "coalesce_s": 0}
    return {name: value for name, value in kept.items() if name not in absent or value != absent[name]}


def _name(setting: Mapping[str, Any]) -> str:
    application = setting["application_id"]
    of_application = "" if application is None else f", application {application}"
    return f"{setting['event_type']} {setting['entity']}, client {setting['client_id']}{of_application}"


def _key(setting: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(setting[name] for name in _SUBJECT)


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    client, application, event_type, entity = key
    return client, event_type, entity, application is not None, application or 0
