"""The portal's deep links: each opens where it says, changes what it says, and is refused before a dead end."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
import stripe as sdk

from paidup import (
    Billing,
    Change,
    DiscountNotApplicable,
    InvalidRequest,
    InvalidSeats,
    PlanNotForSale,
    SubscriptionRefused,
    UnknownDiscount,
    UnknownInterval,
    UnknownPlan,
)
from paidup.catalog import file
from paidup.core.catalog import PortalTerms
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.account import deliver_all
from tests.support.paying import pay

OWNER = "user:1"
CATALOG = file.load(PLANS)
GENEROUS = replace(CATALOG, portal=PortalTerms(change_seats=True, pause=True))
CONFIRM = "subscription_update_confirm"


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def generous(make_billing: MakeBilling) -> Billing:
    """An app whose portal may do everything there is, and somebody on Pro."""
    billing = make_billing(catalog=GENEROUS)
    billing.push_catalog()
    return buy(billing)


@pytest.fixture
def strict(make_billing: MakeBilling) -> Billing:
    """An app whose portal does what it does by default, and somebody on Pro."""
    billing = make_billing()
    billing.push_catalog()
    return buy(billing)


def buy(billing: Billing, **terms: Any) -> Billing:
    pay(str(billing.checkout(OWNER, "pro", email="ada@example.com", **terms).url))
    billing.sync(OWNER)
    return billing


def submit(url: str, **form: object) -> httpx.Response:
    """Open a deep link and send the form it leads to."""
    opened = httpx.get(url, follow_redirects=True)
    assert opened.status_code == 200
    return httpx.post(str(opened.url).split("?")[0], data=form, timeout=30)


def subscription_of(billing: Billing) -> Any:
    found = billing.subscription(OWNER)
    assert found is not None
    return found


def refused(billing: Billing, flow: str, **terms: Any) -> SubscriptionRefused:
    with pytest.raises(SubscriptionRefused) as error:
        billing.portal(OWNER, flow=flow, **terms)
    return error.value


class TestDetails:
    def test_they_are_changed_there_and_known_here(self, strict: Billing, stripe: Emulator) -> None:
        done = submit(
            strict.portal(OWNER, flow="customer_update", return_to="/settings"),
            name="Ada Lovelace",
            email="lovelace@example.com",
        )
        assert done.headers["location"] == f"{strict.settings.app_url}/settings"
        deliver_all(strict, stripe)
        strict.run_until_idle()
        customer = strict.customer(OWNER)
        assert customer is not None
        assert (customer.name, customer.email) == ("Ada Lovelace", "lovelace@example.com")

    def test_they_need_no_subscription(self, strict: Billing) -> None:
        strict.cancel(OWNER, when="now")
        assert strict.portal(OWNER, flow="customer_update")


class TestPause:
    def test_a_pause_in_the_portal_is_an_ordinary_change(self, generous: Billing, stripe: Emulator) -> None:
        told: list[Change] = []
        generous.on_change("subscription.paused")(told.append)
        submit(generous.portal(OWNER, flow="subscription_pause"))
        deliver_all(generous, stripe)
        generous.run_until_idle()
        (change,) = told
        assert change.data == {"plan": "pro", "pause": "subscription", "resumes_at": None}
        assert generous.access(OWNER).plan == "free"
        generous.resume(OWNER)
        assert generous.access(OWNER).plan == "pro"

    def test_it_is_off_unless_the_plans_file_says_so(self, strict: Billing, client: Any) -> None:
        (configuration,) = client.billing_portal.configurations.list({"active": True}).data
        assert not configuration.features.subscription_pause.enabled
        assert refused(strict, "subscription_pause").action == "pause"

    def test_it_is_owned_by_the_plans_file(self, generous: Billing, client: Any) -> None:
        """H95: a pause with an end, which somebody allows in the Dashboard, is found and put right."""
        generous.reconcile(fix=True)
        assert generous.reconcile().is_clean
        (configuration,) = client.billing_portal.configurations.list({"active": True}).data
        client.billing_portal.configurations.update(
            configuration.id, {"features": {"subscription_pause": {"enabled": False}}}
        )
        (found,) = generous.reconcile().differences
        assert (found.kind, found.field, found.reason) == (
            "portal",
            "features.subscription_pause.enabled",
            "push_catalog",
        )
        generous.push_catalog()
        assert generous.reconcile().is_clean

    def test_what_is_paused_is_resumed_instead(self, generous: Billing) -> None:
        generous.pause(OWNER, kind="subscription")
        assert refused(generous, "subscription_pause").action == "resume"

    def test_a_trial_has_no_such_pause(self, make_billing: MakeBilling) -> None:
        billing = make_billing(catalog=GENEROUS)
        billing.push_catalog()
        pay(str(billing.checkout(OWNER, "basic", email="ada@example.com").url))
        billing.sync(OWNER)
        assert refused(billing, "subscription_pause").action == "pause_collection"

    def test_what_ends_or_has_add_ons_is_not_paused_there(self, generous: Billing, client: Any) -> None:
        generous.cancel(OWNER)
        assert refused(generous, "subscription_pause").action == "resume"
        generous.resume(OWNER)
        price = client.prices.list({"lookup_keys": ["pack_month"]}).data[0].id
        client.subscription_items.create({"subscription": subscription_of(generous).id, "price": price})
        assert refused(generous, "subscription_pause").action == "pause"


class TestConfirm:
    def test_exactly_the_change_that_was_named_is_made(self, strict: Billing, stripe: Emulator) -> None:
        told: list[Change] = []
        strict.on_change("terms.changed")(told.append)
        url = strict.portal(OWNER, flow=CONFIRM, plan="pro", interval="year")
        assert "$290.00" in httpx.get(url, follow_redirects=True).text
        submit(url, **form_of(url))
        deliver_all(strict, stripe)
        strict.run_until_idle()
        (item,) = subscription_of(strict).items
        assert (item.lookup_key, item.quantity) == ("pro_year", 1)
        assert len(told) == 1

    def test_seats_are_changed_within_the_plans_bounds_where_the_plans_file_lets_it(
        self, generous: Billing, client: Any
    ) -> None:
        """H95: the bounds stand in the portal's configuration as well, for who changes the number there."""
        (configuration,) = client.billing_portal.configurations.list({"active": True}).data
        products = {
            each.product: each.adjustable_quantity for each in configuration.features.subscription_update.products
        }
        bounds = {key: (each.minimum, each.maximum) for key, each in products.items()}
        assert bounds == {"paidup_basic": (1, 1), "paidup_pro": (1, 1), "paidup_team": (2, 50)}
        url = generous.portal(OWNER, flow=CONFIRM, plan="team", seats=3)
        submit(url, **form_of(url))
        generous.sync(OWNER)
        (item,) = subscription_of(generous).items
        assert (item.lookup_key, item.quantity) == ("team_month", 3)
        url = generous.portal(OWNER, flow=CONFIRM, plan="team", seats=7)
        submit(url, **form_of(url))
        generous.sync(OWNER)
        assert subscription_of(generous).items[0].quantity == 7

    def test_other_seats_are_for_the_apps_own_pages_by_default(self, strict: Billing) -> None:
        assert refused(strict, CONFIRM, plan="team", seats=3).action == "change_plan"

    @pytest.mark.parametrize(
        ("terms", "error"),
        [
            ({"plan": "gold"}, UnknownPlan),
            ({"plan": "free"}, PlanNotForSale),
            ({"plan": "pro", "interval": "week"}, UnknownInterval),
            ({"plan": "team", "seats": 51}, InvalidSeats),
            ({"plan": "basic", "promotion_code": "NONE"}, UnknownDiscount),
            ({"plan": "basic", "coupon": "none"}, UnknownDiscount),
        ],
    )
    def test_what_is_asked_for_is_held_against_the_plans_file(
        self, generous: Billing, terms: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            generous.portal(OWNER, flow=CONFIRM, **terms)

    def test_what_there_is_already_is_refused(self, strict: Billing) -> None:
        assert refused(strict, CONFIRM, plan="pro").action == "nothing_to_change"

    def test_a_discount_comes_with_it(self, strict: Billing, client: Any) -> None:
        client.coupons.create({"id": "half", "percent_off": 50, "duration": "forever"})
        client.promotion_codes.create({"code": "HALF", "promotion": {"type": "coupon", "coupon": "half"}})
        url = strict.portal(OWNER, flow=CONFIRM, plan="pro", interval="year", promotion_code="HALF")
        submit(url, **form_of(url))
        strict.sync(OWNER)
        (discount,) = subscription_of(strict).discounts
        assert discount.coupon == "half"

    def test_a_discount_that_does_not_apply_is_told(self, strict: Billing, client: Any) -> None:
        sent = {"id": "euros", "amount_off": 500, "currency": "eur", "duration": "once"}
        client.coupons.create(sent)
        with pytest.raises(DiscountNotApplicable):
            strict.portal(OWNER, flow=CONFIRM, plan="basic", coupon="euros")

    def test_the_plan_is_found_by_what_it_is_and_beside_add_ons_it_is_not_changed_there(
        self, strict: Billing, client: Any
    ) -> None:
        price = client.prices.list({"lookup_keys": ["pack_month"]}).data[0].id
        client.subscription_items.create({"subscription": subscription_of(strict).id, "price": price})
        assert refused(strict, CONFIRM, plan="basic").action == "contact_us"

    def test_what_the_portal_does_not_change_is_refused_with_the_way_on(
        self, make_billing: MakeBilling, client: Any
    ) -> None:
        """H95."""
        billing = make_billing(catalog=replace(CATALOG, portal=PortalTerms(change_plans=False)))
        billing.push_catalog()
        buy(billing)
        for flow, terms in (("subscription_update", {}), (CONFIRM, {"plan": "basic"})):
            assert refused(billing, flow, **terms).action == "change_plan"

    def test_a_plan_beyond_those_the_portal_shows_is_refused(self, make_billing: MakeBilling) -> None:
        many = [
            replace(CATALOG.plan("basic"), key=f"p{n}", prices=(replace(price, lookup_key=f"p{n}"),))
            for n in range(9)
            for price in CATALOG.plan("basic").prices[:1]
        ]
        free, *others = CATALOG.plans
        catalog = replace(CATALOG, plans=(free, *many, *others))
        billing = make_billing(catalog=catalog)
        billing.push_catalog()
        buy(billing)
        error = refused(billing, CONFIRM, plan="pro", interval="year")
        assert (error.action, "not offered" in error.message) == ("change_plan", True)

    def test_a_change_and_its_flow_go_together(self, strict: Billing) -> None:
        for terms in ({"flow": CONFIRM}, {"plan": "basic"}, {"flow": "subscription_update", "plan": "basic"}):
            with pytest.raises(InvalidRequest, match="goes with a plan"):
                strict.portal(OWNER, **terms)  # type: ignore[arg-type]  # as a caller may mistake it


@pytest.mark.parametrize(
    ("flow", "terms"), [("subscription_cancel", {}), ("subscription_update", {}), (CONFIRM, {"plan": "basic"})]
)
class TestAsItStands:
    def test_what_ends_is_resumed_first(self, strict: Billing, flow: str, terms: dict[str, Any]) -> None:
        strict.cancel(OWNER)
        assert refused(strict, flow, **terms).action == "resume"

    def test_a_planned_change_is_undone_first(self, strict: Billing, flow: str, terms: dict[str, Any]) -> None:
        strict.change_plan(OWNER, strict.preview_change(OWNER, "basic").id)
        assert refused(strict, flow, **terms).action == "undo_change"

    def test_what_is_not_known_here_yet_is_told_by_stripe(
        self, strict: Billing, client: Any, flow: str, terms: dict[str, Any]
    ) -> None:
        """They canceled in another tab a moment ago."""
        client.subscriptions.update(subscription_of(strict).id, {"cancel_at_period_end": True})
        assert refused(strict, flow, **terms).action == "resume"


def test_a_portal_that_is_not_the_plans_files_says_whom_to_ask(strict: Billing, client: Any) -> None:
    """H95: the feature was switched off in the Dashboard; Stripe's refusal names no parameter."""
    (configuration,) = client.billing_portal.configurations.list({"active": True}).data
    client.billing_portal.configurations.update(
        configuration.id,
        {"features": {"subscription_update": {"enabled": False}, "customer_update": {"enabled": False}}},
    )
    for flow in ("subscription_update", "customer_update"):
        found = refused(strict, flow)
        assert (found.action, "catalog push" in found.remedy) == ("contact_us", True)


def test_a_refused_deep_link_writes_nothing(strict: Billing, client: Any) -> None:
    strict.cancel(OWNER)
    refused(strict, "subscription_update")
    assert "paidup_card" not in client.customers.list().data[0].metadata


def form_of(url: str) -> dict[str, str]:
    """The hidden fields of the form that a deep link opens at."""
    page = httpx.get(url, follow_redirects=True).text
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', page))


def test_a_trial_is_no_trial_of_a_plan_that_has_none(make_billing: MakeBilling, client: Any) -> None:
    """Neither on the app's pages nor in the portal, whose own way with trials is set, whatever its default is."""
    billing = make_billing()
    billing.push_catalog()
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    subscription = subscription_of(billing)
    method = client.payment_methods.attach("pm_card_visa", {"customer": subscription.customer})
    client.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    [configuration] = client.billing_portal.configurations.list({"active": True}).data
    assert configuration.features.subscription_update.trial_update_behavior == "end_trial"
    url = billing.portal(OWNER, flow=CONFIRM, plan="pro")
    submit(url, **form_of(url))
    billing.sync(OWNER)
    assert (billing.access(OWNER).plan, billing.access(OWNER).status) == ("pro", "active")
    assert [each.amount for each in client.charges.list({"customer": subscription.customer}).data] == [2900]
