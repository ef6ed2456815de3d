"""
Subscription schedules.

[DOC] docs.stripe.com/billing/subscriptions/subscription-schedules, unless a test says otherwise. The customer
lives on a test clock, so that seconds are exact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop, period
from emulator.tests.test_portal import hosted, secret
from emulator.tests.test_prorations import FROZEN, HALF, MONTH_END, Clocked
from stripe_emulator import Emulator

APRIL = MONTH_END + 31 * 86_400
"""The end of the period that follows: 2027-04-01 00:00 UTC."""
HOUR = 3601


class Scheduled(Clocked):
    """A shop whose customer's plan is to change by itself."""

    @property
    def schedules(self) -> Any:
        return self.shop.api.subscription_schedules

    def downgrade(self, subscription: str, price: str, **more: Any) -> stripe.SubscriptionSchedule:
        """THE use: what it is until the period's end, cheaper from then on."""
        schedule = self.schedules.create({"from_subscription": subscription})
        phase = schedule.phases[0]
        now = {
            "items": [{"price": item.price, "quantity": item.quantity} for item in phase["items"]],
            "start_date": phase.start_date,
            "end_date": phase.end_date,
        }
        then = {"items": [{"price": price}], "duration": {"interval": "month"}, "proration_behavior": "none", **more}
        updated: stripe.SubscriptionSchedule = self.schedules.update(
            schedule.id, {"end_behavior": "release", "phases": [now, then]}
        )
        return updated

    def current(self, subscription: str) -> stripe.Subscription:
        return self.shop.api.subscriptions.retrieve(subscription, {"expand": ["latest_invoice"]})

    def starting(self, *phases: Any, **more: Any) -> stripe.SubscriptionSchedule:
        """A schedule that makes its own subscription."""
        made: stripe.SubscriptionSchedule = self.schedules.create(
            {"customer": self.customer, "start_date": "now", "phases": list(phases), **more}
        )
        return made


@pytest.fixture
def scheduled(shop: Shop) -> Scheduled:
    return Scheduled(shop)


def price_of(subscription: stripe.Subscription) -> list[str]:
    return [str(item.price.id) for item in subscription["items"].data]


