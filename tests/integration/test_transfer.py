"""A customer goes to another owner, with all that is theirs, or not at all; and what they are called goes to Stripe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    AsyncBilling,
    Billing,
    Change,
    CustomerNotFound,
    InvalidOwner,
    QuoteChanged,
    QuoteNotFound,
    StripeUnavailable,
    TransferRefused,
)
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import deliver_all, subscribe
from tests.support.deliveries import a_hurrying_clock
from tests.support.go_between import a_go_between
from tests.support.meanwhile import after_the_next_look

OWNER, TO, OTHER = "user:1", "org:7", "user:3"


@pytest.fixture
def client(stripe: Emulator) -> Any:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def seller(make_billing: MakeBilling) -> Billing:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    subscribe(billing)
    billing.sync(OWNER)
    return billing


def customer_of(billing: Billing, owner: str) -> str | None:
    found = billing.customer(owner)
    return found.id if found else None


def belongs_to(billing: Billing, client: Any, customer: str, owner: str, other: str) -> bool:
    """Here, and in Stripe's metadata of customer and subscription."""
    assert customer_of(billing, other) is None
    assert (billing.access(other).plan, billing.invoices(other)) == ("free", [])
    assert billing.access(owner).plan == "pro"
    assert customer in {each.customer for each in billing.invoices(owner)}
    [subscription] = client.subscriptions.list({"customer": customer}).data
    names = {client.customers.retrieve(customer).metadata["paidup_owner"], subscription.metadata["paidup_owner"]}
    return customer_of(billing, owner) == customer and names == {owner}


