"""Prices in several currencies, kept per customer: amounts are worked out by hand, and compared with the invoices'."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import Billing
from paidup.catalog import file
from paidup.catalog.apply import preview, push
from paidup.core.catalog import Catalog
from paidup.errors import (
    CurrencyRefused,
    DiscountNotApplicable,
    PlanNotForSale,
    StripeUnavailable,
)
from paidup.models import Price, Subscription
from paidup.stripe_api.gateway import Gateway
from stripe_emulator import Emulator
from tests.conftest import SECRET_KEY, MakeBilling
from tests.support.account import deliver_all
from tests.support.host_app import CURRENCY_HEADER, HostApp
from tests.support.paying import pay

OWNER = "user:1"


def api(stripe: Emulator) -> Any:
    return sdk.StripeClient(SECRET_KEY, base_addresses={"api": stripe.url}).v1


PLANS = """
currency = "usd"
default_plan = "free"
features.reports.name = "Reports"
limits.projects.name = "Projects"

[plans.free]
name = "Free"

[plans.basic]
name = "Basic"
trial_days = 14
prices.month = { amount = 900, currencies = { eur = 800, jpy = 1300 } }

[plans.pro]
name = "Pro"
seats = { min = 1, max = 50 }
prices.month = { amount = 2900, currencies = { eur = 2750, jpy = 4200, kwd = 8950 } }
prices.year = { amount = 29000, currencies = { eur = 27500, jpy = 42000, kwd = 89500 } }
setup_fee = { amount = 9900, currencies = { eur = 8910, jpy = 14000, kwd = 30050 } }

[plans.max]
name = "Max"
prices.month = { amount = 9900, currencies = { eur = 9100, jpy = 14300, kwd = 30100 } }

[plans.local]
name = "Local"
prices.month = { amount = 500 }

[addons.pack]
name = "Pack"
plans = ["pro", "max"]
max = 5
prices.month = { amount = 500, currencies = { eur = 450, jpy = 710, kwd = 1550 } }
prices.year = { amount = 5000, currencies = { eur = 4500, jpy = 7100, kwd = 15500 } }

