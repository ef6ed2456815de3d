"""Ended before its time, and what was paid for the rest goes back: exactly, once, and never more than was paid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    InvalidRequest,
    StripeError,
    StripeRejected,
    StripeUnavailable,
    Subscription,
    SubscriptionRefused,
    Unused,
)
from paidup.catalog import file
from paidup.core import parse
from paidup.refunding import Refunding
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.go_between import a_go_between
from tests.support.paying import pay

OWNER = "user:1"
DAY = 86_400


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def subscriber(billing: Billing, stripe: Emulator) -> Billing:
    """Somebody who has paid for a month of Pro, and used ten days of it."""
    buy(billing)
    stripe.advance(days=10)
    return billing


def buy(billing: Billing, plan: str = "pro", **more: Any) -> None:
    pay(str(billing.checkout(OWNER, plan, **more).url))
    billing.sync(OWNER)


def refunds(client: Any) -> list[int]:
    """What went back, oldest first."""
    return [each.amount for each in client.refunds.list({"limit": 100}).data][::-1]


def by_hand(billing: Billing, paid: int) -> set[int]:
    """What is left of it at the second in which the subscription ended, or at one of those beside it."""
    found = billing.subscription(OWNER)
    assert found is not None
    assert found.ended_at is not None
    assert found.current_period_start is not None
    assert found.current_period_end is not None
    whole = int((found.current_period_end - found.current_period_start).total_seconds())
    left = int((found.current_period_end - found.ended_at).total_seconds())
    return {(2 * paid * (left + late) + whole) // (2 * whole) for late in (-1, 0, 1, 2)}


@pytest.mark.parametrize(
    ("currency", "plan", "seats", "interval", "paid", "after"),
    [
        ("usd", "pro", 1, "month", 2900, 10 * DAY),
        ("jpy", "pro", 1, "month", 2900, 17 * DAY + 12_345),
        ("usd", "team", 7, "month", 10_500, 77_777),
        ("eur", "team", 3, "year", 45_000, 8_765_432),
    ],
)
def test_the_rest_of_the_period_goes_back_to_the_unit(
    make_billing: MakeBilling,
    stripe: Emulator,
    client: Any,
    currency: str,
    plan: str,
    seats: int,
    interval: str,
    paid: int,
    after: int,
) -> None:
    billing = make_billing(catalog=file.loads(PLANS.read_text().replace('"usd"', f'"{currency}"')))
    billing.push_catalog()
    buy(billing, plan, seats=seats, interval=interval)
    stripe.advance(seconds=after)
    told = billing.unused(OWNER)
    assert told is not None
    ended = billing.cancel(OWNER, when="now", refund_unused=True)
    assert (ended.status, told.subscription, told.currency) == ("canceled", ended.id, currency)
    (given,) = refunds(client)
    assert given in by_hand(billing, paid)
    assert abs(told.amount - given) <= 1
    (invoice,) = billing.invoices(OWNER)
    assert invoice.amount_refunded == given
    assert [each.status for each in client.invoices.list().data] == ["paid"], "no credit is left beside the refund"
    customer = billing.customer(OWNER)
    assert customer is not None
    assert customer.balance == 0


def test_three_decimals_are_moved_in_tens(make_billing: MakeBilling, stripe: Emulator, client: Any) -> None:
    billing = make_billing(catalog=file.loads(PLANS.read_text().replace('"usd"', '"kwd"')))
    billing.push_catalog()
    buy(billing)
    stripe.advance(days=10, seconds=4321)
    billing.cancel(OWNER, when="now", refund_unused=True)
    (given,) = refunds(client)
    assert given % 10 == 0
    assert given in {each - each % 10 for each in by_hand(billing, 2900)}


def test_without_being_asked_nothing_goes_back(subscriber: Billing, client: Any) -> None:
    subscriber.cancel(OWNER, when="now")
    assert refunds(client) == []
    with pytest.raises(SubscriptionRefused) as refused:
        subscriber.cancel(OWNER, when="now", refund_unused=True)
    assert refused.value.action == "contact_us"
    assert refunds(client) == []


def test_again_and_at_once_it_goes_back_once(subscriber: Billing, client: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: subscriber.cancel(OWNER, when="now", refund_unused=True), range(4)))
    subscriber.cancel(OWNER, when="now", refund_unused=True)
    (given,) = refunds(client)
    assert given in by_hand(subscriber, 2900)


@pytest.mark.parametrize("answer", [404, 400])
def test_a_second_tab_that_finds_nothing_left_takes_nothing_away(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator, client: Any, answer: int
) -> None:
    """It looked while there was something, and asks how much when the first has just ended it."""
    has_looked, has_ended = Event(), Event()
    with a_go_between(stripe) as first, a_go_between(stripe) as second, ThreadPoolExecutor(1) as pool:

        def after_the_look(content: bytes) -> bytes:
            if second.calls[-1][0] == "GET" and not has_looked.is_set():
                has_looked.set()
                assert has_ended.wait(30)
            return content

        def after_the_end(content: bytes) -> bytes:
            if first.calls[-1][0] == "DELETE":
                if answer != 404:
                    stripe.fail_next("/v1/invoices/create_preview", status=answer)
                has_ended.set()
                assert done.result(30).has_ended
            return content

        first.change, second.change = after_the_end, after_the_look
        one, other = make_billing(api_base=first.url), make_billing(api_base=second.url)
        done = pool.submit(other.cancel, OWNER, when="now", refund_unused=True)
        assert has_looked.wait(30)
        assert one.cancel(OWNER, when="now", refund_unused=True).has_ended
    (given,) = refunds(client)
    assert given in by_hand(subscriber, 2900)


def test_what_was_noted_less_since_takes_nothing_back(subscriber: Billing, stripe: Emulator, client: Any) -> None:
    """Two tabs compute a second apart, and the later note is the smaller one."""
    subscriber.change_plan(OWNER, subscriber.preview_change(OWNER, "team", seats=10).id)
    stripe.advance(days=5)
    subscriber.cancel(OWNER, when="now", refund_unused=True)
    [given] = refunds(client)
    [subscription] = client.subscriptions.list({"status": "all"}).data
    amount, _, since = subscription.metadata["paidup_refund"].partition("@")
    client.subscriptions.update(subscription.id, {"metadata": {"paidup_refund": f"{int(amount) - 1}@{since}"}})
    assert subscriber.cancel(OWNER, when="now", refund_unused=True).has_ended
    assert refunds(client) == [given]


def test_an_upgrade_paid_since_is_given_back_too(subscriber: Billing, stripe: Emulator, client: Any) -> None:
    quote = subscriber.preview_change(OWNER, "team", seats=3)
    subscriber.change_plan(OWNER, quote.id)
    subscriber.sync(OWNER)
    stripe.advance(days=5)
    told = subscriber.unused(OWNER)
    assert told is not None
    subscriber.cancel(OWNER, when="now", refund_unused=True)
    assert abs(sum(refunds(client)) - told.amount) <= 1
    assert 0 < sum(refunds(client)) < 2900 + quote.due_now
    assert max(refunds(client)) <= max(2900, quote.due_now)


def test_what_a_bank_has_taken_is_not_given_back_beside_it(billing: Billing, stripe: Emulator, client: Any) -> None:
    pay(str(billing.checkout(OWNER, "pro").url), number="4000000000000259")
    billing.sync(OWNER)
    stripe.advance(days=10)
    assert billing.unused(OWNER) == Unused(charge_subscription(billing), 0, "usd")
    (dispute,) = client.disputes.list().data
    client.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert client.charges.retrieve(dispute.charge).disputed
    told = billing.unused(OWNER)
    assert told is not None
    assert told.amount > 1900, "it was won"
    billing.cancel(OWNER, when="now", refund_unused=True)
    (given,) = refunds(client)
    assert given in by_hand(billing, 2900)


def test_no_more_than_is_left_of_what_was_paid(subscriber: Billing, client: Any) -> None:
    (charge,) = client.charges.list().data
    client.refunds.create({"charge": charge.id, "amount": 2800})
    assert subscriber.unused(OWNER) == Unused(charge_subscription(subscriber), 100, "usd")
    subscriber.cancel(OWNER, when="now", refund_unused=True)
    assert refunds(client) == [2800, 100]


def charge_subscription(billing: Billing) -> str:
    found = billing.subscription(OWNER)
    assert found is not None
    return found.id


def test_a_period_that_was_not_paid_gives_nothing(subscriber: Billing, stripe: Emulator, client: Any) -> None:
    """What was paid for the month before is not touched."""
    found = subscriber.subscription(OWNER)
    assert found is not None
    method = client.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": found.customer})
    client.subscriptions.update(found.id, {"default_payment_method": method.id})
    stripe.advance(days=25)
    subscriber.sync(OWNER)
    assert subscriber.access(OWNER).is_past_due
    assert subscriber.unused(OWNER) == Unused(found.id, 0, "usd")
    assert subscriber.cancel(OWNER, when="now", refund_unused=True).has_ended
    assert refunds(client) == []


def test_a_trial_gives_nothing(billing: Billing, client: Any) -> None:
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    told = billing.unused(OWNER)
    assert told is not None
    assert told.amount == 0
    assert billing.cancel(OWNER, when="now", refund_unused=True).has_ended
    assert billing.unused(OWNER) is None
    assert refunds(client) == []


def test_at_the_end_of_the_period_nothing_is_left(subscriber: Billing, client: Any) -> None:
    with pytest.raises(InvalidRequest, match="used up"):
        subscriber.cancel(OWNER, refund_unused=True)
    assert not subscriber.access(OWNER).is_canceling


def test_what_stripe_does_not_refund_is_an_error_and_can_be_tried_again(
    subscriber: Billing, stripe: Emulator, client: Any
) -> None:
    stripe.fail_next("/v1/refunds", status=400, method="POST")
    with pytest.raises(StripeRejected):
        subscriber.cancel(OWNER, when="now", refund_unused=True)
    assert refunds(client) == []
    stripe.clear_faults()
    assert subscriber.cancel(OWNER, when="now", refund_unused=True).has_ended
    (given,) = refunds(client)
    assert given in by_hand(subscriber, 2900)


class TestRefused:
    """H67: what Stripe refused, and would refuse for a day, is tried anew with another key; it goes back once."""

    pytestmark = pytest.mark.hazard(67)

    @pytest.fixture
    def refused(self, subscriber: Billing, stripe: Emulator) -> Billing:
        """There was too little in the account, say; by now there is enough."""
        stripe.fail_next("/v1/refunds", status=400, method="POST", kept=True)
        with pytest.raises(StripeRejected):
            subscriber.cancel(OWNER, when="now", refund_unused=True)
        return subscriber

    def test_the_same_call_succeeds_once(self, refused: Billing, client: Any) -> None:
        assert refunds(client) == []
        for _ in range(3):
            assert refused.cancel(OWNER, when="now", refund_unused=True).has_ended
        (given,) = refunds(client)
        assert given in by_hand(refused, 2900)

    def test_clicks_at_once_succeed_once(self, refused: Billing, client: Any) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: refused.cancel(OWNER, when="now", refund_unused=True), range(4)))
        assert len(refunds(client)) == 1

    def test_it_may_be_refused_again_and_again(self, refused: Billing, stripe: Emulator, client: Any) -> None:
        for _ in range(3):
            stripe.fail_next("/v1/refunds", status=400, method="POST", kept=True)
            with pytest.raises(StripeRejected):
                refused.cancel(OWNER, when="now", refund_unused=True)
        refused.cancel(OWNER, when="now", refund_unused=True)
        assert len(refunds(client)) == 1

    @pytest.mark.parametrize("kept", [True, False])
    def test_a_click_that_is_late_refunds_nothing_beside_a_new_try(
        self, subscriber: Billing, stripe: Emulator, client: Any, kept: bool
    ) -> None:
        """It has read how things stood before the refusal, whether or not Stripe keeps that."""
        subscriber.cancel(OWNER, when="now")
        body = note_by_hand(client, 1900)
        late = parse.subscription(body)
        refunding = Refunding(subscriber.gateway)
        stripe.fail_next("/v1/refunds", status=400, method="POST", kept=kept)
        with pytest.raises(StripeRejected):
            refunding.give_back(late)
        with pytest.raises(StripeError):
            refunding.give_back(late)
        assert refunds(client) == []
        subscriber.cancel(OWNER, when="now", refund_unused=True)
        assert refunds(client) == [1900]

    @pytest.mark.parametrize("after_work", [True, False])
    def test_a_note_whose_answer_is_lost_is_no_obstacle(
        self, subscriber: Billing, stripe: Emulator, client: Any, after_work: bool
    ) -> None:
        subscriber.cancel(OWNER, when="now")
        note_by_hand(client, 1900)
        stripe.fail_next("/v1/refunds", status=400, method="POST", kept=not after_work)
        stripe.cut_next("/v1/subscriptions/*", method="POST", times=9, after_work=after_work)
        with pytest.raises(StripeError):
            subscriber.cancel(OWNER, when="now", refund_unused=True)
        stripe.clear_faults()
        if not after_work:
            with pytest.raises(StripeRejected):
                subscriber.cancel(OWNER, when="now", refund_unused=True)
        subscriber.cancel(OWNER, when="now", refund_unused=True)
        assert refunds(client) == [1900]

    def test_two_who_computed_different_amounts_give_back_one(self, subscriber: Billing, client: Any) -> None:
        subscriber.cancel(OWNER, when="now")
        views = [parse.subscription(note_by_hand(client, amount)) for amount in (900, 901, 902, 903)]
        refunding = Refunding(subscriber.gateway)

        def click(view: Subscription) -> None:
            with suppress(StripeUnavailable):
                refunding.give_back(view)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(click, views))
        assert len(refunds(client)) == 1

    def test_charges_are_counted_each_by_itself(self, subscriber: Billing, stripe: Emulator, client: Any) -> None:
        """The first of two payments is given back, the second refused, and given back later."""
        quote = subscriber.preview_change(OWNER, "team", seats=3)
        subscriber.change_plan(OWNER, quote.id)
        stripe.fail_next("/v1/refunds", status=400, method="POST", nth=2, kept=True)
        with pytest.raises(StripeRejected):
            subscriber.cancel(OWNER, when="now", refund_unused=True)
        assert len(refunds(client)) == 1
        for _ in range(2):
            subscriber.cancel(OWNER, when="now", refund_unused=True)
        assert len(refunds(client)) == 2
        (note,) = [each.metadata["paidup_refund"] for each in client.subscriptions.list({"status": "all"}).data]
        assert note.count(":") == 1


def note_by_hand(client: Any, amount: int) -> Any:
    """As an earlier release noted it: the amount, and when it was computed; the subscription then."""
    (found,) = client.subscriptions.list({"status": "all"}).data
    noted = {"metadata": {"paidup_refund": f"{amount}@{found.ended_at}"}}
    return client.subscriptions.update(found.id, noted).to_dict()


def test_a_note_that_led_nowhere_counts_for_nothing_later(subscriber: Billing, stripe: Emulator, client: Any) -> None:
    """The process died before the end, and days later the user cancels in the portal."""
    stripe.fail_next("/v1/subscriptions/*", status=400, method="DELETE")
    with pytest.raises(StripeRejected):
        subscriber.cancel(OWNER, when="now", refund_unused=True)
    stripe.clear_faults()
    stripe.advance(days=3)
    client.subscriptions.cancel(charge_subscription(subscriber))
    subscriber.sync(OWNER)
    with pytest.raises(SubscriptionRefused, match="without a refund"):
        subscriber.cancel(OWNER, when="now", refund_unused=True)
    assert refunds(client) == []
