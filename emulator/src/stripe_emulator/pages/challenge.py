"""The bank's 3D Secure page, with a button for either ending."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from stripe_emulator.pages.forms import follow, posted
from stripe_emulator.pages.notices import Errand, notice_for
from stripe_emulator.pages.rendering import hosted, message_page, page


async def show(request: Request) -> Response:
    """The question."""
    view = hosted(request).challenge(request.path_params["token"])
    if view is None:
        return _answered(request)
    return page(request, "challenge.html", view=view)


async def answer(request: Request) -> Response:
    """Pass on the answer, then go where it leads: to the merchant, or back to the form that asked."""
    token = request.path_params["token"]
    form = await posted(request)
    left = notice_for(request)
    outcome = hosted(request).answer_challenge(token, form.get("answer") == "complete")
    if outcome.kind == "closed":
        return _answered(request)
    if left.errand is None and outcome.redirect is None:
        return _no_way_on(request, ok=outcome.kind == "complete", message=outcome.message)
    errand = left.errand or Errand(outcome.redirect or "", outcome.redirect or "")
    return follow(request, outcome, errand, values=left.values)


def _no_way_on(request: Request, *, ok: bool, message: str) -> Response:
    """For an address that was opened by itself, from an intent's next_action."""
    if ok:
        return message_page(request, title="Authentication complete", text="You can close this page.")
    return message_page(request, title="Authentication failed", text=message)


def _answered(request: Request) -> Response:
    return message_page(
        request,
        title="Nothing to authenticate",
        text="This authentication has been answered already, or it never existed. Go back to where you came from.",
        status=HTTPStatus.NOT_FOUND,
    )
