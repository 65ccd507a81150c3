"""Check the head of a request: its size, and that all servers must read it in the same way (no request smuggling)."""

from typing import Final

import msgspec

from commerce_event.core.problems import Problem

HEAD_MAX: Final = 64 * 1024  # bytes of a head, and of the trailers after a body
FIELDS_MAX: Final = 100  # header lines in a head
URL_MAX: Final = 16 * 1024

_SINGLE: Final = frozenset({
    b"authorization", b"content-encoding", b"content-type", b"host", b"idempotency-key", b"webhook-id",
})  # fmt: skip
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class Head(msgspec.Struct, frozen=True):
    """A parsed head. Names of fields are in lower case."""

    method: bytes
    url: bytes
    version: str
    fields: list[tuple[bytes, bytes]]


def head_too_large() -> Problem:
    """Return the problem of a head, or of trailers after a body, beyond the limits."""
    return Problem(
        431, f"The head has more than {HEAD_MAX} bytes or {FIELDS_MAX} header lines; send fewer or shorter headers."
    )


def check_head(head: Head) -> None:
    """Raise Problem when another server could understand the request, or where it ends, differently."""
    if head.version not in _VERSIONS:
        raise Problem(400, "This server supports HTTP/1.0 and HTTP/1.1.")
    if head.method == b"CONNECT":
        raise Problem(501, "This server is not a proxy: it does not support CONNECT.")
    names = [name for name, _ in head.fields]
    _check_repeats(names)
    if head.version == "1.1" and b"host" not in names:
        raise Problem(400, "The header Host is missing.")
    if b"transfer-encoding" in names:
        _check_codings(head)


def strip_upgrade(head: Head) -> bytes:
    """Return the bytes of a head without its Upgrade header, which a server may ignore (RFC 9110, 7.8)."""
    lines = [b"%b %b HTTP/%b" % (head.method, head.url, head.version.encode())]
    lines += [b"%b: %b" % (name, value) for name, value in head.fields if name != b"upgrade"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _check_repeats(names: list[bytes]) -> None:
    if len(set(names)) == len(names):
        return
    for index, name in enumerate(names):
        if (name in _SINGLE or name.startswith(b"ce-")) and name in names[:index]:
            raise Problem(400, f"The header {name.decode('latin-1')} is given twice; send it once.")


def _check_codings(head: Head) -> None:
    """Raise Problem for a transfer coding other than chunked: servers differ on where such a body ends."""
    values = b",".join([value for name, value in head.fields if name == b"transfer-encoding"])
    codings = [coding.strip(b" \t").lower() for coding in values.split(b",")]
    if head.version == "1.0" or codings[-1] != b"chunked" or b"chunked" in codings[:-1]:
        raise Problem(400, "The end of the body is ambiguous; send Content-Length, or Transfer-Encoding: chunked.")
    if len(codings) > 1:
        raise Problem(501, "The only supported transfer coding is chunked.")
