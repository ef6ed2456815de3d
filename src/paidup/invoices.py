"""
Invoices: the list from the database, the pages and the next one from Stripe.

Stripe's links to an invoice's page and PDF run out, so they are asked for anew at each click. Which invoice or
subscription is asked about is decided by the database, for one owner.
"""

from __future__ import annotations

from typing import Any

from paidup.arguments import is_id
from paidup.core import parse
from paidup.core.change_state import payment_of
from paidup.core.invoice import Invoice, UpcomingInvoice
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import store, tables
from paidup.database.engine import Database
from paidup.errors import InvoiceNotFound, StripeNotFound
from paidup.stripe_api.gateway import Gateway

PAYMENTS = ("payments.data.payment.payment_intent",)
"""To be expanded in an invoice, for who asks how its payment stands."""

_NOTHING_UPCOMING = "invoice_upcoming_none"


class Invoices:
    """What was billed to an owner, and what will be."""

    def __init__(self, *, database: Database, gateway: Gateway, livemode: bool) -> None:
        self._database = database
        self._gateway = gateway
        self._livemode = livemode

    def listed(self, owner: str, *, limit: int, before: str | None) -> list[Invoice]:
        """The owner's invoices, newest first, drafts left out. Raises InvoiceNotFound when `before` is not theirs."""
        check_owner(owner)
        if limit < 1:
            raise ValueError(f"limit is {limit}; a page has at least one invoice")
        last = self._of(owner, before) if before is not None else None
        with self._database.read() as session:
            return store.invoices_of(session, owner, livemode=self._livemode, limit=limit, before=last)

    def page(self, owner: str, invoice_id: str, *, pdf: bool) -> str:
        """Where Stripe shows an invoice of the owner now. Raises InvoiceNotFound, StripeError."""
        check_owner(owner)
        self._of(owner, invoice_id)
        try:
            body = self._gateway.retrieve_invoice(invoice_id)
        except StripeNotFound as error:
            raise _not_found(invoice_id) from error  # a draft that was deleted since we saw it
        return page_of(body, pdf=pdf)

    def upcoming(self, subscription: Subscription | None) -> UpcomingInvoice | None:
        """The next invoice of a subscription; None when there will be none. Raises StripeError."""
        if subscription is None or subscription.renews_at is None or _is_paused_until_then(subscription):
            return None
        if subscription.is_trialing and self._trial_ends_unpaid(subscription):
            return None  # Stripe would draw one up all the same, as if a card were to come
        try:
            body = self._gateway.preview_invoice({"subscription": subscription.id})
        except StripeNotFound as error:
            if error.stripe_code == _NOTHING_UPCOMING:
                return None  # it was canceled at Stripe since we looked
            raise
        return parse.upcoming_invoice(body)

    def _trial_ends_unpaid(self, subscription: Subscription) -> bool:
        with self._database.read() as session:
            row = session.get(tables.Subscription, subscription.id)
            customer = session.get(tables.Customer, subscription.customer)
        return row is not None and parse.trial_ends_unpaid(row.snapshot, customer.snapshot if customer else {})

    def _of(self, owner: str, invoice_id: str) -> Invoice:
        if not is_id(invoice_id):
            raise _not_found(invoice_id)
        with self._database.read() as session:
            found = store.invoice_of(session, owner, invoice_id, livemode=self._livemode)
        if found is None:
            raise _not_found(invoice_id)
        return found


def page_of(body: dict[str, Any], *, pdf: bool = False) -> str:
    """The address of an invoice's page in Stripe's answer. Raises InvoiceNotFound for a draft, which has none."""
    url = body.get("invoice_pdf" if pdf else "hosted_invoice_url")
    if not url:
        raise InvoiceNotFound(
            f"invoice {body['id']!r} has no page yet", remedy="it gets one when it is finalized, within the hour"
        )
    return str(url)


def is_on_its_way(invoice: dict[str, Any]) -> bool:
    """Has a bank yet to answer for an open invoice, with its payments expanded? It can be neither paid nor voided."""
    return invoice["status"] == "open" and payment_of(invoice).get("status") == "processing"


def _is_paused_until_then(subscription: Subscription) -> bool:
    """Is nothing collected when the period ends?"""
    if subscription.paused_collection is None:
        return False
    end, resumes = subscription.current_period_end, subscription.resumes_at
    return resumes is None or end is None or resumes > end


def _not_found(invoice_id: object) -> InvoiceNotFound:
    return InvoiceNotFound(
        f"there is no invoice {invoice_id!r:.80} of yours", remedy="choose one from the list of invoices"
    )
