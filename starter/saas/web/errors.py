"""
What went wrong, as a page for people and as problem details for programs.

Every page says what to do next: the plan that would do, the card to update, when to try again.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from paidup import (
    AccessRefused,
    BillingError,
    ChangeNotPaid,
    CheckoutNotFound,
    CheckoutRefused,
    CurrencyRefused,
    DiscountRefused,
    InsufficientCredits,
    InvalidQuantity,
    InvalidSeats,
    InvoiceNotFound,
    NothingToPay,
    NotSignedIn,
    PlanNotForSale,
    QuoteChanged,
    QuoteNotFound,
    SubscriptionRefused,
    UnknownAddon,
    UnknownInterval,
    UnknownPlan,
)
from paidup.web import problems
from saas.billing import billing
from saas.offers import comes_first
from saas.settings import CHANGE_PAGE, PRICING_PAGE, SETTINGS_PAGE, settings
from saas.web import security
from saas.web.changing import address_of
from saas.web.home import held_name, held_plan, price_cards
from saas.web.rendering import page
from saas.web.viewer import Viewer, viewer

_log = logging.getLogger(__name__)

_RETRY_AFTER = "5"

_WORDS = {
    401: ("Not signed in", "Sign in first."),
    402: ("Payment required", "Your plan does not include this."),
    403: ("Not allowed", "You may not do that."),
    404: ("Page not found", "There is nothing at this address. It may have been moved or deleted."),
    409: ("That is in the way of something else", "Look at your billing settings first."),
    405: ("That can't be done here", "The page exists, but not for this kind of request."),
    422: ("That didn't fit", "Something in the form was missing or not understood."),
    500: ("Something broke", "That is our fault, not yours. It has been recorded; please try again in a while."),
    503: ("One moment, please", "A part of the app is not answering. Nothing was lost; please try again shortly."),
}

_INSTEAD = {
    "change_plan": ("You already have a subscription", "Change its plan instead of buying a second one."),
    "fix_payment": ("A payment is open", "Your subscription is waiting for a payment. Pay it instead of buying again."),
    "resume": ("Your subscription is still there", "Resume it instead of buying a second one."),
}
"""To whom a second subscription was refused; what `_ACTIONS` has for a change or an end fits otherwise."""

_ACTIONS = {
    "fix_payment": (
        "A payment is open",
        "Your subscription is waiting for a payment. Pay it first, then choose again.",
    ),
    "resume": ("Resume it first", "Your subscription is paused, or about to end. Resume it, then choose again."),
    "checkout": (
        "There is no subscription to change",
        "It has ended, or there never was one. You can start a new one.",
    ),
    "update_payment_method": ("There is no card to charge", "Add one in the billing portal, then try again."),
    "pause_collection": ("This cannot be stopped", "Your payments can be paused instead."),
    "pause": ("This is paused here", "Pause it in your billing settings instead."),
    "plan_change": ("A change of plan is planned", "It was arranged with us by hand. Write to us to change it."),
    "undo_change": ("Another change is planned already", "Undo it first, then choose again."),
    "nothing_to_change": ("That is what you have", "Choose another plan, another interval or more seats."),
    "update_address": ("We need your address", "Taxes depend on it. Add it, then choose again."),
    "contact_us": ("This is changed by hand", "Your subscription is a special one. Write to us, and we change it."),
    "cancel_now": ("It was never paid", "There is no period to wait for: cancel it at once, or pay it first."),
    "choose_group": ("You have several subscriptions", "Write to us, and we end the right one."),
    "pending": ("Your payment is on its way", "It can take a few days to arrive. There is nothing to do until then."),
}


_PLANS = (PRICING_PAGE, "See plans")
_BILLING = (SETTINGS_PAGE, "Billing settings")

_PROBLEMS: dict[type[BillingError], tuple[str, str, tuple[str, str]]] = {
    UnknownPlan: ("There is no such plan", "It may have been renamed. Choose one of those there are.", _PLANS),
    UnknownInterval: ("The plan is not sold like that", "Choose how often you pay on the pricing page.", _PLANS),
    PlanNotForSale: (
        "This plan cannot be bought here",
        "It is free, or not sold in your currency. To go back to the free plan, cancel the one you have.",
        _BILLING,
    ),
    CurrencyRefused: ("This plan is sold in another currency", "Write to us, and we find a way.", _PLANS),
    InvalidSeats: ("That many seats are not sold", "The plan has a least and a most number. Choose again.", _PLANS),
    InvalidQuantity: ("That many are not sold", "There is a most number of each. Choose again.", _BILLING),
    UnknownAddon: ("That is not sold with your plan", "What goes with it stands on your billing page.", _BILLING),
    DiscountRefused: ("This code does not apply here", "Nothing was charged. Go on without it.", _PLANS),
    CheckoutNotFound: ("There is no such order of yours", "Start again from the pricing page.", _PLANS),
    QuoteNotFound: ("That offer is gone", "Nothing was charged. Choose again, and see what it costs now.", _PLANS),
    InvoiceNotFound: ("There is no such invoice of yours", "Those there are stand on your billing page.", _BILLING),
    NothingToPay: ("Nothing is open", "It is paid already, or nothing was due.", _BILLING),
}
"""What paidup says to developers, in words for people, and where to go on."""


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(AccessRefused, _access_refused)
    app.add_exception_handler(CheckoutRefused, _refused)
    app.add_exception_handler(SubscriptionRefused, _refused)
    app.add_exception_handler(QuoteChanged, _quote_changed)
    app.add_exception_handler(ChangeNotPaid, _change_not_paid)
    app.add_exception_handler(BillingError, _billing_error)
    app.add_exception_handler(SQLAlchemyError, _database_away)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _broken)


def _not_signed_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotSignedIn)
    if not _wants_page(request):
        return _problem_of(error)
    came_from = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    goal = came_from if request.method == "GET" else "/dashboard"
    return RedirectResponse(f"/sign-in?{urlencode({'next': goal})}", status_code=303)


def _access_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccessRefused)
    if not _wants_page(request):
        return _problem_of(error)
    plans = [plan for plan in billing.catalog.plans if plan.key in error.plans]
    addons = [addon for addon in billing.catalog.addons if addon.key in error.addons]
    found = _look_up_viewer(request)
    held, title, is_used_up = held_plan(found) if found else None, error.message, isinstance(error, InsufficientCredits)
    if isinstance(error, InsufficientCredits):
        title = f"{billing.catalog.credits[error.credit].name} are used up"
        rank = billing.catalog.rank
        plans = [plan for plan in plans if held is None or rank(plan.key) > rank(held)]
    return page(
        request,
        "upgrade.html",
        status=402,
        error=error,
        title=title,
        addons=addons,
        first=comes_first(found.access, billing.scheduled_change(found.user.owner)) if found else None,
        is_held=held in error.plans and not is_used_up,
        is_used_up=is_used_up,
        held_name=held_name(found) if found else None,
        **price_cards(found, plans),
    )


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CheckoutRefused | SubscriptionRefused)
    if not _wants_page(request):
        return _problem_of(error)
    _look_up_viewer(request)
    title, text = (_INSTEAD if isinstance(error, CheckoutRefused) else {}).get(error.action) or _ACTIONS[error.action]
    return page(request, "refused.html", status=409, title=title, text=text, action=error.action)


def _quote_changed(request: Request, error: Exception) -> Response:
    assert isinstance(error, QuoteChanged)
    if not _wants_page(request):
        return _problem_of(error)
    return RedirectResponse(address_of(error.quote), status_code=303)


def _change_not_paid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChangeNotPaid)
    if not _wants_page(request):
        return _problem_of(error)
    _look_up_viewer(request)
    title, text = "Your card was not charged", "The payment did not go through, and you keep the plan you have."
    return page(request, "refused.html", status=402, title=title, text=text, action="update_payment_method")


def _billing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BillingError)
    if error.status >= 500:
        _log.error("%s: %s", error.code, error.message)
    if not _wants_page(request):
        return _problem_of(error)
    if error.status == 503:
        title, text = _WORDS[503]
    elif error.status >= 500:
        title, text = _WORDS[500]
    elif known := next((words for kind, words in _PROBLEMS.items() if isinstance(error, kind)), None):
        title, text, way_on = known
        return _error_page(request, error.status, title=title, text=text, way_on=way_on)
    else:
        title, _ = _WORDS.get(error.status, _WORDS[422])
        text = f"{_sentence(error.message)} {_sentence(error.remedy)}".strip()
    return _error_page(
        request, error.status, title=title, text=text, retry_after=problems.headers(error).get("Retry-After")
    )


def _database_away(request: Request, error: Exception) -> Response:
    _log.error("the database failed", exc_info=error)
    if not _wants_page(request):
        return _problem(503, retry_after=_RETRY_AFTER)
    title, text = _WORDS[503]
    return _error_page(request, 503, title=title, text=text, retry_after=_RETRY_AFTER)


def _invalid_request(request: Request, error: Exception) -> Response:
    return _plain_error(request, 422)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _plain_error(request, error.status_code)


def _broken(request: Request, error: Exception) -> Response:
    response = _plain_error(request, 500)
    for name, value in security.headers(settings()).items():  # this answer does not pass through the middleware
        response.headers[name] = value
    return response


def _plain_error(request: Request, status: int) -> Response:
    if not _wants_page(request):
        return _problem(status)
    title, text = _WORDS.get(status, _WORDS[500 if status >= 500 else 422])
    way_on = _PLANS if request.url.path == CHANGE_PAGE else None
    return _error_page(request, status, title=title, text=text, way_on=way_on)


def _error_page(
    request: Request,
    status: int,
    *,
    title: str,
    text: str,
    way_on: tuple[str, str] | None = None,
    retry_after: str | None = None,
) -> Response:
    if status < 500:
        _look_up_viewer(request)
    response = page(request, "error.html", status=status, title=title, text=text, way_on=way_on)
    if retry_after:
        response.headers["Retry-After"] = retry_after
    return response


def _problem_of(error: BillingError) -> Response:
    """Problem details (RFC 9457), as paidup's own routes give them."""
    return JSONResponse(
        problems.document(error, upgrade_url=settings().app_url + PRICING_PAGE),
        status_code=error.status,
        headers=problems.headers(error),
        media_type=problems.MEDIA_TYPE,
    )


def _problem(status: int, *, retry_after: str | None = None) -> Response:
    title, text = _WORDS.get(status, _WORDS[500 if status >= 500 else 422])
    body = {"type": "about:blank", "title": title, "status": status, "detail": text}
    headers = {"Retry-After": retry_after} if retry_after else None
    return JSONResponse(body, status_code=status, headers=headers, media_type=problems.MEDIA_TYPE)


def _look_up_viewer(request: Request) -> Viewer | None:
    """So that the error page has its navigation; it must never fail itself."""
    try:
        return viewer(request)
    except (SQLAlchemyError, BillingError):
        _log.warning("an error page was shown without its viewer")
        return None


def _wants_page(request: Request) -> bool:
    is_api = request.url.path.startswith("/api/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""
