"""
One price in several currencies.

[DOC] docs.stripe.com/products-prices/manage-prices#use-multi-currency-prices and api/prices, unless a test says
otherwise. Figures are worked out by hand.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from emulator.tests.test_portal import hosted, secret
from emulator.tests.test_prorations import FROZEN, HALF, MONTH_END, Clocked
from emulator.tests.test_subscription_schedules import HOUR

OPTIONS: Any = {"eur": {"unit_amount": 2700}, "jpy": {"unit_amount": 4200}, "kwd": {"unit_amount": 8900}}


def a_price(shop: Shop, amount: int = 2900, options: Any = OPTIONS, **terms: Any) -> stripe.Price:
    product = shop.api.products.create({"name": "Pro"}).id
    sent: Any = {"product": product, "currency": "usd", "unit_amount": amount, "recurring": {"interval": "month"}}
    sent |= {"currency_options": options, **terms}
    return shop.api.prices.create(sent)


def options_of(shop: Shop, price: str) -> dict[str, int | None]:
    shown = shop.api.prices.retrieve(price, {"expand": ["currency_options"]}).currency_options
    assert shown is not None
    return {code: option["unit_amount"] for code, option in shown.to_dict().items()}


def test_currencies_are_shown_when_they_are_expanded(shop: Shop) -> None:
    """Its own is among them, for a price that has no other as well."""
    price = a_price(shop)
    assert "currency_options" not in price
    assert options_of(shop, price.id) == {"eur": 2700, "jpy": 4200, "kwd": 8900, "usd": 2900}
    [listed] = shop.api.prices.list({"expand": ["data.currency_options"]}).data
    assert listed.currency_options is not None
    assert options_of(shop, shop.price(500).id) == {"usd": 500}


def test_a_currency_is_added_to_a_price_there_is(shop: Shop) -> None:
    price = a_price(shop, options={"eur": {"unit_amount": 2700}})
    shop.api.prices.update(price.id, {"currency_options": {"gbp": {"unit_amount": 2300}}})
    assert shop.types_since()[-1] == "price.updated"
    assert options_of(shop, price.id) == {"eur": 2700, "gbp": 2300, "usd": 2900}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"euro": {"unit_amount": 1}}, "currency_options[euro]"),
        ({"usd": {"unit_amount": 1}}, "currency_options[usd]"),  # [INF]
        ({"eur": {"tax_behavior": "exclusive"}}, "currency_options[eur][unit_amount]"),
        ({"eur": {"unit_amount": -1}}, "currency_options[eur][unit_amount]"),
    ],
)
def test_options_that_make_no_sense_are_refused(shop: Shop, options: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        a_price(shop, options=options)
    assert caught.value.param == param


def test_tiers_have_their_amounts_in_every_currency(shop: Shop) -> None:
    """5 * 700 cents, 5 * 90 yen."""
    product = shop.api.products.create({"name": "Seats"}).id
    tiers: Any = [{"up_to": "inf", "unit_amount": 700}]
    price = shop.api.prices.create(
        {
            "product": product,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "billing_scheme": "tiered",
            "tiers_mode": "volume",
            "tiers": tiers,
            "currency_options": {"jpy": {"tiers": [{"up_to": "inf", "unit_amount": 90}]}},
        }
    )
    totals = []
    for currency in ("usd", "jpy"):
        subscription = shop.subscribe(shop.customer().id, price.id, quantity=5, currency=currency)
        totals.append(shop.api.invoices.retrieve(str(subscription.latest_invoice)).total)
    assert totals == [3500, 450]


@pytest.mark.parametrize(
    ("currency", "total", "text"), [("eur", 5400, "€54.00"), ("jpy", 8400, "¥8,400"), ("kwd", 17_800, "KWD 17.800")]
)
def test_checkout_sells_in_the_currency_it_is_told(shop: Shop, currency: str, total: int, text: str) -> None:
    """Two seats of 27.00 euros, 4,200 yen, 8.900 dinars."""
    customer = shop.customer(None).id
    line: Any = [{"price": a_price(shop).id, "quantity": 2}]
    session = shop.session("", line_items=line, currency=currency, customer=customer)
    assert (session.currency, session.amount_total) == (currency, total)
    page = shop.pages.get(f"/c/pay/{session.id}").text.replace("\N{NO-BREAK SPACE}", " ")
    assert text in page
    assert "$" not in page
    shop.pay(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice.payments"]})
    subscription, invoice = done.subscription, done.invoice
    assert isinstance(subscription, stripe.Subscription)
    assert isinstance(invoice, stripe.Invoice)
    assert (subscription.currency, invoice.currency, invoice.amount_paid) == (currency, currency, total)
    assert shop.api.customers.retrieve(customer).currency == currency
    [item] = subscription["items"].data
    assert (item.price.currency, item.price.unit_amount) == ("usd", 2900)  # the price itself is what it was


def test_a_customer_who_is_billed_in_a_currency_is_sold_in_it(shop: Shop) -> None:
    customer, price = shop.customer().id, a_price(shop)
    shop.subscribe(customer, price.id, currency="eur")
    session = shop.session(a_price(shop).id, customer=customer)
    assert (session.currency, session.amount_total) == ("eur", 2700)


def test_a_price_without_the_currency_is_refused(shop: Shop) -> None:
    """[REC] the messages: of a price with one currency, and of one with several."""
    for price, words in (
        (shop.price(), "The price specified only supports `usd`. This doesn't match the expected currency: `gbp`."),
        (a_price(shop), "supports currencies of `usd`, `eur`, `jpy`, `kwd` which doesn't include the expected"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.session(price.id, currency="gbp")
        assert words in str(caught.value)
        assert caught.value.param == "line_items[0][price]"


def test_a_subscription_is_not_changed_to_a_price_without_its_currency(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, a_price(shop).id, currency="eur")
    change: Any = {"items": [{"id": subscription["items"].data[0].id, "price": shop.price().id}]}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.subscriptions.update(subscription.id, change)
    assert caught.value.param == "items[0][price]"


def test_currencies_are_not_combined_while_anything_is_billed(shop: Shop) -> None:
    """[REC] the message. [SUP] Once nothing is, the customer's currency changes with the next subscription."""
    customer, price = shop.customer().id, a_price(shop)
    running = shop.subscribe(customer, price.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.session(price.id, customer=customer, currency="eur")
    assert str(caught.value.user_message).endswith("mode checkout session with currency usd.")
    shop.api.subscriptions.cancel(running.id)
    assert shop.subscribe(customer, price.id, currency="eur").currency == "eur"
    assert shop.api.customers.retrieve(customer).currency == "eur"


def test_an_open_session_holds_its_currency(shop: Shop) -> None:
    """[REC] by the message's own words."""
    customer, price = shop.customer().id, a_price(shop)
    session = shop.session(price.id, customer=customer)
    with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies"):
        shop.session(price.id, customer=customer, currency="eur")
    shop.api.checkout.sessions.expire(session.id)
    assert shop.session(price.id, customer=customer, currency="eur").currency == "eur"


class InEuros(Clocked):
    """A shop whose customer pays 27.00 euros a month."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self.pro = a_price(shop)
        self.business = a_price(shop, 10_000, {"eur": {"unit_amount": 9100}})
        self.subscription = shop.subscribe(self.customer, self.pro.id, currency="eur")


@pytest.fixture
def in_euros(shop: Shop) -> InEuros:
    return InEuros(shop)


def test_a_change_halfway_is_prorated_in_the_subscriptions_currency(in_euros: InEuros) -> None:
    """Half of 27.00 back, half of 91.00 charged: 32.00. The preview says the same."""
    in_euros.advance(HALF)
    items: Any = [{"id": in_euros.item(in_euros.subscription), "price": in_euros.business.id}]
    told: Any = {"items": items, "proration_behavior": "always_invoice"}
    preview = in_euros.shop.api.invoices.create_preview(
        {"subscription": in_euros.subscription.id, "subscription_details": told}
    )
    updated = in_euros.shop.api.subscriptions.update(in_euros.subscription.id, told)
    invoice = in_euros.shop.api.invoices.retrieve(str(updated.latest_invoice))
    assert [line.amount for line in invoice.lines.data] == [-1350, 4550]
    assert (invoice.currency, invoice.total, preview.currency, preview.total) == ("eur", 3200, "eur", 3200)


def test_a_renewal_is_in_the_subscriptions_currency(in_euros: InEuros) -> None:
    in_euros.advance(MONTH_END + HOUR)
    renewed = in_euros.shop.api.subscriptions.retrieve(in_euros.subscription.id)
    invoice = in_euros.shop.api.invoices.retrieve(str(renewed.latest_invoice))
    assert (invoice.currency, invoice.amount_paid, invoice.period_start) == ("eur", 2700, FROZEN)
    [line] = invoice.lines.data
    assert line.description == "1 × Pro (at €27.00 / month)"
    assert line.pricing is not None
    assert str(line.pricing.unit_amount_decimal) == "2700"


def test_a_schedule_goes_on_in_the_subscriptions_currency(in_euros: InEuros) -> None:
    schedules = in_euros.shop.api.subscription_schedules
    schedule = schedules.create({"from_subscription": in_euros.subscription.id})
    now = schedule.phases[0]
    phases: Any = [
        {"items": [{"price": in_euros.pro.id}], "start_date": now.start_date, "end_date": now.end_date},
        {"items": [{"price": in_euros.business.id}], "duration": {"interval": "month"}, "proration_behavior": "none"},
    ]
    changed = schedules.update(schedule.id, {"end_behavior": "release", "phases": phases})
    assert [phase.currency for phase in changed.phases] == ["eur", "eur"]
    in_euros.advance(MONTH_END + HOUR)
    renewed = in_euros.shop.api.subscriptions.retrieve(in_euros.subscription.id)
    invoice = in_euros.shop.api.invoices.retrieve(str(renewed.latest_invoice))
    assert (invoice.currency, invoice.amount_paid) == ("eur", 9100)


def test_a_one_time_price_beside_it_is_charged_in_the_same_currency(shop: Shop) -> None:
    product = shop.api.products.create({"name": "Setup"}).id
    fee = shop.api.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 9900,
            "currency_options": {"eur": {"unit_amount": 8900}},
        }
    )
    lines: Any = [{"price": a_price(shop).id, "quantity": 1}, {"price": fee.id, "quantity": 1}]
    session = shop.session("", line_items=lines, currency="eur")
    shop.pay(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["invoice"]})
    assert isinstance(done.invoice, stripe.Invoice)
    assert (done.invoice.currency, done.invoice.amount_paid) == ("eur", 2700 + 8900)


def test_the_portal_offers_what_is_sold_in_the_currency(in_euros: InEuros) -> None:
    only_dollars = in_euros.shop.price()
    prices = [in_euros.pro, in_euros.business, only_dollars]
    products = [{"product": price.product, "prices": [price.id]} for price in prices]
    session = in_euros.shop.portal(
        in_euros.customer,
        subscription_update={"enabled": True, "default_allowed_updates": ["price"], "products": products},
    )
    pages = hosted(in_euros.shop)
    view = pages.portal(secret(session))
    assert view is not None
    [shown] = view.subscriptions
    assert (shown.amount, shown.currency) == (2700, "eur")
    choices = pages.plan_choices(secret(session), in_euros.subscription.id)
    assert [(choice.amount, choice.currency) for choice in choices] == [(2700, "eur"), (9100, "eur")]
