"""
The billing portal. [DOC] docs.stripe.com/customer-management; [INF] the events of a card update.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop, period
from emulator.tests.support.waiting import eventually
from stripe_emulator.engine import Engine
from stripe_emulator.hosted import CardInput, Hosted


def hosted(shop: Shop) -> Hosted:
    """The verbs behind the pages of the running emulator."""
    server = shop.emulator._server
    assert server is not None
    app = server.config.app
    found = app.state.hosted  # type: ignore[union-attr]  # it is the Starlette application
    assert isinstance(found, Hosted)
    assert isinstance(found._engine, Engine)
    return found


def secret(session: stripe.billing_portal.Session) -> str:
    return session.url.rpartition("/")[2]


FROZEN = 1_801_440_000
CARD = CardInput("5555 5555 5555 4444", 12, 2040, "123", "Jenny Rosen")


def test_the_address_leads_to_the_portal(shop: Shop) -> None:
    session = shop.portal(shop.customer().id)
    assert shop.pages.get(session.url).status_code == 200
    assert shop.types_since()[-1] == "billing_portal.session.created"


def test_without_a_configuration_of_the_account_one_must_be_named(shop: Shop) -> None:
    """[DOC] a default configuration is made in the Dashboard, not by the API."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.billing_portal.sessions.create({"customer": shop.customer().id})
    assert "default configuration has not been created" in str(caught.value)


def test_saving_the_settings_makes_the_default_configuration(shop: Shop) -> None:
    """docs.stripe.com/customer-management/configure-portal: saved once in the Dashboard, it needs no naming."""
    default = shop.pages.post("/_emulator/portal/default").json()
    assert default["is_default"]
    session = shop.api.billing_portal.sessions.create({"customer": shop.customer().id})
    assert session.configuration == default["id"]
    assert shop.pages.post("/_emulator/portal/default").json()["id"] == default["id"]


