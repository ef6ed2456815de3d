"""Subscriptions through the API: create, retrieve, list, cancel. Updates and pauses have files of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, currencies, discounts, sending, standing, taxes, usage
from stripe_emulator.billing.changing_plans import credit_unused_time
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.subscribing import Terms, announce_trial, build, check_room, first_invoice, starts_free
from stripe_emulator.billing.update_payments import refusal
from stripe_emulator.events import unannounced
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.paging import range_of
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list, public, renders, show
from stripe_emulator.resources import (
    customers,
    invoice_items,
    invoice_terms,
    item_changes,
    payment_methods,
    prices,
    subscription_updates,
)
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ANCHOR_RANGES = {"day_of_month": (1, 31), "hour": (0, 23), "minute": (0, 59), "month": (1, 12), "second": (0, 59)}
ITEMS_SHOWN = 10
IGNORED = ("off_session", "payment_method_options", "expand")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    A subscription and its first invoice, charged as `payment_behavior` says.

    A declined or unauthenticated first payment leaves it `incomplete` for 23 hours. With `send_invoice` it is active
    at once, and its first invoice is finalised an hour later.
    See https://docs.stripe.com/billing/invoices/subscription#sub-invoice-lifecycle
    """
    params.ignore(*IGNORED)
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = customers.existing(engine, params["customer"], param="customer")
    items = [_item(engine, item) for item in params.list_of("items")]
    if not items:
        raise invalid("Missing required param: items.", param="items", code="parameter_missing")
    check_room(engine, customer)
    terms = _terms(engine, customer, params)
    places = [(price, f"items[{position}][price]") for position, (price, _, _) in enumerate(items)]
    terms.currency = currencies.choose(engine, customer, places, params.get("currency"))
    _discounts(engine, customer, params, items, terms, terms.currency)
    behavior = params.get("payment_behavior", "allow_incomplete")
    subscription = build(engine, customer, items, terms)
    invoice_items.add_to_first(engine, customer, subscription, params.list_of("add_invoice_items"))
    free = starts_free(engine, subscription, terms)
    invoice = None if free else first_invoice(engine, customer, subscription, terms, emit=True)
    subscription_updates.schedule_end(engine, subscription, params)
    if invoice is not None and not sending.is_sent(invoice):
        with unannounced(engine, subscription, "customer.subscription.updated"):
            collection.open_invoice(engine, invoice)
            _collect_first(engine, subscription, invoice, behavior)
    engine.emit("customer.subscription.created", subscription)
    announce_trial(engine, subscription)
    return subscription


def _collect_first(engine: Engine, subscription: Json, invoice: Json, behavior: str) -> None:
    if invoice["status"] == "paid":
        return
    method = collection.default_method(engine, invoice)
    if behavior == "default_incomplete":
        subscription["status"] = "incomplete"
        collection.await_confirmation(engine, invoice, method)
        return
    if method is None:
        raise invalid(
            "This customer has no attached payment source or default payment method. "
            "Please consider adding a default payment method. For more information, visit "
            "https://docs.stripe.com/billing/subscriptions/payment-methods-setting#payment-method-priority.",
            code="resource_missing",
        )
    subscription["status"] = "incomplete"
    attempt = collection.charge(engine, invoice, method, off_session=False)
    if not attempt.went_through and behavior == "error_if_incomplete":
        raise refusal(attempt)


def _item(engine: Engine, item: Params) -> tuple[Json, int, Json]:
    data = item.at("price_data")
    if data:
        price = prices.from_data(engine, data)
    elif "price" in item:
        price = prices.usable(engine, item["price"], param=item.name_of("price"), recurring=True)
    else:
        raise invalid("Missing required param: price.", param=item.name_of("price"), code="parameter_missing")
    return price, quantity_of(price, item), item.get("metadata") or {}


def quantity_of(price: Json, sent: Params) -> int:
    """How many are wanted; a metered price takes no quantity, and has 0 here."""
    if not usage.is_metered(price):
        return int(sent.get("quantity", 1))
    if "quantity" in sent:
        raise invalid("You cannot set the quantity for metered prices.", param=sent.name_of("quantity"))
    return 0


