"""A user at Stripe's hosted pages, without a browser: what a form there sends."""

from __future__ import annotations

import httpx

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
FAILS_LATER_CARD = "4000000000000341"
OTHER_CARD = "5555555555554444"

GOOD_ACCOUNT = "000123456789"
FAILING_ACCOUNT = "000222222227"


def pay_by_bank(url: str, *, account: str = GOOD_ACCOUNT) -> None:
    """Fill in the Checkout page with a bank account, whose bank answers days later."""
    form = {
        "email": "payer@example.com",
        "paymentMethodType": "us_bank_account",
        "accountHolder": "A Payer",
        "routingNumber": "110000000",
        "accountNumber": account,
    }
    answer = httpx.post(url, data=form, timeout=30)
    assert answer.status_code == 303, answer.text
    assert "/c/pay/" not in answer.headers["location"], answer.headers["location"]


def pay(url: str, *, number: str | None = GOOD_CARD) -> str:
    """
    Fill in the Checkout page and submit it; the address it leads to, unvisited.

    None as the number submits a page without card fields. Raises AssertionError when the page stays where it is.
    """
    form = {"email": "payer@example.com"}
    if number is not None:
        form |= {"cardNumber": number, "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "A Payer"}
    answer = httpx.post(url, data=form, timeout=30)
    assert answer.status_code == 303, answer.text
    where = answer.headers["location"]
    assert "/c/pay/" not in where, f"the page did not accept the payment: {where}"
    return where


def change_card(url: str, *, number: str = OTHER_CARD) -> None:
    """Follow a link to the portal, and make another card the default there."""
    page = httpx.get(url, follow_redirects=True)
    form = {"cardNumber": number, "cardExpiry": "12 / 40", "cardCvc": "123", "billingName": "A Payer"}
    path = str(page.url).split("?")[0].removesuffix("/payment-method").removesuffix("/overview")
    assert httpx.post(f"{path}/payment-method", data=form, timeout=30).status_code < 400
