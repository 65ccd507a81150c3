"""Settings: flags over environment over defaults, every mistake named, no secret ever shown."""

from pathlib import Path
from typing import Any

import pytest
import rich.pretty
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.retry import DEFAULT_SCHEDULE_S
from commerce_event.core.vault import new_key
from commerce_event.settings import Settings, SettingsError

SECRETS = {"ADMIN_KEY": "canary-of-the-admin-key", "SECRET_KEY": new_key(random_bytes=lambda size: bytes(range(size)))}


def read(flags: dict[str, Any] | None = None, /, **variables: str) -> Settings:
    environ = {f"COMMERCE_EVENT_{name}": text for name, text in variables.items()}
    return Settings.from_environment({"PATH": "/bin", **environ}, **(flags or {}))


def mistake(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**variables)
    return str(caught.value)


def test_defaults_are_the_documented_ones() -> None:
    assert read() == Settings(
        store="sqlite:///./commerce-event.db",
        host="127.0.0.1",
        port=8080,
        admin_key=None,
        retry_schedule_s=DEFAULT_SCHEDULE_S,
        timeout_s=5.0,
        allow_networks=(),
        max_body=262_144,
        retention_s=30 * 86_400.0,
        secret_key=None,
        log_format="text",
        max_in_flight=512,
        circuit_failures=20,
    )


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("STORE", "sqlite:////var/lib/events.db", "store", "sqlite:////var/lib/events.db"),
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("PORT", "0", "port", 0),
        ("ADMIN_KEY", SECRETS["ADMIN_KEY"], "admin_key", SECRETS["ADMIN_KEY"]),
        ("RETRY_SCHEDULE", "5s, 1m", "retry_schedule_s", (5.0, 60.0)),
        ("TIMEOUT", "250ms", "timeout_s", 0.25),
        ("TIMEOUT", "60", "timeout_s", 60.0),
        ("ALLOW_NETWORKS", "10.0.0.0/8, fd00::/8,192.0.2.7", "allow_networks", ("10.0.0.0/8", "fd00::/8", "192.0.2.7")),
        (
            "ALLOWED_HOSTS",
            "Events.example.com., admin.example",
            "allowed_hosts",
            ("events.example.com", "admin.example"),
        ),
        ("MAX_BODY", "262144", "max_body", 262_144),
        ("MAX_BODY", "256KiB", "max_body", 262_144),
        ("MAX_BODY", "1MB", "max_body", 1_000_000),
        ("MAX_BODY", "10 MiB", "max_body", 10_485_760),
        ("RETENTION", "7d", "retention_s", 7 * 86_400.0),
        ("RETENTION", "0", "retention_s", 0.0),
        ("RETENTION", "off", "retention_s", 0.0),
        ("REFUSAL_RETENTION", "7d", "refusal_retention_s", 7 * 86_400.0),
        ("REFUSAL_RETENTION", "off", "refusal_retention_s", 0.0),
        ("SECRET_KEY", SECRETS["SECRET_KEY"] + "\n", "secret_key", SECRETS["SECRET_KEY"]),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("MAX_IN_FLIGHT", "64", "max_in_flight", 64),
        ("MAX_CONNECTIONS", "100", "max_connections", 100),
        ("MAX_BODY_MEMORY", "100MiB", "max_body_memory", 100 * 1024**2),
        ("HOLD_DELIVERIES", "on", "hold_deliveries", True),
        ("CIRCUIT_FAILURES", "0", "circuit_failures", 0),
    ],
)
def test_variable_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(read(**{variable: text}), field) == value


def test_flags_win_over_the_environment_when_given() -> None:
    settings = read({"port": 9_000, "host": None}, PORT="7000", HOST="::1")

    assert (settings.port, settings.host) == (9_000, "::1")


@pytest.mark.parametrize("variable", ["STORE", "PORT", "RETRY_SCHEDULE", "ADMIN_KEY", "SECRET_KEY", "RETENTION"])
def test_empty_variable_counts_as_absent(variable: str) -> None:
    assert read(**{variable: " "}) == read()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PORT", "70000"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "9" * 5_000),
        ("ADMIN_KEY", "short"),
        ("ADMIN_KEY", "with spaces in the key"),
        ("ADMIN_KEY", "ungültiger-schlüssel-für-alle"),
        ("RETRY_SCHEDULE", "5s,soon"),
        ("RETRY_SCHEDULE", "8d"),
        ("TIMEOUT", "0.05"),
        ("TIMEOUT", "61s"),
        ("TIMEOUT", "soon"),
        ("ALLOW_NETWORKS", "10.0.0.1/8"),
        ("ALLOW_NETWORKS", "intranet"),
        ("ALLOWED_HOSTS", "https://events.example.com"),
        ("ALLOWED_HOSTS", "events.example.com:8080"),
        ("ALLOWED_HOSTS", "*"),
        ("MAX_BODY", "1023"),
        ("MAX_BODY", "11MiB"),
        ("MAX_BODY", "9" * 5_000),
        ("MAX_BODY", "1 heap"),
        ("RETENTION", "never"),
        ("REFUSAL_RETENTION", "never"),
        ("SECRET_KEY", "cek_tooshort"),
        ("LOG_FORMAT", "xml"),
        ("MAX_IN_FLIGHT", "0"),
        ("MAX_CONNECTIONS", "15"),
        ("MAX_BODY_MEMORY", "16MiB"),
        ("HOLD_DELIVERIES", "yes"),
        ("CIRCUIT_FAILURES", "-1"),
        ("STORE", "events.db"),
    ],
)
def test_mistake_names_its_variable_in_one_line(variable: str, text: str) -> None:
    message = mistake(**{variable: text})

    assert f"COMMERCE_EVENT_{variable}" in message
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize("variable", ["ADMIN_KEY", "SECRET_KEY"])
@given(secret=st.text("abcdefghij \t", min_size=9, max_size=15).map(str.strip).filter(lambda text: len(text) > 8))
def test_refused_secret_is_not_repeated(variable: str, secret: str) -> None:
    assert secret not in mistake(**{variable: secret})


