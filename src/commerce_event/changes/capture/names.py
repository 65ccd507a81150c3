"""Names of what a capture has in the database: its publication and its slot."""

import re
from typing import Final

_NOT_IN_A_SLOT_NAME: Final = re.compile(r"[^a-z0-9_]")
_NAME_MAX: Final = 63
_PREFIX: Final = "commerce_event_"


def default_name(source: str) -> str:
    """Return the name of publication and slot for a source; slots may have small letters, digits and _ only."""
    return (_PREFIX + _NOT_IN_A_SLOT_NAME.sub("_", source.lower()))[:_NAME_MAX]


def quoted(*parts: str) -> str:
    """Return an SQL identifier, such as "public"."customer"."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def split_table(table: str) -> tuple[str, str]:
    """Return schema and name of a table, also after a database's name; one without schema is in public."""
    parts = table.split(".")
    return ("public", table) if len(parts) == 1 else (parts[-2], parts[-1])
