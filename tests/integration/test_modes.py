"""Test mode and live mode in one database: a copied one, or changed keys. Neither sees what is the other's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from paidup import Billing, CustomerNotFound
from paidup.database import store
from paidup.database.engine import Database
from paidup.models import Customer, Invoice, Price, Product, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def in_test_mode(make_billing: MakeBilling, stripe: Emulator) -> Billing:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    pay(str(billing.checkout(OWNER, "pro").url))
    for event in stripe.events():
        deliver(billing, event)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"
    return billing


def test_a_live_key_sees_nothing_of_test_mode(
    make_billing: MakeBilling, in_test_mode: Billing, stripe: Emulator, database_url: str
) -> None:
    """A plan bought with a test card is worth nothing live; nothing here calls Stripe."""
    live = make_billing(secret_key="sk_live_paidup", api_base=None)
    assert (live.access(OWNER).plan, live.subscription(OWNER)) == ("free", None)
    assert (live.customer(OWNER), live.invoices(OWNER), live.payment_method(OWNER)) == (None, [], None)
    for verb in (live.portal, live.sync):
        with pytest.raises(CustomerNotFound):
            verb(OWNER)
    paid = stripe.events("invoice.paid")[0] | {"id": "evt_again"}
    assert deliver(live, paid).reason == "other_mode"
    assert deliver(in_test_mode, paid | {"id": "evt_live", "livemode": True}).reason == "other_mode"
    database = Database(database_url)
    with database.read() as session:
        for model in (Customer, Invoice, Price, Product, Subscription, SubscriptionItem):
            assert set(session.scalars(select(model.livemode))) == {False}
    database.close()
    assert in_test_mode.access(OWNER).plan == "pro"


def test_what_a_live_key_does_not_find_is_not_gone_in_test_mode(in_test_mode: Billing, database_url: str) -> None:
    """What waits for a worker does not say its mode; one with the other key gets a 404 for it."""
    database = Database(database_url)
    with database.read() as session:
        product, price = session.scalars(select(Product.id)).first(), session.scalars(select(Price.id)).first()
    for livemode, remaining in ((True, 1), (False, 0)):
        with database.write() as session:
            now = datetime.now(UTC)
            store.save_product(session, str(product), None, livemode=livemode, synced_at=now)
            store.save_price(session, str(price), None, livemode=livemode, synced_at=now)
            for model in (Product, Price):
                wanted = select(model).where(model.id.in_((product, price)), model.deleted.is_(False))
                assert len(session.scalars(wanted).all()) == remaining
    database.close()
