"""The bank's 3D Secure page, with a button for either ending."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from stripe_emulator.pages.forms import follow, posted
from stripe_emulator.pages.notices import notice_for
from stripe_emulator.pages.rendering import hosted, message_page, page


async def show(request: Request) -> Response:
    """The question."""
    view = hosted(request).challenge(request.path_params["token"])
    if view is None:
        return _answered(request)
    return page(request, "challenge.html", view=view)


async def answer(request: Request) -> Response:
    """Pass on the answer and go where it leads: the merchant, or back to the page that asked."""
    token = request.path_params["token"]
    if hosted(request).challenge(token) is None:
        return _answered(request)
    form = await posted(request)
    outcome = hosted(request).answer_challenge(token, form.get("answer") == "complete")
    return follow(request, outcome, here=request.url.path, done="/", values=notice_for(request).values)


def _answered(request: Request) -> Response:
    return message_page(
        request,
        title="Nothing to authenticate",
        text="This authentication has been answered already, or it never existed. Go back to where you came from.",
        status=HTTPStatus.NOT_FOUND,
    )
