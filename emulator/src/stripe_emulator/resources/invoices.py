"""Invoices through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, discounts, invoicing, pending_updates, sending, standing, taxes
from stripe_emulator.billing.update_payments import refusal
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.paging import range_of
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers, invoice_terms, payment_methods
from stripe_emulator.resources.invoice_previews import create_preview
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A draft for a customer, with the pending items when `pending_invoice_items_behavior=include`."""
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = customers.existing(engine, params["customer"], param="customer")
    invoice = invoicing.draft(
        engine,
        customer,
        [],
        reason="manual",
        currency=params.get("currency") or customer["currency"] or engine.settings.default_currency,
        auto_advance=params.get("auto_advance", False),
        take_pending=params.get("pending_invoice_items_behavior", "exclude") == "include",
        metadata=params.get("metadata") or {},
        emit=False,
    )
    invoice["description"] = params.get("description") or None
    invoice["default_tax_rates"] = taxes.read(engine, params, "default_tax_rates")
    _discount(engine, invoice, params)
    invoicing.add_up(engine, invoice, customer["balance"])
    invoice_terms.apply(engine, invoice, params)
    engine.emit("invoice.created", invoice)
    return invoice


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One invoice."""
    return engine.find("invoice", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Metadata, description, how it is collected and the payment method."""
    invoice = engine.find("invoice", ids[0])
    with engine.changing(invoice, "invoice.updated"):
        invoice["metadata"] = merged(invoice["metadata"], params)
        if "description" in params:
            invoice["description"] = params["description"] or None
        if "default_tax_rates" in params or "discounts" in params:
            _only_draft(invoice)
            if "default_tax_rates" in params:
                invoice["default_tax_rates"] = taxes.read(engine, params, "default_tax_rates")
            _discount(engine, invoice, params)
            invoicing.add_up(engine, invoice, engine.find("customer", invoice["customer"])["balance"])
        invoice_terms.apply(engine, invoice, params)
        if "default_payment_method" in params:
            wanted = params["default_payment_method"]
            invoice["default_payment_method"] = (
                payment_methods.usable(engine, wanted, invoice["customer"], param="default_payment_method")["id"]
                if wanted
                else None
            )
    return invoice


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A draft that belongs to no subscription."""
    invoice = engine.find("invoice", ids[0])
    if invoice["status"] != "draft" or invoicing.subscription_of(invoice):
        raise invalid("You can only delete draft invoices that are not part of a subscription.")
    engine.emit("invoice.deleted", invoice)
    engine.store.remove(invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Invoices by customer, subscription, status, collection method and due date."""
    customer, subscription = params.get("customer"), params.get("subscription")
    status, method = params.get("status"), params.get("collection_method")
    is_due = range_of(params, "due_date")
    for name in ("customer", "subscription"):
        wanted = params.get(name)
        if wanted is not None and engine.store.get(wanted, name) is None:
            raise invalid(f"No such {name}: '{wanted}'", param=name, code="resource_missing")
    store = engine.store
    found = list(store.scan("invoice") if customer is None else store.of_customer("invoice", customer))
    if customer is None and subscription is None:
        found = [each for each in found if each["test_clock"] is None]
    if subscription is not None:
        found = [each for each in found if invoicing.subscription_of(each) == subscription]
    if status is not None:
        found = [each for each in found if each["status"] == status]
    if method is not None:
        found = [each for each in found if each["collection_method"] == method]
    if "due_date" in params:
        found = [each for each in found if is_due(each["due_date"])]
    return found


