"""
A customer's balance: a ledger of credits (negative) and debits that the next finalised invoice takes up.

See https://docs.stripe.com/billing/customer/balance
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

KIND = "customer_balance_transaction"


def book(
    engine: Engine,
    customer: Json,
    amount: int,
    *,
    type: str,
    currency: str,
    invoice: str | None = None,
    description: str | None = None,
    metadata: Json | None = None,
) -> Json:
    """Enter a credit (negative) or a debit in the ledger; the balance is their sum. An `initial` entry is no news."""
    if customer["currency"] not in (None, currency):
        raise invalid(
            f"This customer's balance is in {customer['currency']}; stripe_emulator keeps one currency a customer.",
            param="currency",
        )
    with engine.changing(customer, None if type == "initial" else "customer.updated"):
        customer["balance"] += amount
        customer["currency"] = currency
    return engine.store.add(
        {
            **nulls(KIND),
            "id": new_id("cbtxn"),
            "object": KIND,
            "amount": amount,
            "created": engine.now(customer["test_clock"]),
            "currency": currency,
            "customer": customer["id"],
            "description": description,
            "ending_balance": customer["balance"],
            "invoice": invoice,
            "livemode": False,
            "metadata": metadata or {},
            "type": type,
        }
    )
