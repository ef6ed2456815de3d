"""
What is given up at Stripe when somebody leaves: what they have not paid, what they may still buy, what still runs.

Each looks at how things stand, so that it may be repeated after any failure. Nothing here touches the database.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from paidup.core import parse
from paidup.errors import StripeRejected
from paidup.invoices import PAYMENTS, is_on_its_way
from paidup.stripe_api.gateway import Gateway

logger = logging.getLogger(__name__)


Owed = Literal["void", "uncollectible", "keep"]
"""What becomes of what is owed: nobody owes it, it is written off as a bad debt, or it stays as it is."""


def write_off(gateway: Gateway, body: dict[str, Any], owed: Owed = "void") -> None:
    """See to it that an open invoice, or a draft, is collected no more; one that a bank is about to pay is logged."""
    if owed == "keep":
        return
    end = gateway.mark_uncollectible if owed == "uncollectible" else gateway.void_invoice
    while (status := body["status"]) in ("draft", "open"):  # one over nothing is paid as soon as it is final
        try:
            body = gateway.finalize_invoice(body["id"]) if status == "draft" else end(body["id"])
        except StripeRejected:
            body = gateway.retrieve_invoice(body["id"], expand=PAYMENTS)
            if is_on_its_way(body):
                logger.error(
                    "invoice %s is being paid by its bank and cannot be taken back: refund it then", body["id"]
                )
                return
            if body["status"] == status:
                raise
            # Another call was faster, or it was paid this very moment.


def end_everything(gateway: Gateway, customer_id: str) -> None:
    """
    Nothing of this customer's is charged any more: Checkouts expired, subscriptions ended, invoices void.

    In this order, so that what is bought meanwhile is ended as well.
    """
    for session in gateway.list_open_checkout_sessions(customer_id):
        try:
            gateway.expire_checkout_session(session["id"])
        except StripeRejected:
            pass  # it was paid or ran out this very moment; its subscription is among those that follow
    for body in gateway.list_subscriptions(customer_id):
        if not parse.subscription(body).has_ended:
            gateway.cancel_subscription(body["id"], {"invoice_now": False, "prorate": False})
    for invoice in gateway.list_invoices(customer_id):
        write_off(gateway, invoice)
