"""What the documentation says about data changes is what the server does."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from commerce_event.api.change_source_fields import FIELDS_MAX, KEY_MAX, TABLES_MAX, ChangeSourceFields, source_of
from commerce_event.api.change_sources import SOURCES_MAX
from commerce_event.api.event_setting_fields import COALESCE_MAX_S, NewEventSetting, find_source
from commerce_event.api.event_setting_fields import FIELDS_MAX as SETTING_FIELDS_MAX
from commerce_event.api.event_settings import PER_CLIENT_MAX
from commerce_event.api.validation import convert
from commerce_event.changes.debezium import read_debezium
from commerce_event.changes.read import NAMES_MAX, read_change
from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.changes.model import PARTS_MAX
from commerce_event.core.changes.preview import CHANGES_MAX, SAMPLES_MAX
from commerce_event.core.filters import CompiledFilter

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGES: Final = {path.stem: path.read_text("utf-8") for path in sorted(DOCS.glob("*/*.md"))}
CHANGE_PAGES: Final = (
    "send-data-changes", "connect-debezium", "choose-what-is-notified", "notifications", "change-sources",
    "first-notification",
)  # fmt: skip
TEXT: Final = "\n".join(PAGES[name] for name in CHANGE_PAGES)


def blocks(page: str) -> list[str]:
    """Return what is indented on a page, without the indentation."""
    found = re.findall(r"(?:^ {4}.*\n)+", page, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in found]


def objects(page: str) -> list[dict[str, Any]]:
    """Return each JSON object of the indented blocks."""
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    for block in blocks(page):
        at = 0
        while (at := block.find("{", at)) >= 0:
            try:
                value, end = decoder.raw_decode(block, at)
            except ValueError:
                at += 1
            else:
                found.append(value)
                at = end
    return found


def sections(name: str) -> list[Any]:
    """Return what the YAML files on the pages have under a name."""
    files = [block[block.index(f"{name}:") :].partition("EOF")[0] for block in blocks(TEXT) if f"{name}:" in block]
    return [yaml.safe_load(file)[name] for file in files]


def test_documented_changes_are_accepted() -> None:
    changes = [each for each in objects(TEXT) if "entity" in each]

    assert len(changes) >= 6
    for change in changes:
        assert read_change(json.dumps(change).encode()).entity == change["entity"]


def test_documented_debezium_events_are_accepted() -> None:
    events = [each for each in objects(TEXT) if "op" in each]

    assert len(events) >= 2
    for event in events:
        row = read_debezium(json.dumps(event).encode(), "shop")
        assert row is not None
        assert row.idempotency_key is not None


def test_documented_change_sources_are_valid() -> None:
    found = [source for section in sections("change_sources") for source in section.items()]

    assert len(found) >= 3
    for name, source in found:
        assert source_of(name, convert(source, ChangeSourceFields, where=""), 0).tables


def test_documented_event_settings_are_valid() -> None:
    found = [setting for section in sections("event_settings") for setting in section]

    assert len(found) >= 2
    for setting in found:
        wanted = convert(setting, NewEventSetting, where="")
        assert find_source(wanted.event_type, wanted.entity).takes(wanted.entity)


def test_documented_filters_are_valid() -> None:
    section = PAGES["choose-what-is-notified"].partition("\n## Filter")[2].partition("\n## ")[0]
    filters = objects(section)

    assert len(filters) >= 5
    for filter_ in filters:
        CompiledFilter(filter_)


def test_reference_lists_the_entities_and_keys_of_every_notification() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", PAGES["notifications"], re.MULTILINE)
    documented = {name: (re.findall(r"`(\w+)`", key), re.findall(r"`(\w+)`", listed)) for name, _, key, listed in rows}
    sku, translation = "SkuChangedNotification", "TranslationRequestedNotification"

    assert documented.pop(translation) == (["PartNo"], [sku])
    assert NOTIFICATIONS[translation].entities == NOTIFICATIONS[sku].entities
    for name, (key, entities) in documented.items():
        assert (key, entities) == (list(NOTIFICATIONS[name].key), list(NOTIFICATIONS[name].entities))
    assert documented.keys() == NOTIFICATIONS.keys() - {translation}


@pytest.mark.parametrize(
    ("what", "figures"),
    [
        ("fields in `before`, and in `after`, of a change", (NAMES_MAX,)),
        ("key of a change", (PARTS_MAX,)),
        ("event settings of a client", (PER_CLIENT_MAX,)),
        ("an event setting", (SETTING_FIELDS_MAX, COALESCE_MAX_S)),
        ("preview of an event setting", (CHANGES_MAX, SAMPLES_MAX)),
        ("change sources", (SOURCES_MAX,)),
        ("a change source", (TABLES_MAX, KEY_MAX, FIELDS_MAX)),
    ],
)
def test_limits_of_changes_are_documented(what: str, figures: tuple[int, ...]) -> None:
    [row] = [line for line in PAGES["limits"].splitlines() if line.startswith(f"| {what} |")]

    for figure in figures:
        assert re.search(rf"\b{figure:,}\b", row), figure


def test_reasons_why_nothing_was_raised_are_those_of_the_server() -> None:
    page = PAGES["find-out-why-a-change-raised-nothing"]
    source = " ".join(
        (DOCS.parent / "src/commerce_event" / file).read_text("utf-8")
        for file in ("api/changes.py", "core/changes/sources.py")
    )
    reasons = [
        reason for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for reason in re.findall(r"`(.+?)`", row)
    ]

    assert len(reasons) >= 10
    for reason in reasons:
        for part in re.split(r"…|1006|update|insert|PriceSaleValue", reason):
            assert part.strip() in source, part
