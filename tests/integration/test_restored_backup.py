"""A database that is put back to yesterday, while Stripe went on."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from paidup import Billing, Change, CheckoutRefused
from paidup.core.parse import OWNER_KEY
from paidup.database.engine import Database
from paidup.database.tables import Base
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.databases import DatabaseMaker, removed_afterwards
from tests.support.deliveries import deliver
from tests.support.paying import pay

YESTERDAY, TODAY = "user:yesterday", "user:today"


def copy(source: str, destination: str) -> None:
    """A backup, put back elsewhere."""
    old, new = Database(source), Database(destination)
    with old.read() as reading, new.write() as writing:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row._mapping) for row in reading.execute(select(table))]
            if rows:
                writing.execute(insert(table), rows)
    old.close()
    new.close()


def subscribe(billing: Billing, stripe: Emulator, owner: str) -> None:
    pay(str(billing.checkout(owner, "pro").url))
    for event in stripe.events():
        deliver(billing, event)
    billing.run_until_idle()
    assert billing.access(owner).plan == "pro"


def test_everything_is_as_at_stripe_again(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator, databases: DatabaseMaker, database_url: str
) -> None:
    """The procedure of docs/4_operations.md."""
    subscribe(billing, stripe, YESTERDAY)
    with removed_afterwards(databases, databases.migrated()) as url:
        copy(database_url, url)
        subscribe(billing, stripe, TODAY)
        stripe.advance(days=40)
        for event in stripe.events("invoice.paid"):
            deliver(billing, event)
        billing.run_until_idle()

        restored = make_billing(database_url=url)
        told: list[Change] = []
        restored.on_change()(told.append)
        assert [restored.access(each).plan for each in (YESTERDAY, TODAY)] == ["pro", "free"]
        report = restored.reconcile(fix=True, owner_of=lambda customer: customer.metadata.get(OWNER_KEY))
        restored.run_until_idle()
        assert report.unsafe == 0
        for owner in (YESTERDAY, TODAY):
            assert restored.access(owner).plan == "pro"
            assert restored.invoices(owner) == billing.invoices(owner)
            with pytest.raises(CheckoutRefused):
                restored.checkout(owner, "pro")
        renewals = {each.invoice for each in told if each.kind == "invoice.paid"}
        assert renewals == {billing.invoices(YESTERDAY)[0].id}
        assert restored.reconcile().is_clean
