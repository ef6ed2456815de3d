"""
Whatever deliveries do, the database ends equal to Stripe.

Random lives of several customers; their events delivered in any order, repeated, late, and some of them never, to two
processes that work side by side, while Stripe fails, loses its answers, and workers are killed at any statement.
CONVERGENCE_EXAMPLES makes it run longer; a failure names its seed, and CONVERGENCE_SEED runs that again.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import stripe as sdk
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from paidup import Billing, BillingError, Change, inbox
from paidup.core import parse
from paidup.core.access import decide
from paidup.database.engine import Database
from paidup.database.tables import CreditBalance, StoredChange, StoredCreditEntry, StoredEvent
from paidup.models import Customer, Invoice, Subscription
from stripe_emulator import Emulator
from tests.support.databases import DatabaseMaker
from tests.support.deliveries import deliver
from tests.support.dying import doomed, is_doomed, mortality
from tests.support.living import OWNERS, Lives
from tests.support.waiting import eventually

TOKENS = {"pro_month": 1000, "pro_year": 12000, "team_month": 600}
"""What a period of each price brings, as in the plans file of the tests."""
READS = ("/v1/customers/*", "/v1/subscriptions", "/v1/invoices", "/v1/checkout/sessions/*", "/v1/charges/*")
WRITES = ("/v1/customers", "/v1/checkout/sessions", "/v1/checkout/sessions/*/expire")
EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "5"))
SEED = os.environ.get("CONVERGENCE_SEED")
LOST = (0.0, 0.0, 0.1, 0.4, 1.0)
"""Which part of the events never comes: none, a few, or all."""
LONGEST_BACKOFF = timedelta(hours=6)


class Clock:
    """The app's time: a step further at each look, so that debounces are over without waiting; it may skip."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        with self._lock:
            self._now += timedelta(milliseconds=150)
            return self._now

    def skip(self, time: timedelta) -> None:
        """Put it forward."""
        with self._lock:
            self._now += time


