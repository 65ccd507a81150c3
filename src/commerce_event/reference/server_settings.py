"""The settings in force on this server, next to the documented ones."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from commerce_event.core.durations import setting_duration
from commerce_event.reference.model import ServerSettings, SettingDoc
from commerce_event.settings import Settings

_DOCUMENTED: Final = Settings()
_SIZES: Final = ((1024**2, "MiB"), (1024, "KiB"))  # bytes
_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S


def server_settings(settings: Settings) -> ServerSettings:
    """Return what senders and receivers need to know of the settings. Networks and names of hosts are not shown."""
    return ServerSettings(
        timeout=setting_duration(settings.timeout_s),
        documented_timeout=setting_duration(_DOCUMENTED.timeout_s),
        delays=tuple(map(setting_duration, settings.retry_schedule_s)),
        retries=_retries(settings.retry_schedule_s),
        documented_retries=_retries(_DOCUMENTED.retry_schedule_s),
        max_body=_size(settings.max_body),
        table=tuple(_rows(settings)),
    )


def _rows(settings: Settings) -> Iterator[SettingDoc]:
    for name, field, text in _ROWS:
        yield SettingDoc(name, text(getattr(settings, field)), text(getattr(_DOCUMENTED, field)))


def _retries(delays_s: tuple[float, ...]) -> str:
    """Return the number of retries and about how long they take, such as ``16 retries over 22 h``."""
    if not delays_s:
        return "no retry"
    count = "1 retry" if len(delays_s) == 1 else f"{len(delays_s)} retries"
    return f"{count} over {_about(sum(delays_s))}"


def _about(seconds: float) -> str:
    """Return a duration that is exact up to an hour, then in whole hours, and from two days on in whole days."""
    for size in (_DAY_S, _HOUR_S):
        if seconds >= 2 * size:
            return setting_duration(round(seconds / size) * size)
    return setting_duration(seconds)


def _size(size_bytes: int) -> str:
    for unit_bytes, unit in _SIZES:
        if size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes:,} {unit}"
    return f"{size_bytes:,} bytes"


def _retention(seconds: float) -> str:
    return setting_duration(seconds) if seconds else "for ever"


def _circuit(failures: int) -> str:
    return f"after {failures:,} failures in a row" if failures else "never"


def _held(is_held: bool) -> str:
    return "no: they are held" if is_held else "yes"


_ROWS: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("Time limit of an attempt", "timeout_s", setting_duration),
    ("Retries", "retry_schedule_s", _retries),
    ("Largest event", "max_body", _size),
    ("Events are kept", "retention_s", _retention),
    ("Refused events are kept", "refusal_retention_s", _retention),
    ("Data changes are kept", "change_retention_s", _retention),
    ("An endpoint is tried less often", "circuit_failures", _circuit),
    ("Deliveries are sent", "hold_deliveries", _held),
)
