"""Building a subscription and its first invoice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stripe_emulator.billing import currencies, discounts, invoicing, lines, usage
from stripe_emulator.billing.anchors import wished_anchor
from stripe_emulator.billing.discounts import Wish
from stripe_emulator.billing.periods import next_boundary
from stripe_emulator.billing.stubs import is_stub, stub_line
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TRIAL_WARNING = 3 * DAY
MAX_ON_CLOCK = 3


@dataclass(slots=True)
class Terms:
    """What a new subscription is to be, besides its items."""

    currency: str | None = None
    """None: the customer's, else that of its prices."""
    trial_end: int | None = None
    billing_cycle_anchor: int | None = None
    billing_cycle_anchor_config: Json | None = None
    trial_end_anchor: str | None = None
    """`trial_settings.end_behavior.billing_cycle_anchor`"""
    proration_behavior: str = "create_prorations"
    default_payment_method: str | None = None
    missing_payment_method: str = "create_invoice"
    metadata: Json = field(default_factory=dict)
    description: str | None = None
    payment_settings: Json | None = None
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    billing_mode: str = "flexible"
    off_session: bool = False
    automatic_tax: bool = False
    default_tax_rates: list[str] = field(default_factory=list)
    item_tax_rates: dict[int, list[str]] = field(default_factory=dict)
    """By the items' positions."""
    discounts: list[Wish] = field(default_factory=list)
    item_discounts: dict[int, list[Wish]] = field(default_factory=dict)
    """By the items' positions."""
    checkout_session: str | None = None


def check_room(engine: Engine, customer: Json) -> None:
    """Refuse a fourth subscription of a customer on a test clock; those that ended don't count."""
    if customer["test_clock"] is None:
        return
    running = [found for found in engine.store.of_customer("subscription", customer["id"]) if not found["ended_at"]]
    if len(running) >= MAX_ON_CLOCK:
        raise invalid(f"A customer on a test clock can have at most {MAX_ON_CLOCK} subscriptions.", param="customer")


