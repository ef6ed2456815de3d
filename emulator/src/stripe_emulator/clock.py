"""
Time as the emulator tells it.

Objects without a test clock live on the global clock: real time plus an offset that only grows, but for going back to a
snapshot; or it stands still until it is put forward. Objects of a customer
with a test clock live on that clock's frozen time. While a stretch of time is walked through, each clock shows the
moment being walked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from stripe_emulator.state import Json, Store

GLOBAL = ""
"""The name of the global clock where a test clock's id could stand."""

_ROW = "_clock"


class Clocks:
    """Tells the time of every clock; the offset lives in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._walking: dict[str, int] = {}

    @property
    def offset(self) -> int:
        """Seconds the global clock is ahead of real time."""
        return self.now() - real_time()

    @property
    def stands_still(self) -> bool:
        """Does the global clock move only when it is moved?"""
        return (self._store.get(_ROW) or {}).get("standing") is not None

    def stand_still(self, start: int) -> None:
        """Let real time pass the global clock by, from `start` on, or from where it has got to."""
        row = self._store.get(_ROW)
        if row is None:
            self._store.add({"id": _ROW, "object": _ROW, "offset": 0, "standing": start})
        elif row.get("standing") is None:
            row["standing"] = self.now()

    def move(self, seconds: int) -> None:
        """Put the global clock forward."""
        row = self._store.get(_ROW) or self._store.add({"id": _ROW, "object": _ROW, "offset": 0})
        key = "offset" if row.get("standing") is None else "standing"
        row[key] += seconds

    def now(self, clock: str | None = None) -> int:
        """Unix seconds on a test clock, or on the global one."""
        name = clock or GLOBAL
        if name in self._walking:
            return self._walking[name]
        if clock:
            frozen = self._store.get(clock, "test_helpers.test_clock")
            if frozen is not None:
                return int(frozen["frozen_time"])
        row = self._store.get(_ROW) or {"offset": 0}
        standing: int | None = row.get("standing")
        return real_time() + int(row["offset"]) if standing is None else standing

    def row_at(self, now: int, then: Json | None) -> Json:
        """What the store has to hold so that the global clock shows `now`; `then` is what it held at that time."""
        return {"id": _ROW, "object": _ROW, **(then or {}), "offset": now - real_time()}

    @contextmanager
    def walking(self, clock: str, moment: int) -> Iterator[None]:
        """While the block runs, the clock shows `moment`."""
        self._walking[clock] = moment
        try:
            yield
        finally:
            del self._walking[clock]


def real_time() -> int:
    """Unix seconds by the wall clock."""
    return int(time.time())
