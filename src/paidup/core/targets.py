"""
Which target an event names, and what of it has to be fetched: the registry of every event type paidup listens to.

A target is the unit of synchronisation: `customer:cus_…` (with subscriptions, invoices and payment method),
`product:prod_…`, `price:price_…`, or `charge:ch_…` with what went back of it. An event whose object doesn't say whose
it is leads to a target that is looked up first. An unknown type is kept as ignored: it costs nothing, to be replayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from paidup.core.event import Event


class Part(StrEnum):
    """What can be fetched of a customer; each is one call, or one list paged to its end."""

    CUSTOMER = "customer"
    SUBSCRIPTIONS = "subscriptions"
    INVOICES = "invoices"
    CHECKOUTS = "checkouts"


WHOLE_CUSTOMER = frozenset({Part.CUSTOMER, Part.SUBSCRIPTIONS, Part.INVOICES, Part.CHECKOUTS})

CATALOG = frozenset({"product", "price"})
LOOKED_UP = frozenset({"subscription", "invoice", "checkout.session", "subscription_schedule", "payment_method"})
"""Kinds of objects that are fetched to learn whose they are."""
OF_A_CHARGE = frozenset({"refund", "dispute"})
"""Kinds of objects that are fetched to learn which charge they are of."""

_CUSTOMER = frozenset({Part.CUSTOMER})
_SUBSCRIPTIONS = frozenset({Part.SUBSCRIPTIONS})
_INVOICES = frozenset({Part.INVOICES})
_BILLED = frozenset({Part.SUBSCRIPTIONS, Part.INVOICES})
_CHECKOUT = frozenset({Part.CHECKOUTS, Part.SUBSCRIPTIONS, Part.INVOICES, Part.CUSTOMER})
_NOTHING: frozenset[Part] = frozenset()
_MONEY_BACK = ("charge.refunded", "charge.dispute.", "refund.")


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where an event leads: a target to synchronise, or the reason why it is ignored.

    `noted` is what somebody should know although it is processed: `other_version`.
    """

    target: str | None
    ignored: str | None
    noted: str | None = None


def route(event: Event, *, livemode: bool, api_version: str | None = None) -> Route:
    """
    Decide what an event asks for in this mode; pure, and total: every event has a route.

    `api_version` is the one we ask in: an event of another release is noted.
    """
    found = _route(event, livemode=livemode)
    if event.api_version and api_version and _release(event.api_version) != _release(api_version):
        return replace(found, noted="other_version")
    return found


def _route(event: Event, *, livemode: bool) -> Route:
    if event.livemode is not livemode:
        return Route(None, "other_mode")
    if event.is_thin:
        return _thin(event)
    if event.account is not None:
        return Route(None, "other_account")
    if event.type not in EVENTS:
        return Route(None, "unknown_type")
    if event.type.split(".", 1)[0] in CATALOG:
        return _named(event.object_type, event.object_id)
    if event.type.startswith(_MONEY_BACK):
        if event.charge is not None:
            return Route(charge(event.charge), None)
        return _named(event.object_type, event.object_id)
    if event.customer is not None:
        return Route(customer(event.customer), None)
    return Route(None, "no_customer")


def _release(api_version: str) -> str:
    """Versions of one name only add to each other; those before 2024-09-30.acacia have none."""
    return api_version.partition(".")[2] or api_version


def _thin(event: Event) -> Route:
    """
    A thin event is named after its object, and its types are finer than those of snapshots: any of them is a hint.

    See https://docs.stripe.com/event-destinations#thin-events
    """
    if not event.type.startswith("v1."):
        return Route(None, "unknown_type")
    if event.customer is not None:
        return Route(customer(event.customer), None)
    return _named(event.object_type, event.object_id)


def _named(kind: str | None, object_id: str | None) -> Route:
    if object_id is None:
        return Route(None, "no_object")
    if kind not in CATALOG | LOOKED_UP | OF_A_CHARGE | {"charge"}:
        return Route(None, "unknown_type")
    return Route(f"{kind}:{object_id}", None)


def customer(customer_id: str) -> str:
    """The target of a customer."""
    return f"customer:{customer_id}"


def charge(charge_id: str) -> str:
    """The target of what went back of a charge."""
    return f"charge:{charge_id}"


def leaving(customer_id: str) -> str:
    """
    The target of a customer of whom everything is to be ended, until it is.

    Of one whose creation Stripe has not answered yet, it names the intent of that instead.
    """
    return f"leaving:{customer_id}"


def split(target: str) -> tuple[str, str]:
    """A target's kind and Stripe id."""
    kind, _, object_id = target.partition(":")
    return kind, object_id


def parts(event_types: Iterable[str]) -> frozenset[Part]:
    """What of a customer to fetch for these pending events; nothing pending means all of it."""
    wanted: frozenset[Part] = _NOTHING
    for event_type in event_types:
        wanted |= EVENTS.get(event_type, (WHOLE_CUSTOMER, ""))[0]
    return wanted or WHOLE_CUSTOMER


