"""
Stripe's JSON to our types: the only place that knows where a field lives.

Bodies may come from any API version since 2020: periods moved from the subscription to its items and an invoice's
subscription moved below `parent` with 2025-03-31.basil; both places are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from paidup.core.customer import Customer, PaymentMethod
from paidup.core.discount import Discount
from paidup.core.invoice import BilledLine, Invoice, SoldPrice, UpcomingInvoice, UpcomingLine
from paidup.core.reversal import Reversal
from paidup.core.standing import Standing
from paidup.core.subscription import Subscription, SubscriptionItem
from paidup.core.timestamps import from_unix

Json = Mapping[str, Any]
_NEVER = datetime.max.replace(tzinfo=UTC)

OWNER_KEY = "paidup_owner"
"""Metadata key on what paidup creates at Stripe: the owner."""
INTENT_KEY = "paidup_intent"
"""Metadata key on what paidup creates at Stripe: the id of the row that asked for it."""
PLAN_KEY = "paidup_plan"
ADDON_KEY = "paidup_addon"
"""Metadata key on products and prices that the catalog made: the plan's key."""
QUOTE_KEY = "paidup_quote"
"""Metadata key on subscriptions and schedules: the quote that made them what they are."""
CARD_KEY = "paidup_card"
"""Metadata key on a customer: the card that was both pinned and the default when the portal was last opened."""
PORTAL_MARK = ("paidup", "portal")
"""Metadata key and value of the portal configuration that the catalog made."""


def customer(body: Json, *, owner: str | None) -> Customer:
    """A customer; a deleted one is a stub of id and `deleted`."""
    invoice_settings = body.get("invoice_settings") or {}
    return Customer(
        id=body["id"],
        owner=owner,
        email=body.get("email"),
        name=body.get("name"),
        currency=body.get("currency"),
        balance=body.get("balance") or 0,
        delinquent=bool(body.get("delinquent")),
        payment_method=payment_method(invoice_settings.get("default_payment_method")),
        deleted=bool(body.get("deleted")),
        livemode=bool(body.get("livemode")),
        created=from_unix(body.get("created")) or datetime.fromtimestamp(0, UTC),
        metadata=dict(body.get("metadata") or {}),
        discounts=discounts(body),
    )


def discounts(body: Json) -> tuple[Discount, ...]:
    """
    The discounts of a customer or a subscription, in their order.

    Bodies have a list of ids or objects, or before 2025-03-31.basil a single one; the coupon stands in the discount,
    or since 2025-09-30.clover below `source`, as an object or an id.
    """
    several = body.get("discounts") or []
    single = body.get("discount")
    return tuple(_discount(each) for each in several or ([single] if single else []))


def _discount(body: Json | str) -> Discount:
    if isinstance(body, str):
        return Discount(body)
    found = (body.get("source") or {}).get("coupon") or body.get("coupon")
    coupon: Json = found if isinstance(found, Mapping) else {}
    return Discount(
        id=body["id"],
        coupon=reference(found),
        name=coupon.get("name"),
        percent_off=coupon.get("percent_off"),
        amount_off=coupon.get("amount_off"),
        currency=coupon.get("currency"),
        duration=coupon.get("duration"),
        promotion_code=reference(body.get("promotion_code")),
        ends_at=from_unix(body.get("end")),
    )


def names_an_owner(body: Json) -> bool:
    """Does a customer say that paidup made it, and for whom? Whether that is true, a row of ours tells."""
    metadata = body.get("metadata") or {}
    return bool(metadata.get(OWNER_KEY) and metadata.get(INTENT_KEY))


def changed_card(body: Json) -> tuple[str, str] | None:
    """The card a customer had when the portal was opened, and the other one that is their default now."""
    before = (body.get("metadata") or {}).get(CARD_KEY)
    now = reference((body.get("invoice_settings") or {}).get("default_payment_method"))
    return (before, now) if before and now and before != now else None


def payment_method(body: Json | str | None) -> PaymentMethod | None:
    """A payment method that was expanded; None for a bare id or nothing."""
    if not isinstance(body, Mapping):
        return None
    card = body.get("card") or {}
    return PaymentMethod(
        id=body["id"],
        type=body["type"],
        brand=card.get("brand"),
        last4=card.get("last4"),
        exp_month=card.get("exp_month"),
        exp_year=card.get("exp_year"),
    )


