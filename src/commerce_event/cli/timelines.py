"""`commerce-event events timeline`: all events of an order, a part, a customer or a company, as text for a ticket."""

from typing import Annotated

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import DEFAULT_URL, AsJson, ClientId, Key, Url
from commerce_event.cli.output import clean, print_json

_KINDS = ("order", "part", "customer", "company")


def show_timeline(
    kind: Annotated[str, typer.Argument(help="order, part, customer or company.", autocompletion=lambda: list(_KINDS))],
    value: Annotated[str, typer.Argument(help="Its exact number or id, such as SO-10023.")],
    client_id: ClientId = None,
    property_: Annotated[
        str | None, typer.Option("--property", help="Only what has the value in this property, such as OrderId.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show all events of an order, and what each receiver has of them. Example: events timeline order SO-10023"""
    if kind not in _KINDS:
        raise UsageError(f"There are no timelines of {kind!r}; write one of {', '.join(_KINDS)}")
    with Api(url, key) as api:
        found = api.get(at("timelines", kind), value=value, client_id=client_id, property=property_)
    if as_json:
        print_json(found)
        return
    for line in found["summary"].splitlines():
        print(clean(line))
    if found["client_id"] is None:
        print(f"Clients: {', '.join(str(each['client_id']) for each in found['clients'])}; choose one with --client")
    for each in found["others"]:
        print(clean(f"{each['value']} is also the {each['property']} of another; add --property {each['property']}"))
