"""What the app is told: every change once, and nothing that did not happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from paidup.core.catalog import SeatBounds
from paidup.core.changes import Change, Known, between
from paidup.core.invoice import Invoice
from paidup.core.subscription import Subscription
from tests.unit.test_access import CATALOG, NOW, a_subscription, an_item


def an_invoice(**fields: object) -> Invoice:
    invoice = Invoice(
        id="in_1",
        customer="cus_1",
        subscription="sub_1",
        number="A-1",
        status="open",
        currency="usd",
        total=2900,
        amount_due=2900,
        amount_paid=0,
        amount_remaining=2900,
        billing_reason="subscription_cycle",
        attempt_count=0,
        next_payment_attempt=None,
        period_start=NOW,
        period_end=NOW,
        due_date=None,
        created=NOW,
        finalized_at=NOW,
        paid_at=None,
        hosted_invoice_url=None,
        invoice_pdf=None,
        livemode=False,
    )
    return replace(invoice, **fields)  # type: ignore[arg-type]  # field values of a test


def known(*things: Subscription | Invoice) -> Known:
    return Known(
        subscriptions={each.id: each for each in things if isinstance(each, Subscription)},
        invoices={each.id: each for each in things if isinstance(each, Invoice)},
    )


def found(before: Known, after: Known) -> list[Change]:
    return between(before, after, owner="user:1", customer="cus_1", catalog=CATALOG, now=NOW)


def kinds(before: Known, after: Known) -> list[str]:
    return [change.kind for change in found(before, after)]


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_a_new_subscription_that_gives_access_is_started(status: str) -> None:
    assert kinds(known(), known(a_subscription(status))) == ["subscription.started"]


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "canceled"])
def test_a_new_one_that_gives_no_access_is_not_started(status: str) -> None:
    assert kinds(known(), known(a_subscription(status))) == []


def test_a_first_payment_that_arrives_later_starts_it() -> None:
    before, after = known(a_subscription("incomplete")), known(a_subscription("active"))
    assert kinds(before, after) == ["subscription.started"]


def test_nothing_new_is_nothing() -> None:
    same = known(a_subscription(plan="pro"), an_invoice(status="paid"))
    assert kinds(same, same) == []


def test_a_trial_into_a_paid_period_is_no_second_start() -> None:
    assert kinds(known(a_subscription("trialing")), known(a_subscription("active"))) == []


def test_the_end_of_a_trial_is_announced_in_its_last_three_days() -> None:
    """H98: only while it is still a trial and the end is ahead."""
    ending = a_subscription("trialing", trial_end=NOW + timedelta(days=3))
    assert kinds(known(ending), known(ending)) == ["trial.ending"]
    far = replace(ending, trial_end=NOW + timedelta(days=3, seconds=1))
    gone = replace(ending, trial_end=NOW - timedelta(seconds=1))
    paid = replace(ending, status="active")
    for other in (far, gone, paid):
        assert kinds(known(other), known(other)) == []


def test_found_again_the_announcement_has_the_same_id() -> None:
    ending = known(a_subscription("trialing", trial_end=NOW + timedelta(days=1)))
    assert found(ending, ending)[0].id == found(known(), ending)[1].id


def test_a_changed_plan_names_both() -> None:
    before = known(a_subscription(plan="pro"))
    after = known(a_subscription(items=(an_item("basic_month"),), plan="basic"))
    (change,) = found(before, after)
    assert (change.kind, change.data) == ("plan.changed", {"plan": "basic", "previous_plan": "pro"})


@pytest.mark.parametrize(
    ("bounds", "seats", "told"),
    [(None, 1, None), (None, 2, (1, 1)), ((2, 50), 1, (2, 50)), ((2, 50), 50, None), ((2, 50), 51, (2, 50))],
)
def test_seats_beyond_what_the_plans_file_allows_are_told(
    bounds: tuple[int, int] | None, seats: int, told: tuple[int, int] | None
) -> None:
    """H95."""
    pro = replace(CATALOG.plan("pro"), seats=SeatBounds(*bounds) if bounds else None)
    catalog = replace(CATALOG, plans=(*CATALOG.plans[:-1], pro))
    after = known(a_subscription(items=(replace(an_item(), quantity=seats),), plan="pro"))
    changes = between(after, after, owner="user:1", customer="cus_1", catalog=catalog, now=NOW)
    expected = [{"plan": "pro", "seats": seats, "min": told[0], "max": told[1]}] if told else []
    assert [each.data for each in changes if each.kind == "seats.out_of_bounds"] == expected


def test_more_seats_and_another_interval_are_told_with_what_was_before() -> None:
    before = known(a_subscription(plan="pro"))
    after = known(a_subscription(items=(replace(an_item(), quantity=3, interval="year"),), plan="pro"))
    change = found(before, after)[-1]
    assert (change.kind, change.data) == (
        "terms.changed",
        {"plan": "pro", "interval": "year", "seats": 3, "previous_interval": "month", "previous_seats": 1},
    )
    assert "terms.changed" not in kinds(after, after)


def test_an_unknown_price_alerts_and_changes_no_plan() -> None:
    """H93."""
    before = known(a_subscription(plan="pro"))
    after = known(a_subscription(items=(an_item("enterprise"),), plan="pro"))
    (change,) = found(before, after)
    assert (change.kind, change.data["kept_plan"]) == ("plan.unknown", "pro")


def test_each_failed_attempt_is_told_once() -> None:
    first = known(an_invoice(attempt_count=1))
    second = known(an_invoice(attempt_count=2))
    assert [each.id for each in found(known(an_invoice()), first)] == ["payment.failed:in_1:1"]
    assert [each.id for each in found(first, second)] == ["payment.failed:in_1:2"]
    assert found(second, second) == []


def test_a_payment_that_fails_and_then_succeeds_unseen_is_just_paid() -> None:
    assert kinds(known(an_invoice()), known(an_invoice(attempt_count=2, status="paid"))) == ["invoice.paid"]


def test_recovery_is_told() -> None:
    assert kinds(known(a_subscription("past_due")), known(a_subscription("active"))) == ["payment.recovered"]


def test_canceling_and_its_undo_are_told_each_time() -> None:
    running = a_subscription()
    first = replace(running, cancel_at=NOW + timedelta(days=20), canceled_at=NOW)
    again = replace(first, canceled_at=NOW + timedelta(hours=1))
    canceled = found(known(running), known(first)) + found(known(running), known(again))
    resumed = found(known(first), known(running)) + found(known(again), known(running))
    assert [each.kind for each in canceled + resumed] == ["subscription.canceling"] * 2 + ["subscription.resumed"] * 2
    assert len({each.id for each in canceled + resumed}) == 4


def test_the_end_is_told_once_and_is_no_resumption() -> None:
    canceling = a_subscription(cancel_at_period_end=True)
    ended = a_subscription("canceled", cancel_at_period_end=True)
    assert kinds(known(canceling), known(ended)) == ["subscription.ended"]
    assert kinds(known(ended), known(ended)) == []


def test_two_live_subscriptions_in_a_group_are_seen() -> None:
    """H47."""
    first, second = a_subscription(id="sub_1"), a_subscription(id="sub_2", created=NOW)
    change = found(known(first), known(first, second))[-1]
    assert (change.kind, change.subscription, change.data["subscriptions"]) == (
        "subscription.duplicated",
        "sub_2",
        ["sub_1", "sub_2"],
    )


def test_an_ended_one_beside_a_live_one_is_no_duplicate() -> None:
    after = known(a_subscription(id="sub_1"), a_subscription("canceled", id="sub_2"))
    assert kinds(after, after) == []
