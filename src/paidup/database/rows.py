"""Stripe's JSON into rows: what stands in the columns beside each snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paidup.core import parse
from paidup.core.invoice import Invoice
from paidup.core.reversal import Reversal
from paidup.core.subscription import Subscription

Json = Mapping[str, Any]
Row = dict[str, Any]


def customer_row(body: Json, *, owner: str, livemode: bool, synced_at: datetime) -> Row:
    """The row of a customer that is there."""
    customer = parse.customer(body, owner=owner)
    return {
        "id": customer.id,
        "owner": owner,
        "email": customer.email,
        "name": customer.name,
        "deleted": False,
        "livemode": livemode,
        "created": customer.created,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }


def subscription_row(subscription: Subscription, body: Json, *, plan: str | None, synced_at: datetime) -> Row:
    """The row of a subscription; `plan` is the plan it is on. Its items are rows of their own."""
    return {
        "id": subscription.id,
        "customer_id": subscription.customer,
        "status": subscription.status,
        "plan": plan,
        "current_period_start": subscription.current_period_start,
        "current_period_end": subscription.current_period_end,
        "cancel_at": subscription.cancel_at,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "trial_end": subscription.trial_end,
        "ended_at": subscription.ended_at,
        "created": subscription.created,
        "livemode": subscription.livemode,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }


def item_rows(subscription: Subscription, *, synced_at: datetime) -> list[Row]:
    """The rows of a subscription's items."""
    return [
        {
            "id": item.id,
            "subscription_id": subscription.id,
            "price_id": item.price,
            "product_id": item.product,
            "quantity": item.quantity,
            "current_period_start": item.current_period_start,
            "current_period_end": item.current_period_end,
            "livemode": subscription.livemode,
            "synced_at": synced_at,
        }
        for item in subscription.items
    ]


def invoice_row(body: Json, *, synced_at: datetime) -> Row:
    """The row of an invoice."""
    invoice: Invoice = parse.invoice(body)
    return {
        "id": invoice.id,
        "customer_id": invoice.customer,
        "subscription_id": invoice.subscription,
        "number": invoice.number,
        "status": invoice.status,
        "currency": invoice.currency,
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "attempt_count": invoice.attempt_count,
        "created": invoice.created,
        "finalized_at": invoice.finalized_at,
        "paid_at": invoice.paid_at,
        "livemode": invoice.livemode,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }


def reversal_row(reversal: Reversal, body: Json, *, synced_at: datetime) -> Row:
    """The row of a refund or a dispute."""
    return {
        "id": reversal.id,
        "kind": reversal.kind,
        "charge_id": reversal.charge,
        "payment_intent_id": reversal.payment_intent,
        "customer_id": reversal.customer,
        "invoice_id": reversal.invoice,
        "amount": reversal.amount,
        "currency": reversal.currency,
        "status": reversal.status,
        "reason": reversal.reason,
        "created": reversal.created,
        "livemode": reversal.livemode,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }


def product_row(body: Json, *, livemode: bool, synced_at: datetime) -> Row:
    """The row of a product that is there."""
    return {
        "id": body["id"],
        "name": body["name"],
        "active": body["active"],
        "deleted": False,
        "plan": (body.get("metadata") or {}).get(parse.PLAN_KEY),
        "livemode": livemode,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }


def price_row(body: Json, *, livemode: bool, synced_at: datetime) -> Row:
    """The row of a price that is there."""
    recurring = body.get("recurring") or {}
    return {
        "id": body["id"],
        "product_id": parse.reference(body["product"]),
        "lookup_key": body.get("lookup_key"),
        "active": body["active"],
        "deleted": False,
        "currency": body["currency"],
        "unit_amount": body.get("unit_amount"),
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "plan": (body.get("metadata") or {}).get(parse.PLAN_KEY),
        "livemode": livemode,
        "snapshot": dict(body),
        "synced_at": synced_at,
    }
