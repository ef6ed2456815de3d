"""What only some plans have: the reports page and its JSON API, each behind the same gate."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from paidup import Access
from saas.billing import billing
from saas.database import database
from saas.reports import CREDIT, FEATURE, Report, report_for
from saas.web.rendering import page
from saas.web.viewer import SignedIn, Viewer, routes

router = APIRouter()

Allowed = Annotated[Access, routes.requires(FEATURE)]


@router.get("/reports", response_class=HTMLResponse)
def reports_page(request: Request, viewer: SignedIn, _access: Allowed) -> Response:
    """The report, for people. Without the feature: 402 and the upgrade page."""
    exports = billing.credits(viewer.user.owner)[CREDIT] if CREDIT in billing.catalog.credits else None
    return page(request, "reports.html", report=_report(viewer), exports=exports)


@router.get("/api/reports")
def reports_api(viewer: SignedIn, _access: Allowed) -> Response:
    """The report, for programs. Without the feature: 402 and problem details that name the plans that have it."""
    return JSONResponse(_report(viewer).as_dict())


@router.post("/reports/export")
def export(viewer: SignedIn, _access: Allowed) -> Response:
    """
    The report as a file, for one export. With none left: 402 and the upgrade page.

    What was exported is the key it is paid by, so that a second click, or the same file again, costs nothing.
    """
    file = _report(viewer).as_csv()
    billing.spend_credits(viewer.user.owner, CREDIT, 1, key=f"export:{hashlib.sha256(file.encode()).hexdigest()}")
    return Response(file, media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="reports.csv"'})


def _report(viewer: Viewer) -> Report:
    with database().reading() as db:
        return report_for(db, viewer.user, now=datetime.now(UTC))
