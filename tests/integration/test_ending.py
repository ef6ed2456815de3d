"""Cancel, resume and pause against the emulator: what was asked for happens once, whatever comes in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from time import monotonic
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from paidup import (
    Billing,
    CheckoutRefused,
    DatabaseUnavailable,
    InvalidOwner,
    InvalidRequest,
    StripeError,
    StripeUnavailable,
    Subscription,
    SubscriptionRefused,
)
from paidup.ending import Owed
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import deliver_all, price_of, subscribe
from tests.support.calls import counted
from tests.support.paying import OTHER_CARD, change_card, pay

OWNER = "user:1"
UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"

Verb = Callable[[Billing, str], Subscription]


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
    """Billing that knows a subscriber of Pro."""
    buy(billing)
    return billing


def buy(billing: Billing, owner: str = OWNER) -> Subscription:
    subscribe(billing, owner=owner)
    billing.sync(owner)
    return known(billing, owner)


def known(billing: Billing, owner: str = OWNER) -> Subscription:
    found = billing.subscription(owner)
    assert found is not None
    return found


def asked(stripe: Emulator, kind: str) -> int:
    return len(stripe.events(kind))


def falls_behind(billing: Billing, stripe: Emulator, owner: str = OWNER) -> Subscription:
    """A renewal fails: an open invoice."""
    end = buy(billing, owner).current_period_end
    assert end is not None
    stripe.decline_next()
    stripe.advance(to=end + timedelta(hours=2))
    billing.sync(owner)
    found = known(billing, owner)
    assert found.is_past_due
    return found


def invoices(client: sdk.StripeClient, subscription: str) -> list[str | None]:
    """The statuses of a subscription's invoices, oldest first."""
    return [each.status for each in client.v1.invoices.list({"subscription": subscription}).data][::-1]


def is_refused(action: str, call: Callable[[], object]) -> SubscriptionRefused:
    with pytest.raises(SubscriptionRefused) as refused:
        call()
    assert refused.value.action == action
    assert refused.value.remedy
    return refused.value


# canceling at the end of the period


def test_canceled_it_runs_until_what_is_paid_for_is_over(subscriber: Billing, stripe: Emulator) -> None:
    found = subscriber.cancel(OWNER, feedback="too_expensive", comment=" I would pay half. ")
    assert (found.is_canceling, found.ends_at, found.renews_at) == (True, found.current_period_end, None)
    assert subscriber.access(OWNER).can("reports")
    assert subscriber.subscription(OWNER) == found
    told = stripe.get(found.id)["cancellation_details"]
    assert (told["feedback"], told["comment"]) == ("too_expensive", "I would pay half.")
    stripe.advance(days=32)
    subscriber.sync(OWNER)
    assert known(subscriber).has_ended
    assert not subscriber.access(OWNER).can("reports")


def test_canceling_again_asks_nothing_of_stripe_but_a_reason_that_is_new(subscriber: Billing, stripe: Emulator) -> None:
    subscriber.cancel(OWNER)
    subscriber.cancel(OWNER)
    assert asked(stripe, UPDATED) == 1
    found = subscriber.cancel(OWNER, feedback="unused")
    subscriber.cancel(OWNER, feedback="unused")
    assert asked(stripe, UPDATED) == 2
    assert stripe.get(found.id)["cancellation_details"]["feedback"] == "unused"


