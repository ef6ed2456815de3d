"""The inbox on real databases: what is stored, who may work on it, and what a failure leaves behind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from paidup import inbox
from paidup.core import event as events
from paidup.core import targets
from paidup.database.engine import Database
from paidup.database.tables import StoredEvent, SyncTarget

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DUE = NOW + inbox.LEAD
TARGET = "customer:cus_1"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def accept(database: Database, event_id: str, *, type: str = "invoice.paid", now: datetime = NOW) -> inbox.Receipt:
    body = {
        "id": event_id,
        "object": "event",
        "type": type,
        "livemode": False,
        "created": int(now.timestamp()),
        "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1"}},
    }
    event = events.parse(body)
    with database.write() as session:
        route = targets.route(event, livemode=False)
        [receipt] = inbox.accept(session, [inbox.Delivery(event, route, json.dumps(body), 0, now)])
    return receipt


def claim(database: Database, *, now: datetime = DUE) -> inbox.Claim | None:
    with database.write() as session:
        return inbox.claim(session, now=now)


def claimed(database: Database, *, now: datetime = DUE) -> inbox.Claim:
    taken = claim(database, now=now)
    assert taken is not None
    return taken


def finish(database: Database, taken: inbox.Claim, *, now: datetime = DUE) -> None:
    with database.write() as session:
        inbox.finish(session, taken, now=now)


def fail(database: Database, taken: inbox.Claim, *, now: datetime = DUE) -> bool:
    with database.write() as session:
        return inbox.retry(session, taken, error="StripeUnavailable: no answer", now=now)


def event_state(database: Database, event_id: str) -> str:
    with database.read() as session:
        return session.get_one(StoredEvent, event_id).state


def test_an_event_is_stored_and_its_target_is_dirty(database: Database) -> None:
    assert accept(database, "evt_1") == inbox.Receipt("evt_1", "pending")
    taken = claimed(database)
    assert (taken.target, taken.requested, taken.event_ids, taken.event_types) == (
        TARGET,
        1,
        ("evt_1",),
        frozenset({"invoice.paid"}),
    )


def test_a_repeated_delivery_is_stored_once(database: Database) -> None:
    """H3: in turn."""
    assert [accept(database, "evt_1").state for _ in range(3)] == ["pending", "duplicate", "duplicate"]
    with database.read() as session:
        assert session.get_one(StoredEvent, "evt_1").deliveries == 3
        assert session.get_one(SyncTarget, TARGET).requested == 1


def test_parallel_deliveries_of_one_event_are_stored_once(database: Database) -> None:
    """H3: in parallel, on a real database."""
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: accept(database, "evt_1").state, range(16)))
    assert sorted(states) == ["duplicate"] * 15 + ["pending"]
    with database.read() as session:
        assert session.get_one(SyncTarget, TARGET).requested == 1


def test_parallel_events_of_one_customer_all_count(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: accept(database, f"evt_{n}"), range(24)))
    taken = claimed(database)
    assert (taken.requested, len(taken.event_ids)) == (24, 24)


def test_two_workers_never_get_the_same_target(database: Database) -> None:
    accept(database, "evt_1")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: claim(database), range(8)))
    assert len([each for each in taken if each is not None]) == 1


def test_a_lease_that_ran_out_is_taken_over_and_the_late_worker_changes_nothing(database: Database) -> None:
    accept(database, "evt_1")
    stalled = claimed(database)
    later = NOW + inbox.LEASE + timedelta(seconds=1)
    second = claimed(database, now=later)
    with pytest.raises(inbox.LeaseLost):
        finish(database, stalled, now=later)
    assert event_state(database, "evt_1") == "pending"
    finish(database, second, now=later)
    assert event_state(database, "evt_1") == "done"


def test_an_event_that_comes_during_a_synchronisation_causes_another(database: Database) -> None:
    accept(database, "evt_1")
    taken = claimed(database)
    accept(database, "evt_2")
    finish(database, taken)
    assert (event_state(database, "evt_1"), event_state(database, "evt_2")) == ("done", "pending")
    assert claim(database) is None, "the rest of a burst waits for the debounce"
    assert claimed(database, now=DUE + inbox.DEBOUNCE).event_ids == ("evt_2",)


def test_after_a_quiet_time_an_event_waits_for_those_of_the_same_moment_only(database: Database) -> None:
    accept(database, "evt_1")
    finish(database, claimed(database))
    later = NOW + timedelta(hours=1)
    accept(database, "evt_2", now=later)
    accept(database, "evt_3", now=later + inbox.LEAD / 2)
    assert claim(database, now=later) is None
    assert set(claimed(database, now=later + inbox.LEAD).event_ids) == {"evt_2", "evt_3"}


def test_a_stream_of_events_puts_no_synchronisation_off(database: Database) -> None:
    moments = [NOW + number * inbox.LEAD / 4 for number in range(5)]
    for number, moment in enumerate(moments):
        accept(database, f"evt_{number}", now=moment)
    assert len(claimed(database, now=moments[-1]).event_ids) == 5


def test_after_a_storm_the_next_look_waits_longer(database: Database) -> None:
    """H17: what came during the first synchronisation of a storm is one more, not one each."""
    for number in range(100):
        accept(database, f"evt_{number}")
    taken = claimed(database)
    accept(database, "evt_late")
    finish(database, taken)
    assert claim(database, now=DUE + 19 * inbox.DEBOUNCE) is None
    assert claimed(database, now=DUE + 20 * inbox.DEBOUNCE).event_ids == ("evt_late",)


def test_a_script_in_a_hurry_waits_for_no_burst_but_for_what_failed(database: Database) -> None:
    def hurried(now: datetime) -> inbox.Claim | None:
        with database.write() as session:
            return inbox.claim(session, now=now, hurried=True)

    accept(database, "evt_1")
    taken = hurried(NOW)
    assert taken is not None
    fail(database, taken, now=NOW)
    assert hurried(NOW) is None
    assert hurried(NOW + timedelta(hours=1)) is not None


def test_a_failure_is_retried_later_and_later(database: Database) -> None:
    """H7, H9: a failed attempt is not mistaken for a processed event."""
    accept(database, "evt_1")
    now, waits = DUE, []
    for _ in range(4):
        taken = claimed(database, now=now)
        fail(database, taken, now=now)
        with database.read() as session:
            due = inbox.next_due(session)
        assert due is not None
        waits.append(due - now)
        assert claim(database, now=due - timedelta(milliseconds=1)) is None
        now = due
    assert all(later >= earlier for earlier, later in itertools.pairwise(waits))
    finish(database, claimed(database, now=now), now=now)
    assert event_state(database, "evt_1") == "done"


def test_after_the_last_attempt_it_is_given_up_and_visible(database: Database) -> None:
    accept(database, "evt_1")
    now, gave_up = DUE, False
    for _ in range(inbox.MAX_ATTEMPTS):
        gave_up = fail(database, claimed(database, now=now), now=now)
        now += timedelta(days=1)
    assert gave_up
    assert claim(database, now=now) is None
    with database.read() as session:
        row = session.get_one(StoredEvent, "evt_1")
        assert (row.state, row.error) == ("failed", "StripeUnavailable: no answer")


@pytest.mark.parametrize("how", ["delivered again", "another event", "replayed"])
def test_what_was_given_up_starts_again(database: Database, how: str) -> None:
    """H9: a row that exists is no reason to ignore a retry."""
    accept(database, "evt_1")
    now = DUE
    for _ in range(inbox.MAX_ATTEMPTS):
        fail(database, claimed(database, now=now), now=now)
        now += timedelta(days=1)
    match how:
        case "delivered again":
            accept(database, "evt_1", now=now)
        case "another event":
            accept(database, "evt_2", now=now)
        case _:
            with database.write() as session:
                assert inbox.replay(session, "evt_1", now=now)
    taken = claimed(database, now=now + inbox.LEAD)
    assert taken.attempts == 0
    assert ("evt_1" in taken.event_ids) is (how != "another event")


def test_an_ignored_event_is_kept_with_its_reason_and_asks_for_nothing(database: Database) -> None:
    assert accept(database, "evt_1", type="charge.succeeded") == inbox.Receipt("evt_1", "ignored", "unknown_type")
    assert claim(database) is None
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(SyncTarget)) == 0


def test_an_event_and_its_target_are_stored_both_or_neither(database: Database) -> None:
    """H8: nothing is half stored when the transaction fails."""

    class PowerCut(Exception):
        pass

    def interrupted() -> None:
        event = events.parse(
            {
                "id": "evt_1",
                "object": "event",
                "type": "customer.updated",
                "data": {"object": {"object": "customer", "id": "cus_1"}},
            }
        )
        with database.write() as session:
            inbox.accept(session, [inbox.Delivery(event, targets.Route(TARGET, None), "{}", 0, NOW)])
            raise PowerCut

    with pytest.raises(PowerCut):
        interrupted()
    with database.read() as session:
        assert session.get(StoredEvent, "evt_1") is None
        assert session.get(SyncTarget, TARGET) is None


def test_old_events_are_forgotten_once_they_are_done_with(database: Database) -> None:
    accept(database, "evt_done")
    finish(database, claimed(database))
    accept(database, "evt_ignored", type="charge.succeeded")
    accept(database, "evt_waiting")
    later = NOW + timedelta(days=90)
    accept(database, "evt_young", type="charge.succeeded", now=later)
    with database.write() as session:
        assert inbox.forget(session, before=NOW) == 0, "not older than that"
        assert inbox.forget(session, before=later, most=1) == 1, "no more at once than asked"
        assert inbox.forget(session, before=later) == 1
    with database.read() as session:
        assert set(session.scalars(select(StoredEvent.id))) == {"evt_waiting", "evt_young"}


def test_many_events_are_replayed_some_at_a_time(database: Database) -> None:
    for number in range(5):
        accept(database, f"evt_{number}")
    finish(database, claimed(database))
    later, found, after = NOW + timedelta(hours=1), [], ""
    while True:
        with database.write() as session:
            count, next_one = inbox.replay_some(session, conditions=[], after=after, now=later, most=2)
        found.append(count)
        if next_one is None:
            break
        after = next_one
    assert found == [2, 2, 1]
    taken = claimed(database, now=later + inbox.DEBOUNCE)
    assert sorted(taken.event_ids) == [f"evt_{number}" for number in range(5)]
    finish(database, taken, now=later)
    assert claim(database, now=later + timedelta(days=1)) is None