class World:
    """Stripe, two processes of the app, and a network between them that does what it likes."""

    def __init__(self, stripe: Emulator, processes: list[Billing], clock: Clock, chance: random.Random) -> None:
        self.stripe = stripe
        self.processes = processes
        self.clock = clock
        self.chance = chance
        self.lives = Lives(stripe, processes, chance, self.pass_time)
        self.workers = [billing.worker(threads=2, deliver_changes=False) for billing in processes]
        self.losses = chance.choice(LOST)
        self.judged: set[str] = set()
        self.lost: set[str] = set()
        self.delivered: set[str] = set()
        self.handed_out: Counter[str] = Counter()
        self.handed_out_by_the_dying: Counter[str] = Counter()
        self.database = Database(processes[0].settings.database_url.get_secret_value())
        with self.database.write() as session:
            session.execute(text("CREATE TABLE told (id TEXT)"))
        for billing in processes:
            billing.on_change(in_transaction=True)(_tell)
            billing.on_change()(self._hand_out)

    def begin(self) -> None:
        """Some become customers; maybe the answer that they are is lost, as often as it is asked for."""
        if self.chance.random() < 0.5:
            self.stripe.cut_next("/v1/customers", method="POST", after_work=True, times=3)
        self.lives.begin()

    def pass_time(self, days: float) -> None:
        """Time goes by at Stripe and here."""
        self.stripe.advance(days=days)
        self.clock.skip(timedelta(days=days))

    def disturb(self) -> None:
        """Deliver some of what has happened, in any order, some of it twice; let Stripe stumble; let somebody die."""
        if self.chance.random() < 0.4:
            self._stumble()
        events = [event for event in self.stripe.events() if not self._is_lost(event)]
        some = self.chance.sample(events, k=min(len(events), self.chance.randint(0, 25)))
        for event in some + self.chance.sample(some, k=len(some) // 3):
            self._deliver(event)
        if self.chance.random() < 0.4:
            self._die()

    def overtake(self) -> None:
        """Things happen to somebody while a worker has just fetched what was before; maybe it loses its lease, too."""
        self.stripe.clear_faults()
        self._deliver_late()
        owner = self.chance.choice(OWNERS)
        for path in ("/v1/customers/*", "/v1/subscriptions", "/v1/invoices"):
            self.stripe.slow_next(path, 0.2, method="GET")
        self.lives.go_on(owner)
        self._deliver_late()
        with suppress(AssertionError):
            eventually(lambda: any(each.lease_token for each in self.processes[0].queue()), 0.3, every=0.005)
        self.lives.go_on(owner)
        self._deliver_late()
        if self.chance.random() < 0.3:
            self.clock.skip(2 * inbox.LEASE)

    def settle(self) -> None:
        """What is late comes at last; everybody works until nothing is left."""
        self.stripe.clear_faults()
        self._deliver_late()
        for worker in self.workers:
            assert worker.stop()
        self._work()

    def of_whom_events_were_lost(self) -> set[str]:
        """Customers. A dispute names none: then it may be anybody."""
        found: set[str] = set()
        for event in self.stripe.events():
            if event["id"] in self.lost:
                named = set(re.findall(r"cus_\w+", json.dumps(event)))
                everybody = {each["id"] for owner in OWNERS for each in self.lives.customers(owner)}
                found |= named or everybody
        return found

    def close(self) -> None:
        """Give back its connections."""
        self.database.close()

    def heal(self) -> None:
        """Fill in what was lost, if Stripe still has it all; else compare everything. Who is at it may die before."""
        billing = self.chance.choice(self.processes)
        fills = self.chance.random() < 0.6
        heal = billing.fill_missed_events if fills else partial(billing.reconcile, fix=True)
        if self.chance.random() < 0.5:
            doomed(heal, statements=self.chance.randint(0, 30))
            self.clock.skip(timedelta(minutes=5))
        if not fills or billing.fill_missed_events().window_exceeded:
            self._work()
            billing.reconcile(fix=True)
        self._work()

    def _work(self) -> None:
        self.clock.skip(LONGEST_BACKOFF)
        with ThreadPoolExecutor(len(self.processes)) as pool:
            list(pool.map(lambda billing: billing.run_until_idle(60), self.processes))
        self.clock.skip(LONGEST_BACKOFF)  # what a dead one had in its hands
        self.processes[0].run_until_idle(60)

    def _stumble(self) -> None:
        path, times = self.chance.choice(READS), self.chance.randint(1, 4)
        stumbles: list[Callable[[], None]] = [
            lambda: self.stripe.fail_next(path, status=429, times=times),
            lambda: self.stripe.fail_next(path, status=500, times=times),
            lambda: self.stripe.fail_next(path, timeout=0.02, times=times),
            lambda: self.stripe.cut_next(self.chance.choice(WRITES), method="POST", after_work=True, times=times),
            lambda: self.stripe.fail_next(
                self.chance.choice(WRITES), status=500, method="POST", after_work=True, times=times
            ),
        ]
        self.chance.choice(stumbles)()

    def _die(self) -> None:
        """Somebody does something, and is killed at some statement of it."""
        billing, owner = self.chance.choice(self.processes), self.chance.choice(OWNERS)

        def attempt(work: Callable[[], object]) -> None:
            with suppress(BillingError, sdk.StripeError, TimeoutError):
                work()

        works: list[Callable[[], object]] = [
            lambda: billing.run_until_idle(0),
            lambda: billing.run_until_idle(0),
            lambda: self.lives.buy(owner, billing),
            billing.fill_missed_events,
        ]
        doomed(partial(attempt, self.chance.choice(works)), statements=self.chance.randint(0, 25))

    def _is_lost(self, event: dict[str, Any]) -> bool:
        if event["id"] not in self.judged:
            self.judged.add(event["id"])
            if self.chance.random() < self.losses:
                self.lost.add(event["id"])
        return event["id"] in self.lost

    def _deliver_late(self) -> None:
        late = [e for e in self.stripe.events() if e["id"] not in self.delivered and not self._is_lost(e)]
        self.chance.shuffle(late)
        for event in late:
            self._deliver(event)

    def _deliver(self, event: dict[str, Any]) -> None:
        deliver(self.chance.choice(self.processes), event, at=self.clock())
        self.delivered.add(event["id"])

    def _hand_out(self, change: Change) -> None:
        (self.handed_out_by_the_dying if is_doomed() else self.handed_out).update([change.id])


def _tell(change: Change, session: Session) -> None:
    session.execute(text("INSERT INTO told VALUES (:id)"), {"id": change.id})


@pytest.fixture
def make_world(
    databases: DatabaseMaker, make_billing: Callable[..., Billing], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], World]]:
    monkeypatch.setattr(sdk.HTTPClient, "INITIAL_DELAY", 0.01)
    monkeypatch.setattr(sdk.HTTPClient, "MAX_DELAY", 0.05)
    opened: list[tuple[World, str]] = []

    def make(seed: int) -> World:
        while opened:
            _remove(*opened.pop())
        stripe, clock = Emulator(port=0), Clock()
        stripe.start()
        url = databases.migrated()
        processes = [make_billing(api_base=stripe.url, database_url=url, clock=clock) for _ in range(2)]
        processes[0].push_catalog()
        processes[0].fill_missed_events()
        opened.append((World(stripe, processes, clock, random.Random(seed)), url))
        return opened[-1][0]

    def _remove(world: World, url: str) -> None:
        for worker in world.workers:
            worker.stop()
        for billing in world.processes:
            billing.close()
        world.close()
        world.stripe.stop()
        databases.remove(url)

    with mortality():
        yield make
        while opened:
            _remove(*opened.pop())


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1) if SEED is None else st.just(int(SEED)))
@pytest.mark.timeout(60 + 40 * EXAMPLES)
def test_any_life_and_any_delivery_end_in_stripes_own_state(make_world: Callable[[int], World], seed: int) -> None:
    """H1, H2, H3, H5, H13, H14, H17, H21, H68."""
    world = make_world(seed)
    for worker in world.workers:
        worker.start()
    world.begin()
    for _ in range(world.chance.randint(3, 10)):
        world.lives.go_on()
        world.disturb()
    world.overtake()
    world.settle()
    check_rows(world, but=world.of_whom_events_were_lost())
    if world.lost:
        world.heal()
        check_rows(world)
    check_events(world)
    check_access(world)
    check_changes(world)
    check_credits(world)
    assert world.processes[0].reconcile().is_clean


