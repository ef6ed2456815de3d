"""The answer to "is this customer paid up?", for every status, plan and clock."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paidup.core.access import Access, best, decide, plan_of
from paidup.core.catalog import Catalog, Feature, LimitName, Plan, PlanPrice
from paidup.core.policy import AccessPolicy, Grants
from paidup.core.subscription import Subscription, SubscriptionItem

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = AccessPolicy(past_due_grace=timedelta(days=7))

CATALOG = Catalog(
    plans=(
        Plan(key="free", name="Free", limits={"projects": 2}),
        Plan(
            key="basic",
            name="Basic",
            limits={"projects": 10},
            prices=(PlanPrice("month", 900, "usd", "basic_month"),),
        ),
        Plan(
            key="pro",
            name="Pro",
            features=frozenset({"reports"}),
            limits={"projects": None},
            prices=(PlanPrice("month", 2900, "usd", "pro_month"),),
        ),
    ),
    features={"reports": Feature("reports", "Reports")},
    limits={"projects": LimitName("projects", "Projects")},
    default_plan="free",
    currency="usd",
)


def an_item(
    lookup_key: str | None = "pro_month", *, plan_hint: str | None = None, id: str = "si_1"
) -> SubscriptionItem:
    return SubscriptionItem(
        id=id,
        price=f"price_{lookup_key}",
        product="prod_1",
        lookup_key=lookup_key,
        plan_hint=plan_hint,
        quantity=1,
        interval="month",
        interval_count=1,
        unit_amount=2900,
        currency="usd",
        current_period_start=NOW - timedelta(days=10),
        current_period_end=NOW + timedelta(days=20),
    )


def a_subscription(
    status: str = "active", *, items: tuple[SubscriptionItem, ...] = (), **fields: object
) -> Subscription:
    subscription = Subscription(
        id="sub_1",
        customer="cus_1",
        status=status,
        items=items or (an_item(),),
        currency="usd",
        collection_method="charge_automatically",
        current_period_start=NOW - timedelta(days=10),
        current_period_end=NOW + timedelta(days=20),
        cancel_at=None,
        cancel_at_period_end=False,
        canceled_at=None,
        ended_at=None,
        trial_start=None,
        trial_end=None,
        paused_collection=None,
        resumes_at=None,
        latest_invoice="in_1",
        payment_method=None,
        created=NOW - timedelta(days=40),
        livemode=False,
        metadata={},
    )
    return replace(subscription, **fields)  # type: ignore[arg-type]  # field values of a test


def access_of(*subscriptions: Subscription, now: datetime = NOW, policy: AccessPolicy = POLICY) -> Access:
    return decide("user:1", subscriptions, catalog=CATALOG, policy=policy, now=now)


def test_without_a_subscription_the_default_plan_holds() -> None:
    access = access_of()
    assert (access.plan, access.status, access.can("reports"), access.limit("projects")) == ("free", None, False, 2)
    assert not access.is_paid


@pytest.mark.parametrize(
    ("status", "plan", "action"),
    [
        ("trialing", "pro", None),
        ("active", "pro", None),
        ("past_due", "pro", "update_payment_method"),
        ("unpaid", "free", "update_payment_method"),
        ("paused", "free", "resume"),
        ("incomplete", "free", "complete_payment"),
        ("incomplete_expired", "free", None),
        ("canceled", "free", None),
        ("a_status_of_2031", "free", None),
    ],
)
def test_what_each_status_grants(status: str, plan: str, action: str | None) -> None:
    """H78, H79, H80, H82: by a table, and an unknown status grants nothing."""
    access = access_of(a_subscription(status, past_due_since=NOW - timedelta(days=1)))
    assert (access.plan, access.action, access.can("reports")) == (plan, action, plan == "pro")
    assert access.status == status


def test_past_due_keeps_access_until_the_grace_period_is_over() -> None:
    """H78: counted from the first failed payment."""
    since = NOW - timedelta(days=3)
    subscription = a_subscription("past_due", past_due_since=since)
    inside = access_of(subscription, now=since + timedelta(days=7) - timedelta(seconds=1))
    assert (inside.plan, inside.reason, inside.until) == ("pro", "past_due_grace", since + timedelta(days=7))
    outside = access_of(subscription, now=since + timedelta(days=7))
    assert (outside.plan, outside.reason, outside.action) == ("free", "past_due", "update_payment_method")


def test_a_policy_may_give_past_due_no_grace_at_all() -> None:
    policy = AccessPolicy(statuses={"active": Grants.YES})
    assert access_of(a_subscription("past_due"), policy=policy).plan == "free"


def test_paused_collection_counts_as_paused_though_its_status_is_active() -> None:
    """H81."""
    access = access_of(a_subscription("active", paused_collection="void"))
    assert (access.plan, access.reason, access.action) == ("free", "paused", "resume")


def test_canceling_keeps_access_and_says_until_when() -> None:
    end = NOW + timedelta(days=5)
    access = access_of(a_subscription("active", cancel_at=end))
    assert (access.plan, access.reason, access.until, access.is_canceling) == ("pro", "canceling", end, True)


def test_a_trial_holds_until_its_end() -> None:
    end = NOW + timedelta(days=2)
    access = access_of(a_subscription("trialing", trial_end=end))
    assert (access.until, access.is_trialing, access.is_paid) == (end, True, True)


def test_the_plan_item_is_found_in_any_position() -> None:
    """H92: an add-on or metered item may come first."""
    items = (an_item("seats_addon", id="si_a"), an_item("pro_month", id="si_b"), an_item(None, id="si_c"))
    for order in itertools.permutations(items):
        assert access_of(a_subscription(items=order)).plan == "pro"


def test_a_replaced_price_keeps_its_subscribers_on_their_plan() -> None:
    """H58: the old price lost its lookup key to the new one."""
    assert access_of(a_subscription(items=(an_item(None, plan_hint="pro"),))).plan == "pro"


def test_an_unknown_price_keeps_the_plan_it_was_last_seen_on() -> None:
    """H93: never a silent downgrade of somebody who pays."""
    unknown = (an_item("enterprise_2019"),)
    assert access_of(a_subscription(items=unknown, plan="pro")).plan == "pro"
    never_seen = access_of(a_subscription(items=unknown))
    assert (never_seen.plan, never_seen.reason) == ("free", "unknown_price")


def test_the_end_of_one_subscription_never_touches_another() -> None:
    """H68, H70: in whatever order they come."""
    old = a_subscription("canceled", id="sub_old", created=NOW - timedelta(days=90), ended_at=NOW)
    new = a_subscription("active", id="sub_new", items=(an_item("basic_month"),))
    expired = a_subscription("incomplete_expired", id="sub_never", created=NOW)
    for order in itertools.permutations((old, new, expired)):
        access = access_of(*order)
        assert (access.plan, access.subscription and access.subscription.id) == ("basic", "sub_new")


def test_two_plans_at_once_give_the_most_of_both() -> None:
    both = (a_subscription(id="sub_1"), a_subscription(id="sub_2", items=(an_item("basic_month"),)))
    for order in itertools.permutations(both):
        access = access_of(*order)
        assert (access.plan, access.limit("projects"), access.can("reports")) == ("pro", None, True)


def test_a_limit_nobody_named_is_nothing() -> None:
    assert access_of(a_subscription()).limit("seats") == 0


def test_a_plan_that_left_the_catalog_is_not_guessed() -> None:
    assert plan_of(a_subscription(items=(an_item(None, plan_hint="gone"),), plan="gone too"), CATALOG) is None


def test_of_several_the_best_speaks() -> None:
    """H70: by status, then plan, then age; what nobody knows yet counts more than what is over."""
    ranked = [
        a_subscription("active", id="sub_pro_new", created=NOW),
        a_subscription("active", id="sub_pro_old", created=NOW - timedelta(days=9)),
        a_subscription("active", id="sub_basic", created=NOW, items=(an_item("basic_month"),)),
        a_subscription("active", id="sub_unknown_price", created=NOW, items=(an_item("enterprise_2019"),)),
        *(
            a_subscription(status, id=f"sub_{status}", created=NOW)
            for status in ("trialing", "past_due", "unpaid", "paused", "incomplete", "a_status_of_2031", "canceled")
        ),
    ]
    for number, expected in enumerate(ranked):
        for order in (ranked[number:], [*ranked[:number:-1], expected]):
            assert best(order, CATALOG) is expected
    assert best([], CATALOG) is None
