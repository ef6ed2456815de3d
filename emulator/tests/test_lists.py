"""Lists and expansion. [DOC] docs.stripe.com/api/pagination and /api/expanding_objects."""

from __future__ import annotations

import pytest
import stripe

from emulator.tests.shop import Shop


def test_lists_come_newest_first_in_pages(shop: Shop) -> None:
    made = [shop.api.customers.create({"name": str(n)}).id for n in range(5)]
    first = shop.api.customers.list({"limit": 2})
    assert [one.id for one in first.data] == made[:2:-1]
    assert first.has_more is True
    rest = shop.api.customers.list({"limit": 3, "starting_after": first.data[-1].id})
    assert [one.id for one in rest.data] == made[2::-1]
    assert rest.has_more is False


def test_ending_before_gives_the_page_above(shop: Shop) -> None:
    made = [shop.api.customers.create({"name": str(n)}).id for n in range(5)]
    page = shop.api.customers.list({"limit": 2, "ending_before": made[0]})
    assert [one.id for one in page.data] == [made[2], made[1]]
    assert page.has_more is True


def test_the_sdk_walks_all_pages(shop: Shop) -> None:
    made = {shop.api.customers.create().id for _ in range(12)}
    assert {one.id for one in shop.api.customers.list({"limit": 5}).auto_paging_iter()} == made


def test_a_limit_outside_1_to_100_is_refused(shop: Shop) -> None:
    for limit in (0, 101):
        with pytest.raises(stripe.InvalidRequestError):
            shop.api.customers.list({"limit": limit})


def test_an_unknown_cursor_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.customers.list({"starting_after": "cus_none"})
    assert caught.value.param == "starting_after"


def test_created_bounds_select(shop: Shop) -> None:
    early = shop.api.customers.create()
    shop.emulator.advance(days=2)
    late = shop.api.customers.create()
    assert [one.id for one in shop.api.customers.list({"created": {"gte": late.created}}).data] == [late.id]
    assert [one.id for one in shop.api.customers.list({"created": {"lt": late.created}}).data] == [early.id]


def test_ids_expand_to_objects_four_levels_deep(shop: Shop) -> None:
    customer, price = shop.customer(), shop.price()
    subscription = shop.subscribe(customer.id, price.id)
    found = shop.api.subscriptions.retrieve(
        subscription.id,
        {
            "expand": [
                "customer.invoice_settings.default_payment_method",
                "latest_invoice.payments.data.payment.payment_intent",
                "items.data.price.product",
            ]
        },
    )
    assert isinstance(found.customer, stripe.Customer)
    assert found.customer.invoice_settings is not None
    assert isinstance(found.customer.invoice_settings.default_payment_method, stripe.PaymentMethod)
    assert isinstance(found.latest_invoice, stripe.Invoice)
    assert found.latest_invoice.payments is not None
    assert isinstance(found.latest_invoice.payments.data[0].payment.payment_intent, stripe.PaymentIntent)
    assert isinstance(found["items"].data[0].price.product, stripe.Product)


def test_expanding_a_list_goes_through_data(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer.id, shop.price().id)
    listed = shop.api.subscriptions.list({"expand": ["data.customer"]})
    assert isinstance(listed.data[0].customer, stripe.Customer)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.list({"expand": ["customer"]})


@pytest.mark.parametrize("path", ["nonsense", "status", "customer.email", "items.data.price.product.default_price.x"])
def test_a_path_that_leads_nowhere_is_refused(shop: Shop, path: str) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.subscriptions.retrieve(subscription.id, {"expand": [path]})
    assert "cannot" in str(caught.value)


def test_a_null_field_may_be_expanded(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    assert shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]}).subscription is None


def test_line_items_are_absent_until_expanded(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    assert "line_items" not in session
    expanded = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["line_items"]})
    assert expanded.line_items is not None
    assert expanded.line_items.data[0].amount_total == 3000


def test_prices_are_found_by_lookup_key_and_the_key_moves_to_a_new_price(shop: Shop) -> None:
    product = shop.api.products.create({"name": "Pro"}).id
    old = shop.api.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 100,
            "lookup_key": "pro",
            "recurring": {"interval": "month"},
        }
    )
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.prices.create({"product": product, "currency": "usd", "unit_amount": 200, "lookup_key": "pro"})
    new = shop.api.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 200,
            "lookup_key": "pro",
            "transfer_lookup_key": True,
            "recurring": {"interval": "month"},
        }
    )
    assert [price.id for price in shop.api.prices.list({"lookup_keys": ["pro"]}).data] == [new.id]
    assert shop.api.prices.retrieve(old.id).lookup_key is None


def test_an_archived_price_cannot_be_sold(shop: Shop) -> None:
    price = shop.price()
    shop.api.prices.update(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.session(price.id)
    assert "inactive" in str(caught.value)
