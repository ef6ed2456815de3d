"""What an app is told beside plans and payments: pauses, pages that were left, customers who are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, Change, PaymentNeedsUser, Quote, QuoteChanged
from stripe_emulator import Emulator
from tests.support.account import deliver_all, subscribe
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def told(billing: Billing) -> list[Change]:
    heard: list[Change] = []
    billing.on_change()(heard.append)
    return heard


def hear(billing: Billing, stripe: Emulator) -> None:
    """Everything is delivered, twice."""
    for _ in range(2):
        deliver_all(billing, stripe)
        billing.run_until_idle()


def of(told: list[Change], *kinds: str) -> list[tuple[str, dict[str, object]]]:
    return [(each.kind, dict(each.data)) for each in told if each.kind in kinds]


def test_each_pause_and_its_end(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    subscribe(billing)
    hear(billing, stripe)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
    billing.pause(OWNER, until=until)
    hear(billing, stripe)
    billing.resume(OWNER)
    hear(billing, stripe)
    billing.pause(OWNER, kind="subscription")
    hear(billing, stripe)
    billing.resume(OWNER)
    hear(billing, stripe)
    assert of(told, "subscription.paused", "subscription.unpaused") == [
        ("subscription.paused", {"plan": "pro", "pause": "collection", "resumes_at": until.isoformat()}),
        ("subscription.unpaused", {"plan": "pro"}),
        ("subscription.paused", {"plan": "pro", "pause": "subscription", "resumes_at": None}),
        ("subscription.unpaused", {"plan": "pro"}),
    ]


def test_a_page_that_was_left_until_it_ran_out(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    """One that another page took the place of is nobody's change of mind."""
    billing.checkout(OWNER, "basic")
    left = billing.checkout(OWNER, "team", seats=3, addons={"pack": 2})
    assert left.addons == billing.find_checkout(OWNER, str(left.session_id)).addons == {"pack": 2}
    hear(billing, stripe)
    assert of(told, "checkout.expired") == []
    stripe.advance(days=2)
    hear(billing, stripe)
    terms = {"plan": "team", "interval": "month", "seats": 3, "addons": {"pack": 2}}
    assert of(told, "checkout.expired") == [("checkout.expired", terms)]
    (change,) = [each for each in told if each.kind == "checkout.expired"]
    assert (change.id, change.owner) == (f"checkout.expired:{left.session_id}", OWNER)


def test_a_customer_who_was_deleted(billing: Billing, stripe: Emulator, client: Any, told: list[Change]) -> None:
    subscribe(billing)
    hear(billing, stripe)
    customer = billing.customer(OWNER)
    assert customer is not None
    client.customers.delete(customer.id)
    hear(billing, stripe)
    (change,) = [each for each in told if each.kind == "customer.deleted"]
    assert (change.owner, change.customer) == (OWNER, customer.id)


