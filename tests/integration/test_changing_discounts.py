"""Promotion codes and coupons with a change: in the quote, charged as quoted, and redeemed once the change is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    ChangeNotPaid,
    DiscountExpired,
    DiscountNotApplicable,
    DiscountRefused,
    InvalidRequest,
    QuoteChanged,
    Subscription,
    UnknownDiscount,
)
from paidup.core.catalog import CheckoutTerms
from stripe_emulator import Emulator
from tests.support.account import subscribe
from tests.support.databases import SqliteDatabases
from tests.support.host_app import HostApp

OWNER = "user:1"


@pytest.fixture
def databases(sqlite_databases: SqliteDatabases) -> SqliteDatabases:
    """One kind will do: the discounts are Stripe's, and `test_changing` stores quotes in both."""
    return sqlite_databases


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """The merchant's Dashboard."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.coupons.create({"id": "FIFTH", "percent_off": 20, "duration": "forever"})
    client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": "FIFTH"}, "code": "SPRING"})
    return client


@pytest.fixture
def subscriber(billing: Billing, client: sdk.StripeClient) -> Billing:
    """Billing that knows a subscriber of Pro."""
    subscribe(billing)
    billing.sync(OWNER)
    return billing


def known(billing: Billing) -> Subscription:
    found = billing.subscription(OWNER)
    assert found is not None
    return found


def charged(client: sdk.StripeClient, billing: Billing) -> list[int]:
    """What was charged, oldest first."""
    found = client.v1.charges.list({"customer": known(billing).customer, "limit": 100}).data
    return [each.amount for each in found if each.status == "succeeded"][::-1]


def redeemed(client: sdk.StripeClient) -> int:
    return client.v1.coupons.retrieve("FIFTH").times_redeemed


def held(client: sdk.StripeClient, billing: Billing) -> list[str]:
    """The coupons of the subscription."""
    found: Any = client.v1.subscriptions.retrieve(known(billing).id, {"expand": ["discounts"]})
    return [each.source.coupon for each in found.discounts]


@pytest.mark.hazard(86)
@pytest.mark.parametrize("asked", [{"promotion_code": " spring "}, {"coupon": "FIFTH"}])
def test_a_change_at_once_is_charged_less_and_keeps_what_was_taken_off_before(
    subscriber: Billing, client: sdk.StripeClient, asked: dict[str, Any]
) -> None:
    client.v1.coupons.create({"id": "OLD", "percent_off": 50, "duration": "forever"})
    client.v1.subscriptions.update(known(subscriber).id, {"discounts": [{"coupon": "OLD"}]})
    plain = subscriber.preview_change(OWNER, "team", seats=10)
    quote = subscriber.preview_change(OWNER, "team", seats=10, **asked)
    # The old plan was paid before anything was taken off; of the new one half is left, and of that four fifths.
    assert (plain.due_now, plain.next_amount) == (7500 - 2900, 7500)
    assert (quote.due_now, quote.next_amount) == (6000 - 2900, 6000)
    assert quote.promotion_code == ("spring" if "promotion_code" in asked else None)
    assert redeemed(client) == 0
    for _ in range(2):
        subscriber.change_plan(OWNER, quote.id)
    assert charged(client, subscriber) == [2900, 3100]
    assert (held(client, subscriber), redeemed(client)) == (["OLD", "FIFTH"], 1)


def test_a_planned_change_is_cheaper_from_its_first_period_on(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    quote = subscriber.preview_change(OWNER, "basic", promotion_code="SPRING")
    assert (quote.when, quote.due_now, quote.next_amount) == ("period_end", 0, 720)
    subscriber.change_plan(OWNER, quote.id)
    assert (known(subscriber).plan, held(client, subscriber)) == ("pro", [])
    stripe.advance(days=33)
    subscriber.sync(OWNER)
    assert known(subscriber).plan == "basic"
    assert charged(client, subscriber) == [2900, 720]
    assert (held(client, subscriber), redeemed(client)) == (["FIFTH"], 1)


def test_in_a_trial_it_waits_for_the_first_invoice(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    subscribe(billing, "basic")
    billing.sync(OWNER)
    running = known(billing)
    assert running.is_trialing
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": running.customer})
    client.v1.subscriptions.update(running.id, {"default_payment_method": card.id})
    quote = billing.preview_change(OWNER, "basic", interval="year", promotion_code="SPRING")
    assert (quote.when, quote.due_now, quote.next_amount) == ("now", 0, 7200)
    billing.change_plan(OWNER, quote.id)
    stripe.advance(to="trial_end")
    stripe.advance(days=0.1)
    assert charged(client, billing) == [7200]


def test_a_card_that_is_declined_leaves_the_code_unused(subscriber: Billing, client: sdk.StripeClient) -> None:
    """The change is off, and the same quote may be confirmed with another card."""
    running = known(subscriber)
    quote = subscriber.preview_change(OWNER, "team", seats=10, promotion_code="SPRING")
    bad, good = (
        client.v1.payment_methods.attach(card, {"customer": running.customer}).id
        for card in ("pm_card_chargeCustomerFail", "pm_card_visa")
    )
    client.v1.subscriptions.update(running.id, {"default_payment_method": bad})
    with pytest.raises(ChangeNotPaid):
        subscriber.change_plan(OWNER, quote.id)
    assert (known(subscriber).plan, held(client, subscriber), redeemed(client)) == ("pro", [], 0)
    client.v1.subscriptions.update(running.id, {"default_payment_method": good})
    assert subscriber.change_plan(OWNER, quote.id).plan == "team"
    assert charged(client, subscriber) == [2900, quote.due_now]
    assert (held(client, subscriber), redeemed(client)) == (["FIFTH"], 1)


@pytest.mark.parametrize("plan", ["team", "basic"])
@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"promotion_code": "NOPE"}, UnknownDiscount),
        ({"promotion_code": "OVER"}, DiscountExpired),
        ({"promotion_code": "THEIRS"}, DiscountNotApplicable),
        ({"promotion_code": "FIRST"}, DiscountNotApplicable),
        ({"coupon": "NOPE"}, UnknownDiscount),
        ({"coupon": "FIFTH", "promotion_code": "SPRING"}, InvalidRequest),
    ],
)
def test_a_discount_that_cannot_be_used_is_told_and_nothing_is_changed(
    subscriber: Billing, client: sdk.StripeClient, plan: str, asked: dict[str, Any], error: type[Exception]
) -> None:
    def a_code(code: str, **more: object) -> str:
        params: Any = {"promotion": {"type": "coupon", "coupon": "FIFTH"}, "code": code, **more}
        return client.v1.promotion_codes.create(params).id

    client.v1.promotion_codes.update(a_code("OVER"), {"active": False})
    a_code("THEIRS", customer=client.v1.customers.create({}).id)
    a_code("FIRST", restrictions={"first_time_transaction": True})
    with pytest.raises(error):
        subscriber.preview_change(OWNER, plan, **asked)
    subscriber.change_plan(OWNER, subscriber.preview_change(OWNER, plan).id)
    assert redeemed(client) == 0


@pytest.mark.hazard(86)
def test_a_new_quote_has_the_code_as_long_as_it_holds(subscriber: Billing, client: sdk.StripeClient) -> None:
    quote = subscriber.preview_change(OWNER, "team", seats=10, promotion_code="SPRING")
    customer = known(subscriber).customer
    client.v1.customers.balance_transactions.create(customer, {"amount": -100, "currency": "usd"})
    with pytest.raises(QuoteChanged) as changed:
        subscriber.change_plan(OWNER, quote.id)
    fresh = changed.value.quote
    assert (fresh.promotion_code, fresh.due_now) == ("SPRING", quote.due_now - 100)
    (code,) = client.v1.promotion_codes.list({"code": "SPRING"}).data
    client.v1.promotion_codes.update(code.id, {"active": False})
    with pytest.raises(DiscountRefused):
        subscriber.change_plan(OWNER, fresh.id)
    assert charged(client, subscriber) == [2900]


def test_a_browser_may_name_a_code_where_the_plans_file_lets_buyers_type_them(host_app: HostApp) -> None:
    subscribe(host_app.billing)
    with host_app.client(OWNER) as http:
        asked = {"plan": "team", "promotion_code": "SPRING"}
        refused = http.post("/billing/change/preview", json=asked)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        terms = replace(host_app.billing.catalog, checkout=CheckoutTerms(promotion_codes=True))
        host_app.billing.catalog = terms
        unknown = http.post("/billing/change/preview", json=asked)
        assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_discount")
        assert http.post("/billing/change/preview", json={"plan": "team", "coupon": "FIFTH"}).status_code == 422