EVENTS: dict[str, tuple[frozenset[Part], str]] = {
    "checkout.session.completed": (_CHECKOUT, "the claim is done and the subscription exists"),
    "checkout.session.async_payment_succeeded": (_CHECKOUT, "a delayed payment arrived"),
    "checkout.session.async_payment_failed": (_CHECKOUT, "a delayed payment did not"),
    "checkout.session.expired": (frozenset({Part.CHECKOUTS}), "the claim is free again"),
    "customer.created": (_CUSTOMER, "adopt a customer whose creation we could not commit"),
    "customer.updated": (_CUSTOMER, "name, e-mail, default payment method, balance, delinquency"),
    "customer.deleted": (WHOLE_CUSTOMER, "the owner needs a new customer; subscriptions are over"),
    "customer.subscription.created": (_SUBSCRIPTIONS, "a subscription began"),
    "customer.subscription.updated": (_SUBSCRIPTIONS, "status, plan, period, cancellation"),
    "customer.subscription.deleted": (_SUBSCRIPTIONS, "a subscription ended"),
    "customer.subscription.paused": (_SUBSCRIPTIONS, "access stops"),
    "customer.subscription.resumed": (_SUBSCRIPTIONS, "access returns"),
    "customer.subscription.trial_will_end": (_SUBSCRIPTIONS, "tell the user in time"),
    "customer.subscription.pending_update_applied": (_SUBSCRIPTIONS, "an upgrade was paid"),
    "customer.subscription.pending_update_expired": (_SUBSCRIPTIONS, "an upgrade was not"),
    "customer.discount.created": (_BILLED, "what the next invoice costs"),
    "customer.discount.updated": (_BILLED, "what the next invoice costs"),
    "customer.discount.deleted": (_BILLED, "what the next invoice costs"),
    "customer.tax_id.created": (_CUSTOMER, "stands on invoices"),
    "customer.tax_id.updated": (_CUSTOMER, "stands on invoices; its verification ended"),
    "customer.tax_id.deleted": (_CUSTOMER, "stands on invoices no more"),
    "entitlements.active_entitlement_summary.updated": (_SUBSCRIPTIONS, "what is paid for has changed"),
    "subscription_schedule.created": (_SUBSCRIPTIONS, "a change is planned"),
    "subscription_schedule.updated": (_SUBSCRIPTIONS, "a planned change is another"),
    "subscription_schedule.released": (_SUBSCRIPTIONS, "a planned change is off"),
    "subscription_schedule.completed": (_SUBSCRIPTIONS, "a planned change has happened"),
    "subscription_schedule.canceled": (_SUBSCRIPTIONS, "the plan ended with its subscription"),
    "subscription_schedule.aborted": (_SUBSCRIPTIONS, "the plan ended because its subscription did"),
    "subscription_schedule.expiring": (_SUBSCRIPTIONS, "a plan ends in a week"),
    "invoice.created": (_INVOICES, "shown as upcoming; answering it lets Stripe finalise in time"),
    "invoice.upcoming": (_SUBSCRIPTIONS, "a renewal is near; the event's invoice does not exist yet and has no id"),
    "invoice.updated": (_INVOICES, "amounts and attempts"),
    "invoice.sent": (_INVOICES, "the customer has it"),
    "invoice.deleted": (_INVOICES, "a draft was thrown away"),
    "invoice.finalized": (_INVOICES, "number and links exist"),
    "invoice.finalization_failed": (_INVOICES, "nothing can be collected until it is mended"),
    "invoice.paid": (_BILLED, "paid in whatever way, also out of band"),
    "invoice.payment_succeeded": (_BILLED, "the same as invoice.paid, for endpoints that listen to it instead"),
    "invoice.payment_attempt_required": (_BILLED, "nothing can be charged until somebody pays by hand"),
    "invoice.payment_failed": (_BILLED, "dunning began or goes on"),
    "invoice.payment_action_required": (_BILLED, "the user has to authenticate"),
    "invoice.voided": (_BILLED, "no longer owed"),
    "invoice.marked_uncollectible": (_BILLED, "given up"),
    "invoice.overdue": (_BILLED, "sent by e-mail and not paid in time"),
    "invoice.will_be_due": (_INVOICES, "sent by e-mail and due soon"),
    "charge.refunded": (_NOTHING, "money went back; refund.created says no more"),
    "refund.updated": (_NOTHING, "it arrived, or is on its way"),
    "refund.failed": (_NOTHING, "the money came back to us"),
    "charge.dispute.created": (_NOTHING, "the bank has taken the money"),
    "charge.dispute.updated": (_NOTHING, "evidence, or an inquiry that became a dispute"),
    "charge.dispute.closed": (_NOTHING, "won or lost"),
    "charge.dispute.funds_withdrawn": (_NOTHING, "an inquiry became a dispute"),
    "charge.dispute.funds_reinstated": (_NOTHING, "it was won"),
    "payment_method.attached": (_CUSTOMER, "a new card"),
    "payment_method.detached": (_CUSTOMER, "a card is gone"),
    "payment_method.updated": (frozenset({Part.CUSTOMER, Part.SUBSCRIPTIONS}), "expiry or address"),
    "payment_method.automatically_updated": (
        frozenset({Part.CUSTOMER, Part.SUBSCRIPTIONS}),
        "the network replaced the card",
    ),
    "setup_intent.succeeded": (_CUSTOMER, "a card was saved"),
    "setup_intent.setup_failed": (_CUSTOMER, "a card was not"),
    "product.created": (_NOTHING, "catalog mirror"),
    "product.updated": (_NOTHING, "catalog mirror"),
    "product.deleted": (_NOTHING, "archived here"),
    "price.created": (_NOTHING, "catalog mirror"),
    "price.updated": (_NOTHING, "catalog mirror"),
    "price.deleted": (_NOTHING, "archived here"),
}
"""Event type: what to fetch of the customer, and why we listen."""
