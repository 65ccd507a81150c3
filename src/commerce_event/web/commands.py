"""Shell commands to copy, with the address of this server."""

import shlex
from typing import Final

import msgspec

_SAMPLE_CHANGE: Final = {
    "client_id": 1,
    "entity": "tClientCustomer",
    "operation": "update",
    "key": {"CustomerId": 12},
    "before": {"FirstName": "Anna"},
    "after": {"FirstName": "Anne"},
}

_SAMPLE_SOURCE: Final = {
    "client_id": 1,
    "tables": {
        "public.customer": {
            "entity": "tClientCustomer",
            "key": {"CustomerId": "id"},
            "fields": {"FirstName": "first_name", "LastName": "last_name"},
        }
    },
}


def publish_command(origin: str, event_type: str, body: bytes, *, body_file: str = "") -> str:
    """Return a curl command that publishes an event at ``origin``; the key comes from the environment.

    With ``body_file``, the command reads the body from that file.
    """
    return _send_command("POST", f"{origin}/v1/events/{event_type}", body, body_file)


def body_option(body: bytes, body_file: str = "") -> str:
    """Return the option of curl that sends a body, or the bytes of a file."""
    return (
        f"--data-binary @{shlex.quote(body_file)}"
        if body_file
        else f"-d {shlex.quote(body.decode('utf-8', 'replace'))}"
    )


def change_command(origin: str) -> str:
    """Return a curl command that sends a change of a customer to ``origin``."""
    return _send_command("POST", f"{origin}/v1/changes", msgspec.json.encode(_SAMPLE_CHANGE))


def source_command(origin: str) -> str:
    """Return a curl command that creates a change source at ``origin``."""
    return _send_command("PUT", f"{origin}/v1/change-sources/shop", msgspec.json.encode(_SAMPLE_SOURCE))


def _send_command(method: str, url: str, body: bytes, body_file: str = "") -> str:
    return (
        f"curl -X {method} {shlex.quote(url)} \\\n"
        f'  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \\\n'
        f"  {body_option(body, body_file)}"
    )
