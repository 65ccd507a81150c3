"""Settings: flags override environment variables, and environment variables override defaults."""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec

from commerce_event.core.circuit import THRESHOLD
from commerce_event.core.retry import DEFAULT_SCHEDULE_S, parse_duration, parse_schedule
from commerce_event.core.vault import VaultError, parse_key

PREFIX: Final = "COMMERCE_EVENT_"
_OTHER_VARIABLES: Final = re.compile(r"(URL|KEY|CAPTURE_DATABASE|TEST_\w+)")  # read by the commands and the tests
_SIZES: Final = {"": 1, "b": 1, "kib": 1024, "kb": 1000, "mib": 1024**2, "mb": 1000**2}
_SIZE: Final = re.compile(r"(\d{1,9})\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)
_BODY_MAX_BYTES: Final = 10 * 1024**2  # parsing a larger body would block the event loop for too long
_ADMIN_KEY_MIN: Final = 16  # characters; a shorter key could be guessed
_STORE_FILE: Final = re.compile(r"/(?!:memory:)[^?#\x00]*[^?#\x00/]")  # no parameters, no folder, not in memory
_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_POSTGRES: Final = frozenset({"postgresql", "postgres"})
_PASSWORD: Final = re.compile(r"(://[^/@:]*:).*@")  # up to the last @, because a password may contain one
_PASSWORD_PARAMETER: Final = re.compile(r"([?&]password=)[^&]*")
_SECRET_FIELDS: Final = frozenset({"admin_key", "secret_key"})


class SettingsError(Exception):
    """A setting is invalid; the message names it and says what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Durations are in seconds, sizes in bytes."""

    store: str = "sqlite:///./commerce-event.db"
    host: str = "127.0.0.1"
    port: int = 8080
    admin_key: str | None = None
    retry_schedule_s: tuple[float, ...] = DEFAULT_SCHEDULE_S
    timeout_s: float = 5.0
    allow_networks: tuple[str, ...] = ()
    max_body: int = 256 * 1024
    retention_s: float = 30 * 86_400.0  # 0: for ever
    refusal_retention_s: float = 30 * 86_400.0  # 0: for ever
    change_retention_s: float = 7 * 86_400.0  # 0: for ever
    secret_key: str | None = None
    log_format: Literal["text", "json"] = "text"
    max_body_memory: int = 64 * 1024**2  # of all bodies that are being read or worked on
    max_in_flight: int = 512  # requests to all endpoints at the same time
    max_connections: int = 4_096  # of callers at the same time
    hold_deliveries: bool = False  # accept, show and manage, but send nothing
    allowed_hosts: tuple[str, ...] = ()  # host names of the screens, besides addresses and the machine's own name
    circuit_failures: int = THRESHOLD  # failures in a row that open an endpoint's circuit; 0: never

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **flags: Any) -> Self:
        """Read the variables; flags that are not None override them. Raises SettingsError, which names what was given.

        An empty variable counts as unset.
        """
        values: dict[str, Any] = {}
        for variable, text in environ.items():
            if variable.startswith(PREFIX):
                _read(variable, text.strip(), values)
        typed = {name: value for name, value in flags.items() if value is not None}
        values.update(typed)
        for name, (field, low, high) in _RANGES.items():
            if field in values and not low <= values[field] <= high:
                given = f"--{field}" if field in typed else f"{PREFIX}{name}"
                raise SettingsError(f"{given} must be {low} to {high}, not {values[field]}")
        settings = cls(**values)
        try:
            settings.store_path()
        except SettingsError as error:
            if "store" not in typed:
                raise
            raise SettingsError(str(error).replace(f"{PREFIX}STORE", "--store", 1)) from None
        if settings.store_path() is None and settings.secret_key is None:
            raise SettingsError(
                f"{PREFIX}SECRET_KEY is needed with PostgreSQL, the same for every node; "
                "make one with: commerce-event keys secret"
            )
        return settings

    def store_path(self) -> Path | None:
        """Return the file of a SQLite store, None for PostgreSQL. Raises SettingsError for any other URL."""
        scheme, separator, path = self.store.partition("://")
        if scheme in _POSTGRES and separator and path:
            return None
        if scheme == "sqlite" and separator and _STORE_FILE.fullmatch(path):
            return Path(path[1:])
        raise SettingsError(
            f"{PREFIX}STORE must be sqlite:///FILE (sqlite:////FILE for an absolute path) or postgresql://USER@HOST/DATABASE"
        )

    @property
    def store_shown(self) -> str:
        """The store's URL without a password."""
        return mask_password(self.store)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Leave out secrets, also for rich, which prints the local variables of a crash."""
        shown = [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in _SECRET_FIELDS]
        return [(name, self.store_shown if name == "store" else value) for name, value in shown]


def mask_password(url: str) -> str:
    """Return the URL of a database without its password."""
    return _PASSWORD.sub(r"\1***@", _PASSWORD_PARAMETER.sub(r"\1***", url))


def _read(variable: str, text: str, values: dict[str, Any]) -> None:
    name = variable.removeprefix(PREFIX)
    if _OTHER_VARIABLES.fullmatch(name):
        return
    reader = _READERS.get(name)
    if reader is None:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "the settings reference lists them all"
        raise SettingsError(f"there is no setting {variable}; {hint}")
    if not text:
        return
    field, read = reader
    try:
        values[field] = read(text)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number of at most 9 digits")
    return int(text)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError("must be a size such as 262144, 256KiB or 1MB")
    return int(match[1]) * _SIZES[match[2].lower()]


def _retention(text: str) -> float:
    return 0.0 if text.lower() in {"0", "off"} else parse_duration(text)


def _networks(text: str) -> tuple[str, ...]:
    networks = tuple(part.strip() for part in text.split(",") if part.strip())
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ValueError(f"{network!r} is not a network; write for example 10.0.0.0/8") from None
    return networks


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower().removesuffix(".") for part in text.split(",") if part.strip())
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is not a host name; write for example events.example.com, without a port")
    return names


def _secret_key(text: str) -> str:
    try:
        parse_key(text)
    except VaultError as error:
        raise ValueError(f"{error}") from None
    return text


def _log_format(text: str) -> str:
    if text not in {"text", "json"}:
        raise ValueError("must be text or json")
    return text


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError("must be on or off")
    return text == "on"


def _admin_key(text: str) -> str:
    if len(text) < _ADMIN_KEY_MIN or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"must be at least {_ADMIN_KEY_MIN} printable ASCII characters without spaces")
    return text


_READERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "STORE": ("store", str),
    "HOST": ("host", str),
    "PORT": ("port", _whole),
    "ADMIN_KEY": ("admin_key", _admin_key),
    "RETRY_SCHEDULE": ("retry_schedule_s", parse_schedule),
    "TIMEOUT": ("timeout_s", parse_duration),
    "ALLOW_NETWORKS": ("allow_networks", _networks),
    "ALLOWED_HOSTS": ("allowed_hosts", _hosts),
    "MAX_BODY": ("max_body", _size),
    "MAX_BODY_MEMORY": ("max_body_memory", _size),
    "RETENTION": ("retention_s", _retention),
    "REFUSAL_RETENTION": ("refusal_retention_s", _retention),
    "CHANGE_RETENTION": ("change_retention_s", _retention),
    "SECRET_KEY": ("secret_key", _secret_key),
    "LOG_FORMAT": ("log_format", _log_format),
    "HOLD_DELIVERIES": ("hold_deliveries", _switch),
    "MAX_IN_FLIGHT": ("max_in_flight", _whole),
    "MAX_CONNECTIONS": ("max_connections", _whole),
    "CIRCUIT_FAILURES": ("circuit_failures", _whole),
}
# Each bound keeps a mistyped value from making the server useless: an attempt needs more than 0.1 s and must not hold a
# slot for more than a minute, events of the contract need up to 1 KiB, and limits of open files end near 100,000.
# Memory for bodies must hold a batch of 16 MiB, and a share for others.
_RANGES: Final[dict[str, tuple[str, float, float]]] = {
    "PORT": ("port", 0, 65_535),
    "TIMEOUT": ("timeout_s", 0.1, 60),
    "MAX_BODY": ("max_body", 1_024, _BODY_MAX_BYTES),
    "MAX_BODY_MEMORY": ("max_body_memory", 32 * 1024**2, 999_999_999),
    "MAX_IN_FLIGHT": ("max_in_flight", 1, 10_000),
    "MAX_CONNECTIONS": ("max_connections", 16, 100_000),
    "CIRCUIT_FAILURES": ("circuit_failures", 0, 10_000),
}
