"""The vault: opened with the same key, in the same place, unchanged, or not at all."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core.vault import Vault, VaultError, new_key, parse_key

A_KEY = new_key(random_bytes=lambda size: bytes(range(size)))

KEY = bytes(range(32))
ROW = b"endpoint:123"


@settings(max_examples=50)
@given(st.binary(max_size=200), st.binary(max_size=30))
def test_what_is_sealed_can_be_opened(plain: bytes, context: bytes) -> None:
    assert Vault(KEY).open(Vault(KEY).seal(plain, context), context) == plain


def test_sealed_form_hides_the_secret_and_differs_each_time() -> None:
    vault = Vault(KEY)
    first, second = vault.seal(b"whsec_secret", ROW), vault.seal(b"whsec_secret", ROW)

    assert first != second
    assert b"secret" not in first


def test_sealed_form_begins_with_its_version_and_the_nonce() -> None:
    sealed = Vault(KEY, random_bytes=lambda count: b"n" * count).seal(b"", ROW)

    assert sealed[:13] == b"\x01" + b"n" * 12
    assert len(sealed) == 1 + 12 + 16


def test_sealed_form_of_one_row_does_not_open_in_another() -> None:
    vault = Vault(KEY)

    with pytest.raises(VaultError):
        vault.open(vault.seal(b"secret", ROW), b"endpoint:124")


def test_fingerprint_tells_keys_apart_and_stays_the_same() -> None:
    assert Vault(KEY).installation_id == Vault(KEY).installation_id != Vault(bytes(32)).installation_id


def test_wrong_key_is_explained_with_the_remedy() -> None:
    sealed = Vault(KEY).seal(b"secret", ROW)

    with pytest.raises(VaultError, match="COMMERCE_EVENT_SECRET_KEY"):
        Vault(bytes(32)).open(sealed, ROW)


@given(st.integers(0, 8 * (1 + 12 + 6 + 16) - 1))
def test_no_single_bit_can_change_unnoticed(bit: int) -> None:
    sealed = bytearray(Vault(KEY).seal(b"secret", ROW))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(VaultError):
        Vault(KEY).open(bytes(sealed), ROW)


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x01" + tail))
def test_bytes_that_were_never_sealed_raise_nothing_but_vault_error(sealed: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(sealed, ROW)


# Keys


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32))
def test_key_survives_being_written(key: bytes) -> None:
    assert parse_key(new_key(random_bytes=lambda _: key)) == key


def test_new_keys_are_plain_text_and_differ() -> None:
    first, second = new_key(), new_key()

    assert first != second
    assert first.startswith("cek_")
    assert len(first) == 47


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cek_",
        "cek",
        A_KEY.removeprefix("cek_"),
        A_KEY.replace("cek_", "key_"),
        A_KEY[:-1],
        A_KEY + "A",
        A_KEY + "=",
        A_KEY + "\n",
        " " + A_KEY,
        "cek_" + "+" * 42 + "A",  # the other base64 alphabet
        "cek_" + "A" * 42 + "B",  # bits behind the end
        "cek_" + "é" * 43,
        "cek_" + base64.urlsafe_b64encode(bytes(31)).decode(),
        "cek_" + base64.urlsafe_b64encode(bytes(33)).decode(),
    ],
)
def test_anything_else_is_no_key_and_is_not_repeated(text: str) -> None:
    with pytest.raises(VaultError, match="cek_") as caught:
        parse_key(text)

    content = text.partition("_")[2]
    assert not content or content not in str(caught.value)