def build(engine: Engine, customer: Json, items: list[tuple[Json, int, Json]], terms: Terms) -> Json:
    """
    Store a subscription of (price, quantity, metadata) items, its first period begun; no event yet.

    Its status is what it will be if nothing stands in the way: trialing or active.
    """
    now = engine.now(customer["test_clock"])
    places = [(price, f"items[{position}][price]") for position, (price, _, _) in enumerate(items)]
    currency = currencies.choose(engine, customer, places, terms.currency)
    wished = wished_anchor(
        [(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price, _, _ in items],
        anchor=terms.billing_cycle_anchor,
        config=terms.billing_cycle_anchor_config,
        now=now,
        start=terms.trial_end or now,
    )
    anchor = wished or terms.trial_end or now
    id = new_id("sub")
    subscription: Json = {
        **nulls("subscription"),
        "id": id,
        "object": "subscription",
        "automatic_tax": automatic_tax(terms.automatic_tax),
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": terms.billing_cycle_anchor_config,
        "billing_mode": billing_mode(terms.billing_mode),
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": terms.collection_method,
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "days_until_due": terms.days_until_due,
        "default_payment_method": terms.default_payment_method,
        "default_tax_rates": list(terms.default_tax_rates),
        "description": terms.description,
        "discounts": [],
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": [],
        "livemode": False,
        "metadata": terms.metadata,
        "payment_settings": terms.payment_settings
        or {"payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off"},
        "start_date": now,
        "status": "trialing" if terms.trial_end else "active",
        "test_clock": customer["test_clock"],
        "trial_end": terms.trial_end,
        "trial_settings": {
            "end_behavior": {
                "billing_cycle_anchor": terms.trial_end_anchor,
                "missing_payment_method": terms.missing_payment_method,
            }
        },
        "trial_start": now if terms.trial_end else None,
        "_keeps_anchor": terms.trial_end_anchor == "unchanged" or (wished and terms.trial_end_anchor is None) or False,
        "_warned": False,
    }
    for position, (price, quantity, metadata) in enumerate(items):
        end = terms.trial_end or first_period_end(price, anchor, now)
        item = make_item(engine, subscription, price, quantity, metadata, start=now, end=end)
        item["tax_rates"] = list(terms.item_tax_rates.get(position, []))
        subscription["items"].append(item)
    engine.store.add(subscription)
    _redeem(engine, customer, subscription, terms)
    currencies.keep(engine, customer, currency)
    return subscription


def _redeem(engine: Engine, customer: Json, subscription: Json, terms: Terms) -> None:
    def redeem(wish: Wish, item: str | None = None) -> str:
        return discounts.redeem(
            engine,
            wish,
            customer=customer,
            subscription=subscription,
            item=item,
            checkout_session=terms.checkout_session,
        )

    for position, wanted in terms.item_discounts.items():
        item = subscription["items"][position]
        item["discounts"] = [redeem(wish, item["id"]) for wish in wanted]
    subscription["discounts"] = [redeem(wish) for wish in terms.discounts]


def make_item(
    engine: Engine, subscription: Json, price: Json, quantity: int, metadata: Json, *, start: int, end: int
) -> Json:
    """One item; `_paid` remembers what was last debited for it and for which stretch of time."""
    return {
        **nulls("subscription_item"),
        "id": new_id("si"),
        "object": "subscription_item",
        "created": engine.now(subscription["test_clock"]),
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": metadata,
        "price": price["id"],
        "quantity": quantity,
        "subscription": subscription["id"],
        "tax_rates": [],
        "_paid": [0, start, end],
    }


def first_period_end(price: Json, anchor: int, now: int) -> int:
    """The end of the period that begins now, with the cycle anchored at `anchor`, earlier or later."""
    recurring = price["recurring"]
    return next_boundary(anchor, recurring["interval"], recurring["interval_count"], now)


def starts_free(engine: Engine, subscription: Json, terms: Terms) -> bool:
    """Is nothing invoiced before the first full period? The time until then is free with `proration_behavior=none`."""
    return (
        terms.proration_behavior == "none"
        and subscription["status"] != "trialing"
        and all(is_stub(engine, subscription, item) for item in subscription["items"])
    )


def first_lines(engine: Engine, subscription: Json, terms: Terms) -> list[Json]:
    """The lines of the first invoice: a whole period, a free trial, or the stub until the anchor."""
    made = []
    trial = subscription["status"] == "trialing"
    for item in subscription["items"]:
        start, end = item["current_period_start"], item["current_period_end"]
        if usage.is_metered(engine.find("price", item["price"])):
            continue
        if not trial and is_stub(engine, subscription, item):
            if terms.proration_behavior == "none":
                continue
            line = stub_line(engine, subscription, item)
        else:
            line = lines.period_line(engine, subscription, item, start=start, end=end, trial=trial)
        item["_paid"] = [line["amount"], start, end]
        made.append(line)
    return made


def first_invoice(engine: Engine, customer: Json, subscription: Json, terms: Terms, *, emit: bool) -> Json:
    """The first invoice as a draft, noted on the subscription."""
    invoice = invoicing.draft(
        engine,
        customer,
        first_lines(engine, subscription, terms),
        reason="subscription_create",
        currency=subscription["currency"],
        subscription=subscription,
        auto_advance=subscription["collection_method"] == "send_invoice",
        emit=emit,
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def automatic_tax(enabled: bool) -> Json:
    """A subscription's `automatic_tax`: without a tax registration nothing is collected. See
    https://docs.stripe.com/tax/registering"""
    return {"disabled_reason": None, "enabled": enabled, "liability": {"type": "self"} if enabled else None}


def announce_trial(engine: Engine, subscription: Json) -> None:
    """`trial_will_end` comes three days before the end, and at once when the trial is shorter."""
    now = engine.now(subscription["test_clock"])
    if subscription["status"] == "trialing" and subscription["trial_end"] - now <= TRIAL_WARNING:
        subscription["_warned"] = True
        engine.emit("customer.subscription.trial_will_end", subscription)


def billing_mode(type: str) -> Json:
    """A subscription's `billing_mode`. See https://docs.stripe.com/billing/subscriptions/billing-mode"""
    if type == "flexible":
        return {"flexible": {"proration_discounts": "included"}, "type": "flexible"}
    return {"flexible": None, "type": type}
