"""Idempotency keys: the same intent with the same parameters is the same call, from any process, after any crash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta

LIFETIME = timedelta(hours=23)
"""Stripe keeps keys for at least a day; a call with an older one may do its work again."""

REUSED = "idempotency_error"
"""The code of our error when a key was used before with other parameters or for another call."""
IN_USE = "idempotency_key_in_use"
"""Stripe's code while the first call with a key is under way."""


def key(purpose: str, intent: str, params: Mapping[str, object]) -> str:
    """
    The key of one call.

    It contains a hash of the parameters, because Stripe refuses a key that comes back with other ones for a day.
    """
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"), default=str)
    return f"paidup-{purpose}-{intent}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"
