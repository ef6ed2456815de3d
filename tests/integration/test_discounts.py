"""What takes something off a purchase: promotion codes and coupons, which only the server chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    BillingError,
    CurrencyRefused,
    DiscountExpired,
    DiscountNotApplicable,
    InvalidRequest,
    UnknownDiscount,
)
from paidup.core.catalog import Catalog, CheckoutTerms
from stripe_emulator import Emulator
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """The merchant's Dashboard."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.coupons.create({"id": "HALF", "percent_off": 50, "duration": "once"})
    return client


def a_code(client: sdk.StripeClient, code: str = "SPRING", **more: object) -> sdk.PromotionCode:
    params: object = {"promotion": {"type": "coupon", "coupon": "HALF"}, "code": code, **more}
    return client.v1.promotion_codes.create(params)  # type: ignore[arg-type]


def charged(stripe: Emulator) -> list[int]:
    return [event["data"]["object"]["amount_paid"] for event in stripe.events("invoice.paid")]


def terms(billing: Billing, **wanted: Any) -> Catalog:
    return replace(billing.catalog, checkout=CheckoutTerms(**wanted))


@pytest.mark.parametrize("asked", [{"promotion_code": " spring "}, {"coupon": "HALF"}])
def test_a_discount_that_the_server_chose_is_what_is_charged(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, asked: dict[str, Any]
) -> None:
    a_code(client)
    first = billing.checkout(OWNER, "pro", **asked)
    assert billing.checkout(OWNER, "pro", **asked).url == first.url
    pay(str(first.url))
    assert charged(stripe) == [1450]
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "pro"


def test_another_discount_is_another_page(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H47, H55: who asks without a code must not meet the page with it, nor the other way round."""
    plain = billing.checkout(OWNER, "pro")
    cheaper = billing.checkout(OWNER, "pro", coupon="HALF")
    assert stripe.get(str(plain.session_id))["status"] == "expired"
    assert billing.checkout(OWNER, "pro").session_id != cheaper.session_id
    assert stripe.get(str(cheaper.session_id))["status"] == "expired"


@pytest.mark.parametrize(
    ("code", "coupon", "error"),
    [
        ("NOBODY", None, UnknownDiscount),
        ("", None, UnknownDiscount),
        ("x" * 501, None, UnknownDiscount),
        (None, "NONE", UnknownDiscount),
        ("OFF", None, DiscountExpired),
        (None, "GONE", DiscountExpired),
        ("THEIRS", None, DiscountNotApplicable),
        ("LARGE", None, DiscountNotApplicable),
        (None, "EUROS", DiscountNotApplicable),
        ("SPRING", "HALF", InvalidRequest),
    ],
)
def test_a_discount_that_cannot_be_used_is_told_and_the_purchase_goes_on_without_it(
    billing: Billing,
    stripe: Emulator,
    client: sdk.StripeClient,
    code: str | None,
    coupon: str | None,
    error: type[BillingError],
) -> None:
    """H53, H67: what was refused holds no claim and no key."""
    a_code(client, "OFF", active=False)
    a_code(client, "THEIRS", customer=client.v1.customers.create().id)
    a_code(client, "LARGE", restrictions={"minimum_amount": 9000, "minimum_amount_currency": "usd"})
    client.v1.coupons.create({"id": "EUROS", "amount_off": 500, "currency": "eur", "duration": "once"})
    client.v1.coupons.create({"id": "GONE", "percent_off": 10, "duration": "once", "max_redemptions": 1})
    pay(str(billing.checkout("user:2", "pro", coupon="GONE").url))
    with pytest.raises(error) as refused:
        billing.checkout(OWNER, "pro", promotion_code=code, coupon=coupon)
    assert refused.value.remedy
    pay(str(billing.checkout(OWNER, "pro").url))
    assert charged(stripe)[-1] == 2900


def test_a_redemption_counts_once_it_is_paid_and_not_again(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H63: an abandoned page gives the code back; who comes back after the end does not have it for ever."""
    code = a_code(client, "FIRST", max_redemptions=2, restrictions={"first_time_transaction": True})
    billing.checkout(OWNER, "pro", promotion_code="FIRST")
    stripe.advance(days=2)
    pay(str(billing.checkout(OWNER, "pro", promotion_code="FIRST").url))
    assert client.v1.promotion_codes.retrieve(code.id).times_redeemed == 1
    billing.sync(OWNER)
    billing.cancel(OWNER, when="now")
    with pytest.raises(DiscountNotApplicable):
        billing.checkout(OWNER, "pro", promotion_code="FIRST")
    assert client.v1.promotion_codes.retrieve(code.id).times_redeemed == 1


def test_buyers_type_codes_only_when_the_plans_file_says_so(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient
) -> None:
    """Stripe refuses a page with a given discount on which codes may be typed too."""
    open_to_codes = make_billing(catalog=terms(billing, promotion_codes=True))
    plain = billing.checkout("user:2", "pro")
    assert stripe.get(str(plain.session_id))["allow_promotion_codes"] is None
    session = stripe.get(str(open_to_codes.checkout(OWNER, "pro").session_id))
    assert session["allow_promotion_codes"] is True
    session = stripe.get(str(open_to_codes.checkout(OWNER, "pro", coupon="HALF").session_id))
    assert (session["allow_promotion_codes"], len(session["discounts"])) == (None, 1)


def test_tax_and_tax_ids_are_asked_for_by_configuration(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """H64: the customer has no address yet; Stripe is told to keep the one that is typed."""
    taxed = make_billing(catalog=terms(billing, automatic_tax=True, tax_ids=True))
    checkout = taxed.checkout(OWNER, "pro")
    assert stripe.get(str(checkout.session_id))["automatic_tax"]["enabled"]
    pay(str(checkout.url))
    taxed.sync(OWNER)
    assert taxed.access(OWNER).plan == "pro"


def test_a_customer_is_not_sold_another_currency(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """H59: told before anybody is sent to a page that would refuse them."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    billing.cancel(OWNER, when="now")
    plans = tuple(
        replace(
            plan,
            prices=tuple(replace(each, currency="eur", lookup_key=f"eur_{each.lookup_key}") for each in plan.prices),
        )
        for plan in billing.catalog.plans
    )
    in_euros = make_billing(catalog=replace(billing.catalog, plans=plans, currency="eur"))
    in_euros.push_catalog()
    with pytest.raises(CurrencyRefused) as refused:
        in_euros.checkout(OWNER, "pro")
    assert (refused.value.currency, refused.value.status) == ("usd", 409)
    assert in_euros.checkout("user:2", "pro").state == "open"
