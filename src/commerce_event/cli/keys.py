"""`commerce-event keys`: manage API keys."""

import asyncio
import os
import re
from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Limit, Url
from commerce_event.cli.output import Columns, print_done, print_items, print_thing
from commerce_event.core.model import Role

Expires = Annotated[
    str | None, typer.Option(help="When it expires: after a time span such as 30d, or at a date or time (UTC).")
]
app = typer.Typer(no_args_is_help=True, help="Manage API keys.")

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_COLUMNS: Columns = {
    "id": "id", "role": "role", "clients": lambda item: "all" if item["client_ids"] is None else item["client_ids"],
    "name": "name", "created": "created_at", "last used": lambda item: item["last_used_at"] or "never",
    "expires": "expires_at", "state": lambda item: item["warning"] or item["state"],
}  # fmt: skip


@app.command("list")
def list_(limit: Limit = 100, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List keys; the keys themselves are not stored."""
    with Api(url, key) as api:
        print_items(api.items("/v1/keys", limit), _COLUMNS, as_json=as_json, empty="No keys except the operator's.")


@app.command()
def secret(as_json: AsJson = False) -> None:
    """Print a new COMMERCE_EVENT_SECRET_KEY, which encrypts endpoint secrets; all nodes of a store need the same."""
    from commerce_event.core.vault import new_key

    made = new_key()
    print_done({"secret_key": made}, made, as_json=as_json)


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="The role of the key.")],
    clients: Annotated[
        list[int] | None, typer.Option("--client", help="A client that the key may access (ClientId); may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    expires: Expires = None,
    store: Annotated[
        str | None, typer.Option(help="Write to this store directly while no server runs on it: for a lost admin key.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a key; it is shown only once.

    Example: commerce-event keys create --role publish --client 1 --name "web shop" --expires 90d
    """
    body: dict[str, Any] = {"role": role, "name": name}
    if clients:
        body["client_ids"] = clients
    if expires is not None:
        body |= expiry(expires)
    if store is not None:
        print_thing(asyncio.run(_create_in_store(store, body)), as_json=as_json)
        return
    with Api(url, key) as api:
        print_thing(api.post("/v1/keys", body), as_json=as_json)


@app.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Key, key_…")],
    force: Annotated[
        bool, typer.Option("--force", help="Revoke the key even if it is your own or the last admin key.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; it stops working at once."""
    with Api(url, key) as api:
        api.delete(at("keys", id_), force="true" if force else None)
    print_done({"id": id_, "revoked": True}, f"Key {id_} is revoked.", as_json=as_json)


def expiry(text: str) -> dict[str, Any]:
    """Return the fields of a key that expires after a time span (``30d``), or at a date or time."""
    from commerce_event.core.retry import InvalidDurationError, parse_duration

    if "T" in text:
        return {"expires_at": text}
    if _DATE.fullmatch(text):
        return {"expires_at": f"{text}T00:00:00Z"}
    try:
        return {"expires_in_s": round(parse_duration(text))}
    except InvalidDurationError:
        raise UsageError(
            "--expires must be a time span such as 30d, a date, or a time such as 2027-01-31T00:00:00Z"
        ) from None


async def _create_in_store(store: str, body: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    from commerce_event.api.keys import NewKey, clients_of, expiry_of
    from commerce_event.api.response_models import NewKeyView, key_fields
    from commerce_event.api.validation import convert
    from commerce_event.core.problems import Problem
    from commerce_event.server import open_registry
    from commerce_event.settings import Settings

    try:
        wanted = convert(body, NewKey, where="")
        clients = clients_of(wanted)
    except Problem as problem:
        raise UsageError(problem.detail) from None
    settings = Settings.from_environment(os.environ, store=store)
    path = settings.store_path()
    if path is not None and not path.exists():
        raise UsageError(f"There is no store {path}; name the file that the server was started with")
    async with open_registry(settings) as (registry, clock):
        now_ms = clock.now_ms()
        try:
            expires_ms = expiry_of(wanted, now_ms)
        except Problem as problem:
            raise UsageError(problem.detail) from None
        made, text = await registry.add_key(wanted.role, clients, wanted.name, now_ms, expires_ms=expires_ms)
        view: dict[str, Any] = msgspec.to_builtins(NewKeyView(**key_fields(made, None, now_ms), key=text))
        return view