@pytest.mark.parametrize(("flag", "value"), [("port", 70_000), ("port", -1), ("store", "events.db")])
def test_flag_is_checked_like_a_variable(flag: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"^--{flag} must be"):
        read({flag: value})


def test_misspelt_variable_is_refused_with_the_likely_one() -> None:
    assert "did you mean COMMERCE_EVENT_TIMEOUT?" in mistake(TIMEOUTS="5s")
    assert "COMMERCE_EVENT_ADMINKEY" in mistake(ADMINKEY=SECRETS["ADMIN_KEY"])
    assert SECRETS["ADMIN_KEY"] not in mistake(ADMINKEY=SECRETS["ADMIN_KEY"])


def test_unknown_variable_without_a_likely_one_is_refused_too() -> None:
    assert "COMMERCE_EVENT_ZZZZZZ" in mistake(ZZZZZZ="1")


def test_variables_of_the_command_line_and_the_tests_are_left_alone() -> None:
    assert read(URL="http://127.0.0.1:8080", KEY="key", TEST_STORE="x") == read()


# The store


@pytest.mark.parametrize(
    ("store", "path"),
    [
        ("sqlite:///./commerce-event.db", "commerce-event.db"),
        ("sqlite:///events.db", "events.db"),
        ("sqlite:///data/my events.db", "data/my events.db"),
        ("sqlite:////var/lib/events.db", "/var/lib/events.db"),
    ],
)
def test_store_is_a_relative_or_absolute_file(store: str, path: str) -> None:
    assert read(STORE=store).store_path() == Path(path)


@pytest.mark.parametrize(
    "store",
    [
        "/var/lib/events.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/events.db",
        "sqlite:///:memory:",  # would forget what it acknowledged
        "sqlite:///events.db?mode=ro",
        "sqlite:///events.db#1",
        "sqlite:///data/",
        "mysql://u:canary@host/db",
        "postgresql+asyncpg://u:canary@host/db",
    ],
)
def test_other_store_is_refused_with_the_form_that_works(store: str) -> None:
    message = mistake(STORE=store)

    assert "sqlite:////FILE" in message
    assert "canary" not in message


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgresql_is_a_store_without_a_file_and_its_password_is_never_shown(scheme: str) -> None:
    settings = read(STORE=f"{scheme}://user:canary@db.example/events", SECRET_KEY=new_key())

    assert settings.store_path() is None
    assert settings.store_shown == f"{scheme}://user:***@db.example/events"
    assert "canary" not in repr(settings)
    odd = read(STORE=f"{scheme}://user:can@ary@db.example/events?password=canary", SECRET_KEY=new_key())
    assert "ary" not in odd.store_shown
    assert "canary" not in str(settings.__rich_repr__())


def test_postgresql_asks_for_a_secret_key_that_its_nodes_share() -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY is needed with PostgreSQL") as caught:
        read(STORE="postgresql://user:canary@db.example/events")

    assert "canary" not in str(caught.value)


# Secrets


def test_secrets_are_not_shown() -> None:
    settings = read(**SECRETS, PORT="7000")

    for text in (repr(settings), str(settings), rich.pretty.pretty_repr(settings)):
        assert "7000" in text
        assert not [secret for secret in SECRETS.values() if secret in text]


def test_error_of_a_flag_names_the_flag_and_that_of_a_variable_the_variable() -> None:
    with pytest.raises(SettingsError, match=r"^--port must be 0 to 65535, not 80808$"):
        read({"port": 80_808}, PORT="8080")
    with pytest.raises(SettingsError, match=r"^COMMERCE_EVENT_PORT must be 0 to 65535, not 80808$"):
        read(PORT="80808")
    with pytest.raises(SettingsError, match=r"^--store must be sqlite:///FILE"):
        read({"store": "mysql://x"})
