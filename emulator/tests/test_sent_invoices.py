"""
Invoices that are sent to be paid. [DOC] docs.stripe.com/billing/collection-method and
docs.stripe.com/api/subscriptions/object#subscription_object-status: past due when unpaid by the due date, and canceled
or unpaid after an additional deadline.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import VISA, Shop, period
from stripe_emulator import Emulator, Settings

DAY = 86_400
HOUR = 3600


def sent(shop: Shop, *, card: str | None = None, days: int = 14, **more: Any) -> stripe.Subscription:
    return shop.subscribe(
        shop.customer(card).id, shop.price().id, collection_method="send_invoice", days_until_due=days, **more
    )


def latest(shop: Shop, subscription: str) -> stripe.Invoice:
    found = shop.api.subscriptions.retrieve(subscription, {"expand": ["latest_invoice"]}).latest_invoice
    assert isinstance(found, stripe.Invoice)
    return found


def status(shop: Shop, subscription: str) -> str:
    return shop.api.subscriptions.retrieve(subscription).status


def test_it_is_active_at_once_and_the_first_invoice_is_finalised_an_hour_later(shop: Shop) -> None:
    """[DOC] docs.stripe.com/billing/invoices/subscription#sub-invoice-lifecycle: one hour for send_invoice."""
    subscription = sent(shop)
    drafted = latest(shop, subscription.id)
    assert (subscription.status, subscription.collection_method, subscription.days_until_due) == (
        "active",
        "send_invoice",
        14,
    )
    assert (drafted.status, drafted.due_date, drafted.collection_method) == (
        "draft",
        drafted.created + 14 * DAY,
        "send_invoice",
    )
    seen = shop.seen()
    shop.emulator.advance(seconds=HOUR)
    opened = latest(shop, subscription.id)
    assert (opened.status, opened.amount_due, opened.attempted, opened.next_payment_attempt) == (
        "open",
        3000,
        False,
        None,
    )
    assert opened.due_date == drafted.due_date
    assert shop.types_since(seen) == ["invoice.finalized", "payment_intent.created", "invoice.sent"]


def test_nothing_is_charged_even_with_a_card_on_file(shop: Shop) -> None:
    subscription = sent(shop, card="pm_card_visa")
    shop.emulator.advance(seconds=period(subscription)[1] - subscription.created + 2 * HOUR)
    invoices = shop.api.invoices.list({"subscription": subscription.id}).data
    assert [invoice.status for invoice in invoices] == ["open", "open"]
    assert shop.api.charges.list().data == []


def test_a_renewal_is_drafted_at_the_boundary_and_sent_an_hour_later(shop: Shop, emulator: Emulator) -> None:
    subscription = sent(shop)
    emulator.advance(seconds=HOUR)
    shop.api.invoices.pay(latest(shop, subscription.id).id, {"paid_out_of_band": True})
    boundary = period(subscription)[1]
    emulator.advance(seconds=boundary - int(emulator.now.timestamp()) + 1)
    assert (latest(shop, subscription.id).status, latest(shop, subscription.id).due_date) == (
        "draft",
        boundary + 14 * DAY,
    )
    seen = shop.seen()
    emulator.advance(seconds=HOUR)
    assert "invoice.sent" in shop.types_since(seen)
    assert status(shop, subscription.id) == "active"


def test_it_is_reminded_of_and_past_due_when_the_date_has_passed(shop: Shop, emulator: Emulator) -> None:
    """[DOC] changelog 2024-09-30: invoice.will_be_due and invoice.overdue, as automations send them."""
    subscription = sent(shop)
    due = subscription.created + 14 * DAY
    emulator.advance(seconds=HOUR)
    seen = shop.seen()
    emulator.advance(days=11)
    assert shop.types_since(seen) == ["invoice.will_be_due"]
    assert shop.last_event("invoice.will_be_due")["created"] == due - 3 * DAY
    assert status(shop, subscription.id) == "active"
    seen = shop.seen()
    emulator.advance(days=3)
    assert shop.types_since(seen) == ["invoice.overdue", "customer.subscription.updated", "customer.updated"]
    assert shop.last_event("invoice.overdue")["created"] == due
    previous = shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert previous == {"status": "active"}
    assert status(shop, subscription.id) == "past_due"
    assert shop.api.customers.retrieve(str(subscription.customer)).delinquent is True


