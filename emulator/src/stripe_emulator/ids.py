"""Ids, tokens and secrets in Stripe's forms."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_LENGTHS = {"cus": 14, "prod": 14, "si": 14, "req": 14, "cs_test": 58, "whsec": 32}


def new_id(prefix: str) -> str:
    """A fresh id: `cus_` and 14 characters, `cs_test_` and 58, most others 24."""
    return f"{prefix}_{token(_LENGTHS.get(prefix, 24))}"


def token(length: int = 32) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
