"""What an audit entry says, in words: the same in the API, on the screens and in the CLI. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from commerce_event.core.field_changes import MASK
from commerce_event.core.model import AuditEntry, FieldChange

_INLINE_MAX: Final = 60  # characters of a value in a sentence
_VERBS: Final = {
    "createEndpoint": "Created the endpoint",
    "changeEndpoint": "Changed",
    "deleteEndpoint": "Deleted the endpoint",
    "rotateSecret": "Rotated the secret of",
    "testEndpoint": "Sent a test to",
    "switchOffEndpoint": "Switched off",
    "retryDelivery": "Retried a delivery",
    "cancelDelivery": "Cancelled a delivery",
    "startReplay": "Started a replay:",
    "cancelReplay": "Cancelled a replay:",
    "retryDeadLetters": "Sent dead letters again to",
    "discardDeadLetters": "Discarded dead letters of",
    "acceptRefusal": "Accepted a refused event:",
    "discardRefusal": "Discarded a refused event:",
    "createKey": "Created the key",
    "revokeKey": "Revoked the key",
    "createPortalLink": "Created a portal link:",
    "setClientName": "Named the client",
    "setValidation": "Set the validation mode of",
    "removeValidation": "Removed the validation mode of",
    "createEventType": "Created the event type",
    "changeEventType": "Changed the event type",
    "deleteEventType": "Deleted the event type",
    "createEventSetting": "Created the event setting",
    "changeEventSetting": "Changed the event setting",
    "deleteEventSetting": "Deleted the event setting",
    "createChangeSource": "Created the change source",
    "putChangeSource": "Changed the change source",
    "deleteChangeSource": "Deleted the change source",
    "setSourcePosition": "Set the position of the change source",
    "forgetSourcePosition": "Forgot the position of the change source",
    "restoreAuditEntry": "Put values back:",
}
_SWITCHES: Final = {  # of a change of one field
    ("enabled", True): "Switched on",
    ("enabled", False): "Switched off",
    ("paused", True): "Paused",
    ("paused", False): "Resumed",
}
_LABELS: Final = {
    "timeout_s": "timeout in seconds",
    "coalesce_s": "merged within seconds",
    "retry_schedule": "retry delays in seconds",
    "except_types": "except",
    "revoked_at": "revoked",
}
_WHOLE: Final = ("create", "delete")  # actions whose changes are all fields of a thing


def sentence_of(entry: AuditEntry) -> str:
    """Return what was done, such as ``Paused ERP: orders`` or ``Changed Search index: event types * → Product``."""
    name = entry.name or entry.target
    is_whole = entry.action.startswith(_WHOLE) or (
        entry.action == "putChangeSource" and all(each.before is None for each in entry.changes)
    )
    verb = _VERBS.get(entry.action) or _spaced(entry.action)
    if entry.action == "putChangeSource" and is_whole:
        verb = _VERBS["createChangeSource"]
    changes = () if is_whole else entry.changes
    if len(changes) == 1 and (switch := _switch(changes[0])):
        return f"{switch} {name}{_note(entry)}"
    if entry.action in ("rotateSecret", "revokeKey", "switchOffEndpoint"):
        changes = ()
    return f"{verb} {name}{_in_words(changes)}{_note(entry)}"


def change_in_words(change: FieldChange) -> str:
    """Return a change of a field, such as ``timeout in seconds 5 → 10``."""
    if change.before == change.after == MASK:
        return f"{label_of_field(change.field)} has another value"
    return f"{label_of_field(change.field)} {value_in_words(change.before)} → {value_in_words(change.after)}"


def label_of_field(field: str) -> str:
    """Return a field's name as people read it; the name of a header stays as it is."""
    kind, dot, member = field.partition(".")
    return (
        f"{kind[:-1] if kind == 'headers' else kind} {member}" if dot else _LABELS.get(field) or field.replace("_", " ")
    )


def value_in_words(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(value_in_words, value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _switch(change: FieldChange) -> str | None:
    return _SWITCHES.get((change.field, change.after)) if isinstance(change.after, bool) else None


def _in_words(changes: Sequence[FieldChange]) -> str:
    if len(changes) == 1:
        text = change_in_words(changes[0])
        return f": {text}" if len(text) <= 2 * _INLINE_MAX else f": {label_of_field(changes[0].field)}"
    return f": {', '.join(label_of_field(each.field) for each in changes)}" if changes else ""


def _note(entry: AuditEntry) -> str:
    return f" ({entry.detail})" if entry.detail else ""


def _spaced(action: str) -> str:
    """Return an action that has no words of its own: ``putThing`` is ``Put thing``."""
    text = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in action)
    return text[:1].upper() + text[1:]