@pytest.mark.parametrize("way", ["card", "elsewhere", "page"])
def test_paying_brings_it_back(shop: Shop, emulator: Emulator, way: str) -> None:
    """[EMULATOR.md, Renewal failure] recovery by any payment of the latest invoice."""
    subscription = sent(shop)
    emulator.advance(days=15)
    assert status(shop, subscription.id) == "past_due"
    invoice = latest(shop, subscription.id)
    seen = shop.seen()
    match way:
        case "card":
            method = shop.api.payment_methods.attach("pm_card_visa", {"customer": str(subscription.customer)})
            shop.api.invoices.pay(invoice.id, {"payment_method": method.id})
        case "elsewhere":
            shop.api.invoices.pay(invoice.id, {"paid_out_of_band": True})
        case _:
            assert invoice.hosted_invoice_url is not None
            card = {"cardNumber": VISA, "cardExpiry": "12/40", "cardCvc": "123", "billingName": "Jenny Rosen"}
            shop.pages.post(invoice.hosted_invoice_url.partition("?")[0], data=card)
    paid = latest(shop, subscription.id)
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert status(shop, subscription.id) == "active"
    assert shop.api.customers.retrieve(str(subscription.customer)).delinquent is False
    types = shop.types_since(seen)
    assert types.index("invoice.paid") < types.index("customer.subscription.updated") < types.index("customer.updated")
    assert ("charge.succeeded" in types) == (way != "elsewhere")


def test_what_was_paid_elsewhere_cannot_be_paid_here_too(shop: Shop, emulator: Emulator) -> None:
    """[DOC] docs.stripe.com/api/invoices/pay: paid_out_of_band results in no charge being made."""
    subscription = sent(shop)
    emulator.advance(seconds=HOUR)
    invoice = latest(shop, subscription.id)
    seen = shop.seen()
    shop.api.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert shop.types_since(seen) == ["payment_intent.canceled", "invoice.updated", "invoice.paid"]
    payment = shop.api.invoice_payments.list({"invoice": invoice.id}).data[0]
    intent = shop.api.payment_intents.retrieve(str(payment.payment.payment_intent))
    assert (payment.status, intent.status) == ("canceled", "canceled")


def test_a_failed_payment_before_the_due_date_changes_no_status(shop: Shop, emulator: Emulator) -> None:
    """[DOC] a sent invoice makes its subscription past due by its date alone, and is not tried again."""
    subscription = sent(shop, card="pm_card_chargeCustomerFail")
    emulator.advance(seconds=HOUR)
    shop.api.invoices.pay(latest(shop, subscription.id).id, {"paid_out_of_band": True})
    emulator.advance(to="renewal")
    with pytest.raises(stripe.CardError):
        shop.api.invoices.pay(latest(shop, subscription.id).id)
    invoice = latest(shop, subscription.id)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("open", 1, None)
    assert status(shop, subscription.id) == "active"
    assert shop.api.customers.retrieve(str(subscription.customer)).delinquent is False


