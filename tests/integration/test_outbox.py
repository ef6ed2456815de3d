"""The outbox on real databases: each change to each handler, in order, whatever handlers do."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from paidup import Billing, Change, outbox
from paidup.database.engine import Database
from paidup.handlers import Handlers
from stripe_emulator import Emulator
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KIND = "invoice.paid"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database where the app has a table of its own."""
    database = Database(database_url)
    with database.write() as session:
        session.execute(text("CREATE TABLE provisioned (change VARCHAR(200), handler VARCHAR(20))"))
    yield database
    database.close()


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


def a_change(number: int, *, owner: str = "user:1", kind: str = KIND) -> Change:
    return Change(f"{kind}:{owner}:{number}", kind, owner, "cus_1", None, f"in_{number}", {}, NOW)


def put(database: Database, handlers: Handlers, *changes: Change, now: datetime = NOW) -> int:
    return database.run(lambda session: outbox.put(session, changes, handlers, now=now))


def deliver_all(database: Database, handlers: Handlers, *, now: datetime = NOW) -> None:
    while outbox.deliver_next(database, handlers, now=lambda: now):
        pass


def provisioned(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(text("SELECT change, handler FROM provisioned"))
        return [(each.change, each.handler) for each in rows]


def provision(change: Change, session: Session, *, who: str = "p") -> None:
    session.execute(text("INSERT INTO provisioned VALUES (:id, :who)"), {"id": change.id, "who": who})


class Failing:
    """A handler that does its work and fails all the same, as long as it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.calls: list[str] = []

    def __call__(self, change: Change, session: Session | None = None) -> None:
        self.calls.append(change.id)
        if session is not None:
            provision(change, session, who="failing")
        if self.fails:
            raise RuntimeError("not today")


def state_of(database: Database, change: Change) -> tuple[str, int]:
    with database.read() as session:
        row = session.execute(
            text("SELECT state, attempts FROM billing_changes WHERE id = :id"), {"id": change.id}
        ).one()
    return row.state, row.attempts


LATER = NOW + timedelta(hours=2)


def test_a_change_is_stored_once_however_often_it_is_found(database: Database, handlers: Handlers) -> None:
    """H4, H12: unique by what happened, not by the event that told of it."""
    handlers.add(provision, kind=None, in_transaction=True)
    assert put(database, handlers, a_change(1), a_change(1)) == 1
    assert put(database, handlers, a_change(1), a_change(2)) == 1
    deliver_all(database, handlers)
    assert provisioned(database) == [(a_change(1).id, "p"), (a_change(2).id, "p")]


def test_an_in_transaction_handler_that_raises_is_undone_alone_and_called_again_in_order(
    database: Database, handlers: Handlers
) -> None:
    failing, told = Failing(), list[str]()
    handlers.add(provision, kind=None, in_transaction=True)
    handlers.add(failing, kind=None, in_transaction=True)
    handlers.add(lambda change: told.append(change.id), kind=None, in_transaction=False)
    first, second, other = a_change(1), a_change(2), a_change(3, owner="user:2")
    assert put(database, handlers, first) == 1
    assert provisioned(database) == [(first.id, "p")], "what it wrote is gone, what the other wrote is not"
    put(database, handlers, second)
    assert failing.calls == [first.id], "the owner's next change waits for its turn"
    failing.fails = False
    put(database, handlers, other)
    deliver_all(database, handlers)
    assert told == [other.id], "another owner's does not"
    deliver_all(database, handlers, now=LATER)
    assert told == [other.id, first.id, second.id]
    assert sorted(provisioned(database)) == sorted(
        (each.id, who) for each in (first, second, other) for who in ("p", "failing")
    )


def test_an_in_transaction_handler_shares_the_fate_of_its_transaction(database: Database, handlers: Handlers) -> None:
    """Whatever it does with its session: it can neither commit for us nor undo what is ours."""

    def commits(change: Change, session: Session) -> None:
        provision(change, session)
        session.commit()

    def rolls_back(change: Change, session: Session) -> None:
        provision(change, session, who="undone")
        session.rollback()

    class PowerCut(Exception):
        pass

    def interrupted(session: Session) -> None:
        outbox.put(session, [a_change(1)], handlers, now=NOW)
        raise PowerCut

    handlers.add(commits, kind=None, in_transaction=True)
    handlers.add(rolls_back, kind=None, in_transaction=True)
    with pytest.raises(PowerCut):
        database.run(interrupted)
    assert provisioned(database) == []
    put(database, handlers, a_change(1))
    assert provisioned(database) == [(a_change(1).id, "p")]


def test_a_process_without_the_apps_handlers_leaves_changes_to_one_that_has_them(
    database: Database, handlers: Handlers
) -> None:
    """As `paidup sync` without --app does."""
    handlers.add(provision, kind=None, in_transaction=True)
    put(database, Handlers(), a_change(1))
    put(database, handlers, a_change(2))
    assert provisioned(database) == []
    deliver_all(database, handlers)
    assert provisioned(database) == [(a_change(1).id, "p"), (a_change(2).id, "p")]


def test_a_handler_that_has_had_a_change_is_not_called_again_for_anothers_failure(
    database: Database, handlers: Handlers
) -> None:
    """H12: a retry after partial success sends the mail once."""
    mails: list[str] = []
    failing = Failing()
    handlers.add(lambda change: mails.append(change.id), kind=KIND, in_transaction=False)
    handlers.add(failing, kind=None, in_transaction=False)
    put(database, handlers, a_change(1))
    now = NOW
    for _ in range(3):
        deliver_all(database, handlers, now=now)
        now += timedelta(minutes=1)
    failing.fails = False
    deliver_all(database, handlers, now=now)
    assert failing.calls == [a_change(1).id] * 4
    assert mails == [a_change(1).id]
    assert state_of(database, a_change(1)) == ("done", 4)


def test_an_async_handler_is_waited_for_and_called_again_when_it_raises(database: Database, handlers: Handlers) -> None:
    calls: list[str] = []

    async def mail(change: Change) -> None:
        await asyncio.sleep(0)
        calls.append(change.id)
        if len(calls) < 2:
            raise RuntimeError("the mail server is away")

    handlers.add(mail, kind=KIND, in_transaction=False)
    put(database, handlers, a_change(1))
    deliver_all(database, handlers)
    assert state_of(database, a_change(1)) == ("pending", 1)
    deliver_all(database, handlers, now=LATER)
    assert calls == [a_change(1).id] * 2
    assert state_of(database, a_change(1)) == ("done", 2)


@pytest.mark.parametrize("end", [SystemExit(1), asyncio.CancelledError()])
def test_a_handler_cannot_end_the_thread_that_calls_it(
    database: Database, handlers: Handlers, end: BaseException
) -> None:
    def mail(change: Change) -> None:
        raise end

    handlers.add(mail, kind=KIND, in_transaction=False)
    put(database, handlers, a_change(1))
    assert outbox.deliver_next(database, handlers, now=lambda: NOW)
    assert state_of(database, a_change(1)) == ("pending", 1)


def test_a_change_that_is_given_up_holds_up_nothing_and_may_be_retried(database: Database) -> None:
    handlers = Handlers(attempts=3)
    failing, told = Failing(), list[str]()
    handlers.add(failing, kind="payment.failed", in_transaction=False)
    handlers.add(lambda change: told.append(change.id), kind=KIND, in_transaction=False)
    bad = a_change(1, kind="payment.failed")
    put(database, handlers, bad, a_change(2))
    now = NOW
    for _ in range(handlers.attempts):
        assert told == []
        deliver_all(database, handlers, now=now)
        now += timedelta(hours=6)
    assert state_of(database, bad) == ("failed", 3)
    assert told == [a_change(2).id]
    assert database.run(lambda session: outbox.retry(session, "another", now=now)) == 0
    assert database.run(lambda session: outbox.retry(session, bad.id, now=now)) == 1
    failing.fails = False
    deliver_all(database, handlers, now=now)
    assert state_of(database, bad) == ("done", 1)


@pytest.fixture
def busy(make_billing: Callable[..., Billing], database: Database) -> Iterator[Callable[..., Billing]]:
    """Billings whose workers run."""
    workers = []

    def start(register: Callable[[Billing], Any], *, handler_threads: int = 4) -> Billing:
        billing = make_billing()
        register(billing)
        workers.append(billing.worker(threads=1, handler_threads=handler_threads))
        workers[-1].start()
        return billing

    yield start
    for worker in workers:
        assert worker.stop()


def test_a_slow_handler_holds_up_neither_webhooks_nor_synchronisation_nor_other_owners(
    busy: Callable[..., Billing], database: Database, stripe: Emulator
) -> None:
    """H11: mails take long, and take nobody else's time."""
    sent, told = threading.Event(), list[str]()

    def mail(change: Change) -> None:
        if change.owner == "user:slow":
            sent.wait(30)
        told.append(change.owner)

    billing = busy(lambda billing: billing.on_change()(mail))
    try:
        billing.push_catalog()
        put(database, Handlers(), a_change(1, owner="user:slow"), now=datetime.now(UTC))
        pay(str(billing.checkout("user:1", "pro").url))
        for event in stripe.events():
            began = monotonic()
            deliver(billing, event)
            assert monotonic() - began < 1
        eventually(lambda: "user:1" in told)
        assert billing.access("user:1").plan == "pro"
        assert "user:slow" not in told
    finally:
        sent.set()
    eventually(lambda: "user:slow" in told)


def test_a_change_found_by_another_process_is_handed_out_at_once(
    busy: Callable[..., Billing], database: Database
) -> None:
    """By NOTIFY on PostgreSQL, where polling alone would take five seconds a round; by polling on SQLite."""
    told: list[str] = []
    busy(lambda billing: billing.on_change()(lambda change: told.append(change.id)), handler_threads=1)
    for number in range(3):
        put(database, Handlers(), a_change(number), now=datetime.now(UTC))
        eventually(lambda number=number: a_change(number).id in told, 2)  # type: ignore[misc]  # bound at once


def test_an_owners_changes_come_one_after_the_other_however_many_work(
    busy: Callable[..., Billing], database: Database
) -> None:
    """H17: two processes with several threads each; some are slow, some fail at first."""
    owners = [f"user:{number}" for number in range(6)]
    changes = [a_change(number, owner=owner) for number in range(5) for owner in owners]
    told: dict[str, list[str]] = defaultdict(list)
    at_work: list[str] = []
    overlaps: list[str] = []
    failed: set[str] = set()

    def take(change: Change) -> None:
        if change.owner in at_work:
            overlaps.append(change.id)
        at_work.append(change.owner)
        try:
            threading.Event().wait(0.002)  # long enough to be met by a second one, if there were any
            if change.owner == "user:0" and change.id not in failed and change.id.endswith(("1", "3")):
                failed.add(change.id)
                raise RuntimeError("not at first")
            told[change.owner].append(change.id)
        finally:
            at_work.remove(change.owner)

    for _ in range(2):
        busy(lambda billing: billing.on_change()(take))
    put(database, Handlers(), *changes, now=datetime.now(UTC))
    eventually(lambda: sum(map(len, told.values())) >= len(changes), 30)
    assert overlaps == []
    assert told == {owner: [each.id for each in changes if each.owner == owner] for owner in owners}
    assert len(failed) == 2


def test_a_handler_that_outlives_its_lease_is_not_called_twice(
    busy: Callable[..., Billing], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3, H12: its lease is renewed for as long as it runs, in whatever process others look for work."""
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=1))
    ended, calls = threading.Event(), list[str]()

    def slow(change: Change) -> None:
        calls.append(change.id)
        ended.wait(30)

    for _ in range(2):
        busy(lambda billing: billing.on_change()(slow))
    put(database, Handlers(), a_change(1), now=datetime.now(UTC))
    eventually(lambda: calls)
    try:
        lease = partial(lease_of, database)
        first = lease()
        eventually(lambda: lease() > first + timedelta(seconds=1), 20)
        assert len(calls) == 1
    finally:
        ended.set()
    eventually(lambda: state_of(database, a_change(1)) == ("done", 1))


def lease_of(database: Database) -> datetime:
    with database.read() as session:
        found = session.scalar(text("SELECT lease_until FROM billing_changes"))
    return datetime.fromisoformat(str(found)).replace(tzinfo=UTC)