def subscription(
    body: Json,
    *,
    plan: str | None = None,
    past_due_since: datetime | None = None,
    awaits_first_payment: bool = False,
    refunded: bool = False,
    disputed: bool = False,
) -> Subscription:
    """A subscription with all its items; `plan` and what follows are what we know beside Stripe's body."""
    items = tuple(_item(item, body) for item in body["items"]["data"])
    first = min(items, key=lambda item: item.current_period_end or _NEVER, default=None)
    pause = body.get("pause_collection") or {}
    return Subscription(
        id=body["id"],
        customer=reference(body["customer"]) or "",
        status=body["status"],
        items=items,
        currency=body.get("currency") or (items[0].currency if items else ""),
        collection_method=body.get("collection_method") or "charge_automatically",
        current_period_start=first.current_period_start if first else None,
        current_period_end=first.current_period_end if first else None,
        cancel_at=from_unix(body.get("cancel_at")),
        cancel_at_period_end=bool(body.get("cancel_at_period_end")),
        canceled_at=from_unix(body.get("canceled_at")),
        ended_at=from_unix(body.get("ended_at")),
        trial_start=from_unix(body.get("trial_start")),
        trial_end=from_unix(body.get("trial_end")),
        paused_collection=pause.get("behavior"),
        resumes_at=from_unix(pause.get("resumes_at")),
        latest_invoice=reference(body.get("latest_invoice")),
        payment_method=payment_method(body.get("default_payment_method")),
        created=from_unix(body["created"]) or datetime.fromtimestamp(0, UTC),
        livemode=bool(body.get("livemode")),
        metadata=dict(body.get("metadata") or {}),
        plan=plan,
        schedule=reference(body.get("schedule")),
        past_due_since=past_due_since,
        awaits_first_payment=awaits_first_payment,
        waiting_quote=((body.get("pending_update") or {}).get("metadata") or {}).get(QUOTE_KEY),
        discounts=discounts(body),
        refunded=refunded,
        disputed=disputed,
    )


def trial_ends_unpaid(body: Json, customer: Json) -> bool:
    """Does a trial end with nothing billed, since it is to end or pause without a card and there is none?"""
    behavior = ((body.get("trial_settings") or {}).get("end_behavior") or {}).get("missing_payment_method")
    if body["status"] != "trialing" or behavior not in ("cancel", "pause"):
        return False
    has_method = (
        body.get("default_payment_method")
        or body.get("default_source")
        or (customer.get("invoice_settings") or {}).get("default_payment_method")
        or customer.get("default_source")
    )
    return body.get("collection_method") != "send_invoice" and not has_method


def standing(body: Json) -> Standing:
    """A subscription with what decides how it may end, pause or go on."""
    details = body.get("cancellation_details") or {}
    return Standing(
        subscription=subscription(body),
        schedule=reference(body.get("schedule")),
        is_resuming=body["status"] == "paused" and body.get("pending_update") is not None,
        is_flexible=(body.get("billing_mode") or {}).get("type") == "flexible",
        feedback=details.get("feedback"),
        comment=details.get("comment"),
    )


def unit_amount(price: Json, currency: str) -> int | None:
    """What a price costs in a currency, in minor units; None for tiers, and where the body doesn't tell."""
    if price.get("currency", currency) == currency:
        found: int | None = price.get("unit_amount")
        return found
    return ((price.get("currency_options") or {}).get(currency) or {}).get("unit_amount")


def prices_elsewhere(subscription: Json) -> list[dict[str, Any]]:
    """The prices in a subscription that Stripe shows in another currency than the subscription's: in their own."""
    currency = subscription.get("currency")
    prices = [item["price"] for item in subscription["items"]["data"]]
    return [each for each in prices if currency is not None and each.get("currency") != currency]


def _item(body: Json, parent: Json) -> SubscriptionItem:
    price = body["price"]
    recurring = price.get("recurring") or {}
    currency = parent.get("currency") or price.get("currency") or ""
    return SubscriptionItem(
        id=body["id"],
        price=price["id"],
        product=reference(price.get("product")) or "",
        lookup_key=price.get("lookup_key"),
        plan_hint=(price.get("metadata") or {}).get(PLAN_KEY),
        addon_hint=(price.get("metadata") or {}).get(ADDON_KEY),
        quantity=body.get("quantity") or 1,
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count") or 1,
        unit_amount=unit_amount(price, currency),
        currency=currency,
        current_period_start=from_unix(body.get("current_period_start") or parent.get("current_period_start")),
        current_period_end=from_unix(body.get("current_period_end") or parent.get("current_period_end")),
    )


