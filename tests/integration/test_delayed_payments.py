"""A first payment that takes days: nothing is granted before it is there, and one that fails is no dead end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import stripe as sdk

from paidup import Billing, Change, CheckoutRefused
from stripe_emulator import Emulator, Settings
from tests.conftest import MakeBilling
from tests.support.account import deliver_all
from tests.support.deliveries import deliver
from tests.support.paying import FAILING_ACCOUNT, GOOD_ACCOUNT, pay, pay_by_bank

OWNER = "user:1"


@pytest.fixture
def stripe() -> Iterator[Emulator]:
    """An account that takes bank debits beside cards."""
    with Emulator(port=0, settings=Settings(payment_method_types=("card", "us_bank_account"))) as emulator:
        yield emulator


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


def buy(billing: Billing, account: str) -> str:
    """Checkout by bank account; the session's id."""
    checkout = billing.checkout(OWNER, "pro")
    pay_by_bank(str(checkout.url), account=account)
    return str(checkout.session_id)


@pytest.mark.hazard(54)
def test_a_payment_under_way_grants_nothing_and_is_not_bought_again(billing: Billing) -> None:
    """Stripe calls such a subscription active."""
    session = buy(billing, GOOD_ACCOUNT)
    assert billing.finish_checkout(OWNER, session).state == "pending"
    access = billing.access(OWNER)
    assert (access.plan, access.status, access.reason, access.is_paid) == ("free", "active", "payment_pending", False)
    for plan in ("pro", "basic"):
        with pytest.raises(CheckoutRefused) as refused:
            billing.checkout(OWNER, plan)
        assert refused.value.action == "pending"


@pytest.mark.hazard(54)
@pytest.mark.parametrize("learnt", ["webhooks", "the return", "the invoice alone"])
def test_it_grants_once_it_is_paid(billing: Billing, stripe: Emulator, learnt: str) -> None:
    told: list[Change] = []
    billing.on_change("subscription.started")(told.append)
    session = buy(billing, GOOD_ACCOUNT)
    billing.sync(OWNER)
    billing.run_until_idle()
    assert told == []
    stripe.advance(days=5)
    if learnt == "webhooks":
        deliver_all(billing, stripe)
    elif learnt == "the return":
        assert billing.finish_checkout(OWNER, session).state == "complete"
    else:
        deliver(billing, stripe.events("invoice.paid")[-1])
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"
    assert [each.owner for each in told] == [OWNER]


@pytest.mark.hazard(54, 53)
@pytest.mark.parametrize("comes", ["async_payment_failed", "any"])
def test_one_that_fails_is_ended_and_may_be_tried_again(billing: Billing, stripe: Emulator, comes: str) -> None:
    """Stripe voids the invoice and leaves the subscription active for ever."""
    session = buy(billing, FAILING_ACCOUNT)
    billing.sync(OWNER)
    stripe.advance(days=5)
    if comes == "any":
        deliver_all(billing, stripe)
    else:
        deliver(billing, stripe.events("checkout.session.async_payment_failed")[-1])
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "free"
    assert len(stripe.events("customer.subscription.deleted")) == 1
    assert billing.find_checkout(OWNER, session).state == "failed"
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "pro"


@pytest.mark.hazard(1, 54)
def test_one_that_was_paid_since_is_not_ended(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H1: somebody gave the invoice up, as far as we know, and its bank has paid it meanwhile."""
    buy(billing, GOOD_ACCOUNT)
    billing.sync(OWNER)
    client.v1.invoices.mark_uncollectible(billing.invoices(OWNER)[0].id)
    billing.sync(OWNER)
    stripe.advance(days=5)
    billing.run_until_idle()
    assert [each.status for each in client.v1.invoices.list().data] == ["paid"]
    assert [each.status for each in client.v1.subscriptions.list({"status": "all"}).data] == ["active"]
    assert billing.access(OWNER).plan == "pro"


def pay_by(client: sdk.StripeClient, billing: Billing, account: str) -> None:
    """Have the owner's subscription paid by another bank account from now on."""
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    method = client.v1.payment_methods.attach(account, {"customer": subscription.customer})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})


@pytest.mark.hazard(54)
def test_a_renewal_that_a_bank_is_at_does_not_keep_the_owner_from_leaving(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Stripe lets nobody void it, and the subscription has ended by then: it is told to who can refund it."""
    buy(billing, GOOD_ACCOUNT)
    stripe.advance(days=5)
    stripe.advance(to="renewal")
    stripe.advance(days=0.1)
    billing.sync(OWNER)
    renewal = billing.invoices(OWNER)[0]
    for _ in range(2):
        assert billing.cancel(OWNER, when="now").has_ended
        assert renewal.id in caplog.text
        caplog.clear()
    stripe.advance(days=5)
    assert client.v1.invoices.retrieve(renewal.id).status == "paid"


@pytest.mark.hazard(54)
def test_a_try_that_a_bank_is_at_is_not_made_again(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, make_billing: MakeBilling
) -> None:
    buy(billing, GOOD_ACCOUNT)
    stripe.advance(days=5)
    billing.sync(OWNER)
    pay_by(client, billing, "pm_usBankAccount_insufficientFunds")
    stripe.advance(to="renewal")
    stripe.advance(days=4.1)
    pay_by(client, billing, "pm_usBankAccount_success")
    billing.sync(OWNER)
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(minutes=5))
    for each in (billing, later):
        tried = each.retry_payment(OWNER)
        assert (tried and tried.status) == "open"
    stripe.advance(days=5)
    billing.sync(OWNER)
    assert [each.status for each in billing.invoices(OWNER)] == ["paid", "paid"]
    assert len(stripe.events("payment_intent.processing")) == 3


def test_a_page_inside_the_apps_own_is_opened_by_a_secret(billing: Billing, stripe: Emulator) -> None:
    embedded = billing.checkout(OWNER, "pro", embedded=True)
    assert (embedded.url, stripe.get(str(embedded.session_id))["ui_mode"]) == (None, "embedded_page")
    assert embedded.client_secret
    assert billing.checkout(OWNER, "pro", embedded=True) == embedded
    hosted = billing.checkout(OWNER, "pro")
    assert hosted.url
    assert hosted.client_secret is None
    assert stripe.get(str(embedded.session_id))["status"] == "expired"
    assert billing.find_checkout(OWNER, str(embedded.session_id)).client_secret is None
