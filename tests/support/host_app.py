"""A small FastAPI app that uses paidup, as an app of somebody else would."""

# No postponed annotations here: FastAPI evaluates them, and could not see the local `routes`.
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx
from fastapi import FastAPI, Request

from paidup import Access, Billing, Owner
from paidup.web.fastapi import BillingRoutes

OWNER_HEADER = "x-owner"
OWNER_COOKIE = "owner"
ROLE_HEADER = "x-role"
CURRENCY_HEADER = "x-currency"
"""In place of what an app knows of its users."""

WEBHOOK_PATH = "/billing/webhook"


@dataclass(frozen=True, slots=True)
class HostApp:
    """The app while it is served."""

    url: str
    app: FastAPI
    billing: Billing

    @property
    def webhook_url(self) -> str:
        """Where Stripe's events go."""
        return self.url + WEBHOOK_PATH

    @contextmanager
    def client(self, owner: str | None = None, *, role: str = "admin") -> Iterator[httpx.Client]:
        """An HTTP client signed in as `owner` (None: nobody); a `member` may use the plan but not manage it."""
        headers = {ROLE_HEADER: role} | ({OWNER_HEADER: owner} if owner else {})
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            yield client


def build(billing: Billing) -> FastAPI:
    """The app: billing's routes, a page for everybody, one for the feature `reports`, one for the limit `projects`."""
    routes = BillingRoutes(billing, owner=_who_asks)
    app = FastAPI(lifespan=routes.lifespan)
    app.include_router(routes.router, prefix="/billing")

    @app.get("/")
    def home(request: Request) -> dict[str, object]:
        return {"query": dict(request.query_params)}

    @app.get("/reports")
    def reports(access: Annotated[Access, routes.requires("reports")]) -> dict[str, object]:
        return {"plan": access.plan}

    @app.post("/projects")
    def projects(access: Annotated[Access, routes.requires_limit("projects", used=_projects_in_use)]) -> dict[str, str]:
        return {"plan": access.plan}

    return app


def _who_asks(request: Request) -> Owner | None:
    owner = request.headers.get(OWNER_HEADER) or request.cookies.get(OWNER_COOKIE)
    if not owner:
        return None
    name = owner.replace(":", "-")
    manages = request.headers.get(ROLE_HEADER, "admin") == "admin"
    currency = request.headers.get(CURRENCY_HEADER)
    return Owner(owner, manages_billing=manages, email=f"{name}@example.com", name=name, currency=currency)


def _projects_in_use(request: Request) -> int:
    return int(request.query_params.get("used", "0"))
