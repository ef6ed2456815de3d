"""
Coupons, promotion codes and the discounts they become.

[DOC] docs.stripe.com/billing/subscriptions/coupons: percent or amount, once, repeating or forever, limits, deletion;
docs.stripe.com/api/discounts/object: `source.coupon` since clover.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from emulator.tests.shop import Shop
from stripe_emulator.billing.discounts import take

FROZEN = 1_801_440_000
"""2027-02-01 00:00 UTC."""
MARCH, APRIL, MAY = 1_803_859_200, 1_806_537_600, 1_809_129_600
HOUR = 3601


def a_line(product: str = "prod_1", *, discountable: bool = True) -> dict[str, Any]:
    return {"discountable": discountable, "pricing": {"price_details": {"product": product}}}


def some_terms(**changes: Any) -> dict[str, Any]:
    terms = {"amount_off": None, "percent_off": None, "currency": "usd", "currency_options": None, "applies_to": None}
    return {**terms, **changes}


def advance(shop: Shop, clock: str, to: int) -> None:
    clocks = shop.api.test_helpers.test_clocks
    clocks.advance(clock, {"frozen_time": to})
    while clocks.retrieve(clock).status != "ready":
        pass


def on_a_clock(shop: Shop) -> tuple[str, str]:
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": FROZEN}).id
    return clock, shop.customer(clock=clock).id


def totals(shop: Shop, customer: str) -> list[int]:
    """The customer's invoices' totals, oldest first."""
    return [invoice.total for invoice in reversed(shop.api.invoices.list({"customer": customer}).data)]


def discount_ids(subscription: stripe.Subscription) -> list[str]:
    return [str(discount) for discount in subscription.discounts]


def test_a_coupon_is_made_renamed_listed_and_deleted(shop: Shop) -> None:
    """docs.stripe.com/api/coupons: only the name and the metadata of a coupon change."""
    seen = shop.seen()
    coupon = shop.api.coupons.create({"percent_off": 25.5, "duration": "once", "id": "SPRING", "name": "Spring"})
    assert (coupon.id, coupon.percent_off, coupon.valid, coupon.times_redeemed) == ("SPRING", 25.5, True, 0)
    shop.api.coupons.update("SPRING", {"name": "Summer", "metadata": {"by": "ada"}})
    assert [(found.name, found.to_dict()["metadata"]) for found in shop.api.coupons.list().data] == [
        ("Summer", {"by": "ada"})
    ]
    assert shop.api.coupons.delete("SPRING").deleted
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon: 'SPRING'"):
        shop.api.coupons.retrieve("SPRING")
    assert shop.types_since(seen) == ["coupon.created", "coupon.updated", "coupon.deleted"]
    assert shop.last_event("coupon.updated")["data"]["previous_attributes"] == {
        "name": "Spring",
        "metadata": {"by": None},
    }


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 10, "amount_off": 100, "currency": "usd"}, "percent_off"),
        ({"percent_off": 101}, "percent_off"),
        ({"amount_off": 100}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "duration": "once", "duration_in_months": 3}, "duration_in_months"),
        ({"percent_off": 10, "redeem_by": 5}, "redeem_by"),
        ({"percent_off": 10, "max_redemptions": 0}, "max_redemptions"),
        ({"percent_off": 10, "name": "x" * 41}, "name"),
    ],
)
def test_a_coupon_that_makes_no_sense_is_refused(shop: Shop, wrong: Any, param: str) -> None:
    """docs.stripe.com/api/coupons/create."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.coupons.create(wrong)
    assert caught.value.param == param