def monthly(price: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {"items": [{"price": price}], "duration": {"interval": "month", "interval_count": count}, **more}


def test_from_a_subscription_comes_one_phase_its_current_period(scheduled: Scheduled) -> None:
    subscription = scheduled.subscribe(scheduled.business.id, quantity=2)
    seen = scheduled.shop.seen()
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    assert (schedule.status, schedule.subscription, schedule.end_behavior) == ("active", subscription.id, "release")
    assert (schedule.current_phase.start_date, schedule.current_phase.end_date) == (FROZEN, MONTH_END)
    (phase,) = schedule.phases
    assert [(item.price, item.quantity) for item in phase["items"]] == [(scheduled.business.id, 2)]
    assert scheduled.current(subscription.id).schedule == schedule.id
    assert scheduled.shop.types_since(seen) == ["customer.subscription.updated", "subscription_schedule.created"]
    assert scheduled.shop.last_event("customer.subscription.updated")["data"]["previous_attributes"] == {
        "schedule": None
    }


def test_from_subscription_is_sent_alone(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/api/subscription_schedules/create: other parameters cannot be set; better-auth#8069."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    with pytest.raises(stripe.InvalidRequestError, match="from_subscription"):
        scheduled.schedules.create({"from_subscription": subscription.id, "metadata": {"a": "b"}})


def test_a_subscription_has_one_schedule(scheduled: Scheduled) -> None:
    """The words are Stripe's, as several integrations match on them."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match=f"already attached to a schedule: `{schedule.id}`"):
        scheduled.schedules.create({"from_subscription": subscription.id})


def test_a_downgrade_waits_for_the_periods_end(scheduled: Scheduled) -> None:
    """The renewal at the phase's change is the new price's, without a proration; one update tells of both."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    assert [(phase.start_date, phase.end_date) for phase in schedule.phases] == [
        (FROZEN, MONTH_END),
        (MONTH_END, APRIL),
    ]
    scheduled.advance(MONTH_END - 1)
    assert price_of(scheduled.current(subscription.id)) == [scheduled.business.id]
    seen = scheduled.shop.seen()
    scheduled.advance(MONTH_END + HOUR)
    renewed = scheduled.current(subscription.id)
    assert price_of(renewed) == [scheduled.pro.id]
    assert period(renewed) == (MONTH_END, APRIL)
    invoice = renewed.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == ("paid", 3000, "subscription_cycle")
    assert scheduled.amounts(str(invoice.id)) == [(3000, False)]
    types = [type for type in scheduled.shop.types_since(seen) if "clock" not in type]
    assert types[:3] == ["invoice.created", "customer.subscription.updated", "subscription_schedule.updated"]
    assert types.count("customer.subscription.updated") == 1
    previous = scheduled.shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert set(previous) == {"items", "latest_invoice"}
    assert previous["items"]["data"][0]["price"]["id"] == scheduled.business.id
    moved = scheduled.shop.last_event("subscription_schedule.updated")["data"]["previous_attributes"]
    assert moved == {"current_phase": {"end_date": MONTH_END, "start_date": FROZEN}}


def test_an_item_of_another_price_is_another_item(scheduled: Scheduled) -> None:
    """[INF] phases name prices, not items: what keeps its price keeps its id."""
    subscription = scheduled.subscribe(scheduled.business.id)
    more = {"items": [{"price": scheduled.business.id}, {"price": scheduled.pro.id}]}
    scheduled.downgrade(subscription.id, scheduled.pro.id, **more)
    scheduled.advance(MONTH_END)
    kept, added = scheduled.current(subscription.id)["items"].data
    assert kept.id == scheduled.item(subscription)
    assert added.id != kept.id


def test_after_the_last_phase_the_subscription_goes_on_alone(scheduled: Scheduled) -> None:
    """The event is `completed`: the Stripe CLI's trigger of it is a schedule that releases its subscription."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    scheduled.advance(MONTH_END)
    scheduled.advance(APRIL + HOUR)
    ended = scheduled.schedules.retrieve(schedule.id)
    assert (ended.status, ended.completed_at, ended.current_phase) == ("completed", APRIL, None)
    assert (ended.subscription, ended.released_subscription) == (None, subscription.id)
    alone = scheduled.current(subscription.id)
    assert (alone.status, alone.schedule, price_of(alone)) == ("active", None, [scheduled.pro.id])
    assert period(alone)[0] == APRIL
    assert scheduled.shop.last_event("subscription_schedule.completed")["data"]["object"]["id"] == schedule.id


def test_releasing_takes_the_change_back(scheduled: Scheduled) -> None:
    """[LOG] twentyhq/twenty#16669: an `updated` comes with the `released`."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    seen = scheduled.shop.seen()
    released = scheduled.schedules.release(schedule.id)
    assert (released.status, released.released_at, released.subscription) == ("released", FROZEN, None)
    assert released.released_subscription == subscription.id
    assert scheduled.shop.types_since(seen) == [
        "customer.subscription.updated",
        "subscription_schedule.updated",
        "subscription_schedule.released",
    ]
    scheduled.advance(MONTH_END)
    assert price_of(scheduled.current(subscription.id)) == [scheduled.business.id]
    with pytest.raises(stripe.InvalidRequestError, match="`released` status"):
        scheduled.schedules.release(schedule.id)
    with pytest.raises(stripe.InvalidRequestError, match="`released` status"):
        scheduled.schedules.update(schedule.id, {"metadata": {"a": "b"}})


@pytest.mark.parametrize("change", [{"cancel_at_period_end": True}, {"cancel_at": APRIL}, {"cancel_at": ""}])
def test_the_end_of_a_scheduled_subscription_is_the_schedules(scheduled: Scheduled, change: Any) -> None:
    """The words are Stripe's: dust-tt/dust#32051."""
    subscription = scheduled.subscribe(scheduled.business.id)
    scheduled.downgrade(subscription.id, scheduled.pro.id)
    with pytest.raises(stripe.InvalidRequestError, match="updating any cancelation behavior directly is not allowed"):
        scheduled.shop.api.subscriptions.update(subscription.id, change)


def test_cancel_as_the_end_behavior_sets_cancel_at_in_the_last_phase(scheduled: Scheduled) -> None:
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    scheduled.schedules.update(schedule.id, {"end_behavior": "cancel"})
    assert scheduled.current(subscription.id).cancel_at is None
    scheduled.advance(MONTH_END)
    assert scheduled.current(subscription.id).cancel_at == APRIL
    scheduled.advance(APRIL)
    assert scheduled.current(subscription.id).status == "canceled"
    assert scheduled.schedules.retrieve(schedule.id).status == "completed"
    assert len(scheduled.shop.emulator.events("invoice.created")) == 2
    assert not scheduled.shop.emulator.events("subscription_schedule.canceled")


@pytest.mark.parametrize(("preserve", "left"), [(False, None), (True, MONTH_END)])
def test_releasing_drops_the_end_that_the_schedule_set(scheduled: Scheduled, preserve: bool, left: int | None) -> None:
    """[DOC] docs.stripe.com/api/subscription_schedules/release: preserve_cancel_date."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.schedules.update(schedule.id, {"end_behavior": "cancel"})
    assert scheduled.current(subscription.id).cancel_at == MONTH_END
    scheduled.schedules.release(schedule.id, {"preserve_cancel_date": preserve})
    assert scheduled.current(subscription.id).cancel_at == left


def test_canceling_a_schedule_cancels_the_subscription_prorated_and_invoiced(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/api/subscription_schedules/cancel: both default to true."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.advance(HALF)
    canceled = scheduled.schedules.cancel(schedule.id)
    assert (canceled.status, canceled.canceled_at, canceled.subscription) == ("canceled", HALF, subscription.id)
    ended = scheduled.current(subscription.id)
    assert ended.status == "canceled"
    assert isinstance(ended.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(ended.latest_invoice.id)) == [(-1500, True)]
    assert scheduled.shop.emulator.events("subscription_schedule.canceled")


def test_canceling_without_a_last_invoice_leaves_the_balance_alone(scheduled: Scheduled) -> None:
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.schedules.cancel(schedule.id, {"prorate": False, "invoice_now": False})
    assert len(scheduled.shop.emulator.events("invoice.created")) == 1


def test_a_subscription_that_is_canceled_takes_its_schedule_along(scheduled: Scheduled) -> None:
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.shop.api.subscriptions.cancel(subscription.id)
    assert scheduled.schedules.retrieve(schedule.id).status == "canceled"
    assert scheduled.shop.emulator.events("subscription_schedule.canceled")


def test_a_subscription_canceled_for_want_of_payment_aborts_its_schedule(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/api/events/types: aborted because of delinquency."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    scheduled.schedules.update(schedule.id, {"end_behavior": "cancel"})
    scheduled.shop.give_card(scheduled.customer, "pm_card_chargeCustomerFail")
    scheduled.advance(MONTH_END + HOUR)
    scheduled.advance(MONTH_END + 16 * 86_400)
    assert scheduled.current(subscription.id).status == "canceled"
    assert scheduled.schedules.retrieve(schedule.id).status == "canceled"
    assert scheduled.shop.emulator.events("subscription_schedule.aborted")
    assert not scheduled.shop.emulator.events("subscription_schedule.canceled")


def test_the_end_is_announced_seven_days_before(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/api/events/types#event_types-subscription_schedule.expiring"""
    subscription = scheduled.subscribe(scheduled.pro.id)
    scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.advance(MONTH_END - 7 * 86_400 - 1)
    assert not scheduled.shop.emulator.events("subscription_schedule.expiring")
    scheduled.advance(MONTH_END - 1)
    (event,) = scheduled.shop.emulator.events("subscription_schedule.expiring")
    assert event["created"] == MONTH_END - 7 * 86_400


def test_a_schedule_starts_a_subscription_whose_first_invoice_waits_an_hour(scheduled: Scheduled) -> None:
    """The first invoice behaves like a recurring one: a draft, finalised and charged later."""
    schedule = scheduled.starting(monthly(scheduled.pro.id, 2), monthly(scheduled.business.id))
    assert isinstance(schedule.subscription, str)
    begun = scheduled.current(schedule.subscription)
    assert isinstance(begun.latest_invoice, stripe.Invoice)
    assert (begun.status, begun.schedule, begun.latest_invoice.status) == ("active", schedule.id, "draft")
    assert [(phase.start_date, phase.end_date) for phase in schedule.phases] == [
        (FROZEN, APRIL),
        (APRIL, APRIL + 30 * 86_400),
    ]
    scheduled.advance(FROZEN + HOUR)
    paid = scheduled.current(schedule.subscription).latest_invoice
    assert isinstance(paid, stripe.Invoice)
    assert (paid.status, paid.amount_paid) == ("paid", 3000)


def test_a_schedules_first_invoice_that_fails_is_tried_again(scheduled: Scheduled) -> None:
    scheduled.shop.give_card(scheduled.customer, "pm_card_chargeCustomerFail")
    schedule = scheduled.starting(monthly(scheduled.pro.id))
    scheduled.advance(FROZEN + HOUR)
    failed = scheduled.current(str(schedule.subscription))
    assert isinstance(failed.latest_invoice, stripe.Invoice)
    assert failed.status == "past_due"
    assert failed.latest_invoice.next_payment_attempt is not None


def test_a_schedule_may_start_later(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id), start_date=HALF)
    assert (schedule.status, schedule.subscription, schedule.current_phase) == ("not_started", None, None)
    listed = scheduled.schedules.list({"customer": scheduled.customer, "scheduled": True}).data
    assert [one.id for one in listed] == [schedule.id]
    seen = scheduled.shop.seen()
    scheduled.advance(HALF)
    started = scheduled.schedules.retrieve(schedule.id)
    assert started.status == "active"
    assert period(scheduled.current(started.subscription))[0] == HALF
    types = [type for type in scheduled.shop.types_since(seen) if "clock" not in type]
    assert types[-3:] == ["invoice.created", "customer.subscription.created", "subscription_schedule.updated"]
    assert scheduled.schedules.list({"customer": scheduled.customer, "scheduled": True}).data == []


