"""The front page and the prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from paidup import Plan
from saas.billing import billing
from saas.offers import INTERVALS, Held, offers, yearly_saving
from saas.web.rendering import day, page
from saas.web.viewer import MaybeViewer, Viewer

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/")
def home(request: Request, viewer: MaybeViewer) -> HTMLResponse:
    """What this is, and what it costs."""
    return page(request, "home.html", **price_cards(viewer, billing.catalog.plans))


@router.get("/pricing")
def pricing(request: Request, viewer: MaybeViewer, interval: str = "month", plan: str = "") -> HTMLResponse:
    """The plans; `plan` is the one somebody chose before they signed up."""
    chosen = next((each for each in billing.catalog.plans if each.key == plan and not each.is_free), None)
    wants = chosen if viewer and not held_plan(viewer) else None
    cards = price_cards(viewer, billing.catalog.plans, interval=interval, wants=plan)
    return page(request, "pricing.html", wants=wants, **cards)


def held_plan(viewer: Viewer) -> str | None:
    """The plan of the viewer's live subscription, whether or not it gives access now."""
    subscription = viewer.access.subscription
    if subscription is None or not subscription.is_live:
        return None
    return viewer.access.plan if viewer.access.is_paid else subscription.plan or viewer.access.plan


def held_name(viewer: Viewer) -> str:
    """The name of the plan that the viewer's subscription is, or was, for."""
    subscription = viewer.access.subscription
    key = subscription.plan if subscription is not None else None
    return next((each.name for each in billing.catalog.plans if each.key == key), viewer.access.plan_name)


def currency_of(viewer: Viewer | None) -> str:
    """What the viewer pays in, which they keep; what we sell in for whoever has not paid yet."""
    customer = billing.customer(viewer.user.owner) if viewer else None
    return (customer.currency if customer else None) or billing.catalog.currency


def price_cards(
    viewer: Viewer | None, plans: Sequence[Plan], *, interval: str = "month", wants: str | None = None
) -> dict[str, Any]:
    """What the templates with plan cards need."""
    interval = interval if interval in INTERVALS else "month"
    currency = currency_of(viewer)
    return {
        "interval": interval,
        "saving": yearly_saving(plans, currency),
        "currency": currency,
        "offers": offers(
            plans,
            interval=interval,
            access=viewer.access if viewer else None,
            held=_held(viewer) if viewer else None,
            wants=wants,
        ),
    }


def _held(viewer: Viewer) -> Held | None:
    key = held_plan(viewer)
    if key is None:
        return None
    return Held(key, held_name(viewer), planned=billing.scheduled_change(viewer.user.owner), day=day)
