"""The pages in a real Chromium, which enforces what a test client does not: the policy in the headers."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from emulator.tests.shop import DECLINED, NEEDS_3DS, VISA, Shop


@pytest.fixture
def merchant() -> Iterator[str]:
    """A merchant's site at another origin; `/done` leads on to `/thanks`, as an app's return page does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/done"):
                self.send_response(303)
                self.send_header("Location", "/thanks")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = b"<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Shop</h1>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fill_card(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 40")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Ada Lovelace")


def test_checkout_from_a_decline_over_3d_secure_to_the_shop(shop: Shop, merchant: str, page: Page) -> None:
    session = shop.session(shop.price(2900).id, success_url=f"{merchant}/done?s={{CHECKOUT_SESSION_ID}}")
    assert session.url is not None
    page.goto(session.url)
    page.get_by_label("Email").fill("ada@example.com")
    fill_card(page, DECLINED)
    page.click("#submit")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    expect(page.get_by_label("Email")).to_have_value("ada@example.com")
    expect(page.get_by_label("Card number")).to_have_value("")
    fill_card(page, NEEDS_3DS)
    page.click("#submit")
    page.click("#authorize")
    expect(page).to_have_url(f"{merchant}/thanks")


def test_checkout_with_a_bank_account(shop: Shop, merchant: str, page: Page) -> None:
    session = shop.session(
        shop.price(2900).id,
        success_url=f"{merchant}/done?s={{CHECKOUT_SESSION_ID}}",
        allowed_payment_method_types=["card", "us_bank_account"],
    )
    assert session.url is not None
    page.goto(session.url)
    page.get_by_label("Email").fill("ada@example.com")
    expect(page.get_by_label("Account number")).to_be_hidden()
    page.get_by_label("Bank account", exact=True).check()
    expect(page.get_by_label("Card number")).to_be_hidden()
    page.get_by_label("Routing number").fill("110000000")
    page.get_by_label("Account number").fill("123")
    page.get_by_label("Account holder").fill("Ada Lovelace")
    page.click("#submit")
    expect(page.get_by_role("alert")).to_contain_text("test bank account number")
    expect(page.get_by_label("Account holder")).to_have_value("Ada Lovelace")
    page.get_by_label("Routing number").fill("110000000")
    page.get_by_label("Account number").fill("000123456789")
    page.click("#submit")
    expect(page).to_have_url(f"{merchant}/thanks")
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "unpaid"


def test_the_portal_from_the_card_to_the_undone_cancellation(shop: Shop, page: Page) -> None:
    customer = shop.customer()
    shop.subscribe(customer.id, shop.price(2900, name="Pro").id)
    reasons = {"enabled": True, "options": ["too_expensive", "unused", "other"]}
    cancellation = {"enabled": True, "mode": "at_period_end", "cancellation_reason": reasons}
    page.goto(shop.portal(customer.id, subscription_cancel=cancellation).url)
    page.click("#update-card")
    fill_card(page, "5555 5555 5555 4444")
    page.click("#save-card")
    expect(page.locator("#card")).to_have_text("Mastercard •••• 4444")
    page.click("#cancel-plan")
    page.get_by_label("Why are you canceling?").select_option("unused")
    page.click("#confirm-cancel")
    expect(page.get_by_role("status")).to_contain_text("Pro will be canceled on")
    page.click("#resume-plan")
    expect(page.get_by_role("status")).to_have_text("Pro will not be canceled.")


def test_checkout_works_by_keyboard_alone(shop: Shop, merchant: str, page: Page) -> None:
    session = shop.session(shop.price().id, success_url=f"{merchant}/thanks")
    assert session.url is not None
    page.goto(session.url)
    page.get_by_label("Email").focus()
    for text in ("ada@example.com", VISA, "1240", "123", "Ada Lovelace"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    expect(page.locator("#submit")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{merchant}/thanks")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_screen_even_without_javascript(shop: Shop, browser: Browser, width: int) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    price = shop.price(2900, name="A plan whose name has been made rather longer than usual")
    shop.subscribe(customer.id, price.id, trial_period_days=1)
    shop.emulator.advance(to="renewal")
    [invoice] = shop.api.invoices.list({"customer": customer.id, "status": "open"}).data
    portal = shop.portal(customer.id).url
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False)
    page = context.new_page()
    addresses = [
        shop.emulator.url,
        str(shop.session(price.id, customer=customer.id).url),
        portal,
        f"{portal}/payment-method",
        str(invoice.hosted_invoice_url),
    ]
    for address in addresses:
        page.goto(address)
        box = page.locator("html").bounding_box()
        assert box is not None
        widest = max(found["width"] for found in _boxes(page))
        assert widest <= width
        assert box["width"] <= width
    context.close()


def _boxes(page: Page) -> list[Any]:
    blocks = page.locator("body, main, header, form, input, table, .lines, .button").all()
    return [box for block in blocks if (box := block.bounding_box()) is not None]