def test_one_that_has_not_started_can_be_canceled(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id), start_date=HALF)
    assert scheduled.schedules.cancel(schedule.id).status == "canceled"
    scheduled.advance(MONTH_END)
    assert scheduled.shop.api.subscriptions.list({"customer": scheduled.customer}).data == []
    found = scheduled.schedules.list({"customer": scheduled.customer, "canceled_at": {"gte": FROZEN}}).data
    assert [one.id for one in found] == [schedule.id]


def test_a_transition_within_a_period_is_prorated_as_its_phase_says(scheduled: Scheduled) -> None:
    """Half of 30.00 back, half of 100.00 charged, at once with always_invoice."""
    now = {"items": [{"price": scheduled.pro.id}], "end_date": HALF}
    schedule = scheduled.starting(now, monthly(scheduled.business.id, proration_behavior="always_invoice"))
    scheduled.advance(HALF)
    changed = scheduled.current(str(schedule.subscription))
    assert isinstance(changed.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(changed.latest_invoice.id)) == [(-1500, True), (5000, True)]
    assert period(changed) == (FROZEN, MONTH_END)


def test_a_transition_within_a_period_leaves_pending_prorations_by_default(scheduled: Scheduled) -> None:
    now = {"items": [{"price": scheduled.pro.id}], "end_date": HALF}
    schedule = scheduled.starting(now, monthly(scheduled.business.id))
    scheduled.advance(MONTH_END)
    renewed = scheduled.current(str(schedule.subscription))
    assert isinstance(renewed.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(renewed.latest_invoice.id)) == [(-1500, True), (5000, True), (10_000, False)]


