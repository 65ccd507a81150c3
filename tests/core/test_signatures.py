"""Signatures: the official library accepts ours, and we accept only what was signed."""

import base64
import time
from collections.abc import Sequence

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from commerce_event.core.model import Signing
from commerce_event.core.signatures import (
    InvalidSecretError,
    InvalidSignatureError,
    Signer,
    new_secret,
    public_key,
    verify,
)

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW_S = 1_614_265_330
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

HMAC = "whsec_" + base64.b64encode(b"h" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
ED25519 = "whsk_" + base64.b64encode(b"e" * 32).decode()


def signed(
    secrets: Sequence[str] = (VECTOR_SECRET,),
    *,
    webhook_id: str = VECTOR_ID,
    timestamp_s: int = NOW_S,
    body: bytes = VECTOR_BODY,
) -> dict[str, str]:
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": Signer(secrets).header(webhook_id, timestamp_s, body),
    }


def refusal(headers: dict[str, str], body: bytes = VECTOR_BODY, keys: Sequence[str] = (VECTOR_SECRET,)) -> str | None:
    """Return the reason for which a request is refused, None when it is taken."""
    try:
        verify(keys, headers, body, NOW_S)
    except InvalidSignatureError as error:
        return error.reason
    return None


# Signing


def test_signer_published_test_vector_is_reproduced() -> None:
    assert Signer([VECTOR_SECRET]).header(VECTOR_ID, NOW_S, VECTOR_BODY) == VECTOR_SIGNATURE


@settings(max_examples=25)
@given(st.binary(min_size=24, max_size=64), st.text(max_size=40).filter(str.isprintable), st.integers(-250, 250))
def test_signer_signature_is_accepted_by_the_official_library(key: bytes, text: str, skew_s: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = text.encode()

    headers = signed([secret], timestamp_s=int(time.time()) + skew_s, body=body)

    Webhook(secret).verify(body, headers, json_parse=False)


def test_signer_ed25519_signature_matches_the_public_key() -> None:
    version, _, signature = signed([ED25519])["webhook-signature"].partition(",")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key(ED25519).removeprefix("whpk_")))

    assert version == "v1a"
    public.verify(base64.b64decode(signature), b"%b.%d.%b" % (VECTOR_ID.encode(), NOW_S, VECTOR_BODY))
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), b"something else")


def test_signer_several_secrets_sign_in_the_order_given() -> None:
    header = signed([ED25519, HMAC, OTHER])["webhook-signature"]

    parts = [signed([secret])["webhook-signature"] for secret in (ED25519, HMAC, OTHER)]
    assert header == " ".join(parts)


@pytest.mark.parametrize("key", [HMAC, OTHER, ED25519, public_key(ED25519)])
def test_verify_any_one_of_the_keys_is_enough(key: str) -> None:
    assert refusal(signed([OTHER, ED25519, HMAC]), keys=[VECTOR_SECRET, key]) is None


# Secrets


@pytest.mark.parametrize(("signing", "prefix"), [("hmac", "whsec_"), ("ed25519", "whsk_")])
def test_new_secret_contains_the_random_bytes(signing: Signing, prefix: str) -> None:
    secret = new_secret(signing, random_bytes=bytes)

    assert secret == prefix + base64.b64encode(bytes(32)).decode()
    assert refusal(signed([secret]), keys=[secret]) is None


def test_new_secret_twice_differs() -> None:
    assert new_secret("hmac") != new_secret("hmac")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret-without-prefix",
        HMAC.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        HMAC.rstrip("="),
        HMAC + "=",
        HMAC + "\n",
        "whsec_é",
        "whsk_" + base64.b64encode(b"x" * 31).decode(),
        "whsk_" + base64.b64encode(b"x" * 64).decode(),
    ],
)
def test_signer_unusable_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidSecretError) as caught:
        Signer([secret])

    content = secret.partition("_")[2]
    assert not content or content not in str(caught.value)


def test_signer_public_key_is_refused() -> None:
    with pytest.raises(InvalidSecretError):
        Signer([public_key(ED25519)])


def test_public_key_of_an_hmac_secret_is_refused() -> None:
    with pytest.raises(InvalidSecretError, match="ed25519"):
        public_key(HMAC)


@pytest.mark.parametrize("key", ["", "whpk_", "whpk_AAAA", "nonsense"])
def test_verify_unusable_key_raises_invalid_secret_error(key: str) -> None:
    with pytest.raises(InvalidSecretError):
        verify([key], signed(), VECTOR_BODY, NOW_S)


# Verifying


def test_verify_header_names_ignore_case() -> None:
    assert refusal({name.title(): value for name, value in signed().items()}) is None


def test_verify_without_keys_accepts_nothing() -> None:
    assert refusal(signed(), keys=[]) == "no_match"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_verify_missing_or_empty_header_is_refused(name: str) -> None:
    headers = signed()

    assert refusal({**headers, name: ""}) == "missing_header"
    del headers[name]
    assert refusal(headers) == "missing_header"


@pytest.mark.parametrize(
    "timestamp", ["now", "-1", "+1", "1.0", "1e9", " 1", "1\n", "٣٣", "NaN", "inf", "0x1", "9" * 5_000]
)
def test_verify_timestamp_other_than_ascii_digits_is_refused(timestamp: str) -> None:
    assert refusal({**signed(), "webhook-timestamp": timestamp}) == "bad_timestamp"


