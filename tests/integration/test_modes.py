"""Test mode and live mode in one database: a copied one, or changed keys. Neither sees what is the other's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from paidup import Billing, CustomerNotFound, StripeNotFound, WrongAccount
from paidup.core import targets
from paidup.core.catalog import CheckoutTerms
from paidup.crediting import Crediting
from paidup.customers import Customers
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from paidup.handlers import Handlers
from paidup.models import Customer, Invoice, Price, Product, Subscription, SubscriptionItem
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser
from paidup.trials import Trials
from stripe_emulator import Emulator
from stripe_emulator import Settings as EmulatorSettings
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

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


def test_a_live_key_of_another_account_takes_nothing_from_anybody(
    in_test_mode: Billing, stripe: Emulator, database_url: str
) -> None:
    """H42: that account knows none of our customers, which is no reason to take them for deleted."""
    database = Database(database_url)
    with database.write() as session:
        for model in (Customer, Invoice, OwnerMapping, Price, Product, Subscription, SubscriptionItem):
            session.execute(update(model).values(livemode=True))
    [customer_id] = [event["data"]["object"]["id"] for event in stripe.events("customer.created")]
    with Emulator(port=0) as another, ThreadPoolExecutor(4) as calls:
        gateway = Gateway("sk_test_of_another_account", api_base=another.url)
        customers = Customers(database=database, gateway=gateway, livemode=True, clock=a_hurrying_clock())
        synchroniser = Synchroniser(
            database=database,
            gateway=gateway,
            catalog=in_test_mode.catalog,
            handlers=Handlers(),
            livemode=True,
            clock=a_hurrying_clock(),
            calls=calls,
            users_calls=calls,
            trials=Trials(gateway=in_test_mode.gateway, key=None, terms=CheckoutTerms(), livemode=True),
            crediting=Crediting(database=database, gateway=gateway, catalog=in_test_mode.catalog, livemode=True),
            make_customer=customers.ensure,
        )
        with pytest.raises(StripeNotFound, match="is STRIPE_SECRET_KEY of the right account"):
            synchroniser.now(targets.customer(customer_id), wait=timedelta(seconds=5))
    with database.read() as session:
        customer = session.get_one(Customer, customer_id)
        [subscription] = session.scalars(select(Subscription))
        assert (customer.deleted, subscription.status) == (False, "active")
    [waiting] = in_test_mode.queue()
    assert "does not know customer" in str(waiting.last_error)
    database.close()


def test_a_key_of_another_account_is_refused_by_the_database(
    make_billing: MakeBilling, in_test_mode: Billing, stripe: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """H42: nothing is bought, listed or synchronised there, and the error names both accounts."""
    ours = in_test_mode.customer(OWNER)
    with Emulator(port=0, settings=EmulatorSettings(account_id="acct_another")) as another:
        # Its clock is ahead of the one that the first account's data was written by.
        billing = make_billing(api_base=another.url, clock=a_hurrying_clock(timedelta(seconds=10)))
        billing.push_catalog()
        for verb in (lambda: billing.checkout("user:2", "pro"), billing.reconcile, billing.fill_missed_events):
            with pytest.raises(WrongAccount, match=r"test data of account acct_1Emulated.*the key is for acct_another"):
                verb()
        deliver(billing, stripe.events("invoice.paid")[0] | {"id": "evt_again"})
        worker = billing.worker()
        worker.start()
        eventually(lambda: "nothing is synchronised" in caplog.text)
        worker.stop()
        assert [each.attempts for each in billing.queue()] == [0]
        assert another.events("customer.created") == []
    assert billing.customer(OWNER) == ours


def test_a_key_that_may_not_read_its_account_is_let_through(make_billing: MakeBilling, stripe: Emulator) -> None:
    """Restricted keys are for those who give few permissions."""
    billing = make_billing()
    billing.push_catalog()
    stripe.fail_next("/v1/account", status=403)
    assert billing.checkout(OWNER, "pro").url


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
