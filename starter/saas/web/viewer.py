"""Who is looking: the signed-in user, as the pages and as paidup want to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from paidup import Access, NotSignedIn, Owner
from paidup.web.fastapi import BillingRoutes
from saas import accounts
from saas.billing import billing
from saas.database import User, database
from saas.settings import settings

COOKIE = "session"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is signed in, and what they may use."""

    user: User
    access: Access


def current_user(request: Request) -> User | None:
    """The user behind the request's cookie. Read once a request."""
    if not hasattr(request.state, "user"):
        token = request.cookies.get(cookie_name())
        request.state.user = accounts.user_of(database(), token) if token else None
    user: User | None = request.state.user
    return user


def current_owner(request: Request) -> Owner | None:
    """For BillingRoutes. Everybody here pays for themselves; with teams, this is where roles are looked at."""
    user = current_user(request)
    return Owner(user.owner, manages_billing=True, email=user.email, name=user.name) if user else None


def viewer(request: Request) -> Viewer | None:
    """The viewer, None when nobody is signed in."""
    user = current_user(request)
    if user is None:
        return None
    found = Viewer(user, billing.access(user.owner))
    request.state.viewer = found
    return found


def signed_in(found: Annotated[Viewer | None, Depends(viewer)]) -> Viewer:
    """The viewer. Raises NotSignedIn, which leads to the sign-in page and back."""
    if found is None:
        raise NotSignedIn("nobody is signed in", remedy="sign in first")
    return found


MaybeViewer = Annotated[Viewer | None, Depends(viewer)]
SignedIn = Annotated[Viewer, Depends(signed_in)]


routes = BillingRoutes(billing, owner=current_owner)
"""paidup's own routes, and its gates: `Depends` for what only some plans include."""


def cookie_name() -> str:
    """Over https the `__Host-` prefix makes the browser refuse a cookie that another host or path has set."""
    return f"__Host-{COOKIE}" if settings().is_https else COOKIE


def set_cookie(response: Response, token: str) -> None:
    """Hand the browser its session."""
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(settings().session_lifetime.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings().is_https,
    )


def clear_cookie(response: Response) -> None:
    """Take the browser's session away."""
    response.delete_cookie(cookie_name(), path="/", httponly=True, samesite="lax", secure=settings().is_https)
