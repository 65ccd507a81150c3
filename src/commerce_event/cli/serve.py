"""`commerce-event serve`: API, delivery and upkeep in one process."""

import os
import sys
from typing import Annotated

import typer


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
) -> None:
    """Run the server until it gets SIGTERM or Ctrl-C; then finish what is in flight and exit 0.

    The first start makes an admin key and prints it once. Every setting has an environment variable;
    docs/reference/settings.md lists them.
    """
    import uvloop

    from commerce_event import logs, server
    from commerce_event.settings import Settings

    settings = Settings.from_environment(os.environ, host=host, port=port, store=store)
    logs.configure(settings.log_format)
    raise typer.Exit(uvloop.run(server.serve(settings, on_ready=_announce)))


def _announce(node: "object", url: str) -> None:
    first_key = getattr(node, "first_key", None)
    if first_key is not None:
        print(f"Admin key, shown this once: {first_key}", file=sys.stderr)
        print("Use it as: export COMMERCE_EVENT_KEY=…", file=sys.stderr)
    print(f"Serving {url} — stop with Ctrl-C", file=sys.stderr, flush=True)
