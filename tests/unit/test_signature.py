"""Webhook signatures: only Stripe's bytes, only with our secrets, only now."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from paidup.errors import InvalidSignature
from paidup.stripe_api.signature import verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "whsec_first"
BODY = json.dumps({"id": "evt_1", "name": "Zoë Ünal — 名前"}, ensure_ascii=False, indent=2).encode()


def a_header(body: bytes = BODY, *, secret: str = SECRET, at: datetime = NOW) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=int(at.timestamp())))


def check(body: bytes, header: str | None, *secrets: str, now: datetime = NOW) -> int:
    return verify(body, header, secrets=secrets or (SECRET,), tolerance=timedelta(minutes=5), now=now)


def test_a_signed_body_passes() -> None:
    assert check(BODY, a_header()) == 0


@pytest.mark.parametrize("body", [BODY, b" " + BODY + b"\n", b"x" * 500_000, "né".encode()])
def test_the_raw_bytes_are_what_is_signed(body: bytes) -> None:
    """H25: non-ASCII, white space and size make no difference; re-encoding does."""
    assert check(body, a_header(body)) == 0


def test_a_re_encoded_body_fails() -> None:
    """H25."""
    with pytest.raises(InvalidSignature, match="none of the 1 configured secrets"):
        check(json.dumps(json.loads(BODY)).encode(), a_header())


def test_a_changed_body_fails() -> None:
    with pytest.raises(InvalidSignature):
        check(BODY.replace(b"evt_1", b"evt_2"), a_header())


def test_any_of_several_secrets_passes_and_tells_which() -> None:
    """H27: the old one can be retired once nothing matches it any more."""
    assert check(BODY, a_header(secret="whsec_old"), "whsec_new", "whsec_old") == 1


def test_two_signatures_in_one_header_pass_with_either_secret() -> None:
    """H27: Stripe signs with both while a secret is rolled."""
    old, new = a_header(secret="whsec_old"), a_header(secret="whsec_new")
    both = f"{old},{new.split(',')[1]}"
    assert check(BODY, both, "whsec_new") == 0
    assert check(BODY, both, "whsec_old") == 0


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "header is missing"),
        ("", "header is missing"),
        ("v1=abc", "no timestamp"),
        ("t=abc,v1=abc", "no timestamp"),
        ("t=99999999999999999999,v1=abc", "no timestamp"),
        (f"t={int(NOW.timestamp())}", "none of the"),
        (f"t={int(NOW.timestamp())},v0=abc", "none of the"),
        (f"t={int(NOW.timestamp())},v1=", "none of the"),
        ("\x00\xff", "no timestamp"),
    ],
)
def test_a_header_that_is_not_stripes_is_refused(header: str | None, message: str) -> None:
    """H28."""
    with pytest.raises(InvalidSignature, match=message):
        check(BODY, header)


@pytest.mark.parametrize("skew", [timedelta(seconds=301), timedelta(seconds=-301), timedelta(days=365)])
def test_the_clock_is_bounded_both_ways(skew: timedelta) -> None:
    """H26, H31: the message names the skew in seconds."""
    with pytest.raises(InvalidSignature, match=str(abs(int(skew.total_seconds())))):
        check(BODY, a_header(at=NOW - skew))


@pytest.mark.parametrize("skew", [timedelta(seconds=300), timedelta(seconds=-300)])
def test_a_skew_within_the_tolerance_passes(skew: timedelta) -> None:
    assert check(BODY, a_header(at=NOW - skew)) == 0


@pytest.mark.parametrize("secrets", [("",), (" ",)])
def test_an_empty_secret_verifies_nothing(secrets: tuple[str, ...]) -> None:
    """H28: HMAC with an empty key is something anybody can compute."""
    for forged_with in ("", " ", "whsec_"):
        with pytest.raises(InvalidSignature):
            check(BODY, a_header(secret=forged_with), *secrets)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidSignature, match="UTF-8"):
        check(b"\xff\xfe", a_header())


def test_no_message_contains_the_secret_or_the_signature() -> None:
    header = a_header(secret="whsec_other")
    with pytest.raises(InvalidSignature) as error:
        check(BODY, header)
    assert SECRET not in str(error.value)
    assert header.split("v1=")[1] not in str(error.value)
