"""Changes of plan, interval and seats against the emulator: quoted, and carried out as quoted or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    CheckoutRefused,
    InvalidSeats,
    LimitReached,
    PlanNotForSale,
    QuoteChanged,
    QuoteNotFound,
    StripeRejected,
    Subscription,
    SubscriptionRefused,
    UnknownInterval,
    UnknownPlan,
)
from paidup.catalog import file
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.account import price_of, subscribe
from tests.support.go_between import a_go_between
from tests.support.host_app import HostApp

OWNER, OTHER = "user:1", "user:2"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
    """Billing that knows a subscriber of Pro."""
    subscribe(billing)
    billing.sync(OWNER)
    return billing


def known(billing: Billing, owner: str = OWNER) -> Subscription:
    found = billing.subscription(owner)
    assert found is not None
    return found


def paid(client: sdk.StripeClient, billing: Billing, owner: str = OWNER) -> list[int]:
    """What was charged, oldest first."""
    found = client.v1.charges.list({"customer": known(billing, owner).customer, "limit": 100}).data
    return [each.amount for each in found if each.status == "succeeded"][::-1]


def change(billing: Billing, plan: str, **terms: Any) -> Subscription:
    return billing.change_plan(OWNER, billing.preview_change(OWNER, plan, **terms).id)


def held(subscription: Subscription) -> tuple[str | None, str | None, int]:
    [item] = subscription.items
    return subscription.plan, item.interval, item.quantity


def is_refused(action: str, call: Callable[[], object]) -> None:
    with pytest.raises(SubscriptionRefused) as refused:
        call()
    assert refused.value.action == action
    assert refused.value.remedy


# at once


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"plan": "team", "seats": 3}, ("team", "month", 3)),
        ({"plan": "team"}, ("team", "month", 2)),
        ({"plan": "pro", "interval": "year"}, ("pro", "year", 1)),
        ({"plan": "team", "interval": "year", "seats": 5}, ("team", "year", 5)),
    ],
)
def test_more_is_at_once_and_charged_as_quoted(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, terms: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """H86: what was said is what is charged, however long the user thinks about it."""
    stripe.advance(days=10)
    quote = subscriber.preview_change(OWNER, **terms)
    assert quote.when == "now"
    assert paid(client, subscriber) == [2900]
    assert sum(line.amount for line in quote.lines) == quote.due_now > 0
    stripe.advance(seconds=1200)
    found = subscriber.change_plan(OWNER, quote.id)
    assert held(found) == held(known(subscriber)) == expected
    assert paid(client, subscriber) == [2900, quote.due_now]
    assert quote.next_at == found.current_period_end
    upcoming = subscriber.upcoming_invoice(OWNER)
    assert upcoming is not None
    assert upcoming.total == quote.next_amount


def test_seats_are_added_at_once_and_taken_away_at_the_end(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    change(subscriber, "team", seats=4)
    assert held(change(subscriber, "team", seats=7)) == ("team", "month", 7)
    assert held(change(subscriber, "team", seats=2)) == ("team", "month", 7)
    stripe.advance(days=32)
    subscriber.sync(OWNER)
    assert held(known(subscriber)) == ("team", "month", 2)
    assert paid(client, subscriber)[-1] == 3000


@pytest.mark.parametrize("seats", [0, 1, -1, 51, 1.5, True])
def test_a_number_of_seats_that_cannot_be_is_refused(subscriber: Billing, seats: Any) -> None:
    """H94."""
    with pytest.raises(InvalidSeats):
        subscriber.preview_change(OWNER, "team", seats=seats)


def test_what_stands_beside_the_plan_stays(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H92: an add-on is neither the plan nor touched, whether the change is at once or planned."""
    product = client.v1.products.create({"name": "Support"})
    recurring: Any = {"interval": "month"}
    addon = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 500, "recurring": recurring}
    )
    running = known(subscriber)
    client.v1.subscription_items.create({"subscription": running.id, "price": addon.id, "quantity": 2})
    change(subscriber, "team", seats=2)
    change(subscriber, "basic")
    schedule = client.v1.subscription_schedules.retrieve(str(known(subscriber).schedule))
    for items in (known(subscriber).items, schedule.phases[-1]["items"]):
        assert len(items) == 2
        assert (addon.id, 2) in [(str(each.price), each.quantity) for each in items]


