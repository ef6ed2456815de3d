"""
Stripe's rate limits, when asked for: so many requests a second in all, and so many to each endpoint.

A bucket holds a second's worth of requests and fills steadily, by real time. A request that is refused costs nothing.
Every named operation is an endpoint of its own: GET and POST of a path are two, all ids of a path are one. See
https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stripe_emulator.failing import rate_limited
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.settings import RateLimits
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MODES = {"live": RateLimits(total=100), "sandbox": RateLimits(total=25)}
"""What Stripe has for an account in live mode and for a sandbox."""

_ROW = "_rate_limits"


@dataclass(slots=True)
class _Bucket:
    size: float
    filled: float
    at: float

    def fill(self, now: float) -> bool:
        """Is there a request left in it?"""
        self.filled = min(self.size, self.filled + (now - self.at) * self.size)
        self.at = now
        return self.filled >= 1


class RateLimiter:
    """The buckets of an account. Whether there are limits is in the store, or else in the settings."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def refuse(self, endpoint: Callable[[], str]) -> ApiError | None:
        """The 429 this request gets, or None, which counts it. `endpoint` is asked for only if there are limits."""
        limits = limits_of(self._engine)
        if limits is None:
            return None
        now, name = self._clock(), endpoint()
        size = min(limits.search, limits.per_endpoint) if name.endswith("/search") else limits.per_endpoint
        whole, own = self._bucket("", limits.total, now), self._bucket(name, size, now)
        if not whole.fill(now):
            return rate_limited("global-rate")
        if not own.fill(now):
            return rate_limited("endpoint-rate")
        whole.filled -= 1
        own.filled -= 1
        return None

    def _bucket(self, name: str, size: float, now: float) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None or bucket.size != size:
            bucket = self._buckets[name] = _Bucket(size, size, now)
        return bucket


def limits_of(engine: Engine) -> RateLimits | None:
    """The limits there are now."""
    row = engine.store.get(_ROW)
    if row is None:
        return engine.settings.rate_limits
    found: Json | None = row["limits"]
    return None if found is None else RateLimits(**found)


def set_limits(engine: Engine, limits: RateLimits | None) -> None:
    """Have these limits, or none, whatever the settings say."""
    row = engine.store.get(_ROW) or engine.store.add({"id": _ROW, "object": _ROW, "limits": None})
    row["limits"] = None if limits is None else described(limits)


def described(limits: RateLimits) -> Json:
    """In requests a second."""
    return {"total": limits.total, "per_endpoint": limits.per_endpoint, "search": limits.search}
