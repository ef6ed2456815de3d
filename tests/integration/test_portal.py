"""The Billing Portal: one owner, one click, and only for who has a customer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe as sdk

from paidup import (
    Billing,
    Change,
    CustomerNotFound,
    InvalidRequest,
    InvalidReturnUrl,
    PortalDiffers,
    StripeError,
    StripeUnavailable,
    SubscriptionRefused,
)
from paidup.catalog import file
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.account import deliver_all
from tests.support.calls import counted
from tests.support.go_between import a_go_between
from tests.support.paying import OTHER_CARD, change_card, pay

OWNER = "user:1"


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
    pay(str(billing.checkout(OWNER, "pro", email="a@example.com").url))
    billing.sync(OWNER)
    return billing


def test_it_opens_for_a_customer_and_shows_what_is_theirs(subscriber: Billing) -> None:
    page = httpx.get(subscriber.portal(OWNER, return_to="/settings"), follow_redirects=True)
    assert page.status_code == 200
    assert "a@example.com" in page.text
    assert f"{subscriber.settings.app_url}/settings" in page.text


def test_a_deep_link_opens_at_the_card(subscriber: Billing) -> None:
    page = httpx.get(subscriber.portal(OWNER, flow="payment_method_update"), follow_redirects=True)
    assert 'name="cardNumber"' in page.text


def test_every_click_gets_an_address_of_its_own(subscriber: Billing) -> None:
    assert subscriber.portal(OWNER) != subscriber.portal(OWNER)


def test_an_owner_without_a_customer_is_sent_to_checkout(billing: Billing) -> None:
    """H39: an owner is looked up, never a customer's id."""
    for owner in (OWNER, "cus_123"):
        with pytest.raises(CustomerNotFound, match="start a checkout first"):
            billing.portal(owner)


def test_a_customer_deleted_at_stripe_has_no_portal(subscriber: Billing, stripe: Emulator) -> None:
    """H41: told, not failed, also before the webhook has come."""
    customer = subscriber.customer(OWNER)
    assert customer is not None
    sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1.customers.delete(customer.id)
    with pytest.raises(CustomerNotFound):
        subscriber.portal(OWNER)
    subscriber.sync(OWNER)
    with pytest.raises(CustomerNotFound):
        subscriber.portal(OWNER)


def test_a_configuration_that_is_gone_is_looked_for_again(subscriber: Billing, stripe: Emulator) -> None:
    subscriber.portal(OWNER)
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    ours = subscriber.gateway.find_portal_configuration()
    assert ours is not None
    client.v1.billing_portal.configurations.update(ours["id"], {"active": False})
    with pytest.raises(StripeError):
        subscriber.portal(OWNER)
    client.v1.billing_portal.configurations.update(ours["id"], {"active": True})
    assert subscriber.portal(OWNER).startswith(stripe.url)


def test_a_configuration_replaced_by_another_is_found_in_the_same_click(subscriber: Billing, stripe: Emulator) -> None:
    subscriber.portal(OWNER)
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    ours = subscriber.gateway.find_portal_configuration()
    assert ours is not None
    client.v1.billing_portal.configurations.update(ours["id"], {"active": False})
    client.v1.billing_portal.configurations.create(
        {"metadata": {"paidup": "portal"}, "features": {"invoice_history": {"enabled": True}}}
    )
    assert subscriber.portal(OWNER).startswith(stripe.url)


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "javascript:alert(1)"])
def test_it_leads_back_to_the_app_alone(subscriber: Billing, address: str) -> None:
    """H66."""
    with pytest.raises(InvalidReturnUrl):
        subscriber.portal(OWNER, return_to=address)


def test_an_unknown_deep_link_is_a_request_that_cannot_be(subscriber: Billing) -> None:
    with pytest.raises(InvalidRequest, match="payment_method_update"):
        subscriber.portal(OWNER, flow="free_money")


def test_with_stripe_away_it_says_so(subscriber: Billing, stripe: Emulator) -> None:
    stripe.fail_next("/v1/billing_portal/*", status=500, times=9)
    with pytest.raises(StripeUnavailable) as error:
        subscriber.portal(OWNER)
    assert error.value.retry_after > 0


