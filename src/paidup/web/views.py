"""What the routes answer, as JSON-ready facts: the same in every web framework. Moments are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from paidup.core.access import Access
from paidup.core.catalog import Addon, Catalog, Plan, PlanPrice
from paidup.core.invoice import Invoice, UpcomingInvoice
from paidup.core.quote import PendingChange, ScheduledChange
from paidup.core.subscription import Subscription


def access_view(access: Access) -> Mapping[str, Any]:
    """What an owner may use."""
    subscription = access.subscription
    return {
        "plan": access.plan,
        "plan_name": access.plan_name,
        "status": access.status,
        "features": sorted(access.features),
        "limits": dict(access.limits),
        "addons": dict(access.addons),
        "until": _iso(access.until),
        "action": access.action,
        "reason": access.reason,
        "canceling": access.is_canceling,
        "ends_at": _iso(subscription.ends_at) if subscription else None,
    }


def subscription_view(subscription: Subscription) -> Mapping[str, Any]:
    """How a subscription stands after a verb."""
    return {
        "id": subscription.id,
        "plan": subscription.plan,
        "status": subscription.status,
        "canceling": subscription.is_canceling,
        "ends_at": _iso(subscription.ends_at),
        "renews_at": _iso(subscription.renews_at),
        "paused": subscription.is_paused,
        "resumes_at": _iso(subscription.resumes_at),
    }


def scheduled_change_view(change: ScheduledChange) -> Mapping[str, Any]:
    """A change that is to come."""
    return {**asdict(change), "effective_at": change.effective_at.isoformat()}


def pending_change_view(change: PendingChange) -> Mapping[str, Any]:
    """A change that waits for the user's bank."""
    return {**asdict(change), "expires_at": change.expires_at.isoformat()}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def invoice_view(invoice: Invoice, *, page: str, pdf: str) -> Mapping[str, Any]:
    """An invoice; `page` and `pdf` are routes of the app: Stripe's own addresses run out."""
    return {
        "id": invoice.id,
        "number": invoice.number,
        "status": invoice.status,
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "amount_paid": invoice.amount_paid,
        "amount_refunded": invoice.amount_refunded,
        "dispute": invoice.dispute,
        "currency": invoice.currency,
        "created": invoice.created.isoformat(),
        "page": page,
        "pdf": pdf,
    }


def upcoming_invoice_view(invoice: UpcomingInvoice) -> Mapping[str, Any]:
    """The next invoice."""
    return {
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "currency": invoice.currency,
        "date": invoice.date.isoformat(),
        "lines": [
            {"description": each.description, "amount": each.amount, "quantity": each.quantity}
            for each in invoice.lines
        ],
        "has_more_lines": invoice.has_more_lines,
    }


def plan_view(plan: Plan, catalog: Catalog) -> Mapping[str, Any]:
    """A plan, and what is sold beside it."""
    return {
        "key": plan.key,
        "name": plan.name,
        "description": plan.description,
        "features": sorted(plan.features),
        "limits": dict(plan.limits),
        "prices": _prices(plan),
        "setup_fee": _costs(plan.setup_fee) if plan.setup_fee else None,
        "trial_days": plan.trial_days,
        "seats": {"min": plan.seats.min, "max": plan.seats.max} if plan.seats else None,
        "highlights": list(plan.highlights),
        "addons": [_addon(each) for each in catalog.addons_of(plan.key)],
    }


def credits_view(balances: Mapping[str, int], catalog: Catalog) -> list[Mapping[str, Any]]:
    """How many units there are of each credit."""
    names = {key: each.name for key, each in catalog.credits.items()}
    return [{"key": key, "name": names.get(key, key), "balance": units} for key, units in balances.items()]


def _addon(addon: Addon) -> Mapping[str, Any]:
    return {
        "key": addon.key,
        "name": addon.name,
        "description": addon.description,
        "features": sorted(addon.features),
        "limits": dict(addon.limits),
        "prices": _prices(addon),
        "max": addon.max,
    }


def _prices(sold: Plan | Addon) -> list[Mapping[str, Any]]:
    return [{"interval": each.interval, **_costs(each), "credits": dict(each.credits)} for each in sold.prices]


def _costs(price: PlanPrice) -> Mapping[str, Any]:
    """In its own currency, and by currency in all of them."""
    return {"amount": price.amount, "currency": price.currency, "amounts": dict(price.amounts)}
