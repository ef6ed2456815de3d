"""The Billing Portal: Stripe's own page for cards, invoices and cancellation, opened for one owner and one click."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paidup import discounts, steps
from paidup.core import parse
from paidup.core.catalog import Catalog
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.errors import (
    BillingError,
    CustomerNotFound,
    InvalidRequest,
    StripeNotFound,
    StripeRejected,
    SubscriptionRefused,
)
from paidup.quotes import Quotes
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]

_OF_A_CUSTOMER = frozenset({"customer_update", "payment_method_update"})
_CONFIRM = "subscription_update_confirm"
FLOWS = _OF_A_CUSTOMER | {"subscription_cancel", "subscription_pause", "subscription_update", _CONFIRM}
"""Stripe's deep links. Those named for the subscription are about one, which the database chooses."""


@dataclass(frozen=True, slots=True)
class ExactChange:
    """What `subscription_update_confirm` asks for: keys of the plans file and numbers. None stays as it is."""

    plan: str
    interval: str | None = None
    seats: int | None = None
    promotion_code: str | None = None
    coupon: str | None = None


class Portal:
    """Opens the portal. The configuration that the catalog pushed is used; without one, the account's default."""

    def __init__(
        self, *, database: Database, gateway: Gateway, catalog: Catalog, quotes: Quotes, livemode: bool
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._quotes = quotes
        self._livemode = livemode
        self._configuration: str | None = None

    def open(
        self,
        owner: str,
        *,
        return_url: str,
        flow: str | None = None,
        subscription: Subscription | None = None,
        change: ExactChange | None = None,
        wait: timedelta = timedelta(seconds=5),
    ) -> str:
        """
        A URL that lives for minutes; make one per click, never store it.

        `subscription` is the owner's, for a flow that is about one; `change` says which one it is itself. Raises
        CustomerNotFound before the owner's first Checkout, SubscriptionRefused for what the portal cannot do,
        InvalidRequest for an unknown `flow` and for a change without its flow, what a preview of the change raises,
        StripeError.
        """
        check_owner(owner)
        if flow is not None and flow not in FLOWS:
            raise InvalidRequest(f"the portal has no flow {flow!r:.80}", remedy=f"one of: {', '.join(sorted(FLOWS))}")
        if (flow == _CONFIRM) != (change is not None):
            raise InvalidRequest(f"the portal flow {_CONFIRM!r} goes with a plan", remedy="name both, or neither")
        with self._database.read() as session:
            customer = store.customer_of(session, owner, livemode=self._livemode)
            subscriptions = store.subscriptions_of(session, owner, livemode=self._livemode)
        if customer is None:
            raise _no_customer(owner)
        params: Json = {"customer": customer.id, "return_url": return_url}
        if flow is not None:
            about = self._confirmed(owner, change, wait) if change else self._about(flow, subscription)
            params["flow_data"] = _flow_data(flow, about, return_url)
        self._mark_the_card(customer.id, subscriptions)
        try:
            return self._session(params)
        except (StripeNotFound, StripeRejected) as error:
            if error.param == "customer":
                raise _no_customer(owner) from error
            if flow is None or error.param == "configuration":
                raise
            raise self._refusal(flow, params["flow_data"].get(flow), error) from error

    def _session(self, params: Json) -> str:
        try:
            return self._opened(params)
        except (StripeNotFound, StripeRejected) as error:
            if error.param == "customer" or self._configuration is None:
                raise
            self._configuration = None  # it was taken away or switched off since we found it: look again
            return self._opened(params)

    def _opened(self, params: Json) -> str:
        configuration = self._configuration_id()
        chosen = {"configuration": configuration} if configuration is not None else {}
        return str(self._gateway.create_portal_session(params | chosen)["url"])

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

    # what a deep link is about

    def _about(self, flow: str, subscription: Subscription | None) -> Json | None:
        """Stripe's parameters of a flow about a subscription; None for one about the customer."""
        if flow in _OF_A_CUSTOMER:
            return None
        if subscription is None or not subscription.is_live:
            raise SubscriptionRefused("there is no subscription", action="checkout", remedy="start a checkout first")
        match flow:
            case "subscription_cancel":
                _refuse_unless_cancelable(subscription)
            case "subscription_pause":
                self._refuse_unless_pausable(subscription)
            case _:
                self._refuse_unless_plans_change()
                _refuse_unless_changeable(subscription)
        return {"subscription": subscription.id}

    def _confirmed(self, owner: str, change: ExactChange, wait: timedelta) -> Json:
        """
        Stripe's parameters of one exact change, which a preview would quote.

        The portal takes the plans of its configuration, and other seats where the plans file lets it.
        """
        meant = self._quotes.meant(
            owner, change.plan, interval=change.interval, seats=change.seats, addons=None, wait=wait
        )
        self._refuse_unless_plans_change(change.plan)
        _refuse_unless_changeable(meant.subscription)
        if meant.after.seats != meant.before.seats and not self._catalog.portal.change_seats:
            raise _not_in_portal(f"the portal does not change {meant.before.seats} seats to {meant.after.seats}")
        discount = discounts.choose(
            self._gateway,
            promotion_code=change.promotion_code,
            coupon=change.coupon,
            customer_id=meant.subscription.customer,
        )
        asked: Json = {"subscription": meant.subscription.id, "items": self._quotes.items(meant)}
        return asked | ({"discounts": [discount]} if discount is not None else {})

    def _refuse_unless_plans_change(self, plan: str | None = None) -> None:
        offered = [each.key for each in self._catalog.plans_in_portal]
        if not offered:
            raise _not_in_portal("plans are not changed in the portal")
        if plan is not None and plan not in offered:
            raise _not_in_portal(f"plan {plan!r} is not offered in the portal")

    def _refuse_unless_pausable(self, subscription: Subscription) -> None:
        """As the API would refuse it, read from Stripe; and of several items the portal does no more than cancel."""
        if not self._catalog.portal.pause:
            raise SubscriptionRefused(
                "nothing is paused in the portal",
                action="pause",
                remedy="use `billing.pause`, or let the plans file's [portal] pause",
            )
        standing = parse.standing(self._gateway.retrieve_subscription(subscription.id))
        if steps.to_stop(standing) is None:
            raise SubscriptionRefused(
                f"subscription {subscription.id} is paused already", action="resume", remedy="resume it"
            )
        if len(standing.subscription.items) != 1:
            raise SubscriptionRefused(
                f"the portal cannot pause subscription {subscription.id}, which has several items",
                action="pause",
                remedy="use `billing.pause`",
            )

    def _refusal(self, flow: str, about: Json | None, error: StripeNotFound | StripeRejected) -> BillingError:
        """What Stripe's refusal of a deep link means: it knows better than the database how things stand."""
        if (refused := discounts.refusal(error)) is not None:
            return refused
        if about is not None:
            try:
                current = parse.subscription(self._gateway.retrieve_subscription(about["subscription"]))
                self._about("subscription_update" if flow == _CONFIRM else flow, current)
            except SubscriptionRefused as as_it_is:
                return as_it_is
        return SubscriptionRefused(
            f"Stripe does not open the portal for {flow}: {error.message}",
            action="contact_us",
            remedy="run `paidup catalog push`: the portal at Stripe may not be the plans file's",
        )


def _flow_data(flow: str, about: Json | None, return_url: str) -> Json:
    """The deep link; once it is done the user is led back, not left in the portal."""
    data: Json = {"type": flow, "after_completion": {"type": "redirect", "redirect": {"return_url": return_url}}}
    return data if about is None else data | {flow: about}


def _refuse_unless_cancelable(subscription: Subscription) -> None:
    """Stripe opens nothing to cancel what ends anyway, nor what is under a schedule."""
    if subscription.is_canceling:
        raise _ends_anyway(subscription)
    if subscription.schedule is not None:
        raise _another_is_planned()


def _refuse_unless_changeable(subscription: Subscription) -> None:
    """
    The portal changes no subscription of several items, none that is paid by sent invoices, none under a schedule.

    See https://docs.stripe.com/customer-management#customer-portal-limitations
    """
    if subscription.is_canceling:
        raise _ends_anyway(subscription)
    if subscription.schedule is not None:
        raise _another_is_planned()
    if subscription.collection_method != "charge_automatically" or len(subscription.items) != 1:
        raise SubscriptionRefused(
            f"the portal cannot change subscription {subscription.id}",
            action="contact_us",
            remedy="change it with `billing.preview_change`, or in Stripe's Dashboard",
        )


def _ends_anyway(subscription: Subscription) -> SubscriptionRefused:
    return SubscriptionRefused(
        f"subscription {subscription.id} is going to end",
        action="resume",
        remedy="take the cancellation back first",
    )


def _another_is_planned() -> SubscriptionRefused:
    return SubscriptionRefused("another change is planned", action="undo_change", remedy="take it back first")


def _not_in_portal(message: str) -> SubscriptionRefused:
    return SubscriptionRefused(
        message,
        action="change_plan",
        remedy="use `billing.preview_change`, or let the plans file's [portal] do it, and run `paidup catalog push`",
    )


def _no_customer(owner: str) -> CustomerNotFound:
    return CustomerNotFound(f"no customer for owner {owner!r} yet", remedy="start a checkout first")
