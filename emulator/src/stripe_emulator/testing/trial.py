"""One flow of an app, run under one schedule after another, and what was wrong in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from stripe_emulator.testing.chaos import App, Chaos
from stripe_emulator.testing.schedule import Schedule, Twist
from stripe_emulator.testing.stripe import Stripe

A = TypeVar("A", bound=App)

UNDISTURBED = Schedule()
LIVE = ("trialing", "active", "past_due", "unpaid", "paused")
A_UNIX_TIME = 1_000_000_000
MINUTES = 600


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind`: mirror, outcome, customers, subscriptions, money, refused or flow."""

    kind: str
    words: str


@dataclass(slots=True)
class Run:
    """What came of one run; `problem` is None when all was well."""

    schedule: Schedule
    problem: Problem | None = None
    outcome: Any = None
    paid: Counter[str] = field(default_factory=Counter)
    places: list[Twist] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    several_items: bool = False
    paid_later: bool = False


@dataclass(slots=True)
class Trial(Generic[A]):
    """A flow and the measures of its outcome. `plain` is the undisturbed run, once it is there."""

    stripe: Stripe
    flow: Callable[[Stripe, A], object]
    app: Callable[[Stripe], AbstractContextManager[A]]
    outcome: Callable[[A], Any]
    at_stripe: Callable[[Stripe], Any] | None
    plain: Run | None = None

    def run(self, schedule: Schedule) -> Run:
        """One run, from an empty Stripe on."""
        run, stripe = Run(schedule), self.stripe
        stripe.reset()
        with self.app(stripe) as app:
            chaos = stripe.chaos(schedule=schedule, app=app, at_rest=lambda: self._mirror(run, app, "at that moment "))
            try:
                self.flow(stripe, app)
            except Exception as error:  # noqa: BLE001  the flow is anybody's; what stops it is the finding
                run.problem = run.problem or Problem("flow", f"the flow stopped: {type(error).__name__}: {error}")
            chaos.finish()
            run.trail, run.places = chaos.trail, chaos.places
            found = self._invariants(run, chaos)
            run.problem = run.problem or found
            self._mirror(run, app, "")
            self._compare(run, app)
        defects = stripe.shape_failures
        if defects:
            raise RuntimeError(f"the emulator built objects the SDK does not know: {defects}")
        return run

    def shrunk(self, run: Run, seconds: float) -> Run:
        """The run with as few twists as still show something, as far as that is found out in time."""
        smallest, until = run, time.monotonic() + seconds
        for twist in run.schedule.twists:
            if run.problem is None or len(smallest.schedule.twists) == 1 or time.monotonic() > until:
                break
            tried = self.run(smallest.schedule.without([twist]))
            if tried.problem is not None:
                smallest = tried
        return smallest

    def _mirror(self, run: Run, app: A, when: str) -> None:
        if run.problem is not None or self.at_stripe is None:
            return
        shown, wanted = self.outcome(app), self.at_stripe(self.stripe)
        if shown != wanted:
            run.problem = Problem("mirror", when + _difference(shown, wanted, "by Stripe's state it should be"))

    def _compare(self, run: Run, app: A) -> None:
        if run.problem is not None:
            return
        run.outcome = self.outcome(app)
        if self.plain is None or run.schedule.changes_what_happens or _same(run.outcome, self.plain.outcome):
            return
        run.problem = Problem("outcome", _difference(run.outcome, self.plain.outcome, "undisturbed it was"))

    def _invariants(self, run: Run, chaos: Chaos) -> Problem | None:
        api = self.stripe.api
        subscriptions = list(api.subscriptions.list({"status": "all", "limit": 100}).auto_paging_iter())
        sessions = self.stripe.events("checkout.session.completed")
        run.several_items = any(len(one["items"].data) > 1 for one in subscriptions)
        run.paid_later = any(one["data"]["object"]["payment_status"] == "unpaid" for one in sessions)
        if chaos.refused:
            labels = ", ".join(chaos.refused)
            return Problem("refused", f"the app never accepted {labels}, however often it was delivered")
        customers = list(api.customers.list({"limit": 100}).auto_paging_iter())
        for email, number in Counter(one.email for one in customers if one.email).items():
            if number > 1:
                return Problem("customers", f"there are {number} customers for {email}")
        for customer, number in Counter(one.customer for one in subscriptions if one.status in LIVE).items():
            if number > 1:
                return Problem("subscriptions", f"{customer} has {number} live subscriptions")
        emails = {one.id: one.email for one in customers}
        for charge in api.charges.list({"limit": 100}).auto_paging_iter():
            if charge.paid:
                run.paid[f"{emails.get(charge.customer)} {charge.currency}"] += charge.amount - charge.amount_refunded
        if self.plain is not None:
            for who, amount in run.paid.items():
                if amount > self.plain.paid[who]:
                    before = self.plain.paid[who]
                    return Problem("money", f"{who}: {amount} was taken, undisturbed {before} (minor units)")
        return None


def _same(ours: Any, other: Any) -> bool:
    """Equal, but for the minutes between two runs in what is a time."""
    match ours, other:
        case Mapping(), Mapping():
            return ours.keys() == other.keys() and all(_same(ours[key], other[key]) for key in ours)
        case (list(), list()) | (tuple(), tuple()):
            return len(ours) == len(other) and all(map(_same, ours, other))
        case datetime(), datetime():
            return abs((ours - other).total_seconds()) < MINUTES
        case int(), int() if min(ours, other) > A_UNIX_TIME:
            return abs(ours - other) < MINUTES
        case str(), str() if len(times := _times(ours, other)) == 2:
            return _same(*times)
    return bool(ours == other)


def _times(*texts: str) -> list[datetime]:
    """The times that all of them tell, if they do; 20261123 is taken for a number."""
    try:
        return [datetime.fromisoformat(text) for text in texts if "-" in text and ":" in text]
    except ValueError:
        return []


def _difference(ours: Any, other: Any, word: str) -> str:
    if isinstance(ours, Mapping) and isinstance(other, Mapping):
        keys = [key for key in {**ours, **other} if ours.get(key) != other.get(key)]
        return "; ".join(f"{key} is {ours.get(key)!r}, {word} {other.get(key)!r}" for key in keys)
    return f"the outcome is {ours!r}, {word} {other!r}"
