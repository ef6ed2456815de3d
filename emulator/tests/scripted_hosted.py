"""A `Hosted` that shows what it is told to and remembers what was submitted, to look at pages in any state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from starlette.applications import Starlette

from stripe_emulator.hosted import (
    BankInput,
    CardInput,
    ChallengeView,
    ChangeView,
    CheckoutView,
    DetailsInput,
    Hosted,
    InvoicePageView,
    InvoiceView,
    LineView,
    Outcome,
    PortalView,
    PriceChoice,
    SubView,
)
from stripe_emulator.pages import routes

NOV_22 = 1795356000  # 2026-11-22 14:00 UTC
DAY = 86400


def a_line(**changes: Any) -> LineView:
    line = LineView(
        name="Basic",
        description="For one person with real work to do.",
        quantity=1,
        unit_amount=900,
        amount=900,
        currency="usd",
        interval="month",
    )
    return replace(line, **changes)


def a_checkout(**changes: Any) -> CheckoutView:
    view = CheckoutView(
        id="cs_test_1",
        status="open",
        mode="subscription",
        customer_email=None,
        email_locked=False,
        lines=[a_line()],
        amount_total=900,
        due_today=900,
        currency="usd",
        trial_end=None,
        trial_days=None,
        needs_card=True,
        cancel_url="http://127.0.0.1:8000/pricing",
        success_url="http://127.0.0.1:8000/billing/return?session_id=cs_test_1",
        merchant_name="Tasks & Co",
    )
    return replace(view, **changes)


def a_trial_checkout(**changes: Any) -> CheckoutView:
    view = a_checkout(due_today=0, trial_end=NOV_22 + 14 * DAY, trial_days=14)
    return replace(view, **changes)


def a_subscription(**changes: Any) -> SubView:
    subscription = SubView(
        id="sub_1",
        name="Basic",
        amount=900,
        currency="usd",
        interval="month",
        interval_count=1,
        quantity=1,
        status="active",
        current_period_end=NOV_22 + 30 * DAY,
        cancel_at=None,
        trial_end=None,
        can_cancel=True,
        can_resume=False,
        can_change=True,
    )
    return replace(subscription, **changes)


def an_invoice_row(**changes: Any) -> InvoiceView:
    row = InvoiceView(
        id="in_1",
        number="A1B2C3D4-0001",
        created=NOV_22,
        amount=900,
        currency="usd",
        status="paid",
        hosted_url="/i/inv_token",
        pdf_url="/i/inv_token/pdf",
        payable=False,
    )
    return replace(row, **changes)


def a_portal(**changes: Any) -> PortalView:
    view = PortalView(
        customer_email="ada@example.com",
        payment_method={"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2034},
        subscriptions=[a_subscription()],
        invoices=[an_invoice_row()],
        return_url="http://127.0.0.1:8000/settings/billing",
        features={
            "payment_method_update": {"enabled": True},
            "invoice_history": {"enabled": True},
            "subscription_cancel": {
                "enabled": True,
                "mode": "at_period_end",
                "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused", "other"]},
            },
            "subscription_update": {
                "enabled": True,
                "default_allowed_updates": ["price"],
                "proration_behavior": "always_invoice",
            },
        },
        flow=None,
        merchant_name="Tasks & Co",
        now=NOV_22,
    )
    return replace(view, **changes)


def an_invoice(**changes: Any) -> InvoicePageView:
    view = InvoicePageView(
        id="in_1",
        number="A1B2C3D4-0001",
        status="open",
        created=NOV_22,
        due_date=None,
        customer_name="Ada Lovelace",
        customer_email="ada@example.com",
        lines=[a_line(name="1 × Basic (at $9.00 / month)", description="Nov 22, 2026 – Dec 22, 2026")],
        subtotal=900,
        tax=0,
        total=900,
        amount_due=900,
        amount_paid=0,
        amount_remaining=900,
        currency="usd",
        payable=True,
        pdf_url="/i/inv_token/pdf",
        merchant_name="Tasks & Co",
        card={"brand": "visa", "last4": "0341", "exp_month": 4, "exp_year": 2034},
    )
    return replace(view, **changes)


CHOICES = [
    PriceChoice("price_basic", "Basic", 900, "usd", "month", 1, current=True),
    PriceChoice("price_pro", "Pro", 2900, "usd", "month", 1, current=False),
    PriceChoice("price_pro_year", "Pro", 29000, "usd", "year", 1, current=False),
]


@dataclass
class ScriptedHosted(Hosted):
    """Views to show, the outcome of whatever is submitted, and the calls that were made."""

    checkout_view: CheckoutView | None = None
    portal_view: PortalView | None = None
    invoice_view: InvoicePageView | None = None
    challenge_view: ChallengeView | None = None
    choices: list[PriceChoice] = field(default_factory=lambda: list(CHOICES))
    outcome: Outcome = field(default_factory=lambda: Outcome("complete"))
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def checkout(self, session_id: str) -> CheckoutView | None:
        return self.checkout_view

    def pay(
        self, session_id: str, *, email: str | None, card: CardInput | None = None, bank: BankInput | None = None
    ) -> Outcome:
        return self._did("pay", session_id, email, card if bank is None else bank)

    def challenge(self, token: str) -> ChallengeView | None:
        return self.challenge_view

    def answer_challenge(self, token: str, ok: bool) -> Outcome:
        return self._did("answer", token, ok)

    def portal(self, secret: str) -> PortalView | None:
        return self.portal_view

    def save_card(self, secret: str, card: CardInput) -> Outcome:
        return self._did("save_card", secret, card)

    def cancel(self, secret: str, subscription_id: str, *, feedback: str | None, comment: str | None) -> Outcome:
        return self._did("cancel", subscription_id, feedback, comment)

    def resume(self, secret: str, subscription_id: str) -> Outcome:
        return self._did("resume", subscription_id)

    def save_details(self, secret: str, details: DetailsInput) -> Outcome:
        return self._did("save_details", details)

    def pause(self, secret: str, subscription_id: str) -> Outcome:
        return self._did("pause", subscription_id)

    def plan_choices(self, secret: str, subscription_id: str) -> list[PriceChoice]:
        return self.choices

    def preview_change(self, secret: str, subscription_id: str, price_id: str, quantity: int) -> ChangeView | None:
        return None

    def change_plan(self, secret: str, subscription_id: str, price_id: str, quantity: int) -> Outcome:
        return self._did("change_plan", subscription_id, price_id, quantity)

    def pay_invoice(self, secret: str, invoice_id: str) -> Outcome:
        return self._did("pay_invoice", invoice_id)

    def invoice(self, token: str) -> InvoicePageView | None:
        return self.invoice_view

    def pay_hosted_invoice(self, token: str, card: CardInput | None) -> Outcome:
        return self._did("pay_hosted_invoice", token, card)

    def _did(self, *call: Any) -> Outcome:
        self.calls.append(call)
        return self.outcome


def a_client(hosted: Hosted) -> httpx.Client:
    """A browser without JavaScript, before the pages alone; it follows no redirect."""
    app = Starlette(routes=routes())
    app.state.hosted = hosted
    return httpx.Client(transport=_InProcess(app), base_url="http://pages.test")


class _InProcess(httpx.BaseTransport):
    """Hands requests to an ASGI application, one after another."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        request.stream = httpx.ByteStream(request.read())
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
