"""A bank account typed into a page: checked, made a payment method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.hosted_views import BankInput
from stripe_emulator.resources.debit_methods import check_account, check_routing, make_debit
from stripe_emulator.resources.payment_methods import billing_details_of
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def make(engine: Engine, bank: BankInput, *, email: str | None, clock: str | None) -> Json:
    """The payment method of a typed account; raises an API error at the field of an account that can't be debited."""
    number = bank.number.replace(" ", "").upper()
    if bank.type == "us_bank_account":
        check_routing(bank.routing_number.strip(), param="routingNumber")
    check_account(number, bank.type, param="iban" if bank.type == "sepa_debit" else "accountNumber")
    details = billing_details_of({"email": email, "name": bank.name or None})
    return make_debit(engine, number, details, clock=clock)
