"""
An app on paidup, as mypy sees it: never run, only checked.

`assert_type` says what an app's author gets. Every `type: ignore` stands on a line that has to be an error: mypy
complains about those that are not needed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, assert_type

from fastapi import FastAPI, Request

from paidup import (
    Access,
    AccessRefused,
    AsyncBilling,
    Billing,
    BillingError,
    Change,
    Checkout,
    CheckoutRefused,
    Customer,
    Invoice,
    LimitReached,
    Owner,
    PaymentMethod,
    PendingChange,
    Quote,
    Receipt,
    ScheduledChange,
    Settings,
    Subscription,
    Worker,
)
from paidup.web.fastapi import BillingRoutes


def current_owner(request: Request) -> Owner | None:
    return Owner("user:1", manages_billing=True) if request.cookies else None


billing = Billing.from_env()
routes = BillingRoutes(billing, owner=current_owner)
app = FastAPI(lifespan=routes.lifespan)
app.include_router(routes.router, prefix="/billing")


@app.get("/reports")
async def reports(access: Annotated[Access, routes.requires("reports")]) -> str:
    return f"yours until {assert_type(access.until, datetime | None)}"


def a_gate_by_hand(owner: str) -> None:
    access = assert_type(billing.require(owner, "reports"), Access)
    assert_type(access.can("reports"), bool)
    assert_type(access.limit("projects"), int | None)
    assert_type(access.features, frozenset[str])
    assert_type(access.limits, Mapping[str, int | None])
    assert_type(billing.require_limit(owner, "projects", 3), Access)


def what_is_known(owner: str) -> None:
    assert_type(billing.access(owner), Access)
    assert_type(billing.subscription(owner), Subscription | None)
    assert_type(billing.customer(owner), Customer | None)
    assert_type(billing.payment_method(owner), PaymentMethod | None)
    assert_type(billing.invoices(owner), list[Invoice])


def selling(owner: str) -> None:
    checkout = assert_type(billing.checkout(owner, "pro", interval="year", seats=2), Checkout)
    assert_type(checkout.url, str | None)
    assert_type(billing.finish_checkout(owner, "cs_1", wait=timedelta(seconds=1)), Checkout)
    assert_type(billing.portal(owner), str)
    assert_type(billing.portal(owner, flow="subscription_update_confirm", plan="pro", interval="year", seats=2), str)


def ending(owner: str) -> None:
    assert_type(billing.preview_change(owner, "pro", interval="year"), Quote)
    assert_type(billing.change_plan(owner, "quote"), Subscription)
    assert_type(billing.scheduled_change(owner), ScheduledChange | None)
    assert_type(billing.pending_change(owner), PendingChange | None)
    assert_type(billing.cancel(owner, when="now"), Subscription)
    assert_type(billing.resume(owner), Subscription)
    assert_type(billing.pause(owner), Subscription)


def webhooks(body: bytes) -> None:
    assert_type(billing.receive(body, None), Receipt)
    assert_type(billing.worker(), Worker)


async def in_an_async_app(owner: str) -> None:
    waiting = AsyncBilling(billing)
    assert_type(await waiting.access(owner), Access)
    assert_type(await waiting.checkout(owner, "pro"), Checkout)


@billing.on_change("subscription.started")
def welcome(change: Change) -> None:
    assert_type(change.owner, str)


@billing.on_change()
async def everything(change: Change) -> None: ...


def errors(owner: str) -> None:
    try:
        billing.checkout(owner, "pro")
    except CheckoutRefused as refused:
        assert_type(refused.action, str)
    except BillingError as error:
        assert_type(error.status, int)
    try:
        billing.require_limit(owner, "projects", 3)
    except LimitReached as reached:
        assert_type(reached.plans, tuple[str, ...])
    except AccessRefused as refused_access:
        assert_type(refused_access.owner, str)


def what_must_not_pass(settings: Settings, access: Access, owner: str) -> None:
    Owner("user:1")  # type: ignore[call-arg]  # who may manage billing has no default
    settings.app_url = "https://example.com"  # type: ignore[misc]  # settings are frozen
    access.plan = "pro"  # type: ignore[misc]  # an answer is not edited
    billing.cancel(owner, when="later")  # type: ignore[arg-type]  # at the end of the period, or now
    billing.checkout(owner, "pro", "year")  # type: ignore[call-arg]  # options are named
    billing.receive("text", None)  # type: ignore[arg-type]  # the signature is over bytes
