"""One trial per owner, and by policy per person: told by their e-mail address and their cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import Billing, Change
from paidup.core.catalog import CheckoutTerms
from paidup.database.engine import Database
from paidup.database.tables import TrialMark
from paidup.errors import StripeUnavailable
from stripe_emulator import Emulator
from tests.support.account import price_of
from tests.support.paying import GOOD_CARD, OTHER_CARD, change_card, pay

TWO_GROUPS = """
currency = "usd"
default_plan = "free"

[plans.free]
name = "Free"
group = "app"

[plans.basic]
name = "Basic"
group = "app"
trial_days = 14
prices.month.amount = 900

[plans.phone]
name = "Phone"
group = "phone"
trial_days = 14
prices.month.amount = 500
"""
KEY = "a key of the tests, which is long"


@pytest.fixture
def make(billing: Billing, make_billing: Callable[..., Billing]) -> Callable[..., Billing]:
    """Billings that know persons; the trial of `basic` asks for a card."""

    def make(policy: Any = "cancel") -> Billing:
        plans = tuple(replace(each, trial_requires_card=True) for each in billing.catalog.plans)
        terms = CheckoutTerms(repeated_trial=policy)
        return make_billing(catalog=replace(billing.catalog, plans=plans, checkout=terms), trial_key=KEY)

    return make


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


def begin(billing: Billing, owner: str, *, email: str | None = None, number: str = OTHER_CARD) -> str | None:
    """Buy `basic`; the status that follows from it."""
    pay(str(billing.checkout(owner, "basic", email=email).url), number=number)
    billing.sync(owner)
    return billing.access(owner).status


@pytest.fixture
def two_groups(make_billing: Callable[..., Billing], tmp_path: Path) -> Callable[..., Billing]:
    """Billings with two plan groups, each of which has a plan with a trial."""

    def make(plans: str = TWO_GROUPS, **more: Any) -> Billing:
        path = tmp_path / f"{len(plans)}.toml"
        path.write_text(plans)
        billing = make_billing(plans_file=str(path), **more)
        billing.push_catalog()
        return billing

    return make


def given_by_hand(stripe: Emulator, billing: Billing, key: str, *, owner: str = "user:1") -> str:
    """A trial that somebody gives to an owner in the Dashboard."""
    client, customer = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}), billing.customer(owner)
    assert customer is not None
    items: Any = [{"price": price_of(client, f"{key}_month")}]
    found = client.v1.subscriptions.create({"customer": customer.id, "items": items, "trial_period_days": 30})
    stripe.advance(seconds=60)
    billing.sync(owner)
    return found.id


def statuses(billing: Billing, owner: str = "user:1") -> list[str | None]:
    """Of the owner's subscriptions to Basic and to Phone."""
    billing.sync(owner)
    found = [billing.subscription(owner, group=group) for group in ("app", "phone")]
    return [each.status if each else None for each in found]


@pytest.mark.hazard(61)
def test_of_two_open_pages_one_has_a_trial(two_groups: Callable[..., Billing]) -> None:
    billing = two_groups()
    pages = [billing.checkout("user:1", plan) for plan in ("basic", "phone")]
    assert [billing.checkout("user:1", plan) for plan in ("basic", "phone")] == pages
    for page in pages:
        pay(str(page.url))
    assert statuses(billing) == ["trialing", "active"]


@pytest.mark.hazard(61)
def test_a_page_that_ran_out_uses_up_no_trial(two_groups: Callable[..., Billing], stripe: Emulator) -> None:
    two_groups().checkout("user:1", "basic")
    later = two_groups(clock=lambda: datetime.now(UTC) + timedelta(days=2))
    pay(str(later.checkout("user:1", "phone").url))
    assert statuses(later) == [None, "trialing"]


