"""
Payments by debit of a bank account, whose bank answers days later.

[DOC] docs.stripe.com/payments/ach-direct-debit, /payments/sepa-debit and /testing#non-card-payments for the accounts.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from stripe_emulator import Emulator
from stripe_emulator.bank_accounts import ACCOUNTS, NAMES


def test_an_account_is_attached_listed_and_detached(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/object: the fields of us_bank_account."""
    customer = shop.customer(card=None)
    method = shop.api.payment_methods.attach("pm_usBankAccount_success", {"customer": customer.id})
    assert method.type == "us_bank_account"
    assert method.us_bank_account is not None
    assert (method.us_bank_account.last4, method.us_bank_account.routing_number) == ("6789", "110000000")
    assert (method.us_bank_account.bank_name, method.us_bank_account.account_type) == ("STRIPE TEST BANK", "checking")
    assert [one.id for one in shop.api.payment_methods.list({"customer": customer.id, "type": "us_bank_account"}).data]
    assert shop.api.payment_methods.list({"customer": customer.id, "type": "card"}).data == []
    changed = shop.api.payment_methods.update(method.id, {"us_bank_account": {"account_holder_type": "company"}})
    assert changed.us_bank_account is not None
    assert changed.us_bank_account.account_holder_type == "company"
    assert shop.api.payment_methods.detach(method.id).customer is None


def test_an_account_is_made_of_its_numbers(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/create: the holder's name is needed, an e-mail too for SEPA."""
    us: Any = {"account_number": "000123456789", "routing_number": "110000000", "account_holder_type": "individual"}
    named: Any = {"name": "Jenny Rosen", "email": "jenny@example.com"}
    made = shop.api.payment_methods.create({"type": "us_bank_account", "us_bank_account": us, "billing_details": named})
    assert made.us_bank_account is not None
    sepa = shop.api.payment_methods.create(
        {"type": "sepa_debit", "sepa_debit": {"iban": "DE89 3704 0044 0532 0130 00"}, "billing_details": named}
    )
    assert sepa.sepa_debit is not None
    assert (sepa.sepa_debit.country, sepa.sepa_debit.last4) == ("DE", "3000")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "us_bank_account", "us_bank_account": us})
    assert caught.value.param == "billing_details[name]"


@pytest.mark.parametrize(
    ("iban", "code"),
    [
        ("AT271904300000055555", "sepa_unsupported_account"),
        ("AT511904300000066666", "bank_account_unusable"),
        ("DE02120300000000202051", "account_number_invalid"),
    ],
)
def test_an_account_that_cannot_be_debited_is_refused_at_once(shop: Shop, iban: str, code: str) -> None:
    """docs.stripe.com/testing: making the payment method fails; a real account has no place in test mode."""
    named: Any = {"name": "Jenny Rosen", "email": "jenny@example.com"}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": named})
    assert caught.value.code == code


@pytest.mark.parametrize("name", list(NAMES))
def test_each_named_account_ends_as_it_should(shop: Shop, emulator: Emulator, name: str) -> None:
    """docs.stripe.com/testing#non-card-payments: processing, then what the account's name says."""
    account = ACCOUNTS[NAMES[name]]
    currency = "usd" if account.type == "us_bank_account" else "eur"
    sent: Any = {"amount": 2000, "currency": currency, "payment_method": name, "confirm": True}
    if account.at_once:
        with pytest.raises(stripe.CardError):
            shop.api.payment_intents.create(sent)
        return
    intent = shop.api.payment_intents.create(sent)
    assert intent.status == "processing"
    emulator.advance(days=4)
    early = shop.api.payment_intents.retrieve(intent.id).status
    emulator.advance(seconds=180)
    done = shop.api.payment_intents.retrieve(intent.id)
    assert early == ("processing" if account.delayed else done.status)
    if account.never:
        assert done.status == "processing"
    elif account.failure is not None:
        assert done.status == "requires_payment_method"
        assert done.last_payment_error is not None
        assert done.last_payment_error.code == account.failure.code
    else:
        assert (done.status, done.amount_received) == ("succeeded", 2000)
        assert len(shop.api.disputes.list().data) == int(account.disputed)


def test_a_pending_charge_is_captured_but_not_paid(shop: Shop, emulator: Emulator) -> None:
    """[REC] of a us_bank_account payment being processed: charge `py_…`, captured, not paid, no outcome."""
    intent = shop.api.payment_intents.create(
        {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_success", "confirm": True}
    )
    charge = shop.api.charges.retrieve(str(intent.latest_charge))
    assert charge.id.startswith("py_")
    assert (charge.status, charge.captured, charge.amount_captured, charge.paid) == ("pending", True, 2000, False)
    assert (charge.outcome, intent.processing) == (None, None)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.refunds.create({"charge": charge.id})
    assert shop.types_since() == ["payment_intent.created", "charge.pending", "payment_intent.processing"]
    emulator.advance(days=4)
    assert shop.types_since()[-2:] == ["charge.succeeded", "payment_intent.succeeded"]
    assert shop.api.refunds.create({"charge": charge.id}).status == "succeeded"


def test_a_debit_can_be_given_up_while_it_is_processed(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/testing: 000000000009 is there to test canceling."""
    intent = shop.api.payment_intents.create(
        {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_processing", "confirm": True}
    )
    assert shop.api.payment_intents.cancel(intent.id).status == "canceled"
    emulator.advance(days=5)
    assert shop.api.charges.retrieve(str(intent.latest_charge)).status == "failed"


def test_a_dispute_of_a_debit_is_final(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/payments/ach-direct-debit#disputed-payments: there is no appeal."""
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_dispute", "confirm": True}
    shop.api.payment_intents.create(sent)
    emulator.advance(days=4)
    [dispute] = shop.api.disputes.list().data
    assert (dispute.status, dispute.reason) == ("lost", "debit_not_authorized")


def test_an_account_takes_one_currency(shop: Shop) -> None:
    """docs.stripe.com/payments/ach-direct-debit: usd alone."""
    sent: Any = {"amount": 2000, "currency": "eur", "payment_method": "pm_usBankAccount_success", "confirm": True}
    with pytest.raises(stripe.CardError) as caught:
        shop.api.payment_intents.create(sent)
    assert caught.value.code == "payment_method_currency_mismatch"


def test_a_setup_intent_saves_an_account(shop: Shop) -> None:
    """docs.stripe.com/payments/ach-direct-debit/set-up-payment"""
    customer = shop.customer(card=None)
    sent: Any = {"customer": customer.id, "payment_method": "pm_usBankAccount_success", "confirm": True}
    assert shop.api.setup_intents.create(sent).status == "succeeded"
    assert shop.api.customers.payment_methods.list(customer.id).data[0].type == "us_bank_account"
