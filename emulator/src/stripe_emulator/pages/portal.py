"""
The billing portal: plans, card and invoices of one customer, and the pages that change them.

A session made for one task (`flow_data`) opens that task's page; what the configuration does not allow has no page.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stripe_emulator.hosted import DetailsInput, Outcome, PortalView, PriceChoice, SubView
from stripe_emulator.pages import formats
from stripe_emulator.pages.forms import email_problem, follow, kept_values, posted, read_card, with_problems
from stripe_emulator.pages.notices import Errand, Notice, notice_for, see_other
from stripe_emulator.pages.rendering import hosted, message_page, page

# https://docs.stripe.com/customer-management/cancellation-page: the words customers see for each reason
_REASONS = {
    "too_expensive": "It’s too expensive",
    "missing_features": "Some features are missing",
    "switched_service": "I found an alternative",
    "unused": "I no longer need it",
    "customer_service": "Customer service was less than expected",
    "too_complex": "Ease of use was less than expected",
    "low_quality": "Quality was less than expected",
    "other": "Other reason",
}


async def enter(request: Request) -> Response:
    """The address a session is made with: the overview, or the page of the task the session is for."""
    view = _view(request)
    if view is None:
        return _gone(request)
    task = _task(view)
    if task and not notice_for(request).message:
        return RedirectResponse(_path(request, task), status_code=HTTPStatus.SEE_OTHER)
    return _overview(request, view)


async def overview(request: Request) -> Response:
    """Plans, card and invoices, whatever the session was made for."""
    view = _view(request)
    return _gone(request) if view is None else _overview(request, view)


async def show_card(request: Request) -> Response:
    """The form for a new card."""
    view = _view(request)
    if view is None:
        return _gone(request)
    if not _allows(view, "payment_method_update"):
        return _refuse(request, view, "Cards can’t be changed here.")
    return page(request, "portal_card.html", **_common(request, view), path=_path(request, "/payment-method"))


async def save_card(request: Request) -> Response:
    """Check the card, then make it the customer's default."""
    view = _view(request)
    if view is None:
        return _gone(request)
    if not _allows(view, "payment_method_update"):
        return _refuse(request, view, "Cards can’t be changed here.")
    form = await posted(request)
    here = _path(request, "/payment-method")
    card_form = read_card(form)
    if card_form.card is None:
        return see_other(request, here, with_problems(card_form.problems, form))
    outcome = hosted(request).save_card(_secret(request), card_form.card)
    return _leave(request, view, outcome, here=here, said="Your card has been updated.", values=kept_values(form))


async def show_details(request: Request) -> Response:
    """Who the customer is, in a form."""
    view = _view(request)
    if view is None:
        return _gone(request)
    if not view.details:
        return _refuse(request, view, "Billing details can’t be changed here.")
    return page(request, "portal_details.html", **_common(request, view), path=_path(request, "/customer"))


async def save_details(request: Request) -> Response:
    """Change who the customer is."""
    view = _view(request)
    if view is None:
        return _gone(request)
    if not view.details:
        return _refuse(request, view, "Billing details can’t be changed here.")
    form = await posted(request)
    here = _path(request, "/customer")
    problem = email_problem(form["email"]) if "email" in form and "email" in view.details else ""
    if problem:
        return see_other(request, here, with_problems({"email": problem}, form))
    typed = DetailsInput({name: form[name] for name in view.details if name in form})
    outcome = hosted(request).save_details(_secret(request), typed)
    return _leave(request, view, outcome, here=here, said="Your billing details have been updated.")


async def show_cancel(request: Request) -> Response:
    """What canceling means, and the reason for it."""
    return _with_subscription(request, _cancel_page)


async def cancel(request: Request) -> Response:
    """Cancel, now or at the period's end, as the configuration says."""
    form = await posted(request)

    def do(view: PortalView, subscription: SubView) -> Response:
        if not subscription.can_cancel:
            return _refuse(request, view, "This plan can’t be canceled here.")
        feedback = form.get("feedback", "")
        outcome = hosted(request).cancel(
            _secret(request),
            subscription.id,
            feedback=feedback if feedback in _REASONS else None,
            comment=form.get("comment") or None,
        )
        said = f"{subscription.name} has been canceled."
        if not _ends_at_once(view):
            said = f"{subscription.name} will be canceled on {formats.day(subscription.current_period_end)}."
        here = _path(request, f"/subscriptions/{quote(subscription.id, safe='')}/cancel")
        return _leave(request, view, outcome, here=here, said=said, values=kept_values(form))

    return _with_subscription(request, lambda _, view, subscription: do(view, subscription))