class TestTransfer:
    pytestmark = pytest.mark.hazard(46)

    def test_everything_goes_at_once_and_is_told(self, seller: Billing, stripe: Emulator, client: Any) -> None:
        told: list[Change] = []
        seller.on_change("customer.transferred")(told.append)
        customer = customer_of(seller, OWNER)
        assert customer is not None
        seller.transfer(OWNER, TO)
        assert belongs_to(seller, client, customer, TO, OWNER)
        deliver_all(seller, stripe)
        seller.run_until_idle()
        assert belongs_to(seller, client, customer, TO, OWNER), "whatever comes afterwards"
        [change] = told
        assert (change.owner, change.customer, dict(change.data)) == (TO, customer, {"previous_owner": OWNER})

    def test_who_gave_it_away_may_buy_again_and_it_may_come_back(self, seller: Billing, client: Any) -> None:
        customer = customer_of(seller, OWNER)
        assert customer is not None
        seller.transfer(OWNER, TO)
        seller.transfer(TO, OWNER)
        assert belongs_to(seller, client, customer, OWNER, TO)
        seller.transfer(OWNER, TO)
        subscribe(seller)
        seller.sync(OWNER)
        assert customer_of(seller, OWNER) not in (None, customer)

    def test_what_cannot_go_stays(self, seller: Billing, stripe: Emulator) -> None:
        subscribe(seller, owner=OTHER)
        refused: list[tuple[Callable[[], None], type[Exception], str]] = [
            (lambda: seller.transfer(OWNER, OTHER), TransferRefused, "has a customer already"),
            (lambda: seller.transfer(OWNER, OWNER), TransferRefused, "to themselves"),
            (lambda: seller.transfer(TO, OWNER), CustomerNotFound, "no customer to transfer"),
            (lambda: seller.transfer(OWNER, ""), InvalidOwner, "is not an owner"),
        ]
        stripe.fail_next("/v1/*", status=500, times=50)  # nobody asks
        for verb, kind, why in refused:
            with pytest.raises(kind, match=why):
                verb()
        assert seller.access(OWNER).plan == "pro"

    def test_it_waits_for_an_open_checkout(self, make_billing: MakeBilling) -> None:
        billing = make_billing()
        billing.push_catalog()
        billing.checkout(OWNER, "pro")
        with pytest.raises(TransferRefused, match="a Checkout is open"):
            billing.transfer(OWNER, TO)

    def test_it_waits_for_a_change_that_is_being_carried_out(self, seller: Billing, stripe: Emulator) -> None:
        quote = seller.preview_change(OWNER, "team", seats=5)
        stripe.cut_next("/v1/subscriptions/*", method="POST", after_work=True, times=3)
        with pytest.raises(StripeUnavailable):
            seller.change_plan(OWNER, quote.id)
        with pytest.raises(TransferRefused, match="a change of plan is under way"):
            seller.transfer(OWNER, TO)
        assert seller.change_plan(OWNER, quote.id).plan == "team"
        seller.transfer(OWNER, TO)
        assert seller.access(TO).plan == "team"

    @pytest.mark.parametrize("after_work", [False, True])
    def test_a_change_that_was_interrupted_long_ago_holds_nobody_up(
        self, seller: Billing, make_billing: MakeBilling, stripe: Emulator, after_work: bool
    ) -> None:
        quote = seller.preview_change(OWNER, "team", seats=5)
        stripe.cut_next("/v1/subscriptions/*", method="POST", after_work=after_work, times=3)
        with pytest.raises(StripeUnavailable):
            seller.change_plan(OWNER, quote.id)
        later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(minutes=3))
        later.transfer(OWNER, TO)
        assert customer_of(later, OWNER) is None
        later.sync(TO)
        assert later.access(TO).plan == ("team" if after_work else "pro")

    def test_what_was_quoted_before_charges_nobody(self, seller: Billing, stripe: Emulator) -> None:
        """H39, H46: by neither of them; the new owner is told what it would be now."""
        quote = seller.preview_change(OWNER, "team", seats=5)
        seller.transfer(OWNER, TO)
        with pytest.raises(QuoteNotFound):
            seller.change_plan(OWNER, quote.id)
        with pytest.raises(QuoteChanged) as changed:
            seller.change_plan(TO, quote.id)
        seller.sync(TO)
        assert seller.access(TO).plan == "pro"
        assert seller.change_plan(TO, changed.value.quote.id).plan == "team"

    def test_what_is_quoted_to_who_had_it_in_the_same_moment_charges_nobody(
        self, seller: Billing, make_billing: MakeBilling, stripe: Emulator
    ) -> None:
        """H39, H46: asked for before, and stored after the customer was given away."""
        other = make_billing()

        def give_away(answer: bytes) -> bytes:
            if json.loads(answer)["object"] == "invoice":
                between.change = lambda answer: answer
                other.transfer(OWNER, TO)
            return answer

        with a_go_between(stripe) as between:
            between.change = give_away
            quote = make_billing(api_base=between.url).preview_change(OWNER, "team", seats=5)
        with pytest.raises(QuoteNotFound):
            seller.change_plan(OWNER, quote.id)
        seller.sync(TO)
        assert seller.access(TO).plan == "pro"

    def test_a_change_that_is_planned_is_shown_to_and_undone_by_the_new_owner(
        self, seller: Billing, client: Any
    ) -> None:
        seller.change_plan(OWNER, seller.preview_change(OWNER, "basic").id)
        planned = seller.scheduled_change(OWNER)
        assert planned is not None
        seller.transfer(OWNER, TO)
        assert (seller.scheduled_change(OWNER), seller.scheduled_change(TO)) == (None, planned)
        assert seller.undo_change(TO).schedule is None
        undone = [each.owner for each in seller.changes() if each.kind == "change.undone"]
        assert (seller.scheduled_change(TO), undone) == (None, [TO])

    def test_who_is_being_deleted_cannot_go(self, seller: Billing, stripe: Emulator) -> None:
        """H45, H46: the new owner would lose all of it."""
        stripe.fail_next("/v1/customers/*", status=500, times=3)
        assert not seller.delete_customer(OWNER)
        with pytest.raises(TransferRefused, match="is being deleted"):
            seller.transfer(OWNER, TO)
        seller.run_until_idle()
        with pytest.raises(CustomerNotFound):
            seller.transfer(OWNER, TO)

    def test_who_was_given_away_is_not_deleted_by_who_had_them(
        self, seller: Billing, make_billing: MakeBilling
    ) -> None:
        """H45, H46: given away after the deletion has looked up whom it is about."""
        other = make_billing()
        with after_the_next_look(lambda: other.transfer(OWNER, TO)):
            assert seller.delete_customer(OWNER)
        seller.run_until_idle()
        assert seller.access(TO).plan == "pro"

    def test_an_owner_who_was_deleted_may_be_given_one(self, seller: Billing, client: Any) -> None:
        subscribe(seller, owner=TO)
        seller.sync(TO)
        assert seller.delete_customer(TO)
        customer = customer_of(seller, OWNER)
        assert customer is not None
        seller.transfer(OWNER, TO)
        assert belongs_to(seller, client, customer, TO, OWNER)

    @pytest.mark.parametrize("path", ["/v1/customers/*", "/v1/subscriptions", "/v1/subscriptions/*"])
    @pytest.mark.parametrize("after_work", [False, True])
    def test_what_was_interrupted_has_not_happened_and_is_finished_by_the_next_call(
        self, seller: Billing, stripe: Emulator, client: Any, path: str, after_work: bool
    ) -> None:
        customer = customer_of(seller, OWNER)
        assert customer is not None
        stripe.cut_next(path, after_work=after_work, times=3)
        with pytest.raises(StripeUnavailable):
            seller.transfer(OWNER, TO)
        seller.sync(OWNER)
        assert (customer_of(seller, OWNER), seller.access(OWNER).plan) == (customer, "pro")
        seller.transfer(OWNER, TO)
        assert belongs_to(seller, client, customer, TO, OWNER)


