"""Updating a subscription: scheduled ends, trials, pauses, defaults; its items are changed in `item_changes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import (
    collection,
    discounts,
    pending_updates,
    standing,
    taxes,
    trials,
    update_payments,
)
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.subscribing import announce_trial, automatic_tax
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply
from stripe_emulator.resources import invoice_items, invoice_terms, item_changes, payment_methods
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

AFTER_THE_END = {"metadata", "cancellation_details", "expand"}
WITH_PENDING_UPDATES = {
    "billing_cycle_anchor",
    "cancel_at_period_end",
    "discounts",
    "expand",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
    "trial_end",
}
"""See https://docs.stripe.com/billing/subscriptions/pending-updates-reference#supported-attributes"""
LATER_WITH_PENDING_UPDATES = {"add_invoice_items", "trial_from_plan"}
"""Stripe takes these too; the emulator can't yet put them off."""


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Change a subscription.

    `create_prorations` leaves the difference for the next invoice, `always_invoice` invoices it now, `none` forgets
    it. `trial_end=now` begins the first paid period with the items as they are then, and invoices it.
    `billing_cycle_anchor[type]=now`, and another interval in classic billing mode, begins a new period at once and
    invoices it.
    """
    subscription = engine.find("subscription", ids[0])
    params.ignore("off_session")
    if subscription["status"] in standing.ENDED and any(name not in AFTER_THE_END for name in params.as_names()):
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="subscription_canceled",
        )
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        _check_pending(params)
    with engine.changing(subscription, "customer.subscription.updated"):
        if "items" in params and subscription["pending_update"] is not None:
            pending_updates.expire(engine, subscription)
        before = pending_updates.remember(subscription)
        _simple(engine, subscription, params)
        move_trial(engine, subscription, params)
        schedule_end(engine, subscription, params)
        _pause(engine, subscription, params)
        change_discounts(engine, subscription, params)
        customer = engine.find("customer", subscription["customer"])
        invoice_items.add_to_first(engine, customer, subscription, params.list_of("add_invoice_items"))
        invoice = item_changes.change_items(engine, subscription, params)
        if ends_trial(subscription, params):
            invoice = trials.end_now(engine, subscription)
            if invoice is not None and (behavior == "allow_incomplete" or subscription["pause_collection"] is not None):
                collection.when_due(engine, invoice)
                invoice = None
            elif invoice is not None:
                collection.open_invoice(engine, invoice)
        if invoice is not None:
            update_payments.collect(engine, subscription, invoice, behavior, before)
    if "trial_end" in params and params["trial_end"] != "now":
        announce_trial(engine, subscription)
    return subscription


def schedule_end(engine: Engine, subscription: Json, params: Params) -> None:
    """
    `cancel_at_period_end`, `cancel_at` and their undoing.

    `canceled_at` is when it was asked for, `cancel_at` when it will end.
    """
    at_end, at = params.get("cancel_at_period_end"), params.get("cancel_at")
    if subscription["schedule"] is not None and (at_end is not None or at is not None):
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    details = params.at("cancellation_details")
    if at_end and at:
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
    if at_end is True:
        end_at(engine, subscription, max_period_end(subscription), at_period_end=True)
    elif at_end is False and subscription["cancel_at_period_end"]:
        keep(subscription)
    if at == "":
        keep(subscription)
    elif at is not None:
        moment = _moment(subscription, at)
        if moment <= engine.now(subscription["test_clock"]):
            raise invalid("cancel_at must be in the future", param="cancel_at")
        end_at(engine, subscription, moment, at_period_end=False)
    for name in ("feedback", "comment"):
        if name in details:
            subscription["cancellation_details"][name] = details[name] or None


def end_at(engine: Engine, subscription: Json, moment: int, *, at_period_end: bool) -> None:
    """Schedule the end."""
    subscription.update(
        cancel_at=moment,
        cancel_at_period_end=at_period_end,
        canceled_at=engine.now(subscription["test_clock"]),
        cancellation_details={**subscription["cancellation_details"], "reason": "cancellation_requested"},
    )


def keep(subscription: Json) -> None:
    """Undo a scheduled end."""
    subscription.update(
        cancel_at=None,
        cancel_at_period_end=False,
        canceled_at=None,
        cancellation_details={"comment": None, "feedback": None, "reason": None},
    )


def max_period_end(subscription: Json) -> int:
    """When the last of the current periods is over."""
    return max(int(item["current_period_end"]) for item in subscription["items"])


def _moment(subscription: Json, at: int | str) -> int:
    ends = [int(item["current_period_end"]) for item in subscription["items"]]
    match at:
        case "min_period_end":
            return min(ends)
        case "max_period_end":
            return max(ends)
        case int():
            return at
        case _:
            raise invalid(f"stripe_emulator does not know cancel_at={at}", param="cancel_at")


def _simple(engine: Engine, subscription: Json, params: Params) -> None:
    subscription["metadata"] = merged(subscription["metadata"], params)
    if "description" in params:
        subscription["description"] = params["description"] or None
    if "default_payment_method" in params:
        wanted = params["default_payment_method"]
        if wanted:
            wanted = payment_methods.usable(engine, wanted, subscription["customer"], param="default_payment_method")[
                "id"
            ]
        subscription["default_payment_method"] = wanted or None
    behavior = params.at("trial_settings").at("end_behavior")
    if "missing_payment_method" in behavior:
        subscription["trial_settings"]["end_behavior"]["missing_payment_method"] = behavior["missing_payment_method"]
    settings = params.at("payment_settings")
    if "save_default_payment_method" in settings:
        subscription["payment_settings"]["save_default_payment_method"] = settings["save_default_payment_method"]
    if "default_tax_rates" in params:
        subscription["default_tax_rates"] = taxes.read(engine, params, "default_tax_rates")
    if "automatic_tax" in params:
        subscription["automatic_tax"] = automatic_tax(params.at("automatic_tax").get("enabled", False))
    if "collection_method" in params or "days_until_due" in params:
        method = params.get("collection_method", subscription["collection_method"])
        days = invoice_terms.days_until_due(params, method, kept=subscription["days_until_due"])
        subscription.update(collection_method=method, days_until_due=days)


def change_discounts(engine: Engine, subscription: Json, params: Params) -> None:
    """Replace the discounts if `discounts` was sent."""
    if "discounts" not in params:
        return
    customer = engine.find("customer", subscription["customer"])
    currency = subscription["currency"]
    subtotal = sum(
        amount_of(engine.find("price", item["price"]), item["quantity"], currency) for item in subscription["items"]
    )
    wanted = discounts.wishes(
        engine,
        params.list_of("discounts"),
        customer=customer,
        currency=currency,
        subtotal=subtotal,
    )
    discounts.replace(engine, subscription, wanted)


def _pause(engine: Engine, subscription: Json, params: Params) -> None:
    if "pause_collection" not in params:
        return
    sent = params["pause_collection"]
    if not isinstance(sent, Params):
        subscription["pause_collection"] = None
        return
    subscription["pause_collection"] = {"behavior": sent["behavior"], "resumes_at": sent.get("resumes_at")}


def ends_trial(subscription: Json, params: Params) -> bool:
    """Is the trial to be over at once?"""
    return bool(params.get("trial_end") == "now" and subscription["status"] == "trialing")


def move_trial(engine: Engine, subscription: Json, params: Params) -> None:
    """A trial until another moment; one that ends at once does so when everything else is as it shall be."""
    end = params.get("trial_end")
    if end is None or end == "now":
        return
    if end <= engine.now(subscription["test_clock"]):
        raise invalid("Timestamp must be in the future.", param=params.name_of("trial_end"))
    trials.give(engine, subscription, end, params.get("proration_behavior", "create_prorations"))


def _check_pending(params: Params) -> None:
    for name in params.as_names():
        if name in LATER_WITH_PENDING_UPDATES:
            raise invalid(
                f"stripe_emulator does not know {name} with `pending_if_incomplete`.",
                param=name,
                code="emulator_unsupported",
            )
        if name not in WITH_PENDING_UPDATES:
            raise invalid(
                f"When `payment_behavior` is set to `pending_if_incomplete`, you cannot set {name}.", param=name
            )
