"""
Paying what is open: the invoice that a subscription waits for, its page at Stripe, and one more try with the card.

Stripe lets an invoice be paid once, whoever asks and how often. So whether a try is needed follows from how the
invoice stands at Stripe, asked there and then: after a double click, a lost answer or a crash the same call finds it
paid. No transaction is open while Stripe is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any

from paidup import cards
from paidup.arguments import check_group
from paidup.core import parse, targets
from paidup.core.access import best, of_group
from paidup.core.catalog import Catalog
from paidup.core.invoice import Invoice, waited_for
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.errors import (
    NothingToPay,
    PaymentDeclined,
    PaymentFailed,
    PaymentNeedsUser,
    StripeDeclined,
    StripeError,
    StripeRejected,
    StripeUnavailable,
)
from paidup.invoices import PAYMENTS, is_on_its_way, page_of
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser

_NEEDS_USER = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "subscription_payment_intent_requires_action",
    }
)
_NO_METHOD = "missing"
_KEY_SECONDS = 60
"""How long clicks share one try at a card. One that was topped up may be tried again after it, another one at once."""
_ITS_CARDS = ("customer", "parent.subscription_details.subscription")
_IN_USE = "idempotency_key_in_use"
_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.1
_PAGE_WAIT = timedelta(seconds=5)


class Payments:
    """What an owner owes now, and how it gets paid. `returns` runs the synchronisations that users wait for."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        synchroniser: Synchroniser,
        livemode: bool,
        clock: Callable[[], datetime],
        returns: Executor,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._synchroniser = synchroniser
        self._livemode = livemode
        self._clock = clock
        self._returns = returns

    def open_invoice(self, owner: str, *, group: str | None) -> Invoice | None:
        """The invoice that the owner's subscription waits for; None when it waits for none."""
        return self._look(owner, group)[1]

    def page(self, owner: str, *, group: str | None) -> str:
        """Where the user pays the open invoice. Raises NothingToPay, StripeError."""
        invoice = self._owed(owner, group, _PAGE_WAIT)
        if invoice is None:
            raise NothingToPay("no subscription waits for a payment", remedy="show the subscription as it is")
        return page_of(self._gateway.retrieve_invoice(invoice.id))

    def retry(self, owner: str, *, group: str | None, wait: timedelta) -> Invoice | None:
        """The open invoice after one more try, None when there was none. Raises PaymentFailed, StripeError."""
        invoice = self._owed(owner, group, wait)
        if invoice is None:
            return None
        try:
            return parse.invoice(self._pay(invoice))
        finally:
            self._synchronise(invoice.customer, wait)

    def _owed(self, owner: str, group: str | None, wait: timedelta) -> Invoice | None:
        """The open invoice, asked for at Stripe when the subscription's new status has come here before it."""
        subscription, invoice = self._look(owner, group)
        if subscription is not None and invoice is None:
            self._synchronise(subscription.customer, wait)
            _, invoice = self._look(owner, group)
        return invoice

    def _look(self, owner: str, group: str | None) -> tuple[Subscription | None, Invoice | None]:
        """The subscription that waits for a payment, and the invoice it waits for, as they are known here."""
        check_owner(owner)
        check_group(group, self._catalog)
        with self._database.read() as session:
            found = store.subscriptions_of(session, owner, livemode=self._livemode)
            waiting = [each for each in found if each.waits_for_payment]
            if group is not None:
                waiting = of_group(waiting, group, self._catalog)
            subscription = best(waiting, self._catalog)
            if subscription is None:
                return None, None
            invoices = store.open_invoices_of(session, owner, subscription.id, livemode=self._livemode)
        return subscription, waited_for(subscription, invoices)

    def _pay(self, invoice: Invoice) -> dict[str, Any]:
        """The invoice once it is no longer open, or while a bank takes its time."""
        deadline = monotonic() + _WAIT_SECONDS
        # The user is here, and may be asked by their bank: that is not a decline.
        params = {"off_session": False}
        body = self._gateway.retrieve_invoice(invoice.id, expand=_ITS_CARDS)
        if cards.follow(self._gateway, body["customer"]) is not None:
            body = self._gateway.retrieve_invoice(invoice.id, expand=_ITS_CARDS)
        while True:
            if body["status"] != "open":
                return body  # paid by another click, on Stripe's page, or by Stripe's own retry; or given up
            minute = int(self._clock().timestamp()) // _KEY_SECONDS
            key = idempotency.key("pay", f"{invoice.id}-{_card(body)}-{minute}", params)
            try:
                return self._gateway.pay_invoice(invoice.id, params, idempotency_key=key)
            except StripeUnavailable as error:
                if error.stripe_code != _IN_USE or monotonic() >= deadline:
                    raise
                sleep(_POLL_SECONDS)  # the other click is at it
                body = self._gateway.retrieve_invoice(invoice.id, expand=_ITS_CARDS)
            except StripeRejected as error:
                body = self._gateway.retrieve_invoice(invoice.id, expand=PAYMENTS)
                if body["status"] != "open" or is_on_its_way(body):
                    return body
                failure = _failure(error, body)
                if failure is None:
                    raise
                raise failure from error

    def _synchronise(self, customer_id: str, wait: timedelta) -> None:
        """Within `wait`; in a thread, because the SDK's own timeouts and retries may take a minute."""
        asked = self._returns.submit(self._synchroniser.now, targets.customer(customer_id), wait=wait)
        try:
            asked.result(wait.total_seconds())
        except (StripeError, TimeoutError):
            pass  # the target stays dirty, and the workers go on


def _card(body: dict[str, Any]) -> str:
    """Which payment method Stripe would charge: the invoice's own, the subscription's, or the customer's."""
    parent = body.get("parent") or {}
    subscription = (parent.get("subscription_details") or {}).get("subscription") or {}
    customer = body["customer"]
    chosen = (
        body.get("default_payment_method")
        or subscription.get("default_payment_method")
        or subscription.get("default_source")
        or (customer.get("invoice_settings") or {}).get("default_payment_method")
        or customer.get("default_source")
    )
    return str(chosen or "none")


def _failure(error: StripeRejected, body: dict[str, Any]) -> PaymentFailed | None:
    """Stripe's no in our words; None when it is not about the payment."""
    invoice_id, url = str(body["id"]), page_of(body)
    if error.stripe_code == _NO_METHOD:
        return PaymentNeedsUser(
            "there is no payment method on file", invoice=invoice_id, url=url, remedy="send the user to `url`"
        )
    if not isinstance(error, StripeDeclined):
        return None
    if _NEEDS_USER & {error.stripe_code, error.decline_code}:
        return PaymentNeedsUser(
            "the bank asks the user to confirm this payment",
            invoice=invoice_id,
            url=url,
            remedy="send the user to `url`",
        )
    return PaymentDeclined(
        "the card was declined",
        invoice=invoice_id,
        url=url,
        decline_code=error.decline_code or error.stripe_code,
        remedy="send the user to `url` to pay with another card",
    )