def test_long_after_the_due_date_the_accounts_setting_decides(shop: Shop, emulator: Emulator) -> None:
    subscription = sent(shop)
    emulator.advance(days=14 + 29)
    assert status(shop, subscription.id) == "past_due"
    emulator.advance(days=1)
    ended = shop.api.subscriptions.retrieve(subscription.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"


def test_the_account_may_leave_it_unpaid_and_send_no_reminder() -> None:
    settings = Settings(dunning_end="unpaid", overdue_end_days=2, will_be_due_days=None)
    with Emulator(settings=settings) as emulator:
        shop = Shop(emulator)
        subscription = sent(shop)
        emulator.advance(days=15)
        assert status(shop, subscription.id) == "past_due"
        emulator.advance(days=2)
        assert status(shop, subscription.id) == "unpaid"
        assert emulator.events("invoice.will_be_due") == []
        shop.pages.close()


def test_one_that_is_paid_in_time_is_never_overdue(shop: Shop, emulator: Emulator) -> None:
    subscription = sent(shop)
    emulator.advance(seconds=HOUR)
    shop.api.invoices.pay(latest(shop, subscription.id).id, {"paid_out_of_band": True})
    emulator.advance(days=20)
    assert emulator.events("invoice.will_be_due") + emulator.events("invoice.overdue") == []
    assert status(shop, subscription.id) == "active"


def test_a_trial_of_invoices_that_are_sent_needs_no_card(shop: Shop, emulator: Emulator) -> None:
    """[DOC] missing_payment_method is about subscriptions that are charged."""
    behavior = {"end_behavior": {"missing_payment_method": "cancel"}}
    subscription = sent(shop, trial_period_days=5, trial_settings=behavior)
    assert subscription.status == "trialing"
    emulator.advance(to="trial_end")
    assert status(shop, subscription.id) == "active"
    assert (latest(shop, subscription.id).status, latest(shop, subscription.id).amount_due) == ("open", 3000)


def test_an_upgrade_that_is_invoiced_at_once_is_sent(shop: Shop, emulator: Emulator) -> None:
    subscription = sent(shop)
    item = subscription["items"].data[0].id
    seen = shop.seen()
    shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": item, "quantity": 2}], "proration_behavior": "always_invoice"}
    )
    assert shop.types_since(seen)[-2:] == ["invoice.sent", "customer.subscription.updated"]
    assert status(shop, subscription.id) == "active"