[[changes]]
from = "pro"
to = "local"
when = "now"
"""


@pytest.fixture
def catalog() -> Catalog:
    return file.loads(PLANS)


@pytest.fixture
def billing(make_billing: MakeBilling, catalog: Catalog) -> Billing:
    found = make_billing(catalog=catalog)
    found.push_catalog()
    return found


def buy(billing: Billing, plan: str, owner: str = OWNER, **terms: Any) -> None:
    checkout = billing.checkout(owner, plan, **terms)
    pay(str(checkout.url))
    billing.finish_checkout(owner, str(checkout.session_id))
    assert billing.access(owner).plan == plan


def paid(stripe: Emulator) -> list[tuple[int, str]]:
    invoices = [event["data"]["object"] for event in stripe.events("invoice.paid")]
    return [(each["amount_paid"], each["currency"]) for each in invoices]


def sessions(stripe: Emulator) -> list[Any]:
    return list(reversed(api(stripe).checkout.sessions.list({}).data))


@pytest.mark.hazard(59)
@pytest.mark.hazard(60)
@pytest.mark.parametrize(
    ("currency", "first", "renewal"),
    [
        ("eur", 3 * 2750 + 2 * 450 + 8910, 3 * 2750 + 2 * 450),
        ("jpy", 3 * 4200 + 2 * 710 + 14_000, 3 * 4200 + 2 * 710),
        ("kwd", 3 * 8950 + 2 * 1550 + 30_050, 3 * 8950 + 2 * 1550),
        (None, 3 * 2900 + 2 * 500 + 9900, 3 * 2900 + 2 * 500),
    ],
)
def test_plan_addons_and_fee_are_billed_in_the_currency_that_is_asked_for(
    billing: Billing, stripe: Emulator, currency: str | None, first: int, renewal: int
) -> None:
    """Three seats, two packs and the fee, in cents, yen and fils; then what comes every month."""
    buy(billing, "pro", seats=3, addons={"pack": 2}, currency=currency)
    stripe.advance(days=32)
    billed = currency or "usd"
    assert paid(stripe) == [(first, billed), (renewal, billed)]


@pytest.mark.hazard(59)
def test_whoever_comes_back_is_sold_in_the_currency_they_paid_in(billing: Billing, stripe: Emulator) -> None:
    buy(billing, "max", currency="eur")
    billing.cancel(OWNER, when="now")
    buy(billing, "pro", seats=2)
    assert paid(stripe) == [(9100, "eur"), (2 * 2750 + 8910, "eur")]


@pytest.mark.hazard(59)
def test_the_same_request_gets_the_same_session_and_another_currency_replaces_it(
    billing: Billing, stripe: Emulator
) -> None:
    first = billing.checkout(OWNER, "pro", currency="eur")
    assert billing.checkout(OWNER, "pro", currency="EUR").session_id == first.session_id
    second = billing.checkout(OWNER, "pro", currency="jpy")
    assert second.session_id != first.session_id
    assert [(each.currency, each.status) for each in sessions(stripe)] == [("eur", "expired"), ("jpy", "open")]


@pytest.mark.hazard(59)
def test_another_currency_than_the_customers_is_refused_before_anything_is_made(
    billing: Billing, stripe: Emulator
) -> None:
    buy(billing, "max", currency="eur")
    billing.cancel(OWNER, when="now")
    with pytest.raises(CurrencyRefused) as refused:
        billing.checkout(OWNER, "pro", currency="usd")
    assert (refused.value.currency, refused.value.status) == ("eur", 409)
    with pytest.raises(CurrencyRefused, match="Local is sold in usd"):
        billing.checkout(OWNER, "local")
    assert len(sessions(stripe)) == 1


def test_a_currency_the_plan_is_not_sold_in_is_refused_before_stripe_is_asked(
    billing: Billing, stripe: Emulator
) -> None:
    billing.checkout("user:2", "pro")
    stripe.fail_next("/v1/*", status=500, times=1000)
    for plan, currency in (("pro", "gbp"), ("basic", "kwd"), ("local", "eur"), ("pro", "x")):
        with pytest.raises(PlanNotForSale):
            billing.checkout(OWNER, plan, currency=currency)


@pytest.mark.hazard(59)
def test_a_currency_that_stripe_has_forgotten_binds_nobody(billing: Billing, stripe: Emulator) -> None:
    """The last word on it is Stripe's: our row may be older."""
    buy(billing, "max", currency="eur")
    billing.cancel(OWNER, when="now")
    other = api(stripe)
    customer = billing.customer(OWNER)
    assert customer is not None
    price = next(each for each in other.prices.list({"lookup_keys": ["max_month"]}).data)
    running: Any = {"customer": customer.id, "items": [{"price": price.id}], "currency": "usd"}
    running |= {"collection_method": "send_invoice", "days_until_due": 30}
    other.subscriptions.cancel(other.subscriptions.create(running).id)
    assert billing.checkout(OWNER, "pro", currency="usd").url is not None


@pytest.mark.hazard(59)
def test_what_stripe_knows_of_another_currency_and_we_do_not_yet_is_refused_as_well(
    billing: Billing, stripe: Emulator
) -> None:
    """A page in another currency is open, in a group of its own, and nothing of it has reached us."""
    first = billing.checkout(OWNER, "pro", currency="eur")
    client = api(stripe)
    session = client.checkout.sessions.retrieve(str(first.session_id))
    customer: Any = {"customer": session.customer, "amount": 100, "currency": "jpy"}
    client.invoice_items.create(customer)
    with pytest.raises(CurrencyRefused) as refused:
        billing.checkout(OWNER, "pro", currency="usd")
    assert refused.value.currency == "jpy"


@pytest.mark.hazard(59)
def test_a_trial_is_followed_by_a_bill_in_its_currency(billing: Billing, stripe: Emulator) -> None:
    buy(billing, "basic", currency="jpy")
    stripe.advance(days=15)
    assert paid(stripe) == [(0, "jpy"), (1300, "jpy")]


