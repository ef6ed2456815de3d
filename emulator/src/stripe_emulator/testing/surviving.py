"""`assert_survives_chaos`: one flow of an app under many schedules, and the smallest schedule that breaks it."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from stripe_emulator.testing import search
from stripe_emulator.testing.chaos import App
from stripe_emulator.testing.report import report
from stripe_emulator.testing.schedule import Schedule, Twist
from stripe_emulator.testing.stripe import Stripe
from stripe_emulator.testing.trial import UNDISTURBED, Run, Trial

A = TypeVar("A", bound=App)

SHRINKING_SECONDS = 10.0
PROGRESS_SECONDS = 5.0

log = logging.getLogger(__name__)


class Diverged(AssertionError):
    """The app did not survive; the message says what differs, and how to see it again. `schedule` is the smallest."""

    def __init__(self, message: str, schedule: Schedule) -> None:
        super().__init__(message)
        self.schedule = schedule


@dataclass(frozen=True, slots=True)
class Survived:
    """What the app survived: `runs` schedules, in `seconds`; `untried` are the twists there was no time for."""

    runs: int
    seconds: float
    untried: tuple[Twist, ...]

    def __str__(self) -> str:
        left = f"; no time for {len(self.untried)} twists, give it more seconds" if self.untried else ""
        return f"survived {self.runs} runs in {self.seconds:.1f} s{left}"


def assert_survives_chaos(
    flow: Callable[[Stripe, A], object],
    *,
    app: Callable[[Stripe], AbstractContextManager[A]],
    outcome: Callable[[A], Any],
    at_stripe: Callable[[Stripe], Any] | None = None,
    seed: int = 0,
    seconds: float = 30.0,
    fewest: int = 0,
    mixed: int = 20,
    replay: str | None = None,
) -> Survived:
    """
    Run `flow` undisturbed, then disturbed in every way there is an occasion for; raises `Diverged` at a difference.

    `app` starts the app with empty data on an empty Stripe, which it knows by `stripe.url`, and stops it. `flow` is
    what a person does. `outcome` is what the app shows of it, anything that compares: access, credits, dates.
    `at_stripe` is what it should show by what Stripe has, whenever the app has taken all there is; without it,
    schedules that may change what happens (a charge is declined, an event is lost for long) are left out, and the
    measure is the undisturbed run.

    First each twist of every event, call and click of the undisturbed run alone, then `mixed` times several together,
    drawn by `seed`, until `seconds` are over and at least `fewest` schedules were run; how far it got is answered, and
    logged on the way. `replay` is a printed schedule: that one alone is run.

    Whatever is given, two customers for one e-mail address, a second live subscription of a customer, more money taken
    than in the undisturbed run, and an event the app never accepts are differences.
    """
    started = time.monotonic()
    with Stripe() as stripe:
        trial = Trial(stripe, flow, app, outcome, at_stripe)
        plain = trial.run(UNDISTURBED)
        _demand(plain)
        trial.plain = plain
        if replay is not None:
            _demand(trial.shrunk(trial.run(Schedule.parse(replay)), SHRINKING_SECONDS))
            return Survived(2, time.monotonic() - started, ())
        chance = random.Random(seed)
        twists = [twist for twist in plain.places if at_stripe is not None or not twist.changes_what_happens]
        singles = search.alone(twists, chance)
        some = itertools.islice(search.together(twists, chance), mixed)
        runs, told = 1, started
        for schedule in itertools.chain(singles, some):
            now = time.monotonic()
            if now - started > seconds and runs > fewest:
                break
            if now - told > PROGRESS_SECONDS:
                log.info("%d of %d schedules survived, %.0f s", runs - 1, len(singles) + mixed, now - started)
                told = now
            run = trial.run(schedule)
            runs += 1
            if run.problem is not None:
                _demand(trial.shrunk(run, SHRINKING_SECONDS), seed)
    untried = tuple(schedule.twists[0] for schedule in singles[runs - 1 :])
    survived = Survived(runs, time.monotonic() - started, untried)
    log.info("%s", survived)
    return survived


def _demand(run: Run, seed: int | None = None) -> None:
    if run.problem is not None:
        raise Diverged(report(run, run.problem, seed=seed), run.schedule)
