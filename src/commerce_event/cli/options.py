"""Options that many commands share, described once."""

from typing import Annotated

import typer

Url = Annotated[str, typer.Option(envvar="COMMERCE_EVENT_URL", help="Where the server answers.", show_default=True)]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="COMMERCE_EVENT_KEY", help="API key; better given as COMMERCE_EVENT_KEY than on the command line."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
ClientId = Annotated[int | None, typer.Option("--client", help="Only this client (ClientId).")]

DEFAULT_URL = "http://127.0.0.1:8080"
