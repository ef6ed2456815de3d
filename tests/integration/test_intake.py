"""Group commit: what arrives together is stored together, and nobody is answered before it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy import event as sqlalchemy_event

from paidup import inbox, intake
from paidup.core import event as events
from paidup.core import targets
from paidup.database.engine import Database
from paidup.database.tables import StoredEvent, SyncTarget
from paidup.errors import DatabaseUnavailable
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def desk(database: Database) -> Iterator[intake.Intake]:
    desk = intake.Intake(database, on_stored=lambda: None)
    yield desk
    desk.close()


def a_delivery(number: int, *, customer: str = "cus_1", payload: Any = "{}") -> inbox.Delivery:
    body = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "invoice.paid",
        "livemode": False,
        "data": {"object": {"id": "in_1", "object": "invoice", "customer": customer}},
    }
    event = events.parse(body)
    return inbox.Delivery(event, targets.route(event, livemode=False), payload, 0, NOW)


def submit(desk: intake.Intake, delivery: inbox.Delivery) -> Future[inbox.Receipt]:
    answer: Future[inbox.Receipt] = Future()
    desk.submit(delivery, answer)
    return answer


@contextmanager
def nothing_is_written(database: Database) -> Iterator[None]:
    """Nobody else can write to the inbox while the block runs."""
    with database.write() as session:
        if database.is_postgresql:
            session.execute(text("LOCK TABLE billing_events IN ACCESS EXCLUSIVE MODE"))
        else:
            session.execute(text("SELECT 1"))  # a SQLite transaction begins, and locks, with its first statement
        yield


def stored(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(StoredEvent)) or 0


def test_nobody_is_answered_before_the_commit_and_all_share_it(database: Database, desk: intake.Intake) -> None:
    """H8: stored, then answered, also in a group."""
    inserts: list[str] = []

    def note(*arguments: Any) -> None:
        inserts.extend([arguments[2]] if "INSERT INTO billing_events" in arguments[2] else [])

    with nothing_is_written(database):
        futures = [submit(desk, a_delivery(number)) for number in range(60)]
        assert not wait(futures, timeout=0.2).done
        sqlalchemy_event.listen(Engine, "before_cursor_execute", note)
    assert {future.result(10).state for future in futures} == {"pending"}
    sqlalchemy_event.remove(Engine, "before_cursor_execute", note)
    assert stored(database) == 60
    assert len(inserts) <= 2, "what came before the lock was met, and all the others in one"


def test_a_target_counts_every_event_of_the_group(database: Database, desk: intake.Intake) -> None:
    with nothing_is_written(database):
        futures = [submit(desk, a_delivery(number, customer=f"cus_{number % 3}")) for number in range(30)]
    wait(futures)
    with database.read() as session:
        counts = {row.target: row.requested for row in session.scalars(select(SyncTarget))}
    assert counts == {"customer:cus_0": 10, "customer:cus_1": 10, "customer:cus_2": 10}


def test_an_event_twice_in_one_group_is_stored_once(database: Database, desk: intake.Intake) -> None:
    """H3: in one transaction."""
    with nothing_is_written(database):
        futures = [submit(desk, a_delivery(1)) for _ in range(5)]
    assert sorted(future.result(10).state for future in futures) == ["duplicate"] * 4 + ["pending"]
    with database.read() as session:
        assert session.get_one(StoredEvent, "evt_1").deliveries == 5
        assert session.get_one(SyncTarget, "customer:cus_1").requested == 1


def test_one_that_cannot_be_stored_does_not_cost_the_others_their_answer(
    database: Database, desk: intake.Intake
) -> None:
    with nothing_is_written(database):
        good = [submit(desk, a_delivery(number)) for number in (1, 3)]
        bad = submit(desk, a_delivery(2, payload=None))
        good.append(submit(desk, a_delivery(4)))
    assert {future.result(10).state for future in good} == {"pending"}
    assert bad.exception(10) is not None
    assert stored(database) == 3


def test_what_failed_before_starts_again_beside_new_ones(database: Database, desk: intake.Intake) -> None:
    """H9: in a group."""
    submit(desk, a_delivery(1)).result(10)
    with database.write() as session:
        session.get_one(StoredEvent, "evt_1").state = "failed"
    with nothing_is_written(database):
        futures = [submit(desk, a_delivery(number)) for number in (2, 1, 3)]
    assert [future.result(10).state for future in futures] == ["pending", "duplicate", "pending"]
    with database.read() as session:
        assert session.get_one(StoredEvent, "evt_1").state == "pending"
        assert session.get_one(SyncTarget, "customer:cus_1").requested == 4


def test_a_database_that_is_away_fails_everybody_and_a_later_delivery_is_stored(
    database: Database, desk: intake.Intake
) -> None:
    with database.write() as session:
        session.execute(text("ALTER TABLE billing_events RENAME TO away"))
    with pytest.raises(DatabaseUnavailable):
        submit(desk, a_delivery(1)).result(10)
    with database.write() as session:
        session.execute(text("ALTER TABLE away RENAME TO billing_events"))
    assert submit(desk, a_delivery(1)).result(10).state == "pending"


def test_more_than_can_wait_are_refused_at_once(
    database: Database, desk: intake.Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 5)
    with nothing_is_written(database):
        submit(desk, a_delivery(0))
        eventually(lambda: desk.waiting == 0)  # the first has been taken, and meets the lock
        futures = [submit(desk, a_delivery(number)) for number in range(1, 6)]
        with pytest.raises(DatabaseUnavailable, match="wait to be stored"):
            submit(desk, a_delivery(6))
    assert {future.result(10).state for future in futures} == {"pending"}


def test_a_caller_that_went_away_is_not_stored(database: Database, desk: intake.Intake) -> None:
    with nothing_is_written(database):
        first = submit(desk, a_delivery(1))
        eventually(lambda: desk.waiting == 0)
        gone = submit(desk, a_delivery(2))
        assert gone.cancel()
    assert first.result(10).state == "pending"
    desk.close()
    assert stored(database) == 1


def test_closing_stores_what_waits_and_takes_no_more(database: Database, desk: intake.Intake) -> None:
    futures = [submit(desk, a_delivery(number)) for number in range(20)]
    desk.close()
    assert all(future.done() for future in futures)
    assert stored(database) == 20
    with pytest.raises(RuntimeError, match="closed"):
        submit(desk, a_delivery(21))


FORKING = """
import os, sys
sys.path.insert(0, {root!r})
from paidup import intake
from paidup.database.engine import Database
from tests.integration.test_intake import a_delivery, submit
database = Database({url!r})
desk = intake.Intake(database, on_stored=lambda: None)
submit(desk, a_delivery(1)).result(10)
child = os.fork()
if child == 0:
    database.engine.dispose(close=False)
    os._exit(0 if submit(desk, a_delivery(2)).result(10).state == "pending" else 1)
assert os.waitpid(child, 0)[1] == 0
submit(desk, a_delivery(3)).result(10)
desk.close()
"""


def test_a_forked_process_stores_too(database_url: str, database: Database) -> None:
    """As a server does that loads the app before it forks its workers."""
    script = FORKING.format(root=str(Path(__file__).parents[2]), url=database_url)
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)
    assert stored(database) == 3


def test_a_connection_that_was_cut_is_opened_again(database: Database, desk: intake.Intake) -> None:
    """By a restart of the server, or a firewall that forgot it."""
    submit(desk, a_delivery(1)).result(10)
    if database.is_postgresql:
        with database.read() as session:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            session.execute(text(f"{cut} AND datname = current_database()"))
    else:
        database.engine.dispose()
    assert submit(desk, a_delivery(2)).result(10).state == "pending"
    assert stored(database) == 2