def test_phase_start_begins_a_new_cycle(scheduled: Scheduled) -> None:
    now = {"items": [{"price": scheduled.pro.id}], "end_date": HALF}
    schedule = scheduled.starting(now, monthly(scheduled.business.id, billing_cycle_anchor="phase_start"))
    scheduled.advance(HALF)
    anew = scheduled.current(str(schedule.subscription))
    assert (anew.billing_cycle_anchor, period(anew)[0]) == (HALF, HALF)
    assert isinstance(anew.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(anew.latest_invoice.id)) == [(-1500, True), (10_000, False)]


def test_a_longer_interval_without_phase_start_is_not_billed_at_the_change(scheduled: Scheduled) -> None:
    """better-auth/better-auth#11336: the anchor stays, and with `none` the annual price is active and uncollected."""
    yearly = scheduled.shop.price(30_000, "year")
    subscription = scheduled.subscribe(scheduled.pro.id)
    scheduled.downgrade(subscription.id, yearly.id, duration={"interval": "year"})
    scheduled.advance(MONTH_END + HOUR)
    changed = scheduled.current(subscription.id)
    assert price_of(changed) == [yearly.id]
    assert changed.billing_cycle_anchor == FROZEN
    assert period(changed) == (MONTH_END, FROZEN + 365 * 86_400)
    assert len(scheduled.shop.api.invoices.list({"subscription": subscription.id}).data) == 1


