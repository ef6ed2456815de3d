"""Money in words, as Stripe writes it on invoices."""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_currency

from stripe_emulator.state import Json

# https://docs.stripe.com/currencies: what Stripe says, not ISO 4217, decides what an amount counts.
NO_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def text(amount: int, currency: str) -> str:
    """`$29.00`, `¥500`: an amount of minor units in the currency's own way."""
    return str(format_currency(Decimal(amount).scaleb(-digits(currency)), currency.upper(), locale="en_US"))


def digits(currency: str) -> int:
    """How many decimals a currency's amounts have."""
    return 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2


def price_text(price: Json) -> str:
    """`$29.00 / month`, `$10.00 / every 3 months`."""
    if price["billing_scheme"] == "tiered":
        amount = "Tiered pricing"
    elif price["unit_amount"] is None:
        exact = Decimal(price["unit_amount_decimal"]).scaleb(-digits(price["currency"]))
        amount = f"{price['currency'].upper()} {exact.normalize():f}"
    else:
        amount = text(price["unit_amount"], price["currency"])
    recurring = price["recurring"]
    if recurring is None:
        return amount
    count, interval = recurring["interval_count"], recurring["interval"]
    return f"{amount} / {interval}" if count == 1 else f"{amount} every {count} {interval}s"