def test_a_price_that_was_replaced_is_kept_for_more_seats(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H58: who bought at the old price stays there until they choose another plan or interval."""
    change(subscriber, "team", seats=2)
    old = known(subscriber).items[0].price
    found = client.v1.prices.retrieve(old)
    recurring: Any = {"interval": "month"}
    client.v1.prices.create(
        {
            "product": str(found.product),
            "currency": "usd",
            "unit_amount": 9900,
            "recurring": recurring,
            "lookup_key": "team_month",
            "transfer_lookup_key": True,
        }
    )
    subscriber.sync(OWNER)
    assert change(subscriber, "team", seats=3).items[0].price == old


def test_after_a_price_was_raised_its_subscribers_change_as_before(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H56, H58: the push archives the old price; who has it may add seats, plan less, and take that back."""
    change(subscriber, "team", seats=5)
    old = known(subscriber).items[0].price
    dearer = make_billing(catalog=file.loads(PLANS.read_text().replace("amount = 1500\n", "amount = 1900\n")))
    dearer.push_catalog()
    assert not client.v1.prices.retrieve(old).active
    assert held(change(dearer, "team", seats=6)) == ("team", "month", 6)
    quote = dearer.preview_change(OWNER, "team", seats=3)
    assert quote.next_amount == 3 * 1500
    dearer.change_plan(OWNER, quote.id)
    dearer.undo_change(OWNER)
    change(dearer, "team", seats=4)
    assert not client.v1.prices.retrieve(old).active
    stripe.advance(days=32)
    dearer.sync(OWNER)
    assert (held(known(dearer)), known(dearer).items[0].price) == (("team", "month", 4), old)
    assert paid(client, dearer)[-1] == 4 * 1500
    change(dearer, "basic")
    stripe.advance(days=31)
    dearer.sync(OWNER)
    assert held(known(dearer)) == ("basic", "month", 1)


@pytest.fixture
def two_of_an_old_price(billing: Billing, make_billing: MakeBilling) -> Billing:
    """Two owners of a price that is archived since."""
    for owner in (OWNER, OTHER):
        subscribe(billing, owner=owner)
        billing.sync(owner)
    dearer = make_billing(catalog=file.loads(PLANS.read_text().replace("amount = 2900\n", "amount = 3900\n")))
    dearer.push_catalog()
    return dearer


def test_two_subscribers_of_an_old_price_plan_less_in_the_same_moment(
    two_of_an_old_price: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H58: one is done, and archives the price, while the other has it active and goes on a second later."""
    billing = two_of_an_old_price
    old = known(billing).items[0].price
    quotes = {owner: billing.preview_change(owner, "basic").id for owner in (OWNER, OTHER)}
    stripe.slow_next("/v1/prices/*", 1.0, method="POST")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda owner: billing.change_plan(owner, quotes[owner]), (OWNER, OTHER)))
    for owner in (OWNER, OTHER):
        planned = billing.scheduled_change(owner)
        assert planned is not None
        assert planned.after.plan == "basic"
    price = client.v1.prices.retrieve(old)
    assert (price.active, "paidup_archived" in price.metadata) == (False, False)


def test_a_price_that_is_archived_again_and_again_is_given_up_for_now(
    two_of_an_old_price: Billing, make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    old = known(two_of_an_old_price).items[0].price
    with a_go_between(stripe) as between:
        billing = make_billing(catalog=two_of_an_old_price.catalog, api_base=between.url)
        quote = billing.preview_change(OWNER, "basic").id

        def archived_at_once(answer: bytes) -> bytes:
            client.v1.prices.update(old, {"active": False})
            return answer

        between.change = archived_at_once
        with pytest.raises(StripeRejected, match="inactive"):
            billing.change_plan(OWNER, quote)
        tries = [path for method, path in between.calls if method == "POST" and "/subscription_schedules/" in path]
        assert len(tries) == 6
        between.change = lambda answer: answer
        billing.change_plan(OWNER, quote)
        assert billing.scheduled_change(OWNER) is not None
    assert not client.v1.prices.retrieve(old).active


def test_what_is_refused_for_another_reason_is_not_tried_again(
    two_of_an_old_price: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    with a_go_between(stripe) as between:
        billing = make_billing(catalog=two_of_an_old_price.catalog, api_base=between.url)
        quote = billing.preview_change(OWNER, "basic").id
        stripe.fail_next("/v1/subscription_schedules/*", status=400, method="POST")
        with pytest.raises(StripeRejected):
            billing.change_plan(OWNER, quote)
        tries = [path for method, path in between.calls if method == "POST" and "/subscription_schedules/" in path]
        assert len(tries) == 1


# at the period's end


@pytest.mark.parametrize(("plan", "interval"), [("basic", "month"), ("basic", "year")])
def test_less_is_planned_shown_and_charged_from_the_next_period_on(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, plan: str, interval: str
) -> None:
    quote = subscriber.preview_change(OWNER, plan, interval=interval)
    end = known(subscriber).current_period_end
    assert (quote.when, quote.due_now, quote.effective_at, quote.next_at) == ("period_end", 0, end, end)
    assert held(subscriber.change_plan(OWNER, quote.id)) == ("pro", "month", 1)
    planned = subscriber.scheduled_change(OWNER)
    assert planned is not None
    assert (planned.after, planned.effective_at) == (quote.after, end)
    stripe.advance(days=33)
    subscriber.sync(OWNER)
    assert held(known(subscriber)) == (plan, interval, 1)
    assert paid(client, subscriber) == [2900, quote.next_amount]
    assert subscriber.scheduled_change(OWNER) is None
    assert known(subscriber).schedule is None


def test_a_shorter_interval_waits_for_the_long_one_to_end(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    change(subscriber, "pro", interval="year")
    quote = subscriber.preview_change(OWNER, "pro", interval="month")
    subscriber.change_plan(OWNER, quote.id)
    stripe.advance(days=300)
    subscriber.sync(OWNER)
    assert held(known(subscriber)) == ("pro", "year", 1)
    stripe.advance(days=66)
    subscriber.sync(OWNER)
    assert held(known(subscriber)) == ("pro", "month", 1)
    assert (quote.next_amount, paid(client, subscriber)[-1]) == (2900, 2900)


def test_a_planned_change_is_undone_and_may_be_chosen_again(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    quote = subscriber.preview_change(OWNER, "basic")
    subscriber.change_plan(OWNER, quote.id)
    for _ in range(2):
        assert subscriber.undo_change(OWNER).schedule is None
    assert subscriber.scheduled_change(OWNER) is None
    with pytest.raises(QuoteChanged) as changed:
        subscriber.change_plan(OWNER, quote.id)
    assert subscriber.scheduled_change(OWNER) is None
    subscriber.change_plan(OWNER, changed.value.quote.id)
    subscriber.undo_change(OWNER)
    stripe.advance(days=33)
    subscriber.sync(OWNER)
    assert (known(subscriber).plan, paid(client, subscriber)) == ("pro", [2900, 2900])


def test_one_change_is_planned_at_a_time(subscriber: Billing) -> None:
    """H91: an upgrade would be overwritten by what is planned."""
    change(subscriber, "basic")
    is_refused("undo_change", lambda: subscriber.preview_change(OWNER, "team"))
    subscriber.undo_change(OWNER)
    assert change(subscriber, "team").plan == "team"


def test_a_schedule_of_somebody_else_is_left_alone(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H91."""
    schedule = client.v1.subscription_schedules.create({"from_subscription": known(subscriber).id})
    [now] = schedule.phases
    dates: Any = {"start_date": now.start_date, "end_date": now.end_date}
    phases: Any = [
        {**dates, "items": [{"price": price_of(client)}]},
        {"items": [{"price": price_of(client, "team_month")}]},
    ]
    client.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    is_refused("plan_change", lambda: subscriber.preview_change(OWNER, "team"))
    is_refused("plan_change", lambda: subscriber.undo_change(OWNER))
    client.v1.subscription_schedules.update(schedule.id, {"phases": phases[:1]})
    assert change(subscriber, "team").plan == "team"  # nothing was to come of it


def test_a_schedule_of_somebody_else_is_not_shown_as_ours(subscriber: Billing, client: sdk.StripeClient) -> None:
    client.v1.subscription_schedules.create({"from_subscription": known(subscriber).id})
    subscriber.sync(OWNER)
    assert known(subscriber).schedule is not None
    assert subscriber.scheduled_change(OWNER) is None


def test_canceling_drops_what_is_planned(subscriber: Billing) -> None:
    change(subscriber, "basic")
    assert subscriber.cancel(OWNER).is_canceling
    assert subscriber.scheduled_change(OWNER) is None


def drop_by_canceling(billing: Billing, client: sdk.StripeClient) -> None:
    billing.cancel(OWNER)
    billing.resume(OWNER)


def drop_in_the_dashboard(billing: Billing, client: sdk.StripeClient) -> None:
    client.v1.subscription_schedules.release(str(known(billing).schedule))


@pytest.mark.parametrize("drop", [drop_by_canceling, drop_in_the_dashboard])
def test_what_was_dropped_is_not_said_to_be_planned(
    subscriber: Billing, client: sdk.StripeClient, drop: Callable[[Billing, sdk.StripeClient], None]
) -> None:
    """The same click again gets a new quote, and that one is planned."""
    quote = subscriber.preview_change(OWNER, "basic")
    subscriber.change_plan(OWNER, quote.id)
    drop(subscriber, client)
    with pytest.raises(QuoteChanged):
        subscriber.change_plan(OWNER, quote.id)
    assert subscriber.scheduled_change(OWNER) is None
    with pytest.raises(QuoteChanged) as changed:
        subscriber.change_plan(OWNER, quote.id)
    fresh = changed.value.quote
    assert (fresh.after, fresh.when) == (quote.after, "period_end")
    for _ in range(2):
        subscriber.change_plan(OWNER, fresh.id)
    planned = subscriber.scheduled_change(OWNER)
    assert planned is not None
    assert planned.quote == fresh.id


def test_what_was_planned_of_a_subscription_that_ended_is_refused(subscriber: Billing) -> None:
    quote = subscriber.preview_change(OWNER, "basic")
    subscriber.change_plan(OWNER, quote.id)
    subscriber.cancel(OWNER, when="now")
    is_refused("checkout", lambda: subscriber.change_plan(OWNER, quote.id))


def test_what_was_planned_and_came_is_done_for_who_clicks_again(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """Another change since does not make it one that was dropped."""
    quote = subscriber.preview_change(OWNER, "basic")
    subscriber.change_plan(OWNER, quote.id)
    stripe.advance(days=33)
    assert subscriber.change_plan(OWNER, quote.id).plan == "basic"
    change(subscriber, "pro")
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(days=33))
    assert later.change_plan(OWNER, quote.id).plan == "pro"
    assert [each.kind for each in subscriber.changes() if each.kind == "change.undone"] == []


def test_the_plans_file_may_have_a_downgrade_at_once_and_its_rest_is_kept(
    subscriber: Billing, make_billing: MakeBilling, client: sdk.StripeClient
) -> None:
    """H87: what is left over is credited, not paid out."""
    told = make_billing(catalog=replace(subscriber.catalog, change_timing={("pro", "basic"): "now"}))
    quote = told.preview_change(OWNER, "basic")
    assert (quote.when, quote.due_now) == ("now", 0)
    assert quote.total < 0
    assert told.change_plan(OWNER, quote.id).plan == "basic"
    assert client.v1.customers.retrieve(known(told).customer).balance == quote.total
    assert paid(client, told) == [2900]


def test_what_is_used_beyond_the_lower_plan_stays_and_no_more_is_added(subscriber: Billing, stripe: Emulator) -> None:
    """H96."""
    change(subscriber, "basic")
    stripe.advance(days=33)
    subscriber.sync(OWNER)
    assert subscriber.access(OWNER).limits["projects"] == 10
    with pytest.raises(LimitReached):
        subscriber.require_limit(OWNER, "projects", 30)


# what cannot be


def test_what_there_is_already_is_no_change(subscriber: Billing) -> None:
    for terms in ({}, {"interval": "month"}, {"seats": 1}):
        is_refused("nothing_to_change", lambda terms=terms: subscriber.preview_change(OWNER, "pro", **terms))  # type: ignore[misc]


def test_what_is_not_sold_cannot_be_chosen(subscriber: Billing) -> None:
    """H55, H56: a plan's key is named, never a price."""
    for kind, plan, interval in (
        (UnknownPlan, "price_1", None),
        (UnknownInterval, "team", "week"),
        (PlanNotForSale, "free", None),
    ):
        with pytest.raises(kind):
            subscriber.preview_change(OWNER, plan, interval=interval)


def test_a_price_that_is_not_at_stripe_is_not_sold(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H57."""
    client.v1.prices.update(price_of(client, "team_month"), {"active": False})
    with pytest.raises(PlanNotForSale, match="does not exist"):
        subscriber.preview_change(OWNER, "team")


def test_as_it_stands_it_may_have_to_be_mended_first(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H50: an upgrade brings nothing back unasked, and nobody changes what was not paid."""
    subscriber.cancel(OWNER)
    is_refused("resume", lambda: subscriber.preview_change(OWNER, "team"))
    subscriber.resume(OWNER)
    subscriber.pause(OWNER)
    is_refused("resume", lambda: subscriber.preview_change(OWNER, "team"))
    subscriber.resume(OWNER)
    stripe.decline_next()
    end = known(subscriber).current_period_end
    assert end is not None
    stripe.advance(to=end + timedelta(hours=2))
    is_refused("fix_payment", lambda: subscriber.preview_change(OWNER, "team"))
    subscriber.cancel(OWNER, when="now")
    is_refused("checkout", lambda: subscriber.preview_change(OWNER, "team"))


def test_a_price_nobody_knows_is_not_exchanged(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H93: what was agreed by hand is changed by hand."""
    product = client.v1.products.create({"name": "Enterprise"})
    recurring: Any = {"interval": "month"}
    price = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 99000, "recurring": recurring}
    )
    running = known(subscriber)
    client.v1.subscriptions.update(running.id, {"items": [{"id": running.items[0].id, "price": price.id}]})
    subscriber.sync(OWNER)
    is_refused("contact_us", lambda: subscriber.preview_change(OWNER, "team"))
    assert known(subscriber).plan == "pro"


def test_who_has_a_plan_is_sent_here_and_not_to_checkout(subscriber: Billing) -> None:
    """H49."""
    with pytest.raises(CheckoutRefused) as refused:
        subscriber.checkout(OWNER, "team", seats=2)
    assert refused.value.action == "change_plan"
    assert subscriber.preview_change(OWNER, "team").after.plan == "team"


def test_one_that_has_ended_though_nobody_told_us_may_be_bought_anew(
    subscriber: Billing, client: sdk.StripeClient
) -> None:
    """H49: neither of the two sends to the other for ever."""
    client.v1.subscriptions.cancel(known(subscriber).id)
    with pytest.raises(CheckoutRefused):
        subscriber.checkout(OWNER, "team", seats=3)
    is_refused("checkout", lambda: subscriber.preview_change(OWNER, "team", seats=3))
    assert subscriber.checkout(OWNER, "team", seats=3).state == "open"


def test_one_that_nobody_told_us_of_yet_is_found(billing: Billing) -> None:
    """H6."""
    subscribe(billing)
    assert billing.preview_change(OWNER, "team").before.plan == "pro"


# a quote binds


def test_a_quote_is_its_owners(subscriber: Billing) -> None:
    """H39."""
    quote = subscriber.preview_change(OWNER, "team")
    for owner, name in ((OTHER, quote.id), (OWNER, "another")):
        with pytest.raises(QuoteNotFound):
            subscriber.change_plan(owner, name)
    is_refused("checkout", lambda: subscriber.undo_change(OTHER))
    assert known(subscriber).plan == "pro"


@pytest.mark.parametrize("what", ["seats", "discount", "balance", "renewal"])
def test_a_quote_that_holds_no_more_is_refused_with_a_new_one(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, what: str
) -> None:
    """H86: nothing is charged that was not said."""
    quote = subscriber.preview_change(OWNER, "team", seats=5)
    running = known(subscriber)
    match what:
        case "seats":
            change(subscriber, "team", seats=3)
        case "discount":
            coupon = client.v1.coupons.create({"percent_off": 50, "duration": "forever"})
            client.v1.subscriptions.update(running.id, {"discounts": [{"coupon": coupon.id}]})
        case "balance":
            client.v1.customers.balance_transactions.create(running.customer, {"amount": -100, "currency": "usd"})
        case "renewal":
            stripe.advance(days=32)
    before = paid(client, subscriber)
    with pytest.raises(QuoteChanged):
        subscriber.change_plan(OWNER, quote.id)
    with pytest.raises(QuoteChanged) as changed:
        subscriber.change_plan(OWNER, quote.id)
    assert paid(client, subscriber) == before
    fresh = changed.value.quote
    assert (fresh.after, changed.value.as_dict()["quote"]) == (quote.after, fresh.as_dict())
    subscriber.change_plan(OWNER, fresh.id)
    assert paid(client, subscriber) == [*before, fresh.due_now]


def test_a_quote_holds_for_half_an_hour(subscriber: Billing, make_billing: MakeBilling, stripe: Emulator) -> None:
    """H86."""
    quote = subscriber.preview_change(OWNER, "team")
    later = make_billing(clock=lambda: quote.expires_at + timedelta(seconds=1))
    with pytest.raises(QuoteChanged) as changed:
        later.change_plan(OWNER, quote.id)
    assert changed.value.quote.id != quote.id


def test_a_preview_that_fails_says_so(subscriber: Billing, stripe: Emulator) -> None:
    """H86: never a quote over nothing."""
    stripe.fail_next("/v1/invoices/create_preview", should_retry=False)
    with pytest.raises(Exception, match="preview an invoice"):
        subscriber.preview_change(OWNER, "team")


def test_without_an_address_the_tax_is_not_guessed(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H64."""
    with a_go_between(stripe) as between:
        billing = make_billing(api_base=between.url)
        stripe.fail_next("/v1/invoices/create_preview", status=400)
        error = {"type": "invalid_request_error", "code": "customer_tax_location_invalid", "message": "No address."}
        between.change = lambda body: json.dumps({"error": error}).encode() if b'"error"' in body[:20] else body
        is_refused("update_address", lambda: billing.preview_change(OWNER, "team"))


def test_clicked_many_times_it_is_charged_once(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H47."""
    quote = subscriber.preview_change(OWNER, "team", seats=3)
    with ThreadPoolExecutor(4) as clicks:
        found = list(clicks.map(lambda _: subscriber.change_plan(OWNER, quote.id), range(4)))
    assert {held(each) for each in found} == {("team", "month", 3)}
    assert paid(client, subscriber) == [2900, quote.due_now]


def test_people_who_join_at_the_same_time_end_at_the_right_number(
    subscriber: Billing, client: sdk.StripeClient
) -> None:
    """H94: the number is set, not counted up, and one change is confirmed at a time."""
    change(subscriber, "team", seats=2)
    members, lock = 2, Lock()

    def join(_: int) -> None:
        nonlocal members
        with lock:
            members += 1
        while True:
            try:
                quote = subscriber.preview_change(OWNER, "team", seats=members)
                subscriber.change_plan(OWNER, quote.id)
            except QuoteChanged:
                continue
            except SubscriptionRefused as refused:
                if refused.action != "nothing_to_change":
                    raise
            return

    with ThreadPoolExecutor(20) as joining:
        list(joining.map(join, range(20)))
    subscriber.sync(OWNER)
    assert held(known(subscriber)) == ("team", "month", 22)
    assert subscriber.scheduled_change(OWNER) is None


# over HTTP


def test_a_program_previews_confirms_and_undoes(host_app: HostApp, stripe: Emulator) -> None:
    subscribe(host_app.billing)
    with host_app.client(OWNER) as http:
        quote = http.post("/billing/change/preview", json={"plan": "basic"}).json()
        assert (quote["when"], quote["after"]["plan"], quote["due_now"]) == ("period_end", "basic", 0)
        done = http.post("/billing/change", json={"quote": quote["id"]})
        assert (done.status_code, done.json()["plan"]) == (200, "pro")
        planned = http.get("/billing/change").json()
        assert (planned["after"]["plan"], planned["effective_at"]) == ("basic", quote["effective_at"])
        assert http.post("/billing/change/undo", json={}).status_code == 200
        assert http.get("/billing/change").json() is None
        again = http.post("/billing/change", json={"quote": quote["id"]})
        assert (again.status_code, again.json()["code"]) == (409, "quote_changed")
        assert again.json()["quote"]["after"] == quote["after"]


def test_a_form_says_it_too_and_goes_back_to_the_billing_page(host_app: HostApp) -> None:
    subscribe(host_app.billing)
    with host_app.client(OWNER) as http:
        asked = http.post("/billing/change/preview", data={"plan": "team", "interval": "", "seats": "3"})
        answer = http.post("/billing/change", data={"quote": asked.json()["id"]})
        assert (answer.status_code, answer.headers["location"]) == (303, host_app.billing.settings.portal_return)
        assert held(known(host_app.billing)) == ("team", "month", 3)
        answer = http.post("/billing/change/undo", data={"group": ""})
        assert answer.status_code == 303


def test_only_who_may_manage_billing_changes_it_and_names_no_price(host_app: HostApp) -> None:
    """H40, H55."""
    subscribe(host_app.billing)
    with host_app.client(OWNER, role="member") as http:
        for path in ("preview", "undo"):
            assert http.post(f"/billing/change/{path}", json={"plan": "team"}).status_code == 403
        assert http.post("/billing/change", json={"quote": "1"}).status_code == 403
    with host_app.client(OWNER) as http:
        for extra in ({"price": "price_1"}, {"proration_date": 1}, {"seats": 1.5}, {"seats": 0}):
            assert http.post("/billing/change/preview", json={"plan": "team", **extra}).status_code == 422
        assert http.post("/billing/change", json={"quote": "another"}).status_code == 404
