"""`commerce-event audit`: list changes and who made them."""

from typing import Annotated

import typer

from commerce_event.cli.api import Api
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Limit, Url
from commerce_event.cli.output import Columns, print_items

_COLUMNS: Columns = {
    "at": "at", "who": lambda entry: entry["key_name"] or entry["key_id"], "what": "action", "which": "target",
    "client": "client_id", "before → after": "detail",
}  # fmt: skip


def audit(
    client_id: ClientId = None,
    target: Annotated[
        str | None, typer.Option(help="Only changes of this id: end_…, dlv_…, rpl_…, rfs_… or key_….")
    ] = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List changes made through the API or the screens, and who made them, newest first."""
    with Api(url, key) as api:
        found = api.items("/v1/audit", limit, client_id=client_id, target=target)
        print_items(found, _COLUMNS, as_json=as_json, empty="No changes in the last 400 days.")
