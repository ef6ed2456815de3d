"""A change that has to be paid: declined, confirmed by the user, interrupted; never had without, never paid twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stripe as sdk

from paidup import (
    Billing,
    ChangeNotPaid,
    PaymentNeedsUser,
    Quote,
    QuoteChanged,
    StripeError,
    StripeUnavailable,
    Subscription,
    SubscriptionRefused,
)
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import subscribe
from tests.support.calls import counted
from tests.support.host_app import HostApp
from tests.support.paying import FAILS_LATER_CARD, OTHER_CARD, change_card, pay
from tests.support.waiting import eventually

OWNER, OTHER = "user:1", "user:2"
APPLIED = "customer.subscription.pending_update_applied"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
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


def pin(billing: Billing, client: sdk.StripeClient, card: str) -> None:
    """Have the subscription itself charged to a card."""
    running = known(billing)
    method = client.v1.payment_methods.attach(card, {"customer": running.customer})
    client.v1.subscriptions.update(running.id, {"default_payment_method": method.id})


def invoices(client: sdk.StripeClient, billing: Billing, owner: str = OWNER) -> list[str | None]:
    """The statuses of the subscription's invoices, oldest first."""
    found = client.v1.invoices.list({"subscription": known(billing, owner).id, "limit": 100}).data
    return [each.status for each in found][::-1]


def paid(client: sdk.StripeClient, billing: Billing, owner: str = OWNER) -> list[int]:
    found = client.v1.charges.list({"customer": known(billing, owner).customer, "limit": 100}).data
    return [each.amount for each in found if each.status == "succeeded"][::-1]


def stays_on_pro(billing: Billing, stripe: Emulator) -> None:
    running = known(billing)
    assert (running.plan, running.status) == ("pro", "active")
    assert stripe.get(running.id)["pending_update"] is None
    assert not billing.access(OWNER).can("sso")


def needs_user(billing: Billing, quote: Quote) -> str:
    with pytest.raises(PaymentNeedsUser) as refused:
        billing.change_plan(OWNER, quote.id)
    return refused.value.url


