"""Money in words, as Stripe writes it on invoices."""

from __future__ import annotations

from babel.numbers import format_currency, get_currency_precision

from stripe_emulator.state import Json


def text(amount: int, currency: str) -> str:
    """`$29.00`, `¥500`: an amount of minor units in the currency's own way."""
    code = currency.upper()
    digits = get_currency_precision(code)
    return str(format_currency(amount / 10**digits, code, locale="en_US"))


def price_text(price: Json) -> str:
    """`$29.00 / month`, `$10.00 / every 3 months`."""
    amount = text(int(price["unit_amount"] or 0), price["currency"])
    recurring = price["recurring"]
    if recurring is None:
        return amount
    count, interval = recurring["interval_count"], recurring["interval"]
    return f"{amount} / {interval}" if count == 1 else f"{amount} every {count} {interval}s"
