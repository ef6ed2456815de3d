"""What one may pay with on a Checkout page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.bank_accounts import CURRENCIES
from stripe_emulator.protocol.errors import invalid

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def offered(
    engine: Engine, currency: str | None, *, allowed: list[str] | None, excluded: list[str] | None
) -> list[str]:
    """
    The methods a session takes: those allowed that the emulator knows and that take the currency, less those excluded.

    Without a list they are the account's, which has the card alone unless its settings say otherwise. See
    https://docs.stripe.com/payments/payment-methods/dynamic-payment-methods
    """
    wanted = engine.settings.payment_method_types if allowed is None else allowed
    known = [type for type in wanted if type == "card" or (type in CURRENCIES and CURRENCIES[type] == currency)]
    methods = [type for type in known if type not in (excluded or ())]
    if not methods:
        raise invalid(
            "No valid payment method types for this Checkout Session. stripe_emulator knows card, us_bank_account (in "
            "usd) and sepa_debit (in eur).",
            param="allowed_payment_method_types" if allowed else "excluded_payment_method_types",
        )
    return methods
