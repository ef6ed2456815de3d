"""What is owed gets paid: by one more try, or on Stripe's page; once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe as sdk

from paidup import (
    AsyncBilling,
    Billing,
    InvalidRequest,
    Invoice,
    NothingToPay,
    PaymentDeclined,
    PaymentFailed,
    PaymentNeedsUser,
    StripeUnavailable,
)
from stripe_emulator import Emulator
from tests.support.account import subscribe
from tests.support.deliveries import deliver
from tests.support.host_app import HostApp
from tests.support.paying import GOOD_CARD

OWNER = "user:1"
OTHER = "user:2"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
    subscribe(billing)
    billing.sync(OWNER)
    return billing


@pytest.fixture
def late(subscriber: Billing, stripe: Emulator, client: sdk.StripeClient) -> Billing:
    """A Billing whose owner's renewal failed: the card pinned on the subscription is refused."""
    pin(subscriber, client, "pm_card_chargeCustomerFail")
    stripe.advance(days=32)
    subscriber.sync(OWNER)
    assert subscriber.access(OWNER).is_past_due
    return subscriber


def subscription_of(billing: Billing) -> Any:
    found = billing.subscription(OWNER)
    assert found is not None
    return found


def pin(billing: Billing, client: sdk.StripeClient, card: str) -> str:
    """Have the subscription itself charged to a card."""
    subscription = subscription_of(billing)
    method = client.v1.payment_methods.attach(card, {"customer": subscription.customer})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    billing.sync(OWNER)
    return method.id


def charges(client: sdk.StripeClient, billing: Billing, status: str) -> int:
    """How many of the owner's charges ended so."""
    found = client.v1.charges.list({"customer": subscription_of(billing).customer, "limit": 100})
    return sum(each.status == status for each in found.data)


def test_the_invoice_a_subscription_waits_for_is_told(late: Billing) -> None:
    found = late.open_invoice(OWNER, group="main")
    assert found is not None
    assert (found.has_failed, found.amount_remaining) == (True, 2900)
    assert found.subscription == subscription_of(late).id


def test_without_a_failed_payment_nothing_waits(subscriber: Billing) -> None:
    assert subscriber.open_invoice(OWNER) is None
    assert subscriber.retry_payment(OWNER) is None
    with pytest.raises(NothingToPay, match="waits for a payment"):
        subscriber.payment_url(OWNER)


def test_another_owner_owes_nothing_and_another_group_there_is_not(late: Billing) -> None:
    """H39."""
    assert late.open_invoice(OTHER) is None
    assert late.retry_payment(OTHER) is None
    with pytest.raises(NothingToPay):
        late.payment_url(OTHER)
    for verb in (late.open_invoice, late.retry_payment, late.payment_url):
        with pytest.raises(InvalidRequest, match="no plan group"):
            verb(OWNER, group="another")


@pytest.mark.parametrize("verb", ["retry", "page"])
def test_an_invoice_that_is_not_here_yet_is_asked_for(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, verb: str
) -> None:
    """H1: the subscription's event may come before its invoice's, and the user clicks in between."""
    pin(subscriber, client, "pm_card_chargeCustomerFail")
    stripe.advance(days=32)
    for event in stripe.events():
        if event["type"] == "customer.subscription.updated":
            deliver(subscriber, event)
    subscriber.run_until_idle()
    assert subscriber.access(OWNER).is_past_due
    assert subscriber.open_invoice(OWNER) is None
    if verb == "page":
        assert "/i/" in subscriber.payment_url(OWNER)
    else:
        with pytest.raises(PaymentDeclined) as refused:
            subscriber.retry_payment(OWNER)
        assert "/i/" in refused.value.url
    assert subscriber.open_invoice(OWNER) is not None


