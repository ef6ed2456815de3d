"""Settings → account: another e-mail, and deleting the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from paidup import StripeError
from saas import accounts
from saas.accounts import AccountError, TooManyAttempts
from saas.billing import billing
from saas.database import database
from saas.settings import ACCOUNT_PAGE
from saas.web.home import held_name
from saas.web.rendering import page
from saas.web.viewer import SignedIn, Viewer, clear_cookie

router = APIRouter(default_response_class=HTMLResponse)

Text = Annotated[str, Form()]


@router.get(ACCOUNT_PAGE)
def account_page(request: Request, viewer: SignedIn, saved: str = "") -> Response:
    """Both forms; `saved` says that the first one was just sent."""
    return _page(request, viewer, is_saved=bool(saved))


@router.post(f"{ACCOUNT_PAGE}/email")
def change_email(request: Request, viewer: SignedIn, email: Text = "", password: Text = "") -> Response:
    """
    Another e-mail to sign in with, and for receipts.

    The app's row comes first, as it says whether the address is free. When Stripe cannot be told, sending the form
    again tells it.
    """
    try:
        changed = accounts.change_email(database(), viewer.user, email=email, password=password)
    except AccountError as error:
        return _page(request, viewer, email=email, email_error=error)
    try:
        billing.update_customer(viewer.user.owner, email=changed)
    except StripeError:
        later = AccountError("You sign in with it now, but receipts do not go there yet. Save it again in a moment.")
        return _page(request, viewer, status=503, email=changed, email_error=later)
    return RedirectResponse(f"{ACCOUNT_PAGE}?saved=yes", status_code=303)


@router.post(f"{ACCOUNT_PAGE}/delete")
def delete_account(request: Request, viewer: SignedIn, password: Text = "") -> Response:
    """
    Delete the account: first what is billed, then the app's rows.

    What Stripe is too slow for is stored by then, and paidup's workers end it. Being signed out first, the user cannot
    buy anything in another tab meanwhile.
    """
    try:
        accounts.check_password(database(), viewer.user, password)
    except AccountError as error:
        return _page(request, viewer, delete_error=error)
    accounts.end_sessions(database(), viewer.user)
    is_done = billing.delete_customer(viewer.user.owner)
    accounts.remove(database(), viewer.user)
    response = RedirectResponse("/goodbye" if is_done else "/goodbye?later=yes", status_code=303)
    clear_cookie(response)
    return response


@router.get("/goodbye")
def goodbye(request: Request, later: str = "") -> Response:
    """The last page; `later` is for whom the workers still have something to end."""
    return page(request, "goodbye.html", is_later=bool(later))


def _page(
    request: Request,
    viewer: Viewer,
    *,
    status: int | None = None,
    is_saved: bool = False,
    email: str = "",
    email_error: AccountError | None = None,
    delete_error: AccountError | None = None,
) -> Response:
    error = email_error or delete_error
    is_throttled = isinstance(error, TooManyAttempts)
    response = page(
        request,
        "account_settings.html",
        status=status or (429 if is_throttled else 422 if error else 200),
        is_saved=is_saved,
        email=email,
        email_error=email_error,
        delete_error=delete_error,
        held_name=held_name(viewer),
    )
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(max(1, int(error.retry_after.total_seconds())))
    return response