def test_only_a_new_period_is_told_as_one(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    """H88: a seat that is bought is paid for as well, and fills no quota again."""
    pay(str(billing.checkout(OWNER, "team", seats=3).url))
    hear(billing, stripe)
    first = billing.subscription(OWNER)
    assert first is not None
    stripe.advance(days=10)
    billing.sync(OWNER)
    billing.change_plan(OWNER, billing.preview_change(OWNER, "team", seats=5).id)
    hear(billing, stripe)
    stripe.advance(days=22)
    hear(billing, stripe)
    second = billing.subscription(OWNER)
    assert second is not None
    assert second.current_period_start == first.current_period_end
    paid = [each.data for each in told if each.kind == "invoice.paid"]
    assert [(each["billing_reason"], each["period_start"], each["period_end"]) for each in paid] == [
        ("subscription_create", iso(first.current_period_start), iso(first.current_period_end)),
        ("subscription_update", None, None),
        ("subscription_cycle", iso(second.current_period_start), iso(second.current_period_end)),
    ]


def iso(moment: datetime | None) -> str:
    assert moment is not None
    return moment.isoformat()


def plan_less(billing: Billing) -> Quote:
    """Team, which less than was paid for is planned to become Pro."""
    pay(str(billing.checkout(OWNER, "team", seats=3).url))
    billing.sync(OWNER)
    quote = billing.preview_change(OWNER, "pro", addons={"pack": 2})
    billing.change_plan(OWNER, quote.id)
    return quote


def to_come(quote: Quote) -> dict[str, object]:
    assert quote.effective_at is not None
    after = {"plan": "pro", "interval": "month", "seats": 1, "addons": {"pack": 2}}
    return after | {"effective_at": quote.effective_at.isoformat()}


def test_a_change_that_is_planned_and_then_comes(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    quote = plan_less(billing)
    hear(billing, stripe)
    billing.change_plan(OWNER, quote.id)
    hear(billing, stripe)
    kinds = ("change.planned", "change.undone", "plan.changed")
    planned = ("change.planned", {**to_come(quote), "previous_plan": "team"})
    assert of(told, *kinds) == [planned]
    for _ in range(2):
        stripe.advance(days=32)
        hear(billing, stripe)
    assert of(told, *kinds) == [planned, ("plan.changed", {"plan": "pro", "previous_plan": "team"})]


@pytest.mark.parametrize("heard_between", [True, False])
def test_a_planned_change_that_is_taken_back(
    billing: Billing, stripe: Emulator, told: list[Change], heard_between: bool
) -> None:
    quote = plan_less(billing)
    if heard_between:
        hear(billing, stripe)
    for _ in range(2):
        billing.undo_change(OWNER)
        hear(billing, stripe)
    undone = ("change.undone", {**to_come(quote), "kept_plan": "team"})
    assert of(told, "change.undone", "plan.changed") == [undone]
    stripe.advance(days=40)
    hear(billing, stripe)
    assert of(told, "change.undone", "plan.changed") == [undone]


def test_a_planned_change_that_canceling_drops(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    plan_less(billing)
    hear(billing, stripe)
    billing.cancel(OWNER)
    hear(billing, stripe)
    assert [kind for kind, _ in of(told, "change.planned", "change.undone", "subscription.canceling")] == [
        "change.planned",
        "change.undone",
        "subscription.canceling",
    ]
    assert billing.scheduled_change(OWNER) is None


def test_a_planned_change_that_somebody_drops_in_the_dashboard(
    billing: Billing, stripe: Emulator, client: Any, told: list[Change]
) -> None:
    quote = plan_less(billing)
    hear(billing, stripe)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.subscription_schedules.release(subscription.schedule)
    hear(billing, stripe)
    assert of(told, "change.undone") == [("change.undone", {**to_come(quote), "kept_plan": "team"})]


def test_a_planned_change_that_is_found_dropped_by_a_second_click(
    billing: Billing, stripe: Emulator, client: Any, told: list[Change]
) -> None:
    """Before the synchronisation has seen that somebody dropped it in the Dashboard."""
    quote = plan_less(billing)
    hear(billing, stripe)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.subscription_schedules.release(subscription.schedule)
    with pytest.raises(QuoteChanged):
        billing.change_plan(OWNER, quote.id)
    hear(billing, stripe)
    assert of(told, "change.undone") == [("change.undone", {**to_come(quote), "kept_plan": "team"})]


@pytest.mark.parametrize("undone", [True, False])
def test_a_change_that_nobody_confirmed_at_the_bank(
    billing: Billing, stripe: Emulator, client: Any, told: list[Change], undone: bool
) -> None:
    """Taken back by the user, or left until Stripe drops it after 23 hours."""
    subscribe(billing)
    hear(billing, stripe)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    card = client.payment_methods.attach("pm_card_authenticationRequired", {"customer": subscription.customer})
    client.subscriptions.update(subscription.id, {"default_payment_method": card.id})
    quote = billing.preview_change(OWNER, "team", seats=3)
    with pytest.raises(PaymentNeedsUser):
        billing.change_plan(OWNER, quote.id)
    hear(billing, stripe)
    with pytest.raises(PaymentNeedsUser):
        billing.change_plan(OWNER, quote.id)
    hear(billing, stripe)
    after = {"plan": "team", "interval": "month", "seats": 3, "addons": {}}
    expires = datetime.fromtimestamp(stripe.get(subscription.id)["pending_update"]["expires_at"], UTC).isoformat()
    waiting = ("change.waiting", {**after, "previous_plan": "pro", "expires_at": expires})
    assert of(told, "change.planned", "change.waiting", "change.undone") == [waiting]
    if undone:
        billing.undo_change(OWNER)
    stripe.advance(days=1)
    hear(billing, stripe)
    data = {"plan": "team", "interval": "month", "seats": 3, "addons": {}, "kept_plan": "pro", "effective_at": None}
    assert of(told, "change.undone", "plan.changed") == [("change.undone", data)]