def _terms(engine: Engine, customer: Json, params: Params) -> Terms:
    now = engine.now(customer["test_clock"])
    method = params.get("default_payment_method")
    if method:
        method = payment_methods.usable(engine, method, customer["id"], param="default_payment_method")["id"]
    collection_method = params.get("collection_method", "charge_automatically")
    return Terms(
        trial_end=trial_end(params, now),
        trial_end_anchor=params.at("trial_settings").at("end_behavior").get("billing_cycle_anchor"),
        billing_cycle_anchor=params.get("billing_cycle_anchor"),
        billing_cycle_anchor_config=_anchor_config(params),
        proration_behavior=params.get("proration_behavior", "create_prorations"),
        default_payment_method=method or None,
        missing_payment_method=missing_payment_method(params),
        metadata=params.get("metadata") or {},
        description=params.get("description") or None,
        payment_settings=_payment_settings(params),
        collection_method=collection_method,
        days_until_due=invoice_terms.days_until_due(params, collection_method),
        billing_mode=params.at("billing_mode").get("type", "flexible"),
        automatic_tax=params.at("automatic_tax").get("enabled", False),
        default_tax_rates=taxes.read(engine, params, "default_tax_rates"),
        item_tax_rates={
            position: taxes.read(engine, item, "tax_rates") for position, item in enumerate(params.list_of("items"))
        },
    )


def _discounts(
    engine: Engine,
    customer: Json,
    params: Params,
    items: list[tuple[Json, int, Json]],
    terms: Terms,
    currency: str,
) -> None:
    subtotal = sum(amount_of(price, quantity, currency) for price, quantity, _ in items)
    terms.discounts = discounts.wishes(
        engine, params.list_of("discounts"), customer=customer, currency=currency, subtotal=subtotal
    )
    for position, item in enumerate(params.list_of("items")):
        wanted = discounts.wishes(engine, item.list_of("discounts"), customer=customer, currency=currency)
        if wanted:
            terms.item_discounts[position] = wanted