@pytest.mark.parametrize("flow", ["subscription_cancel", "subscription_update"])
def test_a_deep_link_opens_at_the_owners_subscription_and_leads_back(
    subscriber: Billing, stripe: Emulator, flow: str
) -> None:
    """H39: which one it is, the database says."""
    subscription = subscriber.subscription(OWNER)
    assert subscription is not None
    url = subscriber.portal(OWNER, flow=flow, group="main", return_to="/settings")
    assert httpx.get(url, follow_redirects=True).status_code == 200
    created = stripe.events("billing_portal.session.created")[-1]["data"]["object"]["flow"]
    assert created[flow]["subscription"] == subscription.id
    assert created["after_completion"]["redirect"]["return_url"] == f"{subscriber.settings.app_url}/settings"


def test_a_deep_link_to_no_subscription_is_refused(subscriber: Billing) -> None:
    subscriber.cancel(OWNER, when="now")
    with pytest.raises(SubscriptionRefused, match="start a checkout"):
        subscriber.portal(OWNER, flow="subscription_cancel")


class TestCard:
    """H97: a card that is changed in the portal is the one that is charged, though Checkout has pinned another."""

    pytestmark = pytest.mark.hazard(97)

    @pytest.fixture
    def client(self, stripe: Emulator) -> Any:
        return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1

    def test_it_is_charged_at_the_next_renewal(self, subscriber: Billing, stripe: Emulator, client: Any) -> None:
        change_card(subscriber.portal(OWNER))
        deliver_all(subscriber, stripe)
        subscriber.run_until_idle()
        card = subscriber.payment_method(OWNER)
        assert card is not None
        assert card.last4 == OTHER_CARD[-4:]
        stripe.advance(days=32)
        [newest, _] = client.charges.list().data
        assert (newest.status, newest.payment_method) == ("succeeded", card.id)

    @pytest.mark.parametrize("is_interrupted", [False, True])
    def test_it_is_charged_for_a_change_that_was_planned_before(
        self, subscriber: Billing, stripe: Emulator, client: Any, is_interrupted: bool
    ) -> None:
        """The schedule of a planned change has kept the card from before."""
        subscriber.change_plan(OWNER, subscriber.preview_change(OWNER, "basic").id)
        change_card(subscriber.portal(OWNER))
        if is_interrupted:
            stripe.fail_next("/v1/subscriptions/*", method="POST", status=500, times=3, after_work=True)
            with pytest.raises(StripeUnavailable):
                subscriber.sync(OWNER)
            stripe.clear_faults()
        subscriber.sync(OWNER)
        stripe.advance(days=32)
        [newest, _] = client.charges.list().data
        assert (newest.amount, newest.payment_method_details.card.last4) == (900, OTHER_CARD[-4:])

    def test_who_changes_nothing_is_charged_as_before(self, subscriber: Billing, stripe: Emulator, client: Any) -> None:
        [customer] = client.customers.list().data
        [before] = client.subscriptions.list({"customer": customer.id}).data
        stale = client.payment_methods.attach("pm_card_mastercard", {"customer": customer.id}).id
        client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": stale}})
        subscriber.portal(OWNER)
        deliver_all(subscriber, stripe)
        subscriber.run_until_idle()
        [after] = client.subscriptions.list({"customer": customer.id}).data
        assert before.default_payment_method == after.default_payment_method != stale
        default = client.customers.retrieve(customer.id).invoice_settings.default_payment_method
        assert default == before.default_payment_method

    def test_a_second_click_does_not_put_the_old_card_back(
        self, subscriber: Billing, stripe: Emulator, client: Any
    ) -> None:
        change_card(subscriber.portal(OWNER))
        subscriber.portal(OWNER)  # nothing was delivered yet
        subscriber.sync(OWNER)
        card = subscriber.payment_method(OWNER)
        assert card is not None
        assert card.last4 == OTHER_CARD[-4:]
        with counted(stripe) as calls:
            subscriber.sync(OWNER)
            assert calls.count == 3, "it is noted, and not moved again"

    def test_a_subscription_with_another_card_keeps_it(self, subscriber: Billing, client: Any) -> None:
        [customer] = client.customers.list().data
        price = client.prices.list({"lookup_keys": ["basic_month"]}).data[0].id
        own = client.payment_methods.attach("pm_card_mastercard", {"customer": customer.id}).id
        item = {"customer": customer.id, "items": [{"price": price}]}
        other = client.subscriptions.create(item | {"default_payment_method": own, "trial_period_days": 3})
        change_card(subscriber.portal(OWNER))
        subscriber.sync(OWNER)
        assert client.subscriptions.retrieve(other.id).default_payment_method == own

    def test_what_stripe_refuses_to_move_holds_up_nothing(
        self, subscriber: Billing, stripe: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        change_card(subscriber.portal(OWNER))
        stripe.fail_next("/v1/subscriptions/*", method="POST", status=400)
        subscriber.sync(OWNER)
        assert "is still charged to the card before" in caplog.text
        assert subscriber.access(OWNER).plan == "pro"


def test_the_portal_is_what_was_pushed_and_anything_else_is_found(billing: Billing, stripe: Emulator) -> None:
    """H95: somebody lets customers change seats in the Dashboard."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
    billing.reconcile(fix=True)
    assert billing.reconcile().is_clean
    (configuration,) = client.billing_portal.configurations.list({"active": True}).data
    client.billing_portal.configurations.update(
        configuration.id,
        {"features": {"subscription_update": {"enabled": True, "default_allowed_updates": ["price", "quantity"]}}},
    )
    for fix in (False, True):
        report = billing.reconcile(fix=fix)
        (found,) = report.differences
        assert (found.kind, found.object, found.state, found.reason) == (
            "portal",
            configuration.id,
            "unsafe",
            "push_catalog",
        )
        assert found.field == "features.subscription_update.default_allowed_updates"
        assert (found.ours, found.theirs) == ('["price"]', '["price", "quantity"]')
    (step,) = billing.push_catalog()
    assert step.detail == "features.subscription_update.default_allowed_updates"
    assert billing.reconcile().is_clean


def test_what_stripe_does_not_take_of_the_configuration_is_an_error(
    make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H95."""
    with a_go_between(stripe) as between:
        between.change = lambda answer: answer.replace(b'"mode":"at_period_end"', b'"mode":"immediately"').replace(
            b'"mode": "at_period_end"', b'"mode": "immediately"'
        )
        billing = make_billing(api_base=between.url)
        with pytest.raises(PortalDiffers, match=r"features\.subscription_cancel\.mode") as refused:
            billing.push_catalog()
    assert refused.value.fields == ("features.subscription_cancel.mode",)


def test_plans_may_be_left_to_the_apps_own_pages(make_billing: MakeBilling, stripe: Emulator) -> None:
    """H95."""
    text = PLANS.read_text()
    billing = make_billing(
        catalog=file.loads(text.replace("[features.", "[portal]\nchange_plans = false\n[features.", 1))
    )
    assert not billing.catalog.portal.change_plans
    billing.push_catalog()
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
    (configuration,) = client.billing_portal.configurations.list({"active": True}).data
    assert not configuration.features.subscription_update.enabled


def test_more_seats_than_a_plan_has_are_told(subscriber: Billing, stripe: Emulator) -> None:
    """H95: sold in the Dashboard, where the plans file rules nothing."""
    told: list[Change] = []
    subscriber.on_change("seats.out_of_bounds")(told.append)
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
    found = subscriber.subscription(OWNER)
    assert found is not None
    client.subscription_items.update(found.items[0].id, {"quantity": 7})
    for _ in range(2):
        deliver_all(subscriber, stripe)
        subscriber.run_until_idle()
    (change,) = told
    assert (change.subscription, change.data) == (found.id, {"plan": "pro", "seats": 7, "min": 1, "max": 1})
    assert subscriber.access(OWNER).plan == "pro"


def test_no_deep_link_leads_to_what_the_portal_cannot_change(subscriber: Billing, stripe: Emulator) -> None:
    """H95: one that is paid by sent invoices can be canceled there, and no more."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
    found = subscriber.subscription(OWNER)
    assert found is not None
    client.subscriptions.update(found.id, {"collection_method": "send_invoice", "days_until_due": 14})
    subscriber.sync(OWNER)
    with pytest.raises(SubscriptionRefused) as refused:
        subscriber.portal(OWNER, flow="subscription_update")
    assert refused.value.action == "contact_us"
    assert subscriber.portal(OWNER, flow="subscription_cancel")