@pytest.mark.hazard(60)
@pytest.mark.parametrize(
    ("currency", "credit", "charge"),
    [
        # Two seats of 27.50 for the half of February that is left, then 91.00 for it: 27.50 back, 45.50 to pay.
        ("eur", 2750, 4550),
        ("jpy", 4200, 7150),
        ("kwd", 8950, 15_050),
    ],
)
def test_an_upgrade_halfway_is_prorated_in_the_subscriptions_currency(
    billing: Billing, stripe: Emulator, currency: str, credit: int, charge: int
) -> None:
    buy(billing, "pro", seats=2, currency=currency)
    half(stripe, billing)
    quote = billing.preview_change(OWNER, "max")
    assert (quote.credit, quote.due_now, quote.currency) == (credit, charge - credit, currency)
    billing.change_plan(OWNER, quote.id)
    assert paid(stripe)[1:] == [(charge - credit, currency)]
    assert billing.access(OWNER).plan == "max"


def half(stripe: Emulator, billing: Billing) -> None:
    """To the middle of the period, give or take the seconds this takes: none of them is worth a unit here."""
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    start, end = subscription.current_period_start, subscription.current_period_end
    assert start is not None
    assert end is not None
    middle = start + (end - start) / 2
    stripe.advance(seconds=round((middle - stripe.now).total_seconds()))


def test_a_change_to_another_interval_and_more_addons_keeps_the_currency(billing: Billing, stripe: Emulator) -> None:
    buy(billing, "pro", addons={"pack": 1}, currency="eur")
    quote = billing.preview_change(OWNER, "pro", interval="year", addons={"pack": 3})
    assert quote.currency == "eur"
    billing.change_plan(OWNER, quote.id)
    assert paid(stripe)[1:] == [(quote.due_now, "eur")]
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    assert sorted((each.unit_amount, each.currency, each.quantity) for each in subscription.items) == [
        (4500, "eur", 3),
        (27_500, "eur", 1),
    ]


@pytest.mark.hazard(59)
def test_a_downgrade_at_the_periods_end_is_billed_in_the_subscriptions_currency(
    billing: Billing, stripe: Emulator
) -> None:
    buy(billing, "max", currency="eur")
    quote = billing.preview_change(OWNER, "basic")
    assert (quote.when, quote.next_amount, quote.currency) == ("period_end", 800, "eur")
    billing.change_plan(OWNER, quote.id)
    stripe.advance(days=32)
    assert paid(stripe) == [(9100, "eur"), (800, "eur")]


def test_a_change_to_a_plan_without_the_currency_is_refused(billing: Billing) -> None:
    buy(billing, "pro", currency="eur")
    with pytest.raises(PlanNotForSale, match="the subscription is in eur, Local is sold in usd"):
        billing.preview_change(OWNER, "local")


def test_an_addon_without_the_currency_is_refused_in_a_change(make_billing: MakeBilling, billing: Billing) -> None:
    """A catalog that was made in code may have such holes; a plans file may not."""
    (pack,) = billing.catalog.addons
    dollars = replace(pack, prices=tuple(replace(each, currencies={}) for each in pack.prices))
    buy(billing, "pro", currency="eur")
    other = make_billing(catalog=replace(billing.catalog, addons=(dollars,)))
    with pytest.raises(PlanNotForSale, match="price 'pack_month' has no amount in it"):
        other.preview_change(OWNER, "pro", addons={"pack": 1})
    with pytest.raises(PlanNotForSale, match="not sold in eur"):
        other.checkout("user:2", "pro", addons={"pack": 1}, currency="eur")


@pytest.mark.hazard(59)
def test_a_coupon_for_another_currency_does_not_apply(billing: Billing, stripe: Emulator) -> None:
    coupons = api(stripe).coupons
    coupons.create({"id": "DOLLARS", "amount_off": 500, "currency": "usd", "duration": "once"})
    both: Any = {"currency_options": {"eur": {"amount_off": 400}}}
    coupons.create({"id": "BOTH", "amount_off": 500, "currency": "usd", "duration": "once", **both})
    with pytest.raises(DiscountNotApplicable):
        billing.checkout(OWNER, "max", currency="eur", coupon="DOLLARS")
    buy(billing, "max", currency="eur", coupon="BOTH")
    assert paid(stripe) == [(8700, "eur")]


