"""Transactions that lose against others: a deadlock, a serialization failure, a lock that does not come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.orm import Session

from paidup import Billing, Change, DatabaseUnavailable
from paidup.database import engine
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@pytest.fixture
def impatient(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that waits 50 ms for a lock, of either kind."""
    monkeypatch.setattr(engine, "_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.05)
    database = Database(database_url)
    yield database
    database.close()


@contextmanager
def everything_is_locked(url: str) -> Iterator[None]:
    """Somebody else holds the lock that a writer needs while the block runs."""
    other = Database(url)
    with other.write() as session:
        session.execute(text("LOCK TABLE billing_owners" if other.is_postgresql else "SELECT 1"))
        yield
    other.close()


def tries_of(database: Database) -> list[int]:
    """Grows with every transaction that is tried: each takes a connection from the pool."""
    tries: list[int] = []
    sqlalchemy_event.listen(database.engine, "checkout", lambda *_: tries.append(1))
    return tries


def write(session: Session) -> str:
    session.execute(text("UPDATE billing_owners SET intent = 'new'"))
    return "written"


def test_who_waits_too_long_for_a_lock_tries_again(impatient: Database, database_url: str) -> None:
    """H17: on both databases; SQLite is busy where PostgreSQL is locked."""
    tries = tries_of(impatient)
    with ThreadPoolExecutor(1) as pool:
        with everything_is_locked(database_url):
            written = pool.submit(impatient.run, write)
            eventually(lambda: len(tries) >= 2 and not written.done())
        assert written.result(10) == "written"


def test_who_goes_on_losing_is_told_in_the_end(impatient: Database, database_url: str) -> None:
    tries = tries_of(impatient)
    with everything_is_locked(database_url), pytest.raises(DatabaseUnavailable):
        impatient.run(write)
    assert len(tries) == 6


@on_postgresql
def test_one_that_froze_with_locks_in_hand_holds_nobody_up_for_good(
    database_url: str, impatient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H17: a machine that is paused in the middle of a transaction; PostgreSQL ends it, and others go on."""
    monkeypatch.setattr(engine, "_IDLE_SECONDS", 0.3)
    frozen = Database(database_url)

    def freeze() -> None:
        with frozen.write() as session:
            session.execute(text("LOCK TABLE billing_owners"))
            assert impatient.run(write) == "written"
            session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        freeze()
    frozen.close()


def test_a_database_that_is_away_is_not_asked_again_and_again() -> None:
    """A webhook is to be answered with 5xx at once then."""
    asked: list[int] = []
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2")
    sqlalchemy_event.listen(database.engine, "do_connect", lambda *_: asked.append(1))
    with pytest.raises(DatabaseUnavailable):
        database.run(lambda session: session.execute(text("SELECT 1")))
    assert asked == [1]


@on_postgresql
def test_a_deadlock_between_a_webhook_and_a_request_costs_neither_its_work(
    make_billing: Callable[..., Billing], database_url: str, stripe: Emulator
) -> None:
    """H114, H17: a real one. PostgreSQL undoes the synchronisation, which begins anew; effects are there once."""
    billing = make_billing()
    billing.push_catalog()
    app = Database(database_url)
    with app.write() as session:
        session.execute(text("CREATE TABLE provisioned (change text)"))
    calls: list[str] = []

    @billing.on_change("subscription.started", in_transaction=True)
    def provision(change: Change, session: Session) -> None:
        calls.append(change.id)
        session.execute(text("INSERT INTO provisioned VALUES (:id)"), {"id": change.id})

    pay(str(billing.checkout(OWNER, "pro").url))
    for event in stripe.events():
        deliver(billing, event)
    with ThreadPoolExecutor(1) as pool:
        with app.write() as request:
            # The request takes an event first and its target then; the synchronisation the other way round.
            request.execute(text("SELECT id FROM billing_events WHERE target LIKE 'customer:%' FOR UPDATE"))
            working = pool.submit(billing.run_until_idle, 60)
            eventually(lambda: waits_for_a_lock(app) and calls, 30)
            request.execute(text("SELECT target FROM billing_sync_targets FOR UPDATE"))
        working.result(60)
    assert calls == [calls[0]] * 2, "the first was undone with its transaction"
    with app.read() as session:
        assert session.scalars(text("SELECT change FROM provisioned")).all() == [calls[0]]
    app.close()
    assert billing.access(OWNER).plan == "pro"
    assert billing.queue() == []
    assert {each.state for each in billing.events()} == {"done", "ignored"}


def waits_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


@on_postgresql
def test_serialization_failures_are_tried_again(
    make_billing: Callable[..., Billing], database_url: str, stripe: Emulator
) -> None:
    """H17: a host may set its database to a stricter isolation; what loses begins anew, and nobody is answered 5xx."""
    setting = Database(database_url)
    with setting.write() as session:
        name = session.scalar(text("SELECT current_database()"))
        session.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    setting.close()
    first, second, third = (make_billing() for _ in range(3))
    first.push_catalog()
    pay(str(first.checkout(OWNER, "pro").url))
    events = stripe.events()
    together = threading.Barrier(3)

    def receive(billing: Billing) -> set[str]:
        together.wait(10)
        return {deliver(billing, event).state for event in events}

    workers = [billing.worker(threads=2) for billing in (first, second)]
    for worker in workers:
        worker.start()
    with ThreadPoolExecutor(3) as pool:
        states = set().union(*pool.map(receive, (first, second, third)))
    assert states <= {"pending", "duplicate", "ignored"}
    eventually(lambda: first.access(OWNER).plan == "pro" and not first.queue(), 20)
    for worker in workers:
        assert worker.stop()
    assert {each.deliveries for each in first.events()} == {3}
