"""The `commerce-event` command. Each group of commands is a module."""

import errno
import inspect
import os
import re
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from commerce_event import __version__
from commerce_event.cli import (
    audit,
    backup,
    bench,
    capture,
    change_sources,
    changes,
    check,
    clients,
    demo,
    doctor,
    endpoints,
    event_settings,
    event_types,
    history,
    incidents,
    keys,
    listen,
    migrate_store,
    publish,
    reference,
    refusals,
    replays,
    serve,
    timelines,
    trigger,
    validation,
)
from commerce_event.cli.errors import CommandError
from commerce_event.cli.output import clean
from commerce_event.cli.signals import handle_signals, interrupted

_TRACEBACK = "--traceback"
_FIRST_WORD = re.compile(r"^[a-z]+(?= )")  # of a sentence; names of files and options do not match
_INTERRUPTED = 130  # typer's exit code after Ctrl-C
_CANNOT_WRITE = {errno.ENOSPC, errno.EIO, errno.EBADF}

app = typer.Typer(
    name="commerce-event",
    help="Reliable commerce events over webhooks: accept, store durably, deliver, record every attempt.",
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
    traceback: Annotated[bool, typer.Option(_TRACEBACK, help="Show the traceback of an unexpected error.")] = False,
) -> None:
    pass


app.command()(serve.serve)
app.command()(demo.demo)
app.command()(publish.publish)
app.command()(publish.simulate)
app.command()(listen.listen)
app.command()(trigger.trigger)
app.command()(check.check)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(history.events, name="events")
history.events.command("timeline")(timelines.show_timeline)
app.add_typer(history.deliveries, name="deliveries")
app.add_typer(incidents.app, name="incidents")
app.add_typer(replays.dead, name="dead")
app.add_typer(replays.replays, name="replays")
app.add_typer(refusals.app, name="refusals")
app.add_typer(changes.app, name="changes")
app.add_typer(clients.app, name="clients")
app.add_typer(clients.links, name="portal-link")
app.add_typer(keys.app, name="keys")
app.add_typer(event_types.app, name="event-types")
app.add_typer(event_settings.app, name="event-settings")
app.add_typer(change_sources.app, name="change-sources")
app.add_typer(validation.app, name="validation")
app.command()(capture.capture)
app.add_typer(audit.audit, name="audit")
app.command()(reference.openapi)
app.command()(reference.types)
app.command()(bench.bench)
app.command()(doctor.doctor)
app.command()(incidents.status)
app.command()(backup.backup)
app.command("migrate-store")(migrate_store.migrate_store)
for _command in app.registered_commands:  # join the lines of docstrings: a terminal has its own width
    _command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(_command.callback) or "")


def main() -> None:
    """Run the command. Every error becomes one sentence on standard error and an exit code."""
    handle_signals()
    try:
        code = app(prog_name=app.info.name, standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            _end_broken_pipe()
        raise
    except BrokenPipeError:
        _end_broken_pipe()
    except Exception as error:
        _end(*_describe(error))
    if code == _INTERRUPTED:
        _end_interrupted()
    sys.exit(code)


def _describe(error: Exception) -> tuple[str, int]:
    """Return the sentence and the exit code of an error."""
    from commerce_event.http.uvicorn_server import ListenError
    from commerce_event.settings import SettingsError
    from commerce_event.store.port import StoreError

    if isinstance(error, SettingsError | ListenError | StoreError):
        return str(error), 2
    if hasattr(error, "format_message"):  # typer's errors of wrong usage
        return _wrong_usage(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}", 2
    if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
        _discard_output()
        return f"The output cannot be written: {error.strerror}", 1
    if _TRACEBACK in sys.argv:
        raise error
    return (
        f"An unexpected error occurred ({type(error).__name__}: {error}); `commerce-event {_TRACEBACK} …` shows where. "
        "Please report it",
        1,
    )


def _wrong_usage(error: Any) -> tuple[str, int]:
    if hasattr(error.__cause__, "errors"):  # pydantic's, which checks the values of options
        error.message = _wrong_value(error.__cause__.errors()[0]) or error.message
    sentence = error.format_message()
    context = getattr(error, "ctx", None)
    if not sentence.strip():  # help was asked for and is printed
        sys.exit(2)
    path = context.command_path if context is not None else app.info.name
    joint = " See" if sentence.endswith("?") else "; see"
    return f"{sentence.rstrip('. ')}{joint}: {path} --help", 2


def _wrong_value(fault: dict[str, Any]) -> str | None:
    """Return what is wrong with an option's value, from pydantic's error; None for an unknown type of error."""
    value = fault["input"]
    match fault["type"]:
        case "int_parsing":
            return f"{value!r} is not a whole number"
        case "float_parsing":
            return f"{value!r} is not a number"
        case "greater_than_equal":
            return f"it must be at least {fault['ctx']['ge']}, not {value}"
        case "less_than_equal":
            return f"it must be at most {fault['ctx']['le']}, not {value}"
        case "value_error":
            return str(fault["ctx"]["error"])
    return None


def _end_interrupted() -> NoReturn:
    error = interrupted()
    _end(str(error), error.exit_code)


def _end_broken_pipe() -> NoReturn:
    """End without a message when the reader of our output is gone, as with `| head`."""
    _discard_output()
    sys.exit(128 + signal.SIGPIPE)


def _discard_output() -> None:
    """Redirect standard output to nowhere, so that Python's flush at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(sentence: str, code: int) -> NoReturn:
    line = _FIRST_WORD.sub(lambda first: first[0].capitalize(), clean(sentence))
    print(f"commerce-event: {line}{'' if line.endswith(('.', '?', '…')) else '.'}", file=sys.stderr)
    sys.exit(code)