def check_rows(world: World, *, but: Collection[str] = ()) -> None:
    """Every mirrored row is Stripe's object, and nothing is missing; some customers may be left out."""
    with world.database.read() as session:
        customers = {row.id: row for row in session.scalars(select(Customer))}
        subscriptions = {row.id: row.snapshot for row in session.scalars(select(Subscription))}
        invoices = {row.id: row.snapshot for row in session.scalars(select(Invoice))}
        back = {row.id: (row.amount_refunded, row.dispute) for row in session.scalars(select(Invoice))}
        back = {id: found for id, found in back.items() if found != (0, None)}
    for owner in OWNERS:
        theirs = [each for each in world.lives.customers(owner) if each["id"] not in but]
        assert len(theirs) <= 1, f"{owner} has several customers"
        ours = {id for id, row in customers.items() if row.owner == owner and not row.deleted}
        assert {each["id"] for each in theirs} == ours - set(but)
        for customer in theirs:
            row = customers[customer["id"]]
            assert (row.email, row.name) == (customer["email"], customer["name"])
            at_stripe = {each["id"]: each for each in world.lives.subscriptions(customer["id"])}
            assert {id: body for id, body in subscriptions.items() if body["customer"] == customer["id"]} == at_stripe
            bills = {each["id"]: each for each in world.lives.invoices(customer["id"])}
            assert {id: body for id, body in invoices.items() if body["customer"] == customer["id"]} == bills
            assert {id: row for id, row in back.items() if id in bills} == world.lives.money_back(customer["id"])
    for id, row in customers.items():
        if row.deleted and id not in but:
            assert world.lives.client.v1.customers.retrieve(id).deleted


