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


def a_session(shop: Shop, customer: str, flow: dict[str, Any], **features: Any) -> Any:
    """A portal session for one task."""
    configuration = shop.portal(customer, **features).configuration
    sent: Any = {"customer": customer, "configuration": configuration, "flow_data": flow}
    return shop.api.billing_portal.sessions.create(sent)


def refusal(shop: Shop, customer: str, flow: dict[str, Any], **features: Any) -> str:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        a_session(shop, customer, flow, **features)
    return str(refused.value.user_message)


def about(type: str, subscription: Any, **more: Any) -> dict[str, Any]:
    return {"type": type, type: {"subscription": subscription.id, **more}}


PAUSING = {"enabled": True, "duration": {"type": "indefinite"}}


def test_a_customer_changes_their_details(shop: Shop) -> None:
    """[DOC customer-management/portal-deep-links; the SDK's FlowData type]"""
    customer = shop.customer()
    seen = shop.seen()
    session = a_session(
        shop,
        customer.id,
        {
            "type": "customer_update",
            "after_completion": {"type": "redirect", "redirect": {"return_url": "http://shop.test/back"}},
        },
        customer_update={"enabled": True, "allowed_updates": ["name", "email", "address"]},
    )
    assert session.flow.customer_update is not None
    opened = shop.pages.get(session.url, follow_redirects=True)
    assert 'name="phone"' not in opened.text
    typed = {"name": "Ada Lovelace", "email": "ada@example.com", "line1": "1 Main St", "country": "GB", "phone": "1"}
    done = shop.pages.post(str(opened.url), data=typed)
    assert done.headers["location"] == "http://shop.test/back"
    changed = shop.api.customers.retrieve(customer.id)
    assert (changed.name, changed.email, changed.phone) == ("Ada Lovelace", "ada@example.com", None)
    assert changed.address is not None
    assert (changed.address.line1, changed.address.country, changed.address.city) == ("1 Main St", "GB", None)
    assert shop.types_since(seen).count("customer.updated") == 1


def test_an_email_that_is_none_changes_nothing(shop: Shop) -> None:
    customer = shop.customer()
    flow = {"type": "customer_update"}
    allowed = {"enabled": True, "allowed_updates": ["name", "email"]}
    session = a_session(shop, customer.id, flow, customer_update=allowed)
    page = str(shop.pages.get(session.url, follow_redirects=True).url)
    back = shop.pages.get(shop.pages.post(page, data={"name": "Ada", "email": "nobody"}).headers["location"])
    assert "Your email address is invalid." in back.text
    assert 'value="Ada"' in back.text
    assert shop.api.customers.retrieve(customer.id).email == customer.email


def test_a_pause_in_the_portal_is_one_by_the_api(shop: Shop) -> None:
    """[DOC billing/subscriptions/pause; the SDK's FlowData type]"""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    session = a_session(shop, customer.id, about("subscription_pause", subscription), subscription_pause=PAUSING)
    seen = shop.seen()
    page = shop.pages.get(session.url, follow_redirects=True)
    assert "confirm-pause" in page.text
    shop.pages.post(str(page.url))
    paused = shop.api.subscriptions.retrieve(subscription.id)
    assert paused.status == "paused"
    assert paused.status_details is not None
    assert paused.status_details.paused.subscription.type == "pause_requested"
    assert "customer.subscription.paused" in shop.types_since(seen)
    assert shop.pages.post(str(page.url)).status_code == 303, "a second click finds it paused"


def test_pausing_is_off_and_has_a_month_unless_told_otherwise(shop: Shop) -> None:
    """[DOC api/customer_portal/configurations: subscription_pause.duration]"""
    made = shop.api.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    pause = made.features.subscription_pause
    assert not pause.enabled
    assert (pause.duration.type, pause.duration.interval_options[0].interval) == ("interval_options", "month")
    told: Any = {"features": {"subscription_pause": PAUSING}}
    changed = shop.api.billing_portal.configurations.update(made.id, told).features.subscription_pause
    assert (changed.enabled, changed.duration.type, changed.duration.interval_options) == (True, "indefinite", [])
    none: Any = {"subscription_pause": {"enabled": True, "duration": {"type": "interval_options"}}}
    with pytest.raises(stripe.InvalidRequestError, match="interval_options"):
        shop.api.billing_portal.configurations.update(made.id, {"features": none})


@pytest.mark.parametrize(
    ("type", "words"),
    [
        ("customer_update", "disabled"),
        ("subscription_pause", "This subscription cannot be paused because the subscription pause feature in the"),
        ("subscription_update", "This subscription cannot be updated because the subscription update feature in the"),
    ],
)
def test_a_flow_whose_feature_is_off_is_refused(shop: Shop, type: str, words: str) -> None:
    """[LOG] the words for `subscription_update`, which come without a `param`."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    flow = about(type, subscription) if type.startswith("subscription") else {"type": type}
    assert words in refusal(shop, customer.id, flow)


def test_a_flow_takes_nothing_of_another(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    flow = about("subscription_cancel", subscription) | {"type": "payment_method_update"}
    assert "only pass `subscription_cancel`" in refusal(shop, customer.id, flow)


def test_what_is_canceled_already_is_not_canceled_again(shop: Shop) -> None:
    """[LOG] "already set to be canceled", also where `cancel_at` alone is set."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    flow = about("subscription_cancel", subscription)
    assert "already set to be canceled" in refusal(shop, customer.id, flow)


