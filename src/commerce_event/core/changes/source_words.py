"""Name each value of a change source, for the audit log."""

from typing import Any

import msgspec

from commerce_event.core.changes.model import ChangeSource


def values_by_place(source: ChangeSource) -> dict[str, Any]:
    """Return every value of a source by its place: ``public.customer fields.City`` is ``city``."""
    client: Any = source.client_id if source.client_column is None else f"column {source.client_column}"
    places: dict[str, Any] = {"client": client}
    for table, mapping in source.tables.items():
        for name, value in msgspec.structs.asdict(mapping).items():
            if isinstance(value, dict):
                places |= {f"{table} {name}.{each}": inner for each, inner in value.items()}
            elif value is not None:
                places[f"{table} {name}"] = value
    return places
