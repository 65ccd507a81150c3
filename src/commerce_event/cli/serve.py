"""`commerce-event serve`: API, delivery and upkeep in one process."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from commerce_event.server import Node


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [env: COMMERCE_EVENT_HOST]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 chooses one. [env: COMMERCE_EVENT_PORT]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where events are kept: sqlite:///FILE, or postgresql://… for many nodes. [env: COMMERCE_EVENT_STORE]"
        ),
    ] = None,
    hold_deliveries: Annotated[
        bool | None,
        typer.Option(
            "--hold-deliveries",
            help="Accept events and show everything, but send nothing. [env: COMMERCE_EVENT_HOLD_DELIVERIES]",
        ),
    ] = None,
) -> None:
    """Run the server until it gets SIGTERM or Ctrl-C; then finish what is in flight and exit 0.

    The first start makes an admin key and prints it once. Every setting has an environment variable;
    docs/reference/settings.md lists them.
    """
    import uvloop

    from commerce_event import logs, server
    from commerce_event.settings import Settings

    settings = Settings.from_environment(os.environ, host=host, port=port, store=store, hold_deliveries=hold_deliveries)
    logs.configure(settings.log_format)
    raise typer.Exit(uvloop.run(server.serve(settings, on_ready=_announce)))


def _announce(node: "Node", url: str) -> None:
    if node.first_key is not None:
        print(f"Admin key, shown this once: {node.first_key}", file=sys.stderr)
        print("Use it as: export COMMERCE_EVENT_KEY=…", file=sys.stderr)
    if node.settings.hold_deliveries:
        print("Deliveries are held: start without --hold-deliveries to send them.", file=sys.stderr)
    print(f"Serving {url} — stop with Ctrl-C", file=sys.stderr, flush=True)