@pytest.mark.parametrize(("currency", "unused"), [("eur", 4550), ("jpy", 7150), ("kwd", 15_050)])
def test_the_unused_half_is_refunded_in_its_currency(
    billing: Billing, stripe: Emulator, currency: str, unused: int
) -> None:
    buy(billing, "max", currency=currency)
    half(stripe, billing)
    told = billing.unused(OWNER)
    assert told is not None
    assert (told.amount, told.currency) == (unused, currency)
    billing.cancel(OWNER, when="now", refund_unused=True)
    (refund,) = api(stripe).refunds.list({}).data
    assert (refund.amount, refund.currency) == (unused, currency)


# the routes


@pytest.mark.hazard(55)
@pytest.mark.hazard(59)
def test_the_app_says_the_currency_and_the_browser_nothing(host_app: HostApp, stripe: Emulator) -> None:
    with host_app.client(OWNER) as http:
        refused = http.post("/billing/checkout", json={"plan": "max", "currency": "eur"})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        answer = http.post("/billing/checkout", data={"plan": "max"}, headers={CURRENCY_HEADER: "eur"})
    pay(answer.headers["location"])
    assert paid(stripe) == [(9100, "eur")]


@pytest.mark.hazard(59)
def test_a_currency_that_is_not_the_customers_is_a_conflict_over_http(host_app: HostApp, billing: Billing) -> None:
    buy(billing, "max", currency="eur")
    billing.cancel(OWNER, when="now")
    with host_app.client(OWNER) as http:
        refused = http.post("/billing/checkout", json={"plan": "pro"}, headers={CURRENCY_HEADER: "usd"})
    assert (refused.status_code, refused.json()["code"], refused.json()["currency"]) == (409, "currency_refused", "eur")


def test_the_plans_tell_every_amount(host_app: HostApp) -> None:
    with host_app.client() as http:
        plans = {each["key"]: each for each in http.get("/billing/plans").json()}
    amounts = {"usd": 2900, "eur": 2750, "jpy": 4200, "kwd": 8950}
    costs = {"amount": 2900, "currency": "usd", "amounts": amounts}
    assert plans["pro"]["prices"][0] == {"interval": "month", **costs, "credits": {}}
    assert plans["pro"]["setup_fee"]["amounts"]["kwd"] == 30_050
    assert plans["pro"]["addons"][0]["prices"][1]["amounts"]["jpy"] == 7100


# what is mirrored


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_subscription_tells_what_it_costs_in_its_currency(
    billing: Billing, stripe: Emulator, is_mirrored: bool
) -> None:
    """Stripe's list shows its price in dollars; the mirrored price has the euros, else it is asked for."""
    (price,) = api(stripe).prices.list({"lookup_keys": ["max_month"]}).data
    if is_mirrored:
        billing._synchroniser.now(f"price:{price.id}", wait=timedelta(seconds=5))
        stripe.fail_next(f"/v1/prices/{price.id}", status=500, times=99)
    buy(billing, "max", currency="eur")
    with billing._database.read() as session:
        (row,) = session.scalars(select(Subscription))
    shown = row.snapshot["items"]["data"][0]["price"]
    assert (shown["currency"], shown["unit_amount"]) == ("usd", 9900)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    assert [(each.unit_amount, each.currency) for each in subscription.items] == [(9100, "eur")]


def test_a_price_is_mirrored_with_every_currency_and_nothing_differs(billing: Billing, stripe: Emulator) -> None:
    buy(billing, "max", currency="eur")
    deliver_all(billing, stripe)
    billing.run_until_idle()
    with billing._database.read() as session:
        mirrored = {each.lookup_key: each.snapshot for each in session.scalars(select(Price))}
    amounts = {code: each["unit_amount"] for code, each in mirrored["max_month"]["currency_options"].items()}
    assert amounts == {"usd": 9900, "eur": 9100, "jpy": 14_300, "kwd": 30_100}
    assert billing.reconcile().found == 0
    page = billing.gateway.read_page("price", after=None)
    assert {each["lookup_key"]: each["currency_options"] for each in page.bodies}["max_month"] == mirrored["max_month"][
        "currency_options"
    ]


