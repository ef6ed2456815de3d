"""The page on which a change of plan, interval or seats is agreed to: what it costs today, and from then on."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from paidup import Quote, Terms
from saas.billing import billing
from saas.settings import CHANGE_PAGE
from saas.web.rendering import page
from saas.web.viewer import SignedIn

router = APIRouter(default_response_class=HTMLResponse)

_PER = {"day": "daily", "week": "weekly", "month": "monthly", "year": "yearly"}


@router.get(CHANGE_PAGE)
def change_page(
    request: Request,
    viewer: SignedIn,
    plan: Annotated[str, Query(max_length=40)],
    interval: Annotated[str, Query(max_length=10)] = "",
    seats: int | None = None,
    changed: str = "",
) -> HTMLResponse:
    """A quote, computed by Stripe there and then. Looking at it changes nothing."""
    quote = billing.preview_change(viewer.user.owner, plan, interval=interval or None, seats=seats)
    return page(
        request,
        "change.html",
        quote=quote,
        plan=billing.catalog.plan(quote.after.plan),
        before=described(quote.before),
        after=described(quote.after),
        has_changed=bool(changed),
    )


def address_of(quote: Quote) -> str:
    """The page that quotes the same change anew, and says that something has changed."""
    after = quote.after
    asked = {"plan": after.plan, "interval": after.interval, "seats": after.seats, "changed": "yes"}
    return f"{CHANGE_PAGE}?{urlencode(asked)}"


def described(terms: Terms) -> str:
    """Terms in words: `Pro, monthly` or `Team, yearly, 3 seats`."""
    plan = billing.catalog.plan(terms.plan)
    seats = f", {terms.seats} seat{'' if terms.seats == 1 else 's'}" if plan.seats else ""
    return f"{plan.name}, {_PER.get(terms.interval, terms.interval)}{seats}"
