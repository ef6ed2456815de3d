"""
Every verb, interrupted at every call to Stripe and at every commit: the same call again finishes it, once.

What it ends in is compared with a run that nothing disturbed: what is at Stripe, what is here, what was handed out.
INTERRUPTIONS=all interrupts every verb in every way on both databases; `make test` takes a part of that.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, BillingError, Settings
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, WEBHOOK_SECRET
from tests.support.databases import DatabaseMaker, removed_afterwards
from tests.support.dying import Killed
from tests.support.interrupting import FAULTS, FAULTS_OF_A_READ, Call, watched
from tests.support.surviving import Clock
from tests.support.verbs import OTHER, OWNER, VERBS, Facts, Scene, Verb, World, be_killed, outcome

ALL = os.environ.get("INTERRUPTIONS") == "all"
DEAD_FOR = timedelta(minutes=5)
"""After this long leases of the dead have run out."""

pytestmark = [pytest.mark.hazard(109), pytest.mark.hazard(110)]


@dataclass
class Theatre:
    """Scenes, each set once, and played from as often as wanted."""

    stripe: Emulator
    databases: DatabaseMaker
    undisturbed: dict[Verb, tuple[dict[str, Any], list[Call], int]] = field(default_factory=dict)
    _set: dict[str, tuple[str, str, Facts]] = field(default_factory=dict)

    @contextmanager
    def play(self, scene: Scene) -> Iterator[Run]:
        """A run that begins as the scene ends."""
        name = scene.__name__
        if name not in self._set:
            self._set[name] = self._prepare(scene)
        snapshot, template, facts = self._set[name]
        self.stripe.restore(snapshot)
        with removed_afterwards(self.databases, self.databases.copied(template)) as url:
            run = Run(self.stripe, url, facts)
            try:
                yield run
            finally:
                run.close()

    def _prepare(self, scene: Scene) -> tuple[str, str, Facts]:
        self.stripe.reset()
        url = self.databases.migrated()
        run = Run(self.stripe, url, {})
        facts = scene(World(run.billing, self.stripe))
        run.billing.run_until_idle()
        run.close()
        return self.stripe.snapshot(), url, facts

    def close(self) -> None:
        """Remove what the scenes are kept in."""
        for _, url, _ in self._set.values():
            self.databases.remove(url)


class Run:
    """One life of the app, which may die and come back."""

    def __init__(self, stripe: Emulator, url: str, facts: Facts) -> None:
        self.facts = facts
        self.told: dict[str, str] = {}
        self.settings: dict[str, Any] = {
            "secret_key": SECRET_KEY,
            "webhook_secrets": WEBHOOK_SECRET,
            "api_base": stripe.url,
            "database_url": url,
            "app_url": "http://127.0.0.1:1",
            "plans_file": str(PLANS),
        }
        self._stripe = stripe
        self._clock = Clock()
        self.billing = self._start()

    def come_back(self) -> None:
        """Another process takes over, once the leases of this one have run out."""
        self.billing.close()
        self.wait()
        self.billing = self._start()

    def wait(self) -> None:
        """Let minutes pass."""
        self._clock.skip(DEAD_FOR)

    def outcome(self) -> dict[str, Any]:
        """How everything stands once nothing is left to do."""
        self.wait()
        for owner in (OWNER, OTHER):
            customer = self.billing.customer(owner)
            if customer is not None:
                self.billing.sync(customer.id)
        self.billing.run_until_idle()
        return outcome(World(self.billing, self._stripe), self.told)

    def close(self) -> None:
        """Give everything back."""
        self.billing.close()

    def _start(self) -> Billing:
        billing = Billing(Settings.from_env(**self.settings), clock=self._clock)
        billing.on_change()(lambda change: self.told.update({change.id: change.kind}))
        return billing


@pytest.fixture(scope="module")
def module_stripe() -> Iterator[Emulator]:
    with Emulator(port=0) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def sqlite_theatre(module_stripe: Emulator, sqlite_databases: DatabaseMaker) -> Iterator[Theatre]:
    theatre = Theatre(module_stripe, sqlite_databases)
    yield theatre
    theatre.close()


@pytest.fixture(scope="module")
def postgres_theatre(module_stripe: Emulator, postgres_databases: DatabaseMaker) -> Iterator[Theatre]:
    theatre = Theatre(module_stripe, postgres_databases)
    yield theatre
    theatre.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK tries again at once."""
    monkeypatch.setattr(sdk.HTTPClient, "INITIAL_DELAY", 0.0)
    monkeypatch.setattr(sdk.HTTPClient, "MAX_DELAY", 0.0)


