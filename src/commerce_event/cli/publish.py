"""`commerce-event publish` and `simulate`: hand events in."""

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url
from commerce_event.cli.output import console, print_json, print_thing

_BATCH = 500


def publish(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, such as OrderConfirmedEvent.")],
    file: Annotated[
        str, typer.Argument(help="A JSON file; several lines are several events; - reads standard input.")
    ] = "-",
    id_: Annotated[str | None, typer.Option("--id", help="Idempotency key: publishing again with it is safe.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Publish one event, or many as JSON Lines.

    Example: echo '{"ClientId": 1, "JobId": 7, "StatusId": 2}' | commerce-event publish JobCompletedEvent
    """
    content = _read(file)
    lines = [line for line in content.splitlines() if line.strip()]
    with Api(url, key) as api:
        if len(lines) > 1 and not _is_one_document(content):
            if id_ is not None:
                raise UsageError("--id names one event; leave it out for several")
            _publish_lines(api, event_type, lines, as_json=as_json)
            return
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": id_} if id_ else {})}
        print_thing(api.post_raw(f"/v1/events/{event_type}", content, headers), as_json=as_json)


def simulate(
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as they are taken.")] = 10.0,
    count: Annotated[int, typer.Option(min=1, help="How many events.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    client_id: Annotated[int, typer.Option("--client", help="The shop's ClientId.")] = 1,
    print_only: Annotated[bool, typer.Option("--print", help="Print JSON Lines instead of publishing.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Live a shop's life: orders received, paid, confirmed, delivered or cancelled; stock, prices, customers, jobs."""
    from commerce_event.simulate.shop import Shop

    events = itertools.islice(Shop(seed, client_id).events(), count)
    items: Iterator[dict[str, Any]] = ({"type": each.type, "data": each.data, "id": each.key} for each in events)
    if print_only:
        for item in items:
            print(json.dumps(item, ensure_ascii=False))
        return
    with Api(url, key) as api:
        _publish_items(
            api, _paced(items, rate), count, batch=max(1, min(_BATCH, int(rate / 5) or _BATCH)), as_json=as_json
        )


def _publish_lines(api: Api, event_type: str, lines: list[bytes], *, as_json: bool) -> None:
    items = (b'{"type":%b,"data":%b}' % (json.dumps(event_type).encode(), line) for line in lines)
    _publish_encoded(api, items, len(lines), _BATCH, as_json=as_json)


def _publish_items(api: Api, items: Iterable[dict[str, Any]], total: int, *, batch: int, as_json: bool) -> None:
    _publish_encoded(api, (json.dumps(item).encode() for item in items), total, batch, as_json=as_json)


def _publish_encoded(api: Api, items: Iterable[bytes], total: int, batch: int, *, as_json: bool) -> None:
    """Publish JSON Lines in batches, with a progress bar; exit 1 when any was refused."""
    summary = {"accepted": 0, "duplicates": 0, "refused": 0}
    refused: list[dict[str, Any]] = []
    start = 0
    items = iter(items)
    with _progress() as progress:
        task = progress.add_task("publishing", total=total)
        while piece := list(itertools.islice(items, batch)):
            answer = api.post_raw("/v1/events", b"\n".join(piece), {"Content-Type": "application/x-ndjson"})
            for name in summary:
                summary[name] += answer[name]
            refused += [
                {"line": start + item["index"] + 1, **item} for item in answer["items"] if item["status"] >= 400
            ]
            start += len(piece)
            progress.advance(task, len(piece))
    if as_json:
        print_json({**summary, "refusals": refused})
    else:
        console().print(
            f"{summary['accepted']} accepted, {summary['duplicates']} known before, {summary['refused']} refused"
        )
    if refused:
        first = refused[0]
        raise WorkFailedError(f"{len(refused)} refused; the first is line {first['line']}: {first['detail']}")


def _paced(items: Iterator[dict[str, Any]], rate: float) -> Iterator[dict[str, Any]]:
    start = time.monotonic()
    for number, item in enumerate(items):
        if rate:
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
        yield item


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty())


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None


def _is_one_document(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