def check_events(world: World) -> None:
    """Nothing waits for ever, and nothing was given up."""
    with world.database.read() as session:
        states = Counter(session.scalars(select(StoredEvent.state)))
    assert states.keys() <= {"done", "ignored"}
    assert world.processes[0].queue() == []


def check_access(world: World) -> None:
    """Access is what a fresh look at Stripe gives."""
    for owner in OWNERS:
        theirs = [
            parse.subscription(body, disputed=body["id"] in disputed)
            for customer in world.lives.customers(owner)
            for disputed in [world.lives.disputed(customer["id"])]
            for body in world.lives.subscriptions(customer["id"])
        ]
        for billing in world.processes:
            fresh = decide(owner, theirs, catalog=billing.catalog, policy=billing.policy, now=world.clock())
            access = billing.access(owner)
            assert (access.plan, access.status, access.features) == (fresh.plan, fresh.status, fresh.features)


def check_credits(world: World) -> None:
    """H4, H101: each paid period brought its credits once, and the part that went back of its money is taken."""
    keys = {each.id: each.lookup_key for each in world.lives.client.v1.prices.list({"limit": 100}).auto_paging_iter()}
    with world.database.read() as session:
        entries = session.scalars(select(StoredCreditEntry)).all()
        balances = {(row.owner, row.credit): row.units for row in session.scalars(select(CreditBalance))}
    assert balances == _sums((each.owner, each.credit, each.units) for each in entries)
    brought = {each.line_id: each.units for each in entries if each.kind == "paid"}
    for owner in OWNERS:
        for customer in world.lives.customers(owner):
            paid = {each["id"]: each for each in world.lives.invoices(customer["id"]) if each["status"] == "paid"}
            for invoice in paid.values():
                for line in parse.billed_lines(invoice["lines"]["data"]):
                    if line.amount > 0 and not line.is_proration:
                        units = TOKENS.get(keys.get(line.price or "") or "", 0) * (line.quantity or 0)
                        assert brought.get(line.id, 0) == units, f"{line.id} of {invoice['id']}"
            back = world.lives.money_that_is_gone(customer["id"])
            granted = _sums((each.invoice_id, each.credit, each.units) for each in entries if each.kind == "paid")
            taken = _sums((each.invoice_id, each.credit, -each.units) for each in entries if each.kind == "reversed")
            for (id, credit), units in granted.items():
                if id in paid and units > 0:
                    gone = min(back.get(id, 0), paid[id]["total"])
                    assert taken.get((id, credit), 0) == units * gone // paid[id]["total"], id


def _sums(found: Iterable[tuple[Any, str, int]]) -> dict[tuple[Any, str], int]:
    sums: Counter[tuple[Any, str]] = Counter()
    for whose, credit, units in found:
        sums[whose, credit] += units
    return dict(sums)


def check_changes(world: World) -> None:
    """Every change was told once in its transaction, and handed out once after it, but for those who died over it."""
    with world.database.read() as session:
        changes = {row.id: row.state for row in session.scalars(select(StoredChange))}
        told = Counter(session.scalars(text("SELECT id FROM told")))
        paid = session.scalars(select(Invoice.id).where(Invoice.status == "paid")).all()
        failed = session.execute(
            select(Invoice.id, Invoice.attempt_count).where(Invoice.status == "open", Invoice.attempt_count > 0)
        ).all()
        used = session.scalars(select(Subscription.id).where(Subscription.status.in_(("active", "trialing")))).all()
    assert changes.keys() >= {f"invoice.paid:{id}" for id in paid}
    assert changes.keys() >= {f"payment.failed:{id}:{attempts}" for id, attempts in failed}
    assert changes.keys() >= {f"subscription.started:{id}" for id in used}
    assert told == Counter(changes.keys())
    assert set(changes.values()) <= {"done"}
    assert set(world.handed_out.values()) <= {1}
    assert world.handed_out.keys() | world.handed_out_by_the_dying.keys() == changes.keys()