def undisturbed(theatre: Theatre, verb: Verb) -> tuple[dict[str, Any], list[Call], int]:
    """What the verb ends in, the calls it makes, how many commits."""
    if verb not in theatre.undisturbed:
        with theatre.play(verb.scene) as run:
            with watched() as watch:
                verb.do(run.billing, run.facts)
            theatre.undisturbed[verb] = verb.compared(run.outcome()), watch.calls, watch.commits
    return theatre.undisturbed[verb]


def interrupted(theatre: Theatre, verb: Verb, **how: Any) -> dict[str, Any] | None:
    """What the verb ends in when it is called again after it was interrupted; None if it never came to that."""
    with theatre.play(verb.scene) as run:
        died = False
        with watched(**how) as watch:
            try:
                verb.do(run.billing, run.facts)
            except Killed:
                died = True
            except BillingError:
                pass
        if not watch.interrupted:
            return None
        if died:
            run.come_back()
        elif verb.nobody_waits:
            run.wait()
        verb.do(run.billing, run.facts)
        return verb.compared(run.outcome())


def check(theatre: Theatre, verb: Verb, *, most: int) -> None:
    """Interrupt it at its calls, in at most so many ways if not in all of them; the hardest come first."""
    expected, calls, _ = undisturbed(theatre, verb)
    assert calls, "it calls nobody"
    ways = [(call, fault) for fault in FAULTS for call in calls if not call.is_read or fault in FAULTS_OF_A_READ]
    for call, fault in spread(ways, most):
        found = interrupted(theatre, verb, at=call, fault=fault)
        assert found in (expected, None), f"{call}: {fault}"


def spread(ways: list[Any], most: int) -> list[Any]:
    """Some of them: half from the beginning, the rest from everywhere."""
    first, rest = ways[: (most + 1) // 2], ways[(most + 1) // 2 :]
    few = most - len(first)
    return ways if ALL else first + (rest[:: max(1, len(rest) // few)][:few] if few else [])


@pytest.mark.parametrize("where", ["at a call", "at a commit", "for good"])
@pytest.mark.parametrize("name", VERBS)
def test_interrupted_it_is_finished_by_the_next_try(sqlite_theatre: Theatre, name: str, where: str) -> None:
    match where:
        case "at a call":
            check(sqlite_theatre, VERBS[name], most=4)
        case "at a commit":
            check_commits(sqlite_theatre, VERBS[name])
        case _:
            check_kill(sqlite_theatre, name)


def check_commits(theatre: Theatre, verb: Verb) -> None:
    expected, _, commits = undisturbed(theatre, verb)
    ways = [(how, number) for how in ("lost_commit", "failing_commit") for number in range(1, commits + 1)]
    for how, number in spread(ways, 4):
        found = interrupted(theatre, verb, **{how: number})
        assert found in (expected, None), f"{how} {number}"


def check_kill(theatre: Theatre, name: str) -> None:
    """A process of its own calls the verb and is killed, once its last write at Stripe is done."""
    verb = VERBS[name]
    expected, calls, _ = undisturbed(theatre, verb)
    call = next((each for each in reversed(calls) if not each.is_read), calls[-1])
    with theatre.play(verb.scene) as run:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.crashing"])
        process = context.Process(target=be_killed, args=(run.settings, name, run.facts, call), daemon=True)
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        run.come_back()
        verb.do(run.billing, run.facts)
        assert verb.compared(run.outcome()) == expected


@pytest.mark.parametrize("name", VERBS)
def test_on_postgresql_it_is_finished_as_well(postgres_theatre: Theatre, name: str) -> None:
    check(postgres_theatre, VERBS[name], most=1)
