"""Sign up, sign in, sign out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from saas import accounts
from saas.accounts import AccountError, TooManyAttempts
from saas.database import User, database
from saas.settings import settings
from saas.web.rendering import page
from saas.web.viewer import clear_cookie, cookie_name, current_user, set_cookie

router = APIRouter(default_response_class=HTMLResponse)

_HOME = "/dashboard"

Text = Annotated[str, Form()]


@router.get("/sign-up")
def sign_up_page(request: Request, next: str = _HOME) -> Response:
    """The form; somebody who is signed in goes straight on."""
    return _form(request, "sign_up.html", safe_next(next))


@router.post("/sign-up")
def sign_up(request: Request, name: Text = "", email: Text = "", password: Text = "", next: Text = _HOME) -> Response:
    """A new account, signed in at once."""
    try:
        user = accounts.sign_up(database(), email=email, password=password, name=name)
    except AccountError as error:
        return _rejected(request, "sign_up.html", error, safe_next(next), name=name, email=email)
    return _signed_in(request, user, safe_next(next))


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = _HOME) -> Response:
    """The form; somebody who is signed in goes straight on."""
    return _form(request, "sign_in.html", safe_next(next))


@router.post("/sign-in")
def sign_in(request: Request, email: Text = "", password: Text = "", next: Text = _HOME) -> Response:
    """Sign in, and go on to where they wanted to be."""
    address = request.client.host if request.client else "unknown"
    try:
        user = accounts.sign_in(database(), email=email, password=password, address=address)
    except AccountError as error:
        return _rejected(request, "sign_in.html", error, safe_next(next), email=email)
    return _signed_in(request, user, safe_next(next))


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """The session ends on the server, not only in this browser."""
    token = request.cookies.get(cookie_name())
    if token:
        accounts.end_session(database(), token)
    response = RedirectResponse("/", status_code=303)
    clear_cookie(response)
    return response


def safe_next(value: str) -> str:
    """A path of this app, or the dashboard: nobody is sent to another site by a link to our sign-in page."""
    is_path = value.startswith("/") and not value.startswith("//") and value.isprintable() and "\\" not in value
    return value if is_path else _HOME


def _form(request: Request, template: str, next: str) -> Response:
    if current_user(request) is not None:
        return RedirectResponse(next, status_code=303)
    return page(request, template, next=next, error=None, form={"name": "", "email": ""})


def _rejected(request: Request, template: str, error: AccountError, next: str, **form: str) -> Response:
    is_throttled = isinstance(error, TooManyAttempts)
    response = page(request, template, status=429 if is_throttled else 422, next=next, error=error, form=form)
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(max(1, int(error.retry_after.total_seconds())))
    return response


def _signed_in(request: Request, user: User, next: str) -> Response:
    replacing = request.cookies.get(cookie_name())
    token = accounts.start_session(database(), user, lifetime=settings().session_lifetime, replacing=replacing)
    response = RedirectResponse(next, status_code=303)
    set_cookie(response, token)
    return response