def test_a_percentage_forever_lowers_every_invoice(shop: Shop) -> None:
    """docs.stripe.com/api/discounts/object: the coupon is under `source` since clover."""
    clock, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"percent_off": 20, "duration": "forever"})
    seen = shop.seen()
    subscription = shop.subscribe(customer, shop.price().id, discounts=[{"coupon": coupon.id}], expand=["discounts"])
    discount = subscription.discounts[0]
    assert isinstance(discount, stripe.Discount)
    assert (discount.source.type, discount.source.coupon, discount.end) == ("coupon", coupon.id, None)
    assert (discount.subscription, discount.customer) == (subscription.id, customer)
    assert "customer.discount.created" in shop.types_since(seen)
    advance(shop, clock, MARCH + HOUR)
    assert totals(shop, customer) == [2400, 2400]
    invoice = shop.api.invoices.list({"customer": customer}).data[0]
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (3000, 2400, 2400)
    assert [(cut.amount, cut.discount) for cut in invoice.total_discount_amounts or []] == [(600, discount.id)]
    line = invoice.lines.data[0]
    assert (line.amount, [cut.amount for cut in line.discount_amounts or []]) == (3000, [600])


def test_a_coupon_for_once_lowers_one_invoice_and_goes(shop: Shop) -> None:
    """[INF] the discount leaves the subscription with the invoice it lowered."""
    clock, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"amount_off": 1000, "currency": "usd"})
    seen = shop.seen()
    subscription = shop.subscribe(customer, shop.price().id, discounts=[{"coupon": coupon.id}])
    assert subscription.discounts == []
    types = shop.types_since(seen)
    assert types.index("customer.discount.created") < types.index("customer.discount.deleted")
    advance(shop, clock, MARCH + HOUR)
    assert totals(shop, customer) == [2000, 3000]


def test_a_coupon_for_once_survives_a_free_trial(shop: Shop) -> None:
    """[INF] an invoice of nothing doesn't use it up."""
    _, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"percent_off": 50})
    subscription = shop.subscribe(
        customer, shop.price().id, discounts=[{"coupon": coupon.id}], trial_end=FROZEN + 7 * 86_400
    )
    assert len(subscription.discounts) == 1
    shop.api.subscriptions.update(subscription.id, {"trial_end": "now"})
    assert totals(shop, customer) == [0, 1500]
    assert shop.api.subscriptions.retrieve(subscription.id).discounts == []


