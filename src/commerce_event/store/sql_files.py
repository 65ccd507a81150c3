"""Read the SQL files of an engine: named statements and migrations."""

import re
from importlib.resources import files


def statements(package: str) -> dict[str, str]:
    """Return the statements of ``queries.sql`` by name; each follows a line ``-- name: …``."""
    text = (files(package) / "queries.sql").read_text()
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(blocks[1::2], (block.strip() for block in blocks[2::2]), strict=True))


def migrations(package: str) -> list[tuple[int, str]]:
    """Return every migration as (schema version, SQL), in order."""
    folder = files(package) / "migrations"
    found = [(int(match[1]), item) for item in folder.iterdir() if (match := re.match(r"(\d{4})_\w+\.sql$", item.name))]
    return [(version, item.read_text()) for version, item in sorted(found, key=lambda pair: pair[0])]
