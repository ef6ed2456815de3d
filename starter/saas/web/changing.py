"""The page on which a change of plan, interval, seats or add-ons is agreed to: what it costs today and from then on."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from paidup import DiscountRefused, Quote, Terms
from saas.billing import billing
from saas.settings import CHANGE_PAGE, PRICING_PAGE
from saas.web.rendering import page
from saas.web.viewer import SignedIn

router = APIRouter(default_response_class=HTMLResponse)

_ADDON = "addons."
"""What the fields for add-ons begin with, here as in paidup's own routes."""
_PER = {"day": "daily", "week": "weekly", "month": "monthly", "year": "yearly"}


@router.get(CHANGE_PAGE)
def change_page(
    request: Request,
    viewer: SignedIn,
    plan: Annotated[str, Query(max_length=40)] = "",
    interval: Annotated[str, Query(max_length=10)] = "",
    seats: int | None = None,
    promotion_code: Annotated[str, Query(max_length=100)] = "",
    changed: str = "",
) -> Response:
    """A quote, computed by Stripe there and then; looking at it changes nothing. Without a plan: where to choose."""
    if not plan:
        return RedirectResponse(PRICING_PAGE, status_code=303)
    takes_codes, code_problem = billing.catalog.checkout.promotion_codes, ""
    terms: dict[str, Any] = {"interval": interval or None, "seats": seats, "addons": _addons(request)}
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
        addons=quote.addons_changed,
        lost=_lost(quote),
        card=billing.payment_method(viewer.user.owner),
        has_changed=bool(changed),
        takes_codes=takes_codes,
        code=promotion_code,
        code_problem=code_problem,
    )


def address_of(quote: Quote) -> str:
    """The page that quotes the same change anew, and says that something has changed."""
    after = quote.after
    asked = {"plan": after.plan, "interval": after.interval, "seats": after.seats, "changed": "yes"}
    asked |= {f"{_ADDON}{key}": quantity for key, quantity in quote.addons_changed.items()}
    if quote.promotion_code:
        asked["promotion_code"] = quote.promotion_code
    return f"{CHANGE_PAGE}?{urlencode(asked)}"


def described(terms: Terms) -> str:
    """Terms in words: `Pro, monthly` or `Team, yearly, 3 seats, 2 × Five more projects`."""
    plan = billing.catalog.plan(terms.plan)
    seats = f", {terms.seats} seat{'' if terms.seats == 1 else 's'}" if plan.seats else ""
    beside = "".join(
        f", {quantity} × {addon.name}" if addon.max > 1 else f", {addon.name}"
        for addon in billing.catalog.addons
        if (quantity := terms.addons.get(addon.key))
    )
    return f"{plan.name}, {_PER.get(terms.interval, terms.interval)}{seats}{beside}"


def _lost(quote: Quote) -> list[str]:
    """The names of the add-ons that go because the plan they would go to is sold without them."""
    if quote.before.plan == quote.after.plan:
        return []
    gone = {key for key, quantity in quote.addons_changed.items() if not quantity}
    return [addon.name for addon in billing.catalog.addons if addon.key in gone]


def _addons(request: Request) -> dict[str, int]:
    """How many of which add-ons the address asks for; what is no number is refused with the quote."""
    asked = {name: value for name, value in request.query_params.items() if name.startswith(_ADDON) and value}
    return {name.removeprefix(_ADDON): int(value) if value.isdecimal() else -1 for name, value in asked.items()}
