"""Settings → billing, and the page that greets a user who comes back from Checkout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from paidup import Addon, Checkout, CheckoutNotFound, Plan, PlanPrice
from saas.banners import banner_for
from saas.billing import billing
from saas.offers import comes_first
from saas.settings import CHECKOUT_DONE, SETTINGS_PAGE
from saas.web.changing import described
from saas.web.home import held_name, held_plan
from saas.web.rendering import day, page
from saas.web.viewer import SignedIn, Viewer

router = APIRouter(default_response_class=HTMLResponse)

_INVOICES = 12
"""How many of them are on one page."""

_REASONS = (
    ("too_expensive", "It is too expensive"),
    ("missing_features", "Something I need is missing"),
    ("switched_service", "I found something else"),
    ("unused", "I don't use it"),
    ("too_complex", "It is too hard to use"),
    ("low_quality", "It is not good enough"),
    ("customer_service", "I was not helped well"),
    ("other", "Something else"),
)
"""What Stripe knows as reasons, in our words."""

_PAUSES = ((1, "A month"), (2, "Two months"), (3, "Three months"))


@router.get(SETTINGS_PAGE)
def billing_page(
    request: Request, viewer: SignedIn, before: Annotated[str | None, Query(max_length=255)] = None
) -> Response:
    """Plan, status, renewal or end, card and invoices, all from the local database."""
    owner = viewer.user.owner
    card = billing.payment_method(owner)
    invoices = billing.invoices(owner, limit=_INVOICES + 1, before=before)
    planned = billing.scheduled_change(owner)
    plan = _plan_of(viewer) if comes_first(viewer.access, planned) is None else None
    return page(
        request,
        "billing.html",
        banner=banner_for(viewer.access, held_name=held_name(viewer), card=card, day=day),
        held_name=held_name(viewer),
        card=card,
        customer=billing.customer(owner),
        invoices=invoices[:_INVOICES],
        earlier=invoices[_INVOICES - 1].id if len(invoices) > _INVOICES else None,
        reasons=_REASONS,
        pauses=_pauses(viewer),
        planned=(described(planned.after), planned.effective_at) if planned else None,
        waiting=_waiting(viewer),
        credits=_credits_of(viewer),
        plan=plan,
        seats=_seats_of(viewer, plan),
        addons=_addons_of(viewer, plan),
    )


@router.get(f"{SETTINGS_PAGE}/next-invoice")
def next_invoice(request: Request, viewer: SignedIn) -> Response:
    """What will be charged next, as Stripe would draw it up now; when that is nothing, why, and what to do about it."""
    owner = viewer.user.owner
    invoice = billing.upcoming_invoice(owner)
    banner = banner_for(viewer.access, held_name=held_name(viewer), card=billing.payment_method(owner), day=day)
    return page(request, "next_invoice.html", invoice=invoice, banner=None if invoice else banner)


@router.get(CHECKOUT_DONE)
def welcome(request: Request, viewer: SignedIn, checkout: Annotated[str, Query(max_length=255)] = "") -> Response:
    """
    How the Checkout ended, as the database knows it. The address grants nothing.

    Until the truth has arrived the page waits: with JavaScript it asks for the access status, without it the browser
    goes through the return route again, which asks Stripe.
    """
    found = _checkout(viewer.user.owner, checkout)
    if viewer.access.is_paid and (found is None or found.state != "open"):
        state = "subscribed"
    elif found is None:
        state = "nothing"
    else:
        state = {"complete": "waiting", "pending": "payment_pending"}.get(found.state, found.state)
    return page(
        request,
        "welcome.html",
        state=state,
        checkout=found,
        again=f"/billing/return?{urlencode({'session_id': checkout})}",
    )


def _pauses(viewer: Viewer) -> list[tuple[str, str]]:
    """Until when the viewer's subscription may be paused, and in words; none when it cannot be."""
    subscription = viewer.access.subscription
    if subscription is None or not subscription.is_active or subscription.is_paused or subscription.is_canceling:
        return []
    if subscription.schedule is not None:
        return []
    # Of a day, not of a moment: the page must not seem to change while it is looked at.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = max(today, subscription.current_period_start or today)
    dates = [((begin + timedelta(days=30 * months)).isoformat(), text) for months, text in _PAUSES]
    return [*dates, ("", "Until I resume it")]


def _waiting(viewer: Viewer) -> str | None:
    """
    The quote whose change waits for the viewer's bank.

    Confirming it again leads to the bank, so that the page asks Stripe for no address.
    """
    subscription = viewer.access.subscription
    return subscription.waiting_quote if subscription is not None and subscription.is_live else None


def _plan_of(viewer: Viewer) -> Plan | None:
    """The plan of the viewer's live subscription."""
    key = held_plan(viewer)
    return billing.catalog.plan(key) if key and billing.catalog.has(key) else None


def _credits_of(viewer: Viewer) -> list[tuple[str, int]]:
    """How many of which credits the viewer has, by their names; none before the first subscription."""
    balances = billing.credits(viewer.user.owner)
    if held_plan(viewer) is None and not any(balances.values()):
        return []
    return [(name.name, balances[key]) for key, name in billing.catalog.credits.items()]


def _addons_of(viewer: Viewer, plan: Plan | None) -> list[tuple[Addon, int, PlanPrice | None]]:
    """What is sold beside the viewer's plan, how many of it they have, and its price."""
    subscription = viewer.access.subscription
    if plan is None or subscription is None or not viewer.access.is_paid:
        return []
    interval = subscription.items[0].interval or ""
    held = viewer.access.addons
    return [(each, held.get(each.key, 0), each.price(interval)) for each in billing.catalog.addons_of(plan.key)]


def _seats_of(viewer: Viewer, plan: Plan | None) -> int | None:
    """How many seats the viewer's live subscription has; None when its plan is not sold by seats."""
    subscription = viewer.access.subscription
    if plan is None or plan.seats is None or subscription is None:
        return None
    sold_as = {price.lookup_key for price in plan.prices}
    return next((item.quantity for item in subscription.items if item.lookup_key in sold_as), None)


def _checkout(owner: str, session_id: str) -> Checkout | None:
    try:
        return billing.find_checkout(owner, session_id) if session_id else None
    except CheckoutNotFound:
        return None
