"""`commerce-event events` and `deliveries`: read events, deliveries and attempts."""

from typing import Annotated, Any

import typer

from commerce_event.cli.api import Api, at
from commerce_event.cli.options import (
    DEFAULT_URL,
    AsJson,
    ClientId,
    Key,
    Limit,
    Since,
    Until,
    Url,
    complete_types,
    moment,
)
from commerce_event.cli.output import Columns, as_json_text, clean, print_items, print_json, print_thing
from commerce_event.core.causes import reason_in_words
from commerce_event.core.model import DeliveryState

events = typer.Typer(no_args_is_help=True, help="Read accepted events.")
deliveries = typer.Typer(no_args_is_help=True, help="Read, retry and cancel deliveries.")

EventId = Annotated[str, typer.Argument(metavar="ID", help="Event, evt_…")]
DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="Delivery, dlv_…")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Only this endpoint.")]
State = Annotated[DeliveryState | None, typer.Option(help="Only deliveries in this state.")]


def error_text(status: int | None, cause: str | None) -> str:
    """Return what is wrong with an answer, or why there was none; empty when nothing is."""
    return f"{status}: {cause}" if status is not None and cause else cause or ""


def _last_error(reason: Any) -> str:
    return error_text(reason["last_status"], reason["cause"])


def _reason(delivery: Any) -> str:
    return reason_in_words(delivery["reason"])


def _place(attempt: Any) -> str:
    """Return where an attempt went and how far it came, such as ``connect 198.51.100.7:443``."""
    return " ".join(filter(None, [attempt["phase"], attempt["address"]]))


def _about(event_type: str, data: Any) -> str:
    """Return what people call the subject of an event, such as ``Order SO-10023``."""
    import msgspec

    from commerce_event.contract.labels import label_of

    return label_of(event_type, msgspec.json.encode(data)).text


def _no_result_message(text: str, *, is_filtered: bool) -> str:
    from rich.markup import escape

    from commerce_event.core.search_words import no_result_message

    message = no_result_message(clean(text), is_filtered=is_filtered)
    return escape(f"{message.removesuffix('.')}: commerce-event refusals list")


def _states(event: Any) -> str:
    """Return the states of an event's deliveries, such as ``2 delivered, 1 pending``."""
    states = event.get("delivery_states")
    if states is None:  # not told by a list in the order of acceptance
        return str(event["deliveries"])
    return ", ".join(f"{count} {state}" for state, count in states.items() if count) or "no endpoint matched"


_EVENTS: Columns = {
    "id": "id", "client": "client_id", "sequence": "sequence", "type": "type", "accepted": "accepted_at",
    "about": lambda event: _about(event["type"], event["data"]), "deliveries": _states,
}  # fmt: skip
_REASONS: Columns = {
    "endpoint": "endpoint_id", "url": "url", "verdict": "verdict", "last error": _last_error,
}  # fmt: skip
_RULES: Columns = {
    "endpoint": "endpoint_id", "rule": "name", "": lambda rule: "passed" if rule["passed"] else "did not match",
    "the endpoint wants": lambda rule: as_json_text(rule["wanted"]),
    "the event has": lambda rule: as_json_text(rule["found"]),
}  # fmt: skip
DELIVERIES: Columns = {
    "id": "id", "event": "event_id", "endpoint": "endpoint_id", "state": "state", "attempts": "attempt_count",
    "next attempt": "next_attempt_at", "reason": _reason,
}  # fmt: skip


