"""Which schedules are tried, and in which order: every twist alone, then some together."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from stripe_emulator.testing.schedule import KINDS, Schedule, Twist

FIRST = (
    "duplicate",
    "lost-answer",
    "click-twice",
    "returns-early",
    "500",
    "late",
    "restart",
    "declined",
    "closes-tab",
    "slow",
    "lost",
    "429",
    "timeout",
    "lost-answers",
)
"""Every kind, the most telling first."""

FEW = ("lost-answer", "click-twice", "returns-early", "declined", "closes-tab", "slow")
"""Kinds that few places have an occasion for, and each place a meaning of its own."""

assert set(FIRST) == set(KINDS)

TOGETHER = (2, 2, 3, 4)


def alone(twists: Iterable[Twist], chance: random.Random) -> list[Schedule]:
    """
    Each twist by itself, once, so that what comes first tells most.

    One of each kind, the rest of those with few places, then the others in turn; the places of a kind in any order.
    """
    by_kind: dict[str, list[Twist]] = {kind: [] for kind in FIRST}
    for twist in dict.fromkeys(twists):
        by_kind[twist.kind].append(twist)
    for places in by_kind.values():
        chance.shuffle(places)
    chosen = [places.pop() for places in by_kind.values() if places]
    for kind in FEW:
        chosen += by_kind.pop(kind)
    while any(by_kind.values()):
        chosen += [places.pop() for places in by_kind.values() if places]
    return [Schedule((twist,)) for twist in chosen]


def together(twists: Iterable[Twist], chance: random.Random) -> Iterator[Schedule]:
    """Several at once, without end; no two at one place."""
    distinct = list(dict.fromkeys(twists))
    seen: set[frozenset[Twist]] = set()
    for _ in range(100 * len(distinct)):
        some = _sample(distinct, chance)
        if len(some) > 1 and frozenset(some) not in seen:
            seen.add(frozenset(some))
            yield Schedule(tuple(some))


def _sample(twists: Sequence[Twist], chance: random.Random) -> list[Twist]:
    some = chance.sample(twists, k=min(len(twists), chance.choice(TOGETHER)))
    return list({twist.where: twist for twist in some}.values())
