"""The vault: decrypts with the same key and context, and only unchanged bytes."""

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
def test_open_returns_what_was_sealed(plain: bytes, context: bytes) -> None:
    assert Vault(KEY).open(Vault(KEY).seal(plain, context), context) == plain


def test_seal_hides_the_secret_and_differs_each_time() -> None:
    vault = Vault(KEY)
    first, second = vault.seal(b"whsec_secret", ROW), vault.seal(b"whsec_secret", ROW)

    assert first != second
    assert b"secret" not in first


def test_seal_starts_with_version_and_nonce() -> None:
    sealed = Vault(KEY, random_bytes=lambda count: b"n" * count).seal(b"", ROW)

    assert sealed[:13] == b"\x01" + b"n" * 12
    assert len(sealed) == 1 + 12 + 16


def test_open_with_the_context_of_another_row_is_refused() -> None:
    vault = Vault(KEY)

    with pytest.raises(VaultError):
        vault.open(vault.seal(b"secret", ROW), b"endpoint:124")


def test_installation_id_differs_by_key_and_is_stable() -> None:
    assert Vault(KEY).installation_id == Vault(KEY).installation_id != Vault(bytes(32)).installation_id


def test_open_with_another_key_names_the_remedy() -> None:
    sealed = Vault(KEY).seal(b"secret", ROW)

    with pytest.raises(VaultError, match="COMMERCE_EVENT_SECRET_KEY"):
        Vault(bytes(32)).open(sealed, ROW)


@given(st.integers(0, 8 * (1 + 12 + 6 + 16) - 1))
def test_open_any_changed_bit_is_refused(bit: int) -> None:
    sealed = bytearray(Vault(KEY).seal(b"secret", ROW))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(VaultError):
        Vault(KEY).open(bytes(sealed), ROW)


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x01" + tail))
def test_open_arbitrary_bytes_raise_only_vault_error(sealed: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(sealed, ROW)


# Keys


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32))
def test_parse_key_returns_the_bytes_of_new_key(key: bytes) -> None:
    assert parse_key(new_key(random_bytes=lambda _: key)) == key


def test_new_key_is_plain_text_and_differs_each_time() -> None:
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
def test_parse_key_malformed_text_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(VaultError, match="cek_") as caught:
        parse_key(text)

    content = text.partition("_")[2]
    assert not content or content not in str(caught.value)
