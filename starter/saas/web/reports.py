"""What only Pro has: the reports page and its JSON API, each behind the same gate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from paidup import Access
from saas.database import database
from saas.reports import FEATURE, Report, report_for
from saas.web.rendering import page
from saas.web.viewer import SignedIn, Viewer, routes

router = APIRouter()

Allowed = Annotated[Access, routes.requires(FEATURE)]


@router.get("/reports", response_class=HTMLResponse)
def reports_page(request: Request, viewer: SignedIn, _access: Allowed) -> Response:
    """The report, for people. Without the feature: 402 and the upgrade page."""
    return page(request, "reports.html", report=_report(viewer))


@router.get("/api/reports")
def reports_api(viewer: SignedIn, _access: Allowed) -> Response:
    """The report, for programs. Without the feature: 402 and problem details that name the plans that have it."""
    return JSONResponse(_report(viewer).as_dict())


def _report(viewer: Viewer) -> Report:
    with database().reading() as db:
        return report_for(db, viewer.user, now=datetime.now(UTC))
