"""Text that a receiver sent: what encoding it is read in, and where it may be cut."""

from typing import Final

_CONTINUATION: Final = range(0x80, 0xC0)
_DIRECTIONS: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # would reorder what is shown after them
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029, *_DIRECTIONS), " ")


def receiver_text(raw: bytes) -> str:
    """Return the text as UTF-8, or as Latin-1 when it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def receiver_line(raw: bytes) -> str:
    """Return the text with a space for each control character, as headers are shown."""
    return without_controls(receiver_text(raw))


def without_controls(text: str) -> str:
    return text if text.isprintable() else text.translate(_CONTROLS)


def without_cut_character(raw: bytes) -> bytes:
    """Return the beginning of a text without the character at its end that the cut left incomplete, if there is one."""
    for length in range(1, min(4, len(raw) + 1)):
        byte = raw[-length]
        if byte not in _CONTINUATION:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return raw if needed <= length else raw[:-length]
    return raw