class TestNameAndEmail:
    pytestmark = pytest.mark.hazard(44)

    def test_what_differs_is_told_once(self, seller: Billing, stripe: Emulator, client: Any) -> None:
        customer = customer_of(seller, OWNER)
        assert customer is not None
        assert seller.update_customer(OWNER, email="ada@new.example", name="Ada")
        before = len(stripe.events("customer.updated"))
        assert not seller.update_customer(OWNER, email="ada@new.example", name="Ada")
        assert not seller.update_customer(OWNER)
        assert len(stripe.events("customer.updated")) == before
        assert seller.update_customer(OWNER, name="Ada L.")
        found = client.customers.retrieve(customer)
        assert (found.email, found.name) == ("ada@new.example", "Ada L.")
        seller.run_until_idle()
        known = seller.customer(OWNER)
        assert known is not None
        assert (known.email, known.name) == ("ada@new.example", "Ada L.")

    def test_of_nobody_nothing_is_told(self, seller: Billing, stripe: Emulator) -> None:
        stripe.fail_next("/v1/*", status=500, times=50)  # nobody asks
        assert not seller.update_customer(OTHER, email="eve@example.com")

    def test_a_lost_answer_is_made_up_for_by_the_next_call(
        self, seller: Billing, stripe: Emulator, client: Any
    ) -> None:
        stripe.cut_next("/v1/customers/*", method="POST", after_work=True, times=3)
        with pytest.raises(StripeUnavailable):
            seller.update_customer(OWNER, email="ada@new.example")
        seller.update_customer(OWNER, email="ada@new.example")
        assert client.customers.retrieve(customer_of(seller, OWNER)).email == "ada@new.example"


def test_they_are_coroutines_as_well(seller: Billing) -> None:
    async def ask() -> bool:
        verbs = AsyncBilling(seller)
        told = await verbs.update_customer(OWNER, name="Ada")
        await verbs.transfer(OWNER, TO)
        return told

    assert asyncio.run(ask())
    assert seller.access(TO).plan == "pro"
