"""
What falls due, and walking through time so that it falls due in order.

Each kind of object with deadlines registers when its next one is and what to do then. The heap may hold stale entries;
an entry counts only if the object still says the same moment.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from stripe_emulator.clock import GLOBAL
from stripe_emulator.events import clock_of
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

NextDue = Callable[["Engine", Json], int | None]
WhenDue = Callable[["Engine", Json], None]
Entry = tuple[int, bool, str]
"""A deadline in a heap: its moment, whether it lets others of that moment go first, whose it is."""

_DEADLINES: dict[str, tuple[NextDue, WhenDue]] = {}
_FIRST: set[str] = set()

STEPS_PER_MOMENT = 1000


def register(kind: str, *, next_due: NextDue, when_due: WhenDue, first: bool = False) -> None:
    """
    Give a kind of object deadlines: when the next one is (or None), and what happens at it.

    `first`: before what falls due at the same moment to objects of other kinds.
    """
    _DEADLINES[kind] = (next_due, when_due)
    if first:
        _FIRST.add(kind)


class Agenda:
    """The deadlines of every clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._heaps: dict[str, list[Entry]] = {}
        self._noted: dict[str, int] = {}

    def load(self) -> None:
        """Look at every stored object anew."""
        self._heaps.clear()
        self._noted.clear()
        for kind in _DEADLINES:
            for value in self._engine.store.scan(kind):
                self._note(value)

    def refresh(self) -> None:
        """Look again at the objects touched since the last time."""
        for value in self._engine.store.touched():
            if value["object"] in _DEADLINES:
                self._note(value)

    def next_moment(self, clock: str = GLOBAL) -> int | None:
        """The earliest deadline on a clock."""
        heap = self._heaps.get(clock, [])
        while heap:
            moment, _, id = heap[0]
            if self._is_due(id, moment):
                return moment
            self._pop(heap)
        return None

    def upcoming(self, clock: str, most: int) -> list[tuple[int, Json]]:
        """The next things due on a clock, with their moments, to look at."""
        found: list[tuple[int, Json]] = []
        for id, moment in sorted(self._noted.items(), key=lambda each: each[1]):
            value = self._engine.store.peek(id)
            if value is None or (clock_of(value) or GLOBAL) != clock:
                continue
            if _DEADLINES[value["object"]][0](self._engine, value) == moment:
                found.append((moment, value))
            if len(found) == most:
                break
        return found

    def walk(self, until: int, clock: str = GLOBAL) -> int:
        """Do everything due on a clock up to and including `until`, moment by moment; returns how many things."""
        done = 0
        self.refresh()
        at_moment, last = 0, -1
        while (moment := self.next_moment(clock)) is not None and moment <= until:
            at_moment = at_moment + 1 if moment == last else 0
            if at_moment > STEPS_PER_MOMENT + len(self._heaps[clock]):
                raise RuntimeError(f"{self._heaps[clock][0][2]} stays due at {moment}")
            last = moment
            id = self._pop(self._heaps[clock])
            value = self._engine.store.get(id)
            assert value is not None
            with self._engine.clocks.walking(clock, moment):
                _DEADLINES[value["object"]][1](self._engine, value)
            self.refresh()
            done += 1
        return done

    def _pop(self, heap: list[Entry]) -> str:
        moment, _, id = heapq.heappop(heap)
        if self._noted.get(id) == moment:
            del self._noted[id]
        return id

    def _is_due(self, id: str, moment: int) -> bool:
        value = self._engine.store.get(id)
        return value is not None and _DEADLINES[value["object"]][0](self._engine, value) == moment

    def _note(self, value: Json) -> None:
        moment = _DEADLINES[value["object"]][0](self._engine, value)
        if moment is not None and self._noted.get(value["id"]) != moment:
            self._noted[value["id"]] = moment
            entry = (moment, value["object"] not in _FIRST, value["id"])
            heapq.heappush(self._heaps.setdefault(clock_of(value) or GLOBAL, []), entry)