async def resume(request: Request) -> Response:
    """Undo a cancellation that has not happened yet."""

    def do(_: Request, view: PortalView, subscription: SubView) -> Response:
        if not subscription.can_resume:
            return _refuse(request, view, "There is no cancellation to undo.")
        outcome = hosted(request).resume(_secret(request), subscription.id)
        said = f"{subscription.name} will not be canceled."
        return _leave(request, view, outcome, here=_home(request, view), said=said)

    return _with_subscription(request, do)


async def show_pause(request: Request) -> Response:
    """What a pause means."""

    def do(_: Request, view: PortalView, subscription: SubView) -> Response:
        if not subscription.can_pause:
            return _refuse(request, view, "This plan can’t be paused here.")
        path = _path(request, f"/subscriptions/{quote(subscription.id, safe='')}/pause")
        return page(request, "portal_pause.html", **_common(request, view), subscription=subscription, path=path)

    return _with_subscription(request, do)


async def pause(request: Request) -> Response:
    """Pause, at once and until somebody resumes it."""

    def do(_: Request, view: PortalView, subscription: SubView) -> Response:
        if not subscription.can_pause:
            return _refuse(request, view, "This plan can’t be paused here.")
        outcome = hosted(request).pause(_secret(request), subscription.id)
        return _leave(request, view, outcome, here=_home(request, view), said=f"{subscription.name} is paused.")

    return _with_subscription(request, do)


async def show_choices(request: Request) -> Response:
    """The plans to switch to."""
    return _with_subscription(request, _choices_page)


async def show_change(request: Request) -> Response:
    """What a switch costs, before it is made."""

    def do(_: Request, view: PortalView, subscription: SubView) -> Response:
        choice = _choice(request, subscription, request.query_params.get("price", ""))
        quantity = _quantity(request.query_params.get("quantity"), view, subscription)
        if choice is None or quantity is None:
            return _refuse(request, view, "That plan is not on offer.")
        if choice.current and quantity == subscription.quantity:
            again = Notice("error", "You have this plan already. Choose another one.")
            return see_other(request, _change_path(request, subscription), again)
        return page(
            request,
            "portal_change_confirm.html",
            **_common(request, view),
            subscription=subscription,
            choice=choice,
            quantity=quantity,
            proration=_proration(view, subscription),
            preview=hosted(request).preview_change(
                request.path_params["secret"], subscription.id, choice.price_id, quantity
            ),
            path=_change_path(request, subscription) + "/confirm",
            back=_change_path(request, subscription),
        )

    return _with_subscription(request, do)


async def change(request: Request) -> Response:
    """Switch to the plan that was shown."""
    form = await posted(request)

    def do(_: Request, view: PortalView, subscription: SubView) -> Response:
        choice = _choice(request, subscription, form.get("price", ""))
        quantity = _quantity(form.get("quantity"), view, subscription)
        if choice is None or quantity is None:
            return _refuse(request, view, "That plan is not on offer.")
        query = urlencode({"price": choice.price_id, "quantity": quantity})
        outcome = hosted(request).change_plan(_secret(request), subscription.id, choice.price_id, quantity)
        said = f"Your plan is now {choice.name}."
        return _leave(request, view, outcome, here=f"{_change_path(request, subscription)}/confirm?{query}", said=said)

    return _with_subscription(request, do)


async def pay_invoice(request: Request) -> Response:
    """Pay an open invoice with the card on file."""
    view = _view(request)
    if view is None:
        return _gone(request)
    invoice = request.path_params["invoice"]
    if not any(row.id == invoice and row.payable for row in view.invoices):
        return _refuse(request, view, "That invoice has nothing left to pay.")
    outcome = hosted(request).pay_invoice(_secret(request), invoice)
    return _leave(request, view, outcome, here=_home(request, view), said="Payment received. Thank you.")


def _view(request: Request) -> PortalView | None:
    return hosted(request).portal(_secret(request))


def _secret(request: Request) -> str:
    return str(request.path_params["secret"])


def _path(request: Request, rest: str = "") -> str:
    return f"/p/session/{quote(_secret(request), safe='')}{rest}"


def _home(request: Request, view: PortalView) -> str:
    return _path(request, "/overview" if _task(view) else "")


def _change_path(request: Request, subscription: SubView) -> str:
    return _path(request, f"/subscriptions/{quote(subscription.id, safe='')}/change")


def _common(request: Request, view: PortalView) -> dict[str, Any]:
    return {"view": view, "base": _path(request), "home": _home(request, view)}


def _allows(view: PortalView, feature: str) -> bool:
    return bool((view.features.get(feature) or {}).get("enabled"))


def _ends_at_once(view: PortalView) -> bool:
    return (view.features.get("subscription_cancel") or {}).get("mode") == "immediately"