def delete_discount(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take a subscription's discount off; what it took off already stays so."""
    subscription = engine.find("subscription", ids[0])
    if not subscription["discounts"]:
        raise invalid("No active discount for subscription", code="resource_missing", status=404)
    with engine.changing(subscription, "customer.subscription.updated"):
        removed = [discounts.remove(engine, subscription, id) for id in list(subscription["discounts"])]
    return {**public(removed[-1]), "deleted": True}


def trial_end(params: Params, now: int) -> int | None:
    """When a trial asked for by days or by date ends; None for no trial."""
    days, end = params.get("trial_period_days"), params.get("trial_end")
    if days is not None and end is not None:
        raise invalid("You can only specify one of trial_end and trial_period_days.", param="trial_period_days")
    if days is not None:
        if days < 1:
            raise invalid("This value must be greater than or equal to 1.", param=params.name_of("trial_period_days"))
        return now + int(days) * DAY
    if end is None or end == "now":
        return None
    if end <= now:
        raise invalid("Timestamp must be in the future.", param=params.name_of("trial_end"))
    return int(end)


def missing_payment_method(params: Params) -> str:
    """`trial_settings.end_behavior.missing_payment_method`."""
    behavior = params.at("trial_settings").at("end_behavior")
    return str(behavior.get("missing_payment_method", "create_invoice"))


def _anchor_config(params: Params) -> Json | None:
    sent = params.at("billing_cycle_anchor_config")
    if not sent:
        return None
    if "billing_cycle_anchor" in params:
        raise invalid(
            "You may only specify one of these parameters: billing_cycle_anchor, billing_cycle_anchor_config.",
            param="billing_cycle_anchor_config",
        )
    config = {name: sent.get(name) for name in ANCHOR_RANGES}
    for name, (least, most) in ANCHOR_RANGES.items():
        if config[name] is not None and not least <= config[name] <= most:
            raise invalid(f"This value must be between {least} and {most}.", param=sent.name_of(name))
    return config


def _payment_settings(params: Params) -> Json | None:
    sent = params.at("payment_settings")
    if not sent:
        return None
    return {
        "payment_method_options": sent.plain("payment_method_options"),
        "payment_method_types": sent.plain("payment_method_types"),
        "save_default_payment_method": sent.get("save_default_payment_method", "off"),
    }


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One subscription, ended ones too."""
    return engine.find("subscription", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Subscriptions by customer, price, status and when they begin and end; canceled ones only when asked for."""
    customer, status, clock = (params.get(name) for name in ("customer", "status", "test_clock"))
    price, plan = params.get("price"), params.get("plan")
    collection_method, tax = params.get("collection_method"), params.at("automatic_tax").get("enabled")
    ends, starts = range_of(params, "current_period_end"), range_of(params, "current_period_start")
    is_bounded = "current_period_end" in params or "current_period_start" in params
    for name, kind in (("customer", "customer"), ("price", "price"), ("plan", "price")):
        wanted = params.get(name)
        if wanted is not None and engine.store.get(wanted, kind) is None:
            raise invalid(f"No such {name}: '{wanted}'", param=name, code="resource_missing")
    store = engine.store
    found = list(store.scan("subscription") if customer is None else store.of_customer("subscription", customer))
    # One condition after the other, each only if it was asked for: lists of thousands are read page by page.
    if customer is None:
        found = [each for each in found if each["test_clock"] == clock]
    if status != "all":
        found = [each for each in found if _has_status(each, status)]
    for wanted in (price, plan):
        if wanted is not None:
            found = [each for each in found if _has_price(each, wanted)]
    if collection_method is not None:
        found = [each for each in found if each["collection_method"] == collection_method]
    if tax is not None:
        found = [each for each in found if each["automatic_tax"]["enabled"] == tax]
    if is_bounded:
        found = [each for each in found if _is_within(each, starts, ends)]
    return found


def _is_within(subscription: Json, starts: Callable[[int], bool], ends: Callable[[int], bool]) -> bool:
    items = subscription["items"]
    return ends(min(item["current_period_end"] for item in items)) and starts(
        max(item["current_period_start"] for item in items)
    )


def _has_price(subscription: Json, price: str) -> bool:
    return any(item["price"] == price for item in subscription["items"])


def _has_status(subscription: Json, wanted: str | None) -> bool:
    status = subscription["status"]
    match wanted:
        case None:
            return bool(status != "canceled")
        case "ended":
            return status in standing.ENDED
        case _:
            return bool(status == wanted)


def cancel(engine: Engine, ids: list[str], params: Params) -> Reply:
    """End it now; `prorate` credits the unused time, `invoice_now` invoices what is pending."""
    subscription = engine.find("subscription", ids[0])
    if subscription["status"] in standing.ENDED:
        raise invalid(f"No such subscription: '{ids[0]}'", param="id", code="resource_missing", status=404)
    details = params.at("cancellation_details")
    if params.get("prorate", False):
        credit_unused_time(engine, subscription)
    invoice_now = params.get("invoice_now", False)
    if invoice_now:
        usage.bill_at_the_end(engine, subscription, engine.now(subscription["test_clock"]))
    standing.cancel(
        engine,
        subscription,
        reason="cancellation_requested",
        feedback=details.get("feedback") or None,
        comment=details.get("comment") or None,
    )
    if invoice_now:
        item_changes.invoice_pending(engine, subscription)
    return subscription


@renders("subscription")
def show_subscription(engine: Engine, subscription: Json) -> Json:
    """With its first items, each with its price and plan in full."""
    shown = public(subscription)
    items = [show_item(engine, item) for item in subscription["items"]]
    waiting = (subscription["pending_update"] or {}).get("subscription_items")
    if waiting is not None:
        shown["pending_update"]["subscription_items"] = [show_item(engine, item) for item in waiting]
    shown["default_tax_rates"] = taxes.shown(engine, subscription["default_tax_rates"])
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    shown["items"] = as_list(items[:ITEMS_SHOWN], url, has_more=len(items) > ITEMS_SHOWN)
    return shown


@renders("subscription_item")
def show_item(engine: Engine, item: Json) -> Json:
    """With its price and plan in full."""
    price = engine.find("price", item["price"])
    rates = taxes.shown(engine, item["tax_rates"])
    shown = {**public(item), "price": show(engine, price), "plan": prices.plan_of(price), "tax_rates": rates}
    if usage.is_metered(price):
        del shown["quantity"]
    return shown


ROUTES = [
    Route("POST", "/v1/subscriptions", create, "SubscriptionCreateParams"),
    Route("GET", "/v1/subscriptions", listing, "SubscriptionListParams"),
    Route("GET", "/v1/subscriptions/{id}", retrieve, "SubscriptionRetrieveParams"),
    Route("POST", "/v1/subscriptions/{id}", subscription_updates.update, "SubscriptionUpdateParams"),
    Route("DELETE", "/v1/subscriptions/{id}", cancel, "SubscriptionCancelParams"),
    Route("DELETE", "/v1/subscriptions/{id}/discount", delete_discount, "SubscriptionDeleteDiscountParams"),
]
