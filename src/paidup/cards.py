"""
The card that is charged is the one that the user chose last.

Stripe charges the card that Checkout pinned to a subscription before the customer's default, and the default is all
that the portal sets. So the pin follows the default: in the synchronisation, and before any charge of ours, as nobody
may have told us of the other card yet. It may be repeated after any failure. Nothing here touches the database.
"""

from __future__ import annotations

import logging
from typing import Any

from paidup.core import change_state, parse
from paidup.core.subscription import Subscription
from paidup.errors import StripeNotFound, StripeRejected
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]

logger = logging.getLogger("paidup")


def before_charging(gateway: Gateway, subscription: Subscription) -> None:
    """
    See to it that a subscription is charged to the card its customer has chosen. Raises StripeError.

    `subscription` is as it stands at Stripe. One that no card is pinned to is charged to the default anyway.
    """
    if subscription.payment_method is not None:
        follow(gateway, gateway.find_customer(subscription.customer) or {})


def follow(gateway: Gateway, customer: Json, subscriptions: list[Json] | None = None) -> list[Json] | None:
    """
    Pin the card that the user chose in the portal to the subscriptions that had the one before. Raises StripeError.

    Returns the customer's subscriptions as they are then, when there was something to do; otherwise what came in.
    """
    changed = parse.changed_card(customer)
    if changed is None:
        return subscriptions
    before, now = changed
    found = gateway.list_subscriptions(customer["id"]) if subscriptions is None else list(subscriptions)
    for number, body in enumerate(found):
        subscription = parse.subscription(body)
        card = subscription.payment_method
        if not subscription.is_live or card is None or card.id != before:
            continue
        try:
            if subscription.schedule is not None:
                _follow_in_schedule(gateway, subscription.schedule, before, now)
            found[number] = gateway.update_subscription(subscription.id, {"default_payment_method": now})
        except (StripeRejected, StripeNotFound) as error:
            logger.error("subscription %s is still charged to the card before: %s", subscription.id, error)
    gateway.update_customer(customer["id"], {"metadata": {parse.CARD_KEY: now}})
    return found


def _follow_in_schedule(gateway: Gateway, schedule_id: str, before: str, now: str) -> None:
    """
    A schedule keeps the card its subscription had when it was made, and pins that again when its next phase begins.

    It goes first: a subscription that has the card already is not looked at again after a crash.
    """
    if change_state.card_of(gateway.retrieve_schedule(schedule_id)) == before:
        gateway.update_schedule(schedule_id, {"default_settings": {"default_payment_method": now}})
