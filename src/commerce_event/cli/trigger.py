"""`commerce-event trigger`: one believable event, through a server or straight to a URL."""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.assignments import assign
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url, complete_types, no_such_type
from commerce_event.cli.output import clean, print_json
from commerce_event.cli.proxies import connection_options
from commerce_event.cli.receiver_options import Header, Secret, check_secret, checked_headers, checked_url

if TYPE_CHECKING:
    from commerce_event.contract.catalogue import EventType
    from commerce_event.receiver_check.model import Answer
    from commerce_event.receiver_check.requests import Message

Event = dict[str, Any]


def trigger(
    event_type: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="Event type, such as OrderConfirmedEvent.", autocompletion=complete_types),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="Path=value", help="Set a property; null removes it. May be repeated."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Send straight to this URL, as a delivery, without a server.")
    ] = None,
    secret: Secret = None,
    header: Header = None,
    count: Annotated[int, typer.Option(min=1, max=1_000, help="How many events, each about an order of its own.")] = 1,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same events, with new ids.")] = None,
    client_id: Annotated[int, typer.Option("--client", help="ClientId of the events.")] = 1,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, max=60, help="With --to: how long to wait for an answer, in seconds.")
    ] = 5.0,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a believable event of a type, and publish it or send it straight to a URL.

    Exit code 1 when the receiver does not answer 2xx.

    Example: commerce-event trigger OrderConfirmedEvent --set OrderNo=SO-1 --to http://localhost:3000/hook
    """
    if to is None:
        if header:
            raise UsageError("--header is for events that are sent with --to; an endpoint has its own headers")
        with Api(url, key) as api:
            wanted = _event_type(event_type, api)
            _publish(api, wanted.name, _events(wanted, set_ or [], count, seed, client_id), as_json=as_json)
        return
    to = checked_url(to, "--to")
    headers = checked_headers(header)
    if secret is not None:
        check_secret(secret)
    if key and not _is_of_contract(event_type):
        with Api(url, key) as api:
            wanted = _event_type(event_type, api)
    else:
        wanted = _event_type(event_type, None)
    _send(to, wanted, _events(wanted, set_ or [], count, seed, client_id), secret, headers, timeout_s, as_json=as_json)


def _is_of_contract(name: str) -> bool:
    from commerce_event.contract.catalogue import EVENT_TYPES

    return name in EVENT_TYPES


def _event_type(name: str, api: Api | None) -> "EventType":
    """Return a type of the contract, or an own event type of the server."""
    from commerce_event.contract.catalogue import EVENT_TYPES
    from commerce_event.contract.own_types import own_type

    if name in EVENT_TYPES:
        return EVENT_TYPES[name]
    if api is None:
        raise UsageError(f"{no_such_type(name)} Event types of your own need a server: set COMMERCE_EVENT_KEY")
    if not name.isalnum():
        raise UsageError(no_such_type(name))
    found = api.get(at("event-types", name))
    return own_type(
        found["name"], found["category"], found["kind"], found["description"], found["schema"], found["example"]
    )


def _events(
    event_type: "EventType", assignments: Sequence[str], count: int, seed: int | None, client: int
) -> list[Event]:
    """Return the events, changed as wanted. Notes about the changes go to standard error, once."""
    from commerce_event.simulate.sample_event import SampleEvents

    samples = SampleEvents(secrets.randbits(32) if seed is None else seed, client)
    schema = event_type.schema()
    events = []
    notes: dict[str, None] = {}
    for _ in range(count):
        event = samples.next(event_type)
        for assignment in assignments:
            notes.update(dict.fromkeys(assign(event, schema, assignment)))
        events.append(event)
    for note in notes:
        print(f"Note: {clean(note)}", file=sys.stderr)
    return events


def _publish(api: Api, type_name: str, events: Sequence[Event], *, as_json: bool) -> None:
    done = []
    for event in events:
        body = json.dumps(event, ensure_ascii=False).encode()
        answer = api.post_raw(at("events", type_name), body, {"Content-Type": "application/json"})
        done.append({"id": answer["id"], "type": type_name, "deliveries": answer["deliveries"], "data": event})
        if not as_json:
            count = answer["deliveries"]
            print(clean(f"{answer['id']} {type_name}: accepted, {count} {'delivery' if count == 1 else 'deliveries'}"))
    if as_json:
        print_json(done[0] if len(done) == 1 else done)


def _send(
    to: str,
    event_type: "EventType",
    events: Sequence[Event],
    secret: str | None,
    headers: Any,
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    """Send events to a URL, one after the other. Raises WorkFailedError when an answer is not 2xx."""
    from commerce_event.core.signatures import new_secret
    from commerce_event.receiver_check.http_client import HttpClient
    from commerce_event.receiver_check.model import Limits
    from commerce_event.receiver_check.requests import RequestMaker

    made = None if secret is not None else new_secret("hmac")
    maker = RequestMaker(
        secret=secret or made,
        headers=headers,
        types=[event_type],
        sample=lambda _: {},
        random_bytes=os.urandom,
        now_ms=lambda: time.time_ns() // 1_000_000,
        limits=Limits(answer_s=timeout_s),
    )
    options, _ = connection_options(to)
    if made is not None:
        print(f"Signed with {made}, made for this call; use --secret for your own", file=sys.stderr)

    async def send_all() -> list[dict[str, Any]]:
        done = []
        async with HttpClient(to, timeout_s, options) as client:
            for event in events:
                message = maker.message(event)
                answer = await client.send(maker.request(message))
                done.append(_sent(message, event, answer))
                if not as_json:
                    print(clean(f"{message.webhook_id} {message.type_name} {answer}"), flush=True)
        return done

    done = asyncio.run(send_all())
    if as_json:
        print_json(done[0] if len(done) == 1 else done)
    refused = [each for each in done if not each["accepted"]]
    if refused:
        what = "the event was" if len(done) == 1 else f"{len(refused)} of {len(done)} events were"
        raise WorkFailedError(f"{what} not answered 2xx")


def _sent(message: "Message", event: Event, answer: "Answer") -> dict[str, Any]:
    return {
        "id": message.webhook_id,
        "type": message.type_name,
        "accepted": answer.is_success,
        "status": answer.status,
        "duration_ms": round(answer.duration_s * 1000),
        "reason": answer.reason or None,
        "error": answer.error or None,
        "data": event,
    }
