"""What is sold beside a plan: bought with it, added and taken away later, billed with it, and had once it is paid."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    Change,
    ChangeNotPaid,
    InvalidQuantity,
    LimitReached,
    PaymentNeedsUser,
    QuoteChanged,
    Subscription,
    SubscriptionRefused,
    UnknownAddon,
)
from paidup.catalog import apply, file
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.account import price_of
from tests.support.host_app import HostApp
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
CATALOG = file.load(PLANS)
Held = dict[str | None, int]


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


def buy(billing: Billing, plan: str = "pro", **terms: Any) -> Subscription:
    pay(str(billing.checkout(OWNER, plan, **terms).url))
    billing.sync(OWNER)
    return known(billing)


def known(billing: Billing) -> Subscription:
    found = billing.subscription(OWNER)
    assert found is not None
    return found


def held(subscription: Subscription) -> Held:
    return {item.lookup_key: item.quantity for item in subscription.items}


def at_stripe(client: sdk.StripeClient, billing: Billing) -> Held:
    body = client.v1.subscriptions.retrieve(known(billing).id)
    return {item.price.lookup_key: item.quantity or 0 for item in body["items"].data}


def paid(client: sdk.StripeClient, billing: Billing) -> list[int]:
    """What was charged, oldest first."""
    found = client.v1.charges.list({"customer": known(billing).customer, "limit": 100}).data
    return [each.amount for each in found if each.status == "succeeded"][::-1]


def change(billing: Billing, plan: str = "pro", **terms: Any) -> Subscription:
    return billing.change_plan(OWNER, billing.preview_change(OWNER, plan, **terms).id)


def told(billing: Billing, kind: str) -> list[Mapping[str, Any]]:
    """What the app is told of one kind, oldest first."""
    found: list[Change] = []
    billing.on_change(kind)(found.append)
    worker = billing.worker()
    worker.start()
    eventually(lambda: not billing.changes(state="pending"), 15)
    worker.stop()
    return [each.data for each in sorted(found, key=lambda each: each.created)]


# what Stripe has


def test_addons_are_pushed_once_and_never_taken_for_plans(billing: Billing, client: sdk.StripeClient) -> None:
    assert billing.push_catalog() == []
    product = client.v1.products.retrieve("paidup-addon_pack")
    assert (product.name, product.metadata.to_dict()) == ("Ten more projects", {"paidup_addon": "pack"})
    prices = client.v1.prices.list({"product": product.id}).data
    assert {(each.lookup_key, each.unit_amount) for each in prices} == {("pack_month", 500), ("pack_year", 5000)}
    assert all(each.metadata.to_dict() == {"paidup_addon": "pack"} for each in prices)
    portal = client.v1.billing_portal.configurations.list().data[0].features.subscription_update
    assert not any("addon" in str(each.product) for each in portal.products or [])


def test_an_addon_stays_what_it_is_when_its_price_is_replaced(
    billing: Billing, make_billing: MakeBilling, client: sdk.StripeClient
) -> None:
    """H58: who bought at the old price keeps it, and what it includes, for more of it as well."""
    old = {item.lookup_key: item.price for item in buy(billing, addons={"pack": 1}).items}["pack_month"]
    dearer = make_billing(catalog=file.loads(PLANS.read_text().replace("amount = 500\n", "amount = 700\n")))
    steps = {(step.action, step.subject) for step in dearer.push_catalog()}
    assert steps == {("replace", "pack_month")}
    dearer.sync(OWNER)
    assert dearer.access(OWNER).addons == {"pack": 1}
    assert dearer.access(OWNER).limit("projects") == 60
    quote = dearer.preview_change(OWNER, "pro", addons={"pack": 2})
    assert quote.next_amount == 2900 + 2 * 500
    items = {item.price: item.quantity for item in dearer.change_plan(OWNER, quote.id).items}
    assert items[old] == 2
    assert not client.v1.prices.retrieve(old).active


# bought with the plan


def test_addons_are_bought_with_the_plan_and_had_with_it(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    found = buy(billing, addons={"pack": 2, "single_sign_on": 1})
    assert held(found) == {"pro_month": 1, "pack_month": 2, "sso_month": 1}
    assert paid(client, billing) == [2900 + 2 * 500 + 1000]
    access = billing.access(OWNER)
    assert (access.plan, access.addons) == ("pro", {"pack": 2, "single_sign_on": 1})
    assert (access.limit("projects"), access.can("sso"), access.can("reports")) == (50 + 20, True, True)
    stripe.advance(days=32)
    assert paid(client, billing) == [4900, 4900]
    assert told(billing, "subscription.started")[0]["addons"] == {"pack": 2, "single_sign_on": 1}


def test_the_same_request_has_one_page_and_other_addons_end_it(billing: Billing, client: sdk.StripeClient) -> None:
    """H33."""
    first = billing.checkout(OWNER, "pro", addons={"pack": 2})
    assert billing.checkout(OWNER, "pro", addons={"pack": 2, "single_sign_on": 0}).url == first.url
    second = billing.checkout(OWNER, "pro", addons={"pack": 3})
    assert second.url != first.url
    assert client.v1.checkout.sessions.retrieve(str(first.session_id)).status == "expired"
    assert billing.checkout(OWNER, "pro").url != second.url


def test_a_trial_is_one_of_addons_as_well(billing: Billing, client: sdk.StripeClient) -> None:
    pay(str(billing.checkout(OWNER, "basic", addons={"pack": 1}).url), number=None)
    billing.sync(OWNER)
    assert billing.access(OWNER).limit("projects") == 20
    assert change(billing, "basic", addons={"pack": 3}).status == "trialing"
    assert billing.access(OWNER).limit("projects") == 40
    assert held(change(billing, "basic", addons={"pack": 0})) == {"basic_month": 1}
    assert paid(client, billing) == []


@pytest.mark.parametrize(
    ("plan", "addons", "refused"),
    [
        ("pro", {"unheard": 1}, UnknownAddon),
        ("pro", {"pro": 1}, UnknownAddon),
        ("team", {"single_sign_on": 1}, UnknownAddon),
        ("pro", {"pack": 6}, InvalidQuantity),
        ("pro", {"pack": -1}, InvalidQuantity),
        ("pro", {"pack": 1.5}, InvalidQuantity),
        ("pro", {"pack": True}, InvalidQuantity),
        ("pro", {"single_sign_on": 2}, InvalidQuantity),
        ("pro", ["pack"], InvalidQuantity),
    ],
)
def test_what_is_not_sold_like_that_is_refused(
    billing: Billing, client: sdk.StripeClient, plan: str, addons: Any, refused: type[Exception]
) -> None:
    """H94."""
    seats = 2 if plan == "team" else 1
    with pytest.raises(refused):
        billing.checkout(OWNER, plan, seats=seats, addons=addons)
    buy(billing)
    with pytest.raises(refused):
        billing.preview_change(OWNER, plan, seats=seats, addons=addons)
    assert at_stripe(client, billing) == {"pro_month": 1}


# later


def test_more_is_at_once_and_less_at_the_end(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    buy(billing)
    stripe.advance(days=7)
    quote = billing.preview_change(OWNER, "pro", addons={"pack": 3})
    assert (quote.when, quote.before.addons, quote.after.addons) == ("now", {}, {"pack": 3})
    assert quote.due_now > 0
    assert quote.credit == 0, "the plan itself stays as it is"
    assert quote.next_amount == 2900 + 1500
    assert held(billing.change_plan(OWNER, quote.id)) == {"pro_month": 1, "pack_month": 3}
    assert billing.access(OWNER).limit("projects") == 80
    assert paid(client, billing) == [2900, quote.due_now]

    fewer = billing.preview_change(OWNER, "pro", addons={"pack": 1})
    assert (fewer.when, fewer.due_now, fewer.next_amount) == ("period_end", 0, 3400)
    billing.change_plan(OWNER, fewer.id)
    assert billing.access(OWNER).limit("projects") == 80
    planned = billing.scheduled_change(OWNER)
    assert planned is not None
    assert (planned.before.addons, planned.after.addons) == ({"pack": 3}, {"pack": 1})
    stripe.advance(days=32)
    billing.sync(OWNER)
    assert held(known(billing)) == at_stripe(client, billing) == {"pro_month": 1, "pack_month": 1}
    assert paid(client, billing)[-1] == 3400
    heard = told(billing, "addons.changed")
    assert [(each["previous_addons"], each["addons"]) for each in heard] == [
        ({}, {"pack": 3}),
        ({"pack": 3}, {"pack": 1}),
    ]


def test_the_last_one_goes_at_the_end_and_may_come_back_before(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    buy(billing, addons={"pack": 2, "single_sign_on": 1})
    change(billing, addons={"single_sign_on": 0})
    assert billing.access(OWNER).can("sso")
    with pytest.raises(SubscriptionRefused, match="planned"):
        billing.preview_change(OWNER, "pro", addons={"pack": 5})
    billing.undo_change(OWNER)
    assert billing.scheduled_change(OWNER) is None
    change(billing, addons={"pack": 0, "single_sign_on": 0})
    stripe.advance(days=32)
    billing.sync(OWNER)
    assert held(known(billing)) == {"pro_month": 1}
    assert not billing.access(OWNER).can("sso")
    assert paid(client, billing) == [4900, 2900]


def test_those_that_are_left_out_stay(billing: Billing) -> None:
    buy(billing, addons={"pack": 2})
    assert held(change(billing, addons={"single_sign_on": 1})) == {"pro_month": 1, "pack_month": 2, "sso_month": 1}
    with pytest.raises(SubscriptionRefused) as refused:
        billing.preview_change(OWNER, "pro", addons={"pack": 2})
    assert refused.value.action == "nothing_to_change"


def test_another_interval_is_that_of_all(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    buy(billing, addons={"pack": 2, "single_sign_on": 1})
    stripe.advance(days=3)
    quote = billing.preview_change(OWNER, "pro", interval="year")
    assert quote.next_amount == 29_000 + 2 * 5000 + 10_000
    found = billing.change_plan(OWNER, quote.id)
    assert held(found) == {"pro_year": 1, "pack_year": 2, "single_sign_on_year": 1}
    assert len({item.current_period_end for item in found.items}) == 1
    assert paid(client, billing) == [4900, quote.due_now]
    planned = billing.preview_change(OWNER, "pro", interval="month")
    billing.change_plan(OWNER, planned.id)
    assert found.current_period_end is not None
    stripe.advance(to=found.current_period_end + timedelta(hours=2))
    billing.sync(OWNER)
    assert held(known(billing)) == {"pro_month": 1, "pack_month": 2, "sso_month": 1}
    assert paid(client, billing)[-1] == 4900


def test_what_is_not_sold_with_another_plan_goes_with_the_old(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    buy(billing, addons={"pack": 2, "single_sign_on": 1})
    stripe.advance(days=5)
    quote = billing.preview_change(OWNER, "team", seats=4)
    assert (quote.when, quote.after.addons) == ("now", {"pack": 2})
    assert quote.next_amount == 4 * 1500 + 2 * 500
    found = billing.change_plan(OWNER, quote.id)
    assert held(found) == at_stripe(client, billing) == {"team_month": 4, "pack_month": 2}
    assert paid(client, billing) == [4900, quote.due_now]
    later = billing.preview_change(OWNER, "basic")
    assert later.next_amount == 900 + 2 * 500


def test_what_is_not_paid_is_not_had(billing: Billing, client: sdk.StripeClient) -> None:
    """H83, H84."""
    running = buy(billing)
    for card, refused in (("pm_card_chargeCustomerFail", ChangeNotPaid), ("pm_card_authenticationRequired", None)):
        method = client.v1.payment_methods.attach(card, {"customer": running.customer})
        client.v1.subscriptions.update(running.id, {"default_payment_method": method.id})
        with pytest.raises(refused or PaymentNeedsUser):
            change(billing, addons={"pack": 5})
        billing.sync(OWNER)
        assert billing.access(OWNER).limit("projects") == 50
        assert at_stripe(client, billing) == {"pro_month": 1}
    assert paid(client, billing) == [2900]


def test_what_changed_meanwhile_is_quoted_anew_with_the_same_addons(billing: Billing, client: sdk.StripeClient) -> None:
    """H86."""
    running = buy(billing, addons={"pack": 1})
    quote = billing.preview_change(OWNER, "pro", addons={"pack": 4})
    coupon = client.v1.coupons.create({"percent_off": 50, "duration": "forever"})
    client.v1.subscriptions.update(running.id, {"discounts": [{"coupon": coupon.id}]})
    with pytest.raises(QuoteChanged) as refused:
        billing.change_plan(OWNER, quote.id)
    fresh = refused.value.quote
    assert (fresh.after, fresh.next_amount) == (quote.after, (2900 + 2000) // 2)
    assert billing.change_plan(OWNER, fresh.id).id == running.id
    assert billing.access(OWNER).addons == {"pack": 4}


def test_several_clicks_add_it_once(billing: Billing, client: sdk.StripeClient) -> None:
    """H81, H94: the number is set, not counted up."""
    buy(billing, addons={"pack": 1})
    quote = billing.preview_change(OWNER, "pro", addons={"pack": 3})
    with ThreadPoolExecutor(4) as clicks:
        list(clicks.map(lambda _: billing.change_plan(OWNER, quote.id), range(4)))
    assert at_stripe(client, billing) == {"pro_month": 1, "pack_month": 3}
    assert paid(client, billing) == [3400, quote.due_now]


# what others do


def test_what_the_dashboard_makes_of_it_is_followed(billing: Billing, client: sdk.StripeClient) -> None:
    """Two items of one add-on are counted together, and become one with the next change."""
    running = buy(billing, addons={"pack": 1})
    first = next(item.price for item in running.items if item.lookup_key == "pack_month")
    twin: Any = {
        "product": "paidup-addon_pack",
        "currency": "usd",
        "unit_amount": 400,
        "recurring": {"interval": "month"},
        "metadata": {"paidup_addon": "pack"},
    }
    second = client.v1.prices.create(twin).id
    client.v1.subscription_items.create({"subscription": running.id, "price": second, "quantity": 2})
    billing.sync(OWNER)
    assert billing.access(OWNER).limit("projects") == 80
    quote = billing.preview_change(OWNER, "pro", addons={"pack": 4})
    assert quote.before.addons == {"pack": 3}
    items = {item.price: item.quantity for item in billing.change_plan(OWNER, quote.id).items}
    assert items.keys() in ({price_of(client), first}, {price_of(client), second})
    assert sum(items.values()) == 5


def test_an_addon_that_left_the_file_is_told_and_includes_nothing(billing: Billing, make_billing: MakeBilling) -> None:
    buy(billing, addons={"pack": 1})
    without = make_billing(catalog=replace(CATALOG, addons=CATALOG.addons[1:]))
    without.sync(OWNER)
    access = without.access(OWNER)
    assert (access.plan, access.limit("projects"), access.addons) == ("pro", 50, {})
    assert told(without, "addon.unknown")[0] == {"addons": ["pack"], "plan": "pro"}
    assert held(change(without, "team", seats=2)) == {"team_month": 2, "pack_month": 1}


def test_an_addon_that_is_sold_no_more_is_kept_until_it_is_taken_away(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    buy(billing, addons={"pack": 2})
    retired = replace(CATALOG, addons=tuple(replace(each, plans=frozenset()) for each in CATALOG.addons))
    later = make_billing(catalog=retired)
    assert later.access(OWNER).limit("projects") == 70
    with pytest.raises(UnknownAddon):
        later.preview_change(OWNER, "pro", addons={"pack": 3})
    assert held(change(later, interval="year")) == {"pro_year": 1, "pack_year": 2}
    change(later, addons={"pack": 0})
    found = known(later).current_period_end
    assert found is not None
    stripe.advance(to=found + timedelta(hours=2))
    later.sync(OWNER)
    assert held(known(later)) == {"pro_year": 1}


def test_an_addon_that_has_no_price_per_an_interval_is_not_sold_with_it(
    billing: Billing, make_billing: MakeBilling
) -> None:
    """A plans file cannot say so; a catalog that the app builds itself can."""
    monthly = tuple(replace(each, prices=each.prices[:1]) for each in CATALOG.addons)
    other = make_billing(catalog=replace(CATALOG, addons=monthly))
    with pytest.raises(UnknownAddon, match="per year"):
        other.checkout(OWNER, "pro", interval="year", addons={"pack": 1})
    buy(other, addons={"pack": 1})
    with pytest.raises(UnknownAddon, match="per year"):
        other.preview_change(OWNER, "pro", interval="year", addons={"pack": 1})


def test_the_portal_changes_no_plan_that_has_addons(billing: Billing) -> None:
    buy(billing, addons={"pack": 1})
    with pytest.raises(SubscriptionRefused, match="preview_change"):
        billing.portal(OWNER, flow="subscription_update")
    assert billing.portal(OWNER, flow="subscription_cancel")


def test_what_is_left_of_addons_is_given_back_with_the_plan(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    running = buy(billing, addons={"pack": 5})
    stripe.advance(days=10)
    unused = billing.unused(OWNER)
    assert unused is not None
    assert running.current_period_start is not None
    assert running.current_period_end is not None
    whole = running.current_period_end - running.current_period_start
    assert abs(unused.amount - (2900 + 2500) * (running.current_period_end - stripe.now) / whole) <= 2
    billing.cancel(OWNER, when="now", refund_unused=True)
    assert sum(each.amount for each in client.v1.refunds.list().data) in range(unused.amount - 2, unused.amount + 1)


# over HTTP


def test_addons_over_http(host_app: HostApp, stripe: Emulator) -> None:
    with host_app.client(OWNER) as http:
        offered = {each["key"]: each["addons"] for each in http.get("/billing/plans").json()}
        assert [each["key"] for each in offered["pro"]] == ["pack", "single_sign_on"]
        assert [each["key"] for each in offered["team"]] == ["pack"]
        assert offered["team"][0] == {
            "key": "pack",
            "name": "Ten more projects",
            "description": "As often as you like.",
            "features": [],
            "limits": {"projects": 10},
            "prices": [
                {"interval": "month", "amount": 500, "currency": "usd", "amounts": {"usd": 500}, "credits": {}},
                {"interval": "year", "amount": 5000, "currency": "usd", "amounts": {"usd": 5000}, "credits": {}},
            ],
            "max": 5,
        }
        refused = http.post("/billing/checkout", json={"plan": "pro", "addons": {"pack": 9}})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_quantity")
        form = {"plan": "pro", "addons.pack": "2", "addons.single_sign_on": ""}
        started = http.post("/billing/checkout", data=form)
        assert started.status_code == 303
        pay(started.headers["location"])
        eventually(lambda: http.get("/billing/access").json()["addons"] == {"pack": 2}, 15)
        quote = http.post("/billing/change/preview", json={"plan": "pro", "addons": {"single_sign_on": 1}}).json()
        assert quote["after"]["addons"] == {"pack": 2, "single_sign_on": 1}
        http.post("/billing/change", json={"quote": quote["id"]})
        assert http.get("/billing/access").json()["addons"] == {"pack": 2, "single_sign_on": 1}
        less = http.post("/billing/change/preview", data={"plan": "pro", "addons.pack": "0"}).json()
        http.post("/billing/change", json={"quote": less["id"]})
        assert http.get("/billing/change").json()["after"]["addons"] == {"single_sign_on": 1}


@pytest.mark.parametrize("addons", [{"pack": "many"}, {"pack": -1}, ["pack"], "pack", {"x" * 41: 1}])
def test_nonsense_for_addons_is_refused(host_app: HostApp, addons: Any) -> None:
    with host_app.client(OWNER) as http:
        for route in ("checkout", "change/preview"):
            refused = http.post(f"/billing/{route}", json={"plan": "pro", "addons": addons})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_limit_that_is_reached_names_the_addons_that_would_do(billing: Billing) -> None:
    buy(billing, addons={"pack": 4})
    assert billing.require_limit(OWNER, "projects", 89).plan == "pro"
    with pytest.raises(LimitReached) as refused:
        billing.require_limit(OWNER, "projects", 90)
    assert (refused.value.allowed, refused.value.addons, refused.value.plans) == (90, ("pack",), ("team",))
    change(billing, addons={"pack": 5})
    with pytest.raises(LimitReached) as refused:
        billing.require_limit(OWNER, "projects", 100)
    assert refused.value.addons == ()


# money


def share(amount: int, left: timedelta, whole: timedelta) -> int:
    """Of an amount for a whole period, that for what is left; half a unit is rounded up."""
    numerator, denominator = amount * int(left.total_seconds()), int(whole.total_seconds())
    quotient, rest = divmod(numerator, denominator)
    return quotient + (1 if rest * 2 >= denominator else 0)


@pytest.mark.parametrize(
    ("currency", "had", "then", "seconds"),
    [
        ("usd", 0, 3, 864_000),
        ("usd", 2, 5, 77_777),
        ("jpy", 0, 1, 1_234_567),
        ("kwd", 1, 4, 1_234_567),
        ("eur", 4, 5, 3),
    ],
)
def test_what_is_added_is_charged_for_the_rest_of_the_period(
    make_billing: MakeBilling,
    stripe: Emulator,
    client: sdk.StripeClient,
    currency: str,
    had: int,
    then: int,
    seconds: int,
) -> None:
    """H60, H86: the plan beside it is neither credited nor charged anew."""
    billing = make_billing(catalog=file.loads(PLANS.read_text().replace('"usd"', f'"{currency}"')))
    billing.push_catalog()
    buy(billing, addons={"pack": had})
    stripe.advance(seconds=seconds)
    quote = billing.preview_change(OWNER, "pro", addons={"pack": then})
    item = known(billing).items[0]
    assert item.current_period_start is not None
    assert item.current_period_end is not None
    at: datetime = quote.lines[-1].period_start
    whole, left = item.current_period_end - item.current_period_start, item.current_period_end - at
    credit = share(500 * had, left, whole)
    assert (quote.credit, quote.due_now, quote.currency) == (credit, share(500 * then, left, whole) - credit, currency)
    billing.change_plan(OWNER, quote.id)
    assert paid(client, billing) == [2900 + 500 * had, quote.due_now]


def test_nothing_is_left_to_do_after_a_push_and_a_preview_of_one(billing: Billing) -> None:
    assert apply.preview(billing.catalog, billing.gateway) == []