@pytest.mark.parametrize("type", ["subscription_update", "subscription_pause"])
@pytest.mark.parametrize("state", ["two items", "sent invoices", "a schedule", "an end"])
def test_what_the_portal_can_only_cancel_has_no_flow(shop: Shop, type: str, state: str) -> None:
    """[DOC customer-management#customer-portal-limitations]"""
    customer, subscription, _, feature = a_switch(shop)
    match state:
        case "two items":
            shop.api.subscription_items.create({"subscription": subscription.id, "price": shop.price(500).id})
        case "sent invoices":
            sent: Any = {"collection_method": "send_invoice", "days_until_due": 7}
            shop.api.subscriptions.update(subscription.id, sent)
        case "a schedule":
            shop.api.subscription_schedules.create({"from_subscription": subscription.id})
        case _:
            shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    features = {"subscription_update": feature, "subscription_pause": PAUSING}
    assert "This subscription cannot be" in refusal(shop, customer, about(type, subscription), **features)
    view = hosted(shop).portal(secret(shop.portal(customer, **features)))
    assert view is not None
    [shown] = view.subscriptions
    assert (shown.can_change, shown.can_pause) == (False, False)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({}, "no changes to confirm"),
        ({"quantity": 1}, "no changes to confirm"),
        ({"price": "other"}, "not included in the portal configuration"),
        ({"price": "price_x"}, "No such price"),
        ({"price": "new", "quantity": 6}, "quantity is not allowed"),
        ({"id": "si_other", "price": "new"}, "No such subscription_item"),
    ],
)
def test_a_change_to_confirm_is_one_the_configuration_allows(shop: Shop, item: dict[str, Any], words: str) -> None:
    """[LOG] "there are no changes to confirm"; [DOC] the SDK's type of an item for the rest."""
    customer, subscription, new, feature = a_switch(shop, minimum=1, maximum=5)
    prices = {"new": new.id, "other": shop.price(100).id}
    sent = {"id": subscription["items"].data[0].id, **item}
    if "price" in sent:
        sent["price"] = prices.get(sent["price"], sent["price"])
    flow = about("subscription_update_confirm", subscription, items=[sent])
    assert words in refusal(shop, customer, flow, subscription_update=feature)


def test_a_quantity_that_may_not_change_is_not_confirmed(shop: Shop) -> None:
    customer, subscription, new, feature = a_switch(shop)
    item = {"id": subscription["items"].data[0].id, "price": new.id, "quantity": 2}
    flow = about("subscription_update_confirm", subscription, items=[item])
    only_plans = feature | {"default_allowed_updates": ["price"]}
    assert "quantity updates are not allowed" in refusal(shop, customer, flow, subscription_update=only_plans)


def test_a_change_of_quantity_alone_opens_at_its_confirmation(shop: Shop) -> None:
    customer, subscription, _, feature = a_switch(shop)
    item = {"id": subscription["items"].data[0].id, "quantity": 3}
    flow = about("subscription_update_confirm", subscription, items=[item])
    opened = shop.pages.get(a_session(shop, customer, flow, subscription_update=feature).url, follow_redirects=True)
    assert "$27.00" in opened.text


def test_a_discount_comes_with_the_change_it_is_for(shop: Shop) -> None:
    """[DOC] the SDK's type of the flow: `discounts` apply to this subscription update; shown before, kept beside."""
    customer, subscription, new, feature = a_switch(shop)
    present, added = (shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id for _ in range(2))
    shop.api.subscriptions.update(subscription.id, {"discounts": [{"coupon": present}]})
    item = {"id": subscription["items"].data[0].id, "price": new.id, "quantity": 1}
    more = {"items": [item], "discounts": [{"coupon": added}]}
    flow = about("subscription_update_confirm", subscription, **more)
    opened = shop.pages.get(a_session(shop, customer, flow, subscription_update=feature).url, follow_redirects=True)
    said = amount_on(opened.text, "next-invoice")
    shop.pages.post(str(opened.url).split("?")[0], data={"price": new.id, "quantity": 1})
    changed = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["discounts"]})
    held: Any = changed.discounts
    assert [each.source.coupon for each in held] == [present, added]
    assert said == shop.api.invoices.create_preview({"subscription": subscription.id}).amount_due == 2349


def test_a_discount_that_is_unknown_or_one_of_two_is_refused(shop: Shop) -> None:
    customer, subscription, new, feature = a_switch(shop)
    item = {"id": subscription["items"].data[0].id, "price": new.id, "quantity": 1}
    for discounts, words in (([{"coupon": "none"}], "No such coupon"), ([{"coupon": "a"}, {"coupon": "b"}], "one")):
        flow = about("subscription_update_confirm", subscription, items=[item], discounts=discounts)
        assert words in refusal(shop, customer, flow, subscription_update=feature)
