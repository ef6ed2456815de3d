"""The hosted invoice page and its PDF, over the running emulator."""

from __future__ import annotations

import re
from typing import Any

from emulator.tests.scripted_hosted import ScriptedHosted, a_client, an_invoice
from emulator.tests.shop import NEEDS_3DS, Shop

CARD = {"cardNumber": "5555 5555 5555 4444", "cardExpiry": "12 / 40", "cardCvc": "123"}


def an_unpaid_invoice(shop: Shop) -> Any:
    customer = shop.customer("pm_card_chargeCustomerFail")
    shop.subscribe(customer.id, shop.price(2900).id, trial_period_days=1)
    shop.emulator.advance(to="renewal")
    [invoice] = shop.api.invoices.list({"customer": customer.id, "status": "open"}).data
    return invoice


def message(html: str) -> str:
    found = re.search(r'id="(?:error|notice)"[^>]*>([^<]*)<', html)
    return found[1] if found else ""


def status(html: str) -> str:
    found = re.search(r'id="status"[^>]*>([^<]*)<', html)
    assert found is not None
    return found[1]


def test_an_open_invoice_is_paid_with_another_card(shop: Shop) -> None:
    invoice = an_unpaid_invoice(shop)
    page = invoice.hosted_invoice_url
    html = shop.pages.get(page).text
    assert status(html) == "Open"
    assert "Pay $29.00 with Visa •••• 0341" in html
    declined = shop.pages.get(shop.pages.post(page, data={"use": "saved"}).headers["location"]).text
    assert message(declined) == "Your card was declined."
    assert '<details class="other-card" open>' in declined
    paid = shop.pages.get(shop.pages.post(page, data=CARD).headers["location"]).text
    assert (message(paid), status(paid)) == ("Payment received. Thank you.", "Paid")
    assert 'id="pay-invoice"' not in paid
    assert shop.api.invoices.retrieve(invoice.id).status == "paid"
    assert shop.pages.post(page, data=CARD).headers["location"] in page


def test_3d_secure_leads_back_to_the_invoice(shop: Shop) -> None:
    page = an_unpaid_invoice(shop).hosted_invoice_url
    challenge = shop.pages.post(page, data=CARD | {"cardNumber": NEEDS_3DS}).headers["location"]
    failed = shop.pages.post(challenge, data={"answer": "fail"}).headers["location"]
    assert failed.partition("?")[0] in page
    challenge = shop.pages.post(page, data=CARD | {"cardNumber": NEEDS_3DS}).headers["location"]
    paid = shop.pages.get(shop.pages.post(challenge, data={"answer": "complete"}).headers["location"]).text
    assert (message(paid), status(paid)) == ("Payment received. Thank you.", "Paid")


def test_a_slip_of_the_pen_is_named(shop: Shop) -> None:
    page = an_unpaid_invoice(shop).hosted_invoice_url
    answer = shop.pages.post(page, data=CARD | {"cardCvc": "1"})
    assert "CVC: " in message(shop.pages.get(answer.headers["location"]).text)


def test_the_pdf_is_a_pdf(shop: Shop) -> None:
    invoice = an_unpaid_invoice(shop)
    answer = shop.pages.get(invoice.invoice_pdf)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == f'inline; filename="Invoice-{invoice.number}.pdf"'
    assert answer.content.startswith(b"%PDF-")
    assert invoice.number.encode() in answer.content


def test_an_unknown_invoice_is_not_found(shop: Shop) -> None:
    for path in ("/i/nothing", "/i/nothing/pdf"):
        assert shop.pages.get(path).status_code == 404
    assert shop.pages.post("/i/nothing").status_code == 404


def test_without_a_saved_card_there_is_one_form() -> None:
    pages = a_client(ScriptedHosted(invoice_view=an_invoice(card=None, number=None, pdf_url=None)))
    html = pages.get("/i/token").text
    assert html.count("<form") == 1
    assert 'id="pay-invoice"' in html
    assert '<details class="other-card"' not in html


def test_the_name_of_the_file_is_harmless() -> None:
    pages = a_client(ScriptedHosted(invoice_view=an_invoice(number='A"\r\nX: ü/../1')))
    answer = pages.get("/i/token/pdf")
    assert re.fullmatch(r'inline; filename="Invoice-[\w-]+\.pdf"', answer.headers["content-disposition"], re.ASCII)
