"""`commerce-event listen`: send a client's events to a program on this machine, and show its answers."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import nullcontext
from typing import Annotated, Any, NamedTuple

import typer

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.key_presses import has_keyboard, key_presses
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url, complete_wanted
from commerce_event.cli.receiver_options import Header, Secret, check_secret, checked_headers, checked_url
from commerce_event.cli.signals import stop_event

_LAST_MAX = 100
_CLIENTS_SHOWN = 10


def listen(
    forward_to: Annotated[
        str | None, typer.Option("--forward-to", metavar="URL", help="Send the events to this URL, as deliveries.")
    ] = None,
    client_id: Annotated[
        int | None, typer.Option("--client", help="ClientId; needed unless the key is for one client.")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            metavar="NAMES",
            help="Types or categories, separated by commas; all by default.",
            autocompletion=complete_wanted,
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=0, max=_LAST_MAX, help="First send this many of the last events.")] = 0,
    secret: Secret = None,
    header: Header = None,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the bodies of events; without --forward-to, nothing is sent.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send a client's events, as they come, to a program on your machine, and show each answer.

    Requests are those of a delivery: the same headers, signed, 5 s for an answer. Redirects are not followed. A key
    with the role read is enough. Exit code 1 when the last attempt of an event was not answered 2xx.

    Example: commerce-event listen --client 1 --forward-to http://localhost:3000/hook
    """
    if forward_to is None and not print_:
        raise UsageError("Give --forward-to URL, or --print to see the events without sending them")
    if forward_to is not None:
        forward_to = checked_url(forward_to, "--forward-to")
    if secret is not None:
        check_secret(secret)
    names = [name.strip() for each in types or [] for name in each.split(",") if name.strip()]
    with Api(url, key) as api:
        wanted = _Wanted(
            url=url,
            client_id=_client_of(api) if client_id is None else client_id,
            types=names,
            last=last,
            forward_to=forward_to,
            secret=secret,
            headers=checked_headers(header),
            with_bodies=print_,
            as_json=as_json,
        )
        asyncio.run(_listen(api, wanted))


class _Wanted(NamedTuple):
    """What a person asked for, checked."""

    url: str
    client_id: int
    types: list[str]
    last: int
    forward_to: str | None
    secret: str | None
    headers: Mapping[str, str]
    with_bodies: bool
    as_json: bool


def _client_of(api: Api) -> int:
    """Return the client of a key that is for one client. Raises UsageError for any other key."""
    known = [each["client_id"] for each in api.get("/v1/clients")["items"]]
    if len(known) == 1:
        return int(known[0])
    shown = ", ".join(map(str, known[:_CLIENTS_SHOWN])) + (", …" if len(known) > _CLIENTS_SHOWN else "")
    raise UsageError(f"Name the client with --client{f'; there are {shown}' if known else ''}")


async def _listen(api: Api, wanted: _Wanted) -> None:
    from commerce_event.cli.event_stream import EventStream
    from commerce_event.cli.forwarder import Forwarder
    from commerce_event.cli.listen_display import Display
    from commerce_event.cli.listen_session import KEYS, Session
    from commerce_event.core.signatures import new_secret

    stop = stop_event()
    display = Display(as_json=wanted.as_json, with_bodies=wanted.with_bodies)
    with_keys = wanted.forward_to is not None and not wanted.as_json and has_keyboard()
    forwarder, made, to = None, "", ""
    if wanted.forward_to is not None:
        made = "" if wanted.secret else new_secret("hmac")
        forwarder = Forwarder(wanted.forward_to, wanted.secret or made, wanted.headers, wanted.client_id)
        to = f", forwarding to {wanted.forward_to}"

    def on_ready() -> None:
        display.say(f"Listening to the events of client {wanted.client_id} at {wanted.url}{to}; stop with Ctrl-C")
        if made:
            display.secret(made)
        if with_keys:
            display.say(KEYS)

    session = Session(EventStream(api, wanted.client_id, wanted.types, display.say), forwarder, display, stop.set)
    try:
        with key_presses(session.on_key) if with_keys else nullcontext():
            await _run_until(stop, session.run(wanted.last, on_ready))
    finally:
        await session.close()
        if forwarder is not None:
            await forwarder.close()
    if session.has_failures:
        raise WorkFailedError(session.summary())
    display.say(session.summary())


async def _run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run work that has no end, until it raises or ``stop`` is set."""
    running, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        stopping.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
