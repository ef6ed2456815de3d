"""
How far a list is that Stripe gives newest first, and the window of time that a page of it covers.

Ids say where a list goes on; times say which of our rows belong beside a page. Objects of one second may be spread over
two pages, so those of the last second are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """
    A place in a list: after the object `after`.

    Everything created later than `until` has been seen, and of that second the ids in `seen`.
    """

    after: str | None = None
    until: datetime | None = None
    seen: frozenset[str] = frozenset()
    is_done: bool = False

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Place:
        """The place that `stored` describes; the beginning for None."""
        if not stored:
            return cls()
        until = stored["until"]
        return cls(
            after=stored["after"],
            until=datetime.fromisoformat(until) if until else None,
            seen=frozenset(stored["seen"]),
            is_done=stored["done"],
        )

    def stored(self) -> dict[str, Any]:
        """The place as JSON-ready facts."""
        until = self.until.isoformat() if self.until else None
        return {"after": self.after, "until": until, "seen": sorted(self.seen), "done": self.is_done}

    def after_page(self, created: Mapping[str, datetime], *, is_last: bool) -> Place:
        """The place after a page: when each of its objects was created, by id, in the order they came."""
        lowest = min((*created.values(), *([self.until] if self.until else [])), default=None)
        seen = frozenset(id for id, moment in created.items() if moment == lowest)
        if lowest == self.until:
            seen |= self.seen
        return Place(after=list(created)[-1] if created else self.after, until=lowest, seen=seen, is_done=is_last)
