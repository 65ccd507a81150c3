"""Options of commands that send to a receiver without a server."""

from collections.abc import Mapping
from typing import Annotated

import typer

from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import static_headers

Secret = Annotated[
    str | None,
    typer.Option(
        envvar="COMMERCE_EVENT_SECRET",
        help="Signing secret of the receiver (whsec_…); safer in COMMERCE_EVENT_SECRET than on the command line.",
    ),
]
Header = Annotated[list[str] | None, typer.Option("--header", help="Static header 'Name: value'; may be repeated.")]


def checked_url(url: str, option: str) -> str:
    """Return the URL of a receiver in normal form; any address may be reached. Raises UsageError."""
    from commerce_event.core.addresses import AddressPolicy
    from commerce_event.core.urls import InvalidUrlError, RefusedAddressError, parse_url

    try:
        return parse_url(url, AddressPolicy(["0.0.0.0/0", "::/0"])).text
    except RefusedAddressError as error:
        raise UsageError(f"{option} has an address that nothing can be sent to ({error.reason})") from None
    except InvalidUrlError as error:
        raise UsageError(f"{option}: {error}") from None


def checked_headers(lines: list[str] | None) -> Mapping[str, str]:
    """Return static headers that can be sent. Raises UsageError, without any value."""
    from commerce_event.core.headers import InvalidHeaderError, check_headers

    headers = static_headers(lines) or {}
    try:
        check_headers(headers)
    except InvalidHeaderError as error:
        raise UsageError(str(error)) from None
    return headers


def check_secret(secret: str) -> None:
    """Raise UsageError unless the secret can sign."""
    from commerce_event.core.signatures import InvalidSecretError, Signer

    try:
        Signer([secret])
    except InvalidSecretError as error:
        raise UsageError(f"--secret cannot be used: {error}") from None
