"""Changes within a trial: free where the other plan has a trial as well, else paid for at once and as quoted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, ChangeNotPaid, PaymentNeedsUser, QuoteChanged, Subscription, SubscriptionRefused
from paidup.core.catalog import Catalog
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.integration.test_changing_payments import confirm_at_bank
from tests.support.account import subscribe
from tests.support.databases import SqliteDatabases

OWNER = "user:1"


@pytest.fixture
def databases(sqlite_databases: SqliteDatabases) -> SqliteDatabases:
    """One kind will do: what is charged is Stripe's, and `test_changing` stores quotes in both."""
    return sqlite_databases


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def trialing(billing: Billing) -> Billing:
    """Billing that knows somebody in a trial of Basic, which needs no card, and has none."""
    subscribe(billing, "basic")
    billing.sync(OWNER)
    return billing


def known(billing: Billing) -> Subscription:
    found = billing.subscription(OWNER)
    assert found is not None
    return found


def give(billing: Billing, client: sdk.StripeClient, card: str = "pm_card_visa") -> str:
    """Have the subscription charged to a card."""
    method = client.v1.payment_methods.attach(card, {"customer": known(billing).customer})
    client.v1.subscriptions.update(known(billing).id, {"default_payment_method": method.id})
    return method.id


def paid(client: sdk.StripeClient, billing: Billing) -> list[int]:
    """What was charged, oldest first."""
    found = client.v1.charges.list({"customer": known(billing).customer, "limit": 100}).data
    return [each.amount for each in found if each.status == "succeeded"][::-1]


def invoices(client: sdk.StripeClient, billing: Billing) -> list[tuple[str | None, int]]:
    """What was invoiced, oldest first: the status and the total."""
    found = client.v1.invoices.list({"subscription": known(billing).id, "limit": 100}).data
    return [(each.status, each.total) for each in found][::-1]


def needs_a_card(call: Callable[[], object]) -> None:
    with pytest.raises(SubscriptionRefused) as refused:
        call()
    assert refused.value.action == "update_payment_method"


def with_a_trial(catalog: Catalog, key: str, *, requires_card: bool) -> Catalog:
    """The plans, of which another one has a trial."""
    plans = (
        replace(each, trial_days=7, trial_requires_card=requires_card) if each.key == key else each
        for each in catalog.plans
    )
    return replace(catalog, plans=tuple(plans))


def still_on_trial(billing: Billing, stripe: Emulator, was: Subscription) -> None:
    billing.sync(OWNER)
    found = known(billing)
    assert (found.plan, found.status, found.trial_end) == ("basic", "trialing", was.trial_end)
    assert stripe.get(found.id)["pending_update"] is None
    assert not billing.access(OWNER).can("reports")


def test_to_a_plan_that_has_a_trial_the_trial_goes_on(
    trialing: Billing, make_billing: MakeBilling, client: sdk.StripeClient
) -> None:
    both = make_billing(catalog=with_a_trial(trialing.catalog, "pro", requires_card=False))
    end = known(both).trial_end
    for plan, interval in (("pro", "month"), ("pro", "year"), ("basic", "month")):
        quote = both.preview_change(OWNER, plan, interval=interval)
        assert (quote.when, quote.due_now, quote.total, quote.ends_trial) == ("now", 0, 0, False)
        assert quote.next_at == end
        found = both.change_plan(OWNER, quote.id)
        assert (found.plan, found.status, found.trial_end) == (plan, "trialing", end)
    assert paid(client, both) == []


