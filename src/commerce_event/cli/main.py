"""`commerce-event`: the command. Each group of commands is a module of its own."""

import os
import sys
from typing import Annotated

import typer

from commerce_event import __version__
from commerce_event.cli import backup, bench, demo, doctor, endpoints, history, keys, moving, publish, reference, serve
from commerce_event.cli.errors import CommandError

app = typer.Typer(
    name="commerce-event",
    help="Reliable commerce events over webhooks: accept, store durably, deliver, account for every attempt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"commerce-event {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(serve.serve)
app.command()(demo.demo)
app.command()(publish.publish)
app.command()(publish.simulate)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(history.events, name="events")
app.add_typer(history.deliveries, name="deliveries")
app.add_typer(history.dead, name="dead")
app.add_typer(history.replays, name="replays")
app.add_typer(keys.app, name="keys")
app.command()(reference.openapi)
app.command()(reference.types)
app.command()(bench.bench)
app.command()(doctor.doctor)
app.command()(backup.backup)
app.command("migrate-store")(moving.migrate_store)


def main() -> None:
    """Run the command; whatever goes wrong is one sentence on standard error."""
    try:
        app()
    except CommandError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output is gone
    except Exception as error:
        _end(*_known(error))


def _known(error: Exception) -> tuple[str, int]:
    """Return the sentence and exit code of an error from below; one that nobody foresaw is raised again."""
    from commerce_event.api.listening import ListenError
    from commerce_event.settings import SettingsError
    from commerce_event.store.port import StoreError

    if isinstance(error, SettingsError | ListenError | StoreError):
        return str(error), 2
    raise error


def _end(sentence: str, code: int) -> None:
    print(f"commerce-event: {sentence}", file=sys.stderr)
    sys.exit(code)
