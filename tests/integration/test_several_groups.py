"""Several subscriptions of one owner at once, one in each plan group: every verb is about one, and leaves the other."""

from __future__ import annotations

from typing import Any

import pytest
import stripe as sdk

from paidup import Access, Billing, CheckoutRefused, Subscription, SubscriptionRefused
from paidup.catalog import file
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import deliver_all
from tests.support.host_app import HostApp
from tests.support.paying import pay

OWNER = "user:1"
OTHER = "user:2"

TWO_GROUPS = """
currency = "usd"
default_plan = "free"
features = { reports.name = "Reports", phone.name = "Phone support", chat.name = "Chat" }
limits = { projects.name = "Projects", calls.name = "Calls" }

[plans.free]
name = "Free"
group = "app"
limits = { projects = 2 }

[plans.pro]
name = "Pro"
group = "app"
features = ["reports"]
limits = { projects = 50, calls = 1 }
prices.month.amount = 2900

[plans.max]
name = "Max"
group = "app"
features = ["reports"]
limits = { projects = "unlimited", calls = 1 }
prices.month.amount = 5900

[plans.chat]
name = "Chat support"
group = "support"
features = ["chat"]
limits = { calls = 0 }
prices.month.amount = 1000

[plans.phone]
name = "Phone support"
group = "support"
features = ["chat", "phone"]
limits = { calls = 20 }
prices.month.amount = 4000
"""


@pytest.fixture
def billing(make_billing: MakeBilling) -> Billing:
    billing = make_billing(catalog=file.loads(TWO_GROUPS))
    billing.push_catalog()
    return billing


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def both(billing: Billing) -> Billing:
    """Somebody with Pro and phone support, bought on two pages that were open side by side."""
    pages = [billing.checkout(OWNER, plan) for plan in ("pro", "phone")]
    assert len({page.session_id for page in pages}) == 2
    for page in pages:
        pay(str(page.url))
    billing.sync(OWNER)
    return billing


def of(billing: Billing, group: str) -> Subscription:
    found = billing.subscription(OWNER, group=group)
    assert found is not None
    return found


def granted(access: Access) -> tuple[set[str], dict[str, int | None]]:
    return set(access.features), {name: access.limit(name) for name in ("projects", "calls")}


def test_access_is_what_all_of_them_give(both: Billing) -> None:
    """H92: the most of each, and none of them is a duplicate of the other."""
    assert granted(both.access(OWNER)) == ({"reports", "chat", "phone"}, {"projects": 50, "calls": 20})
    assert {each.plan for each in (of(both, "app"), of(both, "support"))} == {"pro", "phone"}
    assert of(both, "app").customer == of(both, "support").customer
    kinds = [each.kind for each in both.changes(owner=OWNER)]
    assert "subscription.duplicated" not in kinds
    assert kinds.count("subscription.started") == 2


def test_a_second_one_in_a_group_is_refused_and_in_another_is_not(both: Billing) -> None:
    for plan in ("max", "chat"):
        with pytest.raises(CheckoutRefused) as refused:
            both.checkout(OWNER, plan)
        assert refused.value.action == "change_plan"
    assert both.checkout(OTHER, "chat").url


def test_which_one_has_to_be_said(both: Billing) -> None:
    for verb in (both.cancel, both.pause, both.resume, both.unused):
        with pytest.raises(SubscriptionRefused) as refused:
            verb(OWNER)
        assert refused.value.action == "choose_group"


def test_a_change_is_about_the_group_of_its_plan(both: Billing) -> None:
    support = of(both, "support")
    both.change_plan(OWNER, both.preview_change(OWNER, "max").id)
    both.change_plan(OWNER, both.preview_change(OWNER, "chat").id)
    assert (of(both, "app").plan, both.scheduled_change(OWNER, group="app")) == ("max", None)
    planned = both.scheduled_change(OWNER, group="support")
    assert planned is not None
    assert (planned.after.plan, of(both, "support").plan) == ("chat", "phone")
    both.undo_change(OWNER, group="support")
    assert both.scheduled_change(OWNER, group="support") is None
    assert of(both, "support").id == support.id


def test_one_ends_or_pauses_and_the_other_goes_on(both: Billing, stripe: Emulator) -> None:
    both.pause(OWNER, group="support")
    assert granted(both.access(OWNER)) == ({"reports"}, {"projects": 50, "calls": 1})
    both.resume(OWNER, group="support")
    both.cancel(OWNER, group="app")
    assert (of(both, "app").is_canceling, of(both, "support").is_canceling) == (True, False)
    stripe.advance(days=32)
    both.sync(OWNER)
    assert granted(both.access(OWNER)) == ({"chat", "phone"}, {"projects": 2, "calls": 20})
    pay(str(both.checkout(OWNER, "pro").url))
    both.sync(OWNER)
    assert both.access(OWNER).can("reports")
    assert both.cancel(OWNER, group="support", when="now", refund_unused=True).has_ended
    assert both.access(OWNER).plan == "pro"