def test_a_subscription_changes_how_it_is_collected(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.subscriptions.update(subscription.id, {"collection_method": "send_invoice"})
    assert caught.value.param == "days_until_due"
    changed = shop.api.subscriptions.update(subscription.id, {"collection_method": "send_invoice", "days_until_due": 7})
    assert (changed.collection_method, changed.days_until_due) == ("send_invoice", 7)
    emulator.advance(to="renewal")
    assert latest(shop, subscription.id).status == "open"
    back = shop.api.subscriptions.update(subscription.id, {"collection_method": "charge_automatically"})
    assert (back.collection_method, back.days_until_due) == ("charge_automatically", None)


@pytest.mark.parametrize("terms", [{"collection_method": "send_invoice"}, {"days_until_due": 7}])
def test_days_until_due_go_with_sending(shop: Shop, terms: Any) -> None:
    """[DOC] docs.stripe.com/api/subscriptions/create: null when charged automatically."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(shop.customer().id, shop.price().id, **terms)
    assert caught.value.param == "days_until_due"


def one_off(shop: Shop, **terms: Any) -> stripe.Invoice:
    customer = shop.customer(card=None)
    shop.api.invoice_items.create({"customer": customer.id, "amount": 2000, "currency": "usd"})
    sent: Any = {
        "customer": customer.id,
        "collection_method": "send_invoice",
        "pending_invoice_items_behavior": "include",
        **terms,
    }
    return shop.api.invoices.create(sent)


def test_a_one_off_invoice_is_due_days_after_it_was_made(shop: Shop) -> None:
    """[DOC] docs.stripe.com/api/invoices/create: days from when the invoice is created."""
    invoice = one_off(shop, days_until_due=7)
    assert (invoice.status, invoice.due_date) == ("draft", invoice.created + 7 * DAY)
    assert shop.last_event("invoice.created")["data"]["object"]["due_date"] == invoice.due_date


def test_sending_by_hand_finalises_and_says_so(shop: Shop) -> None:
    """[DOC] docs.stripe.com/api/invoices/send: in test mode no e-mail, despite an invoice.sent event."""
    invoice = one_off(shop, days_until_due=7)
    seen = shop.seen()
    assert shop.api.invoices.send_invoice(invoice.id).status == "open"
    assert shop.types_since(seen) == ["invoice.finalized", "payment_intent.created", "invoice.sent"]
    shop.api.invoices.send_invoice(invoice.id)
    assert len(shop.emulator.events("invoice.sent")) == 2


def test_one_that_is_charged_or_void_cannot_be_sent(shop: Shop) -> None:
    charged = shop.api.invoices.create({"customer": shop.customer().id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.invoices.send_invoice(charged.id)
    assert "collection method is 'send_invoice'" in str(caught.value)
    invoice = one_off(shop, days_until_due=7)
    shop.api.invoices.finalize_invoice(invoice.id)
    shop.api.invoices.void_invoice(invoice.id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.invoices.send_invoice(invoice.id)


def test_a_one_off_invoice_advances_by_itself_when_told_to(shop: Shop, emulator: Emulator) -> None:
    invoice = one_off(shop, days_until_due=7, auto_advance=True)
    emulator.advance(seconds=HOUR)
    assert shop.api.invoices.retrieve(invoice.id).status == "open"
    assert len(emulator.events("invoice.sent")) == 1
    emulator.advance(days=7)
    assert [event["data"]["object"]["id"] for event in emulator.events("invoice.overdue")] == [invoice.id]
    assert shop.api.customers.retrieve(str(invoice.customer)).delinquent is True


def test_finalising_is_scheduled(shop: Shop, emulator: Emulator) -> None:
    """[DOC] docs.stripe.com/invoicing/scheduled-finalization."""
    moment = int(emulator.now.timestamp()) + 2 * DAY
    invoice = one_off(shop, days_until_due=7, auto_advance=True, automatically_finalizes_at=moment)
    emulator.advance(days=1)
    assert shop.api.invoices.retrieve(invoice.id).status == "draft"
    emulator.advance(days=1, seconds=1)
    opened = shop.api.invoices.retrieve(invoice.id)
    assert (opened.status, opened.status_transitions.finalized_at) == ("open", moment)


def test_a_due_date_is_changed_while_it_is_a_draft_only(shop: Shop, emulator: Emulator) -> None:
    """[DOC] docs.stripe.com/api/invoices/update: due_date can only be updated on draft invoices."""
    invoice = one_off(shop, days_until_due=7)
    date = invoice.created + 3 * DAY
    assert shop.api.invoices.update(invoice.id, {"due_date": date}).due_date == date
    shop.api.invoices.finalize_invoice(invoice.id)
    assert shop.api.invoices.retrieve(invoice.id).due_date == date
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.invoices.update(invoice.id, {"due_date": date + DAY})
    assert caught.value.param == "due_date"


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({}, "days_until_due"),
        ({"days_until_due": 7, "due_date": 4_000_000_000}, "due_date"),
        ({"due_date": 1_000_000_000}, "due_date"),
        ({"days_until_due": -1}, "days_until_due"),
        ({"collection_method": "charge_automatically", "days_until_due": 7}, "days_until_due"),
        ({"days_until_due": 7, "automatically_finalizes_at": 4_000_000_000}, "automatically_finalizes_at"),
    ],
)
def test_terms_that_contradict_each_other_are_refused(shop: Shop, terms: Any, param: str) -> None:
    """[DOC] docs.stripe.com/api/invoices/create."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        one_off(shop, **terms)
    assert caught.value.param == param


def test_a_due_date_passes_on_a_test_clock_too(shop: Shop) -> None:
    """[EMULATOR.md 20] every due moment is walked in order."""
    now = int(shop.emulator.now.timestamp())
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": now})
    customer = shop.customer(card=None, clock=clock.id)
    subscription = shop.subscribe(customer.id, shop.price().id, collection_method="send_invoice", days_until_due=5)
    shop.api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": now + 6 * DAY})
    shop.emulator.wait_for_deliveries()
    assert status(shop, subscription.id) == "past_due"
    assert [event["created"] for event in shop.emulator.events("invoice.overdue")] == [now + 5 * DAY]


def test_a_schedule_that_sends_invoices_has_the_accounts_terms(shop: Shop, emulator: Emulator) -> None:
    """[INF] a phase need not say when its invoices are due; the account has default payment terms."""
    phase: Any = {
        "items": [{"price": shop.price().id}],
        "collection_method": "send_invoice",
        "duration": {"interval": "month", "interval_count": 3},
    }
    customer = shop.customer(card=None).id
    schedule = shop.api.subscription_schedules.create({"customer": customer, "start_date": "now", "phases": [phase]})
    invoice = latest(shop, str(schedule.subscription))
    assert (invoice.status, invoice.due_date) == ("draft", invoice.created + 30 * DAY)