@pytest.mark.hazard(61)
def test_a_page_whose_trial_was_had_meanwhile_makes_way(two_groups: Callable[..., Billing], stripe: Emulator) -> None:
    billing = two_groups()
    first = billing.checkout("user:1", "basic")
    given_by_hand(stripe, billing, "phone")
    second = billing.checkout("user:1", "basic")
    assert (stripe.get(str(first.session_id))["status"], billing.checkout("user:1", "basic")) == ("expired", second)
    pay(str(second.url))
    assert statuses(billing) == ["active", "trialing"]


@pytest.mark.hazard(61)
def test_a_page_whose_trial_is_offered_no_more_makes_way(two_groups: Callable[..., Billing]) -> None:
    two_groups().checkout("user:1", "basic")
    billing = two_groups(TWO_GROUPS.replace("trial_days = 14\n", ""))
    pay(str(billing.checkout("user:1", "basic").url))
    assert statuses(billing) == ["active", None]


@pytest.mark.hazard(61)
@pytest.mark.parametrize(("policy", "status"), [("cancel", "canceled"), ("bill", "active"), ("keep", "trialing")])
def test_a_second_trial_of_an_owner_has_the_consequence_that_the_plans_file_says(
    two_groups: Callable[..., Billing], stripe: Emulator, policy: str, status: str
) -> None:
    billing = two_groups(f'{TWO_GROUPS}\n[checkout]\nrepeated_trial = "{policy}"\n')
    told: list[Change] = []
    billing.on_change("trial.repeated")(told.append)
    page = billing.checkout("user:1", "basic")
    given = given_by_hand(stripe, billing, "phone")
    pay(str(page.url))
    billing.sync("user:1")
    billing.run_until_idle()
    assert statuses(billing) == [status, "trialing"]
    assert [(each.owner, each.subscription != given, each.data["consequence"]) for each in told] == [
        ("user:1", True, policy)
    ]


@pytest.mark.hazard(61)
def test_a_second_trial_that_is_given_by_hand_is_left_alone(
    two_groups: Callable[..., Billing], stripe: Emulator
) -> None:
    billing = two_groups()
    pay(str(billing.checkout("user:1", "basic").url))
    stripe.advance(seconds=60)
    billing.sync("user:1")
    given_by_hand(stripe, billing, "phone")
    billing.run_until_idle()
    assert statuses(billing) == ["trialing", "trialing"]


@pytest.mark.hazard(46, 61)
def test_who_gives_a_customer_away_keeps_having_had_their_trial(billing: Billing) -> None:
    """And so does who gives it on."""
    begin(billing, "user:1")
    billing.transfer("user:1", "org:9")
    assert begin(billing, "user:1") == "active"
    billing.transfer("org:9", "org:10")
    assert begin(billing, "org:9") == "active"
    billing.run_until_idle()
    assert [billing.access(each).status for each in ("user:1", "org:9", "org:10")] == ["active", "active", "trialing"]


@pytest.mark.hazard(46, 61)
def test_a_trial_that_a_customer_has_with_a_new_owner_is_not_the_old_ones(billing: Billing, stripe: Emulator) -> None:
    pay(str(billing.checkout("user:1", "pro").url))
    billing.sync("user:1")
    billing.transfer("user:1", "org:9")
    given_by_hand(stripe, billing, "basic", owner="org:9")
    assert begin(billing, "user:1") == "trialing"


@pytest.mark.hazard(46, 61)
def test_two_customers_whom_one_owner_gave_away_are_not_one_person(
    make: Callable[..., Billing], stripe: Emulator
) -> None:
    billing = make()
    given = ["org:9", "org:10"]
    begin(billing, "user:1", email="ada@example.com")
    billing.transfer("user:1", given[0])
    pay(str(billing.checkout("user:1", "pro", email="eve@example.com").url), number="6011111111111117")
    billing.sync("user:1")
    stripe.advance(seconds=60)
    given_by_hand(stripe, billing, "basic")
    billing.transfer("user:1", given[1])
    billing.sync(given[1])
    billing.run_until_idle()
    assert not [each for each in billing.changes() if each.kind == "trial.repeated"]