def test_paying_on_stripes_page_makes_it_active_again(late: Billing) -> None:
    """H50: who is past due pays the invoice there is, and buys nothing a second time."""
    page = late.payment_url(OWNER)
    form = {"cardNumber": GOOD_CARD, "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "A Payer"}
    assert httpx.post(page, data=form, timeout=30).status_code == 303
    late.sync(OWNER)
    assert (late.access(OWNER).status, late.open_invoice(OWNER)) == ("active", None)


def test_a_retry_with_a_card_that_works_is_paid_and_known_at_once(late: Billing, client: sdk.StripeClient) -> None:
    pin(late, client, "pm_card_visa")
    paid = late.retry_payment(OWNER)
    assert paid is not None
    assert paid.is_paid
    assert (late.access(OWNER).status, late.open_invoice(OWNER)) == ("active", None)


def test_a_card_changed_in_the_portal_pays_though_another_was_pinned(late: Billing) -> None:
    """H97: the subscription's own card goes before the customer's default."""
    page = httpx.get(late.portal(OWNER, flow="payment_method_update"), follow_redirects=True)
    form = {"cardNumber": GOOD_CARD, "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "A Payer"}
    back = httpx.post(page.url, data=form, timeout=30)
    assert back.headers["location"] == f"{late.settings.app_url}{late.settings.portal_return}"
    paid = late.retry_payment(OWNER)
    assert paid is not None
    assert (paid.is_paid, late.access(OWNER).status) == (True, "active")


def test_a_declined_card_is_told_with_the_page_that_leads_on(late: Billing, client: sdk.StripeClient) -> None:
    with pytest.raises(PaymentDeclined) as error:
        late.retry_payment(OWNER)
    assert error.value.url == late.payment_url(OWNER)
    assert error.value.as_dict()["code"] == "payment_declined"
    assert error.value.decline_code
    assert late.access(OWNER).is_past_due


def test_a_bank_that_asks_the_user_is_told_from_one_that_declines(late: Billing, client: sdk.StripeClient) -> None:
    pin(late, client, "pm_card_authenticationRequired")
    with pytest.raises(PaymentNeedsUser, match="confirm") as error:
        late.retry_payment(OWNER)
    assert httpx.get(error.value.url).status_code == 200
    assert isinstance(error.value, PaymentFailed)


def test_without_a_card_on_file_the_user_is_sent_to_the_page(late: Billing, client: sdk.StripeClient) -> None:
    client.v1.payment_methods.detach(pin(late, client, "pm_card_visa"))
    for method in client.v1.payment_methods.list({"customer": subscription_of(late).customer}).data:
        client.v1.payment_methods.detach(method.id)
    with pytest.raises(PaymentNeedsUser, match="no payment method on file"):
        late.retry_payment(OWNER)


def test_what_was_paid_elsewhere_is_success(late: Billing, client: sdk.StripeClient) -> None:
    """H110: nobody told us yet."""
    pin(late, client, "pm_card_visa")
    open_one = late.open_invoice(OWNER)
    assert open_one is not None
    client.v1.invoices.pay(open_one.id)
    before = charges(client, late, "succeeded")
    found = late.retry_payment(OWNER)
    assert found is not None
    assert (found.is_paid, charges(client, late, "succeeded")) == (True, before)
    assert late.access(OWNER).status == "active"


def test_a_double_click_is_charged_once(late: Billing, client: sdk.StripeClient) -> None:
    """H110."""
    pin(late, client, "pm_card_visa")
    before = charges(client, late, "succeeded")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: late.retry_payment(OWNER), range(4)))
    assert all(each is None or each.is_paid for each in found)
    assert any(found)
    assert charges(client, late, "succeeded") == before + 1