def confirm_at_bank(url: str, answer: str = "complete") -> None:
    """What a user does on Stripe's page: pay with the card there is, and answer the bank."""
    form = {"cardNumber": "4000002760003184", "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "A Payer"}
    challenge = httpx.post(url, data=form, timeout=30).headers["location"]
    base = str(httpx.URL(url).copy_with(raw_path=b"/")).rstrip("/")
    answered = httpx.post(challenge if challenge.startswith("http") else base + challenge, data={"answer": answer})
    assert answered.status_code == 303


# declined


@pytest.mark.parametrize("cards", [["pm_card_chargeCustomerFail"], []], ids=["declined", "no card"])
def test_what_is_not_paid_leaves_the_old_plan_and_nothing_to_collect(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, cards: list[str]
) -> None:
    """H83, H84: nothing is had without being paid, and nothing is collected weeks later."""
    for card in cards:
        pin(subscriber, client, card)
    if not cards:
        for method in client.v1.payment_methods.list({"customer": known(subscriber).customer}).data:
            client.v1.payment_methods.detach(method.id)
    quote = subscriber.preview_change(OWNER, "team", seats=5)
    with pytest.raises(ChangeNotPaid):
        subscriber.change_plan(OWNER, quote.id)
    with pytest.raises(ChangeNotPaid) as refused:
        subscriber.change_plan(OWNER, quote.id)
    assert refused.value.decline_code == ("generic_decline" if cards else None)
    stays_on_pro(subscriber, stripe)
    assert invoices(client, subscriber) == ["paid", "void", "void"]
    stripe.advance(days=20)
    assert paid(client, subscriber) == [2900]


def test_with_another_card_the_same_quote_is_paid_once(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H67, H84: a stored refusal does not answer the next try, and the first try is not charged later."""
    pin(subscriber, client, "pm_card_chargeCustomerFail")
    quote = subscriber.preview_change(OWNER, "team", seats=5)
    with pytest.raises(ChangeNotPaid):
        subscriber.change_plan(OWNER, quote.id)
    pin(subscriber, client, "pm_card_visa")
    assert subscriber.change_plan(OWNER, quote.id).plan == "team"
    stripe.advance(days=20)
    assert paid(client, subscriber) == [2900, quote.due_now]


class TestACardChangedInThePortal:
    """H97: Checkout has pinned another one, and the user is faster than the webhook."""

    pytestmark = pytest.mark.hazard(97)

    @pytest.fixture
    def subscriber(self, billing: Billing) -> Billing:
        pay(str(billing.checkout(OWNER, "pro").url))
        billing.sync(OWNER)
        return billing

    def test_it_is_charged_for_what_is_confirmed_next(self, subscriber: Billing, client: sdk.StripeClient) -> None:
        quote = subscriber.preview_change(OWNER, "team", seats=5)
        change_card(subscriber.portal(OWNER))
        assert subscriber.change_plan(OWNER, quote.id).plan == "team"
        newest = client.v1.charges.list({"customer": known(subscriber).customer}).data[0]
        card = subscriber.payment_method(OWNER)
        assert (newest.amount, newest.payment_method) == (quote.due_now, card and card.id)
        assert card is not None
        assert card.last4 == OTHER_CARD[-4:]

    def test_it_is_what_a_declined_change_is_confirmed_with(self, subscriber: Billing) -> None:
        change_card(subscriber.portal(OWNER), number=FAILS_LATER_CARD)
        subscriber.sync(OWNER)
        quote = subscriber.preview_change(OWNER, "team", seats=5)
        with pytest.raises(ChangeNotPaid, match="change the card in the billing portal"):
            subscriber.change_plan(OWNER, quote.id)
        change_card(subscriber.portal(OWNER))
        assert subscriber.change_plan(OWNER, quote.id).plan == "team"

    def test_where_stripe_cannot_tell_nothing_is_charged(
        self, subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
    ) -> None:
        quote = subscriber.preview_change(OWNER, "team", seats=5)
        change_card(subscriber.portal(OWNER))
        stripe.fail_next("/v1/customers/*", status=500, method="GET", times=3)
        with pytest.raises(StripeUnavailable):
            subscriber.change_plan(OWNER, quote.id)
        assert paid(client, subscriber) == [2900]
        stripe.clear_faults()
        assert subscriber.change_plan(OWNER, quote.id).plan == "team"


def test_a_payment_that_takes_days_cannot_be_waited_for(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H83: the plan would be had before it is paid; with a card the same quote goes through."""
    pin(subscriber, client, "pm_usBankAccount_success")
    quote = subscriber.preview_change(OWNER, "team", seats=5)
    with pytest.raises(SubscriptionRefused) as refused:
        subscriber.change_plan(OWNER, quote.id)
    assert refused.value.action == "update_payment_method"
    stays_on_pro(subscriber, stripe)
    pin(subscriber, client, "pm_card_visa")
    assert subscriber.change_plan(OWNER, quote.id).plan == "team"
    assert paid(client, subscriber) == [2900, quote.due_now]


# the bank asks the user


def test_the_user_confirms_at_the_bank_and_the_rest_happens_by_itself(
    host_app: HostApp, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H83: the higher plan is there only once it is paid."""
    billing = host_app.billing
    buy(billing)
    pin(billing, client, "pm_card_authenticationRequired")
    quote = billing.preview_change(OWNER, "team", seats=5)
    with host_app.client(OWNER) as http:
        program = http.post("/billing/change", json={"quote": quote.id})
        assert (program.status_code, program.json()["code"]) == (402, "payment_needs_user")
        form = http.post("/billing/change", data={"quote": quote.id})
    assert (form.status_code, form.headers["location"]) == (303, program.json()["url"])
    assert not billing.access(OWNER).can("sso")
    assert known(billing).plan == "pro"
    confirm_at_bank(form.headers["location"])
    eventually(lambda: billing.access(OWNER).can("sso"))
    assert paid(client, billing) == [2900, quote.due_now]
    assert billing.change_plan(OWNER, quote.id).plan == "team"
    assert paid(client, billing) == [2900, quote.due_now]


def test_what_waits_for_the_bank_is_shown_until_it_is_answered(
    host_app: HostApp, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """With the page where it is answered, as Stripe has it now; a program asks for it beside what is planned."""
    billing = host_app.billing
    buy(billing)
    assert billing.pending_change(OWNER) is None
    pin(billing, client, "pm_card_authenticationRequired")
    quote = billing.preview_change(OWNER, "team", seats=5)
    url = needs_user(billing, quote)
    pending = billing.pending_change(OWNER)
    assert pending is not None
    assert (pending.quote, pending.before, pending.after) == (quote.id, quote.before, quote.after)
    assert (pending.subscription, pending.url) == (quote.subscription, url)
    assert pending.expires_at.timestamp() == stripe.get(quote.subscription)["pending_update"]["expires_at"]
    with host_app.client(OWNER) as http:
        assert http.get("/billing/change").json() is None
        told = http.get("/billing/change/pending").json()
    assert (told["quote"], told["after"]["plan"], told["url"]) == (quote.id, "team", url)
    assert told["expires_at"] == pending.expires_at.isoformat()
    with host_app.client(OTHER) as http:
        assert http.get("/billing/change/pending").json() is None
    confirm_at_bank(pending.url)
    eventually(lambda: billing.access(OWNER).can("sso"))
    assert billing.pending_change(OWNER) is None


@pytest.mark.parametrize("paid_for", [True, False])
def test_what_waits_no_more_is_not_shown_before_anybody_told_us(
    subscriber: Billing, client: sdk.StripeClient, paid_for: bool
) -> None:
    pin(subscriber, client, "pm_card_authenticationRequired")
    url = needs_user(subscriber, subscriber.preview_change(OWNER, "team"))
    if paid_for:
        confirm_at_bank(url)
    else:
        client.v1.invoices.void_invoice(str(client.v1.subscriptions.retrieve(known(subscriber).id).latest_invoice))
    assert known(subscriber).waiting_quote is not None
    assert subscriber.pending_change(OWNER) is None


def test_without_a_change_that_waits_nobody_is_asked(subscriber: Billing, stripe: Emulator) -> None:
    with counted(stripe) as calls:
        assert subscriber.pending_change(OWNER) is None
        assert calls.count == 0


def test_a_change_that_waits_is_shown_after_its_quote_ran_out(
    subscriber: Billing, make_billing: MakeBilling, client: sdk.StripeClient
) -> None:
    pin(subscriber, client, "pm_card_authenticationRequired")
    quote = subscriber.preview_change(OWNER, "team")
    url = needs_user(subscriber, quote)
    later = make_billing(clock=lambda: quote.expires_at + timedelta(hours=2))
    pending = later.pending_change(OWNER)
    assert pending is not None
    assert pending.url == needs_user(later, quote) == url


def test_who_does_not_confirm_stays_on_the_old_plan(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H83, H84: after a day Stripe drops the change, and with it the invoice."""
    pin(subscriber, client, "pm_card_authenticationRequired")
    quote = subscriber.preview_change(OWNER, "team", seats=5)
    assert needs_user(subscriber, quote) == needs_user(subscriber, quote)
    stripe.advance(seconds=24 * 3600)
    subscriber.sync(OWNER)
    stays_on_pro(subscriber, stripe)
    assert invoices(client, subscriber) == ["paid", "void"]


def test_a_change_that_waits_is_dropped_on_request(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    pin(subscriber, client, "pm_card_authenticationRequired")
    needs_user(subscriber, subscriber.preview_change(OWNER, "team"))
    subscriber.undo_change(OWNER)
    stays_on_pro(subscriber, stripe)
    assert invoices(client, subscriber) == ["paid", "void"]


@pytest.mark.parametrize("then", [{"plan": "team", "seats": 3}, {"plan": "basic"}])
def test_another_choice_takes_the_place_of_one_that_waits(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient, then: dict[str, str]
) -> None:
    """H84: one open change per subscription; the invoice of the first can't be paid any more."""
    pin(subscriber, client, "pm_card_authenticationRequired")
    needs_user(subscriber, subscriber.preview_change(OWNER, "team", seats=9))
    pin(subscriber, client, "pm_card_visa")
    quote = subscriber.preview_change(OWNER, **then)  # type: ignore[arg-type]
    subscriber.change_plan(OWNER, quote.id)
    assert "open" not in invoices(client, subscriber)
    assert sum(paid(client, subscriber)) == 2900 + quote.due_now


def test_what_was_paid_meanwhile_makes_a_new_quote(
    subscriber: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H84, H86: two tabs; the first change is confirmed at the bank before the second one is."""
    pin(subscriber, client, "pm_card_authenticationRequired")
    url = needs_user(subscriber, subscriber.preview_change(OWNER, "team", seats=5))
    second = subscriber.preview_change(OWNER, "team", seats=9)
    confirm_at_bank(url)
    with pytest.raises(QuoteChanged) as changed:
        subscriber.change_plan(OWNER, second.id)
    assert changed.value.quote.before.seats == 5


# interrupted


def _upgrade(billing: Billing, owner: str) -> Quote:
    return billing.preview_change(owner, "team", seats=3)


def _downgrade(billing: Billing, owner: str) -> Quote:
    return billing.preview_change(owner, "basic")


@pytest.mark.parametrize("after_work", [False, True], ids=["failed", "answer lost"])
@pytest.mark.parametrize("choose", [_upgrade, _downgrade])
def test_a_call_that_fails_is_made_up_for_by_the_next_try(
    billing: Billing,
    stripe: Emulator,
    client: sdk.StripeClient,
    choose: Callable[[Billing, str], Quote],
    after_work: bool,
) -> None:
    """H109, H110: each call of the confirmation in its turn, before its work and after it."""
    buy(billing, "user:0")
    quote = choose(billing, "user:0")
    with counted(stripe) as calls:
        billing.change_plan("user:0", quote.id)
        number = calls.count
    for nth in range(1, number + 1):
        owner = f"user:{nth}"
        buy(billing, owner)
        quote = choose(billing, owner)
        stripe.fail_next("*", status=500, after_work=after_work, nth=nth, should_retry=False)
        try:
            billing.change_plan(owner, quote.id)
        except StripeError:
            pass
        stripe.clear_faults()
        billing.change_plan(owner, quote.id)
        planned = billing.scheduled_change(owner)
        assert (known(billing, owner).plan, planned is not None) == (
            ("team", False) if quote.when == "now" else ("pro", True)
        ), f"call {nth} of {number}"
        charged = [2900, quote.due_now] if quote.due_now else [2900]
        assert paid(client, billing, owner) == charged, f"call {nth} of {number}"


def test_a_change_whose_answer_is_lost_for_good_is_found_out_by_the_next_one(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H109: the process is gone after Stripe's work; another quote waits until that is sure, and then sees it."""
    first, second = subscriber.preview_change(OWNER, "team", seats=3), subscriber.preview_change(OWNER, "basic")
    stripe.cut_next("/v1/subscriptions/sub_*", method="POST", after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        subscriber.change_plan(OWNER, first.id)
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(minutes=3))
    with pytest.raises(QuoteChanged) as changed:
        later.change_plan(OWNER, second.id)
    assert changed.value.quote.before.seats == 3
    assert paid(client, subscriber) == [2900, first.due_now]


def test_a_planned_change_whose_answer_is_lost_is_shown(
    subscriber: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H109."""
    quote = subscriber.preview_change(OWNER, "basic")
    stripe.cut_next("/v1/subscription_schedules/*", method="POST", after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        subscriber.change_plan(OWNER, quote.id)
    subscriber.sync(OWNER)
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(minutes=3))
    planned = later.scheduled_change(OWNER)
    assert planned is not None
    assert planned.quote == quote.id


def test_of_two_tabs_with_different_choices_one_is_charged(
    subscriber: Billing, make_billing: MakeBilling, client: sdk.StripeClient
) -> None:
    """H47, H84, H94: the other one gets a new quote."""
    processes = (subscriber, make_billing())
    quotes = [subscriber.preview_change(OWNER, "team", seats=seats) for seats in (3, 6)]

    def confirm(number: int) -> int | None:
        try:
            processes[number].change_plan(OWNER, quotes[number].id)
        except QuoteChanged:
            return None
        return quotes[number].due_now

    with ThreadPoolExecutor(2) as tabs:
        [charged] = [each for each in tabs.map(confirm, range(2)) if each is not None]
    assert paid(client, subscriber) == [2900, charged]
