"""The head of a request: how large it may be, and that no two servers could read it in two ways."""

from typing import Final

import msgspec

from commerce_event.core.problems import Problem

HEAD_MAX: Final = 64 * 1024  # bytes of a head, and of what may follow a body
FIELDS_MAX: Final = 100  # header lines in it
URL_MAX: Final = 16 * 1024

_SINGLE: Final = frozenset({
    b"authorization", b"content-encoding", b"content-type", b"host", b"idempotency-key", b"webhook-id",
})  # fmt: skip
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class Head(msgspec.Struct, frozen=True):
    """The head of a request as it was parsed, names of fields in lower case."""

    method: bytes
    url: bytes
    version: str
    fields: list[tuple[bytes, bytes]]


def too_large_head() -> Problem:
    """A head, or the trailers behind a body, beyond what is read of them."""
    return Problem(431, f"The head has more than {HEAD_MAX} bytes or {FIELDS_MAX} header lines; send fewer.")


def check_head(head: Head) -> None:
    """Raise Problem when the head leaves a doubt about what is asked, or about where the request ends."""
    if head.version not in _VERSIONS:
        raise Problem(400, "This server speaks HTTP/1.0 and HTTP/1.1.")
    if head.method == b"CONNECT":
        raise Problem(501, "This server is no proxy: it does not know CONNECT.")
    names = [name for name, _ in head.fields]
    _check_repeats(names)
    if head.version == "1.1" and b"host" not in names:
        raise Problem(400, "The header Host is missing.")
    if b"transfer-encoding" in names:
        _check_codings(head)


def without_upgrade(head: Head) -> bytes:
    """Return the bytes of a head without its wish for another protocol, which may go unheard (RFC 9110, 7.8)."""
    lines = [b"%b %b HTTP/%b" % (head.method, head.url, head.version.encode())]
    lines += [b"%b: %b" % (name, value) for name, value in head.fields if name != b"upgrade"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _check_repeats(names: list[bytes]) -> None:
    if len(set(names)) == len(names):
        return
    for index, name in enumerate(names):
        if (name in _SINGLE or name.startswith(b"ce-")) and name in names[:index]:
            raise Problem(400, f"The header {name.decode('latin-1')} is there twice; send it once.")


def _check_codings(head: Head) -> None:
    """Let nothing pass but a body in chunks: of others one server knows the end, and the next does not."""
    values = b",".join([value for name, value in head.fields if name == b"transfer-encoding"])
    codings = [coding.strip(b" \t").lower() for coding in values.split(b",")]
    if head.version == "1.0" or codings[-1] != b"chunked" or b"chunked" in codings[:-1]:
        raise Problem(400, "The end of the body is not clear; send Content-Length, or Transfer-Encoding: chunked.")
    if len(codings) > 1:
        raise Problem(501, "Of transfer codings only chunked is known here.")
