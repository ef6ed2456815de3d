"""Money, dates and addresses as people read them."""

from __future__ import annotations

import pytest

from stripe_emulator.pages import formats


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(900, "usd", "$9.00"), (2900, "eur", "€29.00"), (500, "jpy", "¥500"), (12345, "kwd", "KWD 12.345")],
)
def test_amounts_are_minor_units_of_their_currency(amount: int, currency: str, text: str) -> None:
    assert formats.money(amount, currency).replace("\xa0", " ") == text


def test_a_currency_can_be_named_by_its_code() -> None:
    assert formats.money_with_code(50000, "inr") == "INR 500.00"


@pytest.mark.parametrize(
    ("interval", "count", "text"),
    [("month", 1, "$9.00/month"), ("month", 3, "$9.00 every 3 months"), (None, 1, "$9.00")],
)
def test_prices_say_how_often(interval: str | None, count: int, text: str) -> None:
    assert formats.price(900, "usd", interval, count) == text


def test_days_are_utc() -> None:
    assert formats.day(1796515199) == "December 5, 2026"
    assert formats.day(1796515200) == "December 6, 2026"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.test/x", "http:", "nonsense", None])
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert formats.web_url(url) == ""


@pytest.mark.parametrize("url", ["https://shop.test/a?b=c", "http://127.0.0.1:8000/", "/i/token"])
def test_web_addresses_stay_as_they_are(url: str) -> None:
    assert formats.web_url(url) == url