def finalize(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Open a draft; charged or sent automatically only if it advances by itself."""
    invoice = engine.find("invoice", ids[0])
    if "auto_advance" in params:
        invoice["auto_advance"] = params["auto_advance"]
    collection.open_invoice(engine, invoice)
    if invoice["status"] == "paid":
        standing.after_paid(engine, invoice)
    elif invoice["auto_advance"] and sending.is_sent(invoice):
        sending.send(engine, invoice)
    elif invoice["auto_advance"]:
        invoice["next_payment_attempt"] = engine.now(invoice["test_clock"]) + engine.settings.finalize_after
    return invoice


def pay(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Pay an invoice now, outside of Stripe, or with a payment method, or the default one.

    A declined card is a 402, and the failed attempt stays on the invoice.
    """
    invoice = engine.find("invoice", ids[0])
    if invoice["status"] == "draft":
        collection.open_invoice(engine, invoice)
    if invoice["status"] == "paid":
        if params.get("paid_out_of_band") is None:
            raise invalid("Invoice is already paid", code="invoice_already_paid")
        return invoice
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"Invoices with status {invoice['status']} can't be paid.", code="invoice_not_open")
    _refuse_while_a_bank_is_at_it(invoice)
    params.ignore("off_session", "forgive", "mandate")
    if params.get("paid_out_of_band", False):
        sending.settle_elsewhere(engine, invoice)
        return invoice
    wanted = params.get("payment_method")
    if wanted:
        method = payment_methods.usable(engine, wanted, invoice["customer"], param="payment_method")
    else:
        found = collection.default_method(engine, invoice)
        if found is None:
            raise invalid(
                "There is no `default_payment_method` set on this Customer or Invoice. Please provide one.",
                code="missing",
            )
        method = found
    attempt = collection.charge(engine, invoice, method, off_session=params.get("off_session", True))
    if not attempt.went_through:
        error: ApiError = refusal(attempt)
        error.keep = True
        raise error
    return invoice


def void(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Void an open invoice; one whose payment a bank has not answered yet cannot be."""
    invoice = engine.find("invoice", ids[0])
    _refuse_while_a_bank_is_at_it(invoice)
    invoicing.void(engine, invoice)
    pending_updates.discard_voided(engine, invoice)
    return invoice


def _refuse_while_a_bank_is_at_it(invoice: Json) -> None:
    if invoice.get("_processing"):
        raise invalid("This invoice has a payment that its bank has not answered yet.", code="invoice_not_editable")


def mark_uncollectible(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Give an open invoice up; its subscription is as good as paid."""
    invoice = engine.find("invoice", ids[0])
    invoicing.mark_uncollectible(engine, invoice)
    standing.after_paid(engine, invoice)
    return invoice


def send(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Send it by e-mail, which here is only said; a draft is finalised by it."""
    invoice = engine.find("invoice", ids[0])
    if not sending.is_sent(invoice):
        raise invalid("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        collection.open_invoice(engine, invoice)
        if invoice["status"] == "paid":
            standing.after_paid(engine, invoice)
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise invalid(f"Invoices with status {invoice['status']} can't be sent.", code="invoice_not_open")
    engine.emit("invoice.sent", invoice)
    return invoice


def _discount(engine: Engine, invoice: Json, params: Params) -> None:
    if "discounts" not in params:
        return
    customer = engine.find("customer", invoice["customer"])
    wanted = discounts.wishes(engine, params.list_of("discounts"), customer=customer, currency=invoice["currency"])
    invoice["discounts"] = [discounts.redeem(engine, wish, customer=customer, invoice=invoice["id"]) for wish in wanted]


def _only_draft(invoice: Json) -> None:
    if invoice["status"] != "draft":
        raise invalid("This invoice is finalized; its amounts can't be changed any more.")


ROUTES = [
    Route("POST", "/v1/invoices", create, "InvoiceCreateParams"),
    Route("GET", "/v1/invoices", listing, "InvoiceListParams"),
    Route("POST", "/v1/invoices/create_preview", create_preview, "InvoiceCreatePreviewParams"),
    Route("GET", "/v1/invoices/{id}", retrieve, "InvoiceRetrieveParams"),
    Route("POST", "/v1/invoices/{id}", update, "InvoiceUpdateParams"),
    Route("DELETE", "/v1/invoices/{id}", delete, "InvoiceDeleteParams", shown=True),
    Route("POST", "/v1/invoices/{id}/finalize", finalize, "InvoiceFinalizeInvoiceParams"),
    Route("POST", "/v1/invoices/{id}/pay", pay, "InvoicePayParams"),
    Route("POST", "/v1/invoices/{id}/void", void, "InvoiceVoidInvoiceParams"),
    Route(
        "POST",
        "/v1/invoices/{id}/mark_uncollectible",
        mark_uncollectible,
        "InvoiceMarkUncollectibleParams",
    ),
    Route("POST", "/v1/invoices/{id}/send", send, "InvoiceSendInvoiceParams"),
]
