"""The whole app: `uvicorn saas.app:app`, or `python -m saas`."""

from __future__ import annotations

from fastapi import FastAPI
from sqlalchemy import text
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

from saas.database import database
from saas.settings import settings
from saas.web import account, account_settings, billing_pages, changing, dashboard, errors, home, reports
from saas.web.rendering import STATIC
from saas.web.security import SameOriginOnly, SecurityHeaders
from saas.web.viewer import routes


def create_app() -> FastAPI:
    """Put the parts together."""
    app = FastAPI(
        title=settings().app_name,
        lifespan=routes.lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[Middleware(SecurityHeaders), Middleware(SameOriginOnly)],
    )
    errors.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(routes.router, prefix="/billing")
    for module in (home, account, account_settings, dashboard, reports, billing_pages, changing):
        app.include_router(module.router)
    app.add_api_route("/healthz", _health, methods=["GET"])
    return app


def _health() -> PlainTextResponse:
    """For the load balancer: the app runs and reaches its database."""
    with database().reading() as db:
        db.execute(text("SELECT 1"))
    return PlainTextResponse("ok")


app = create_app()