@pytest.mark.parametrize(
    ("skew_s", "reason"), [(-301, "too_old"), (-300, None), (0, None), (300, None), (301, "too_new")]
)
def test_verify_timestamp_may_differ_by_the_tolerance(skew_s: int, reason: str | None) -> None:
    assert refusal(signed(timestamp_s=NOW_S + skew_s)) == reason


def test_verify_clock_difference_is_reported_only_for_a_valid_signature() -> None:
    assert refusal(signed([OTHER], timestamp_s=NOW_S - 9_999)) == "no_match"


def test_verify_uses_the_tolerance_given() -> None:
    verify([VECTOR_SECRET], signed(timestamp_s=NOW_S - 900), VECTOR_BODY, NOW_S, tolerance_s=1_000)


@pytest.mark.parametrize(
    "neighbour", ["v1", "v1,", "v1,x", "v1,é", "a,b,c", ",", "v2,AAAA", "v1,\ud800", "", "v1a," + "A" * 88]
)
def test_verify_valid_signature_next_to_an_unreadable_one_is_accepted(neighbour: str) -> None:
    for keys in ([VECTOR_SECRET], [ED25519, VECTOR_SECRET]):
        assert refusal({**signed(), "webhook-signature": f"{neighbour} {VECTOR_SIGNATURE}"}, keys=keys) is None


def test_verify_checks_only_the_first_eight_signatures() -> None:
    for others, reason in ((7, None), (8, "no_match")):
        assert refusal({**signed(), "webhook-signature": "v1,AAAA " * others + VECTOR_SIGNATURE}) == reason


def test_verify_signature_header_above_4_kib_is_refused() -> None:
    fill = 4_096 - len(VECTOR_SIGNATURE) - 1
    for size, reason in ((fill, None), (fill + 1, "no_match")):
        assert refusal({**signed(), "webhook-signature": f"{VECTOR_SIGNATURE} {'x' * size}"}) == reason


@pytest.mark.parametrize("secret", [VECTOR_SECRET, ED25519])
def test_verify_signature_in_non_canonical_base64_is_refused(secret: str) -> None:
    headers = signed([secret])
    signature = headers["webhook-signature"]
    text = signature.rstrip("=")
    padding = signature[len(text) :]
    same_bytes = text[:-1] + BASE64[BASE64.index(text[-1]) ^ 1] + padding
    assert base64.b64decode(same_bytes.partition(",")[2]) == base64.b64decode(signature.partition(",")[2])

    for variant in (same_bytes, signature + "=", text, signature + "\n", signature.replace(",", ", ")):
        assert refusal({**headers, "webhook-signature": variant}, keys=[secret]) == "no_match"


def test_verify_id_with_a_dot_is_refused() -> None:
    assert refusal(signed(webhook_id="msg.1")) == "no_match"


def test_verify_signature_with_the_version_of_the_other_kind_is_refused() -> None:
    headers = signed([VECTOR_SECRET, ED25519])
    swapped = headers["webhook-signature"].replace("v1a,", "V,").replace("v1,", "v1a,").replace("V,", "v1,")

    assert refusal({**headers, "webhook-signature": swapped}, keys=[VECTOR_SECRET, ED25519]) == "no_match"


@pytest.mark.parametrize("keys", [[VECTOR_SECRET], [ED25519]])
def test_verify_any_changed_part_is_refused(keys: list[str]) -> None:
    headers = signed(keys)

    assert refusal(headers, keys=keys) is None
    assert refusal(headers, VECTOR_BODY + b" ", keys=keys) == "no_match"
    assert refusal({**headers, "webhook-id": VECTOR_ID + "x"}, keys=keys) == "no_match"
    assert refusal({**headers, "webhook-timestamp": str(NOW_S + 1)}, keys=keys) == "no_match"
    assert refusal(headers, keys=[OTHER]) == "no_match"


raw_text = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates too
tokens = st.builds("{},{}".format, st.sampled_from(["v1", "v1a", "v2", ""]), raw_text | st.binary(max_size=70).map(str))
signatures = raw_text | tokens | st.lists(tokens | st.just("v1a," + "A" * 86 + "=="), max_size=10).map(" ".join)
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "webhook-id": raw_text | st.just(VECTOR_ID),
            "webhook-timestamp": raw_text | st.just(str(NOW_S)),
            "webhook-signature": signatures,
        },
    ),
    st.dictionaries(raw_text, raw_text, max_size=2),
    st.binary(max_size=20),
)
@example({"webhook-id": "\ud800", "webhook-timestamp": str(NOW_S), "webhook-signature": VECTOR_SIGNATURE}, {}, b"")
def test_verify_forged_input_raises_only_invalid_signature_error(
    headers: dict[str, str], others: dict[str, str], body: bytes
) -> None:
    with pytest.raises(InvalidSignatureError) as caught:
        verify([VECTOR_SECRET, ED25519, public_key(ED25519)], {**others, **headers}, body, NOW_S)

    assert caught.value.reason in {"missing_header", "bad_timestamp", "no_match"}
    assert str(caught.value)


@settings(max_examples=60)
@given(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.integers(0, 60), st.integers(1, 127)
)
def test_verify_one_changed_character_is_refused(name: str, position: int, change: int) -> None:
    headers = signed()
    value = headers[name]
    position %= len(value)
    letter = chr(ord(value[position]) ^ change)

    assert refusal({**headers, name: value[:position] + letter + value[position + 1 :]}) is not None
