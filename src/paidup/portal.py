"""The Billing Portal: Stripe's own page for cards, invoices and cancellation, opened for one owner and one click."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from paidup.core import parse
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.errors import CustomerNotFound, StripeNotFound, StripeRejected, SubscriptionRefused
from paidup.stripe_api.gateway import Gateway

FLOWS = frozenset({"payment_method_update", "subscription_cancel", "subscription_update"})
"""Stripe's deep links. Those named for the subscription are about one, which the database chooses."""


class Portal:
    """Opens the portal. The configuration that the catalog pushed is used; without one, the account's default."""

    def __init__(self, *, database: Database, gateway: Gateway, livemode: bool) -> None:
        self._database = database
        self._gateway = gateway
        self._livemode = livemode
        self._configuration: str | None = None

    def open(
        self, owner: str, *, return_url: str, flow: str | None = None, subscription: Subscription | None = None
    ) -> str:
        """
        A URL that lives for minutes; make one per click, never store it.

        `subscription` is the owner's, for a flow that is about one. Raises CustomerNotFound before the owner's first
        Checkout, SubscriptionRefused when there is none to change, ValueError for an unknown `flow`, StripeError.
        """
        check_owner(owner)
        if flow is not None and flow not in FLOWS:
            raise ValueError(f"unknown portal flow {flow!r}; there are: {', '.join(sorted(FLOWS))}")
        with self._database.read() as session:
            customer = store.customer_of(session, owner, livemode=self._livemode)
            subscriptions = store.subscriptions_of(session, owner, livemode=self._livemode)
        if customer is None:
            raise _no_customer(owner)
        self._mark_the_card(customer.id, subscriptions)
        flow_data = _flow_data(flow, subscription, return_url) if flow is not None else None
        try:
            return self._session(customer.id, return_url, flow_data)
        except (StripeNotFound, StripeRejected) as error:
            if error.param == "customer":
                raise _no_customer(owner) from error
            if self._configuration is None:
                raise
            self._configuration = None  # it was taken away or switched off since we found it: look again
            return self._session(customer.id, return_url, flow_data)

    def _session(self, customer_id: str, return_url: str, flow_data: dict[str, Any] | None) -> str:
        params: dict[str, Any] = {"customer": customer_id, "return_url": return_url}
        configuration = self._configuration_id()
        if configuration is not None:
            params["configuration"] = configuration
        if flow_data is not None:
            params["flow_data"] = flow_data
        return str(self._gateway.create_portal_session(params)["url"])

    def _mark_the_card(self, customer_id: str, subscriptions: Iterable[Subscription]) -> None:
        """
        Make the card that is pinned to the newest subscription the customer's default, and note it there.

        Checkout pins a card to its subscription, where it goes before the default; the default is what the portal
        changes. The synchronisation sees that it is another one than was noted, and moves the pin. Stripe is asked how
        things stand, because a card that was changed a moment ago may not be known here yet.
        """
        pinned = [each for each in subscriptions if each.is_live and each.payment_method is not None]
        if not pinned:
            return
        newest = max(pinned, key=lambda each: (each.created, each.id))
        card = parse.subscription(self._gateway.retrieve_subscription(newest.id)).payment_method
        customer = self._gateway.find_customer(customer_id) or {}
        if card is None or customer.get("deleted") or (customer.get("metadata") or {}).get(parse.CARD_KEY) == card.id:
            return
        default = {"invoice_settings": {"default_payment_method": card.id}, "metadata": {parse.CARD_KEY: card.id}}
        self._gateway.update_customer(customer_id, default)

    def _configuration_id(self) -> str | None:
        if self._configuration is None:
            found = self._gateway.find_portal_configuration()
            self._configuration = found["id"] if found else None
        return self._configuration


def _flow_data(flow: str, subscription: Subscription | None, return_url: str) -> dict[str, Any]:
    """The deep link; once it is done the user is led back, not left in the portal."""
    data: dict[str, Any] = {
        "type": flow,
        "after_completion": {"type": "redirect", "redirect": {"return_url": return_url}},
    }
    if flow != "payment_method_update":
        if subscription is None or not subscription.is_live:
            raise SubscriptionRefused("there is no subscription", action="checkout", remedy="start a checkout first")
        if flow == "subscription_update":
            _refuse_unless_changeable(subscription)
        data[flow] = {"subscription": subscription.id}
    return data


def _refuse_unless_changeable(subscription: Subscription) -> None:
    """
    The portal changes no subscription of several items, none that is paid by sent invoices, none under a schedule.

    See https://docs.stripe.com/customer-management#customer-portal-limitations
    """
    if subscription.schedule is not None:
        raise SubscriptionRefused("another change is planned", action="undo_change", remedy="take it back first")
    if subscription.collection_method != "charge_automatically" or len(subscription.items) != 1:
        raise SubscriptionRefused(
            f"the portal cannot change subscription {subscription.id}",
            action="contact_us",
            remedy="change it with `billing.preview_change`, or in Stripe's Dashboard",
        )


def _no_customer(owner: str) -> CustomerNotFound:
    return CustomerNotFound(f"no customer for owner {owner!r} yet", remedy="start a checkout first")
