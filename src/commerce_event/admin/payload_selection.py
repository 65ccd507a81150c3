"""Payload selection on the screens: what there is to choose, and a selection in words."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from commerce_event.contract.catalogue import Catalogue
from commerce_event.core.payload import plain_name

_LISTED_MAX: Final = 100  # properties of one type; the schema of an own type may have thousands


class PropertyGroup(msgspec.Struct, frozen=True):
    """The properties of an event type in a form: (name, whether it is required). ``more`` are not listed."""

    type: str
    category: str
    properties: list[tuple[str, bool]]
    more: int


def property_groups(catalogue: Catalogue) -> list[PropertyGroup]:
    """Return the properties of each event type, by category."""
    return [
        PropertyGroup(
            each.name,
            each.category,
            [(field.name, field.name in each.required) for field in each.fields[:_LISTED_MAX]],
            max(0, len(each.fields) - _LISTED_MAX),
        )
        for _, types in catalogue.by_category()
        for each in types
    ]


def unlisted(properties: Sequence[str], catalogue: Catalogue) -> list[str]:
    """Return the selected properties for which a form has no box."""
    listed = set(_optional(property_groups(catalogue)))
    return [name for name in properties if name not in listed]


def payload_text(properties: Sequence[str] | None) -> str:
    """Return what bodies have, in words."""
    if properties is None:
        return "the whole event, as it was accepted"
    if not properties:
        return "the required properties only"
    return f"the required properties, {', '.join(map(plain_name, properties))}"


def _optional(groups: Sequence[PropertyGroup]) -> Iterator[str]:
    return (name for group in groups for name, is_required in group.properties if not is_required)
