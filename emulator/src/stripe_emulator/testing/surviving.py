"""`assert_survives_chaos`: one flow of an app under many schedules, and the smallest schedule that breaks it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from stripe_emulator.testing.schedule import API_KINDS, Schedule, Twist
from stripe_emulator.testing.stripe import LIVE, App, Chaos, Stripe

A = TypeVar("A", bound=App)

UNDISTURBED = Schedule()
A_UNIX_TIME = 1_000_000_000
MINUTES = 600


class Diverged(AssertionError):
    """The app did not survive; the message says what differs, and how to see it again. `schedule` is the smallest."""

    def __init__(self, message: str, schedule: Schedule) -> None:
        super().__init__(message)
        self.schedule = schedule


def assert_survives_chaos(
    flow: Callable[[Stripe, A], object],
    *,
    app: Callable[[Stripe], AbstractContextManager[A]],
    outcome: Callable[[A], Any],
    at_stripe: Callable[[Stripe], Any] | None = None,
    runs: int = 40,
    seed: int = 0,
    replay: str | None = None,
) -> None:
    """
    Run `flow` undisturbed, then under `runs` schedules drawn by `seed`; raises `Diverged` at the first difference.

    `app` starts the app with empty data on a fresh Stripe, which it knows by `stripe.url`, and stops it. `flow` is what
    a person does. `outcome` is what the app shows of it, anything that compares: access, credits, dates. `at_stripe` is
    what it should show by what Stripe has; without it, schedules that change what happens (a charge that is declined,
    say) are left out, and the measure is the undisturbed run. `replay` is a printed schedule: that one alone is run.

    Whatever is given, two customers for one e-mail address, a second live subscription of a customer, more money taken
    than in the undisturbed run, and an event the app never accepts are differences.
    """
    trial = _Trial(flow, app, outcome, at_stripe)
    plain = trial.run(UNDISTURBED)
    if plain.problem is not None:
        raise Diverged(_report(plain, plain.problem, seed=None), UNDISTURBED)
    trial.plain = plain
    if replay is not None:
        schedules = [Schedule.parse(replay)]
    else:
        schedules = _schedules(plain, random.Random(seed), runs, may_change=at_stripe is not None)
    for schedule in schedules:
        run = trial.run(schedule)
        if run.problem is not None:
            smallest = trial.shrink(run)
            assert smallest.problem is not None
            raise Diverged(_report(smallest, smallest.problem, seed=seed), smallest.schedule)


@dataclass(frozen=True, slots=True)
class _Problem:
    """`kind`: mirror, outcome, customers, subscriptions, money, refused or flow."""

    kind: str
    words: str


@dataclass(slots=True)
class _Run:
    schedule: Schedule
    problem: _Problem | None = None
    outcome: Any = None
    paid: Counter[str] = field(default_factory=Counter)
    calls: list[str] = field(default_factory=list)
    places: list[Twist] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    several_items: bool = False


@dataclass(slots=True)
class _Trial(Generic[A]):
    flow: Callable[[Stripe, A], object]
    app: Callable[[Stripe], AbstractContextManager[A]]
    outcome: Callable[[A], Any]
    at_stripe: Callable[[Stripe], Any] | None
    plain: _Run | None = None

    def run(self, schedule: Schedule) -> _Run:
        """One run against a fresh Stripe."""
        run = _Run(schedule)
        with Stripe() as stripe, self.app(stripe) as app:
            chaos = stripe.chaos(schedule=schedule, app=app)
            chaos.at_rest = lambda: self._look(run, stripe, app, "at that moment ")
            try:
                self.flow(stripe, app)
            except Exception as error:  # noqa: BLE001  the flow is anybody's; what stops it is the finding
                run.problem = run.problem or _Problem("flow", f"the flow stopped: {type(error).__name__}: {error}")
            run.calls = chaos.calls_seen() if schedule == UNDISTURBED else []
            chaos.finish()
            run.trail, run.places = chaos.trail, chaos.places
            run.problem = run.problem or self._invariants(run, stripe, chaos)
            self._look(run, stripe, app, "")
        return run

    def shrink(self, run: _Run) -> _Run:
        """Take twists away as long as something still differs."""
        smallest = run
        for twist in run.schedule.twists:
            if len(smallest.schedule.twists) > 1:
                tried = self.run(smallest.schedule.without(twist))
                if tried.problem is not None:
                    smallest = tried
        return smallest

    def _look(self, run: _Run, stripe: Stripe, app: A, when: str) -> None:
        if run.problem is not None:
            return
        run.outcome = self.outcome(app)
        if self.at_stripe is not None:
            wanted = self.at_stripe(stripe)
            if run.outcome != wanted:
                run.problem = _Problem(
                    "mirror", when + _difference(run.outcome, wanted, "by Stripe's state it should be")
                )
        if run.problem or when or self.plain is None or run.schedule.changes_what_happens:
            return
        if not _same(run.outcome, self.plain.outcome):
            run.problem = _Problem("outcome", _difference(run.outcome, self.plain.outcome, "undisturbed it was"))

    def _invariants(self, run: _Run, stripe: Stripe, chaos: Chaos) -> _Problem | None:
        if chaos.refused:
            labels = ", ".join(chaos.refused)
            return _Problem("refused", f"the app never accepted {labels}, however often it was delivered")
        api = stripe.api
        customers = list(api.customers.list({"limit": 100}).auto_paging_iter())
        for email, number in Counter(one.email for one in customers if one.email).items():
            if number > 1:
                return _Problem("customers", f"there are {number} customers for {email}")
        subscriptions = list(api.subscriptions.list({"status": "all", "limit": 100}).auto_paging_iter())
        run.several_items = any(len(one["items"].data) > 1 for one in subscriptions)
        for customer, number in Counter(one.customer for one in subscriptions if one.status in LIVE).items():
            if number > 1:
                return _Problem("subscriptions", f"{customer} has {number} live subscriptions")
        emails = {one.id: one.email for one in customers}
        for charge in api.charges.list({"limit": 100}).auto_paging_iter():
            if charge.paid:
                run.paid[f"{emails.get(charge.customer)} {charge.currency}"] += charge.amount - charge.amount_refunded
        if self.plain is not None:
            for who, amount in run.paid.items():
                if amount > self.plain.paid[who]:
                    before = self.plain.paid[who]
                    return _Problem("money", f"{who}: {amount} was taken, undisturbed {before} (minor units)")
        return None


def _schedules(plain: _Run, chance: random.Random, runs: int, *, may_change: bool) -> list[Schedule]:
    """Each twist alone, in any order, as often as there are runs; then several together."""
    twists = [*plain.places, *(Twist(kind, call) for call in plain.calls for kind in API_KINDS)]
    if may_change:
        twists.append(Twist("declined", "charge#1"))
    alone: dict[str, list[Twist]] = {}
    for twist in dict.fromkeys(twists):
        alone.setdefault(twist.kind, []).append(twist)
    for some in alone.values():
        chance.shuffle(some)
    chosen: list[Schedule] = []
    while len(chosen) < runs and any(alone.values()):  # every kind gets its turn before any gets a second
        chosen += [Schedule((some.pop(),)) for some in alone.values() if some]
    mixed = max(1, runs // 4)
    singles = chosen[: runs - mixed]
    many = [Schedule(tuple(chance.sample(twists, k=min(len(twists), 4)))) for _ in range(runs - len(singles))]
    return singles + many


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
    return bool(ours == other)


def _difference(ours: Any, other: Any, word: str) -> str:
    if isinstance(ours, Mapping) and isinstance(other, Mapping):
        keys = [key for key in {**ours, **other} if ours.get(key) != other.get(key)]
        return "; ".join(f"{key} is {ours.get(key)!r}, {word} {other.get(key)!r}" for key in keys)
    return f"the outcome is {ours!r}, {word} {other!r}"


def _report(run: _Run, problem: _Problem, *, seed: int | None) -> str:
    lines = [f"the app does not survive: {problem.words}"]
    if run.schedule == UNDISTURBED:
        lines.append("This is so even when nothing is disturbed.")
    else:
        lines.append("The smallest schedule that shows it:")
        lines += [f"  {twist.words}" for twist in run.schedule.twists]
    advice = _advice(run, problem)
    if advice:
        lines.append(f"Most likely: {advice}")
    if run.schedule != UNDISTURBED:
        lines.append(f'See it again with replay="{run.schedule}" (found with seed={seed}).')
    if run.trail:
        lines.append("What was done, in order:")
        lines += [f"  {step}" for step in run.trail]
    return "\n".join(lines)


def _advice(run: _Run, problem: _Problem) -> str | None:
    kinds = {twist.kind for twist in run.schedule.twists}
    match problem.kind:
        case "customers":
            return (
                "double customer: the app makes another customer when it is asked again. Make it with an idempotency "
                "key of the user's, and keep its id before anything else."
            )
        case "subscriptions":
            return (
                "double subscription: a second Checkout can be opened and paid while the first is open or paid. "
                "Use one session per user and plan until it is paid or has expired, and none when one is subscribed."
            )
        case "money":
            return "no idempotency key: a call that takes money was made again after its answer was lost."
    for kind, words in _BY_KIND.items():
        if kind in kinds:
            return words
    if kinds & set(API_KINDS):
        return (
            "swallowed error: the app acknowledged an event, or went on, although its call to Stripe had failed. "
            "Answer 5xx to what was not done; Stripe delivers it again."
        )
    if not kinds and "period" in problem.words:
        return (
            "the period is read from its old place: since 2025-03-31 it is on the subscription's items "
            "(docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end)."
        )
    if not kinds and run.several_items:
        return "items[0]: a subscription has several items, and the plan is not always the first."
    return None


_BY_KIND = {
    "duplicate": "no dedupe: an event delivered twice is worked on twice. Keep the ids of events that are done.",
    "restart": "acknowledged before stored: what was only in memory died with the process. Store, then answer 2xx.",
    "late": "trusts payload order: an older event overwrote a newer one. Fetch the object from Stripe instead.",
    "lost": "trusts payload order: an older event overwrote a newer one. Fetch the object from Stripe instead.",
    "returns-early": (
        "granted on redirect: opening the return address is not paying. Ask Stripe for the session's payment_status."
    ),
    "closes-tab": "relies on the redirect: a person may pay and never come back. Work on the webhook.",
    "declined": "upgraded before payment: the change was recorded although its charge was declined.",
}