def test_an_earlier_end_stays_and_a_later_one_is_brought_forward(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    start = known(subscriber)
    assert start.current_period_end is not None
    for days, expected in ((-5, timedelta(days=-5)), (60, timedelta())):
        there = start.current_period_end + timedelta(days=days)
        client.v1.subscriptions.update(start.id, {"cancel_at": int(there.timestamp())})
        assert subscriber.cancel(OWNER).ends_at == start.current_period_end + expected


def test_at_the_end_of_the_period_invoices_stay_what_they_are(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H85: only who cancels at once is forgiven."""
    late = falls_behind(billing, stripe)
    assert billing.cancel(OWNER).is_canceling
    assert invoices(client, late.id) == ["paid", "open"]


def test_one_that_was_never_paid_has_no_period_to_wait_for(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    billing.checkout(OWNER, "pro")
    customer = billing.customer(OWNER)
    assert customer is not None
    made = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price_of(client)}],
            "payment_behavior": "default_incomplete",
        }
    )
    is_refused("cancel_now", lambda: billing.cancel(OWNER))
    assert billing.cancel(OWNER, when="now").id == made.id
    assert invoices(client, made.id) == ["void"]


# canceling now


def test_canceled_now_it_is_over_at_once(subscriber: Billing, stripe: Emulator) -> None:
    found = subscriber.cancel(OWNER, when="now", feedback="switched_service")
    assert (found.status, found.has_ended) == ("canceled", True)
    assert not subscriber.access(OWNER).can("reports")
    assert stripe.get(found.id)["cancellation_details"]["feedback"] == "switched_service"


def test_canceling_now_again_says_that_it_is_over(subscriber: Billing, stripe: Emulator) -> None:
    first = subscriber.cancel(OWNER, when="now")
    assert subscriber.cancel(OWNER, when="now") == first
    assert asked(stripe, DELETED) == 1


def test_what_is_owed_for_it_is_never_collected(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H85: an open invoice that is left is collected months later."""
    late = falls_behind(billing, stripe)
    billing.cancel(OWNER, when="now")
    assert invoices(client, late.id) == ["paid", "void"]
    assert [each.status for each in billing.invoices(OWNER)] == ["void", "paid"]


def test_a_draft_is_voided_too(subscriber: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H85: a renewal is a draft for an hour."""
    running = known(subscriber)
    assert running.current_period_end is not None
    stripe.advance(to=running.current_period_end + timedelta(minutes=5))
    assert invoices(client, running.id) == ["paid", "draft"]
    subscriber.cancel(OWNER, when="now")
    assert invoices(client, running.id) == ["paid", "void"]
    stripe.advance(days=60)
    assert invoices(client, running.id) == ["paid", "void"]


@pytest.mark.parametrize(("owed", "becomes"), [("void", "void"), ("uncollectible", "uncollectible"), ("keep", "open")])
def test_what_becomes_of_what_is_owed_is_said(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, owed: Owed, becomes: str
) -> None:
    """H85: each of them, an open invoice alike if the call is made twice, and for good."""
    late = falls_behind(billing, stripe)
    for _ in range(2):
        assert billing.cancel(OWNER, when="now", owed=owed).has_ended
    assert invoices(client, late.id) == ["paid", becomes]
    stripe.advance(days=60)
    assert invoices(client, late.id) == ["paid", becomes]


def test_a_draft_is_written_off_too(subscriber: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H85."""
    running = known(subscriber)
    assert running.current_period_end is not None
    stripe.advance(to=running.current_period_end + timedelta(minutes=5))
    subscriber.cancel(OWNER, when="now", owed="uncollectible")
    assert invoices(client, running.id) == ["paid", "uncollectible"]


@pytest.mark.parametrize(
    ("owed", "when"), [("forgive", "now"), ("uncollectible", "period_end"), ("keep", "period_end")]
)
def test_what_cannot_become_of_what_is_owed_is_told(subscriber: Billing, owed: Any, when: Any) -> None:
    with pytest.raises(InvalidRequest):
        subscriber.cancel(OWNER, when=when, owed=owed)
    assert not known(subscriber).is_canceling


def test_invoices_of_anything_else_stay(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H85."""
    late = falls_behind(billing, stripe)
    client.v1.invoice_items.create({"customer": late.customer, "amount": 500, "currency": "usd"})
    other = client.v1.invoices.create(
        {"customer": late.customer, "auto_advance": False, "pending_invoice_items_behavior": "include"}
    )
    client.v1.invoices.finalize_invoice(str(other.id))
    billing.cancel(OWNER, when="now")
    assert stripe.get(str(other.id))["status"] == "open"


def test_voiding_that_was_cut_short_is_finished_by_the_next_call(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H85, H109: the subscription is over by then, also in our database."""
    late = falls_behind(billing, stripe)
    stripe.fail_next("/v1/invoices/*/void", method="POST", should_retry=False)
    with pytest.raises(StripeUnavailable):
        billing.cancel(OWNER, when="now")
    billing.sync(OWNER)
    assert (known(billing).has_ended, invoices(client, late.id)) == (True, ["paid", "open"])
    billing.cancel(OWNER, when="now")
    assert invoices(client, late.id) == ["paid", "void"]


def test_who_canceled_may_subscribe_again_whatever_is_told_late(billing: Billing, stripe: Emulator) -> None:
    """H68: what comes late about the old one ends neither the new one nor its access."""
    old = buy(billing)
    billing.cancel(OWNER, when="now")
    stripe.advance(seconds=5)
    new = buy(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert billing.access(OWNER).can("reports")
    assert billing.cancel(OWNER).id == new.id != old.id


# coming back


def test_a_cancellation_is_taken_back(subscriber: Billing, stripe: Emulator) -> None:
    subscriber.cancel(OWNER)
    found = subscriber.resume(OWNER)
    assert (found.is_canceling, found.ends_at, found.renews_at) == (False, None, found.current_period_end)
    stripe.advance(days=32)
    subscriber.sync(OWNER)
    assert known(subscriber).is_active
    assert subscriber.access(OWNER).can("reports")


def test_an_end_without_the_flag_is_taken_back_too(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H71: the portal sets `cancel_at` alone; nobody has told us yet."""
    running = known(subscriber)
    client.v1.subscriptions.update(running.id, {"cancel_at": "min_period_end"})
    assert stripe.get(running.id)["cancel_at_period_end"] is False
    assert not known(subscriber).is_canceling
    assert not subscriber.resume(OWNER).is_canceling
    assert stripe.get(running.id)["cancel_at"] is None


def test_one_that_runs_stays_as_it_is(subscriber: Billing, stripe: Emulator) -> None:
    """A second click on `resume`."""
    assert subscriber.resume(OWNER) == known(subscriber)
    assert asked(stripe, UPDATED) == 0


def test_what_is_over_cannot_be_resumed_but_bought_again(subscriber: Billing) -> None:
    subscriber.cancel(OWNER, when="now")
    for verb in (subscriber.resume, subscriber.pause, subscriber.cancel):
        assert "start a checkout" in str(is_refused("checkout", lambda verb=verb: verb(OWNER)))  # type: ignore[misc]
    assert subscriber.checkout(OWNER, "pro").url


def test_who_has_nothing_is_sent_to_checkout(billing: Billing) -> None:
    """H39: an owner is looked up, never an id of Stripe's."""
    running = buy(billing, "user:2")
    for owner in (OWNER, running.id, running.customer):
        for verb in (billing.resume, billing.pause, billing.cancel):
            is_refused("checkout", lambda verb=verb, owner=owner: verb(owner))  # type: ignore[misc]
    assert known(billing, "user:2") == running


def test_one_that_nobody_told_us_of_yet_is_found(billing: Billing) -> None:
    """H6: canceled right after Checkout, before its webhook."""
    subscribe(billing)
    assert billing.subscription(OWNER) is None
    assert billing.cancel(OWNER).is_canceling


# pausing


def test_paused_there_is_no_access_and_nothing_to_pay_until_then(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H81: Stripe's status stays `active`."""
    until = stripe.now.replace(microsecond=0) + timedelta(days=40)
    found = subscriber.pause(OWNER, until=until)
    assert (found.status, found.is_paused, found.resumes_at) == ("active", True, until)
    assert found.renews_at is None
    access = subscriber.access(OWNER)
    assert (access.can("reports"), access.reason, access.action) == (False, "paused", "resume")
    stripe.advance(days=35)
    assert invoices(client, found.id) == ["paid", "void"]
    stripe.advance(days=10)
    subscriber.sync(OWNER)
    assert subscriber.access(OWNER).can("reports")


def test_a_pause_within_the_period_leaves_the_renewal(subscriber: Billing, stripe: Emulator) -> None:
    found = subscriber.pause(OWNER, until=stripe.now + timedelta(days=5))
    assert found.renews_at == found.current_period_end
    assert subscriber.pause(OWNER).renews_at is None


def test_a_pause_without_a_date_lasts_until_it_is_resumed(subscriber: Billing, stripe: Emulator) -> None:
    """H81."""
    assert subscriber.pause(OWNER).resumes_at is None
    stripe.advance(days=100)
    subscriber.sync(OWNER)
    assert not subscriber.access(OWNER).can("reports")
    assert not subscriber.resume(OWNER).is_paused
    assert subscriber.access(OWNER).can("reports")


def test_pausing_again_changes_the_date_alone(subscriber: Billing, stripe: Emulator) -> None:
    soon, later = (stripe.now.replace(microsecond=7) + timedelta(days=days) for days in (30, 60))
    for until in (soon, soon, later, None, None):
        subscriber.pause(OWNER, until=until)
    assert asked(stripe, UPDATED) == 3
    assert known(subscriber).resumes_at is None


def test_what_stands_as_it_should_is_not_sent_again(subscriber: Billing, stripe: Emulator) -> None:
    until = stripe.now + timedelta(days=30)
    verbs: list[Callable[[], Subscription]] = [
        lambda: subscriber.pause(OWNER, until=until),
        lambda: subscriber.cancel(OWNER, comment=" Why? "),
    ]
    for verb in verbs:
        counts = []
        for _ in range(2):
            with counted(stripe) as calls:
                verb()
                counts.append(calls.count)
        assert counts == [5, 4], "a look and three to synchronise, the first time one to change it"


def test_a_pause_keeps_a_second_purchase_away(subscriber: Billing) -> None:
    subscriber.pause(OWNER)
    with pytest.raises(CheckoutRefused) as refused:
        subscriber.checkout(OWNER, "pro")
    assert refused.value.action == "resume"


def test_what_ends_anyway_or_owes_something_is_not_paused(billing: Billing, stripe: Emulator) -> None:
    buy(billing)
    billing.cancel(OWNER)
    is_refused("resume", lambda: billing.pause(OWNER))
    falls_behind(billing, stripe, "user:2")
    is_refused("fix_payment", lambda: billing.pause("user:2"))


def test_one_that_is_paused_and_canceling_is_resumed_whole(subscriber: Billing) -> None:
    subscriber.pause(OWNER)
    assert subscriber.cancel(OWNER).is_canceling
    found = subscriber.resume(OWNER)
    assert (found.is_paused, found.is_canceling) == (False, False)


# the status `paused`


def stops(client: sdk.StripeClient, subscription: str) -> None:
    """Paused by Stripe's own verb, and not credited."""
    unused: Any = {"unused_time_from": {"type": "none"}, "outstanding_usage_through": {"type": "none"}}
    client.v1.subscriptions.pause(subscription, {"type": "subscription", "bill_for": unused})


def test_one_with_the_status_paused_begins_a_new_period(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    running = known(subscriber)
    stops(client, running.id)
    subscriber.sync(OWNER)
    assert not subscriber.access(OWNER).can("reports")
    stripe.advance(days=40)
    assert subscriber.pause(OWNER).status == "paused"
    found = subscriber.resume(OWNER)
    assert (found.status, invoices(client, found.id)) == ("active", ["paid", "paid"])
    assert subscriber.access(OWNER).can("reports")


def test_what_is_left_when_it_is_stopped_is_taken_off_the_next_period(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    [item] = known(subscriber).items
    begin, end = item.current_period_start, item.current_period_end
    assert begin is not None
    assert end is not None
    stripe.advance(days=10)
    found = subscriber.pause(OWNER, kind="subscription")
    assert subscriber.pause(OWNER, kind="subscription") == found
    assert (found.status, found.is_paused, subscriber.access(OWNER).can("reports")) == ("paused", True, False)
    [stopped] = found.items
    assert stopped.current_period_end is not None
    left, whole = end - stopped.current_period_end, end - begin
    credit = (2900 * int(left.total_seconds()) * 2 + int(whole.total_seconds())) // (2 * int(whole.total_seconds()))
    stripe.advance(days=40)
    assert invoices(client, found.id) == ["paid"]
    assert subscriber.resume(OWNER).status == "active"
    again = client.v1.invoices.list({"subscription": found.id}).data[0]
    assert (again.status, again.amount_paid) == ("paid", 2900 - credit)


def test_what_stripe_cannot_stop_may_be_paused_the_other_way(billing: Billing, subscriber: Billing) -> None:
    subscribe(billing, "basic", owner="user:2")
    is_refused("pause_collection", lambda: billing.pause("user:2", kind="subscription"))
    assert billing.pause("user:2").is_paused
    for terms in ({"kind": "subscription", "until": datetime(2100, 1, 1, tzinfo=UTC)}, {"kind": "both"}):
        with pytest.raises(InvalidRequest):
            subscriber.pause(OWNER, **terms)
    assert not known(subscriber).is_paused


def test_a_resumption_that_is_not_paid_says_what_is_missing(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    running = known(subscriber)
    stops(client, running.id)
    stripe.decline_next()
    for _ in range(2):
        assert "pay the invoice" in str(is_refused("fix_payment", lambda: subscriber.resume(OWNER)))
    assert invoices(client, running.id) == ["paid", "open"]
    client.v1.invoices.pay(str(stripe.get(running.id)["latest_invoice"]))
    assert subscriber.resume(OWNER).is_active


@pytest.mark.hazard(97)
def test_a_resumption_is_charged_to_the_card_that_was_chosen_a_moment_ago(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H97: Checkout has pinned another one, and the user is faster than the webhook."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    stripe.advance(days=10)
    billing.pause(OWNER, kind="subscription")
    change_card(billing.portal(OWNER))
    assert billing.resume(OWNER).is_active
    charges = client.v1.charges.list({"customer": known(billing).customer}).data[::-1]
    cards = [each.payment_method_details and each.payment_method_details.card for each in charges]
    assert [card and card.last4 for card in cards] == ["4242", OTHER_CARD[-4:]]


def test_a_resumption_without_a_card_asks_for_one(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    running = known(subscriber)
    stops(client, running.id)
    for card in client.v1.payment_methods.list({"customer": running.customer}).data:
        client.v1.payment_methods.detach(card.id)
    is_refused("update_payment_method", lambda: subscriber.resume(OWNER))
    client.v1.payment_methods.attach("pm_card_visa", {"customer": running.customer})
    [card] = client.v1.payment_methods.list({"customer": running.customer}).data
    client.v1.customers.update(running.customer, {"invoice_settings": {"default_payment_method": card.id}})
    assert subscriber.resume(OWNER).is_active


# schedules


def test_canceling_drops_a_planned_change(subscriber: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H91: with a schedule attached Stripe refuses the end of a period."""
    schedule = client.v1.subscription_schedules.create({"from_subscription": known(subscriber).id})
    assert subscriber.cancel(OWNER).is_canceling
    assert stripe.get(schedule.id)["status"] == "released"


def test_canceling_drops_no_schedule_that_was_made_elsewhere(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H91: twelve months agreed in the Dashboard are nothing the user may end with a click."""
    schedule = client.v1.subscription_schedules.create({"from_subscription": known(subscriber).id})
    [now] = schedule.phases
    items: Any = [{"price": now["items"][0].price, "quantity": 1}]
    phases: Any = [
        {"items": items, "start_date": now.start_date, "end_date": now.end_date},
        {"items": items, "duration": {"interval": "month", "interval_count": 12}},
    ]
    client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "release", "phases": phases})
    is_refused("plan_change", lambda: subscriber.cancel(OWNER))
    assert stripe.get(schedule.id)["status"] == "active"
    assert not known(subscriber).is_canceling


def test_canceling_brings_no_end_forward_that_was_agreed_elsewhere(
    subscriber: Billing, client: sdk.StripeClient
) -> None:
    running = known(subscriber)
    schedule = client.v1.subscription_schedules.create({"from_subscription": running.id})
    [now] = schedule.phases
    items: Any = [{"price": now["items"][0].price, "quantity": 1}]
    year: Any = [
        {"items": items, "start_date": now.start_date, "duration": {"interval": "month", "interval_count": 12}}
    ]
    client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel", "phases": year})
    is_refused("plan_change", lambda: subscriber.cancel(OWNER))


def test_a_planned_change_is_undone_before_a_pause(subscriber: Billing) -> None:
    """H91: the way on is one that the user can go."""
    subscriber.change_plan(OWNER, subscriber.preview_change(OWNER, "basic").id)
    is_refused("undo_change", lambda: subscriber.pause(OWNER))
    is_refused("undo_change", lambda: subscriber.pause(OWNER, kind="subscription"))
    subscriber.undo_change(OWNER)
    assert subscriber.pause(OWNER).is_paused


def test_canceling_now_ends_the_schedule_too(subscriber: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H91."""
    schedule = client.v1.subscription_schedules.create({"from_subscription": known(subscriber).id})
    assert subscriber.cancel(OWNER, when="now").has_ended
    assert stripe.get(schedule.id)["status"] == "canceled"


def test_a_schedule_is_not_overruled(subscriber: Billing, client: sdk.StripeClient) -> None:
    """H91: told, with the way on, before Stripe refuses or overwrites it."""
    running = known(subscriber)
    schedule = client.v1.subscription_schedules.create({"from_subscription": running.id})
    is_refused("plan_change", lambda: subscriber.pause(OWNER))
    client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    is_refused("plan_change", lambda: subscriber.resume(OWNER))
    assert subscriber.cancel(OWNER).is_canceling


# which one


def test_of_several_groups_one_has_to_be_named(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    catalog = replace(
        billing.catalog,
        plans=tuple(replace(each, group="seats") if each.key == "team" else each for each in billing.catalog.plans),
    )
    two_groups = make_billing(catalog=catalog)
    pro = buy(two_groups)
    pay(str(two_groups.checkout(OWNER, "team", seats=2).url))
    two_groups.sync(OWNER)
    is_refused("choose_group", lambda: two_groups.cancel(OWNER))
    assert two_groups.cancel(OWNER, group="main").id == pro.id
    team = two_groups.subscription(OWNER, group="seats")
    assert team is not None
    assert team.renews_at is not None
    assert two_groups.cancel(OWNER, group="seats", when="now").id == team.id
    with pytest.raises(InvalidRequest, match="no plan group"):
        two_groups.cancel(OWNER, group="sub_1")


# what cannot be


@pytest.mark.parametrize(
    "wrong", [{"when": "tomorrow"}, {"feedback": "too_ugly"}, {"comment": "x" * 1001}, {"group": "other"}]
)
def test_a_request_that_cannot_be_reaches_nobody(subscriber: Billing, stripe: Emulator, wrong: dict[str, Any]) -> None:
    with counted(stripe) as calls:
        with pytest.raises(InvalidRequest):
            subscriber.cancel(OWNER, **wrong)
        assert calls.count == 0


@pytest.mark.parametrize(
    "until",
    [
        datetime(2028, 1, 1),  # noqa: DTZ001  # the point
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2099, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
        "2028-01-01",
        5,
    ],
    ids=str,
)
def test_a_pause_ends_at_a_moment_of_the_years_to_come(subscriber: Billing, stripe: Emulator, until: Any) -> None:
    with counted(stripe) as calls:
        with pytest.raises(InvalidRequest) as refused:
            subscriber.pause(OWNER, until=until)
        assert calls.count == 0
    assert refused.value.remedy
    assert not known(subscriber).is_paused


def test_a_pause_ends_at_the_same_moment_in_every_time_zone(subscriber: Billing, stripe: Emulator) -> None:
    until = stripe.now.replace(microsecond=0) + timedelta(days=40)
    found = subscriber.pause(OWNER, until=until.astimezone(timezone(timedelta(hours=-11))))
    assert (found.resumes_at, known(subscriber).resumes_at) == (until, until)


def test_who_is_nobody_owns_nothing(billing: Billing) -> None:
    for verb in (billing.cancel, billing.resume, billing.pause):
        with pytest.raises(InvalidOwner):
            verb(" ")


# failures


def _cancel_later(billing: Billing, owner: str) -> Subscription:
    return billing.cancel(owner, feedback="other", comment="why not")


def _cancel_now(billing: Billing, owner: str) -> Subscription:
    return billing.cancel(owner, when="now")


def _resume(billing: Billing, owner: str) -> Subscription:
    return billing.resume(owner)


def _pause(billing: Billing, owner: str) -> Subscription:
    return billing.pause(owner)


def _is_running(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    buy(billing, owner)


def _is_scheduled(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    client.v1.subscription_schedules.create({"from_subscription": buy(billing, owner).id})


def _owes(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    falls_behind(billing, stripe, owner)


def _has_a_draft(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    end = buy(billing, owner).current_period_end
    assert end is not None
    stripe.advance(to=end + timedelta(minutes=5))


def _is_paused_and_canceling(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    buy(billing, owner)
    billing.pause(owner)
    billing.cancel(owner)


def _is_stopped(billing: Billing, stripe: Emulator, client: sdk.StripeClient, owner: str) -> None:
    stops(client, buy(billing, owner).id)


LIVES = {
    "cancel": (_is_running, _cancel_later, {UPDATED: 1, DELETED: 0}),
    "cancel, scheduled": (_is_scheduled, _cancel_later, {"subscription_schedule.released": 1, DELETED: 0}),
    "cancel now": (_owes, _cancel_now, {DELETED: 1, "invoice.voided": 1}),
    "cancel now, a draft": (_has_a_draft, _cancel_now, {DELETED: 1, "invoice.finalized": 1, "invoice.voided": 1}),
    "resume": (_is_paused_and_canceling, _resume, {UPDATED: 2}),
    "resume, status paused": (_is_stopped, _resume, {"customer.subscription.resumed": 1, "invoice.paid": 1}),
    "pause": (_is_running, _pause, {UPDATED: 1}),
}


@pytest.mark.parametrize("after_work", [False, True], ids=["failed", "answer lost"])
@pytest.mark.parametrize("life", LIVES)
def test_a_call_that_fails_is_made_up_for_by_the_next_try(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, life: str, after_work: bool
) -> None:
    """H109, H110: each call of the verb in its turn, before its work and after it."""
    prepare, verb, once = LIVES[life]
    prepare(billing, stripe, client, "user:0")
    with counted(stripe) as calls:
        verb(billing, "user:0")
        number = calls.count
    for nth in range(1, number + 1):
        owner = f"user:{nth}"
        prepare(billing, stripe, client, owner)
        before = {kind: asked(stripe, kind) for kind in once}
        stripe.fail_next("*", status=500, after_work=after_work, nth=nth, should_retry=False)
        told = None
        try:
            told = verb(billing, owner)
        except StripeError:
            pass
        stripe.clear_faults()
        again = verb(billing, owner)
        if told is not None:
            assert _course(told) == _course(again), "what was told is what is"
        assert {kind: asked(stripe, kind) - before[kind] for kind in once} == once, f"call {nth} of {number}"


def _course(subscription: Subscription) -> tuple[object, ...]:
    return (
        subscription.status,
        subscription.ends_at,
        subscription.is_canceling,
        subscription.is_paused,
        subscription.plan,
        subscription.payment_method,
    )


@contextmanager
def commit_fails(number: int) -> Iterator[None]:
    """The connection is lost at the commit number so and so."""
    seen = 0

    def fail(session: Session) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    event.listen(Session, "before_commit", fail)
    try:
        yield
    finally:
        event.remove(Session, "before_commit", fail)


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("life", ["cancel", "cancel now", "resume, status paused"])
def test_a_commit_that_fails_is_made_up_for_by_the_next_try(
    billing: Billing,
    make_billing: MakeBilling,
    stripe: Emulator,
    client: sdk.StripeClient,
    life: str,
    number: int,
) -> None:
    """H109: Stripe has done it, and the database does not know."""
    prepare, verb, once = LIVES[life]
    prepare(billing, stripe, client, OWNER)
    before = {kind: asked(stripe, kind) for kind in once}
    with commit_fails(number):
        try:
            verb(billing, OWNER)
        except DatabaseUnavailable:
            pass
    told = verb(billing, OWNER)
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(hours=1))  # a lease that was left is over by then
    later.sync(OWNER)
    assert _course(told) == _course(known(later))
    assert {kind: asked(stripe, kind) - before[kind] for kind in once} == once


@pytest.mark.parametrize(
    ("path", "method", "life"),
    [
        ("/v1/subscriptions/sub_*", "POST", "cancel"),
        ("/v1/subscriptions/sub_*", "DELETE", "cancel now"),
        ("/v1/invoices/*/void", "POST", "cancel now"),
        ("/v1/subscriptions/*/resume", "POST", "resume, status paused"),
        ("/v1/subscriptions/sub_*", "POST", "pause"),
    ],
)
def test_an_answer_that_is_lost_again_and_again_is_made_up_for(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, path: str, method: str, life: str
) -> None:
    """H110: the connection is cut after the work, also when the SDK tries again."""
    prepare, verb, once = LIVES[life]
    prepare(billing, stripe, client, OWNER)
    before = {kind: asked(stripe, kind) for kind in once}
    stripe.cut_next(path, method=method, after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        verb(billing, OWNER)
    assert _course(verb(billing, OWNER)) == _course(known(billing))
    assert {kind: asked(stripe, kind) - before[kind] for kind in once} == once


@pytest.mark.parametrize("life", LIVES)
def test_double_clicks_do_it_once(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, make_billing: MakeBilling, life: str
) -> None:
    """H47: from several tabs and two processes at once."""
    prepare, verb, once = LIVES[life]
    prepare(billing, stripe, client, OWNER)
    before = {kind: asked(stripe, kind) for kind in once}
    processes = (billing, make_billing())
    with ThreadPoolExecutor(6) as tabs:
        told = list(tabs.map(lambda n: verb(processes[n % 2], OWNER), range(6)))
    billing.sync(OWNER)
    assert {_course(each) for each in told} == {_course(known(billing))}
    paid_once = {kind: count for kind, count in once.items() if kind != UPDATED}
    assert {kind: asked(stripe, kind) - before[kind] for kind in paid_once} == paid_once


def test_the_answer_is_true_also_when_stripe_tells_the_rest_too_late(subscriber: Billing, stripe: Emulator) -> None:
    """The wait is bounded, and what Stripe said to the call itself is shown."""
    stripe.slow_next("/v1/customers/*", 2)
    began = monotonic()
    found = subscriber.cancel(OWNER, wait=timedelta(seconds=0.2))
    assert monotonic() - began < 1.5
    assert found.is_canceling
    assert (found.plan, found.payment_method) == ("pro", known(subscriber).payment_method)
