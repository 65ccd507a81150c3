"""`commerce-event change-sources`: which tables and columns of another system are which entity, key and fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.apply_file import ALL, DryRun, Entry, faults_at, make_plan, print_plan
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url
from commerce_event.cli.output import Columns, print_done, print_items, print_json, print_thing
from commerce_event.cli.yaml_file import YamlFile, read_yaml, write_yaml

app = typer.Typer(no_args_is_help=True, help="Manage change sources: which tables and columns are which entity.")

_PATH: Final = "/v1/change-sources"
_SECTION: Final = "change_sources"
_FIELDS: Final = ("client_id", "tables")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the source.")]
File = Annotated[str, typer.Argument(metavar="FILE or -", help="YAML with change_sources; - reads standard input.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Remove the sources that are not in the file, with their positions.")
]


def _client(source: Mapping[str, Any]) -> str:
    client = source["client_id"]
    return f"column {client['column']}" if isinstance(client, dict) else str(client)


def _reader(source: Mapping[str, Any]) -> str:
    state = source["state"]
    return "" if state is None else f"{state['state']}{': ' if state['message'] else ''}{state['message'] or ''}"


_COLUMNS: Columns = {
    "name": "name", "client": _client, "tables": "table_count", "position": "position", "reader": _reader,
    "behind": lambda each: f"{each['state']['lag_ms']} ms" if (each["state"] or {}).get("lag_ms") is not None else "",
}  # fmt: skip


@app.command("list")
def list_(
    client_id: ClientId = None, limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """List change sources with their position and the state of their reader, the last change first."""
    with Api(url, key) as api:
        found = api.items(_PATH, limit, client_id=client_id)
        print_items(
            found,
            _COLUMNS,
            as_json=as_json,
            empty="No change sources; make one with: commerce-event change-sources apply",
        )


@app.command()
def show(name: Name, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a change source with its tables."""
    with Api(url, key) as api:
        print_thing(api.get(at("change-sources", name)), as_json=as_json)


@app.command()
def remove(name: Name, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Remove a change source with its position."""
    with Api(url, key) as api:
        api.delete(at("change-sources", name))
    print_done({"name": name, "removed": True}, f"Change source {name} is removed.", as_json=as_json)


@app.command()
def export(client_id: ClientId = None, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Print change sources as YAML, for `change-sources apply`."""
    with Api(url, key) as api:
        found = {name: _exported(source) for name, source in _read(api, client_id).items()}
    if as_json:
        print_json({_SECTION: found})
    else:
        print(write_yaml({_SECTION: found}), end="")


@app.command("apply")
def apply_(
    file: File,
    dry_run: DryRun = False,
    prune: Prune = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Apply a file of change sources; everything is checked before anything is changed."""
    read = read_yaml(file)
    wanted = _wanted(read)
    with Api(url, key) as api:
        found = _read(api, None)
        entries = [
            Entry(name=name, before=found.get(name), after=source, pointer=f"/{_SECTION}/{name}")
            for name, source in wanted.items()
        ]
        entries += [Entry(name=name, before=source, after=None) for name, source in found.items() if name not in wanted]
        plan = make_plan(entries, prune=prune)
        if not dry_run:
            for entry in plan.entries:
                with faults_at(read, entry.pointer):
                    _do(api, entry)
    print_plan(plan, what="Change sources", dry_run=dry_run, as_json=as_json)


def _do(api: Api, entry: Entry) -> None:
    if entry.after is None:
        api.delete(at("change-sources", entry.name))
    else:
        api.put(at("change-sources", entry.name), dict(entry.after))


def _wanted(file: YamlFile) -> dict[str, dict[str, Any]]:
    """Return the sources of a file by name, every value filled in. Raises UsageError."""
    wanted: dict[str, dict[str, Any]] = {}
    for name, source in file.section(_SECTION, dict).items():
        with faults_at(file, f"/{_SECTION}/{name}"):
            wanted[name] = _checked(name, source)
    return wanted


def _checked(name: str, source: Any) -> dict[str, Any]:
    """Return a source as the server shows it. Raises Problem."""
    import msgspec

    from commerce_event.api.change_source_fields import ChangeSourceFields, check_name, source_of
    from commerce_event.api.validation import convert

    wanted = convert(source, ChangeSourceFields, where="")
    check_name(name, "")
    source_of(name, wanted, 0)
    checked: dict[str, Any] = msgspec.to_builtins(wanted)
    return checked


def _read(api: Api, client_id: int | None) -> dict[str, dict[str, Any]]:
    """Return the sources of the server by name, as they are written in a request."""
    names = sorted(each["name"] for each in api.items(_PATH, ALL, client_id=client_id))
    read = {name: api.get(at("change-sources", name)) for name in names}
    return {name: {field: source[field] for field in _FIELDS} for name, source in read.items()}


def _exported(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file has of a source: what is not needed to make it again is left out."""
    tables = {
        name: {field: value for field, value in table.items() if value not in (None, {})}
        for name, table in source["tables"].items()
    }
    return {"client_id": source["client_id"], "tables": tables}
