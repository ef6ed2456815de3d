"""The dashboard: projects, what the subscription is doing, and what happened."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from saas import activity, projects
from saas.banners import banner_for
from saas.billing import billing
from saas.database import database
from saas.projects import ProjectError
from saas.web.home import held_name
from saas.web.rendering import day, page
from saas.web.viewer import SignedIn, Viewer

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/dashboard")
def dashboard(request: Request, viewer: SignedIn) -> Response:
    """Everything at a glance."""
    return _page(request, viewer)


@router.post("/projects")
def create_project(request: Request, viewer: SignedIn, name: Annotated[str, Form()] = "") -> Response:
    """One more project, if the plan has room: LimitReached becomes the upgrade page."""
    try:
        projects.create(database(), billing, viewer.user, name=name)
    except ProjectError as error:
        return _page(request, viewer, status=422, problem=str(error))
    return RedirectResponse("/dashboard", status_code=303)


@router.post("/projects/{project_id}/delete")
def delete_project(viewer: SignedIn, project_id: str) -> Response:
    """Delete one of the viewer's own projects."""
    if not projects.remove(database(), viewer.user, project_id):
        raise HTTPException(404)
    return RedirectResponse("/dashboard", status_code=303)


def _page(request: Request, viewer: Viewer, *, status: int = 200, problem: str | None = None) -> Response:
    owner, access = viewer.user.owner, viewer.access
    card = billing.payment_method(owner)
    with database().reading() as db:
        everything = projects.all_of(db, viewer.user)
        history = activity.latest(db, viewer.user)
    allowed = access.limit(projects.LIMIT)
    return page(
        request,
        "dashboard.html",
        status=status,
        banner=banner_for(access, held_name=held_name(viewer), card=card, day=day),
        held_name=held_name(viewer),
        card=card,
        projects=everything,
        allowed=allowed,
        is_full=allowed is not None and len(everything) >= allowed,
        history=history,
        problem=problem,
    )
