"""Who is calling: a secret test key, as Bearer token or as Basic user name."""

from __future__ import annotations

import base64
import binascii

from stripe_emulator.protocol.errors import ApiError

_HELP = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://docs.stripe.com/api#authentication for details."
)


def check_key(authorization: str | None) -> None:
    """Raise Stripe's 401 (403 for a live or publishable key) unless a secret test key was sent."""
    key = _key(authorization)
    if not key:
        raise ApiError(401, "invalid_request_error", _HELP)
    if key.startswith(("sk_live_", "rk_live_")):
        raise ApiError(
            403,
            "invalid_request_error",
            "A live key was sent to stripe_emulator, which refuses it. Use any sk_test_ key, and roll the live key if "
            "it may have been logged on the way.",
        )
    if key.startswith("pk_"):
        raise ApiError(
            403,
            "invalid_request_error",
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )
    if not key.startswith(("sk_test_", "rk_test_")):
        raise ApiError(401, "invalid_request_error", f"Invalid API Key provided: {key[:3]}{'*' * 8}")


def _key(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