def test_a_trial_that_begins_with_a_card_is_not_had_without_one(
    trialing: Billing, make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    strict = make_billing(catalog=with_a_trial(trialing.catalog, "pro", requires_card=True))
    was = known(strict)
    needs_a_card(lambda: strict.preview_change(OWNER, "pro"))
    card = give(strict, client)
    quote = strict.preview_change(OWNER, "pro")
    client.v1.payment_methods.detach(card)
    needs_a_card(lambda: strict.change_plan(OWNER, quote.id))
    still_on_trial(strict, stripe, was)
    give(strict, client)
    found = strict.change_plan(OWNER, quote.id)
    assert (found.plan, found.status, found.trial_end) == ("pro", "trialing", was.trial_end)


@pytest.mark.hazard(83)
def test_the_trial_of_a_cheap_plan_is_none_of_a_dear_one(trialing: Billing, stripe: Emulator) -> None:
    was = known(trialing)
    needs_a_card(lambda: trialing.preview_change(OWNER, "team", seats=50))
    still_on_trial(trialing, stripe, was)


@pytest.mark.hazard(86)
@pytest.mark.parametrize(
    ("plan", "terms", "amount"), [("pro", {}, 2900), ("team", {"seats": 50, "interval": "year"}, 750000)]
)
def test_a_plan_without_a_trial_is_paid_for_at_once_as_quoted(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient, plan: str, terms: dict[str, Any], amount: int
) -> None:
    """The trial is over, and the first whole period begins."""
    give(trialing, client)
    stripe.advance(days=3)
    quote = trialing.preview_change(OWNER, plan, **terms)
    assert (quote.when, quote.total, quote.due_now, quote.credit) == ("now", amount, amount, 0)
    assert (quote.ends_trial, quote.next_amount) == (True, amount)
    assert [(line.amount, line.period_end) for line in quote.lines] == [(amount, quote.next_at)]
    found = trialing.change_plan(OWNER, quote.id)
    assert (found.plan, found.status) == (plan, "active")
    assert paid(client, trialing) == [amount]
    assert found.current_period_end is not None
    assert quote.next_at is not None
    assert timedelta(0) <= found.current_period_end - quote.next_at < timedelta(minutes=1)
    upcoming = trialing.upcoming_invoice(OWNER)
    assert upcoming is not None
    assert upcoming.total == amount


def test_however_long_the_user_thinks_the_amount_is_the_same(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    give(trialing, client)
    quote = trialing.preview_change(OWNER, "pro")
    stripe.advance(seconds=1200)
    for _ in range(2):
        assert trialing.change_plan(OWNER, quote.id).is_active
    assert paid(client, trialing) == [quote.due_now]


def test_a_quote_from_before_the_trials_end_holds_no_more(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    give(trialing, client)
    quote = trialing.preview_change(OWNER, "pro")
    stripe.advance(to="trial_end")
    stripe.advance(seconds=7200)
    with pytest.raises(QuoteChanged) as changed:
        trialing.change_plan(OWNER, quote.id)
    assert changed.value.quote.ends_trial is False
    assert paid(client, trialing) == [900]


@pytest.mark.hazard(83, 84)
def test_a_declined_card_leaves_the_trial_as_it_was(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """With another card the same quote goes through."""
    was = known(trialing)
    give(trialing, client, "pm_card_chargeCustomerFail")
    quote = trialing.preview_change(OWNER, "team", seats=5)
    with pytest.raises(ChangeNotPaid):
        trialing.change_plan(OWNER, quote.id)
    still_on_trial(trialing, stripe, was)
    assert invoices(client, trialing) == [("paid", 0), ("void", 7500)]
    give(trialing, client)
    assert trialing.change_plan(OWNER, quote.id).plan == "team"
    assert paid(client, trialing) == [7500]


def test_a_card_that_is_gone_by_then_leaves_the_trial_as_it_was(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """Ended without one, a trial from Checkout would be the end of the subscription."""
    was = known(trialing)
    card = give(trialing, client)
    quote = trialing.preview_change(OWNER, "pro")
    client.v1.payment_methods.detach(card)
    needs_a_card(lambda: trialing.change_plan(OWNER, quote.id))
    still_on_trial(trialing, stripe, was)
    give(trialing, client)
    assert trialing.change_plan(OWNER, quote.id).is_active


def waits_for_the_bank(billing: Billing, client: sdk.StripeClient) -> str:
    """A change to Team; the address at which it is confirmed."""
    give(billing, client, "pm_card_authenticationRequired")
    quote = billing.preview_change(OWNER, "team", seats=5)
    with pytest.raises(PaymentNeedsUser) as refused:
        billing.change_plan(OWNER, quote.id)
    return refused.value.url


def test_while_the_bank_asks_the_trial_goes_on(trialing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    url = waits_for_the_bank(trialing, client)
    assert (known(trialing).plan, known(trialing).status) == ("basic", "trialing")
    confirm_at_bank(url)
    trialing.sync(OWNER)
    assert (known(trialing).plan, known(trialing).status) == ("team", "active")
    assert paid(client, trialing) == [7500]


@pytest.mark.parametrize("undone", [True, False])
def test_what_the_bank_is_not_answered_leaves_the_trial_as_it_was(
    trialing: Billing, stripe: Emulator, client: sdk.StripeClient, undone: bool
) -> None:
    was = known(trialing)
    waits_for_the_bank(trialing, client)
    if undone:
        trialing.undo_change(OWNER)
    else:
        stripe.advance(days=1)
    still_on_trial(trialing, stripe, was)
    assert invoices(client, trialing) == [("paid", 0), ("void", 7500)]


def test_paid_by_invoices_that_are_sent_a_trial_is_not_ended_here(trialing: Billing, client: sdk.StripeClient) -> None:
    client.v1.subscriptions.update(known(trialing).id, {"collection_method": "send_invoice", "days_until_due": 30})
    with pytest.raises(SubscriptionRefused) as refused:
        trialing.preview_change(OWNER, "pro")
    assert refused.value.action == "contact_us"


@pytest.mark.parametrize(
    ("duration", "after"),
    [
        ({"duration": "forever"}, 2320),
        ({"duration": "once"}, 2900),
        ({"duration": "repeating", "duration_in_months": 1}, 2900),
        ({"duration": "repeating", "duration_in_months": 3}, 2320),
    ],
)
@pytest.mark.parametrize("asked", ["coupon", "promotion_code", "held"])
def test_a_discount_is_in_the_first_invoice_and_in_the_next_if_it_lasts(
    trialing: Billing, client: sdk.StripeClient, duration: Any, after: int, asked: str
) -> None:
    give(trialing, client)
    coupon: Any = {"id": "FIFTH", "percent_off": 20, **duration}
    client.v1.coupons.create(coupon)
    client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": "FIFTH"}, "code": "SPRING"})
    if asked == "held":
        client.v1.subscriptions.update(known(trialing).id, {"discounts": [{"coupon": "FIFTH"}]})
    terms: dict[str, Any] = {"held": {}, "coupon": {"coupon": "FIFTH"}, "promotion_code": {"promotion_code": "spring"}}
    quote = trialing.preview_change(OWNER, "pro", **terms[asked])
    assert (quote.due_now, quote.next_amount) == (2320, after)
    trialing.change_plan(OWNER, quote.id)
    assert paid(client, trialing) == [2320]
    upcoming = trialing.upcoming_invoice(OWNER)
    assert upcoming is not None
    assert upcoming.total == after


def test_a_balance_is_used_before_the_card(trialing: Billing, client: sdk.StripeClient) -> None:
    give(trialing, client)
    client.v1.customers.update(known(trialing).customer, {"balance": -1000})
    quote = trialing.preview_change(OWNER, "pro")
    assert (quote.total, quote.due_now, quote.next_amount) == (2900, 1900, 2900)
    trialing.change_plan(OWNER, quote.id)
    assert paid(client, trialing) == [1900]


def test_a_plan_is_left_with_its_addons_in_one_payment(trialing: Billing, client: sdk.StripeClient) -> None:
    """What was free in the trial beside the plan is paid for with it."""
    give(trialing, client)
    trialing.change_plan(OWNER, trialing.preview_change(OWNER, "basic", addons={"pack": 2}).id)
    quote = trialing.preview_change(OWNER, "pro", interval="year")
    assert (quote.due_now, quote.next_amount) == (39000, 39000)
    trialing.change_plan(OWNER, quote.id)
    assert paid(client, trialing) == [39000]
