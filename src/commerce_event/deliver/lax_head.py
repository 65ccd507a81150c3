"""Rewrite the header block of an answer that the parser refuses, where curl and browsers take it.

Which laxity is allowed, and why: docs/decisions/0018-what-is-taken-as-an-answer.md. A request to us is never rewritten.
"""

import re
from typing import Final

_END: Final = re.compile(rb"\r?\n\r?\n")
_END_BYTES: Final = 4
_CONTROLS: Final = bytes(32 if byte in {*range(1, 9), *range(11, 32), 127} else byte for byte in range(256))


def end_of_head(raw: bytearray, searched: int) -> int | None:
    """Return where the header block ends, None when it is not complete; ``searched`` bytes held no end before."""
    found = _END.search(raw, max(0, searched - _END_BYTES + 1))
    return None if found is None else found.end()


def strict_head(head: bytes) -> bytes:
    """Return a complete header block as the standard wants it; what may not be mended stays as it is."""
    first, *others = [line.removesuffix(b"\r") for line in head.strip(b"\r\n").split(b"\n")]
    fields: list[bytes] = []
    for line in others:
        if line[:1] in (b" ", b"\t") and fields:  # a folded line
            fields[-1] += b" " + line.strip()
        else:
            fields.append(line)
    headers = [_mended(field) for field in fields]
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    elif len({length.strip() for value in lengths for length in value.split(b",")}) == 1:
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        headers.append((b"Content-Length", lengths[0].partition(b",")[0].strip()))
    lines = [name + b": " + value if name else value for name, value in headers]
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n"


def _mended(field: bytes) -> tuple[bytes, bytes]:
    """Return name and value; without a name when the field is refused anyway."""
    name, colon, value = field.partition(b":")
    if not colon or not name.strip():
        return b"", field
    return name.rstrip(b" \t"), value.strip(b" \t").translate(_CONTROLS)
