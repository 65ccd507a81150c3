"""The secret key: from the settings, else from a file next to the store, else a new one."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from commerce_event.core.vault import VaultError, new_key, parse_key
from commerce_event.registry.key_file import KeyFile


def test_key_file_without_a_file_makes_a_key_and_writes_nothing(tmp_path: Path) -> None:
    assert len(KeyFile(None, tmp_path / "events.db").key) == 32
    assert list(tmp_path.iterdir()) == []


def test_key_file_save_writes_a_file_for_the_owner_only_that_is_read_again(tmp_path: Path) -> None:
    made = KeyFile(None, tmp_path / "events.db")
    made.save()

    [file] = tmp_path.iterdir()
    assert file.name == "events.db.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert parse_key(file.read_text().strip()) == made.key == KeyFile(None, tmp_path / "events.db").key


def test_key_file_save_keeps_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "events.db.key").write_text(new_key())
    before = (tmp_path / "events.db.key").read_text()

    KeyFile(None, tmp_path / "events.db").save()

    assert (tmp_path / "events.db.key").read_text() == before


def test_key_file_of_a_linked_store_is_next_to_the_store_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "events.db")

    KeyFile(None, tmp_path / "link.db").save()

    assert (tmp_path / "real" / "events.db.key").exists()


def test_key_file_key_in_the_settings_wins_and_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "events.db.key").write_text(new_key())
    text = new_key()

    made = KeyFile(text, tmp_path / "events.db")
    made.save()

    assert made.key == parse_key(text) != parse_key((tmp_path / "events.db.key").read_text())


@pytest.mark.parametrize("path", [None, Path("events.db")])
def test_key_file_malformed_key_is_refused(path: Path | None) -> None:
    with pytest.raises(VaultError, match="secret key must be"):
        KeyFile("cek_short", path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "does not hold a secret key"),
        (b"\xff\xfe\x00key", "does not hold a secret key"),
        ("cek_å".encode(), "does not hold a secret key"),
        (b"x" * 2_000_000, "does not hold a secret key"),
    ],
    ids=["empty", "blank", "binary", "not ascii", "large"],
)
def test_key_file_without_a_key_is_refused_with_its_name_and_the_remedy(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "events.db.key").write_bytes(content)

    with pytest.raises(VaultError, match=f"events.db.key {words}; restore it from a backup"):
        KeyFile(None, tmp_path / "events.db")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_key_file_that_is_no_regular_file_is_refused_without_reading_it(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "events.db.key")

    with pytest.raises(VaultError, match=r"events.db.key is not a regular file; "):
        KeyFile(None, tmp_path / "events.db")


def test_key_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = KeyFile(None, tmp_path / "events.db")

    def fail(_handle: int) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            made.save()
    assert not (tmp_path / "events.db.key").exists()

    made.save()  # what the first try left does not matter

    assert [file.name for file in tmp_path.iterdir()] == ["events.db.key"]
