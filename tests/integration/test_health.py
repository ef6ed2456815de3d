"""How the work goes, seen from another process than the one that does it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from paidup import Billing, InvalidPayload, InvalidSignature, PayloadTooLarge, refusals
from paidup.database.engine import Database
from paidup.database.tables import RefusedWebhook
from stripe_emulator import Emulator
from tests.conftest import WEBHOOK_SECRET, MakeBilling
from tests.support.deliveries import deliver, signed
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
BODY = b'{"id": "evt_1", "object": "event", "type": "a", "data": {"object": {"card": "4242424242424242"}}}'


def names(billing: Billing) -> set[str]:
    return {each.name for each in billing.health().findings}


def refuse(billing: Billing, body: bytes = BODY, header: str | None = None) -> None:
    with pytest.raises((InvalidSignature, InvalidPayload, PayloadTooLarge)):
        billing.receive(body, header)


def test_each_reason_to_refuse_a_webhook_is_counted_and_seen_elsewhere(
    billing: Billing, make_billing: MakeBilling
) -> None:
    """H28, H29: no row of the request, no secret, and a hint."""
    now = datetime.now(UTC)
    refuse(billing)
    refuse(billing, header="v1=abc")
    for _ in range(3):
        refuse(billing, header=signed(BODY, secret="whsec_of_the_cli"))
    refuse(billing, header=signed(BODY, secret=WEBHOOK_SECRET, at=now - timedelta(hours=1)))
    refuse(billing, header=signed(BODY, secret=WEBHOOK_SECRET, at=now + timedelta(hours=1)))
    refuse(billing, b"[]", signed(b"[]", secret=WEBHOOK_SECRET))
    refuse(billing, b"x" * 2_000_000)
    assert "refused" in names(billing)
    seen = {each.reason: each for each in make_billing().health().facts.refused}
    assert {reason: each.count for reason, each in seen.items()} == {
        "missing": 1,
        "malformed": 1,
        "no_match": 3,
        "too_old": 1,
        "too_new": 1,
        "invalid_payload": 1,
        "payload_too_large": 1,
    }
    assert "`stripe listen` prints a secret of its own" in seen["no_match"].detail
    assert "seconds ago" in seen["too_old"].detail
    assert "seconds in the future" in seen["too_new"].detail
    assert not [each for each in seen.values() if "whsec_" in each.detail or "4242" in each.detail]


def test_garbage_is_counted_without_a_write_for_each(
    billing: Billing, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "WRITE_EVERY", 0.05)

    def refuse_often() -> None:
        for _ in range(50):
            refuse(billing)

    threads = [threading.Thread(target=refuse_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = Database(database_url)

    def counted() -> Any:
        with database.read() as session:
            return session.scalar(select(func.sum(RefusedWebhook.count))) == 200

    eventually(counted)
    database.close()


def test_a_new_installation_has_a_note_at_most(billing: Billing) -> None:
    found = billing.health()
    assert found.is_well
    assert found.facts.lag == {}


def test_what_was_processed_gives_a_lag_and_what_waits_is_counted(billing: Billing, stripe: Emulator) -> None:
    pay(str(billing.checkout(OWNER, "pro").url))
    for event in stripe.events():
        deliver(billing, event)
    assert billing.health().facts.waiting > 0
    billing.run_until_idle()
    facts = billing.health().facts
    assert facts.waiting == 0
    assert set(facts.lag) == {"p50", "p95", "p99"}
    assert 0 < facts.lag["p50"] <= facts.lag["p99"] < 120
    assert set(facts.secrets) == {0}


def test_what_was_given_up_is_told_by_type_and_started_again_at_once(
    make_billing: MakeBilling, stripe: Emulator
) -> None:
    billing = make_billing(sync_attempts=1)
    billing.push_catalog()
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.run_until_idle()
    stripe.fail_next("/v1/invoices", status=500, times=9)
    for event in stripe.events("invoice.paid"):
        deliver(billing, event)
    billing.run_until_idle()
    health = billing.health()
    assert [each.name for each in health.findings if each.severity == "critical"] == ["gave_up"]
    assert dict(health.facts.failures) == {"invoice.paid: StripeUnavailable": 1}
    assert len(billing.queue(only_failed=True, kind="customer")) == 1
    assert billing.queue(only_failed=True, kind="product") == []
    stripe.clear_faults()
    assert billing.retry_queue() == 1
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"
    assert billing.health().is_well


def test_old_tables_are_a_finding_and_no_traceback(make_billing: MakeBilling, empty_database_url: str) -> None:
    health = make_billing(database_url=empty_database_url).health()
    assert health.findings[0].name == "migration"
    assert not health.is_well


def test_a_reconciliation_is_remembered(billing: Billing) -> None:
    assert "never_reconciled" in names(billing)
    billing.reconcile(fix=True)
    assert "never_reconciled" not in names(billing)