@events.command("list")
def list_events(
    client_id: ClientId = None,
    application: Annotated[int | None, typer.Option(help="Only events of this ApplicationId.")] = None,
    event_type: Annotated[
        str | None,
        typer.Option("--type", help="Types or categories, separated by commas.", autocompletion=complete_types),
    ] = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only events with a delivery in this state.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", "-q", help="Text in the payload, such as an order number.")
    ] = None,
    after: Annotated[
        int | None, typer.Option(help="Only events after this number of the client's sequence, oldest first.")
    ] = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. Example: events list --search SO-10023"""
    with Api(url, key) as api:
        found = api.items(
            "/v1/events",
            limit,
            client_id=client_id,
            application_id=application,
            type=event_type,
            since=moment(since),
            until=moment(until, "--until"),
            state=state,
            q=search,
            after=after,
            expand="true" if after is None else None,
        )
        others = (client_id, application, event_type, since, until, state)
        empty = (
            "No events. Refused events are in: commerce-event refusals list"
            if search is None
            else _no_result_message(search, is_filtered=any(each is not None for each in others))
        )
        print_items(found, _EVENTS, as_json=as_json, empty=empty)


@events.command("get")
def get_event(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show an event."""
    with Api(url, key) as api:
        print_thing(api.get(at("events", id_)), as_json=as_json)


@events.command("deliveries")
def event_deliveries(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List an event's deliveries."""
    with Api(url, key) as api:
        found = api.items(at("events", id_, "deliveries"), 1_000)
        print_items(
            found, DELIVERIES, as_json=as_json, empty=f"No endpoint matched; see: commerce-event events explain {id_}"
        )


@events.command("explain")
def explain_event(id_: EventId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Explain for each endpoint why an event was sent or not."""
    with Api(url, key) as api:
        explanation = api.get(at("events", id_, "explain"))
        if as_json:
            print_json(explanation)
            return
        event = api.get(at("events", id_))
    about = _about(event["type"], event["data"])
    print(clean(f"{event['type']}{about and f', {about}'}, accepted {event['accepted_at']}"))
    print_items(explanation["endpoints"], _REASONS, as_json=False, empty="This client has no endpoints.")
    if explanation["left_out"]:
        typer.echo(f"{explanation['left_out']} more endpoints; ask the API for one with ?endpoint_id=", err=True)
    rules = [
        {**rule, "endpoint_id": each["endpoint_id"]} for each in explanation["endpoints"] for rule in each["rules"]
    ]
    if rules:
        print()
        print_items(rules, _RULES, as_json=False, empty="")


@deliveries.command("list")
def list_deliveries(
    client_id: ClientId = None,
    endpoint: Endpoint = None,
    event: Annotated[str | None, typer.Option("--event", help="Only deliveries of this event.")] = None,
    replay: Annotated[str | None, typer.Option("--replay", help="Only deliveries created by this replay.")] = None,
    state: State = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    with Api(url, key) as api:
        found = api.items(
            "/v1/deliveries",
            limit,
            client_id=client_id,
            endpoint_id=endpoint,
            event_id=event,
            replay_id=replay,
            state=state,
        )
        print_items(found, DELIVERIES, as_json=as_json, empty="No deliveries.")


@deliveries.command("get")
def get_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show a delivery and all attempts."""
    with Api(url, key) as api:
        delivery = api.get(at("deliveries", id_))
    if as_json:
        print_json(delivery)
        return
    attempts = delivery.pop("attempts")
    print_thing({**delivery, "reason": _reason(delivery)}, as_json=False)
    columns: Columns = {
        "attempt": "number", "started": "started_at", "ms": "duration_ms", "status": "status",
        "error": lambda attempt: error_text(attempt["status"], attempt["cause"]), "failed at": _place,
        "answer": lambda attempt: attempt["response_body"][:80],
    }  # fmt: skip
    print_items(attempts, columns, as_json=False, empty="No attempts yet.")


@deliveries.command("retry")
def retry_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Retry a delivery now; it gets all its retries again."""
    with Api(url, key) as api:
        print_thing(api.post(at("deliveries", id_, "retry")), as_json=as_json)


@deliveries.command("cancel")
def cancel_delivery(id_: DeliveryId, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Cancel a pending delivery."""
    with Api(url, key) as api:
        print_thing(api.post(at("deliveries", id_, "cancel")), as_json=as_json)
