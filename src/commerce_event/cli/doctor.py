"""`commerce-event doctor`: check everything a server depends on, and say what to do."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import httpx
import typer

from commerce_event.cli.api import Api
from commerce_event.cli.errors import CommandError, UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url
from commerce_event.cli.output import Columns, print_items, print_json
from commerce_event.cli.proxies import open_client

if TYPE_CHECKING:
    from commerce_event.settings import Settings

_FREE_DISK_MIN_BYTES = 1024**3
_SHOWN_MAX = 5  # endpoints that fail
_CLOCK_MIN_S = 1_767_225_600  # 2026-01-01: an earlier time means that the clock was never set

Status = Literal["ok", "warning", "problem"]
Finding = tuple[str, Status, str]


def doctor(
    store: Annotated[str | None, typer.Option(help="The store to check. (COMMERCE_EVENT_STORE)")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, store, clock, disk, network policy and a running server; exit 1 when something is wrong.

    Settings, network policy and store are those that a server started here would use. Nothing is written.
    """
    findings = list(_findings(store, url, key))
    rows: list[dict[str, Any]] = [
        {"check": name, "verdict": verdict, "finding": text} for name, verdict, text in findings
    ]
    if as_json:
        print_json(rows)
    else:
        columns: Columns = {"check": "check", "": "verdict", "finding": "finding"}
        print_items(rows, columns, as_json=False, empty="")
    problems = [text for _, verdict, text in findings if verdict == "problem"]
    if problems:
        raise WorkFailedError(problems[0])


def _findings(store: str | None, url: str, key: str | None) -> Iterator[Finding]:
    from commerce_event.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment(os.environ, store=store)
    except SettingsError as error:
        yield "settings", "problem", str(error)
        return
    yield "settings", "ok", f"store {settings.store_shown}"
    path = settings.store_path()
    yield _clock()
    if path is not None:
        yield from _disk(path)
    yield _network(settings.allow_networks)
    running = _server(url)
    yield running
    if running[1] == "ok":
        counts = _delivery_counts(url, key)
        yield counts
        if key and "not checked" not in counts[2]:
            yield from _endpoints(url, key)
    if path is None or path.exists():
        yield _store(settings, path)
    else:
        yield "store", "ok", f"{path} does not exist yet; the first start creates it"


def _clock() -> Finding:
    if time.time() < _CLOCK_MIN_S:
        return (
            "clock",
            "problem",
            "the clock is years behind; set it, because receivers reject signatures with an old time",
        )
    return "clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def _disk(path: Path) -> Iterator[Finding]:
    folder = path.parent
    if not folder.is_dir():
        yield "disk", "problem", f"the folder {folder} does not exist; create it"
        return
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GiB free on the disk of the store"
    yield "disk", "ok" if free >= _FREE_DISK_MIN_BYTES else "warning", text


def _network(allowed: tuple[str, ...]) -> Finding:
    from commerce_event.core.addresses import AddressPolicy

    policy = AddressPolicy(allowed)
    if policy.refusal("127.0.0.1") is None or policy.refusal("10.0.0.1") is None:
        return "network policy", "warning", f"these settings allow deliveries to {', '.join(allowed)}"
    return "network policy", "ok", "these settings block deliveries to private, loopback and cloud metadata addresses"


def _server(url: str) -> Finding:
    try:
        client, _ = open_client(url, timeout=5)
        with client:
            answer = client.get("/readyz")
    except UsageError as error:  # of a proxy
        return "server", "warning", str(error)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return "server", "warning", f"no server answers at {url}; start one with: commerce-event serve"
    if answer.status_code != 200:
        return "server", "problem", f"the server at {url} is not ready: {answer.text[:200]}"
    return "server", "ok", f"ready at {url}; its own settings and store are not checked"


def _delivery_counts(url: str, key: str | None) -> Finding:
    if not key:
        return "delivery counts", "warning", "not checked: no key is set; export COMMERCE_EVENT_KEY=…"
    try:
        with Api(url, key) as api:
            books = api.get("/v1/books")
        pending = sum(book["pending"] for book in books["items"])
        dead = sum(book["dead"] for book in books["items"])
    except CommandError as error:
        return "delivery counts", "problem", f"not checked: {error}"
    except (KeyError, TypeError):
        return "delivery counts", "problem", f"not checked: {url} is not a commerce-event server"
    if not books["balanced"]:
        return "delivery counts", "problem", "they do not balance: keep the store unchanged and report this"
    return "delivery counts", "ok", f"balanced; {pending} pending, {dead} dead"


def _endpoints(url: str, key: str) -> Iterator[Finding]:
    """Yield a finding for each endpoint that fails, up to five, and one for what waits elsewhere."""
    try:
        with Api(url, key) as api:
            items = api.get("/v1/endpoint-stats", last_hour="false")["items"]
            failing = [each for each in items if each["health"] == "failing"]
            for each in failing[:_SHOWN_MAX]:
                yield "endpoint", "warning", _failing(each)
    except (CommandError, KeyError, TypeError) as error:
        yield "endpoints", "problem", f"not checked: {error}"
        return
    if len(failing) > _SHOWN_MAX:
        yield "endpoints", "warning", f"{len(failing) - _SHOWN_MAX} more fail; see: commerce-event endpoints list"
    due = min((each["oldest_due_at"] for each in items if each["oldest_due_at"]), default=None)
    for health in ("off", "paused"):
        held = [each for each in items if each["health"] == health and each["pending"]]
        if held:
            waiting = sum(each["pending"] for each in held)
            such = held[0]["endpoint"]["id"]
            yield "endpoints", "warning", f"{waiting} deliveries wait for endpoints that are {health}, such as {such}"
    if due and not failing:
        yield "endpoints", "ok", f"none fails now; the oldest delivery that waits was due {due}"


def _failing(item: Any) -> str:
    """Describe an endpoint that fails: since when, how often, why, and what waits."""
    endpoint, count = item["endpoint"], item["consecutive_failures"]
    times = "once" if count == 1 else f"{count} times in a row"
    last = f"last success {item['last_success_at']}" if item["last_success_at"] else "it never succeeded"
    cause = f": {item['cause']}" if item["cause"] else ""
    waits = f", the oldest due since {item['oldest_due_at']}" if item["oldest_due_at"] else ""
    return (
        f"{endpoint['id']} ({endpoint['url']}) failed {times} since {item['failing_since']}{cause}; {last}; "
        f"{item['pending']} wait{waits}"
    )


def _store(settings: "Settings", path: Path | None) -> Finding:
    from commerce_event.cli.store_inspection import inspect_database, inspect_file
    from commerce_event.store.port import StoreBrokenError, StoreRefusedError

    try:
        return "store", "ok", inspect_file(path) if path is not None else asyncio.run(inspect_database(settings.store))
    except (StoreRefusedError, StoreBrokenError) as error:
        return "store", "problem", str(error)
