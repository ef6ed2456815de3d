"""How an invoice is shown: its first lines, its pages, its payments, and what confirms them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import taxes
from stripe_emulator.billing.invoicing import intent_of
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list, includes, public, renders, show
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

LINES_SHOWN = 10


@renders("invoice")
def show_invoice(engine: Engine, invoice: Json) -> Json:
    """With its first lines and, once finalised, the addresses of its pages."""
    shown = public(invoice)
    shown["default_tax_rates"] = taxes.shown(engine, invoice["default_tax_rates"])
    url = f"/v1/invoices/{invoice['id']}/lines"
    shown["lines"] = as_list(shown["lines"][:LINES_SHOWN], url, has_more=len(invoice["lines"]) > LINES_SHOWN)
    if invoice["status"] != "draft":
        page = f"{engine.base_url}/i/{invoice['_token']}"
        shown["hosted_invoice_url"], shown["invoice_pdf"] = f"{page}?s=ap", f"{page}/pdf?s=ap"
    return shown


@includes("invoice", "payments")
def show_payments(engine: Engine, invoice: Json) -> Json:
    """The payments made on it."""
    found = [show(engine, p) for p in engine.store.scan("invoice_payment") if p["invoice"] == invoice["id"]]
    return as_list(found, f"/v1/invoice_payments?invoice={invoice['id']}")


@includes("invoice", "confirmation_secret")
def show_confirmation_secret(engine: Engine, invoice: Json) -> Json | None:
    """What the Payment Element confirms the payment with."""
    intent = intent_of(engine, invoice)
    if intent is None or invoice["status"] != "open":
        return None
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}


def list_lines(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Every line of an invoice."""
    return list(engine.find("invoice", ids[0])["lines"])


def list_payments(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Invoice payments by invoice, status and payment."""
    invoice, status = params.get("invoice"), params.get("status")
    payment = params.at("payment")
    payment.ignore("type")
    intent = payment.get("payment_intent")
    return [
        found
        for found in engine.store.scan("invoice_payment")
        if invoice in (None, found["invoice"])
        and status in (None, found["status"])
        and intent in (None, found["payment"]["payment_intent"])
    ]


def retrieve_payment(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One invoice payment."""
    return engine.find("invoice_payment", ids[0])


ROUTES = [
    Route("GET", "/v1/invoices/{id}/lines", list_lines, "InvoiceLineItemListParams"),
    Route("GET", "/v1/invoice_payments", list_payments, "InvoicePaymentListParams"),
    Route("GET", "/v1/invoice_payments/{id}", retrieve_payment, "InvoicePaymentRetrieveParams"),
]
