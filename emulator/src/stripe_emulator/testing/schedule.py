"""Schedules of unkindness: what goes otherwise than usual, and where, as data that can be printed and read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DELIVERY_KINDS = ("duplicate", "late", "lost", "restart")
API_KINDS = ("429", "500", "timeout", "lost-answer", "lost-answers")
PERSON_KINDS = ("click-twice", "returns-early", "closes-tab")
BANK_KINDS = ("declined",)
KINDS = (*DELIVERY_KINDS, *API_KINDS, *PERSON_KINDS, *BANK_KINDS)

WORDS = {
    "duplicate": "the event is delivered twice",
    "late": "the event comes after those that followed it",
    "lost": "the event is lost at first and comes at the very end",
    "restart": "the app is killed right after it has acknowledged the event, and started again",
    "429": "Stripe answers 429 to the call",
    "500": "Stripe answers 500 to the call",
    "timeout": "the call hangs and the connection breaks before anything is done",
    "lost-answer": "Stripe does the work of the call, and its answer is lost",
    "lost-answers": "Stripe does the work of the call and of its next two repetitions, and the answers are lost",
    "click-twice": "the person clicks twice",
    "returns-early": "the person opens the return address before having paid",
    "closes-tab": "the person pays and never comes back to the app",
    "declined": "the bank declines the charge of the saved card",
}


@dataclass(frozen=True, slots=True)
class Twist:
    """One thing that goes otherwise: `duplicate customer.created#1`. `where` counts from 1 within a run."""

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.kind} {self.where}"

    @property
    def changes_what_happens(self) -> bool:
        """May the outcome rightly differ from the undisturbed run's? Then Stripe's state alone is the measure."""
        return self.kind in BANK_KINDS

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
            if kind not in KINDS or "#" not in where:
                raise ValueError(f"{part!r} is no twist; one looks like 'duplicate customer.created#1'")
            twists.append(Twist(kind, where))
        return cls(tuple(twists))

    def has(self, kind: str, where: str) -> bool:
        """Is this among them?"""
        return Twist(kind, where) in self.twists

    def of_kinds(self, kinds: Iterable[str]) -> list[Twist]:
        """Those of some kinds."""
        return [twist for twist in self.twists if twist.kind in kinds]

    def without(self, twist: Twist) -> Schedule:
        """All but one."""
        return Schedule(tuple(one for one in self.twists if one != twist))

    @property
    def changes_what_happens(self) -> bool:
        """Does any twist?"""
        return any(twist.changes_what_happens for twist in self.twists)
