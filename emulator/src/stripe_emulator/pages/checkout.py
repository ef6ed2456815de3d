"""The Checkout page: what is being bought on one side, who pays and how on the other."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from stripe_emulator.hosted_views import CheckoutView, MethodType
from stripe_emulator.pages.forms import (
    email_problem,
    follow,
    kept_values,
    posted,
    read_bank,
    read_card,
    with_problems,
)
from stripe_emulator.pages.notices import Errand, see_other
from stripe_emulator.pages.rendering import hosted, message_page, page


async def show(request: Request) -> Response:
    """The form, or why there is none."""
    view = hosted(request).checkout(request.path_params["session_id"])
    if view is None:
        return message_page(
            request,
            title="There is no such Checkout session",
            text="The address is incomplete, or the emulator has been reset since it was made.",
            status=HTTPStatus.NOT_FOUND,
        )
    if view.status == "complete":
        return message_page(
            request,
            title="You’re all set",
            text=f"This Checkout session with {view.merchant_name} is complete. You can close this page.",
            link=view.success_url,
            link_text=f"Continue to {view.merchant_name}",
        )
    if view.status != "open":
        return message_page(
            request,
            title="This Checkout session has expired",
            text="Nothing was charged. Go back and start again to get a new one.",
            link=view.cancel_url,
            link_text=f"Back to {view.merchant_name}",
            link_id="cancel",
            status=HTTPStatus.GONE,
        )
    return page(request, "checkout.html", view=view, path=_path(view.id), submit_text=_submit_text(view))


async def submit(request: Request) -> Response:
    """Check what was typed, then pay."""
    here = _path(request.path_params["session_id"])
    view = hosted(request).checkout(request.path_params["session_id"])
    if view is None or view.status != "open":
        return see_other(request, here)
    form = await posted(request)
    email = None if view.email_locked else form.get("email", "")
    type = _chosen(view, form)
    card_form = read_card(form) if type == "card" else None
    bank_form = read_bank(form, type) if type in ("us_bank_account", "sepa_debit") else None
    problems = {"email": email_problem(email)} if email is not None and email_problem(email) else {}
    problems |= card_form.problems if card_form else bank_form.problems if bank_form else {}
    if problems:
        return see_other(request, here, with_problems(problems, form))
    outcome = hosted(request).pay(
        view.id,
        email=email,
        card=card_form.card if card_form else None,
        bank=bank_form.bank if bank_form else None,
    )
    return follow(request, outcome, Errand(here, here), values=kept_values(form))


async def promotion_code(request: Request) -> Response:
    """Apply the code that was typed; an empty one takes it back."""
    here = _path(request.path_params["session_id"])
    code = (await posted(request)).get("promotionCode", "")
    outcome = hosted(request).set_promotion_code(request.path_params["session_id"], code or None)
    return follow(request, outcome, Errand(here, here))


def _chosen(view: CheckoutView, form: Mapping[str, str]) -> MethodType | None:
    """What the payer chose to pay with, the first of what is offered unless another was; None when nothing is due."""
    if not view.needs_card:
        return None
    chosen = form.get("paymentMethodType")
    return next((type for type in view.payment_method_types if type == chosen), view.payment_method_types[0])


def _path(session_id: str) -> str:
    return f"/c/pay/{quote(session_id, safe='')}"


def _submit_text(view: CheckoutView) -> str:
    match view.mode:
        case "subscription":
            return "Start trial" if view.trial_end or view.trial_days else "Subscribe"
        case "setup":
            return "Save card"
        case _:
            return "Pay"