def test_a_scheduled_end_sets_cancel_at_only(shop: Shop) -> None:
    """[DOC billing-mode/compare; stripe-node#2470] flexible mode: cancel_at_period_end stays false."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    session = shop.portal(customer.id)
    pages = hosted(shop)
    outcome = pages.cancel(secret(session), subscription.id, feedback="too_expensive", comment="")
    assert outcome.kind == "complete"
    scheduled = shop.api.subscriptions.retrieve(subscription.id)
    assert (scheduled.cancel_at, scheduled.cancel_at_period_end) == (period(subscription)[1], False)
    assert scheduled.cancellation_details is not None
    assert scheduled.cancellation_details.feedback == "too_expensive"
    view = pages.portal(secret(session))
    assert view is not None
    assert (view.subscriptions[0].can_cancel, view.subscriptions[0].can_resume) == (False, True)
    pages.resume(secret(session), subscription.id)
    assert shop.api.subscriptions.retrieve(subscription.id).cancel_at is None


def test_in_classic_mode_it_sets_both(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id, billing_mode={"type": "classic"})
    hosted(shop).cancel(secret(shop.portal(customer.id)), subscription.id, feedback=None, comment=None)
    assert shop.api.subscriptions.retrieve(subscription.id).cancel_at_period_end is True


def test_a_new_card_becomes_the_customers_default_and_a_pinned_one_stays(shop: Shop) -> None:
    """Stripe documents the default alone; "next payment used the original one" (highlight#3709)."""
    customer = shop.customer()
    own = shop.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    pinned = shop.subscribe(customer.id, shop.price().id, default_payment_method=own.id)
    seen = shop.seen()
    outcome = hosted(shop).save_card(secret(shop.portal(customer.id)), CARD)
    assert outcome.kind == "complete"
    changed = shop.api.customers.retrieve(customer.id)
    assert changed.invoice_settings is not None
    new = changed.invoice_settings.default_payment_method
    assert new not in (None, own.id)
    assert shop.api.subscriptions.retrieve(pinned.id).default_payment_method == own.id
    assert {
        "setup_intent.created",
        "setup_intent.succeeded",
        "payment_method.attached",
        "customer.updated",
    } <= set(shop.types_since(seen))


def test_a_card_that_can_not_be_saved_changes_nothing(shop: Shop) -> None:
    customer = shop.customer()
    before = shop.api.customers.retrieve(customer.id)
    session = shop.portal(customer.id)
    declined = CardInput("4000000000000002", 12, 2040, "123", None)
    outcome = hosted(shop).save_card(secret(session), declined)
    assert (outcome.kind, outcome.message) == ("declined", "Your card was declined.")
    mistyped = hosted(shop).save_card(secret(session), CardInput("4242424242424241", 12, 2040, "123"))
    assert (mistyped.kind, mistyped.field) == ("declined", "cardNumber")
    after = shop.api.customers.retrieve(customer.id)
    assert before.invoice_settings is not None
    assert after.invoice_settings is not None
    assert after.invoice_settings.default_payment_method == before.invoice_settings.default_payment_method


def test_a_card_with_3ds_is_saved_after_the_challenge(shop: Shop) -> None:
    customer = shop.customer()
    pages = hosted(shop)
    outcome = pages.save_card(secret(shop.portal(customer.id)), CardInput("4000002500003155", 12, 2040, "123"))
    assert outcome.kind == "requires_action"
    assert outcome.redirect is not None
    token = outcome.redirect.rpartition("/")[2]
    assert pages.challenge(token) is not None
    assert pages.answer_challenge(token, True).kind == "complete"
    assert pages.answer_challenge(token, True).kind == "closed"
    assert len(shop.api.payment_methods.list({"customer": customer.id}).data) == 2


def test_an_open_invoice_is_paid_from_the_portal(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, "pm_card_chargeCustomerFail")
    shop.emulator.advance(to="renewal")
    pages = hosted(shop)
    key = secret(shop.portal(customer.id))
    view = pages.portal(key)
    assert view is not None
    payable = [invoice for invoice in view.invoices if invoice.payable]
    assert len(payable) == 1
    assert pages.pay_invoice(key, payable[0].id).kind == "declined"
    pages.save_card(key, CARD)
    assert pages.pay_invoice(key, payable[0].id).kind == "complete"
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_the_hosted_invoice_page_takes_a_card(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, "pm_card_chargeCustomerFail")
    shop.emulator.advance(to="renewal")
    url = shop.api.invoices.list({"customer": customer.id}).data[0].hosted_invoice_url
    assert url is not None
    token = url.partition("/i/")[2].partition("?")[0]
    assert hosted(shop).pay_hosted_invoice(token, CARD).kind == "complete"
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    assert hosted(shop).pay_hosted_invoice(token, CARD).kind == "closed"


def test_another_customers_things_are_out_of_reach(shop: Shop) -> None:
    mine, theirs = shop.customer(), shop.customer()
    subscription = shop.subscribe(theirs.id, shop.price().id)
    key = secret(shop.portal(mine.id))
    assert hosted(shop).cancel(key, subscription.id, feedback=None, comment=None).kind == "closed"
    assert hosted(shop).pay_invoice(key, str(subscription.latest_invoice)).kind == "closed"
    assert shop.api.subscriptions.retrieve(subscription.id).cancel_at is None


def test_a_plan_is_switched_as_the_configuration_says(shop: Shop) -> None:
    customer = shop.customer()
    product = shop.api.products.create({"name": "Pro"}).id
    monthly, yearly = shop.price(3000, product=product), shop.price(30_000, "year", product=product)
    subscription = shop.subscribe(customer.id, monthly.id)
    session = shop.portal(
        customer.id,
        subscription_update={
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "products": [{"product": product, "prices": [monthly.id, yearly.id]}],
        },
    )
    pages = hosted(shop)
    choices = pages.plan_choices(secret(session), subscription.id)
    assert {(choice.price_id, choice.current) for choice in choices} == {(monthly.id, True), (yearly.id, False)}
    assert pages.change_plan(secret(session), subscription.id, "price_other", 1).kind == "closed"
    assert pages.change_plan(secret(session), subscription.id, yearly.id, 1).kind == "complete"
    assert shop.api.subscriptions.retrieve(subscription.id)["items"].data[0].price.id == yearly.id


def test_features_that_are_off_can_not_be_used(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    session = shop.portal(customer.id, subscription_cancel={"enabled": False})
    assert hosted(shop).cancel(secret(session), subscription.id, feedback=None, comment=None).kind == "closed"


def test_configurations_are_merged_listed_and_retired(shop: Shop) -> None:
    made = shop.api.billing_portal.configurations.create(
        {"features": {"invoice_history": {"enabled": True}}, "metadata": {"paidup": "portal"}}
    )
    changed = shop.api.billing_portal.configurations.update(
        made.id, {"features": {"payment_method_update": {"enabled": True}}}
    )
    assert changed.features.invoice_history.enabled
    assert changed.features.payment_method_update.enabled
    shop.api.billing_portal.configurations.update(made.id, {"active": False})
    assert shop.api.billing_portal.configurations.list({"active": True}).data == []


def test_a_deep_link_names_its_subscription(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    configuration = shop.portal(customer.id).configuration
    session = shop.api.billing_portal.sessions.create(
        {
            "customer": customer.id,
            "configuration": str(configuration),
            "flow_data": {"type": "subscription_cancel", "subscription_cancel": {"subscription": subscription.id}},
        }
    )
    view = hosted(shop).portal(secret(session))
    assert view is not None
    assert view.flow == {"type": "subscription_cancel", "subscription": subscription.id, "return_url": None}


@pytest.mark.parametrize(
    ("condition", "price", "waits"),
    [
        ("decreasing_item_amount", "smaller", True),
        ("decreasing_item_amount", "bigger", False),
        ("shortening_interval", "weekly", True),
        ("shortening_interval", "smaller", False),
    ],
)
def test_a_downgrade_waits_for_the_periods_end_if_configured(
    shop: Shop, condition: str, price: str, waits: bool
) -> None:
    """
    [DOC] docs.stripe.com/customer-management/configure-portal#downgrades: the portal makes a schedule.

    Across products too, and the schedule is released once the change was made: as seen in a test-mode run of September
    2026, against what the page says of one product.
    """
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": FROZEN}).id
    customer = shop.customer(clock=clock)
    current = shop.price(4900, name="Studio")
    prices = {
        "smaller": shop.price(2900, name="Solo"),
        "bigger": shop.price(9900, name="Agency"),
        "weekly": shop.price(5000, "week", name="Weekly"),
    }
    subscription = shop.subscribe(customer.id, current.id)
    update = {
        "enabled": True,
        "default_allowed_updates": ["price"],
        "proration_behavior": "always_invoice",
        "products": [{"product": str(one.product), "prices": [one.id]} for one in (current, *prices.values())],
        "schedule_at_period_end": {"conditions": [{"type": condition}]},
    }
    session = shop.portal(customer.id, subscription_update=update)
    seen = shop.seen()
    outcome = hosted(shop).change_plan(secret(session), subscription.id, prices[price].id, 1)
    assert outcome.kind == "complete"
    after = shop.api.subscriptions.retrieve(subscription.id)
    assert after["items"].data[0].price.id == (current.id if waits else prices[price].id)
    assert ("subscription_schedule.created" in shop.types_since(seen)) == waits
    if waits:
        end = period(after)[1]
        shop.api.test_helpers.test_clocks.advance(clock, {"frozen_time": end})
        eventually(lambda: shop.api.test_helpers.test_clocks.retrieve(clock).status == "ready")
        changed = shop.api.subscriptions.retrieve(subscription.id)
        assert (changed["items"].data[0].price.id, changed.schedule) == (prices[price].id, None)
        assert shop.api.subscription_schedules.retrieve(str(after.schedule)).status == "released"
        assert shop.types_since(seen)[-4:-1] == [
            "customer.subscription.updated",
            "subscription_schedule.updated",
            "subscription_schedule.released",
        ]


@pytest.mark.parametrize(
    ("behavior", "start", "to"),
    [
        ("always_invoice", 900, 2900),
        ("always_invoice", 2900, 900),
        ("create_prorations", 900, 2900),
        ("create_prorations", 2900, 900),
        ("none", 900, 2900),
    ],
)
def test_what_a_switch_is_said_to_cost_is_what_it_costs(shop: Shop, behavior: str, start: int, to: int) -> None:
    """[DOC customer-management/configure-portal] The page shows what is due before it is confirmed."""
    old, new = shop.price(start, name="Old"), shop.price(to, name="New")
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, old.id, default_tax_rates=[a_tax_rate(shop)])
    shop.emulator.advance(days=11)
    session = shop.portal(
        customer.id,
        subscription_update={
            "enabled": True,
            "default_allowed_updates": ["price"],
            "products": [{"product": price.product, "prices": [price.id]} for price in (old, new)],
            "proration_behavior": behavior,
        },
    )
    path = f"{session.url.split('?')[0]}/subscriptions/{subscription.id}/change/confirm"
    page = shop.pages.get(path, params={"price": new.id, "quantity": 1}).text
    said = [amount_on(page, name) for name in ("due-today", "next-invoice")]
    seen = len(shop.api.invoices.list({"subscription": subscription.id}).data)
    assert shop.pages.post(path, data={"price": new.id, "quantity": 1}).status_code == 303
    invoices = shop.api.invoices.list({"subscription": subscription.id}).data
    due = invoices[0].amount_due if len(invoices) > seen else 0
    following = shop.api.invoices.create_preview({"subscription": subscription.id}).amount_due
    assert said == [due, following]


def a_switch(shop: Shop, **bounds: Any) -> tuple[str, Any, Any, dict[str, Any]]:
    """A customer, their subscription, a price to switch to, and the portal's feature that allows it."""
    old, new = shop.price(900, name="Old"), shop.price(2900, name="New")
    customer = shop.customer()
    feature = {
        "enabled": True,
        "default_allowed_updates": ["price", "quantity"],
        "products": [
            {"product": price.product, "prices": [price.id], "adjustable_quantity": {"enabled": True, **bounds}}
            for price in (old, new)
        ],
        "proration_behavior": "always_invoice",
    }
    return customer.id, shop.subscribe(customer.id, old.id), new, feature


def test_a_flow_confirms_the_change_it_names(shop: Shop) -> None:
    """[DOC customer-management/portal-deep-links#update-confirm]"""
    customer, subscription, new, feature = a_switch(shop)
    configured = shop.portal(customer, subscription_update=feature)
    item = {"id": subscription["items"].data[0].id, "price": new.id, "quantity": 2}
    flow: Any = {
        "type": "subscription_update_confirm",
        "subscription_update_confirm": {"subscription": subscription.id, "items": [item]},
        "after_completion": {"type": "redirect", "redirect": {"return_url": "https://shop.test/changed"}},
    }
    sent: Any = {"customer": customer, "configuration": configured.configuration, "flow_data": flow}
    session = shop.api.billing_portal.sessions.create(sent)
    opened = shop.pages.get(session.url, follow_redirects=True)
    assert "$58.00" in opened.text
    done = shop.pages.post(str(opened.url).split("?")[0], data={"price": new.id, "quantity": 2})
    assert done.headers["location"] == "https://shop.test/changed"
    [changed] = shop.api.subscriptions.retrieve(subscription.id)["items"].data
    assert (changed.price.id, changed.quantity) == (new.id, 2)


@pytest.mark.parametrize(("quantity", "allowed"), [(1, False), (2, True), (5, True), (6, False)])
def test_a_quantity_stays_within_the_configurations_bounds(shop: Shop, quantity: int, allowed: bool) -> None:
    """[DOC api/customer_portal/configurations: adjustable_quantity]"""
    customer, subscription, new, feature = a_switch(shop, minimum=2, maximum=5)
    session = shop.portal(customer, subscription_update=feature)
    path = f"{session.url.split('?')[0]}/subscriptions/{subscription.id}/change/confirm"
    shop.pages.post(path, data={"price": new.id, "quantity": quantity})
    [item] = shop.api.subscriptions.retrieve(subscription.id)["items"].data
    assert item.quantity == (quantity if allowed else 1)


def a_tax_rate(shop: Shop) -> str:
    return shop.api.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False}).id


def amount_on(page: str, name: str) -> int:
    found = re.search(rf'id="{name}">\$([0-9,.]+)<', page)
    assert found is not None, page
    return round(float(found[1].replace(",", "")) * 100)
