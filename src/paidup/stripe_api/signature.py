"""
Webhook signatures: which of our secrets signed these bytes, and when.

Checked on the raw bytes, before anything parses them. Several secrets may be valid while one is rotated; the clock is
bounded both ways (the SDK alone accepts timestamps from the future).
See https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import stripe

from paidup.errors import InvalidSignature


def verify(body: bytes, header: str | None, *, secrets: Sequence[str], tolerance: timedelta, now: datetime) -> int:
    """
    The position of the secret that signed the body.

    Raises InvalidSignature, whose message tells what is wrong and never contains a secret or a signature.
    """
    if not header:
        raise InvalidSignature(
            "the Stripe-Signature header is missing", remedy="only Stripe should call this address", reason="missing"
        )
    signed_at = _timestamp(header)
    skew = int((now - signed_at).total_seconds())
    if abs(skew) > tolerance.total_seconds():
        direction = "ago" if skew > 0 else "in the future"
        raise InvalidSignature(
            f"the signature was made {abs(skew)} seconds {direction}, more than the {tolerance.total_seconds():.0f} "
            "allowed",
            remedy="check this machine's clock; a replayed old delivery is refused on purpose",
            reason="too_old" if skew > 0 else "too_new",
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSignature(
            "the body is not UTF-8", remedy="pass the raw bytes of the request", reason="malformed"
        ) from error
    for position, secret in enumerate(secrets):
        # An empty secret verifies against an empty key, which anyone can forge.
        if secret and _matches(text, header, secret):
            return position
    raise InvalidSignature(
        f"none of the {len(secrets)} configured secrets made this signature",
        remedy="is STRIPE_WEBHOOK_SECRET that of this endpoint and mode? `stripe listen` prints a secret of its own",
    )


def _matches(body: str, header: str, secret: str) -> bool:
    try:
        # tolerance=0 skips the SDK's own, one-sided check of the clock; ours came first.
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, tolerance=0))
    except stripe.SignatureVerificationError:
        return False


def _timestamp(header: str) -> datetime:
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isascii() and value.isdigit() and len(value) <= 12:
            return datetime.fromtimestamp(int(value), UTC)
    raise InvalidSignature(
        "the Stripe-Signature header has no timestamp", remedy="pass the header as it came", reason="malformed"
    )