def _task(view: PortalView) -> str:
    """The path of the page a session's flow is about; empty when it has none of its own."""
    flow = view.flow or {}
    subscription = quote(str(_subscription_of(flow)), safe="")
    match flow.get("type"):
        case "payment_method_update":
            return "/payment-method"
        case "customer_update":
            return "/customer"
        case "subscription_pause" if subscription:
            return f"/subscriptions/{subscription}/pause"
        case "subscription_cancel" if subscription:
            return f"/subscriptions/{subscription}/cancel"
        case "subscription_update_confirm" if subscription and flow.get("price"):
            change = {name: flow[name] for name in ("price", "quantity") if flow.get(name) is not None}
            return f"/subscriptions/{subscription}/change/confirm?{urlencode(change)}"
        case "subscription_update" | "subscription_update_confirm" if subscription:
            return f"/subscriptions/{subscription}/change"
        case _:
            return ""


def _subscription_of(flow: dict[str, Any]) -> str:
    nested = flow.get(str(flow.get("type"))) or {}
    return flow.get("subscription") or nested.get("subscription") or ""


def _with_subscription(request: Request, do: Callable[[Request, PortalView, SubView], Response]) -> Response:
    view = _view(request)
    if view is None:
        return _gone(request)
    for subscription in view.subscriptions:
        if subscription.id == request.path_params["subscription"]:
            return do(request, view, subscription)
    return _refuse(request, view, "There is no such plan.")


def _overview(request: Request, view: PortalView) -> Response:
    return page(
        request,
        "portal.html",
        **_common(request, view),
        can_update_card=_allows(view, "payment_method_update"),
        shows_invoices=_allows(view, "invoice_history"),
        can_pay=view.payment_method is not None,
    )


def _cancel_page(request: Request, view: PortalView, subscription: SubView) -> Response:
    if not subscription.can_cancel:
        return _refuse(request, view, "This plan can’t be canceled here.")
    reason = (view.features.get("subscription_cancel") or {}).get("cancellation_reason") or {}
    offered = [key for key in reason.get("options") or _REASONS if key in _REASONS]
    return page(
        request,
        "portal_cancel.html",
        **_common(request, view),
        subscription=subscription,
        at_once=_ends_at_once(view),
        asks_reason=reason.get("enabled", True),
        reasons=[(key, _REASONS[key]) for key in offered],
        path=_path(request, f"/subscriptions/{quote(subscription.id, safe='')}/cancel"),
    )


def _choices_page(request: Request, view: PortalView, subscription: SubView) -> Response:
    choices = hosted(request).plan_choices(_secret(request), subscription.id)
    if not any(not choice.current for choice in choices):
        return _refuse(request, view, "There is no other plan to switch to.")
    return page(
        request,
        "portal_change.html",
        **_common(request, view),
        subscription=subscription,
        choices=choices,
        adjustable=_adjustable(view),
        path=_change_path(request, subscription) + "/confirm",
    )


def _choice(request: Request, subscription: SubView, price: str) -> PriceChoice | None:
    for choice in hosted(request).plan_choices(_secret(request), subscription.id):
        if choice.price_id == price:
            return choice
    return None


def _adjustable(view: PortalView) -> bool:
    return "quantity" in ((view.features.get("subscription_update") or {}).get("default_allowed_updates") or [])


def _quantity(text: str | None, view: PortalView, subscription: SubView) -> int | None:
    """The quantity asked for: the present one where it can't be changed, None when it is no sensible number."""
    if text is None or not _adjustable(view):
        return subscription.quantity
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        return None
    return int(text) or None


def _proration(view: PortalView, subscription: SubView) -> str:
    """What happens to the period that has been paid already, in words."""
    if subscription.status == "trialing":
        return "You are in a free trial, so nothing is owed for the time so far."
    match (view.features.get("subscription_update") or {}).get("proration_behavior"):
        case "always_invoice":
            return "The unused part of your current plan is credited and the difference is charged to your card today."
        case "create_prorations":
            return "The unused part of your current plan is credited on your next invoice."
        case _:
            return "Your current period stays as it is; the new price applies from the next one."


def _leave(
    request: Request,
    view: PortalView,
    outcome: Outcome,
    *,
    here: str,
    said: str,
    values: dict[str, str] | None = None,
) -> Response:
    """After a task: to the merchant when the outcome says so, home otherwise; back to the form if it did not work."""
    home = _home(request, view)
    errand = Errand(home if outcome.kind == "closed" else here, home, said)
    return follow(request, outcome, errand, values=values)


def _refuse(request: Request, view: PortalView, why: str) -> Response:
    return see_other(request, _home(request, view), Notice("error", why))


def _gone(request: Request) -> Response:
    return message_page(
        request,
        title="This billing portal link has expired",
        text="Links to the portal are short-lived. Go back to where you came from and open it again.",
        status=HTTPStatus.NOT_FOUND,
    )
