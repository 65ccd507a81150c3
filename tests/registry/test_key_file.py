"""The secret key: from the settings, else from a file next to the store, else a new one."""

import stat
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