def test_a_late_one_is_paid_by_itself(both: Billing, stripe: Emulator, client: Any) -> None:
    support = of(both, "support")
    method = client.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": support.customer})
    client.subscriptions.update(support.id, {"default_payment_method": method.id})
    stripe.advance(days=32)
    both.sync(OWNER)
    assert (of(both, "app").status, of(both, "support").status) == ("active", "past_due")
    assert (both.open_invoice(OWNER, group="app"), both.retry_payment(OWNER, group="app")) == (None, None)
    waiting = both.open_invoice(OWNER)
    assert waiting is not None
    assert (waiting.subscription, waiting.total) == (support.id, 4000)
    assert waiting == both.open_invoice(OWNER, group="support")
    client.subscriptions.update(support.id, {"default_payment_method": of(both, "app").payment_method.id})  # type: ignore[union-attr]
    paid = both.retry_payment(OWNER, group="support")
    assert paid is not None
    assert paid.id == waiting.id
    assert of(both, "support").status == "active"


def test_two_late_ones_are_paid_one_by_one_over_http(host_app: HostApp, stripe: Emulator, client: Any) -> None:
    billing = host_app.billing
    for plan in ("pro", "phone"):
        pay(str(billing.checkout(OWNER, plan).url))
    billing.sync(OWNER)
    customer, card = of(billing, "app").customer, of(billing, "app").payment_method
    assert card is not None
    bad = client.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer}).id
    for group in ("app", "support"):
        client.subscriptions.update(of(billing, group).id, {"default_payment_method": bad})
    stripe.advance(days=32)
    billing.sync(OWNER)
    owed = {group: billing.open_invoice(OWNER, group=group) for group in ("app", "support")}
    assert {group: each.total for group, each in owed.items() if each} == {"app": 2900, "support": 4000}
    with host_app.client(OWNER) as http:
        for group, invoice in owed.items():
            assert invoice is not None
            page = http.post("/billing/pay", data={"group": group}, headers={"accept": "text/html"})
            assert page.headers["location"] == client.invoices.retrieve(invoice.id).hosted_invoice_url
            client.subscriptions.update(str(invoice.subscription), {"default_payment_method": card.id})
            paid = http.post("/billing/pay/retry", json={"group": group}).json()
            assert (paid["id"], paid["status"]) == (invoice.id, "paid")
        for group, total in (("app", 2900), ("support", 4000)):
            assert http.get("/billing/upcoming-invoice", params={"group": group}).json()["total"] == total
            for link in ("portal", "portal/payment-method", "portal/subscription-cancel"):
                assert http.post(f"/billing/{link}", json={"group": group}).json()["url"].startswith(stripe.url)


def test_the_portals_deep_links_name_one(both: Billing) -> None:
    for group in ("app", "support"):
        assert both.portal(OWNER, flow="subscription_cancel", group=group)
    upcoming = {group: both.upcoming_invoice(OWNER, group=group) for group in ("app", "support")}
    assert {group: each.total for group, each in upcoming.items() if each} == {"app": 2900, "support": 4000}
    assert sorted(each.total for each in both.invoices(OWNER)) == [2900, 4000]


def test_one_of_no_known_plan_is_of_every_group_without_another(both: Billing, client: Any) -> None:
    """What keeps a group from being bought can be canceled in it as well; where there is another, that one is meant."""
    app, support = of(both, "app"), of(both, "support")
    both.cancel(OWNER, group="app", when="now")
    product = client.products.create({"name": "Enterprise"})
    price = client.prices.create(
        {"product": product.id, "unit_amount": 99_900, "currency": "usd", "recurring": {"interval": "month"}}
    )
    client.subscriptions.create(
        {
            "customer": app.customer,
            "items": [{"price": price.id}],
            "default_payment_method": support.payment_method.id,  # type: ignore[union-attr]  # bought with it
        }
    )
    both.sync(OWNER)
    with pytest.raises(CheckoutRefused):
        both.checkout(OWNER, "pro")
    assert of(both, "app").items[0].price == price.id
    assert of(both, "support").id == support.id
    found = both.cancel(OWNER, group="app")
    assert (found.id, found.is_canceling) == (of(both, "app").id, True)
    assert both.cancel(OWNER, group="support").id == support.id


def test_transfer_and_deletion_take_all_of_them(both: Billing, stripe: Emulator, client: Any) -> None:
    customer = of(both, "app").customer
    both.transfer(OWNER, OTHER)
    assert (both.access(OWNER).plan, granted(both.access(OTHER))[0]) == ("free", {"reports", "chat", "phone"})
    both.delete_customer(OTHER)
    deliver_all(both, stripe)
    both.run_until_idle()
    assert both.access(OTHER).plan == "free"
    assert client.customers.retrieve(customer).deleted
