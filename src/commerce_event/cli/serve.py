"""`commerce-event serve`: run the server."""

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from commerce_event.cli.output import print_line

if TYPE_CHECKING:
    from commerce_event.server import Node


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. (COMMERCE_EVENT_HOST; default 127.0.0.1)")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 chooses a free one. (COMMERCE_EVENT_PORT; default 8080)")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="The store: sqlite:///FILE, or postgresql://… for many nodes. (COMMERCE_EVENT_STORE; default "
            "sqlite:///./commerce-event.db)"
        ),
    ] = None,
    hold_deliveries: Annotated[
        bool | None,
        typer.Option(
            "--hold-deliveries",
            help="Accept events, but send nothing. (COMMERCE_EVENT_HOLD_DELIVERIES)",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="When ready, print one line of JSON: url, and admin_key if one was created."),
    ] = False,
) -> None:
    """Run the server until SIGTERM, SIGHUP or Ctrl-C; then finish requests in progress and exit 0.

    The first start creates an admin key and prints it once. Every setting has an environment variable;
    docs/reference/settings.md lists them.
    """
    import uvloop

    from commerce_event import logs, server
    from commerce_event.settings import Settings

    settings = Settings.from_environment(os.environ, host=host, port=port, store=store, hold_deliveries=hold_deliveries)
    logs.configure(settings.log_format)
    code = uvloop.run(server.serve(settings, on_ready=partial(_announce, as_json=as_json), on_stop=_announce_stop))
    if code == 0:  # after a failure, the log says why
        print("Stopped.", file=sys.stderr)
    raise typer.Exit(code)


def _announce_stop() -> None:
    print("Stopping: finishing requests in progress.", file=sys.stderr, flush=True)


def _announce(node: "Node", url: str, *, as_json: bool) -> None:
    if as_json:
        print_line({"url": url, "admin_key": node.first_key, "hold_deliveries": node.settings.hold_deliveries})
        return
    if node.first_key is not None:
        print(f"Admin key, shown only once: {node.first_key}", file=sys.stderr)
        print("Use it as: export COMMERCE_EVENT_KEY=…", file=sys.stderr)
    if node.settings.hold_deliveries:
        print("Deliveries are held: start without --hold-deliveries to send them.", file=sys.stderr)
    print(f"Serving {url} — stop with Ctrl-C", file=sys.stderr, flush=True)
