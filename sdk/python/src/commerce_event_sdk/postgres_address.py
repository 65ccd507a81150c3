"""The address of a PostgreSQL database."""

from __future__ import annotations

import re


def postgres_address(text: str) -> str:
    """Return a URL or connection string for libpq; the name of a driver in the scheme is dropped.

    Raises ValueError for one that libpq cannot read, without the text, which may have a password, and
    ModuleNotFoundError without psycopg.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    address = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", text)
    try:
        conninfo_to_dict(address)
    except ProgrammingError:
        raise ValueError(
            "the address of the PostgreSQL database cannot be read; write special characters of the user and the "
            "password as %XX, such as %40 for @"
        ) from None
    return address
