"""Schedules of unkindness: what goes otherwise than usual, and where, as data that can be printed and read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DELIVERY_KINDS = ("duplicate", "late", "lost", "restart")
READ_KINDS = ("429", "500", "timeout")
WRITE_KINDS = ("lost-answer", "500", "slow", "429", "timeout", "lost-answers")
API_KINDS = WRITE_KINDS
PERSON_KINDS = ("click-twice", "returns-early", "closes-tab")
BANK_KINDS = ("declined",)

OTHER_OUTCOMES = ("lost", *BANK_KINDS)
"""Under these the flow may rightly end elsewhere: an app that waits for an event can't go on without it."""

WORDS = {
    "duplicate": "the event is delivered twice",
    "late": "the event comes after those that followed it",
    "lost": "the event is lost at first and comes at the very end",
    "restart": "the app is killed right after it has acknowledged the event, and started again",
    "429": "Stripe answers 429 to the call",
    "500": "Stripe answers 500 to the call and to its next two repetitions",
    "timeout": "the call hangs and the connection breaks before anything is done",
    "lost-answer": "Stripe does the work of the call, and its answer is lost",
    "lost-answers": "Stripe does the work of the call and of its next two repetitions, and the answers are lost",
    "slow": "Stripe does the work of the call, and its events arrive before its answer",
    "click-twice": "the person clicks twice",
    "returns-early": "the person opens the return address before having paid",
    "closes-tab": "the person pays and never comes back to the app",
    "declined": "the bank declines the charge",
}

KINDS = tuple(WORDS)


@dataclass(frozen=True, slots=True)
class Twist:
    """One thing that goes otherwise: `duplicate customer.created#1`. `where` counts from 1 within a run."""

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.kind} {self.where}"

    @property
    def number(self) -> int:
        """Which of its place it is."""
        return int(self.where.rpartition("#")[2])

    @property
    def changes_what_happens(self) -> bool:
        """May the outcome rightly differ from the undisturbed run's? Then Stripe's state alone is the measure."""
        return self.kind in OTHER_OUTCOMES

    @property
    def words(self) -> str:
        """In a sentence."""
        return f"{self.where}: {WORDS[self.kind]}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Twists of one run, none twice. `str` of it is what `parse` reads."""

    twists: tuple[Twist, ...] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.twists))

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read a printed schedule; ValueError names what is not one."""
        twists = []
        for part in filter(None, (part.strip() for part in text.split(";"))):
            kind, _, where = part.partition(" ")
            if kind not in KINDS or not where.rpartition("#")[2].isdigit():
                raise ValueError(f"{part!r} is no twist; one looks like 'duplicate customer.created#1'")
            twists.append(Twist(kind, where))
        return cls(tuple(dict.fromkeys(twists)))

    def has(self, kind: str, where: str) -> bool:
        """Is this among them?"""
        return Twist(kind, where) in self.twists

    def of_kind(self, kind: str) -> list[Twist]:
        """Those of a kind."""
        return [twist for twist in self.twists if twist.kind == kind]

    def without(self, some: Iterable[Twist]) -> Schedule:
        """All but these."""
        left_out = set(some)
        return Schedule(tuple(one for one in self.twists if one not in left_out))

    @property
    def changes_what_happens(self) -> bool:
        """Does any twist?"""
        return any(twist.changes_what_happens for twist in self.twists)
