"""One trial per owner, and by policy per person: told by their e-mail address and their cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from tests.support.paying import pay

KEY = "a key of the tests, which is long"
OTHER_CARD = "5555555555554444"


@pytest.fixture
def make(billing: Billing, make_billing: Callable[..., Billing]) -> Callable[..., Billing]:
    """Billings that know persons; the trial of `basic` asks for a card."""

    def make(policy: Any = "cancel") -> Billing:
        plans = tuple(replace(each, trial_requires_card=True) for each in billing.catalog.plans)
        terms = CheckoutTerms(repeated_trial=policy)
        return make_billing(catalog=replace(billing.catalog, plans=plans, checkout=terms), trial_key=KEY)

    return make


def begin(billing: Billing, owner: str, *, email: str | None = None, number: str = OTHER_CARD) -> str | None:
    """Buy `basic`; the status that follows from it."""
    pay(str(billing.checkout(owner, "basic", email=email).url), number=number)
    billing.sync(owner)
    return billing.access(owner).status


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