def test_a_longer_interval_with_phase_start_is_billed_whole(scheduled: Scheduled) -> None:
    yearly = scheduled.shop.price(30_000, "year")
    subscription = scheduled.subscribe(scheduled.pro.id)
    scheduled.downgrade(subscription.id, yearly.id, duration={"interval": "year"}, billing_cycle_anchor="phase_start")
    scheduled.advance(MONTH_END + HOUR)
    changed = scheduled.current(subscription.id)
    assert isinstance(changed.latest_invoice, stripe.Invoice)
    assert changed.latest_invoice.amount_paid == 30_000
    assert changed.billing_cycle_anchor == MONTH_END


def test_a_phases_metadata_is_laid_over_the_subscriptions(scheduled: Scheduled) -> None:
    first = {"channel": "self-serve", "region": "apac", "upsell-products": "alpha"}
    second = {"channel": "sales", "churn-risk": "high", "upsell-products": ""}
    schedule = scheduled.starting(monthly(scheduled.pro.id, metadata=first), monthly(scheduled.pro.id, metadata=second))
    assert scheduled.current(str(schedule.subscription)).metadata.to_dict() == first
    scheduled.advance(MONTH_END)
    assert scheduled.current(str(schedule.subscription)).metadata.to_dict() == {
        "channel": "sales",
        "region": "apac",
        "churn-risk": "high",
    }


def test_a_coupon_lasts_as_long_as_its_phase(scheduled: Scheduled) -> None:
    """Use coupons: half the price in the first phase, the whole in the second, which names none."""
    coupon = scheduled.shop.api.coupons.create({"percent_off": 50, "duration": "forever"})
    schedule = scheduled.starting(
        monthly(scheduled.pro.id, discounts=[{"coupon": coupon.id}]), monthly(scheduled.pro.id)
    )
    scheduled.advance(FROZEN + HOUR)
    scheduled.advance(MONTH_END + HOUR)
    invoices = scheduled.shop.api.invoices.list({"subscription": str(schedule.subscription)}).data
    assert [invoice.total for invoice in invoices] == [3000, 1500]
    assert scheduled.shop.api.coupons.retrieve(coupon.id).times_redeemed == 1


def test_a_phase_may_be_a_trial(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id, trial=True), monthly(scheduled.business.id))
    begun = scheduled.current(str(schedule.subscription))
    assert (begun.status, begun.trial_end, schedule.phases[0].trial_end) == ("trialing", MONTH_END, MONTH_END)
    scheduled.advance(MONTH_END + HOUR)
    paid = scheduled.current(str(schedule.subscription))
    assert isinstance(paid.latest_invoice, stripe.Invoice)
    assert (paid.status, paid.latest_invoice.amount_paid) == ("active", 10_000)
    assert period(paid) == (MONTH_END, APRIL)


def test_changing_the_current_phase_changes_the_subscription(scheduled: Scheduled) -> None:
    """Update proration behaviour is the request's, not the phase's."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.advance(HALF)
    phase = {"items": [{"price": scheduled.pro.id, "quantity": 2}], "start_date": FROZEN, "end_date": MONTH_END}
    scheduled.schedules.update(schedule.id, {"phases": [phase], "proration_behavior": "always_invoice"})
    changed = scheduled.current(subscription.id)
    assert changed["items"].data[0].quantity == 2
    assert changed["items"].data[0].id == scheduled.item(subscription)
    assert isinstance(changed.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(changed.latest_invoice.id)) == [(-1500, True), (3000, True)]


def test_the_current_phase_can_be_ended_now(scheduled: Scheduled) -> None:
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    scheduled.advance(HALF)
    now = {"items": [{"price": scheduled.pro.id}], "start_date": FROZEN, "end_date": "now"}
    then = {"items": [{"price": scheduled.business.id}], "start_date": "now", "end_date": MONTH_END}
    updated = scheduled.schedules.update(schedule.id, {"phases": [now, {**then, "proration_behavior": "none"}]})
    assert [(phase.start_date, phase.end_date) for phase in updated.phases] == [(FROZEN, HALF), (HALF, MONTH_END)]
    assert updated.current_phase.start_date == HALF
    assert price_of(scheduled.current(subscription.id)) == [scheduled.business.id]


def test_past_phases_stay_in_the_answer_and_are_not_sent_again(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id), monthly(scheduled.business.id))
    scheduled.advance(MONTH_END)
    current = {"items": [{"price": scheduled.business.id}], "start_date": MONTH_END, "end_date": APRIL}
    updated = scheduled.schedules.update(schedule.id, {"phases": [current, monthly(scheduled.pro.id)]})
    assert [phase.start_date for phase in updated.phases] == [FROZEN, MONTH_END, APRIL]


def test_an_update_needs_the_current_phases_start(scheduled: Scheduled) -> None:
    """The words are Stripe's: YumaInaura/YumaInaura#2902."""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match="at least one phase with a `start_date`"):
        scheduled.schedules.update(schedule.id, {"phases": [monthly(scheduled.pro.id)]})
    with pytest.raises(stripe.InvalidRequestError, match="only adjust the end date to a future date"):
        scheduled.schedules.update(schedule.id, {"phases": [monthly(scheduled.pro.id, start_date=FROZEN + 1)]})


