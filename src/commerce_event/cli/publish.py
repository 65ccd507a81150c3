"""`commerce-event publish` and `simulate`: publish events."""

import itertools
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import CommandError, InterruptedCommandError, UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url, complete_types, no_such_type
from commerce_event.cli.output import console, print_json, print_thing
from commerce_event.cli.signals import report_interrupt

_BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024
_ID = re.compile(r"[ -~]{1,256}")
_ID_PREFIX_MAX = 200
_FILE_MAX_BYTES = 1024**3  # a file is read into memory as a whole
_PIECE_BYTES = 1024**2
_EVENTS = "/v1/events"
_CHANGES = "/v1/changes"

T = TypeVar("T")


class _Item(NamedTuple):
    """One event or change of many: its line in the file, from 1, the item that is sent, and the call that takes it."""

    line: int
    encoded: bytes
    path: str = _EVENTS


def publish(
    event_type: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="Event type, such as OrderConfirmedEvent.", autocompletion=complete_types),
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE or -", help="A JSON file, or JSON Lines with one event per line; - reads standard input."
        ),
    ] = "-",
    id_: Annotated[
        str | None, typer.Option("--id", help="Idempotency key of one event: publishing it again is safe.")
    ] = None,
    id_prefix: Annotated[
        str | None,
        typer.Option(
            "--id-prefix",
            metavar="P",
            help="For several events: line 7 gets the key P-7, so that publishing again creates no duplicates.",
        ),
    ] = None,
    skip: Annotated[int, typer.Option(min=0, help="Skip this many lines at the beginning of the file.")] = 0,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Publish one event, or many as JSON Lines.

    Example: echo '{"ClientId": 1, "JobId": 7, "StatusId": 2}' | commerce-event publish JobCompletedEvent
    """
    if not event_type.isalnum():  # a name that is only unknown may be a type of the server's own
        raise UsageError(no_such_type(event_type))
    _check_id("--id", id_, 256)
    _check_id("--id-prefix", id_prefix, _ID_PREFIX_MAX)
    content = read_file(file)
    fault = fault_of_json(content) if len(content.splitlines()) > 1 else None
    if skip and fault is None:
        raise UsageError("--skip needs several events, one per line")
    with Api(url, key) as api:
        if fault is not None:  # not one JSON document, so one event per line
            if id_ is not None:
                raise UsageError("--id is for one event; use --id-prefix for several")
            items, bad = _items(event_type, content, skip, id_prefix)
            if bad and not items and not skip:  # no line is an event, so it is one event over several lines
                raise UsageError(fault)
            _Publishing(api, len(items), bad).run(items, _BATCH, as_json=as_json)
            return
        one = f"{id_prefix}-1" if id_ is None and id_prefix is not None else id_
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": one} if one else {})}
        with report_interrupt(
            lambda: "it is not known whether the event was accepted; with --id, publishing it again is safe"
        ):
            print_thing(api.post_raw(at("events", event_type), content, headers), as_json=as_json)


def simulate(
    rate: Annotated[
        float, typer.Option(min=0, help="Events or changes per second; 0: as fast as the server accepts them.")
    ] = 10.0,
    count: Annotated[int, typer.Option(min=1, help="How many events or changes.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events and changes.")] = 1,
    client_id: Annotated[int, typer.Option("--client", help="The shop's ClientId.")] = 1,
    changes: Annotated[
        bool,
        typer.Option(
            "--changes",
            help="Send raw data changes instead of events; event settings decide which of them raise a notification.",
        ),
    ] = False,
    with_events: Annotated[
        bool,
        typer.Option(
            "--with-events", help="With --changes: send the shop's events too, but no notifications of its own."
        ),
    ] = False,
    print_settings: Annotated[
        bool,
        typer.Option(
            "--print-settings", help="Print the shop's event settings for `event-settings apply`, and send nothing."
        ),
    ] = False,
    print_only: Annotated[
        bool, typer.Option("--print", "--print-only", help="Print JSON Lines instead of sending.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a shop: orders received, paid, confirmed, delivered or cancelled; stock, prices, customers, jobs."""
    if with_events and not changes:
        raise UsageError("--with-events needs --changes; without it, events are all that is sent")
    if print_settings:
        _print_settings(client_id)
        return
    items = itertools.islice(_life(seed, client_id, changes=changes, events=with_events or not changes), count)
    if print_only:
        for _, item in items:
            print(json.dumps(item, ensure_ascii=False))
        return
    encoded = (
        _Item(number, json.dumps(item).encode(), path) for number, (path, item) in enumerate(_paced(items, rate), 1)
    )
    batch = max(1, min(_BATCH, int(rate / 5) or _BATCH))
    with Api(url, key) as api:
        _Publishing(api, count, [], resume_hint="run the same command again to continue without duplicates").run(
            encoded, batch, as_json=as_json
        )