@pytest.mark.hazard(61)
def test_an_alias_of_an_address_has_no_second_trial(make: Callable[..., Billing]) -> None:
    billing = make()
    assert begin(billing, "user:1", email="ada.l@gmail.com") == "trialing"
    assert begin(billing, "user:2", email="AdaL+2@googlemail.com", number="4242424242424242") == "active"
    assert begin(billing, "user:3", email="bob@gmail.com", number="6011111111111117") == "trialing"


@pytest.mark.hazard(61)
def test_an_owner_whose_customer_was_deleted_has_no_second_trial(billing: Billing, stripe: Emulator) -> None:
    begin(billing, "user:1")
    sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1.customers.delete(
        str(stripe.events("customer.created")[0]["data"]["object"]["id"])
    )
    billing.sync("user:1")
    assert begin(billing, "user:1") == "active"


@pytest.mark.hazard(61)
def test_a_page_that_nobody_paid_uses_up_no_trial(make: Callable[..., Billing]) -> None:
    billing = make()
    billing.checkout("user:1", "basic", email="ada@example.com")
    assert begin(billing, "org:7", email="ada@example.com") == "trialing"


@pytest.mark.hazard(61)
@pytest.mark.parametrize(
    ("policy", "status", "charged"), [("cancel", "canceled", []), ("bill", "active", [900]), ("keep", "trialing", [])]
)
def test_a_card_that_had_a_trial_has_the_consequence_that_the_plans_file_says(
    make: Callable[..., Billing], stripe: Emulator, policy: str, status: str, charged: list[int]
) -> None:
    billing = make(policy)
    told: list[Change] = []
    billing.on_change("trial.repeated")(told.append)
    assert begin(billing, "user:1", email="ada@example.com") == "trialing"
    stripe.advance(seconds=60)
    begin(billing, "user:2", email="eve@example.com")
    billing.run_until_idle()
    assert billing.access("user:1").status == "trialing"
    assert billing.access("user:2").status == status
    paid = [event["data"]["object"]["amount_paid"] for event in stripe.events("invoice.paid")]
    assert [amount for amount in paid if amount] == charged
    assert [(each.owner, each.data) for each in told] == [("user:2", {"plan": "basic", "consequence": policy})]


@pytest.mark.hazard(61, 109)
@pytest.mark.parametrize("after_work", [False, True])
def test_a_trial_whose_end_failed_is_ended_by_the_next_synchronisation(
    make: Callable[..., Billing], stripe: Emulator, after_work: bool
) -> None:
    billing = make()
    begin(billing, "user:1")
    stripe.advance(seconds=60)
    pay(str(billing.checkout("user:2", "basic").url), number=OTHER_CARD)
    billing.sync("user:2")
    stripe.fail_next("/v1/subscriptions/*", status=500, method="DELETE", times=3, after_work=after_work)
    with pytest.raises(StripeUnavailable):
        billing.sync("user:2")
    billing.sync("user:2")
    assert billing.access("user:2").status == "canceled"
    assert len(stripe.events("customer.subscription.deleted")) == 1


@pytest.mark.hazard(1, 61)
def test_a_trial_that_was_paid_since_is_not_ended(make: Callable[..., Billing], stripe: Emulator, client: Any) -> None:
    """H1: it is still in its trial as far as we know, and its card was used in an earlier one meanwhile."""
    billing = make()
    begin(billing, "user:1")
    earlier = billing.subscription("user:1")
    stripe.advance(seconds=60)
    begin(billing, "user:2", number=GOOD_CARD)
    paid = billing.subscription("user:2")
    assert earlier is not None
    assert paid is not None
    assert paid.trial_end is not None
    client.subscriptions.update(earlier.id, {"trial_end": int(paid.trial_end.timestamp()) + 9 * 86_400})
    stripe.advance(to=paid.trial_end + timedelta(hours=2))
    method = client.payment_methods.attach("pm_card_visa", {"customer": earlier.customer})
    client.subscriptions.update(earlier.id, {"default_payment_method": method.id})
    billing.sync("user:1")
    billing.sync("user:2")
    billing.run_until_idle()
    stands = client.subscriptions.retrieve(paid.id)
    assert (stands.status, stands.trial_end) == ("active", int(paid.trial_end.timestamp()))
    assert [each.amount for each in client.charges.list({"customer": paid.customer}).data] == [900]
    assert billing.access("user:2").status == "active"


