"""The page on which a change of plan, interval or seats is agreed to: what it costs today, and from then on."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from paidup import DiscountRefused, Quote, Terms
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
    promotion_code: Annotated[str, Query(max_length=100)] = "",
    changed: str = "",
) -> HTMLResponse:
    """A quote, computed by Stripe there and then. Looking at it changes nothing."""
    takes_codes, code_problem = billing.catalog.checkout.promotion_codes, ""
    terms: dict[str, Any] = {"interval": interval or None, "seats": seats}
    try:
        code = promotion_code.strip() if takes_codes else ""
        quote = billing.preview_change(viewer.user.owner, plan, promotion_code=code or None, **terms)
    except DiscountRefused:
        code_problem = "This code does not apply here. The price below is without it."
        quote = billing.preview_change(viewer.user.owner, plan, **terms)
    return page(
        request,
        "change.html",
        quote=quote,
        plan=billing.catalog.plan(quote.after.plan),
        before=described(quote.before),
        after=described(quote.after),
        has_changed=bool(changed),
        takes_codes=takes_codes,
        code=promotion_code,
        code_problem=code_problem,
    )


def address_of(quote: Quote) -> str:
    """The page that quotes the same change anew, and says that something has changed."""
    after = quote.after
    asked = {"plan": after.plan, "interval": after.interval, "seats": after.seats, "changed": "yes"}
    if quote.promotion_code:
        asked["promotion_code"] = quote.promotion_code
    return f"{CHANGE_PAGE}?{urlencode(asked)}"


def described(terms: Terms) -> str:
    """Terms in words: `Pro, monthly` or `Team, yearly, 3 seats`."""
    plan = billing.catalog.plan(terms.plan)
    seats = f", {terms.seats} seat{'' if terms.seats == 1 else 's'}" if plan.seats else ""
    return f"{plan.name}, {_PER.get(terms.interval, terms.interval)}{seats}"