def invoice(body: Json, *, amount_refunded: int = 0, dispute: str | None = None) -> Invoice:
    """An invoice, of its lines only the period; what follows is what we know of its payments beside Stripe's body."""
    transitions = body.get("status_transitions") or {}
    service_start, service_end = _service(body)
    return Invoice(
        id=body["id"],
        customer=reference(body["customer"]) or "",
        subscription=invoice_subscription(body),
        number=body.get("number"),
        status=body.get("status") or "draft",
        currency=body["currency"],
        total=body["total"],
        amount_due=body["amount_due"],
        amount_paid=body["amount_paid"],
        amount_remaining=body["amount_remaining"],
        billing_reason=body.get("billing_reason"),
        attempt_count=body.get("attempt_count") or 0,
        next_payment_attempt=from_unix(body.get("next_payment_attempt")),
        period_start=from_unix(body["period_start"]) or datetime.fromtimestamp(0, UTC),
        period_end=from_unix(body["period_end"]) or datetime.fromtimestamp(0, UTC),
        due_date=from_unix(body.get("due_date")),
        created=from_unix(body["created"]) or datetime.fromtimestamp(0, UTC),
        finalized_at=from_unix(transitions.get("finalized_at")),
        paid_at=from_unix(transitions.get("paid_at")),
        hosted_invoice_url=body.get("hosted_invoice_url"),
        invoice_pdf=body.get("invoice_pdf"),
        livemode=bool(body.get("livemode")),
        service_start=service_start,
        service_end=service_end,
        amount_refunded=amount_refunded,
        dispute=dispute,
    )


def _service(body: Json) -> tuple[datetime | None, datetime | None]:
    """The latest period that a line charges for, prorations aside; metered lines look back."""
    periods = [
        (line["period"]["end"], line["period"]["start"])
        for line in (body.get("lines") or {}).get("data") or []
        if line.get("period") and not _is_proration(line)
    ]
    end, start = max(periods, default=(None, None))
    return from_unix(start), from_unix(end)


def billed_lines(lines: Iterable[Json]) -> list[BilledLine]:
    """Lines of an invoice, wherever this API version keeps their price."""
    return [_billed_line(line) for line in lines]


def _billed_line(line: Json) -> BilledLine:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or line
    credited = (details.get("proration_details") or {}).get("credited_items") or {}
    price = ((line.get("pricing") or {}).get("price_details") or {}).get("price") or line.get("price")
    return BilledLine(
        id=line["id"],
        price=reference(price),
        amount=line["amount"],
        quantity=line.get("quantity"),
        start=from_unix(line["period"]["start"]) or datetime.fromtimestamp(0, UTC),
        end=from_unix(line["period"]["end"]) or datetime.fromtimestamp(0, UTC),
        is_proration=_is_proration(line),
        credited=tuple(credited.get("invoice_line_items") or ()),
    )


def sold_price(body: Json) -> SoldPrice:
    """A price, with what says which plan or add-on it is of."""
    metadata = body.get("metadata") or {}
    return SoldPrice(
        id=body["id"],
        lookup_key=body.get("lookup_key"),
        plan_hint=metadata.get(PLAN_KEY),
        addon_hint=metadata.get(ADDON_KEY),
        interval=(body.get("recurring") or {}).get("interval"),
    )


def _is_proration(line: Json) -> bool:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or line
    return bool(details.get("proration"))


def reversal(body: Json, *, charge: Json, invoice: str | None, livemode: bool) -> Reversal:
    """A refund or a dispute, with the charge it is of and the invoice which that paid."""
    return Reversal(
        id=body["id"],
        kind=body["object"],
        charge=charge["id"],
        payment_intent=reference(body.get("payment_intent")),
        customer=reference(charge.get("customer")),
        invoice=invoice,
        amount=body["amount"],
        currency=body["currency"],
        status=body.get("status") or "pending",
        reason=body.get("reason"),
        created=from_unix(body["created"]) or datetime.fromtimestamp(0, UTC),
        livemode=livemode,
    )


def upcoming_invoice(body: Json) -> UpcomingInvoice:
    """A preview of the next invoice, with the lines that came with it."""
    return UpcomingInvoice(
        subscription=invoice_subscription(body),
        currency=body["currency"],
        total=body["total"],
        amount_due=body["amount_due"],
        date=from_unix(body["period_end"]) or datetime.fromtimestamp(0, UTC),
        lines=upcoming_lines(body),
        has_more_lines=bool(body["lines"].get("has_more")),
    )


def upcoming_lines(body: Json) -> tuple[UpcomingLine, ...]:
    """The lines that came with a preview."""
    return tuple(_upcoming_line(line) for line in body["lines"]["data"])


def _upcoming_line(body: Json) -> UpcomingLine:
    return UpcomingLine(
        description=body.get("description") or "",
        amount=body["amount"],
        quantity=body.get("quantity"),
        period_start=from_unix(body["period"]["start"]) or datetime.fromtimestamp(0, UTC),
        period_end=from_unix(body["period"]["end"]) or datetime.fromtimestamp(0, UTC),
    )


def invoice_subscription(body: Json) -> str | None:
    """The subscription an invoice bills, wherever this API version keeps it."""
    details = (body.get("parent") or {}).get("subscription_details") or {}
    return reference(details.get("subscription") or body.get("subscription"))


def reference(value: Json | str | None) -> str | None:
    """The id of a field that holds an id or the expanded object."""
    if isinstance(value, Mapping):
        found: str | None = value.get("id")
        return found
    return value