def test_a_lost_answer_is_found_paid_by_the_next_click(
    late: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    """H110."""
    pin(late, client, "pm_card_visa")
    before = charges(client, late, "succeeded")
    stripe.cut_next("/v1/invoices/*/pay", method="POST", after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        late.retry_payment(OWNER)
    found: Invoice | None = late.retry_payment(OWNER)
    assert found is None or found.is_paid
    assert (charges(client, late, "succeeded"), late.access(OWNER).status) == (before + 1, "active")


@pytest.mark.parametrize("path", ["/v1/invoices/*", "/v1/invoices/*/pay"])
def test_a_call_that_failed_before_its_work_is_done_by_the_next_click(
    late: Billing, client: sdk.StripeClient, stripe: Emulator, path: str
) -> None:
    """H110."""
    pin(late, client, "pm_card_visa")
    before = charges(client, late, "succeeded")
    stripe.cut_next(path, times=3)
    with pytest.raises(StripeUnavailable):
        late.retry_payment(OWNER)
    assert charges(client, late, "succeeded") == before
    found = late.retry_payment(OWNER)
    assert found is not None
    assert (found.is_paid, charges(client, late, "succeeded")) == (True, before + 1)


def test_a_payment_is_told_even_if_nothing_can_be_synchronised(
    late: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    pin(late, client, "pm_card_visa")
    stripe.fail_next("/v1/customers/*", status=500, times=9, method="GET")
    found = late.retry_payment(OWNER)
    assert found is not None
    assert found.is_paid
    stripe.clear_faults()
    late.sync(OWNER)
    assert late.access(OWNER).status == "active"


def test_a_later_invoice_over_nothing_does_not_hide_what_is_owed(late: Billing, client: sdk.StripeClient) -> None:
    """H90."""
    from paidup.core.invoice import waited_for

    subscription, owed = subscription_of(late), late.open_invoice(OWNER)
    assert owed is not None
    nothing = next(each for each in late.invoices(OWNER) if each.is_paid)
    assert waited_for(subscription, [nothing, owed]) == owed


def test_the_verbs_are_coroutines_as_well(late: Billing, client: sdk.StripeClient) -> None:
    pin(late, client, "pm_card_visa")

    async def ask() -> tuple[Invoice | None, str, Invoice | None]:
        verbs = AsyncBilling(late)
        return await verbs.open_invoice(OWNER), await verbs.payment_url(OWNER), await verbs.retry_payment(OWNER)

    waiting, url, paid = asyncio.run(ask())
    assert waiting is not None
    assert paid is not None
    assert (waiting.id, paid.is_paid, url.startswith("http")) == (paid.id, True, True)


class TestRoute:
    @pytest.fixture
    def user(self, late: Billing, host_app: HostApp) -> Iterator[httpx.Client]:
        with host_app.client(OWNER) as client:
            yield client

    def test_a_form_is_led_to_the_page_and_a_program_told_where(self, user: httpx.Client, late: Billing) -> None:
        url = late.payment_url(OWNER)
        form = user.post("/billing/pay")
        assert (form.status_code, form.headers["location"]) == (303, url)
        assert user.post("/billing/pay", headers={"Accept": "application/json"}).json() == {"url": url}

    def test_one_more_try_ends_on_the_billing_page_or_where_it_can_be_paid(
        self, user: httpx.Client, late: Billing, client: sdk.StripeClient
    ) -> None:
        as_program = {"Accept": "application/json"}
        url = late.payment_url(OWNER)
        form, program = user.post("/billing/pay/retry"), user.post("/billing/pay/retry", headers=as_program)
        assert (form.status_code, form.headers["location"]) == (303, url)
        assert (program.status_code, program.json()["code"], program.json()["url"]) == (402, "payment_declined", url)
        pin(late, client, "pm_card_visa")
        owed = late.open_invoice(OWNER)
        assert owed is not None
        found = user.post("/billing/pay/retry", headers=as_program).json()
        assert (found["id"], found["status"]) == (owed.id, "paid")
        assert user.post("/billing/pay/retry", headers=as_program).json() is None
        back = user.post("/billing/pay/retry")
        assert (back.status_code, back.headers["location"]) == (303, late.settings.portal_return)

    def test_the_portals_deep_links_are_the_callers(self, user: httpx.Client, host_app: HostApp) -> None:
        """H39."""
        paths = [f"/billing/portal/subscription-{what}" for what in ("cancel", "update")]
        assert [user.post(path).status_code for path in paths] == [303, 303]
        for role, owner, status in (("member", OWNER, 403), ("admin", None, 401), ("admin", OTHER, 404)):
            with host_app.client(owner, role=role) as somebody:
                assert [somebody.post(path, params={"owner": OWNER}).status_code for path in paths] == [status] * 2

    def test_it_is_for_who_manages_this_billing(self, user: httpx.Client, host_app: HostApp) -> None:
        """H39, H40."""
        assert user.post("/billing/pay", headers={"Origin": "https://evil.example"}).json()["code"] == "cross_origin"
        for role, owner, status in (("member", OWNER, 403), ("admin", None, 401), ("admin", OTHER, 409)):
            with host_app.client(owner, role=role) as somebody:
                assert somebody.post("/billing/pay", params={"owner": OWNER}).status_code == status