# at Stripe


@pytest.fixture
def gateway(stripe: Emulator) -> Gateway:
    return Gateway(SECRET_KEY, api_base=stripe.url)


def on_sale(gateway: Gateway, key: str = "max_month") -> dict[str, int]:
    (price,) = gateway.list_prices(lookup_keys=[key], active=True)
    return {code: option["unit_amount"] for code, option in price["currency_options"].items()}


def with_amounts(catalog: Catalog, **currencies: int) -> Catalog:
    plans = tuple(
        replace(plan, prices=tuple(replace(each, currencies=currencies) for each in plan.prices))
        if plan.key == "max"
        else plan
        for plan in catalog.plans
    )
    return replace(catalog, plans=plans)


def test_a_push_brings_every_currency_to_stripe_and_a_second_one_nothing(
    catalog: Catalog, gateway: Gateway, stripe: Emulator
) -> None:
    push(catalog, gateway)
    assert on_sale(gateway) == {"usd": 9900, "eur": 9100, "jpy": 14_300, "kwd": 30_100}
    assert on_sale(gateway, "pro_setup_fee") == {"usd": 9900, "eur": 8910, "jpy": 14_000, "kwd": 30_050}
    assert on_sale(gateway, "local_month") == {"usd": 500}
    stripe.fail_next("/v1/*", method="POST", status=500, times=1000)
    assert push(catalog, gateway) == []


def test_a_new_currency_is_added_to_the_price_there_is(catalog: Catalog, gateway: Gateway) -> None:
    push(with_amounts(catalog, eur=9100), gateway)
    before = gateway.list_prices(lookup_keys=["max_month"])[0]["id"]
    wider = with_amounts(catalog, eur=9100, gbp=7900)
    assert [(each.action, each.subject, each.detail) for each in push(wider, gateway)] == [
        ("update", "max_month", "currency_options")
    ]
    assert on_sale(gateway) == {"usd": 9900, "eur": 9100, "gbp": 7900}
    assert gateway.list_prices(lookup_keys=["max_month"])[0]["id"] == before
    assert preview(wider, gateway) == []


@pytest.mark.hazard(58)
@pytest.mark.parametrize("amounts", [{"eur": 9500, "jpy": 14_300, "kwd": 30_100}, {"jpy": 14_300, "kwd": 30_100}])
def test_another_amount_or_a_currency_less_is_a_new_price_and_subscribers_keep_theirs(
    make_billing: MakeBilling, billing: Billing, stripe: Emulator, amounts: dict[str, int]
) -> None:
    buy(billing, "max", currency="eur")
    other = make_billing(catalog=with_amounts(billing.catalog, **amounts))
    assert [(each.action, each.subject) for each in other.push_catalog() if each.kind == "price"] == [
        ("replace", "max_month")
    ]
    assert preview(other.catalog, other.gateway) == []
    stripe.advance(days=32)
    other.sync(OWNER)
    assert other.access(OWNER).plan == "max"
    assert paid(stripe) == [(9100, "eur"), (9100, "eur")]


def test_a_price_whose_amount_in_the_currency_is_another_at_stripe_is_not_sold(
    make_billing: MakeBilling, billing: Billing
) -> None:
    """What is shown is what is charged: a plans file that was not pushed sells nothing."""
    other = make_billing(catalog=with_amounts(billing.catalog, eur=9500))
    with pytest.raises(PlanNotForSale, match="another amount in eur"):
        other.checkout(OWNER, "max", currency="eur")
    assert other.checkout(OWNER, "max").url is not None


def test_an_answer_that_is_lost_makes_no_second_session(billing: Billing, stripe: Emulator) -> None:
    stripe.fail_next("/v1/checkout/sessions", method="POST", status=500, times=3, after_work=True)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro", currency="eur")
    stripe.clear_faults()
    assert billing.checkout(OWNER, "pro", currency="eur").url is not None
    assert [each.currency for each in sessions(stripe)] == ["eur"]