def test_a_coupon_for_two_months_ends_after_two_invoices(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/coupons: invoices within the months after it was applied."""
    clock, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"percent_off": 50, "duration": "repeating", "duration_in_months": 2})
    subscription = shop.subscribe(customer, shop.price().id, discounts=[{"coupon": coupon.id}], expand=["discounts"])
    discount = subscription.discounts[0]
    assert isinstance(discount, stripe.Discount)
    assert (discount.start, discount.end) == (FROZEN, APRIL)
    advance(shop, clock, MARCH + HOUR)
    seen = shop.seen()
    preview = shop.api.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 3000
    advance(shop, clock, APRIL + HOUR)
    assert totals(shop, customer) == [1500, 1500, 3000]
    assert "customer.discount.deleted" in shop.types_since(seen)
    assert shop.api.subscriptions.retrieve(subscription.id).discounts == []


def test_discounts_follow_one_another_and_stop_at_nothing(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/coupons#stacking: in their order, each of what is left."""
    customer = shop.customer().id
    half = shop.api.coupons.create({"percent_off": 50, "duration": "forever"}).id
    ten = shop.api.coupons.create({"amount_off": 1000, "currency": "usd", "duration": "forever"}).id
    price = shop.price(3000).id
    shop.subscribe(customer, price, discounts=[{"coupon": half}, {"coupon": ten}])
    shop.subscribe(customer, price, discounts=[{"coupon": ten}, {"coupon": half}])
    free = shop.subscribe(customer, shop.price(500).id, discounts=[{"coupon": ten}], expand=["latest_invoice"])
    assert totals(shop, customer) == [500, 1000, 0]
    assert isinstance(free.latest_invoice, stripe.Invoice)
    assert (free.status, free.latest_invoice.status) == ("active", "paid")


def test_a_coupon_for_one_product_leaves_others_alone(shop: Shop) -> None:
    """docs.stripe.com/api/coupons/object: `applies_to` is there when expanded."""
    customer, pro, seats = shop.customer().id, shop.price(3000), shop.price(1000, name="Seats")
    assert isinstance(pro.product, str)
    coupon = shop.api.coupons.create(
        {"percent_off": 50, "applies_to": {"products": [pro.product]}, "expand": ["applies_to"]}
    )
    assert coupon.applies_to is not None
    assert coupon.applies_to.products == [pro.product]
    shop.api.subscriptions.create(
        {"customer": customer, "items": [{"price": pro.id}, {"price": seats.id}], "discounts": [{"coupon": coupon.id}]}
    )
    assert totals(shop, customer) == [2500]


def test_an_items_own_discount_lowers_its_line_only(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/coupons: discounts on subscription items."""
    customer, coupon = shop.customer().id, shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    subscription = shop.api.subscriptions.create(
        {
            "customer": customer,
            "items": [
                {"price": shop.price(3000).id, "discounts": [{"coupon": coupon}]},
                {"price": shop.price(1000, name="Seats").id},
            ],
        }
    )
    assert subscription.discounts == []
    assert [len(item.discounts) for item in subscription["items"].data] == [1, 0]
    assert totals(shop, customer) == [3700]


def test_discounts_are_replaced_kept_and_cleared_by_updates(shop: Shop) -> None:
    """docs.stripe.com/api/subscriptions/update: the list given is the list there is."""
    customer = shop.customer().id
    one, two = (shop.api.coupons.create({"percent_off": off, "duration": "forever"}).id for off in (10, 20))
    subscription = shop.subscribe(customer, shop.price().id, discounts=[{"coupon": one}])
    first = discount_ids(subscription)[0]
    both = shop.api.subscriptions.update(subscription.id, {"discounts": [{"discount": first}, {"coupon": two}]})
    assert discount_ids(both)[0] == first
    assert len(both.discounts) == 2
    assert shop.api.invoices.create_preview({"subscription": subscription.id}).total == 2160
    seen = shop.seen()
    only = shop.api.subscriptions.update(subscription.id, {"discounts": [{"coupon": two}]})
    assert shop.types_since(seen) == [
        "customer.discount.deleted",
        "customer.discount.deleted",
        "customer.discount.created",
        "customer.subscription.updated",
    ]
    assert len(only.discounts) == 1
    assert shop.api.subscriptions.update(subscription.id, {"discounts": ""}).discounts == []


def test_a_discount_is_deleted_on_its_own(shop: Shop) -> None:
    """docs.stripe.com/api/discounts/subscription_delete."""
    coupon = shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    subscription = shop.subscribe(shop.customer().id, shop.price().id, discounts=[{"coupon": coupon}])
    deleted = shop.api.subscriptions.delete_discount(subscription.id)
    assert (deleted.id, deleted.deleted) == (discount_ids(subscription)[0], True)
    assert shop.api.subscriptions.retrieve(subscription.id).discounts == []
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.delete_discount(subscription.id)


def test_deleting_a_coupon_takes_nothing_from_those_who_have_it(shop: Shop) -> None:
    """docs.stripe.com/api/coupons/delete."""
    clock, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"percent_off": 50, "duration": "forever"}).id
    shop.subscribe(customer, shop.price().id, discounts=[{"coupon": coupon}])
    shop.api.coupons.delete(coupon)
    advance(shop, clock, MARCH + HOUR)
    assert totals(shop, customer) == [1500, 1500]
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon"):
        shop.subscribe(customer, shop.price().id, discounts=[{"coupon": coupon}])


def test_a_coupon_is_redeemed_no_more_often_than_it_may(shop: Shop) -> None:
    """docs.stripe.com/api/coupons/object: `valid` and `times_redeemed`; docs.stripe.com/error-codes: coupon_expired."""
    coupon = shop.api.coupons.create({"percent_off": 50, "duration": "forever", "max_redemptions": 1}).id
    code = shop.api.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon}})
    shop.subscribe(shop.customer().id, shop.price().id, discounts=[{"coupon": coupon}])
    used = shop.api.coupons.retrieve(coupon)
    assert (used.valid, used.times_redeemed) == (False, 1)
    assert not shop.api.promotion_codes.retrieve(code.id).active
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(shop.customer().id, shop.price().id, discounts=[{"coupon": coupon}])
    assert (caught.value.code, caught.value.param) == ("coupon_expired", "discounts[0][coupon]")


def test_a_coupon_past_its_last_day_is_not_redeemed(shop: Shop) -> None:
    """docs.stripe.com/api/coupons/object: `redeem_by`."""
    now = int(shop.emulator.now.timestamp())
    coupon = shop.api.coupons.create({"percent_off": 50, "redeem_by": now + 3600}).id
    shop.emulator.advance(seconds=7200)
    assert not shop.api.coupons.retrieve(coupon).valid
    with pytest.raises(stripe.InvalidRequestError, match="Coupon expired"):
        shop.subscribe(shop.customer().id, shop.price().id, discounts=[{"coupon": coupon}])


def test_an_amount_is_taken_off_in_its_own_currencies_only(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/coupons#multi-currency-coupons."""
    price = shop.price().id
    euros = shop.api.coupons.create({"amount_off": 500, "currency": "eur"}).id
    with pytest.raises(stripe.InvalidRequestError, match="eur"):
        shop.subscribe(shop.customer().id, price, discounts=[{"coupon": euros}])
    both = shop.api.coupons.create(
        {"amount_off": 500, "currency": "eur", "currency_options": {"usd": {"amount_off": 600}}}
    ).id
    customer = shop.customer().id
    shop.subscribe(customer, price, discounts=[{"coupon": both}])
    assert totals(shop, customer) == [2400]


def test_an_upgrade_is_prorated_with_the_discount_in_it(shop: Shop) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/billing-mode: flexible, `proration_discounts=included`."""
    clock, customer = on_a_clock(shop)
    coupon = shop.api.coupons.create({"percent_off": 50, "duration": "forever"}).id
    subscription = shop.subscribe(customer, shop.price(3000).id, discounts=[{"coupon": coupon}])
    advance(shop, clock, FROZEN + 14 * 86_400)
    item = subscription["items"].data[0].id
    shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item, "price": shop.price(10_000, name="Business").id}],
            "proration_behavior": "always_invoice",
        },
    )
    invoice = shop.api.invoices.list({"customer": customer}).data[0]
    assert [line.amount for line in invoice.lines.data] == [-750, 2500]
    assert [line.discountable for line in invoice.lines.data] == [False, False]
    assert invoice.total == 1750


def test_a_preview_redeems_nothing(shop: Shop) -> None:
    """docs.stripe.com/api/invoices/create_preview: `discounts`."""
    customer, price, coupon = shop.customer().id, shop.price().id, shop.api.coupons.create({"percent_off": 10}).id
    new = shop.api.invoices.create_preview(
        {
            "customer": customer,
            "subscription_details": {"items": [{"price": price}]},
            "discounts": [{"coupon": coupon}],
        }
    )
    subscription = shop.subscribe(customer, price)
    next_one = shop.api.invoices.create_preview({"subscription": subscription.id, "discounts": [{"coupon": coupon}]})
    assert (new.total, next_one.total) == (2700, 2700)
    assert shop.api.coupons.retrieve(coupon).times_redeemed == 0
    assert shop.api.subscriptions.retrieve(subscription.id).discounts == []


def test_a_promotion_code_redeems_its_coupon_and_counts(shop: Shop) -> None:
    """docs.stripe.com/api/promotion_codes/object: `promotion.coupon` since clover."""
    coupon = shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    seen = shop.seen()
    code = shop.api.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon}, "code": "FALL20", "max_redemptions": 1}
    )
    assert (code.promotion.type, code.promotion.coupon, code.code, code.active) == ("coupon", coupon, "FALL20", True)
    subscription = shop.subscribe(
        shop.customer().id, shop.price().id, discounts=[{"promotion_code": code.id}], expand=["discounts"]
    )
    discount = subscription.discounts[0]
    assert isinstance(discount, stripe.Discount)
    assert (discount.promotion_code, discount.source.coupon) == (code.id, coupon)
    used = shop.api.promotion_codes.retrieve(code.id, {"expand": ["promotion.coupon"]})
    assert (used.times_redeemed, used.active) == (1, False)
    assert isinstance(used.promotion.coupon, stripe.Coupon)
    assert used.promotion.coupon.times_redeemed == 1
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.subscribe(shop.customer().id, shop.price().id, discounts=[{"promotion_code": code.id}])
    shop.api.promotion_codes.update(code.id, {"active": False})
    types = shop.types_since(seen)
    assert types[0] == "promotion_code.created"


def test_promotion_codes_are_found_and_switched_off(shop: Shop) -> None:
    """docs.stripe.com/api/promotion_codes/list: codes are case-insensitive, one active one each."""
    coupon = shop.api.coupons.create({"percent_off": 10}).id
    promotion: Any = {"type": "coupon", "coupon": coupon}
    code = shop.api.promotion_codes.create({"promotion": promotion, "code": "FALL20"})
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.api.promotion_codes.create({"promotion": promotion, "code": "fall20"})
    assert [found.id for found in shop.api.promotion_codes.list({"code": "Fall20", "active": True}).data] == [code.id]
    seen = shop.seen()
    shop.api.promotion_codes.update(code.id, {"active": False})
    assert shop.types_since(seen) == ["promotion_code.updated"]
    assert shop.api.promotion_codes.list({"coupon": coupon, "active": True}).data == []
    assert shop.api.promotion_codes.create({"promotion": promotion, "code": "FALL20"}).active


def test_a_promotion_codes_restrictions_hold(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/coupons#promotion-codes: customer, first transaction, minimum."""
    coupon = shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    promotion: Any = {"type": "coupon", "coupon": coupon}
    ada, bob, price = shop.customer().id, shop.customer().id, shop.price().id
    codes = shop.api.promotion_codes
    hers = codes.create({"promotion": promotion, "customer": ada}).id
    first = codes.create({"promotion": promotion, "restrictions": {"first_time_transaction": True}}).id
    large = codes.create(
        {"promotion": promotion, "restrictions": {"minimum_amount": 3001, "minimum_amount_currency": "usd"}}
    ).id
    shop.subscribe(ada, price, discounts=[{"promotion_code": hers}])
    for customer, code, why in (
        (bob, hers, "different customer"),
        (ada, first, "prior trans"),
        (bob, large, "minimum"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=why):
            shop.subscribe(customer, price, discounts=[{"promotion_code": code}])
    shop.subscribe(bob, price, quantity=2, discounts=[{"promotion_code": large}])


@given(
    st.lists(st.integers(-5_000, 50_000), min_size=1, max_size=6),
    st.one_of(
        st.builds(lambda off: {"percent_off": off}, st.integers(1, 100)),
        st.builds(lambda off: {"amount_off": off}, st.integers(1, 90_000)),
    ),
)
def test_a_discount_never_takes_more_than_there_is(amounts: list[int], off: dict[str, int]) -> None:
    """[DOC] an invoice is never lowered below nothing; an amount off is spread to the last cent."""
    taken = take(some_terms(**off), [a_line() for _ in amounts], amounts, "usd")
    assert all(0 <= cut <= max(amount, 0) for cut, amount in zip(taken, amounts, strict=True))
    if "amount_off" in off:
        assert sum(taken) == min(off["amount_off"], sum(amount for amount in amounts if amount > 0))


def test_percentages_are_rounded_line_by_line() -> None:
    """[INF] halves up: 12.5 % of 1.00 and of 0.12 is 0.13 and 0.02."""
    assert take(some_terms(percent_off=12.5), [a_line(), a_line()], [100, 12], "usd") == [13, 2]
    assert take(some_terms(percent_off=50), [a_line(discountable=False)], [100], "usd") == [0]