def _life(seed: int, client_id: int, *, changes: bool, events: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a shop sends and the call that takes it. With changes, the server raises the notifications."""
    from commerce_event.contract.catalogue import EVENT_TYPES
    from commerce_event.simulate.shop import Shop, SimulatedEvent

    for each in Shop(seed, client_id).life():
        if isinstance(each, SimulatedEvent):
            if events and not (changes and EVENT_TYPES[each.type].kind == "notification"):
                yield _EVENTS, {"type": each.type, "data": each.data, "id": each.key}
        elif changes:
            yield _CHANGES, each.body


def _print_settings(client_id: int) -> None:
    from commerce_event.cli.yaml_file import write_yaml
    from commerce_event.simulate.event_settings import settings_of

    print(write_yaml({"event_settings": settings_of(client_id)}), end="")


class _Publishing:
    """Sends many events and changes batch by batch, and knows how far it is."""

    def __init__(self, api: Api, total: int, refused: list[dict[str, Any]], *, resume_hint: str | None = None) -> None:
        self._api = api
        self._total = total
        self._resume_hint = resume_hint
        self._counts = {"accepted": 0, "duplicates": 0, "refused": len(refused)}
        self._refused = refused
        self._line = 0  # the last line that was answered
        self._sent = 0  # the last line that was sent

    def run(self, items: Iterable[_Item], batch: int, *, as_json: bool) -> None:
        """Publish with a progress bar. Exit 1 when any was refused."""
        try:
            with report_interrupt(self._progress_text), progress_bar() as progress:
                task = progress.add_task("publishing", total=self._total)
                for piece in _pieces(items, batch):
                    self._publish(piece)
                    progress.advance(task, len(piece))
        except CommandError as error:
            if self._counts["accepted"] + self._counts["duplicates"] and not isinstance(error, InterruptedCommandError):
                raise WorkFailedError(f"{str(error).rstrip('.')}; {self._progress_text()}") from None
            raise
        self._print(as_json=as_json)

    def _publish(self, piece: list[_Item]) -> None:
        self._sent = piece[-1].line
        for path in dict.fromkeys(item.path for item in piece):
            items = [item for item in piece if item.path == path]
            lines = b"\n".join(item.encoded for item in items)
            answer = self._api.post_raw(path, lines, {"Content-Type": "application/x-ndjson"})
            for name in self._counts:
                self._counts[name] += answer[name]
            self._refused += [
                {"line": items[item["index"]].line, **item} for item in answer["items"] if item["status"] >= 400
            ]
        self._line = piece[-1].line

    def _progress_text(self) -> str:
        known = f", {self._counts['duplicates']} accepted before" if self._counts["duplicates"] else ""
        done = f"{self._counts['accepted']} accepted{known}, up to line {self._line}"
        if self._resume_hint is not None:
            return f"{done}; {self._resume_hint}"
        unsure = f" (lines up to {self._sent} may be accepted too)" if self._sent > self._line else ""
        return f"{done}{unsure}; continue with --skip {self._line}"

    def _print(self, *, as_json: bool) -> None:
        refused = sorted(self._refused, key=lambda each: int(each["line"]))
        if as_json:
            print_json({**self._counts, "refusals": refused})
        else:
            console().print(
                "{accepted} accepted, {duplicates} accepted before, {refused} refused".format(**self._counts)
            )
        if refused:
            first = refused[0]
            faults = [f"{fault['pointer'] or 'the item'} {fault['message']}" for fault in first.get("errors") or []]
            reason = f"{first['detail'].rstrip('.')} ({'; '.join(faults)})" if faults else first["detail"]
            raise WorkFailedError(f"{len(refused)} refused; the first is line {first['line']}: {reason}")


def _items(
    event_type: str, content: bytes, skip: int, id_prefix: str | None
) -> tuple[list[_Item], list[dict[str, Any]]]:
    """Return the events of JSON Lines, and a refusal for each line that is not JSON; those lines are not sent."""
    name = json.dumps(event_type).encode()
    items: list[_Item] = []
    refused: list[dict[str, Any]] = []
    for line, text in enumerate(content.splitlines(), 1):
        if line <= skip or not text.strip():
            continue
        fault = _not_json(text)
        if fault is not None:
            refused.append({"line": line, "status": 400, "title": "Not JSON", "detail": fault})
            continue
        key = b"" if id_prefix is None else b',"id":%b' % json.dumps(f"{id_prefix}-{line}").encode()
        items.append(_Item(line, b'{"type":%b,"data":%b%b}' % (name, text, key)))
    return items, refused


def _not_json(line: bytes) -> str | None:
    try:
        json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"The line is not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        byte = len(error.doc[: error.pos].encode()) + 1
        return f"The line is not JSON at byte {byte} ({error.msg.lower()})"
    except (ValueError, RecursionError):
        return "It is not readable JSON"
    return None


def fault_of_json(content: bytes) -> str | None:
    """Return why the content is not one JSON document; None when it is."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return f"The input is not JSON at line {error.lineno}, column {error.colno} ({error.msg.lower()})"
    except (ValueError, RecursionError):
        return "It is not readable JSON"
    return None


def _pieces(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    """Split into batches of at most ``count`` events that fit into one request."""
    piece: list[_Item] = []
    size = 0
    for item in items:
        piece.append(item)
        size += len(item.encoded)
        if len(piece) == count or size >= _BATCH_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _paced(items: Iterator[T], rate: float) -> Iterator[T]:
    start = time.monotonic()
    for number, item in enumerate(items):
        if rate:
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
        yield item


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty())


def _check_id(option: str, text: str | None, most: int) -> None:
    if text is not None and (not _ID.fullmatch(text) or len(text) > most):
        raise UsageError(f"{option} must be 1 to {most} printable ASCII characters")


def read_file(
    file: str, limit: int = _FILE_MAX_BYTES, too_large: str = "is larger than 1 GiB; publish it in parts"
) -> bytes:
    """Return the content of a file of at most ``limit`` bytes, or of the standard input for ``-``.

    Raises UsageError, with ``too_large`` for a larger one.
    """
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
            content = bytearray()
            while piece := source.read(_PIECE_BYTES):
                content += piece
                if len(content) > limit:
                    raise UsageError(f"{file} {too_large}")
            return bytes(content)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{file!r} is not a file name") from None