def test_an_update_unsets_what_it_leaves_out(scheduled: Scheduled) -> None:
    """Any parameters that were previously set are unset unless they are passed: here the subscription's coupon."""
    coupon = scheduled.shop.api.coupons.create({"percent_off": 50, "duration": "forever"})
    subscription = scheduled.shop.subscribe(scheduled.customer, scheduled.pro.id, discounts=[{"coupon": coupon.id}])
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    kept = schedule.phases[0].discounts[0].discount
    phase = {"items": [{"price": scheduled.pro.id}], "start_date": FROZEN, "end_date": MONTH_END}
    scheduled.schedules.update(schedule.id, {"phases": [{**phase, "discounts": [{"discount": kept}]}]})
    assert scheduled.current(subscription.id).discounts == [kept]
    scheduled.schedules.update(schedule.id, {"phases": [phase]})
    assert scheduled.current(subscription.id).discounts == []


def test_changing_the_items_of_a_scheduled_subscription_splits_the_phase(scheduled: Scheduled) -> None:
    """Subscription updates when a schedule is attached; the schedule's next phase overwrites the change."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    scheduled.advance(HALF)
    scheduled.shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": scheduled.item(subscription), "quantity": 3}]}
    )
    split = scheduled.schedules.retrieve(schedule.id)
    assert [(phase.start_date, phase["items"][0].quantity) for phase in split.phases] == [
        (FROZEN, 1),
        (HALF, 3),
        (MONTH_END, 1),
    ]
    assert split.current_phase.start_date == HALF
    scheduled.advance(MONTH_END)
    item = scheduled.current(subscription.id)["items"].data[0]
    assert (item.price.id, item.quantity) == (scheduled.pro.id, 1)


def test_phases_follow_the_anchors_day(shop: Shop) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/billing-cycle: the 31st, the 28th, the 31st again."""
    january = 1_801_353_600
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": january}).id
    customer = shop.customer(clock=clock).id
    phase: Any = monthly(shop.price().id)
    made = shop.api.subscription_schedules.create({"customer": customer, "start_date": "now", "phases": [phase] * 3})
    ends = [(one.end_date - january) // 86_400 for one in made.phases]
    assert ends == [28, 28 + 31, 28 + 31 + 30]


def test_more_than_ten_phases_are_refused(scheduled: Scheduled) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="up to 10"):
        scheduled.starting(*[monthly(scheduled.pro.id)] * 11)


def test_pause_schedules_are_refused_rather_than_forgotten(scheduled: Scheduled) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        scheduled.starting(monthly(scheduled.pro.id), pause_schedules=[{"pause": {"pause_at": {"type": "now"}}}])
    assert caught.value.code == "emulator_unsupported"


def test_a_deleted_clock_takes_its_schedules_along(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id))
    scheduled.shop.api.test_helpers.test_clocks.delete(scheduled.clock)
    with pytest.raises(stripe.InvalidRequestError):
        scheduled.schedules.retrieve(schedule.id)


