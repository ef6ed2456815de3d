"""The hosted invoice page, and the invoice as a PDF."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from stripe_emulator.pages.forms import follow, kept_values, posted, read_card, with_problems
from stripe_emulator.pages.invoice_pdf import invoice_pdf
from stripe_emulator.pages.notices import Errand, see_other
from stripe_emulator.pages.rendering import hosted, message_page, page


async def show(request: Request) -> Response:
    """The invoice, with a form while something is due."""
    view = hosted(request).invoice(request.path_params["token"])
    if view is None:
        return _unknown(request)
    return page(request, "invoice.html", view=view, path=_path(request.path_params["token"]))


async def pay(request: Request) -> Response:
    """Pay with the saved card (`use=saved`) or the one in the form."""
    token = request.path_params["token"]
    view = hosted(request).invoice(token)
    if view is None:
        return _unknown(request)
    here = _path(token)
    if not view.payable:
        return see_other(request, here)
    form = await posted(request)
    card = None
    if not (view.card and form.get("use") == "saved"):
        card_form = read_card(form)
        if card_form.problems:
            return see_other(request, here, with_problems(card_form.problems, form))
        card = card_form.card
    outcome = hosted(request).pay_hosted_invoice(token, card)
    return follow(request, outcome, Errand(here, here, "Payment received. Thank you."), values=kept_values(form))


async def pdf(request: Request) -> Response:
    """The invoice to keep."""
    view = hosted(request).invoice(request.path_params["token"])
    if view is None:
        return _unknown(request)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in view.number or view.id)
    return Response(
        invoice_pdf(view),
        media_type="application/pdf",
        headers={
            "Content-Disposition": f'inline; filename="Invoice-{name}.pdf"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _path(token: str) -> str:
    return f"/i/{quote(token, safe='')}"


def _unknown(request: Request) -> Response:
    return message_page(
        request,
        title="There is no such invoice",
        text="The address is incomplete, or the emulator has been reset since it was made.",
        status=HTTPStatus.NOT_FOUND,
    )
