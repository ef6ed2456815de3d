"""
Money, dates and the words around them, for people to read.

The pages speak American English whatever the session's locale is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from babel.dates import format_date
from babel.numbers import format_currency

LOCALE = "en_US"

# https://docs.stripe.com/currencies#zero-decimal: these, and not what ISO 4217 says, decide what an amount counts.
_NO_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])

_BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "sepa_debit": "SEPA Direct Debit",
    "STRIPE TEST BANK": "Stripe Test Bank",
    "visa": "Visa",
}


def exponent(currency: str) -> int:
    """How many decimals an amount of this currency has at Stripe."""
    code = currency.lower()
    return 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2


def money(amount: int, currency: str) -> str:
    """`$9.00` from 900 minor units of usd."""
    code = currency.upper()
    text = format_currency(_major(amount, currency), code, locale=LOCALE)
    # A code in place of a sign keeps its distance: https://unicode.org/reports/tr35/tr35-numbers.html#Currencies
    return text.replace(code, f"{code}\N{NO-BREAK SPACE}")


def money_with_code(amount: int, currency: str) -> str:
    """`USD 9.00`, for places that lack the currency's sign."""
    return format_currency(_major(amount, currency), currency.upper(), format="¤¤ #,##0.00", locale=LOCALE)


def day(timestamp: int) -> str:
    """`December 6, 2026`, in UTC."""
    return format_date(datetime.fromtimestamp(timestamp, UTC).date(), format="long", locale=LOCALE)


def short_day(timestamp: int) -> str:
    """`Dec 6, 2026`, in UTC."""
    return format_date(datetime.fromtimestamp(timestamp, UTC).date(), format="medium", locale=LOCALE)


def per(interval: str, count: int = 1) -> str:
    """`per month` or `every 3 months`."""
    return f"per {interval}" if count == 1 else f"every {count} {interval}s"


def price(amount: int, currency: str, interval: str | None, count: int = 1) -> str:
    """`$9.00/month`, `$9.00 every 3 months`, or `$9.00` for a one-time price."""
    text = money(amount, currency)
    if interval is None:
        return text
    return f"{text}/{interval}" if count == 1 else f"{text} {per(interval, count)}"


def days(count: int) -> str:
    """`1 day` or `14 days`."""
    return "1 day" if count == 1 else f"{count} days"


def card(details: Mapping[str, Any]) -> str:
    """`Visa •••• 4242`; a bank account by its bank's name."""
    brand = str(details["brand"])
    return f"{_BRANDS.get(brand, brand.capitalize())} •••• {details['last4']}"


def expiry(details: Mapping[str, Any]) -> str:
    """`12/2034`; nothing for a bank account."""
    if "exp_month" not in details:
        return ""
    return f"{int(details['exp_month']):02d}/{details['exp_year']}"


def web_url(url: str | None) -> str:
    """The address if a link to it is harmless (http, https or our own path); nothing for `javascript:` and its like."""
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.netloc:
        return url
    return url if not parts.scheme and not parts.netloc and url.startswith("/") else ""


def _major(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-exponent(currency))
