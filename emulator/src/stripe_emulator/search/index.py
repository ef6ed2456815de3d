"""
What search sees: every object as it was a while ago.

Under normal conditions data is searchable in under a minute, which is too late for what reads after it wrote. See
https://docs.stripe.com/search#data-freshness
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stripe_emulator.search.fields import FIELDS
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


class Index:
    """
    The searchable objects as of `search_lag` seconds ago by the global clock; without a lag, as they are.

    It is kept in memory: what there is when it begins is seen at once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[str, Json] = {}
        self._waiting: deque[tuple[int, str, Json | None]] = deque()

    def begin(self) -> None:
        """See everything as it is now."""
        self._seen.clear()
        self._waiting.clear()
        if self._engine.settings.search_lag:
            for kind in FIELDS:
                for value in reversed(list(self._engine.store.scan(kind))):
                    self._seen[value["id"]] = _copy(value)

    def note(self, changed: list[str]) -> None:
        """These objects are others now, or gone."""
        if not self._engine.settings.search_lag:
            return
        now = self._engine.now()
        for id in changed:
            value = self._engine.store.peek(id)
            if value is None or value["object"] in FIELDS:
                self._waiting.append((now, id, None if value is None else _copy(value)))

    def scan(self, kind: str) -> Iterator[Json]:
        """Every object of a kind that search sees, newest first."""
        lag = self._engine.settings.search_lag
        if not lag:
            yield from self._engine.store.scan(kind)
            return
        while self._waiting and self._waiting[0][0] + lag <= self._engine.now():
            _, id, value = self._waiting.popleft()
            if value is None:
                self._seen.pop(id, None)
            else:
                self._seen[id] = value
        for value in reversed(self._seen.values()):
            if value["object"] == kind:
                yield value


def _copy(value: Json) -> Json:
    copied: Json = json.loads(json.dumps(value))
    return copied