def test_a_preview_shows_the_next_phases_price(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/api/invoices/create_preview#create_create_preview-schedule; by either name."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    sent: Any = [{"subscription": subscription.id}, {"schedule": schedule.id}]
    for by in sent:
        preview = scheduled.shop.api.invoices.create_preview(by)
        assert [line.amount for line in preview.lines.data] == [3000]
        assert preview.lines.data[0].period.start == MONTH_END
    assert price_of(scheduled.current(subscription.id)) == [scheduled.business.id]


def test_a_preview_of_a_schedule_that_has_not_started_is_its_first_invoice(scheduled: Scheduled) -> None:
    schedule = scheduled.starting(monthly(scheduled.pro.id), start_date=HALF)
    preview = scheduled.shop.api.invoices.create_preview({"schedule": schedule.id})
    assert preview.total == 3000
    assert scheduled.schedules.retrieve(schedule.id).status == "not_started"


def test_the_notice_of_the_next_invoice_tells_the_next_phases_price(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/webhooks: invoice.upcoming is a preview of the next invoice."""
    subscription = scheduled.subscribe(scheduled.business.id)
    scheduled.downgrade(subscription.id, scheduled.pro.id)
    scheduled.advance(MONTH_END - 86_400)
    assert scheduled.shop.last_event("invoice.upcoming")["data"]["object"]["total"] == 3000


def test_the_portal_leaves_a_scheduled_subscription_alone(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/customer-management: one with scheduled changes can't be changed or canceled there."""
    subscription = scheduled.subscribe(scheduled.business.id)
    schedule = scheduled.downgrade(subscription.id, scheduled.pro.id)
    pages, session = hosted(scheduled.shop), secret(scheduled.shop.portal(scheduled.customer))
    view = pages.portal(session)
    assert view is not None
    assert (view.subscriptions[0].can_cancel, view.subscriptions[0].can_change) == (False, False)
    pages.cancel(session, subscription.id, feedback=None, comment=None)
    assert scheduled.current(subscription.id).cancel_at is None
    scheduled.schedules.release(schedule.id)
    pages.cancel(session, subscription.id, feedback=None, comment=None)
    assert scheduled.current(subscription.id).cancel_at == MONTH_END


def test_what_a_schedule_names_can_be_expanded(scheduled: Scheduled) -> None:
    """[DOC] docs.stripe.com/expand"""
    subscription = scheduled.subscribe(scheduled.pro.id)
    schedule = scheduled.schedules.create({"from_subscription": subscription.id})
    paths = ["subscription", "customer", "phases.items.price"]
    found = scheduled.schedules.retrieve(schedule.id, {"expand": paths})
    assert (found.subscription.id, found.customer.id) == (subscription.id, scheduled.customer)
    assert found.phases[0]["items"][0].price.unit_amount == 3000
    other_way = scheduled.shop.api.subscriptions.retrieve(subscription.id, {"expand": ["schedule"]})
    assert isinstance(other_way.schedule, stripe.SubscriptionSchedule)


def test_a_schedule_outlives_the_process(tmp_path: Path) -> None:
    """[README] a killed process comes back with all of it."""
    state = tmp_path / "stripe.db"
    with Emulator(state=state) as emulator:
        shop = Shop(emulator)
        phase: Any = monthly(shop.price().id)
        start = int(emulator.now.timestamp()) + 10 * 86_400
        customer = shop.customer().id
        id = shop.api.subscription_schedules.create({"customer": customer, "start_date": start, "phases": [phase]}).id
        shop.pages.close()
    with Emulator(state=state) as emulator:
        emulator.advance(days=11)
        assert emulator.get(id)["status"] == "active"
        emulator.advance(days=31)
        assert emulator.get(id)["status"] == "completed"


def test_a_trial_may_come_between_paid_phases(scheduled: Scheduled) -> None:
    """Trials are not for the first phase alone: nothing is to pay for it, and the next phase is billed from its end."""
    schedule = scheduled.starting(
        monthly(scheduled.pro.id), monthly(scheduled.business.id, trial=True), monthly(scheduled.business.id)
    )
    scheduled.advance(MONTH_END)
    free = scheduled.current(str(schedule.subscription))
    assert (free.status, free.trial_start, free.trial_end, period(free)) == (
        "trialing",
        MONTH_END,
        APRIL,
        (MONTH_END, APRIL),
    )
    scheduled.advance(APRIL + HOUR)
    invoices = scheduled.shop.api.invoices.list({"subscription": str(schedule.subscription)}).data
    assert [invoice.total for invoice in invoices] == [10_000, 0, 3000]


def test_a_trial_in_the_middle_of_a_paid_period_credits_the_rest(scheduled: Scheduled) -> None:
    now = {"items": [{"price": scheduled.pro.id}], "end_date": HALF}
    schedule = scheduled.starting(now, monthly(scheduled.pro.id, trial=True))
    scheduled.advance(HALF)
    free = scheduled.current(str(schedule.subscription))
    assert isinstance(free.latest_invoice, stripe.Invoice)
    assert scheduled.amounts(str(free.latest_invoice.id)) == [(-1500, True), (0, False)]
