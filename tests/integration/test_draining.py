"""Processes that are told to end: what is under way is finished, nothing new is begun, no lease is left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from paidup import Billing
from paidup.database.engine import Database
from paidup.database.tables import StoredChange, SyncTarget
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, WEBHOOK_SECRET
from tests.support.crashing import Child, Work, running
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.serving import free_port
from tests.support.waiting import eventually


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.write() as session:
        session.execute(text("CREATE TABLE provisioned (change VARCHAR(200))"))
    yield database
    database.close()


@pytest.fixture
def work(database: Database, database_url: str, stripe: Emulator, tmp_path: Path) -> Work:
    """A worker process."""
    settings = {
        "secret_key": SECRET_KEY,
        "webhook_secrets": WEBHOOK_SECRET,
        "api_base": stripe.url,
        "database_url": database_url,
        "app_url": "http://127.0.0.1:8000",
        "plans_file": str(PLANS),
    }
    return Work(settings, tmp_path / "heard", forever=True)


def sign_up(billing: Billing, stripe: Emulator, owner: str) -> list[dict[str, Any]]:
    before = len(stripe.events())
    pay(str(billing.checkout(owner, "pro").url))
    return stripe.events()[before:]


def calls_are_under_way(stripe: Emulator) -> bool:
    """Is the slow call that was asked for being made?"""
    return not httpx.get(f"{stripe.url}/_emulator/faults", trust_env=False).json()["faults"]


def leases(database: Database) -> list[str]:
    with database.read() as session:
        targets = list(session.scalars(select(SyncTarget.target).where(SyncTarget.lease_token.is_not(None))))
        return targets + list(session.scalars(select(StoredChange.id).where(StoredChange.lease_until.is_not(None))))


def test_a_worker_that_is_told_to_end_finishes_what_is_under_way_and_begins_nothing(
    billing: Billing, stripe: Emulator, database: Database, work: Work
) -> None:
    """H8: SIGTERM in the middle of a fetch."""
    first, second = sign_up(billing, stripe, "user:1"), sign_up(billing, stripe, "user:2")
    stripe.slow_next("/v1/subscriptions", 1.5)
    with running(work) as child:
        child.says("up")
        for event in first:
            deliver(billing, event)
        eventually(lambda: calls_are_under_way(stripe))
        child.send(signal.SIGTERM)
        for event in second:
            deliver(billing, event)
        assert child.ended() == 0
    assert (billing.access("user:1").plan, billing.access("user:2").plan) == ("pro", "free")
    assert leases(database) == []
    billing.run_until_idle()
    assert billing.access("user:2").plan == "pro"


def test_a_handler_that_hangs_does_not_hold_a_worker_for_ever_nor_its_owner(
    billing: Billing, stripe: Emulator, database: Database, work: Work
) -> None:
    for event in sign_up(billing, stripe, "user:1"):
        deliver(billing, event)
    with running(replace(work, hangs=True, settings={**work.settings, "drain": 0.5})) as child:
        eventually(lambda: work.heard.exists())
        child.send(signal.SIGTERM)
        assert child.ended() == 1, "and the exit code tells"
    assert billing.access("user:1").plan == "pro"
    (held,) = leases(database)
    assert held.startswith("subscription.started:"), "it is called again when the lease has run out"


def test_a_second_signal_ends_at_once(billing: Billing, stripe: Emulator, work: Work) -> None:
    for event in sign_up(billing, stripe, "user:1"):
        deliver(billing, event)
    with running(replace(work, hangs=True, settings={**work.settings, "drain": 100})) as child:
        eventually(lambda: work.heard.exists())
        eventually(lambda: has_ended_by_another(child, signal.SIGTERM))
        assert child.ended() == -signal.SIGTERM


def has_ended_by_another(child: Child, number: signal.Signals) -> bool:
    """Signals that come too soon after each other are one to the process."""
    child.send(number)
    return not child.is_alive


def test_a_web_process_ends_like_a_worker(billing: Billing, stripe: Emulator, database: Database, work: Work) -> None:
    """H8: uvicorn, with the worker inside; what it has answered is synchronised, now or by the next one."""
    events = sign_up(billing, stripe, "user:1")
    stripe.slow_next("/v1/subscriptions", 1.5)
    port = free_port()
    with running(replace(work, port=port)) as child:
        eventually(lambda: answers(port), 20)
        for event in events:
            deliver(billing, event)
        eventually(lambda: calls_are_under_way(stripe))
        child.send(signal.SIGTERM)
        assert child.ended() in (0, -signal.SIGTERM), "uvicorn passes the signal on when all is done"
    assert billing.access("user:1").plan == "pro"
    assert leases(database) == []


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.TransportError:
        return False