@pytest.mark.hazard(61)
def test_a_card_that_was_paid_with_after_a_trial_was_in_none(make: Callable[..., Billing]) -> None:
    billing = make()
    begin(billing, "user:1")
    billing.cancel("user:1", when="now")
    pay(str(billing.checkout("user:1", "pro").url), number=GOOD_CARD)
    billing.sync("user:1")
    begin(billing, "user:2", number=GOOD_CARD)
    billing.run_until_idle()
    assert billing.access("user:2").status == "trialing"


@pytest.mark.hazard(61)
@pytest.mark.parametrize(("is_pinned", "status"), [(True, "trialing"), (False, "canceled")])
def test_a_default_card_is_in_a_trial_that_would_be_charged_to_it(
    make: Callable[..., Billing], stripe: Emulator, client: Any, is_pinned: bool, status: str
) -> None:
    billing = make()
    page = str(billing.checkout("user:1", "basic").url)
    [customer] = client.customers.list().data
    method = client.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    if is_pinned:
        pay(page, number=OTHER_CARD)
    else:
        price = client.prices.list({"lookup_keys": ["basic_month"]}).data[0].id
        client.subscriptions.create({"customer": customer.id, "items": [{"price": price}], "trial_period_days": 9})
    billing.sync("user:1")
    stripe.advance(seconds=60)
    begin(billing, "user:2", number=GOOD_CARD)
    billing.run_until_idle()
    assert billing.access("user:2").status == status


@pytest.mark.hazard(1, 61)
def test_a_trial_that_was_over_before_anybody_told_us_had_its_card(
    make: Callable[..., Billing], stripe: Emulator, client: Any
) -> None:
    """H1: its page was completed, and it was cancelled, while no webhook came through."""
    billing = make()
    pay(str(billing.checkout("user:1", "basic").url), number=OTHER_CARD)
    client.subscriptions.cancel(client.subscriptions.list().data[0].id)
    billing.sync("user:1")
    stripe.advance(seconds=60)
    begin(billing, "user:2")
    billing.run_until_idle()
    assert billing.access("user:2").status == "canceled"


@pytest.mark.hazard(61, 97)
def test_a_trial_that_ends_is_charged_to_the_card_that_was_chosen_last(
    make: Callable[..., Billing], stripe: Emulator, client: Any
) -> None:
    billing = make("bill")
    begin(billing, "user:1")
    stripe.advance(seconds=60)
    begin(billing, "user:2")
    change_card(billing.portal("user:2"), number=GOOD_CARD)
    billing.run_until_idle()
    [charge] = client.charges.list().data
    assert (charge.amount, charge.payment_method_details.card.last4) == (900, GOOD_CARD[-4:])


@pytest.mark.hazard(61, 117)
def test_marks_name_nobody_and_are_made_only_with_a_key(
    make: Callable[..., Billing], billing: Billing, database_url: str
) -> None:
    begin(billing, "user:9", email="nobody@example.com")
    begin(make(), "user:1", email="ada@example.com", number="4242424242424242")
    database = Database(database_url)
    with database.read() as session:
        found = session.scalars(select(TrialMark.mark)).all()
    database.close()
    assert len(found) == 2
    assert all(len(each) == 64 and "ada" not in each for each in found)
