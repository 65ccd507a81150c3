"""Preview an event setting: what it would have raised over the changes that are kept."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.api.event_setting_fields import NewEventSetting, checked_setting
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Time, read_time
from commerce_event.core import ids
from commerce_event.core.changes.preview import CHANGES_MAX, SAMPLES_MAX, Preview, Sample
from commerce_event.core.changes.words import describe_setting
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Scope
from commerce_event.registry.authentication import check_client
from commerce_event.store.model import ChangeQuery, Page

_PAGE: Final = 100  # changes read at once
_FIRST_PAGE: Final = 4
_PAGE_BYTES: Final = 1024 * 1024  # of their rows, about; decoded they take many times as much


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The setting to evaluate; it is saved nowhere."""

    setting: NewEventSetting
    since: Annotated[Time, Meta(examples=["2026-01-31T00:00:00Z"])] | None = None


class PreviewSampleView(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that would have been raised."""

    change_id: str
    at: str
    merged: int
    body: Any


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What a setting would have raised, with the first notifications."""

    sentence: str
    changes: int
    notifications: int
    samples: list[PreviewSampleView]
    truncated: bool


async def preview_event_setting(call: Call) -> Reply:
    wanted: PreviewRequest = call.body
    client_id = wanted.setting.client_id
    check_client(call.key, client_id)
    since_ms = read_time(wanted.since, "/since")
    setting = await checked_setting(call, wanted.setting, id_=0, pointer="/setting")
    others = [
        each
        for each in call.services.registry.change_settings.settings(Scope.of(client_id))
        if (each.event_type, each.entity) == (setting.event_type, setting.entity)
        and each.application_id != setting.application_id
    ]
    preview = Preview(setting, others)
    query = ChangeQuery(scope=Scope.of(client_id), entity=setting.entity, since_ms=since_ms)
    after, limit = 0, _FIRST_PAGE
    while not preview.truncated:
        seen = preview.bytes_seen
        page = await call.services.store.changes.changes(query, Page(limit, after=after))
        await call.services.intake.turns.run(call.key.owner, preview.steps(page))
        if len(page) < limit:
            break
        after = page[-1].id
        size = (preview.bytes_seen - seen) // len(page) + 1  # of a row
        limit = max(1, min(_PAGE, 2 * limit, _PAGE_BYTES // size))
    return Reply(
        PreviewView(
            sentence=describe_setting(setting),
            changes=preview.changes,
            notifications=preview.notifications,
            samples=[_sample(each) for each in preview.samples],
            truncated=preview.truncated,
        )
    )


def _sample(sample: Sample) -> PreviewSampleView:
    return PreviewSampleView(
        change_id=ids.encode("chg", sample.change_id), at=rfc3339(sample.at_ms), merged=sample.merged, body=sample.body
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/event-settings/preview",
        name="previewEventSetting",
        summary="Preview an event setting",
        tag="Event settings",
        needs="manage",
        run=preview_event_setting,
        body=PreviewRequest,
        answers={200: PreviewView},
        problems=(415, 422),
        reads=True,
        description=(
            f"Evaluates a new or changed setting over the changes that are kept, at most {CHANGES_MAX:,}, as if it had "
            f"been on since then: counts, and the first {SAMPLES_MAX} notifications. Nothing is saved or sent."
        ),
    ),
)
